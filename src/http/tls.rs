//! TLS before HTTP: certificate and key from files, clients' certificates, HTTP/2 by ALPN. Files are read once, at the
//! start. A client need not show a certificate, since there are other credentials; one that it shows must be good.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;

use super::{Error, Tls};

/// Which HTTP a client and we agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Agreed {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// Reads certificate and key.
pub(super) fn acceptor(files: &Tls) -> Result<TlsAcceptor, Error> {
    let unusable = |what: &str, path: &Path, problem: &dyn std::fmt::Display| {
        Error::Tls(format!("the {what} {} cannot be used: {problem}", path.display()))
    };
    let certificate = &files.certificate;
    let chain = certificates(certificate).map_err(|error| unusable("certificate", certificate, &error))?;
    let key =
        PrivateKeyDer::from_pem_file(&files.key).map_err(|error| unusable("key", &files.key, &error))?;
    let builder = match &files.client_ca {
        None => ServerConfig::builder().with_no_client_auth(),
        Some(path) => {
            let verifier = verifier(path).map_err(|error| unusable("client_ca", path, &error))?;
            ServerConfig::builder().with_client_cert_verifier(verifier)
        }
    };
    let mut config =
        builder.with_single_cert(chain, key).map_err(|error| unusable("certificate", certificate, &error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// The certificates of a file; at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| error.to_string())?;
    if certificates.is_empty() { Err("it holds none".to_owned()) } else { Ok(certificates) }
}

/// What judges clients' certificates: chain, times and use.
fn verifier(path: &Path) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    WebPkiClientVerifier::builder(Arc::new(roots))
        .allow_unauthenticated()
        .build()
        .map_err(|error| error.to_string())
}

/// The certificate that the client showed, verified.
pub(super) fn client_certificate(stream: &TlsStream<TcpStream>) -> Option<CertificateDer<'static>> {
    stream.get_ref().1.peer_certificates()?.first().map(|certificate| certificate.clone().into_owned())
}

/// Shakes hands within `patience`.
pub(super) async fn accept(
    acceptor: &TlsAcceptor,
    stream: TcpStream,
    patience: Duration,
) -> io::Result<(TlsStream<TcpStream>, Agreed)> {
    let stream = tokio::time::timeout(patience, acceptor.accept(stream)).await??;
    let agreed = match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => Agreed::Http2,
        _ => Agreed::Http1,
    };
    Ok((stream, agreed))
}

#[cfg(test)]
mod tests {
    use super::{Error, Tls, acceptor};

    #[test]
    fn files_that_hold_no_certificate_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name| folder.path().join(name);
        let mut files = Tls { certificate: file("cert.pem"), key: file("key.pem"), client_ca: None };
        let message = |files: &Tls| match acceptor(files) {
            Err(Error::Tls(message)) => message,
            other => panic!("{:?}", other.map(drop)),
        };
        assert!(message(&files).contains("cert.pem"));
        std::fs::write(&files.certificate, "").unwrap();
        assert!(message(&files).contains("cert.pem"));
        let pair = rcgen::generate_simple_self_signed(["gateway.test".to_owned()]).unwrap();
        std::fs::write(&files.certificate, pair.cert.pem()).unwrap();
        assert!(message(&files).contains("key.pem"));
        std::fs::write(&files.key, pair.signing_key.serialize_pem()).unwrap();
        assert!(acceptor(&files).is_ok());
        files.client_ca = Some(file("ca.pem"));
        assert!(message(&files).contains("ca.pem"));
        std::fs::write(file("ca.pem"), pair.signing_key.serialize_pem()).unwrap();
        assert!(message(&files).contains("ca.pem"));
    }
}
