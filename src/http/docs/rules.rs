//! What schemas ask of a value, in words. Pure.

use serde_json::Value;

/// So many values of an enumeration are told.
const VALUES_MAX: usize = 12;

/// What a place holds: `array of string`, `string (email)`.
pub(super) fn kind(parts: &[&Value], elements: &[&Value]) -> String {
    let Some(kind) = simple(parts) else { return "any".to_owned() };
    match simple(elements) {
        Some(element) if kind == "array" => format!("array of {element}"),
        _ => kind,
    }
}

fn simple(parts: &[&Value]) -> Option<String> {
    let name = match parts.iter().find_map(|part| part.get("type"))? {
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
        name => name.as_str()?.to_owned(),
    };
    let format = parts.iter().find_map(|part| part.get("format")?.as_str());
    Some(format.map_or_else(|| name.clone(), |format| format!("{name} ({format})")))
}

/// What the elements of an array must be, each.
pub(super) fn of_elements(parts: &[&Value]) -> Option<String> {
    let rules = of(parts);
    (!rules.is_empty()).then(|| format!("each: {}", rules.join(", ")))
}

/// What a value must be.
pub(super) fn of(parts: &[&Value]) -> Vec<String> {
    let mut rules = Vec::new();
    for part in parts {
        values(part, &mut rules);
        sizes(part, &mut rules);
        conditions(part, &mut rules);
    }
    let mut told: Vec<String> = Vec::new();
    for rule in rules {
        if !told.contains(&rule) {
            told.push(rule);
        }
    }
    told
}

fn values(part: &Value, rules: &mut Vec<String>) {
    let shown = |keyword: &str| part.get(keyword).map(show);
    if let Some(value) = shown("const") {
        rules.push(format!("always {value}"));
    }
    if let Some(values) = part.get("enum").and_then(Value::as_array) {
        let mut words: Vec<String> = values.iter().take(VALUES_MAX).map(show).collect();
        if values.len() > VALUES_MAX {
            words.push(format!("{} more", values.len() - VALUES_MAX));
        }
        rules.push(words.join(" or "));
    }
    let bounds = [
        ("minimum", "at least"),
        ("exclusiveMinimum", "more than"),
        ("maximum", "at most"),
        ("exclusiveMaximum", "less than"),
        ("multipleOf", "a multiple of"),
    ];
    for (keyword, words) in bounds {
        if let Some(bound) = part.get(keyword).filter(|bound| bound.is_number()) {
            rules.push(format!("{words} {bound}"));
        }
    }
    if let Some(pattern) = part.get("pattern").and_then(Value::as_str) {
        rules.push(format!("matches {pattern}"));
    }
    if let Some(value) = shown("default") {
        rules.push(format!("{value} where it is absent"));
    }
}

fn sizes(part: &Value, rules: &mut Vec<String>) {
    let number = |keyword: String| part.get(&keyword).and_then(Value::as_u64);
    for (keyword, one, many) in [
        ("Length", "character", "characters"),
        ("Items", "element", "elements"),
        ("Properties", "member", "members"),
    ] {
        let (least, most) = (number(format!("min{keyword}")), number(format!("max{keyword}")));
        let noun = |count: u64| if count == 1 { one } else { many };
        match (least, most) {
            (Some(least), Some(most)) if least == most => rules.push(format!("{most} {}", noun(most))),
            (Some(least), Some(most)) => rules.push(format!("{least} to {most} {}", noun(most))),
            (Some(least), None) => rules.push(format!("at least {least} {}", noun(least))),
            (None, Some(most)) => rules.push(format!("at most {most} {}", noun(most))),
            (None, None) => {}
        }
    }
    if part.get("uniqueItems") == Some(&Value::Bool(true)) {
        rules.push("no two equal".to_owned());
    }
    let is_closed = |keyword| part.get(keyword) == Some(&Value::Bool(false));
    if is_closed("additionalProperties") || is_closed("unevaluatedProperties") {
        rules.push("no other members".to_owned());
    }
}

fn conditions(part: &Value, rules: &mut Vec<String>) {
    for (keyword, words) in [("oneOf", "exactly one"), ("anyOf", "at least one")] {
        if let Some(branches) = part.get(keyword).and_then(Value::as_array).filter(|all| all.len() > 1) {
            rules.push(format!("{words} of {} forms", branches.len()));
        }
    }
    for (name, needed) in part.get("dependentRequired").and_then(Value::as_object).into_iter().flatten() {
        let needed: Vec<&str> = needed.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        rules.push(format!("with {name}, also {}", needed.join(", ")));
    }
    if part.get("if").is_some() || part.get("dependentSchemas").is_some() {
        rules.push("more is asked depending on other members; see the schema".to_owned());
    }
    if part.get("not").is_some() {
        rules.push("some values are excluded; see the schema".to_owned());
    }
}

/// A value in words: a text without quotation marks, unless it could be taken for another value.
fn show(value: &Value) -> String {
    match value.as_str() {
        Some(text) if !text.is_empty() && serde_json::from_str::<Value>(text).is_err() => text.to_owned(),
        _ => value.to_string(),
    }
}
