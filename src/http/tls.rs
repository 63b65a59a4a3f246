//! TLS before HTTP: certificate and key from files, clients' certificates, HTTP/2 by ALPN. Files are read once, at the
//! start. A client need not show a certificate, since there are other credentials; one that it shows must be good.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::pem::{self, PemObject as _};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};
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

impl Tls {
    /// What is wrong with the files: each with the key that names it. Blocks on the file system.
    #[must_use]
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        config(self).err().unwrap_or_default()
    }
}

/// Reads certificate and key.
pub(super) fn acceptor(files: &Tls) -> Result<TlsAcceptor, Error> {
    let mut config = config(files).map_err(|problems| {
        let told: Vec<String> =
            problems.into_iter().map(|(key, problem)| format!("{key}: {problem}")).collect();
        Error::Tls(told.join("; "))
    })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn config(files: &Tls) -> Result<ServerConfig, Vec<(&'static str, String)>> {
    let mut problems = Vec::new();
    let chain = noted(&mut problems, "certificate", certificates(&files.certificate));
    let key = noted(&mut problems, "key", private_key(&files.key));
    let verifier = files.client_ca.as_deref().map(verifier);
    let verifier = verifier.and_then(|verifier| noted(&mut problems, "client_ca", verifier));
    let builder = match verifier {
        None => ServerConfig::builder().with_no_client_auth(),
        Some(verifier) => ServerConfig::builder().with_client_cert_verifier(verifier),
    };
    let config = chain.zip(key).map(|(chain, key)| builder.with_single_cert(chain, key));
    match config {
        Some(Ok(config)) if problems.is_empty() => return Ok(config),
        Some(Err(error @ rustls::Error::InconsistentKeys(_))) => {
            let key = files.key.display();
            problems.push(("key", format!("{key} does not belong to the certificate: {error}")));
        }
        Some(Err(error)) => {
            let certificate = files.certificate.display();
            problems.push(("certificate", format!("{certificate} cannot be used: {error}")));
        }
        Some(Ok(_)) | None => {}
    }
    Err(problems)
}

/// What was read, or a problem of the file under this key.
fn noted<T>(
    problems: &mut Vec<(&'static str, String)>,
    key: &'static str,
    read: Result<T, String>,
) -> Option<T> {
    read.map_err(|problem| problems.push((key, problem))).ok()
}

/// The certificates of a file; at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unreadable(path, "certificate", &error))?;
    let none = || unreadable(path, "certificate", &pem::Error::NoItemsFound);
    if certificates.is_empty() { Err(none()) } else { Ok(certificates) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| unreadable(path, "private key", &error))
}

fn unreadable(path: &Path, what: &str, error: &pem::Error) -> String {
    let path = path.display();
    match error {
        pem::Error::Io(error) if error.kind() == io::ErrorKind::NotFound => {
            format!("there is no file {path}")
        }
        pem::Error::Io(error) => format!("{path} cannot be read: {error}"),
        pem::Error::NoItemsFound => format!("{path} holds no {what}"),
        _ => format!("{path} is no PEM: {error}"),
    }
}

/// What judges clients' certificates: chain, times and use.
fn verifier(path: &Path) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let unusable = |error: &dyn std::fmt::Display| format!("{} cannot be used: {error}", path.display());
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| unusable(&error))?;
    }
    let builder = WebPkiClientVerifier::builder(Arc::new(roots)).allow_unauthenticated();
    builder.build().map(|verifier| verifier as _).map_err(|error| unusable(&error))
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
        let other = rcgen::generate_simple_self_signed(["gateway.test".to_owned()]).unwrap();
        std::fs::write(&files.key, other.signing_key.serialize_pem()).unwrap();
        assert!(message(&files).contains("key.pem does not belong to the certificate"));
        std::fs::write(&files.key, pair.signing_key.serialize_pem()).unwrap();
        assert!(acceptor(&files).is_ok());
        files.client_ca = Some(file("ca.pem"));
        assert!(message(&files).contains("ca.pem"));
        std::fs::write(file("ca.pem"), pair.signing_key.serialize_pem()).unwrap();
        assert!(message(&files).contains("ca.pem"));
    }
}
