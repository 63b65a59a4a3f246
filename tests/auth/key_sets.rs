//! A JWKS URL that rotates, fails, floods and lags; the gateway stays open to whom it knows and shut to others.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use weirgate::auth::{Error, Refusal};

use crate::support::{Answer, Gate, KeyServer, Signer, claims, claims_with};

const UNKNOWN_KEY: Error = Error::TokenInvalid(Refusal::Key);

/// A good token with its header replaced: the key is looked for before the signature is checked.
fn with_unknown_kid(token: &str, number: usize) -> String {
    let header = json!({ "alg": "ES256", "kid": format!("random-{number}") });
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), token.split_once('.').unwrap().1)
}

#[tokio::test]
async fn keys_are_fetched_once_and_kept_fresh_for_their_age() {
    let server = KeyServer::with_keys(&["ec-a"]).await;
    let gate = Gate::new(&server.section());
    for number in 0..10 {
        let token = Signer::ec_a().token(&claims_with(&json!({ "n": number })));
        assert!(gate.bearer(&token).await.is_ok());
    }
    assert_eq!(server.fetches(), 1);
    gate.hands.advance_ms(599_999);
    assert!(gate.bearer(&Signer::ec_a().token(&claims())).await.is_ok());
    assert_eq!(server.fetches(), 1);
    gate.hands.advance_ms(1);
    assert!(gate.bearer(&Signer::ec_a().token(&claims())).await.is_ok());
    assert_eq!(server.fetches(), 2);
}

#[tokio::test]
async fn a_new_key_is_known_after_the_cooldown_at_the_latest() {
    let server = KeyServer::with_keys(&["ec-a"]).await;
    let gate = Gate::new(&server.section());
    assert!(gate.bearer(&Signer::ec_a().token(&claims())).await.is_ok());
    server.answer_keys(&["ec-a", "ec-b"]);
    let rotated = Signer::ec_b().token(&claims());
    gate.hands.advance(29);
    assert_eq!(gate.bearer(&rotated).await.unwrap_err(), UNKNOWN_KEY, "still cooling down");
    gate.hands.advance(1);
    assert!(gate.bearer(&rotated).await.is_ok());
    assert!(gate.bearer(&Signer::ec_a().token(&claims())).await.is_ok(), "the overlap");
    assert_eq!(server.fetches(), 2);
}

#[tokio::test]
async fn a_removed_key_is_refused_within_the_age_even_for_remembered_tokens() {
    let server = KeyServer::with_keys(&["ec-a", "ec-b"]).await;
    let gate = Gate::new(&server.section());
    let mut changes = gate.authenticator.policy_changes();
    let token = Signer::ec_a().token(&claims());
    let principal = gate.bearer(&token).await.unwrap();
    server.answer_keys(&["ec-b"]);
    gate.hands.advance(599);
    assert!(gate.bearer(&token).await.is_ok());
    assert!(!changes.has_changed().unwrap());
    gate.hands.advance(1);
    assert_eq!(gate.bearer(&token).await.unwrap_err(), UNKNOWN_KEY);
    assert!(changes.has_changed().unwrap(), "connections are told");
    changes.mark_unchanged();
    assert_eq!(gate.authenticator.recheck(&principal).unwrap_err(), Error::Revoked);
}

#[tokio::test]
async fn random_kids_cause_at_most_one_fetch_per_cooldown() {
    let server = KeyServer::with_keys(&["ec-a"]).await;
    let gate = Gate::new(&server.section());
    let good = Signer::ec_a().token(&claims());
    for number in 0..10_000 {
        assert_eq!(gate.bearer(&with_unknown_kid(&good, number)).await.unwrap_err(), UNKNOWN_KEY);
        gate.hands.advance_ms(6);
    }
    assert!(server.fetches() <= 3, "{} fetches in 60 s", server.fetches());
    assert!(gate.bearer(&good).await.is_ok());
}

#[tokio::test]
async fn keys_are_fetched_at_the_start_and_a_failure_then_costs_no_cooldown() {
    let server = KeyServer::start(Answer::Status(500)).await;
    let gate = Gate::new(&server.section());
    gate.authenticator.fetch_keys().await;
    assert_eq!(server.fetches(), 1);
    server.answer_keys(&["ec-a"]);
    assert!(gate.bearer(&Signer::ec_a().token(&claims())).await.is_ok());
    assert_eq!(server.fetches(), 2);
    gate.authenticator.fetch_keys().await;
    assert_eq!(server.fetches(), 2, "they are held");
}

#[tokio::test]
async fn many_callers_share_one_fetch() {
    let server = KeyServer::with_keys(&["ec-a"]).await;
    let gate = Arc::new(Gate::new(&server.section()));
    let callers: Vec<_> = (0..100)
        .map(|number| {
            let gate = Arc::clone(&gate);
            tokio::spawn(async move {
                let token = Signer::ec_a().token(&claims_with(&json!({ "n": number })));
                gate.bearer(&token).await.is_ok()
            })
        })
        .collect();
    for caller in callers {
        assert!(caller.await.unwrap());
    }
    assert_eq!(server.fetches(), 1);
}

#[tokio::test]
async fn an_outage_is_bridged_for_the_stale_window_and_no_longer() {
    let server = KeyServer::with_keys(&["ec-a"]).await;
    let gate = Gate::new(&server.section());
    let long = |number| {
        Signer::ec_a().token(&claims_with(&json!({ "n": number, "exp": crate::support::START + 9_999 })))
    };
    assert!(gate.bearer(&long(0)).await.is_ok());
    server.answer(Answer::Status(500));
    gate.hands.advance(600);
    assert!(gate.bearer(&long(1)).await.is_ok(), "stale keys serve");
    assert_eq!(server.fetches(), 2);
    assert!(gate.bearer(&long(2)).await.is_ok());
    assert_eq!(server.fetches(), 2, "one attempt per cooldown");
    assert_eq!(
        gate.bearer(&Signer::ec_b().token(&claims())).await.unwrap_err(),
        UNKNOWN_KEY,
        "new keys are refused"
    );
    gate.hands.advance(3_599);
    assert!(gate.bearer(&long(0)).await.is_ok());
    gate.hands.advance(1);
    assert_eq!(gate.bearer(&long(0)).await.unwrap_err(), Error::KeysUnavailable, "remembered tokens too");
    assert_eq!(gate.bearer(&long(3)).await.unwrap_err(), Error::KeysUnavailable);
    server.answer_keys(&["ec-a"]);
    gate.hands.advance(30);
    assert!(gate.bearer(&long(0)).await.is_ok(), "back without a restart");
    let failures = "weirgate_auth_jwks_fetches_total{issuer=\"https://id.example.com\",result=\"failed\"}";
    assert!(gate.metric(failures) > 1.5);
}

#[tokio::test]
async fn bad_answers_are_no_key_sets() {
    let evil = KeyServer::with_keys(&["ec-a"]).await;
    let secret = json!({ "keys": [{ "kty": "oct", "kid": "ec-a", "k": "A".repeat(43) }] });
    let padded = format!("{{\"keys\":[],\"pad\":\"{}\"}}", "x".repeat(10 << 20));
    let twins = format!("{{\"keys\":[],{}", &crate::support::key_set(&["ec-a"]).to_string()[1..]);
    for (what, answer) in [
        ("status 500", Answer::Status(500)),
        ("status 204", Answer::Status(204)),
        ("redirect", Answer::Redirect(evil.url.clone())),
        ("page", Answer::Body("<html>".to_owned())),
        ("10 MB", Answer::Body(padded)),
        ("duplicate member", Answer::Body(twins)),
        ("shared secret", Answer::Body(secret.to_string())),
    ] {
        let server = KeyServer::start(answer).await;
        let gate = Gate::new(&server.section());
        let error = gate.bearer(&Signer::ec_a().token(&claims())).await.unwrap_err();
        assert_eq!(error, Error::KeysUnavailable, "{what}");
        assert_eq!(server.fetches(), 1, "{what}");
    }
    assert_eq!(evil.fetches(), 0, "redirects are not followed");
}

#[tokio::test]
async fn a_set_without_keys_refuses_everyone() {
    let server = KeyServer::with_keys(&[]).await;
    let gate = Gate::new(&server.section());
    assert_eq!(gate.bearer(&Signer::ec_a().token(&claims())).await.unwrap_err(), UNKNOWN_KEY);
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_given_up_after_two_seconds() {
    let server = KeyServer::start(Answer::Silence).await;
    let gate = Gate::new(&server.section());
    let begin = tokio::time::Instant::now();
    assert_eq!(gate.bearer(&Signer::ec_a().token(&claims())).await.unwrap_err(), Error::KeysUnavailable);
    let waited = begin.elapsed().as_millis();
    assert!((2_000..2_100).contains(&waited), "{waited} ms");
    assert_eq!(gate.bearer(&Signer::ec_a().token(&claims())).await.unwrap_err(), Error::KeysUnavailable);
    assert_eq!(begin.elapsed().as_millis(), waited, "nobody waits again within the cooldown");
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_take_the_fetch_with_it() {
    let server = KeyServer::with_keys(&["ec-a"]).await;
    let gate = Gate::new(&server.section());
    let token = Signer::ec_a().token(&claims());
    // Polled once, which starts the fetch, then dropped.
    let left = futures_util::FutureExt::now_or_never(gate.bearer(&token));
    assert!(left.is_none());
    assert!(gate.bearer(&token).await.is_ok());
    assert_eq!(server.fetches(), 1);
}

#[tokio::test]
async fn two_issuers_with_the_same_kid_keep_their_keys_apart() {
    let ours = KeyServer::with_keys(&["ec-a"]).await;
    let mut impostor_key = crate::support::public("ec-b");
    impostor_key["kid"] = "ec-a".into();
    let other = KeyServer::start(Answer::Body(json!({ "keys": [impostor_key] }).to_string())).await;
    let mut section = ours.section();
    let mut second = other.section()["issuers"][0].clone();
    second["issuer"] = "https://other.example.com".into();
    section["issuers"].as_array_mut().unwrap().push(second);
    let gate = Gate::new(&section);
    let header = json!({ "alg": "ES256", "kid": "ec-a" }).to_string();
    let forged = Signer::ec_b().sign(&header, &claims().to_string());
    assert_eq!(gate.bearer(&forged).await.unwrap_err(), Error::TokenInvalid(Refusal::Signature));
    let own = claims_with(&json!({ "iss": "https://other.example.com" })).to_string();
    assert!(gate.bearer(&Signer::ec_b().sign(&header, &own)).await.is_ok());
}

#[tokio::test]
async fn a_clock_set_back_leads_to_a_new_fetch_not_to_eternal_freshness() {
    let server = KeyServer::with_keys(&["ec-a"]).await;
    let gate = Gate::new(&server.section());
    let token = Signer::ec_a().token(&claims_with(&json!({ "iat": null })));
    assert!(gate.bearer(&token).await.is_ok());
    gate.hands.advance(-30);
    assert!(gate.bearer(&token).await.is_ok());
    assert_eq!(server.fetches(), 1);
    gate.hands.advance(-7_200);
    assert!(gate.bearer(&token).await.is_ok());
    assert_eq!(server.fetches(), 2);
}

#[tokio::test]
async fn a_reload_keeps_what_was_fetched_from_the_same_place() {
    let server = KeyServer::with_keys(&["ec-a"]).await;
    let gate = Gate::new(&server.section());
    assert!(gate.bearer(&Signer::ec_a().token(&claims())).await.is_ok());
    let mut section = server.section();
    section["grants"] = json!([{ "principal": "alice", "allow": ["admin"] }]);
    gate.authenticator.replace(&crate::support::config(&section)).unwrap();
    assert!(gate.bearer(&Signer::ec_a().token(&claims())).await.is_ok());
    assert_eq!(server.fetches(), 1);
}
