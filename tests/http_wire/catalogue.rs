//! Every error code, raised over the wire. The match names them all, so that a new one does not compile before it is
//! said here how a client meets it.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use weirgate::problem::Code;
use weirgate::schema::Store;
use weirgate::schema::registry::confluent;

use crate::client::{Answer, request};
use crate::gateway::{Gateway, JSON, READER, SHOP, SLOW, STRANGER, envelope, until};
use crate::log::Mood;

const ID: &str = "0193b5a0-1111-7222-8333-444455556666";
const EVENTS: &str = "/v1/events";
const ORDERS: &str = "/v1/topics/orders.v1/events";

#[test]
fn every_code_is_met_over_the_wire_with_its_status() {
    for &code in Code::ALL {
        let Some(answer) = raise(code) else { continue };
        assert_eq!(answer.code(), code.as_str(), "{}", answer.text());
        assert_eq!(answer.status, code.status());
        assert_eq!(answer.json()["title"], code.title());
        assert_eq!(answer.json()["retryable"], code.is_retryable());
        assert_eq!(
            answer.header("retry-after").is_some(),
            code.is_retryable() && code != Code::RequestTimeout
        );
        assert_eq!(answer.headers("www-authenticate"), if answer.status == 401 { 2 } else { 0 });
    }
}

/// A gateway that judges by a registry at a port that is never bound.
fn away() -> Gateway {
    let urls = vec![confluent::Address::parse("http://127.0.0.1:1").unwrap()];
    let elsewhere = confluent::Config { urls, auth: None, ca: None };
    Gateway::with(|setup| setup.store = Store::Confluent(elsewhere))
}

/// The answer that tells this code; `None` for one that only sockets tell.
fn raise(code: Code) -> Option<Answer> {
    let gateway = Gateway::start();
    let get = |path: &str, headers: &[(&str, &str)]| gateway.send("GET", path, headers, "");
    let post = |body: &str| gateway.post("", &[], body);
    Some(match code {
        Code::MalformedJson => post("{"),
        Code::DuplicateMember => post(r#"{"eventType":"things.noted.v1","data":{"a":1,"a":2}}"#),
        Code::TooDeep => {
            post(&format!(r#"{{"eventType":"things.noted.v1","data":{}{}}}"#, "[".repeat(64), "]".repeat(64)))
        }
        Code::InvalidEnvelope => post(r#"{"data":{}}"#),
        Code::InvalidCloudevent => gateway.post("", &[("ce-id", "1")], "{}"),
        Code::InvalidParameter => gateway.post("?ack=all", &[], &envelope("")),
        Code::BadRequest => get("/v1/whoami", &[SHOP, READER]),
        Code::Unauthenticated => get("/v1/whoami", &[]),
        Code::TokenExpired => {
            let ticket = gateway.send("POST", "/v1/tickets", &[SHOP], "").json();
            gateway.advance(Duration::from_secs(31));
            get(&format!("{ORDERS}?ticket={}", ticket["ticket"].as_str().unwrap()), &[])
        }
        Code::TokenInvalid => get("/v1/whoami", &[("authorization", "Bearer no.jwt.here")]),
        Code::Forbidden => get(ORDERS, &[STRANGER]),
        Code::TopicNotFound => get("/v1/topics/absent.v1/events", &[SHOP]),
        Code::GroupNotFound => get("/v1/groups/absent", &[SHOP]),
        Code::DeadLetterNotFound => {
            let group = r#"{"topics":["orders.v1"]}"#;
            let put = gateway.send("PUT", "/v1/groups/inventory-sync", &[SHOP, JSON], group);
            assert_eq!(put.status, 201);
            get("/v1/groups/inventory-sync/dead-letters/7", &[SHOP])
        }
        Code::RedriveNotFound => job(&gateway, "redrives"),
        Code::ReplayNotFound => job(&gateway, "replays"),
        Code::NotFound => get("/v1/nothing", &[SHOP]),
        Code::MethodNotAllowed => get(EVENTS, &[SHOP]),
        Code::NotAcceptable => get(ORDERS, &[SHOP, ("accept", "text/html")]),
        Code::RequestTimeout => stalled(),
        Code::EventIdConflict => {
            let body = envelope(&format!(r#""eventId":"{ID}","#));
            assert_eq!(post(&body).status, 201);
            post(&body.replace("1999", "2999"))
        }
        Code::IdempotencyInProgress => in_progress(&gateway),
        Code::Conflict => gateway.send("POST", "/v1/admin/reload", &[SHOP], ""),
        // A matter of one connection's subscriptions; `tests/socket` raises it.
        Code::AlreadySubscribed => return None,
        Code::BodyTooLarge => {
            let mut client = gateway.client();
            client.try_write(&request("POST", EVENTS, &[SHOP, JSON], &vec![b' '; 300 << 10]));
            client.answer()
        }
        Code::EventTooLarge => {
            post(&format!(r#"{{"eventType":"things.noted.v1","data":"{}"}}"#, "a".repeat(70_000)))
        }
        Code::UriTooLong => get(&format!("/livez?{}", "a".repeat(9_000)), &[]),
        Code::UnsupportedMediaType => {
            gateway.send("POST", EVENTS, &[SHOP, ("content-type", "text/plain")], "hello")
        }
        Code::UnsupportedEncoding => gateway.post("", &[("content-encoding", "gzip")], "x"),
        Code::SchemaViolation => post(&envelope("").replace("1999,\"items", "-7,\"items")),
        Code::SchemaMissing => post(r#"{"eventType":"orders.lost.v1","data":{}}"#),
        Code::VersionMismatch => post(&envelope(r#""eventVersion":"2.0.0","#)),
        Code::PatternLimit => costly(),
        Code::IdempotencyKeyReused => {
            let key = [("idempotency-key", "k-1")];
            assert_eq!(gateway.post("", &key, &envelope("")).status, 201);
            gateway.post("", &key, &envelope(r#""source":"shop","#))
        }
        Code::SourceNotAllowed => post(&envelope(r#""source":"elsewhere","#)),
        Code::InvalidKey => post(r#"{"eventType":"keys.made.v1","data":{"customerId":["c"]}}"#),
        Code::BatchRefused => post(&format!("[{},{{}}]", envelope(""))),
        Code::HeadersTooLarge => get("/livez", &[("x", &"a".repeat(33_000))]),
        Code::RateLimited => {
            let send = || gateway.send("POST", EVENTS, &[SLOW, JSON], &envelope(""));
            assert_eq!(send().status, 201);
            send()
        }
        Code::Internal => in_mood(&gateway, Mood::Damaged),
        Code::NotSupported => {
            gateway.log.set_mood(Mood::Simple);
            gateway.post("?atomic=true", &[], &format!("[{}]", envelope("")))
        }
        Code::KeysUnavailable => get("/v1/whoami", &[("authorization", &token_of_an_absent_issuer())]),
        Code::SchemasUnavailable => away().post("", &[], &envelope("")),
        Code::LogUnavailable => in_mood(&gateway, Mood::Unavailable),
        Code::Overloaded => in_mood(&gateway, Mood::Overloaded),
        Code::Draining => {
            let mut running = gateway.client();
            gateway.log.set_mood(Mood::Slow);
            running.write(request("POST", EVENTS, &[SHOP, JSON], envelope("").as_bytes()));
            until("the append to be held", || gateway.log.held() == 1);
            gateway.stop();
            until("refusing", || get("/v1/whoami", &[SHOP]).status == 503);
            let refused = get("/v1/whoami", &[SHOP]);
            gateway.log.set_mood(Mood::Good);
            assert_eq!(running.answer().status, 201);
            refused
        }
        Code::OutcomeUnknown => in_mood(&gateway, Mood::Silent),
    })
}

/// One that does not exist; known once the gateway is ready.
fn job(gateway: &Gateway, kind: &str) -> Answer {
    until("the table is read", || gateway.send("GET", "/readyz", &[], "").status == 200);
    gateway.send("GET", &format!("/v1/{kind}/inventory-sync.7"), &[SHOP], "")
}

fn in_mood(gateway: &Gateway, mood: Mood) -> Answer {
    gateway.log.set_mood(mood);
    gateway.post("", &[], &envelope(""))
}

/// A token of an issuer at whose address nobody answers; it need not be signed to ask for a key.
fn token_of_an_absent_issuer() -> String {
    let part = |json: &str| URL_SAFE_NO_PAD.encode(json);
    let (header, claims) =
        (part(r#"{"alg":"ES256","kid":"k"}"#), part(r#"{"iss":"https://id.example.com"}"#));
    format!("Bearer {header}.{claims}.{}", part(&"s".repeat(64)))
}

/// A body that stops amid its way.
fn stalled() -> Answer {
    let gateway = Gateway::with(|setup| setup.limits.body_idle_timeout = Duration::from_millis(200));
    let mut client = gateway.client();
    client.write(request("POST", EVENTS, &[SHOP, JSON, ("content-length", "100")], b"")).write("{");
    client.answer()
}

/// A repeat of a request that still runs.
fn in_progress(gateway: &Gateway) -> Answer {
    let body = envelope("");
    let headers = [SHOP, JSON, ("idempotency-key", "k-1")];
    gateway.log.set_mood(Mood::Slow);
    let mut first = gateway.client();
    first.write(request("POST", EVENTS, &headers, body.as_bytes()));
    until("the append to be held", || gateway.log.held() == 1);
    let second = gateway.send("POST", EVENTS, &headers, &body);
    gateway.log.set_mood(Mood::Good);
    assert_eq!(first.answer().status, 201);
    second
}

/// Data on which a pattern of its schema gives up.
fn costly() -> Answer {
    let schemas = tempfile::tempdir().unwrap();
    let folder = schemas.path().join("things/noted");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("v1.json"), r#"{"pattern":"^(?:(a+)\\1?)+$"}"#).unwrap();
    let gateway = Gateway::with(|setup| setup.schemas = schemas.path().to_owned());
    gateway.post("", &[], &format!(r#"{{"eventType":"things.noted.v1","data":"{}!"}}"#, "a".repeat(40)))
}
