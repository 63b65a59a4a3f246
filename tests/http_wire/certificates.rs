//! Clients that show a certificate: whose counts, for whom, and when it does not.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    SanType, date_time_ymd,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_rustls::rustls::ClientConfig;

use crate::client::request;
use crate::gateway::{Gateway, JSON, READER, SHOP, STRANGER, envelope};
use crate::tls::{TlsStream, roots, served, shake_hands};

const ORDERS: &str = "spiffe://shop/orders";

/// Who signs certificates of clients.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: TempDir,
}

/// A client's certificate and its key.
struct Identity(CertificateDer<'static>, PrivateKeyDer<'static>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "the shop's authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, directory }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// A gateway that trusts it.
    fn gateway(&self) -> Gateway {
        Gateway::with(|setup| setup.tls = Some(served(Some(self.file()))))
    }

    /// A certificate for clients of this common name, changed by the test.
    fn sign(&self, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "orders");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity(certificate.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }

    /// One whose first URI names the orders service.
    fn sign_orders(&self) -> Identity {
        self.sign(|params| params.subject_alt_names = vec![SanType::URI(ORDERS.try_into().unwrap())])
    }
}

fn connect(gateway: &Gateway, identity: Option<&Identity>) -> TlsStream {
    let config = ClientConfig::builder().with_root_certificates(roots());
    let config = match identity {
        None => config.with_no_client_auth(),
        Some(Identity(certificate, key)) => {
            config.with_client_auth_cert(vec![certificate.clone()], key.clone_key()).unwrap()
        }
    };
    shake_hands(gateway, config)
}

/// The answer to one request; an error where the connection is refused.
fn send(stream: &mut TlsStream, request: &[u8]) -> std::io::Result<(u16, Value)> {
    stream.write_all(request)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    Ok((head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_str(body).unwrap()))
}

fn ask(
    gateway: &Gateway,
    identity: Option<&Identity>,
    path: &str,
    headers: &[(&str, &str)],
) -> std::io::Result<(u16, Value)> {
    let headers = [&[("connection", "close")], headers].concat();
    send(&mut connect(gateway, identity), &request("GET", path, &headers, b""))
}

fn principal(gateway: &Gateway, identity: &Identity, headers: &[(&str, &str)]) -> String {
    let (status, body) = ask(gateway, Some(identity), "/v1/whoami", headers).unwrap();
    assert_eq!(status, 200, "{body}");
    body["principal"].as_str().unwrap().to_owned()
}

#[test]
fn a_certificate_names_its_holder_and_grants_hold_for_it() {
    let authority = Authority::new();
    let gateway = authority.gateway();
    let orders = authority.sign_orders();
    let (status, who) = ask(&gateway, Some(&orders), "/v1/whoami", &[]).unwrap();
    assert_eq!((status, &who["principal"]), (200, &json!("cert:spiffe://shop/orders")));
    assert_eq!(who["grants"][0]["allow"], json!(["publish", "subscribe"]));
    assert!(who["expiresInMs"].as_u64().is_some_and(|left| left > 0), "{who}");
    let headers = [JSON, ("connection", "close")];
    let body = envelope("");
    let publish = request("POST", "/v1/events", &headers, body.as_bytes());
    assert_eq!(send(&mut connect(&gateway, Some(&orders)), &publish).unwrap().0, 201);
    let (status, problem) = ask(&gateway, Some(&orders), "/v1/groups", &[]).unwrap();
    assert_eq!((status, &problem["code"]), (403, &json!("forbidden")));
    let dns = authority.sign(|params| {
        params.subject_alt_names = vec![SanType::DnsName("orders.shop.test".try_into().unwrap())];
    });
    assert_eq!(principal(&gateway, &dns, &[]), "cert:orders.shop.test");
    assert_eq!(principal(&gateway, &authority.sign(|_| {}), &[]), "cert:orders");
}

#[test]
fn another_credential_goes_before_the_certificate() {
    let authority = Authority::new();
    let gateway = authority.gateway();
    let orders = authority.sign_orders();
    assert_eq!(principal(&gateway, &orders, &[READER]), "service:reader");
    let (status, problem) = ask(&gateway, Some(&orders), "/v1/whoami", &[("x-api-key", "wg_a_b")]).unwrap();
    assert_eq!((status, &problem["code"]), (401, &json!("unauthenticated")));
    let (status, problem) = ask(&gateway, Some(&orders), "/v1/whoami", &[SHOP, STRANGER]).unwrap();
    assert_eq!((status, &problem["code"]), (400, &json!("bad_request")));
    let path = "/v1/topics/orders.v1/events?ticket=nonsense";
    let (status, problem) = ask(&gateway, Some(&orders), path, &[]).unwrap();
    assert_eq!((status, &problem["code"]), (401, &json!("token_invalid")));
}

#[test]
fn without_a_certificate_or_with_a_forged_header_nobody_is_let_in() {
    let authority = Authority::new();
    let gateway = authority.gateway();
    assert_eq!(ask(&gateway, None, "/livez", &[]).unwrap().0, 200);
    assert_eq!(ask(&gateway, None, "/v1/whoami", &[READER]).unwrap().0, 200);
    for forged in [("x-client-cert", ORDERS), ("x-forwarded-client-cert", "URI=spiffe://shop/orders")] {
        let (status, problem) = ask(&gateway, None, "/v1/whoami", &[forged]).unwrap();
        assert_eq!((status, &problem["code"]), (401, &json!("unauthenticated")));
    }
}

#[test]
fn certificates_that_are_not_good_end_the_handshake() {
    let authority = Authority::new();
    let gateway = authority.gateway();
    let foreign = Authority::new().sign_orders();
    let expired = authority.sign(|params| {
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    });
    let early = authority.sign(|params| params.not_before = date_time_ymd(2400, 1, 1));
    let servers =
        authority.sign(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
    for (what, identity) in
        [("foreign", foreign), ("expired", expired), ("early", early), ("for servers", servers)]
    {
        let outcome = ask(&gateway, Some(&identity), "/livez", &[]);
        assert!(outcome.is_err(), "{what}: {outcome:?}");
    }
    let nobody =
        authority.sign(|params| params.distinguished_name.remove(DnType::CommonName).then_some(()).unwrap());
    let (status, problem) = ask(&gateway, Some(&nobody), "/v1/whoami", &[]).unwrap();
    assert_eq!((status, &problem["code"]), (401, &json!("token_invalid")));
    assert!(problem["detail"].as_str().unwrap().contains("names nobody"), "{problem}");
    assert_eq!(ask(&gateway, Some(&nobody), "/v1/whoami", &[READER]).unwrap().0, 200);
}

#[test]
fn a_socket_belongs_to_the_certificates_holder() {
    let authority = Authority::new();
    let gateway = authority.gateway();
    let mut stream = connect(&gateway, Some(&authority.sign_orders()));
    open_socket(&mut stream);
    let read = read_until(&mut stream, "cert:spiffe://shop/orders");
    assert!(read.starts_with("HTTP/1.1 101 "), "{read}");
}

#[test]
fn an_open_socket_ends_with_its_certificate() {
    let authority = Authority::new();
    let gateway = authority.gateway();
    let end = Duration::from_secs(4_102_444_800);
    let orders = authority.sign(|params| params.not_after = date_time_ymd(2100, 1, 1));
    let mut stream = connect(&gateway, Some(&orders));
    // TLS has the world's clock; the gateway's is put forward to shortly before the end.
    let left = end - SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    gateway.advance(left.checked_sub(Duration::from_secs(2)).unwrap());
    open_socket(&mut stream);
    let read = read_until(&mut stream, r#""code":4100"#);
    assert!(read.contains("cert:orders") && read.contains(r#""op":"expiring""#), "{read}");
}

/// Asks for a socket and says hello without a token.
fn open_socket(stream: &mut TlsStream) {
    let headers = [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", "weirgate.v1"),
    ];
    let hello = br#"{"id":1,"op":"hello"}"#;
    let frame = [&[0x81, 0x80 | u8::try_from(hello.len()).unwrap(), 0, 0, 0, 0][..], hello].concat();
    stream.write_all(&[request("GET", "/v1/stream", &headers, b""), frame].concat()).unwrap();
}

/// All that comes up to this text, frames and their heads together.
fn read_until(stream: &mut TlsStream, text: &str) -> String {
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains(text) {
        let mut piece = [0; 1024];
        let length = stream.read(&mut piece).unwrap();
        assert!(length > 0, "{}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&piece[..length]);
    }
    String::from_utf8_lossy(&read).into_owned()
}
