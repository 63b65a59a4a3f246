//! Clients that break the rules end within their limits and disturb nobody.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;
use weirgate::auth::{self, Refusal};

use super::setup::{OWNER, config};
use super::support::TestGateway;

fn masked(first: u8, length_byte: u8, rest: &[u8]) -> Vec<u8> {
    let mut frame = vec![first, 0x80 | length_byte, 0, 0, 0, 0];
    frame.extend_from_slice(rest);
    frame
}

/// What the gateway says to the very end, its frames taken apart: the last message and the close code.
async fn last_words(stream: &mut (impl AsyncReadExt + Unpin)) -> (Value, u16) {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let (mut at, mut last, mut code) = (0, Value::Null, 0);
    while at < bytes.len() {
        let (length, header) = match bytes[at + 1] {
            126 => (usize::from(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]])), 4),
            short => (usize::from(short), 2),
        };
        let payload = &bytes[at + header..at + header + length];
        match bytes[at] {
            0x81 => last = serde_json::from_slice(payload).unwrap(),
            0x88 => code = u16::from_be_bytes([payload[0], payload[1]]),
            other => panic!("frame {other:#x}"),
        }
        at += header + length;
    }
    (last, code)
}

#[tokio::test]
async fn frames_that_cannot_be_are_answered_with_bye_and_their_code() {
    let gateway = TestGateway::start().await;
    let cases: [(&str, Vec<u8>, u16); 7] = [
        ("not UTF-8", masked(0x81, 2, &[0xff, 0xfe]), 1007),
        ("too large, by its header alone", vec![0x81, 0xff, 0, 0, 0, 0, 0xff, 0, 0, 0, 1, 2, 3, 4], 1009),
        ("not masked", vec![0x81, 2, b'{', b'}'], 1002),
        ("a reserved bit", masked(0xc1, 2, b"{}"), 1002),
        ("a continuation of nothing", masked(0x80, 2, b"{}"), 1002),
        ("a control frame too large", [vec![0x89, 0xfe, 0, 200, 0, 0, 0, 0], vec![b'x'; 200]].concat(), 1002),
        ("binary", masked(0x82, 2, b"{}"), 1003),
    ];
    for (what, bytes, code) in cases {
        let (mut stream, session) = gateway.pipe(None, 4_096);
        stream.write_all(&bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let (bye, closed) = last_words(&mut stream).await;
        assert_eq!((&bye["op"], &bye["code"], closed), (&json!("bye"), &json!(code), code), "{what}");
        assert_eq!(bye["reconnect"], false, "{what}");
        session.await.unwrap();
    }
    gateway.stop().await;
}

#[tokio::test]
async fn messages_that_are_none_are_answered_with_4000() {
    let gateway = TestGateway::start().await;
    for text in ["hello", "[]", "{}", r#"{"op":1}"#] {
        let mut client = gateway.connect(OWNER).await;
        client.stream_text(text).await;
        let bye = client.ended().await;
        assert_eq!((&bye["code"], &bye["reason"]), (&json!(4000), &json!("bad message")));
        assert!(bye["detail"].is_string(), "{bye}");
        client.vanish().await;
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_client_that_still_sends_gets_to_read_its_bye() {
    let gateway = TestGateway::start().await;
    let (stream, session) = gateway.pipe(None, 1_024);
    let (mut read, mut write) = tokio::io::split(stream);
    let sender = tokio::spawn(async move {
        // The announced 100 KB are sent all the same.
        let mut bytes = vec![0x81, 0xff, 0, 0, 0, 0, 0, 1, 0x86, 0xa0, 0, 0, 0, 0];
        bytes.resize(100_014, b'x');
        write.write_all(&bytes).await.unwrap();
        write.shutdown().await.unwrap();
    });
    assert_eq!(last_words(&mut read).await.1, 1009);
    sender.await.unwrap();
    session.await.unwrap();
    gateway.stop().await;
}

#[tokio::test]
async fn a_refused_credential_is_told_by_bye() {
    let gateway = TestGateway::start().await;
    for (error, code) in [
        (auth::Error::TokenInvalid(Refusal::Signature), 4001),
        (auth::Error::TokenExpired, 4100),
        (auth::Error::Revoked, 4010),
    ] {
        let mut client = gateway.connect_with(Some(Err(error)), 4_096).await;
        assert_eq!(client.ended().await["code"], code);
        client.vanish().await;
    }
    let mut client = gateway.connect_with(None, 4_096).await;
    assert_eq!(client.refused(json!({"op": "subscribe", "topics": ["orders.v1"]})).await, "unauthenticated");
    assert_eq!(client.refused(json!({"op": "hello", "token": "a.b.c"})).await, "token_invalid");
    assert_eq!(client.ended().await["code"], 4001);
    client.vanish().await;
    let mut client = gateway.connect_with(None, 4_096).await;
    let hello = client.ok(json!({"op": "hello", "token": OWNER})).await;
    assert_eq!((&hello["principal"], &hello["node"]), (&json!("owner"), &json!("g1")));
    client.close().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_client_without_hello_is_sent_away_in_time() {
    let gateway = TestGateway::start().await;
    tokio::time::pause();
    let begun_at = tokio::time::Instant::now();
    let mut client = gateway.connect_with(None, 4_096).await;
    assert_eq!(client.ended().await["code"], 4008);
    assert_eq!(begun_at.elapsed().as_secs(), 5);
    client.vanish().await;
    tokio::time::resume();
    gateway.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_answer_pings_is_sent_away_and_one_that_does_stays() {
    let gateway = TestGateway::start().await;
    let mut mute = gateway.connect(OWNER).await;
    let mut polite = gateway.connect(OWNER).await;
    tokio::time::pause();
    assert_eq!(polite.hear().await, json!({"op": "ping"}));
    polite.say(&json!({"op": "pong"})).await;
    assert_eq!(mute.hear().await, json!({"op": "ping"}));
    let bye = mute.ended().await;
    assert_eq!((&bye["code"], &bye["reconnect"]), (&json!(4201), &json!(true)));
    assert_eq!(polite.hear().await, json!({"op": "ping"}));
    tokio::time::resume();
    mute.vanish().await;
    polite.close().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_cut_off_by_the_timers() {
    let gateway = TestGateway::start().await;
    let principal = gateway.authenticator.authenticate(auth::Credential::ApiKey(OWNER)).await;
    let mut stalled = gateway.connect_with(Some(principal), 256).await;
    let mut other = gateway.connect(OWNER).await;
    gateway.append_all("orders.v1", "c-1", 0..400).await;
    stalled.say(&json!({"op": "subscribe", "topics": ["orders.v1"], "from": "earliest"})).await;
    other.ok(json!({"op": "subscribe", "topics": ["orders.v1"], "from": "earliest"})).await;
    assert_eq!(other.numbers(400).await.len(), 400);
    tokio::time::pause();
    let begun_at = tokio::time::Instant::now();
    let mut session = stalled.session;
    let answer_pings = async {
        loop {
            other.hear_where(|message| message["op"] == "ping").await;
            other.say(&json!({"op": "pong"})).await;
        }
    };
    tokio::select! {
        ended = &mut session => ended.unwrap(),
        () = answer_pings => {}
    }
    // Ping, pong, and the patience for a bye that nobody reads.
    assert!(begun_at.elapsed() <= Duration::from_secs(25 + 10 + 5 + 1), "{:?}", begun_at.elapsed());
    tokio::time::resume();
    assert_eq!(gateway.metric("weirgate_ws_closes_total{code=\"4201\"}"), 1);
    other.close().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_flood_of_messages_is_ended_by_its_rate_and_its_answers_by_their_bytes() {
    let limits = weirgate::socket::Config { messages_per_second_max: 100, ..config() };
    let gateway = TestGateway::with(limits).await;
    let mut client = gateway.connect(OWNER).await;
    tokio::time::pause();
    for _ in 0..101 {
        client.stream.feed(Message::Ping(Vec::new().into())).await.unwrap();
    }
    client.stream.flush().await.unwrap();
    assert_eq!(client.ended().await["code"], 4205);
    tokio::time::resume();
    client.vanish().await;
    gateway.stop().await;

    let limits = weirgate::socket::Config { unsent_bytes_max: 4 * 1024, ..config() };
    let gateway = TestGateway::with(limits).await;
    let principal = gateway.authenticator.authenticate(auth::Credential::ApiKey(OWNER)).await;
    let mut client = gateway.connect_with(Some(principal), 2_048).await;
    for _ in 0..200 {
        client.stream.send(Message::text(r#"{"id":1,"op":"dance"}"#)).await.unwrap();
        if gateway.metric("weirgate_ws_unsent_bytes") > 4_500 {
            break;
        }
    }
    assert_eq!(client.ended().await["code"], 4200);
    client.vanish().await;
    gateway.stop().await;
}

#[tokio::test]
async fn half_a_frame_disturbs_nobody_and_its_end_completes_it() {
    let gateway = TestGateway::start().await;
    let mut other = gateway.connect(OWNER).await;
    let (mut stream, session) = gateway.pipe(None, 4_096);
    let text = br#"{"op":"ping"}"#;
    let frame = masked(0x81, u8::try_from(text.len()).unwrap(), text);
    for byte in &frame[..10] {
        stream.write_all(&[*byte]).await.unwrap();
    }
    assert_eq!(other.ok(json!({"op": "ping"})).await, json!({}));
    stream.write_all(&frame[10..]).await.unwrap();
    let mut pong = [0; 15];
    stream.read_exact(&mut pong).await.unwrap();
    assert_eq!(&pong[2..], br#"{"op":"pong"}"#);
    stream.write_all(&frame[..5]).await.unwrap();
    drop(stream);
    session.await.unwrap();
    assert_eq!(gateway.metric("weirgate_ws_closes_total{code=\"1006\"}"), 1);
    other.close().await;
    gateway.stop().await;
}

#[tokio::test]
async fn protocol_pings_are_answered() {
    let gateway = TestGateway::start().await;
    let mut client = gateway.connect(OWNER).await;
    client.stream.send(Message::Ping(Vec::from(*b"x").into())).await.unwrap();
    assert_eq!(client.stream.next().await.unwrap().unwrap(), Message::Pong(Vec::from(*b"x").into()));
    client.close().await;
    gateway.stop().await;
}
