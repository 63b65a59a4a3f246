//! TLS: HTTP/1.1, and clients that do not shake hands. Key and certificate in `tls/` are made
//! for this test and trusted by nobody.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use weirgate::http::Tls;

use crate::client::request;
use crate::gateway::{Gateway, JSON, SHOP, envelope};

pub(crate) type TlsStream = StreamOwned<ClientConnection, TcpStream>;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/http_wire/tls").join(name)
}

/// The gateway's certificate and key, and who signs those of its clients.
pub(crate) fn served(client_ca: Option<PathBuf>) -> Tls {
    Tls { certificate: file("certificate.pem"), key: file("key.pem"), client_ca }
}

fn gateway() -> Gateway {
    Gateway::with(|setup| {
        setup.tls = Some(served(None));
        setup.limits.header_timeout = Duration::from_millis(500);
    })
}

/// Trusts the gateway's certificate.
pub(crate) fn roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(file("certificate.pem")).unwrap()).unwrap();
    roots
}

/// A connection over which nothing was sent yet; the hands are shaken with the first bytes.
pub(crate) fn shake_hands(gateway: &Gateway, config: ClientConfig) -> TlsStream {
    let name = ServerName::try_from("gateway.test").unwrap();
    let stream = TcpStream::connect(gateway.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), stream)
}

#[test]
fn events_are_published_over_tls() {
    let gateway = gateway();
    let mut config = ClientConfig::builder().with_root_certificates(roots()).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let mut stream = shake_hands(&gateway, config);
    let headers = [SHOP, JSON, ("connection", "close")];
    stream.write_all(&request("POST", "/v1/events", &headers, envelope("").as_bytes())).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    assert_eq!(gateway.log.records("orders.v1").len(), 1);
}

#[test]
fn clients_that_do_not_shake_hands_are_cut_off() {
    let gateway = gateway();
    let mut plain = gateway.client();
    plain.write(request("GET", "/livez", &[], b""));
    let mut silent = gateway.client();
    assert!(plain.is_ended());
    assert!(silent.is_ended());
}
