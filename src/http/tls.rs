//! TLS before HTTP: certificate and key from files, HTTP/2 by ALPN. They are read once, at the start.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
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
    let unusable = |what: &str, path: &std::path::Path, problem: &dyn std::fmt::Display| {
        Error::Tls(format!("the {what} {} cannot be used: {problem}", path.display()))
    };
    let certificate = &files.certificate;
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unusable("certificate", certificate, &error))?;
    if chain.is_empty() {
        return Err(unusable("certificate", certificate, &"it holds none"));
    }
    let key =
        PrivateKeyDer::from_pem_file(&files.key).map_err(|error| unusable("key", &files.key, &error))?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| unusable("certificate", certificate, &error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
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
        let files = Tls { certificate: folder.path().join("cert.pem"), key: folder.path().join("key.pem") };
        let message = |files: &Tls| match acceptor(files) {
            Err(Error::Tls(message)) => message,
            other => panic!("{:?}", other.map(drop)),
        };
        assert!(message(&files).contains("cert.pem"));
        std::fs::write(&files.certificate, "").unwrap();
        assert!(message(&files).contains("cert.pem"));
    }
}
