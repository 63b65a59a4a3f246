//! The catalogue of hostile tokens: every one is refused for its own reason, and none makes the gateway call anyone.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use weirgate::auth::{Error, Refusal};

use crate::support::{Gate, KeyServer, START, Signer, claims, claims_with, key_set};

/// Three issuers: the usual one with ES256 and RS256, one with PS256 over the same RSA key, one with a single key.
fn gate() -> Gate {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, keys: &[&str]| {
        let path = directory.path().join(name);
        std::fs::write(&path, key_set(keys).to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let issuer = |name: &str, algorithms: &[&str], jwks_file: String| {
        json!({ "issuer": name, "audience": "weirgate", "algorithms": algorithms, "jwks_file": jwks_file,
                "role_claim": "role" })
    };
    Gate::new(&json!({ "issuers": [
        issuer("https://id.example.com", &["ES256", "RS256"], file("1", &["ec-a", "ec-b", "rsa"])),
        issuer("https://ps.example.com", &["PS256", "EdDSA"], file("2", &["rsa", "ed"])),
        issuer("https://single.example.com", &["ES256"], file("3", &["ec-a"])),
    ] }))
}

async fn expect_refused(gate: &Gate, what: &str, token: &str, refusal: Refusal) {
    assert_eq!(gate.bearer(token).await.unwrap_err(), Error::TokenInvalid(refusal), "{what}");
}

fn with_header(signer: &Signer, changes: &Value) -> String {
    let mut header = signer.header();
    for (name, value) in changes.as_object().unwrap() {
        header.as_object_mut().unwrap().remove(name);
        if !value.is_null() {
            header[name] = value.clone();
        }
    }
    signer.sign(&header.to_string(), &claims().to_string())
}

/// The token with another signature.
fn resigned(token: &str, signature: &[u8]) -> String {
    format!("{}.{}", token.rsplit_once('.').unwrap().0, URL_SAFE_NO_PAD.encode(signature))
}

#[tokio::test]
async fn good_tokens_of_every_kind_are_taken() {
    let gate = gate();
    let ps = claims_with(&json!({ "iss": "https://ps.example.com", "role": ["a", 7, "b"] }));
    for token in [
        Signer::ec_a().token(&claims()),
        Signer::ec_b().token(&claims()),
        Signer::rsa(Algorithm::RS256).token(&claims()),
        Signer::rsa(Algorithm::PS256).token(&ps),
        Signer::ed().token(&ps),
        Signer::ec_a().token(&claims_with(&json!({ "aud": ["other", "weirgate"] }))),
        Signer::ec_a()
            .token(&claims_with(&json!({ "exp": START - 29, "nbf": START + 30, "iat": START + 30 }))),
        with_header(&Signer::ec_a(), &json!({ "typ": null })),
        with_header(&Signer::ec_a(), &json!({ "typ": "application/at+JWT" })),
        with_header(&Signer::ec_a(), &json!({ "x5t": "abc", "b64": true })),
    ] {
        assert_eq!(gate.bearer(&token).await.unwrap().id(), "alice", "{token}");
    }
}

#[tokio::test]
async fn algorithms_are_the_issuers_own() {
    let gate = gate();
    let ec = Signer::ec_a();
    for alg in [json!("none"), json!("None"), json!("nOnE"), json!(""), json!("es256"), json!(7), json!(null)]
    {
        let token = with_header(&ec, &json!({ "alg": alg }));
        expect_refused(&gate, &alg.to_string(), &token, Refusal::Algorithm).await;
        let unsigned = resigned(&token, b"");
        expect_refused(&gate, &alg.to_string(), &unsigned, Refusal::Malformed).await;
    }
    for alg in ["PS256", "ES384", "EdDSA", "HS256", "RS512"] {
        let token = with_header(&ec, &json!({ "alg": alg }));
        expect_refused(&gate, alg, &token, Refusal::Algorithm).await;
    }
    let mixed_up = with_header(&ec, &json!({ "alg": "RS256" }));
    expect_refused(&gate, "RS256 with the kid of an EC key", &mixed_up, Refusal::Key).await;
    let ps = claims_with(&json!({ "iss": "https://ps.example.com" })).to_string();
    let rs_as_ps = Signer::rsa(Algorithm::RS256).sign(r#"{"alg":"PS256","kid":"rsa"}"#, &ps);
    expect_refused(&gate, "RS256 signature called PS256", &rs_as_ps, Refusal::Signature).await;
}

#[tokio::test]
async fn public_keys_are_no_secrets() {
    let gate = gate();
    let pems = [include_str!("keys/rsa.pub.pem"), include_str!("keys/ec-a.pub.pem")];
    for pem in pems {
        let der =
            STANDARD.decode(pem.lines().filter(|line| !line.starts_with('-')).collect::<String>()).unwrap();
        for secret in [pem.as_bytes(), pem.trim_end().as_bytes(), &der] {
            let token = Signer::secret(secret).token(&claims());
            expect_refused(&gate, "HS256 over a public key", &token, Refusal::Algorithm).await;
            let disguised =
                Signer::secret(secret).sign(r#"{"alg":"RS256","kid":"rsa"}"#, &claims().to_string());
            expect_refused(&gate, "HS256 called RS256", &disguised, Refusal::Signature).await;
        }
    }
}

#[tokio::test]
async fn signatures_have_one_form() {
    let gate = gate();
    let good = Signer::ec_a().token(&claims());
    let signature = URL_SAFE_NO_PAD.decode(good.rsplit_once('.').unwrap().1).unwrap();
    let der = [&[0x30, 0x44, 0x02, 0x20][..], &signature[..32], &[0x02, 0x20], &signature[32..]].concat();
    let mut flipped = signature.clone();
    flipped[63] ^= 1;
    for (what, forged) in [
        ("r = s = 0", vec![0; 64]),
        ("DER", der),
        ("63 bytes", signature[..63].to_vec()),
        ("65 bytes", [&signature[..], &[0]].concat()),
        ("96 bytes", vec![1; 96]),
        ("one bit", flipped),
        (
            "of another key",
            URL_SAFE_NO_PAD.decode(Signer::ec_b().token(&claims()).rsplit_once('.').unwrap().1).unwrap(),
        ),
    ] {
        expect_refused(&gate, what, &resigned(&good, &forged), Refusal::Signature).await;
    }
}

#[tokio::test]
async fn a_kid_only_picks_among_the_issuers_keys() {
    let gate = gate();
    let ec = Signer::ec_a();
    for kid in [
        json!("../ec-a"),
        json!("' OR 1=1 --"),
        json!("https://evil.example/k"),
        json!("EC-A"),
        json!(7),
        json!("ed"),
    ] {
        expect_refused(&gate, &kid.to_string(), &with_header(&ec, &json!({ "kid": kid })), Refusal::Key)
            .await;
    }
    let long = with_header(&ec, &json!({ "kid": "k".repeat(1_000) }));
    expect_refused(&gate, "1 KB", &long, Refusal::Key).await;
    let huge = with_header(&ec, &json!({ "kid": "k".repeat(10_240) }));
    expect_refused(&gate, "10 KB", &huge, Refusal::TooLong).await;
    let without = with_header(&ec, &json!({ "kid": null }));
    expect_refused(&gate, "no kid, two keys fit", &without, Refusal::Key).await;
    let single = claims_with(&json!({ "iss": "https://single.example.com" })).to_string();
    assert!(gate.bearer(&ec.sign(r#"{"alg":"ES256"}"#, &single)).await.is_ok(), "no kid, one key fits");
    let foreign = Signer::ec_b().sign(r#"{"alg":"ES256","kid":"ec-b"}"#, &single);
    expect_refused(&gate, "another issuer's key", &foreign, Refusal::Key).await;
}

#[tokio::test]
async fn keys_inside_or_behind_a_token_are_never_looked_at() {
    let gate = gate();
    let listener = KeyServer::with_keys(&["ec-b"]).await;
    let jwk = key_set(&["ec-b"])["keys"][0].clone();
    for changes in [
        json!({ "jku": listener.url, "kid": "ec-a" }),
        json!({ "x5u": listener.url, "kid": "ec-a" }),
        json!({ "jwk": jwk, "kid": "ec-a" }),
    ] {
        let token = with_header(&Signer::ec_b(), &changes);
        expect_refused(&gate, &changes.to_string(), &token, Refusal::Signature).await;
    }
    assert_eq!(listener.fetches(), 0);
}

#[tokio::test]
async fn headers_that_ask_for_more_are_refused() {
    let gate = gate();
    for crit in [json!(["exp"]), json!(["b64"]), json!([]), json!(null), json!("x")] {
        let header = format!(r#"{{"alg":"ES256","kid":"ec-a","b64":true,"exp":1,"crit":{crit}}}"#);
        let token = Signer::ec_a().sign(&header, &claims().to_string());
        expect_refused(&gate, &header, &token, Refusal::Critical).await;
    }
    let unencoded = with_header(&Signer::ec_a(), &json!({ "b64": false }));
    expect_refused(&gate, "b64", &unencoded, Refusal::Critical).await;
    for typ in [json!("logout+jwt"), json!("dpop+jwt"), json!("JOSE"), json!(""), json!(7), json!("jwt+x")] {
        expect_refused(
            &gate,
            &typ.to_string(),
            &with_header(&Signer::ec_a(), &json!({ "typ": typ })),
            Refusal::Type,
        )
        .await;
    }
}

#[tokio::test]
async fn audience_and_issuer_are_exact() {
    let gate = gate();
    for aud in [
        json!(null),
        json!(7),
        json!({ "weirgate": 1 }),
        json!(["other"]),
        json!([]),
        json!(["weirgate", 7]),
        json!("weir"),
        json!("weirgate2"),
        json!("weirgate "),
        json!("Weirgate"),
        json!([["weirgate"]]),
        json!(""),
    ] {
        let token = Signer::ec_a().token(&claims_with(&json!({ "aud": aud })));
        expect_refused(&gate, &aud.to_string(), &token, Refusal::Audience).await;
    }
    for iss in [
        json!(null),
        json!(7),
        json!(["https://id.example.com"]),
        json!({ "a": "https://id.example.com" }),
        json!("https://id.example.com/"),
        json!("https://ID.example.com"),
        json!("http://id.example.com"),
        json!(""),
        json!("weirgate-dev"),
    ] {
        let token = Signer::ec_a().token(&claims_with(&json!({ "iss": iss })));
        expect_refused(&gate, &iss.to_string(), &token, Refusal::Issuer).await;
    }
}

#[tokio::test]
async fn times_are_whole_seconds_within_bounds() {
    let gate = gate();
    for times in [
        json!({ "exp": null }),
        json!({ "exp": (START + 600).to_string() }),
        json!({ "exp": START as f64 + 600.5 }),
        json!({ "exp": 1.8e9 }),
        json!({ "exp": -1 }),
        json!({ "exp": 253_402_300_799_i64 }),
        json!({ "exp": u64::MAX }),
        json!({ "exp": [START + 600] }),
        json!({ "nbf": START + 3_600 }),
        json!({ "nbf": START + 31 }),
        json!({ "nbf": "0" }),
        json!({ "nbf": true }),
        json!({ "iat": START + 3_600 }),
        json!({ "iat": "now" }),
    ] {
        let token = Signer::ec_a().token(&claims_with(&times));
        expect_refused(&gate, &times.to_string(), &token, Refusal::Times).await;
    }
    for exp in [START - 30, START - 31, START - 59, 0] {
        let token = Signer::ec_a().token(&claims_with(&json!({ "exp": exp })));
        assert_eq!(gate.bearer(&token).await.unwrap_err(), Error::TokenExpired, "{exp}");
    }
}

#[tokio::test]
async fn subjects_are_names() {
    let gate = gate();
    for sub in [
        json!(null),
        json!(""),
        json!(7),
        json!(["alice"]),
        json!("a\nb"),
        json!("a\u{0}"),
        json!("x".repeat(257)),
    ] {
        let token = Signer::ec_a().token(&claims_with(&json!({ "sub": sub })));
        expect_refused(&gate, &sub.to_string(), &token, Refusal::Subject).await;
    }
}

#[tokio::test]
async fn twins_in_header_or_claims_are_refused() {
    let gate = gate();
    let ec = Signer::ec_a();
    let header = ec.header().to_string();
    let claims = claims().to_string();
    let with = |text: &str, extra: &str| format!("{{{extra},{}", &text[1..]);
    for (what, token) in [
        ("alg", ec.sign(&with(&header, r#""alg":"none""#), &claims)),
        ("kid", ec.sign(&with(&header, r#""kid":"rsa""#), &claims)),
        ("sub", ec.sign(&header, &with(&claims, r#""sub":"root""#))),
        ("exp", ec.sign(&header, &with(&claims, r#""exp":1"#))),
        ("a claim of one's own", ec.sign(&header, &with(&claims, r#""x":1,"x":2"#))),
        ("an escaped twin", ec.sign(&header, &with(&claims, r#""su\u0062":"root""#))),
        ("deep inside", ec.sign(&header, &with(&claims, r#""x":[{"a":1,"a":2}]"#))),
    ] {
        expect_refused(&gate, what, &token, Refusal::Malformed).await;
    }
}

#[tokio::test]
async fn a_token_is_three_canonical_parts() {
    let gate = gate();
    let ec = Signer::ec_a();
    let good = ec.token(&claims());
    let [header, payload, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
    let last = signature.chars().last().unwrap();
    // The last letter of 64 bytes carries two spare bits; a lax reader ignores them.
    let loose = char::from(last as u8 + 1);
    for (what, token) in [
        ("two parts", format!("{header}.{payload}")),
        ("four parts", format!("{good}.")),
        ("five parts", format!("{good}.a.b")),
        ("no parts", "abc".to_owned()),
        ("no header", format!(".{payload}.{signature}")),
        ("no payload", format!("{header}..{signature}")),
        ("no signature", format!("{header}.{payload}.")),
        ("padding", format!("{good}==")),
        ("padding inside", format!("{header}=.{payload}.{signature}")),
        ("a space", format!(" {good}")),
        ("a line break", format!("{good}\n")),
        ("standard alphabet", format!("{header}.{payload}.{}", signature.replace(['-', '_'], "+"))),
        ("loose bits", format!("{header}.{payload}.{}{loose}", &signature[..signature.len() - 1])),
        ("JSON form", json!({ "protected": header, "payload": payload, "signature": signature }).to_string()),
        ("header no object", ec.sign("[]", &claims().to_string())),
        ("claims no object", ec.sign(&ec.header().to_string(), "[]")),
        ("claims go on", ec.sign(&ec.header().to_string(), &format!("{} x", claims()))),
        ("not UTF-8", format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode(b"{\"a\":\"\xff\"}"))),
    ] {
        if token != good {
            let error = gate.bearer(&token).await.unwrap_err();
            let is_refused = matches!(error, Error::TokenInvalid(Refusal::Malformed | Refusal::Signature));
            assert!(is_refused, "{what}: {error:?}");
        }
    }
    assert_eq!(gate.bearer("").await.unwrap_err(), Error::BadCredential { problem: "is empty" });
}

#[tokio::test]
async fn tokens_over_8_kib_are_not_looked_at() {
    let gate = gate();
    let sized = |bytes: usize| Signer::ec_a().token(&claims_with(&json!({ "x": "x".repeat(bytes) })));
    assert!(gate.bearer(&sized(5_700)).await.is_ok());
    for token in [sized(6_200), "x".repeat(8_193), "x".repeat(1 << 20)] {
        expect_refused(&gate, "long", &token, Refusal::TooLong).await;
    }
}

#[tokio::test]
async fn a_verified_token_is_remembered_until_it_expires() {
    let gate = gate();
    let token = Signer::ec_a().token(&claims());
    let first = gate.bearer(&token).await.unwrap();
    let second = gate.bearer(&token).await.unwrap();
    assert!(std::sync::Arc::ptr_eq(&first, &second));
    assert!((gate.metric("weirgate_auth_token_cache_hits_total") - 1.0).abs() < 0.1);
    gate.hands.advance(629);
    assert!(gate.bearer(&token).await.is_ok(), "within the leeway");
    assert!(gate.authenticator.recheck(&first).is_ok());
    gate.hands.advance(1);
    assert_eq!(gate.bearer(&token).await.unwrap_err(), Error::TokenExpired);
    assert_eq!(gate.authenticator.recheck(&first).unwrap_err(), Error::TokenExpired);
    assert!(gate.metric("weirgate_auth_token_cache_entries") < 0.1);
}

#[tokio::test]
async fn refusals_say_nothing_of_the_token() {
    let gate = gate();
    let marker = "s3cr3t-marker";
    let claims = claims_with(&json!({ "sub": marker, "aud": marker }));
    let error = gate.bearer(&Signer::ec_a().token(&claims)).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains(marker));
}
