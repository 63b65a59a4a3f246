//! The way to a socket.

use crate::client::{Client, request};
use crate::gateway::{Gateway, SHOP};

const SOCKET: [(&str, &str); 5] = [
    ("connection", "Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("sec-websocket-protocol", "weirgate.v1"),
];

fn open(gateway: &Gateway, path: &str, more: &[(&str, &str)]) -> (Client, String) {
    let mut client = gateway.client();
    client.write(request("GET", path, &[&SOCKET[..], more].concat(), b""));
    let head = client.head();
    (client, head)
}

fn refusal(gateway: &Gateway, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let answer = gateway.send("GET", path, headers, "");
    (answer.status, answer.code())
}

/// The text of the first frame.
fn first_frame(client: &mut Client) -> String {
    String::from_utf8_lossy(&client.rest()).into_owned()
}

#[test]
fn a_socket_opens_with_and_without_a_credential() {
    let gateway = Gateway::start();
    for more in [&[SHOP][..], &[], &[("origin", "https://app.example.com")]] {
        let (_, head) = open(&gateway, "/v1/stream", more);
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
        assert!(head.to_ascii_lowercase().contains("sec-websocket-protocol: weirgate.v1\r\n"), "{head}");
    }
}

#[test]
fn bad_handshakes_are_refused_before_the_upgrade() {
    let gateway = Gateway::start();
    let with = |more: (&'static str, &'static str)| [&SOCKET[..], &[more]].concat();
    let bad = |status, code: &str| (status, code.to_owned());
    for origin in
        ["https://example.com", "null", "https://app.example.com.evil.net", "http://app.example.com"]
    {
        let headers = [&SOCKET[..], &[("origin", origin)]].concat();
        assert_eq!(refusal(&gateway, "/v1/stream", &headers), bad(403, "forbidden"), "{origin}");
    }
    assert_eq!(refusal(&gateway, "/v1/stream?token=abc", &SOCKET), bad(400, "bad_request"));
    assert_eq!(refusal(&gateway, "/v1/stream?access_token=abc", &SOCKET), bad(400, "bad_request"));
    assert_eq!(refusal(&gateway, "/v1/stream?x=1", &SOCKET), bad(400, "invalid_parameter"));
    assert_eq!(refusal(&gateway, "/v1/stream", &SOCKET[..4]), bad(400, "bad_request"));
    assert_eq!(refusal(&gateway, "/v1/stream", &[]), bad(400, "bad_request"));
    assert_eq!(refusal(&gateway, "/v1/stream", &with(("x-api-key", "wg_a_b"))), bad(401, "unauthenticated"));
    assert_eq!(
        refusal(&gateway, "/v1/stream", &with(("authorization", "Bearer a.b.c"))),
        bad(401, "token_invalid")
    );
    assert_eq!(refusal(&gateway, "/v1/stream?ticket=x", &with(SHOP)), bad(400, "bad_request"));
    let post = gateway.send("POST", "/v1/stream", &[], "");
    assert_eq!(post.code(), "method_not_allowed");
}

#[test]
fn a_pages_bad_credential_is_told_after_the_upgrade() {
    let gateway = Gateway::start();
    let (mut client, head) = open(&gateway, "/v1/stream?ticket=nonsense", &[]);
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let text = first_frame(&mut client);
    assert!(text.contains(r#""op":"bye""#) && text.contains("4001"), "{text}");
}

#[test]
fn bytes_sent_with_the_handshake_reach_the_socket() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    let handshake = request("GET", "/v1/stream", &[&SOCKET[..], &[SHOP]].concat(), b"");
    // A masked text frame (mask zero) holding no object: the session answers with 4000.
    let frame = [&[0x81, 0x82, 0, 0, 0, 0][..], b"[]"].concat();
    client.write([handshake, frame].concat());
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    let text = first_frame(&mut client);
    assert!(text.contains("4000"), "{text}");
}
