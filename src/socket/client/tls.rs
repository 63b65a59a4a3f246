//! TLS towards a gateway: whose certificates to trust, and the handshake.

use std::io;
use std::sync::Arc;

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

/// Who may sign a gateway's certificate.
#[derive(Debug, Clone, Default)]
pub enum Trust {
    /// Whom the system trusts.
    #[default]
    System,
    /// These alone.
    Only(Vec<CertificateDer<'static>>),
}

/// Why a text holds nobody to trust.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// It is not PEM.
    #[error("it cannot be read as PEM")]
    Malformed(#[source] rustls_pki_types::pem::Error),
    /// It is PEM without a certificate.
    #[error("it holds no certificate")]
    Empty,
}

impl Trust {
    /// Trusts the certificates of a PEM text alone.
    ///
    /// # Errors
    /// [`TrustError`] where there are none.
    pub fn only(pem: &[u8]) -> Result<Self, TrustError> {
        let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
        let certificates = certificates.map_err(TrustError::Malformed)?;
        if certificates.is_empty() { Err(TrustError::Empty) } else { Ok(Self::Only(certificates)) }
    }

    fn config(&self) -> Result<ClientConfig, rustls::Error> {
        let builder = ClientConfig::builder();
        let builder = match self {
            Self::System => builder.with_platform_verifier()?,
            Self::Only(certificates) => {
                let mut roots = RootCertStore::empty();
                certificates.iter().try_for_each(|certificate| roots.add(certificate.clone()))?;
                builder.with_root_certificates(roots)
            }
        };
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// Shakes hands with the gateway of this host name or address.
///
/// # Errors
/// `InvalidData` when the gateway cannot be trusted or speaks no TLS; else what the connection says.
pub(super) async fn connect(
    stream: TcpStream,
    host: &str,
    trust: &Trust,
) -> io::Result<TlsStream<TcpStream>> {
    let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    let config = trust.config().map_err(invalid)?;
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned());
    let name = name.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

#[cfg(test)]
mod tests {
    use super::{Trust, TrustError};

    #[test]
    fn a_text_without_certificates_is_nobody_to_trust() {
        let pair = rcgen::generate_simple_self_signed(["gateway.test".to_owned()]).unwrap();
        let two = format!("{}{}", pair.cert.pem(), pair.cert.pem());
        assert!(matches!(Trust::only(two.as_bytes()), Ok(Trust::Only(list)) if list.len() == 2));
        assert!(matches!(Trust::only(b""), Err(TrustError::Empty)));
        assert!(matches!(Trust::only(pair.signing_key.serialize_pem().as_bytes()), Err(TrustError::Empty)));
        let broken = pair.cert.pem().replace("-----END", "----END");
        assert!(matches!(Trust::only(broken.as_bytes()), Err(TrustError::Malformed(_))));
    }
}
