//! One grant, ready for decisions: whom it selects, what it allows, on which names, and which rows.

use serde_json::{Map, Value};

use super::principal::{Origin, Principal};
use super::{GrantView, KeyFilter, Operation, dev};
use crate::event::{Pattern, json};

/// A grant of the policy.
#[derive(Debug, Clone)]
pub(super) struct Grant {
    pub(super) selector: Selector,
    pub(super) allow: Vec<Operation>,
    /// `None`: names no topics, and so restricts no group to some of its topics.
    pub(super) topics: Option<Names>,
    pub(super) groups: Names,
    pub(super) sources: Names,
    pub(super) subjects: Names,
    pub(super) rows: Option<RowRule>,
}

/// Whom a grant is for.
#[derive(Debug, Clone)]
pub(super) enum Selector {
    Principal(Pattern),
    Role(Pattern),
    /// All of these claims must fit.
    Claims(Vec<(String, Pattern)>),
    /// Tokens of the development issuer with its all-powerful role.
    Developer,
}

/// Names by pattern: literals are found by binary search, wildcards tried one by one.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    given: Vec<Pattern>,
    literals: Vec<String>,
    wildcards: Vec<Pattern>,
}

/// `/data/customerId == ${sub}`, read.
#[derive(Debug, Clone)]
pub(super) struct RowRule {
    pointer: json::Pointer,
    wanted: Wanted,
}

#[derive(Debug, Clone)]
enum Wanted {
    Claim(String),
    Literal(String),
}

impl Grant {
    /// As the holder sees it.
    pub(super) fn view(&self) -> GrantView {
        GrantView {
            allow: self.allow.clone(),
            topics: self.topics.as_ref().map(|topics| topics.given.clone()).unwrap_or_default(),
            groups: self.groups.given.clone(),
            sources: self.sources.given.clone(),
            subjects: self.subjects.given.clone(),
            key_filter: self.rows.as_ref().map(RowRule::to_string),
        }
    }
}

impl Selector {
    /// Whether the grant is for this principal.
    pub(super) fn selects(&self, principal: &Principal) -> bool {
        match self {
            Self::Principal(pattern) => pattern.matches(principal.id()),
            Self::Role(pattern) => principal.roles.iter().any(|role| pattern.matches(role)),
            Self::Claims(wanted) => wanted.iter().all(|(name, pattern)| {
                principal.claims.get(name).is_some_and(|claim| is_claim_meant(claim, pattern))
            }),
            Self::Developer => {
                matches!(&principal.origin, Origin::Token { issuer, .. } if &**issuer == dev::ISSUER)
                    && principal.roles.iter().any(|role| role == dev::ROLE)
            }
        }
    }

    /// The claims it looks at.
    pub(super) fn claims(&self) -> impl Iterator<Item = &str> {
        let claims = match self {
            Self::Claims(wanted) => wanted.as_slice(),
            Self::Principal(_) | Self::Role(_) | Self::Developer => &[],
        };
        claims.iter().map(|(name, _)| name.as_str())
    }
}

impl Names {
    pub(super) fn new(given: Vec<Pattern>) -> Self {
        let (literals, wildcards): (Vec<_>, Vec<_>) = given.iter().cloned().partition(Pattern::is_literal);
        let mut literals: Vec<_> = literals.iter().map(|literal| literal.as_str().to_owned()).collect();
        literals.sort_unstable();
        Self { given, literals, wildcards }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.given.is_empty()
    }

    /// Whether this holds every name that is not reserved.
    pub(super) fn is_everything(&self) -> bool {
        self.wildcards.iter().any(|pattern| pattern.as_str() == "**")
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.literals.binary_search_by(|literal| literal.as_str().cmp(name)).is_ok()
            || self.wildcards.iter().any(|pattern| pattern.matches(name))
    }

    /// The first name given without a wildcard.
    pub(super) fn first_literal(&self) -> Option<&str> {
        self.given.iter().find(|pattern| pattern.is_literal()).map(Pattern::as_str)
    }
}

impl RowRule {
    /// Reads `{pointer} == ${claim}` or `{pointer} == text`.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let form = "must be a JSON pointer, ' == ' and a claim, such as /data/customerId == ${sub}";
        let (pointer, wanted) = text.split_once(" == ").ok_or(form)?;
        let pointer = json::Pointer::parse(pointer).map_err(|_| form)?;
        let is_root = pointer.parts().next().is_none();
        let claim = wanted.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
        let wanted = match claim {
            Some(name) if !name.is_empty() && !name.contains(['$', '{', '}']) => {
                Wanted::Claim(name.to_owned())
            }
            None if !wanted.is_empty() && !wanted.contains("${") => Wanted::Literal(wanted.to_owned()),
            Some(_) | None => return Err(form),
        };
        if is_root { Err(form) } else { Ok(Self { pointer, wanted }) }
    }

    /// The filter for a caller with these claims; `None`, which denies, when the claim is missing, empty, or
    /// neither text nor integer.
    pub(super) fn fill(&self, claims: &Map<String, Value>) -> Option<KeyFilter> {
        let equals = match &self.wanted {
            Wanted::Literal(text) => text.clone(),
            Wanted::Claim(name) => scalar(claims.get(name)?).filter(|text| !text.is_empty())?,
        };
        Some(KeyFilter { pointer: self.pointer.clone(), equals })
    }

    /// The claim it looks at.
    pub(super) fn claim(&self) -> Option<&str> {
        match &self.wanted {
            Wanted::Claim(name) => Some(name),
            Wanted::Literal(_) => None,
        }
    }
}

impl std::fmt::Display for RowRule {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.wanted {
            Wanted::Claim(name) => write!(formatter, "{} == ${{{name}}}", self.pointer),
            Wanted::Literal(text) => write!(formatter, "{} == {text}", self.pointer),
        }
    }
}

/// A text as it is, an integer in decimal; other claims have no text.
fn scalar(claim: &Value) -> Option<String> {
    match claim {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        _ => None,
    }
}

/// A list fits when one of its items does.
fn is_claim_meant(claim: &Value, pattern: &Pattern) -> bool {
    match claim {
        Value::Bool(flag) => pattern.matches(if *flag { "true" } else { "false" }),
        Value::Array(items) => items.iter().any(|item| !item.is_array() && is_claim_meant(item, pattern)),
        other => scalar(other).is_some_and(|text| pattern.matches(&text)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::{Names, RowRule, is_claim_meant};
    use crate::event::Pattern;

    fn claims(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn a_row_rule_is_a_pointer_and_a_claim_or_a_text() {
        for good in
            ["/data/customerId == ${sub}", "/data/region == eu", "/a == ${https://x/y}", "/a == b == c"]
        {
            assert_eq!(RowRule::parse(good).unwrap().to_string(), good);
        }
        for bad in [
            "",
            "/a",
            "/a=${sub}",
            "a == ${sub}",
            " == ${sub}",
            "/a == ",
            "/a == ${}",
            "/a == ${a}${b}",
            "/a == x${a}",
            "/a == ${a",
            "/~ == x",
            "/a == ${a}x",
        ] {
            assert!(RowRule::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_claim_that_is_missing_or_no_text_denies() {
        let rule = RowRule::parse("/data/customerId == ${cid}").unwrap();
        let filled = |value| rule.fill(&claims(&json!({ "cid": value }))).map(|filter| filter.equals);
        assert_eq!(filled(json!("42")).as_deref(), Some("42"));
        assert_eq!(filled(json!(42)).as_deref(), Some("42"));
        assert_eq!(filled(json!(-7)).as_deref(), Some("-7"));
        assert_eq!(filled(json!(18_446_744_073_709_551_615_u64)).as_deref(), Some("18446744073709551615"));
        for denied in
            [json!(null), json!(""), json!(4.0), json!(1e20), json!(true), json!(["42"]), json!({"a": "42"})]
        {
            assert_eq!(filled(denied.clone()), None, "{denied}");
        }
        assert!(rule.fill(&Map::new()).is_none());
    }

    #[test]
    fn a_claim_is_meant_by_text_number_flag_or_one_item_of_a_list() {
        let is_meant = |claim: Value, pattern| is_claim_meant(&claim, &Pattern::new(pattern));
        assert!(is_meant(json!("customer"), "customer"));
        assert!(is_meant(json!(["a", "customer"]), "cust*"));
        assert!(is_meant(json!(7), "7"));
        assert!(is_meant(json!(true), "true"));
        assert!(!is_meant(json!("Customer"), "customer"));
        assert!(!is_meant(json!([["customer"]]), "customer"));
        assert!(!is_meant(json!({ "customer": true }), "**"));
        assert!(!is_meant(json!(null), "**"));
    }

    #[test]
    fn names_are_found_by_literal_and_by_wildcard() {
        let names = Names::new(["z.v1", "b.*", "a.v1"].map(Pattern::new).to_vec());
        for inside in ["z.v1", "a.v1", "b.v1"] {
            assert!(names.contains(inside), "{inside}");
        }
        for outside in ["", "z", "a.v1 ", "A.v1", "b.v1.x", "dlq.a.v1"] {
            assert!(!names.contains(outside), "{outside}");
        }
        assert_eq!(names.first_literal(), Some("z.v1"));
    }
}
