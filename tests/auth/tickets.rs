//! Tickets: short, single, on any gateway with the same key, and never more than what they stand for.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use weirgate::auth::{Error, Object, Operation, Principal, Refusal, Rows, api_key};
use weirgate::event::Topic;

use crate::support::{Gate, Hands, KeyServer, Signer, claims_with, config};

struct Shop {
    section: Value,
    key: String,
    _server: KeyServer,
}

impl Shop {
    async fn open() -> Self {
        let server = KeyServer::with_keys(&["ec-a"]).await;
        let key = api_key::generate("k1").unwrap();
        let mut section = server.section();
        section["ticket_key"] = "k".repeat(32).into();
        section["api_keys"] = json!([{ "id": "k1", "principal": "service:web", "sha256": key.sha256 }]);
        section["grants"] = json!([
            { "principal": "service:web", "allow": ["subscribe"], "topics": ["public.*"] },
            { "claim": { "role": "customer" }, "allow": ["subscribe"], "topics": ["orders.v1"],
              "key_filter": "/data/customerId == ${sub}" },
        ]);
        Self { section, key: key.text, _server: server }
    }

    fn gate(&self, hands: &Hands) -> Gate {
        Gate::with_hands(&self.section, hands.clone())
    }
}

async fn customer(gate: &Gate, changes: &Value) -> Arc<Principal> {
    gate.bearer(&Signer::ec_a().token(&claims_with(changes))).await.unwrap()
}

#[tokio::test]
async fn a_ticket_works_once_per_gateway_and_on_any_gateway() {
    let (shop, hands) = (Shop::open().await, Hands::new());
    let (one, two) = (shop.gate(&hands), shop.gate(&hands));
    let principal = one.api_key(&shop.key).await.unwrap();
    let ticket = one.authenticator.issue_ticket(&principal).unwrap();
    assert_eq!(ticket.expires_in, Duration::from_secs(30));
    let used = Error::TokenInvalid(Refusal::Used);
    assert_eq!(one.ticket(&ticket.text).await.unwrap().id(), "service:web");
    assert_eq!(one.ticket(&ticket.text).await.unwrap_err(), used);
    assert_eq!(two.ticket(&ticket.text).await.unwrap().id(), "service:web");
    assert_eq!(two.ticket(&ticket.text).await.unwrap_err(), used);
}

#[tokio::test]
async fn a_ticket_ends_after_its_time() {
    let (shop, hands) = (Shop::open().await, Hands::new());
    let gate = shop.gate(&hands);
    let principal = gate.api_key(&shop.key).await.unwrap();
    let tickets: Vec<_> = (0..2).map(|_| gate.authenticator.issue_ticket(&principal).unwrap().text).collect();
    hands.advance_ms(29_999);
    assert!(gate.ticket(&tickets[0]).await.is_ok());
    hands.advance_ms(1);
    assert_eq!(gate.ticket(&tickets[1]).await.unwrap_err(), Error::TokenExpired);
    assert_eq!(gate.ticket(&tickets[0]).await.unwrap_err(), Error::TokenExpired);
}

#[tokio::test]
async fn a_ticket_stands_for_the_principal_and_its_rows() {
    let (shop, hands) = (Shop::open().await, Hands::new());
    let (one, two) = (shop.gate(&hands), shop.gate(&hands));
    let principal = customer(&one, &json!({ "sub": "42", "email": "alice@example.com" })).await;
    let ticket = one.authenticator.issue_ticket(&principal).unwrap();
    let by_ticket = two.ticket(&ticket.text).await.unwrap();
    assert_eq!(by_ticket.id(), "42");
    assert_eq!(by_ticket.expires_at(), principal.expires_at());
    let topic = Topic::parse("orders.v1").unwrap();
    let access =
        two.authenticator.authorize(&by_ticket, Operation::Subscribe, Object::Topic(&topic)).unwrap();
    assert!(matches!(access.rows, Rows::Only(filters) if filters[0].equals == "42"));
    let stamp = URL_SAFE_NO_PAD.decode(ticket.text.split('.').next().unwrap()).unwrap();
    assert!(
        !String::from_utf8(stamp).unwrap().contains("alice@example.com"),
        "claims no grant looks at stay out"
    );
}

#[tokio::test]
async fn a_ticket_does_not_outlive_its_token() {
    let (shop, hands) = (Shop::open().await, Hands::new());
    let gate = shop.gate(&hands);
    let principal = customer(&gate, &json!({ "exp": crate::support::START + 10 })).await;
    let ticket = gate.authenticator.issue_ticket(&principal).unwrap();
    assert_eq!(ticket.expires_in, Duration::from_secs(10));
    hands.advance(10);
    assert_eq!(gate.ticket(&ticket.text).await.unwrap_err(), Error::TokenExpired);
    assert_eq!(gate.authenticator.issue_ticket(&principal).unwrap_err(), Error::TokenExpired);
}

#[tokio::test]
async fn tickets_do_not_breed() {
    let (shop, hands) = (Shop::open().await, Hands::new());
    let gate = shop.gate(&hands);
    let principal = gate.api_key(&shop.key).await.unwrap();
    let ticket = gate.authenticator.issue_ticket(&principal).unwrap();
    let by_ticket = gate.ticket(&ticket.text).await.unwrap();
    assert_eq!(gate.authenticator.issue_ticket(&by_ticket).unwrap_err(), Error::Forbidden);
}

#[tokio::test]
async fn forged_and_foreign_tickets_are_refused() {
    let (shop, hands) = (Shop::open().await, Hands::new());
    let gate = shop.gate(&hands);
    let principal = gate.api_key(&shop.key).await.unwrap();
    let good = gate.authenticator.issue_ticket(&principal).unwrap().text;
    let (stamp, mac) = good.split_once('.').unwrap();
    let mut written: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(stamp).unwrap()).unwrap();
    written["principal"] = "root".into();
    let forged = URL_SAFE_NO_PAD.encode(written.to_string());
    for bad in [
        format!("{forged}.{mac}"),
        format!("{stamp}."),
        format!("{stamp}.{}", &mac[..mac.len() - 2]),
        format!("{stamp}.{}", "A".repeat(43)),
        stamp.to_owned(),
        ".".to_owned(),
        "x".repeat(10_000),
    ] {
        let error = gate.ticket(&bad).await.unwrap_err();
        assert!(matches!(error, Error::TokenInvalid(_)), "{bad}: {error:?}");
    }
    let mut section = shop.section.clone();
    section["ticket_key"] = Value::Null;
    let other = Gate::with_hands(&section, hands.clone());
    assert_eq!(
        other.ticket(&good).await.unwrap_err(),
        Error::TokenInvalid(Refusal::Signature),
        "a random key"
    );
    assert!(gate.ticket(&good).await.is_ok(), "failed attempts use nothing up");
}

#[tokio::test]
async fn a_ticket_of_a_removed_key_is_revoked() {
    let (shop, hands) = (Shop::open().await, Hands::new());
    let gate = shop.gate(&hands);
    let principal = gate.api_key(&shop.key).await.unwrap();
    let tickets: Vec<_> = (0..3).map(|_| gate.authenticator.issue_ticket(&principal).unwrap().text).collect();
    let by_ticket = gate.ticket(&tickets[0]).await.unwrap();
    let mut section = shop.section.clone();
    section["api_keys"][0]["sha256"] = api_key::generate("k1").unwrap().sha256.into();
    gate.authenticator.replace(&config(&section)).unwrap();
    assert_eq!(gate.ticket(&tickets[1]).await.unwrap_err(), Error::Revoked, "the id has another key now");
    assert_eq!(gate.authenticator.recheck(&by_ticket).unwrap_err(), Error::Revoked);
    section["api_keys"] = json!([]);
    gate.authenticator.replace(&config(&section)).unwrap();
    assert_eq!(gate.ticket(&tickets[2]).await.unwrap_err(), Error::Revoked);
}

#[tokio::test]
async fn without_a_configured_key_tickets_survive_a_reload() {
    let (mut shop, hands) = (Shop::open().await, Hands::new());
    shop.section["ticket_key"] = Value::Null;
    let gate = shop.gate(&hands);
    let principal = gate.api_key(&shop.key).await.unwrap();
    let ticket = gate.authenticator.issue_ticket(&principal).unwrap();
    gate.authenticator.replace(&config(&shop.section)).unwrap();
    assert!(gate.ticket(&ticket.text).await.is_ok());
    assert_eq!(gate.ticket(&ticket.text).await.unwrap_err(), Error::TokenInvalid(Refusal::Used));
}
