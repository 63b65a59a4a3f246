//! What a principal may do: default deny, names and their tricks, row filters, sources.

use std::sync::Arc;

use serde_json::{Value, json};
use weirgate::auth::{Error, KeyFilter, Object, Operation, Principal, Rows, api_key, dev};
use weirgate::event::json::Pointer;
use weirgate::event::{GroupName, Subject, Topic};

use crate::support::{Gate, Hands, KeyServer, START, Signer, claims_with, config};

/// A gate with one API key for `principal` and these grants, and the principal.
async fn gate_for(principal: &str, grants: Value) -> (Gate, Arc<Principal>) {
    let key = api_key::generate("k1").unwrap();
    let api_keys = json!([{ "id": "k1", "principal": principal, "sha256": key.sha256 }]);
    let gate = Gate::new(&json!({ "api_keys": api_keys, "grants": grants }));
    let principal = gate.api_key(&key.text).await.unwrap();
    (gate, principal)
}

/// A gate that takes tokens of `ec-a`, and the principal of one with these claims.
async fn gate_for_claims(changes: &Value, grants: Value) -> (Gate, Arc<Principal>) {
    let server = KeyServer::with_keys(&["ec-a"]).await;
    let mut section = server.section();
    section["issuers"][0]["role_claim"] = json!("/realm/roles");
    section["issuers"][0]["principal_prefix"] = json!("customer:");
    section["grants"] = grants;
    let gate = Gate::new(&section);
    let principal = gate.bearer(&Signer::ec_a().token(&claims_with(changes))).await.unwrap();
    (gate, principal)
}

fn topic(name: &str) -> Topic {
    Topic::parse(name).unwrap()
}

fn group(name: &str) -> GroupName {
    GroupName::parse(name).unwrap()
}

fn subject(name: &str) -> Subject {
    Subject::parse(name).unwrap()
}

fn may(gate: &Gate, principal: &Principal, operation: Operation, name: &str) -> bool {
    gate.authenticator.authorize(principal, operation, Object::Topic(&topic(name))).is_ok()
}

#[tokio::test]
async fn nothing_is_allowed_without_a_grant() {
    let (gate, principal) = gate_for("service:orders", json!([])).await;
    for operation in Operation::ALL {
        for object in [
            Object::Nothing,
            Object::Topic(&topic("orders.v1")),
            Object::Group(&group("g")),
            Object::GroupTopic(&group("g"), &topic("orders.v1")),
            Object::Subject(&subject("orders.v1-value")),
            Object::AllSubjects,
        ] {
            let decision = gate.authenticator.authorize(&principal, operation, object);
            assert_eq!(decision.unwrap_err(), Error::Forbidden);
        }
        assert!(!gate.authenticator.allows_any(&principal, operation));
    }
    assert!(gate.authenticator.grants_of(&principal).is_empty());
    assert!(gate.metric("weirgate_auth_denials_total{operation=\"publish\"}") > 3.5);
}

#[tokio::test]
async fn a_grant_allows_what_it_names_and_nothing_else() {
    let grants = json!([
        { "principal": "service:orders", "allow": ["publish"], "topics": ["orders.*"] },
        { "principal": "service:*", "allow": ["subscribe"], "topics": ["public.**"] },
        { "principal": "service", "allow": ["admin"] },
        { "principal": "service:orders:x", "allow": ["admin"] },
        { "role": "service:orders", "allow": ["admin"] },
    ]);
    let (gate, principal) = gate_for("service:orders", grants).await;
    assert!(may(&gate, &principal, Operation::Publish, "orders.v1"));
    assert!(!may(&gate, &principal, Operation::Subscribe, "orders.v1"));
    assert!(!may(&gate, &principal, Operation::TopicAdmin, "orders.v1"));
    assert!(may(&gate, &principal, Operation::Subscribe, "public.a.b"));
    assert!(!may(&gate, &principal, Operation::Publish, "public.a.b"));
    assert!(gate.authenticator.allows_any(&principal, Operation::Publish));
    assert!(!gate.authenticator.allows_any(&principal, Operation::Admin));
    assert_eq!(gate.authenticator.grants_of(&principal).len(), 2);
}

#[tokio::test]
async fn names_cannot_be_tricked() {
    let grants = json!([
        { "principal": "p", "allow": ["subscribe"], "topics": ["orders.v1", "shop.*", "**.public"] },
    ]);
    let (gate, principal) = gate_for("p", grants).await;
    for inside in ["orders.v1", "shop.a", "a.b.public", "shop."] {
        assert!(may(&gate, &principal, Operation::Subscribe, inside), "{inside}");
    }
    for outside in [
        "orders.v10",
        "orders.v",
        "Orders.v1",
        "ORDERS.V1",
        "orders_v1",
        "orders.v1.",
        ".orders.v1",
        "shop",
        "shop.a.b",
        "shopx.a",
        "_shop.a",
        "__consumer_offsets",
        "_weirgate.audit",
        "_x.public",
        "dlq.orders.v1.inventory",
        "dlq.public",
        "dlq.x.public",
        "orders.v1-2e",
    ] {
        assert!(!may(&gate, &principal, Operation::Subscribe, outside), "{outside}");
    }
    for no_topic in ["orders.v1\0", "orders%2ev1", "orders/v1", "оrders.v1", "orders.v1 ", "*"] {
        assert!(Topic::parse(no_topic).is_err(), "{no_topic}");
    }
}

#[tokio::test]
async fn even_everything_leaves_out_reserved_names() {
    let grants = json!([{ "principal": "p", "allow": ["subscribe", "topic.admin"], "topics": ["**"] }]);
    let (gate, principal) = gate_for("p", grants).await;
    assert!(may(&gate, &principal, Operation::TopicAdmin, "anything.at.all"));
    for reserved in ["_weirgate.groups", "__consumer_offsets", "dlq.orders.v1.g"] {
        assert!(!may(&gate, &principal, Operation::Subscribe, reserved), "{reserved}");
    }
}

#[tokio::test]
async fn a_group_and_its_topics_belong_together() {
    let grants = json!([
        { "principal": "p", "allow": ["consume"], "groups": ["a-*"], "topics": ["x.*"] },
        { "principal": "p", "allow": ["consume"], "groups": ["b"], "topics": ["y.*"] },
        { "principal": "p", "allow": ["deadletter.read"], "groups": ["a-1"] },
        { "principal": "p", "allow": ["deadletter.payload"], "groups": ["a-1"], "topics": ["x.1"] },
        { "principal": "p", "allow": ["deadletter.redrive"], "groups": ["a-1"], "topics": ["**"] },
    ]);
    let (gate, principal) = gate_for("p", grants).await;
    let ask =
        |operation, object: Object<'_>| gate.authenticator.authorize(&principal, operation, object).is_ok();
    let (a, b, x, y) = (group("a-1"), group("b"), topic("x.1"), topic("y.1"));
    assert!(ask(Operation::Consume, Object::GroupTopic(&a, &x)));
    assert!(ask(Operation::Consume, Object::GroupTopic(&b, &y)));
    assert!(!ask(Operation::Consume, Object::GroupTopic(&a, &y)), "one grant's group with another's topic");
    assert!(!ask(Operation::Consume, Object::GroupTopic(&b, &x)));
    assert!(ask(Operation::Consume, Object::Group(&a)));
    assert!(!ask(Operation::Consume, Object::Group(&group("c"))));
    assert!(ask(Operation::DeadLetterRead, Object::Group(&a)));
    assert!(ask(Operation::DeadLetterRead, Object::GroupTopic(&a, &y)));
    assert!(!ask(Operation::DeadLetterRead, Object::Group(&b)));
    assert!(ask(Operation::DeadLetterPayload, Object::GroupTopic(&a, &x)));
    assert!(!ask(Operation::DeadLetterPayload, Object::GroupTopic(&a, &y)));
    assert!(
        !ask(Operation::DeadLetterPayload, Object::Group(&a)),
        "all letters of the group are more than one topic's"
    );
    assert!(ask(Operation::DeadLetterRedrive, Object::Group(&a)));
}

fn filter(pointer: &str, equals: &str) -> KeyFilter {
    KeyFilter { pointer: Pointer::parse(pointer).unwrap(), equals: equals.to_owned() }
}

fn rows(gate: &Gate, principal: &Principal, name: &str) -> Result<Rows, Error> {
    gate.authenticator
        .authorize(principal, Operation::Subscribe, Object::Topic(&topic(name)))
        .map(|access| access.rows)
}

#[tokio::test]
async fn row_filters_are_filled_from_the_raw_claims() {
    let grants = json!([
        { "claim": { "role": "customer" }, "allow": ["subscribe"], "topics": ["orders.*"],
          "key_filter": "/data/customerId == ${sub}" },
        { "claim": { "role": "customer" }, "allow": ["subscribe"], "topics": ["orders.*"],
          "key_filter": "/data/account == ${account}" },
        { "claim": { "role": "customer" }, "allow": ["subscribe"], "topics": ["orders.*"],
          "key_filter": "/data/missing == ${missing}" },
        { "claim": { "role": "customer" }, "allow": ["subscribe"], "topics": ["only.missing"],
          "key_filter": "/data/missing == ${missing}" },
        { "role": "staff", "allow": ["subscribe"], "topics": ["orders.v2"] },
    ]);
    let customer = json!({ "sub": "42", "account": 7 });
    let (gate, principal) = gate_for_claims(&customer, grants.clone()).await;
    assert_eq!(principal.id(), "customer:42");
    let expected = vec![filter("/data/customerId", "42"), filter("/data/account", "7")];
    assert_eq!(rows(&gate, &principal, "orders.v1"), Ok(Rows::Only(expected)));
    assert_eq!(rows(&gate, &principal, "only.missing"), Err(Error::Forbidden));
    let staff = json!({ "sub": "42", "account": 7, "realm": { "roles": ["x", "staff"] } });
    let (gate, principal) = gate_for_claims(&staff, grants).await;
    assert_eq!(rows(&gate, &principal, "orders.v2"), Ok(Rows::All), "a grant without a filter lifts them");
    assert!(matches!(rows(&gate, &principal, "orders.v1"), Ok(Rows::Only(_))));
}

#[tokio::test]
async fn an_api_key_has_no_claims_to_fill_a_filter() {
    let grants = json!([{ "principal": "p", "allow": ["subscribe"], "topics": ["t"], "key_filter": "/data/a == ${sub}" }]);
    let (gate, principal) = gate_for("p", grants).await;
    assert_eq!(rows(&gate, &principal, "t"), Err(Error::Forbidden));
}

#[tokio::test]
async fn claims_select_all_together() {
    let grants = json!([
        { "claim": { "role": "customer", "tier": "gold*" }, "allow": ["admin"] },
        { "claim": { "sub": "alice" }, "allow": ["audit.read"] },
    ]);
    let may_admin =
        |gate: &Gate, principal: &Principal| gate.authenticator.allows_any(principal, Operation::Admin);
    let (gate, principal) = gate_for_claims(&json!({ "tier": "golden" }), grants.clone()).await;
    assert!(may_admin(&gate, &principal));
    assert!(gate.authenticator.allows_any(&principal, Operation::AuditRead));
    let (gate, principal) = gate_for_claims(&json!({ "tier": "silver" }), grants.clone()).await;
    assert!(!may_admin(&gate, &principal));
    let (gate, principal) = gate_for_claims(&json!({ "tier": "gold", "role": null }), grants).await;
    assert!(!may_admin(&gate, &principal));
}

#[tokio::test]
async fn schemas_are_granted_by_subject() {
    let grants = json!([
        { "principal": "p", "allow": ["schema.read", "schema.write"], "subjects": ["orders.**"] },
        { "principal": "p", "allow": ["schema.read"], "subjects": ["**"] },
        { "principal": "p", "allow": ["publish"], "topics": ["**"], "sources": ["**"] },
    ]);
    let (gate, principal) = gate_for("p", grants).await;
    let may =
        |operation, object: Object<'_>| gate.authenticator.authorize(&principal, operation, object).is_ok();
    let (orders, users) = (subject("orders.placed.v1-value"), subject("users/created"));
    assert!(may(Operation::SchemaWrite, Object::Subject(&orders)));
    assert!(!may(Operation::SchemaWrite, Object::Subject(&users)));
    assert!(!may(Operation::SchemaWrite, Object::AllSubjects));
    assert!(may(Operation::SchemaRead, Object::Subject(&users)));
    assert!(may(Operation::SchemaRead, Object::AllSubjects));
    assert!(!may(Operation::SchemaRead, Object::Subject(&subject("_internal"))));
    assert!(!may(Operation::Publish, Object::Subject(&orders)));
}

#[tokio::test]
async fn sources_are_those_granted_for_the_topic() {
    let grants = json!([
        { "principal": "p", "allow": ["publish"], "topics": ["a"], "sources": ["shop-*", "order-service", "x"] },
        { "principal": "p", "allow": ["publish"], "topics": ["b"] },
        { "principal": "p", "allow": ["publish"], "topics": ["c"], "sources": ["shop-*"] },
        { "principal": "p", "allow": ["subscribe"], "topics": ["d"] },
    ]);
    let (gate, principal) = gate_for("p", grants).await;
    let source = |name: &str, given| gate.authenticator.source_for(&principal, &topic(name), given);
    let refused = |given: &str| Err(Error::SourceNotAllowed { given: given.to_owned() });
    assert_eq!(source("a", None).as_deref(), Ok("order-service"), "the first literal");
    assert_eq!(source("a", Some("shop-1")).as_deref(), Ok("shop-1"));
    assert_eq!(source("a", Some("shop")), refused("shop"));
    assert_eq!(source("a", Some("p")), refused("p"));
    assert_eq!(source("b", None).as_deref(), Ok("p"));
    assert_eq!(source("b", Some("p")).as_deref(), Ok("p"));
    assert_eq!(source("b", Some("order-service")), refused("order-service"));
    assert_eq!(source("c", None).as_deref(), Ok("p"), "no literal: the principal");
    assert_eq!(source("d", None), Err(Error::Forbidden));
    assert_eq!(source("e", Some("p")), Err(Error::Forbidden));
}

#[tokio::test]
async fn whoami_shows_the_holders_grants_in_camel_case() {
    let grants = json!([
        { "claim": { "role": "customer" }, "allow": ["subscribe"], "topics": ["orders.*"],
          "key_filter": "/data/customerId == ${sub}" },
        { "principal": "somebody-else", "allow": ["admin", "publish"], "topics": ["secret"] },
    ]);
    let (gate, principal) = gate_for_claims(&json!({}), grants).await;
    let views = serde_json::to_value(gate.authenticator.grants_of(&principal)).unwrap();
    let expected = json!([{ "allow": ["subscribe"], "topics": ["orders.*"], "keyFilter": "/data/customerId == ${sub}" }]);
    assert_eq!(views, expected);
}

#[tokio::test]
async fn the_printed_token_of_development_mode_may_do_everything() {
    let directory = tempfile::tempdir().unwrap();
    let key = dev::Key::load_or_create(directory.path()).unwrap();
    let hands = Hands::new();
    let now = hands.clock().now();
    let mut dev_config = config(&json!({ "mode": "dev" }));
    dev_config.dev_key = Some(key.clone());
    let gate = Gate::of(&dev_config, hands);
    let principal = gate.bearer(&key.dev_token(now).unwrap()).await.unwrap();
    assert_eq!(principal.id(), "dev");
    for operation in Operation::ALL {
        assert!(gate.authenticator.allows_any(&principal, operation));
        for name in ["orders.v1", "dlq.orders.v1.inventory-sync"] {
            assert!(may(&gate, &principal, operation, name), "{operation:?} {name}");
            let (group, topic) = (group("inventory-sync"), topic(name));
            let decision =
                gate.authenticator.authorize(&principal, operation, Object::GroupTopic(&group, &topic));
            assert!(decision.is_ok(), "{operation:?}");
            assert!(gate.authenticator.authorize(&principal, operation, Object::Group(&group)).is_ok());
        }
        assert!(!may(&gate, &principal, operation, "_weirgate.groups"));
    }
    let source = gate.authenticator.source_for(&principal, &topic("orders.v1"), Some("order-service"));
    assert_eq!(source.as_deref(), Ok("order-service"));
    let nobody = key.mint(
        "mallory",
        &["customer".to_owned()],
        &serde_json::Map::new(),
        std::time::Duration::from_secs(60),
        now,
    );
    let nobody = gate.bearer(&nobody.unwrap()).await.unwrap();
    assert!(
        gate.authenticator.grants_of(&nobody).is_empty(),
        "other roles have what the configuration gives"
    );
}

#[tokio::test]
async fn the_developer_role_of_another_issuer_opens_nothing() {
    let server = KeyServer::with_keys(&["ec-a"]).await;
    let mut section = server.section();
    section["mode"] = json!("dev");
    section["issuers"][0]["role_claim"] = json!("role");
    let directory = tempfile::tempdir().unwrap();
    let mut dev_config = config(&section);
    dev_config.dev_key = Some(dev::Key::load_or_create(directory.path()).unwrap());
    let gate = Gate::of(&dev_config, Hands::new());
    let token = Signer::ec_a().token(&claims_with(&json!({ "role": dev::ROLE })));
    let principal = gate.bearer(&token).await.unwrap();
    assert!(gate.authenticator.grants_of(&principal).is_empty());
}

#[tokio::test]
async fn outside_development_mode_its_tokens_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let key = dev::Key::load_or_create(directory.path()).unwrap();
    let mut required = config(&json!({}));
    required.dev_key = Some(key.clone());
    let gate = Gate::of(&required, Hands::new());
    let token = key.dev_token(weirgate::event::Timestamp::from_millis(START * 1_000)).unwrap();
    assert!(gate.bearer(&token).await.is_err());
}

#[tokio::test]
async fn the_audit_trail_has_a_right_of_its_own_that_opens_nothing_else() {
    let trail = "_weirgate.audit";
    let grants = json!([{ "principal": "**", "allow": ["publish", "subscribe", "consume", "topic.admin"],
        "topics": ["_weirgate.**", "**"], "groups": ["**"] }]);
    let (gate, principal) = gate_for("service:orders", grants).await;
    for operation in Operation::ALL {
        assert!(!may(&gate, &principal, operation, trail), "{operation:?}");
    }
    assert!(may(&gate, &principal, Operation::Subscribe, "_weirgate.audits"));
    let (gate, principal) = gate_for("auditor", json!([{ "principal": "*", "allow": ["audit.read"] }])).await;
    for operation in Operation::ALL {
        assert_eq!(
            may(&gate, &principal, operation, trail),
            operation == Operation::AuditRead,
            "{operation:?}"
        );
        assert!(!may(&gate, &principal, operation, "orders.v1"), "{operation:?}");
    }
}
