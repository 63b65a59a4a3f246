//! What broken rules are called: the field and the rule, never the value.

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{ValidationError, Validator};

use super::borrowed::Borrowed;
use super::{Verdict, Violation};
use crate::event::json::Value;

/// At most this many violations are told.
const VIOLATIONS_MAX: usize = 20;

/// Data of more values than this gets its first violation only: collecting all could take far more memory than
/// the data itself.
const COLLECTED_VALUES_MAX: usize = 10_000;

/// Deeper data that breaks a recursive schema is not explained: some recursive schemas would judge its innermost part
/// once for each way there, and the ways double with each level.
const RECURSIVE_DEPTH_MAX: usize = 10;

/// How much of a member's name or a schema's text a message or pointer shows.
const SHOWN_CHARACTERS_MAX: usize = 200;

/// Judges refused data once more, for its violations.
pub(super) fn explain(validator: &Validator<Borrowed>, is_recursive: bool, data: &Value<'_>) -> Verdict {
    let mut violations = Vec::new();
    if is_recursive && is_deeper(data, RECURSIVE_DEPTH_MAX) {
        let message = "breaks the schema; it is nested too deep to say where".to_owned();
        let (pointer, place) = ("/data".to_owned(), "/data".to_owned());
        violations.push(Violation { pointer, place, keyword: "$ref".to_owned(), message });
    } else if count_up_to(data, COLLECTED_VALUES_MAX) < COLLECTED_VALUES_MAX {
        for error in validator.iter_errors(data) {
            if is_pattern_limit(error.kind()) {
                return Verdict::PatternLimit;
            }
            describe(&error, &mut violations);
        }
    } else if let Err(error) = validator.validate(data) {
        if is_pattern_limit(error.kind()) {
            return Verdict::PatternLimit;
        }
        describe(&error, &mut violations);
    }
    violations.sort();
    violations.dedup();
    violations.truncate(VIOLATIONS_MAX);
    Verdict::Broken(violations)
}

/// Whether arrays and objects nest deeper than `depth`; values come with a bound on that.
fn is_deeper(value: &Value<'_>, depth: usize) -> bool {
    match value {
        Value::Array(_) | Value::Object(_) if depth == 0 => true,
        Value::Array(elements) => elements.iter().any(|element| is_deeper(element, depth - 1)),
        Value::Object(members) => members.iter().any(|(_, value)| is_deeper(value, depth - 1)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// How many values there are, counted no further than `max`.
fn count_up_to(value: &Value<'_>, max: usize) -> usize {
    let mut rest = vec![value];
    let mut count = 0;
    while let Some(value) = rest.pop() {
        count += 1;
        if count + rest.len() >= max {
            return max;
        }
        match value {
            Value::Array(elements) => rest.extend(elements.iter().take(max)),
            Value::Object(members) => rest.extend(members.iter().take(max).map(|(_, value)| value)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    count
}

fn is_pattern_limit(kind: &ValidationErrorKind) -> bool {
    match kind {
        ValidationErrorKind::BacktrackLimitExceeded { .. }
        | ValidationErrorKind::RegexEngineFailure { .. } => true,
        ValidationErrorKind::PropertyNames { error } => is_pattern_limit(error.kind()),
        _ => false,
    }
}

/// One violation for each error; for missing and unexpected members, one at each member.
fn describe(error: &ValidationError<'_>, violations: &mut Vec<Violation>) {
    let (kind, at) = (error.kind(), format!("/data{}", error.instance_path().as_str()));
    let place = place_of(error.instance_path().as_str(), error.evaluation_path().as_str());
    let mut tell = |pointer: String, place: String, message: String| {
        violations.push(Violation { pointer, place, keyword: kind.keyword().to_owned(), message });
    };
    let below = |name: &str| format!("/{}", shorten(name).replace('~', "~0").replace('/', "~1"));
    match kind {
        ValidationErrorKind::Required { property } => {
            let step = below(property.as_str().unwrap_or_default());
            let keyword = error.schema_path().as_str().rsplit('/').next().unwrap_or_default();
            let is_dependent = matches!(keyword, "dependentRequired" | "dependencies");
            let message = if is_dependent {
                "is required beside another member, which is there"
            } else {
                "is required"
            };
            tell(format!("{at}{step}"), format!("{place}{step}"), message.to_owned());
        }
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            for name in unexpected.iter().take(VIOLATIONS_MAX) {
                let message = "is not a member that the schema knows".to_owned();
                tell(format!("{at}{}", below(name)), format!("{place}/*"), message);
            }
        }
        _ => tell(shorten_pointer(at), place, message_of(kind)),
    }
}

/// A place in the data in the schema's own names, which are those that the way through the schema has behind `properties`.
fn place_of(instance: &str, evaluation: &str) -> String {
    let mut way = evaluation.split('/');
    let mut place = "/data".to_owned();
    for step in instance.split('/').skip(1) {
        let is_named = {
            let mut rest = way.clone();
            let found = loop {
                match rest.next() {
                    Some("properties") if rest.clone().next() == Some(step) => break true,
                    Some(_) => {}
                    None => break false,
                }
            };
            if found {
                rest.next();
                way = rest;
            }
            found
        };
        place.push('/');
        place.push_str(if is_named { step } else { "*" });
    }
    shorten_pointer(place)
}

fn message_of(kind: &ValidationErrorKind) -> String {
    use ValidationErrorKind as Kind;
    let counted = |limit: u64, one: &str, many: &str| {
        if limit == 1 { format!("1 {one}") } else { format!("{limit} {many}") }
    };
    match kind {
        Kind::AdditionalItems { limit } => format!("must have at most {limit} elements"),
        Kind::AnyOf { .. } => "must satisfy at least one of the schemas".to_owned(),
        Kind::Constant { expected_value } => format!("must be {}", shorten(&expected_value.to_string())),
        Kind::Contains => "must hold enough elements of the kind wanted, and not too many".to_owned(),
        Kind::ContentEncoding { content_encoding } => format!("must be {content_encoding}"),
        Kind::ContentMediaType { content_media_type } => format!("must be {content_media_type}"),
        Kind::Enum { options } => format!("must be one of {}", shorten(&options.to_string())),
        Kind::ExclusiveMaximum { limit } => format!("must be less than {limit}"),
        Kind::ExclusiveMinimum { limit } => format!("must be greater than {limit}"),
        Kind::FalseSchema => "must not be there".to_owned(),
        Kind::Format { format } => format!("must have the format {format}"),
        Kind::MaxItems { limit } => format!("must have at most {}", counted(*limit, "element", "elements")),
        Kind::Maximum { limit } => format!("must be at most {limit}"),
        Kind::MaxLength { limit } => {
            format!("must have at most {}", counted(*limit, "character", "characters"))
        }
        Kind::MaxProperties { limit } => {
            format!("must have at most {}", counted(*limit, "member", "members"))
        }
        Kind::MinItems { limit } => format!("must have at least {}", counted(*limit, "element", "elements")),
        Kind::Minimum { limit } => format!("must be at least {limit}"),
        Kind::MinLength { limit } => {
            format!("must have at least {}", counted(*limit, "character", "characters"))
        }
        Kind::MinProperties { limit } => {
            format!("must have at least {}", counted(*limit, "member", "members"))
        }
        Kind::MultipleOf { multiple_of } => format!("must be a multiple of {multiple_of}"),
        Kind::Not { .. } => "must not satisfy the schema under not".to_owned(),
        Kind::OneOfMultipleValid { .. } => "must satisfy only one of the schemas".to_owned(),
        Kind::OneOfNotValid { .. } => "must satisfy one of the schemas".to_owned(),
        Kind::Pattern { pattern } => format!("must match {}", shorten(pattern)),
        Kind::PropertyNames { error } => format!("has a member whose name {}", message_of(error.kind())),
        Kind::Type { kind: TypeKind::Single(wanted) } => format!("must be of type {}", wanted.as_str()),
        Kind::Type { kind: TypeKind::Multiple(wanted) } => {
            let names: Vec<&str> = wanted.iter().map(jsonschema::JsonType::as_str).collect();
            format!("must be of type {}", names.join(" or "))
        }
        Kind::UnevaluatedItems { .. } => "has elements that the schema does not know".to_owned(),
        Kind::UniqueItems => "must not have equal elements".to_owned(),
        Kind::AdditionalProperties { .. }
        | Kind::UnevaluatedProperties { .. }
        | Kind::Required { .. }
        | Kind::BacktrackLimitExceeded { .. }
        | Kind::RegexEngineFailure { .. }
        | Kind::Custom { .. }
        | Kind::FromUtf8 { .. }
        | Kind::Referencing(_) => "breaks the schema".to_owned(),
    }
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// A pointer through hostile names is as long as they are; its beginning is enough.
fn shorten_pointer(pointer: String) -> String {
    if pointer.len() > 10 * SHOWN_CHARACTERS_MAX { shorten(&pointer) } else { pointer }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::event::json::{Document, Limits};
    use crate::schema::{Dialect, Schema, Verdict, compat};

    /// What is told of data: pointers and messages.
    fn told(schema: &serde_json::Value, dialect: Dialect, data: &str) -> Vec<(String, String)> {
        let schema = Schema::compile(schema, dialect, &[]).unwrap();
        match schema.judge(Document::parse(data.as_bytes(), Limits::default()).unwrap().root()) {
            Verdict::Broken(violations) => {
                violations.into_iter().map(|violation| (violation.pointer, violation.message)).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_member_that_is_missing_beside_another_is_named() {
        let members = json!({"refund": {}, "currency": {}, "reason": {}});
        let wanted = json!({"refund": ["currency", "reason"]});
        let message = "is required beside another member, which is there".to_owned();
        for (keyword, dialect) in [
            ("dependentRequired", Dialect::Draft202012),
            ("dependentRequired", Dialect::Draft201909),
            ("dependencies", Dialect::Draft7),
        ] {
            let schema = json!({"properties": members, keyword: wanted});
            let closed = compat::Version::new(&schema, dialect, &[]).unwrap().closed().unwrap();
            for (schema, dialect) in [(&schema, dialect), (&closed, Dialect::Draft202012)] {
                let one = told(schema, dialect, r#"{"refund":1,"reason":1}"#);
                assert_eq!(one, [("/data/currency".to_owned(), message.clone())], "{schema}");
                let both = told(schema, dialect, r#"{"refund":1}"#);
                let pointers: Vec<&str> = both.iter().map(|(pointer, _)| pointer.as_str()).collect();
                assert_eq!(pointers, ["/data/currency", "/data/reason"], "{schema}");
            }
        }
        let plain = told(&json!({"required": ["a"]}), Dialect::Draft202012, "{}");
        assert_eq!(plain, [("/data/a".to_owned(), "is required".to_owned())]);
    }
}
