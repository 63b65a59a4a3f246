//! What a connection costs.

use serde_json::json;

use super::setup::OWNER;
use super::support::TestGateway;

/// The whole of an idle session but its read buffer and its subscription: what a task of it takes.
const SESSION_BYTES_MAX: usize = 2_560;

#[tokio::test]
async fn a_session_is_small() {
    let gateway = TestGateway::start().await;
    let (stream, _near) = tokio::io::duplex(1);
    let handshake =
        weirgate::socket::Handshake { principal: None, peer: std::net::Ipv4Addr::LOCALHOST.into() };
    let session = gateway.sessions.serve(stream, handshake, gateway.stop.clone());
    let bytes = size_of_val(&session);
    drop(session);
    assert!(bytes <= SESSION_BYTES_MAX, "a session takes {bytes} bytes");
    gateway.stop().await;
}

#[tokio::test]
async fn what_passed_through_leaves_nothing_behind() {
    let gateway = TestGateway::start().await;
    let mut client = gateway.connect(OWNER).await;
    client.ok(json!({"op": "subscribe", "topics": ["orders.v1"]})).await;
    gateway.append_all("orders.v1", "c-1", 0..500).await;
    client.numbers(500).await;
    gateway.until_metric("weirgate_ws_unsent_bytes", 0).await;
    assert_eq!(gateway.metric("weirgate_ws_connections"), 1);
    client.close().await;
    assert_eq!(gateway.metric("weirgate_ws_connections"), 0);
    assert_eq!(gateway.metric("weirgate_ws_closes_total{code=\"1000\"}"), 1);
    gateway.stop().await;
}
