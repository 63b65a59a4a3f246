//! Requests over HTTP/2, agreed on by ALPN.

use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::ServerName;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;

use crate::gateway::{Gateway, JSON, SHOP, envelope, until};
use crate::log::Mood;
use crate::tls::{roots, served};

type Sender = SendRequest<Full<Bytes>>;

fn gateway() -> Gateway {
    Gateway::with(|setup| setup.tls = Some(served(None)))
}

/// One connection, over which many requests may run at once.
async fn connect(gateway: &Gateway) -> Sender {
    let mut config = ClientConfig::builder().with_root_certificates(roots()).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let name = ServerName::try_from("gateway.test").unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(async move { drop(connection.await) });
    sender
}

async fn send(
    sender: &Sender,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (http::response::Parts, Value) {
    let uri = format!("https://gateway.test{path}");
    let request = Request::builder().method(method).uri(uri);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let request = request.body(Full::from(body.to_owned())).unwrap();
    let (parts, body) = sender.clone().send_request(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (parts, serde_json::from_slice(&body).unwrap())
}

#[test]
fn events_are_published_and_read_over_one_connection() {
    let gateway = gateway();
    Runtime::new().unwrap().block_on(async {
        let sender = connect(&gateway).await;
        let (head, receipt) = send(&sender, "POST", "/v1/events", &[SHOP, JSON], &envelope("")).await;
        assert_eq!((head.status.as_u16(), &receipt["status"]), (201, &json!("accepted")));
        assert!(head.headers.contains_key("x-request-id") && !head.headers.contains_key("connection"));
        let (head, page) = send(&sender, "GET", "/v1/topics/orders.v1/events", &[SHOP], "").await;
        assert_eq!(head.status.as_u16(), 200);
        assert_eq!(page["events"][0]["event"]["data"]["customerId"], "c-42");
        let (head, problem) = send(&sender, "POST", "/v1/events", &[JSON], &envelope("")).await;
        assert_eq!((head.status.as_u16(), &problem["code"]), (401, &json!("unauthenticated")));
        let large = " ".repeat(300 << 10);
        let (head, problem) = send(&sender, "POST", "/v1/events", &[SHOP, JSON], &large).await;
        assert_eq!((head.status.as_u16(), &problem["code"]), (413, &json!("body_too_large")));
        let (head, _) = send(&sender, "GET", "/livez", &[], "").await;
        assert_eq!(head.status.as_u16(), 200, "a refusal ends its request, not the connection");
    });
    assert_eq!(gateway.log.records("orders.v1").len(), 1);
}

#[test]
fn a_slow_request_holds_no_other_up_and_ends_before_the_drain_does() {
    let mut gateway = gateway();
    Runtime::new().unwrap().block_on(async {
        let sender = connect(&gateway).await;
        gateway.log.set_mood(Mood::Slow);
        let body = envelope("");
        let slow = tokio::spawn({
            let (sender, body) = (sender.clone(), body.clone());
            async move { send(&sender, "POST", "/v1/events", &[SHOP, JSON], &body).await }
        });
        tokio::task::block_in_place(|| until("the append to be held", || gateway.log.held() == 1));
        assert_eq!(send(&sender, "GET", "/v1/whoami", &[SHOP], "").await.0.status.as_u16(), 200);
        gateway.stop();
        loop {
            let (head, answer) = send(&sender, "GET", "/v1/whoami", &[SHOP], "").await;
            if head.status.as_u16() == 503 {
                assert_eq!(answer["code"], "draining");
                break;
            }
        }
        gateway.log.set_mood(Mood::Good);
        assert_eq!(slow.await.unwrap().0.status.as_u16(), 201);
    });
    gateway.ended();
    assert_eq!(gateway.log.records("orders.v1").len(), 1);
}
