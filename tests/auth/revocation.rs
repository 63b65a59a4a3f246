//! API keys, reloads and the end of a credential.

use serde_json::{Value, json};
use weirgate::auth::{Error, Operation, api_key};

use crate::support::{Gate, KeyServer, Signer, claims, config};

fn section(key: &api_key::NewKey, grants: &Value) -> Value {
    let api_keys = json!([{ "id": "k1", "principal": "service:orders", "sha256": key.sha256 }]);
    json!({ "api_keys": api_keys, "grants": grants })
}

fn admin() -> Value {
    json!([{ "principal": "service:orders", "allow": ["admin"] }])
}

#[tokio::test]
async fn only_the_whole_key_is_taken() {
    let key = api_key::generate("k1").unwrap();
    let gate = Gate::new(&section(&key, &json!([])));
    assert_eq!(gate.api_key(&key.text).await.unwrap().id(), "service:orders");
    let other = api_key::generate("k1").unwrap().text;
    let unknown = key.text.replace("k1", "k2");
    for wrong in [
        other,
        unknown,
        key.text[..key.text.len() - 1].to_owned(),
        format!("{}x", key.text),
        key.text.to_uppercase(),
        key.sha256.clone(),
        "wg_k1_".to_owned(),
        "x".repeat(1 << 20),
    ] {
        assert_eq!(gate.api_key(&wrong).await.unwrap_err(), Error::Unauthenticated, "{:.40}", wrong);
    }
    assert!(gate.metric("weirgate_auth_attempts_total{kind=\"api_key\",result=\"refused\"}") > 7.5);
}

#[tokio::test]
async fn an_expired_key_is_refused_to_the_millisecond() {
    let key = api_key::generate("k1").unwrap();
    let mut section = section(&key, &json!([]));
    section["api_keys"][0]["expires"] = json!("2027-01-15T08:00:10Z");
    let gate = Gate::new(&section);
    let principal = gate.api_key(&key.text).await.unwrap();
    gate.hands.advance_ms(9_999);
    assert!(gate.api_key(&key.text).await.is_ok());
    assert!(gate.authenticator.recheck(&principal).is_ok());
    gate.hands.advance_ms(1);
    assert_eq!(gate.api_key(&key.text).await.unwrap_err(), Error::Unauthenticated);
    assert_eq!(gate.authenticator.recheck(&principal).unwrap_err(), Error::TokenExpired);
}

#[tokio::test]
async fn a_reload_tells_connections_and_takes_removed_keys_away() {
    let key = api_key::generate("k1").unwrap();
    let gate = Gate::new(&section(&key, &admin()));
    let principal = gate.api_key(&key.text).await.unwrap();
    let mut changes = gate.authenticator.policy_changes();
    assert!(gate.authenticator.recheck(&principal).is_ok());
    gate.authenticator.replace(&config(&json!({ "grants": admin() }))).unwrap();
    changes.changed().await.unwrap();
    assert_eq!(gate.authenticator.recheck(&principal).unwrap_err(), Error::Revoked);
    assert_eq!(gate.api_key(&key.text).await.unwrap_err(), Error::Unauthenticated);
}

#[tokio::test]
async fn changed_grants_count_for_principals_of_before() {
    let key = api_key::generate("k1").unwrap();
    let gate = Gate::new(&section(&key, &json!([])));
    let principal = gate.api_key(&key.text).await.unwrap();
    let may = || gate.authenticator.allows_any(&principal, Operation::Admin);
    assert!(!may());
    gate.authenticator.replace(&config(&section(&key, &admin()))).unwrap();
    assert!(may());
    assert!(gate.authenticator.recheck(&principal).is_ok(), "the key itself still stands");
    gate.authenticator.replace(&config(&section(&key, &json!([])))).unwrap();
    assert!(!may());
}

#[tokio::test]
async fn a_removed_issuer_takes_its_tokens_away_remembered_or_not() {
    let server = KeyServer::with_keys(&["ec-a"]).await;
    let gate = Gate::new(&server.section());
    let token = Signer::ec_a().token(&claims());
    let principal = gate.bearer(&token).await.unwrap();
    gate.authenticator.replace(&config(&json!({}))).unwrap();
    assert_eq!(gate.authenticator.recheck(&principal).unwrap_err(), Error::Revoked);
    assert!(gate.bearer(&token).await.is_err());
    gate.authenticator.replace(&config(&server.section())).unwrap();
    assert!(gate.bearer(&token).await.is_ok());
    assert!(gate.authenticator.recheck(&principal).is_ok());
}

#[tokio::test]
async fn stricter_rules_of_an_issuer_judge_remembered_tokens_again() {
    let server = KeyServer::with_keys(&["ec-a"]).await;
    let gate = Gate::new(&server.section());
    let token = Signer::ec_a().token(&claims());
    assert!(gate.bearer(&token).await.is_ok());
    let mut stricter = server.section();
    stricter["issuers"][0]["audience"] = json!("another-gateway");
    gate.authenticator.replace(&config(&stricter)).unwrap();
    assert!(gate.bearer(&token).await.is_err());
}

#[tokio::test]
async fn a_subject_without_grants_is_let_in_and_allowed_nothing() {
    let server = KeyServer::with_keys(&["ec-a"]).await;
    let mut section = server.section();
    section["grants"] = json!([{ "principal": "alice", "allow": ["admin"] }]);
    let gate = Gate::new(&section);
    let token = Signer::ec_a().token(&claims());
    let principal = gate.bearer(&token).await.unwrap();
    assert!(gate.authenticator.allows_any(&principal, Operation::Admin));
    gate.authenticator.replace(&config(&server.section())).unwrap();
    let principal = gate.bearer(&token).await.unwrap();
    assert!(Operation::ALL.iter().all(|operation| !gate.authenticator.allows_any(&principal, *operation)));
}

#[tokio::test]
async fn a_failed_reload_leaves_the_old_policy_in_force() {
    let key = api_key::generate("k1").unwrap();
    let gate = Gate::new(&section(&key, &admin()));
    assert!(gate.authenticator.replace(&config(&json!({ "mode": "dev" }))).is_err(), "no development key");
    assert!(gate.api_key(&key.text).await.is_ok());
}
