//! `auth.grants`, checked: a grant that would do nothing, or less than it seems to, is a mistake.

use super::Mistakes;
use crate::auth::Operation;
use crate::auth::grant::{Grant, Names, RowRule, Selector};
use crate::auth::raw::RawGrant;
use crate::event::Pattern;

/// The checked grant, or its mistakes.
pub(super) fn check(path: &str, raw: &RawGrant, mistakes: &mut Mistakes) -> Option<Grant> {
    let before = mistakes.0.len();
    let selector = check_selector(path, raw, mistakes);
    let allow = check_allow(path, &raw.allow, mistakes);
    check_names(path, raw, &allow, mistakes);
    let rows = raw.key_filter.as_deref().and_then(|text| {
        let path = format!("{path}.key_filter");
        if allow != [Operation::Subscribe] {
            mistakes
                .add(&path, "filters what a subscriber reads; allow: [subscribe] must stand alone beside it");
        }
        mistakes.take(path, RowRule::parse(text))
    });
    let patterns = |texts: &[String]| texts.iter().map(|text| Pattern::new(text)).collect::<Vec<_>>();
    let selector = selector.filter(|_| mistakes.0.len() == before)?;
    Some(Grant {
        selector,
        allow,
        topics: (!raw.topics.is_empty()).then(|| Names::new(patterns(&raw.topics))),
        groups: Names::new(patterns(&raw.groups)),
        sources: Names::new(patterns(&raw.sources)),
        subjects: Names::new(patterns(&raw.subjects)),
        rows,
    })
}

fn check_selector(path: &str, raw: &RawGrant, mistakes: &mut Mistakes) -> Option<Selector> {
    let selector = match (&raw.principal, &raw.role, &raw.claim) {
        (Some(principal), None, None) => Some(Selector::Principal(Pattern::new(principal))),
        (None, Some(role), None) => Some(Selector::Role(Pattern::new(role))),
        (None, None, Some(claims)) if !claims.is_empty() => Some(Selector::Claims(
            claims.iter().map(|(name, pattern)| (name.clone(), Pattern::new(&pattern.to_string()))).collect(),
        )),
        _ => None,
    };
    if selector.is_none() {
        mistakes.add(path, "needs exactly one of principal, role and claim to say whom it is for");
    }
    selector
}

fn check_allow(path: &str, allow: &[String], mistakes: &mut Mistakes) -> Vec<Operation> {
    let path = format!("{path}.allow");
    if allow.is_empty() {
        mistakes.add(&path, "must name at least one operation");
    }
    let mut operations = Vec::new();
    for name in allow {
        match Operation::ALL.into_iter().find(|operation| operation.as_str() == name) {
            Some(operation) => operations.push(operation),
            None => {
                let known = Operation::ALL.map(Operation::as_str);
                mistakes.add(&path, format!("'{name}' is no operation; there are {}", known.join(", ")));
            }
        }
    }
    operations
}

/// Names that an operation needs must be there, and names that none uses must not.
fn check_names(path: &str, raw: &RawGrant, allow: &[Operation], mistakes: &mut Mistakes) {
    let needs_topics = |operation: &Operation| match operation {
        Operation::Publish | Operation::Subscribe | Operation::Consume | Operation::TopicAdmin => true,
        Operation::DeadLetterRead
        | Operation::DeadLetterPayload
        | Operation::DeadLetterRedrive
        | Operation::Replay
        | Operation::SchemaRead
        | Operation::SchemaWrite
        | Operation::GroupAdmin
        | Operation::AuditRead
        | Operation::Admin => false,
    };
    let needs_groups = |operation: &Operation| match operation {
        Operation::Consume
        | Operation::DeadLetterRead
        | Operation::DeadLetterPayload
        | Operation::DeadLetterRedrive
        | Operation::Replay
        | Operation::GroupAdmin => true,
        Operation::Publish
        | Operation::Subscribe
        | Operation::SchemaRead
        | Operation::SchemaWrite
        | Operation::TopicAdmin
        | Operation::AuditRead
        | Operation::Admin => false,
    };
    let needs_subjects =
        |operation: &Operation| matches!(operation, Operation::SchemaRead | Operation::SchemaWrite);
    if let Some(operation) = allow.iter().copied().find(needs_subjects).filter(|_| raw.subjects.is_empty()) {
        mistakes.add(format!("{path}.subjects"), format!("{} needs subjects", operation.as_str()));
    }
    if !raw.subjects.is_empty() && !allow.is_empty() && !allow.iter().any(needs_subjects) {
        mistakes.add(format!("{path}.subjects"), "only schema.read and schema.write are about subjects");
    }
    if let Some(operation) = allow.iter().copied().find(needs_topics).filter(|_| raw.topics.is_empty()) {
        mistakes.add(format!("{path}.topics"), format!("{} needs topics", operation.as_str()));
    }
    if let Some(operation) = allow.iter().copied().find(needs_groups).filter(|_| raw.groups.is_empty()) {
        mistakes.add(format!("{path}.groups"), format!("{} needs groups", operation.as_str()));
    }
    if !raw.groups.is_empty() && !allow.is_empty() && !allow.iter().any(needs_groups) {
        mistakes.add(format!("{path}.groups"), "no operation of this grant is about groups");
    }
    if !raw.sources.is_empty() && !allow.is_empty() && !allow.contains(&Operation::Publish) {
        mistakes.add(format!("{path}.sources"), "only publish has sources");
    }
    let names = [
        ("topics", &raw.topics),
        ("groups", &raw.groups),
        ("sources", &raw.sources),
        ("subjects", &raw.subjects),
    ];
    for (name, texts) in names {
        if texts.iter().any(String::is_empty) {
            mistakes.add(format!("{path}.{name}"), "must not hold an empty pattern");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::auth::check::tests::{check, paths};

    #[test]
    fn the_examples_of_the_design_are_good() {
        let grants = json!({ "grants": [
            { "principal": "service:orders", "allow": ["publish"], "topics": ["orders.v1"], "sources": ["order-service"] },
            { "claim": { "role": "customer" }, "allow": ["subscribe"], "topics": ["orders.v1"],
              "key_filter": "/data/customerId == ${sub}" },
            { "claim": { "level": 3, "staff": true }, "allow": ["admin", "audit.read"] },
            { "role": "ops", "allow": ["deadletter.read", "group.admin"], "groups": ["*"] },
            { "role": "shop", "allow": ["schema.read", "schema.write"], "subjects": ["orders.**"] },
        ] });
        assert!(check(grants).is_ok());
    }

    #[test]
    fn a_key_filter_stands_with_subscribe_alone() {
        for allow in [json!(["consume"]), json!(["subscribe", "publish"]), json!(["admin"])] {
            let grant = json!({ "principal": "p", "allow": allow, "topics": ["t"], "groups": [], "key_filter": "/a == ${sub}" });
            assert!(
                paths(json!({ "grants": [grant] })).contains(&"grants[0].key_filter".to_owned()),
                "{allow}"
            );
        }
        let malformed =
            json!({ "principal": "p", "allow": ["subscribe"], "topics": ["t"], "key_filter": "customerId" });
        assert_eq!(paths(json!({ "grants": [malformed] })), ["grants[0].key_filter"]);
    }

    #[test]
    fn a_grant_says_whom_what_and_on_which_names() {
        for (grant, expected) in [
            (json!({ "allow": ["admin"] }), "grants[0]"),
            (json!({ "principal": "p", "role": "r", "allow": ["admin"] }), "grants[0]"),
            (json!({ "claim": {}, "allow": ["admin"] }), "grants[0]"),
            (json!({ "principal": "p", "allow": ["write"] }), "grants[0].allow"),
            (json!({ "principal": "p", "allow": ["publish"] }), "grants[0].topics"),
            (json!({ "principal": "p", "allow": ["consume"], "topics": ["t"] }), "grants[0].groups"),
            (
                json!({ "principal": "p", "allow": ["publish"], "topics": ["t"], "groups": ["g"] }),
                "grants[0].groups",
            ),
            (
                json!({ "principal": "p", "allow": ["subscribe"], "topics": ["t"], "sources": ["s"] }),
                "grants[0].sources",
            ),
            (json!({ "principal": "p", "allow": ["subscribe"], "topics": [""] }), "grants[0].topics"),
            (json!({ "principal": "p", "allow": ["schema.read"] }), "grants[0].subjects"),
            (
                json!({ "principal": "p", "allow": ["admin"], "subjects": ["orders.**"] }),
                "grants[0].subjects",
            ),
        ] {
            assert_eq!(paths(json!({ "grants": [grant] })), [expected], "{grant}");
        }
    }
}
