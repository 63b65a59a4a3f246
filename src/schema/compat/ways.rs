//! In how many ways one value may satisfy a schema: alternatives that hold at once multiply.

use std::collections::HashMap;

use serde_json::Value;

use super::place::target;

/// The most ways of any place of a bundle.
pub(super) fn most(bundle: &Value) -> u64 {
    let mut ways = Ways { bundle, known: HashMap::new() };
    let (mut most, mut rest) = (1, vec![bundle]);
    while let Some(schema) = rest.pop() {
        match schema {
            Value::Object(members) => {
                most = most.max(ways.of(schema));
                rest.extend(members.values());
            }
            Value::Array(schemas) => rest.extend(schemas),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    most
}

struct Ways<'b> {
    bundle: &'b Value,
    /// By a schema's address; one way for those that are being counted, which refer to themselves.
    known: HashMap<usize, u64>,
}

impl<'b> Ways<'b> {
    fn of(&mut self, schema: &'b Value) -> u64 {
        let Some(members) = schema.as_object() else { return 1 };
        let id = std::ptr::from_ref(schema).addr();
        if let Some(known) = self.known.get(&id) {
            return *known;
        }
        self.known.insert(id, 1);
        let mut ways = 1_u64;
        for (keyword, value) in members {
            let own = match keyword.as_str() {
                "allOf" => self.each(value).fold(1, u64::saturating_mul),
                "anyOf" | "oneOf" => self.each(value).fold(0, u64::saturating_add),
                "if" => {
                    let branches = ["then", "else"].map(|branch| members.get(branch));
                    branches.into_iter().map(|branch| branch.map_or(1, |schema| self.of(schema))).sum()
                }
                "dependentSchemas" => {
                    let schemas = value.as_object().into_iter().flatten();
                    schemas.fold(1, |ways, (_, schema)| {
                        u64::saturating_mul(ways, self.of(schema).saturating_add(1))
                    })
                }
                "$ref" => target(self.bundle, value).map_or(1, |(_, schema)| self.of(schema)),
                _ => 1,
            };
            ways = ways.saturating_mul(own.max(1));
        }
        self.known.insert(id, ways);
        ways
    }

    fn each(&mut self, schemas: &'b Value) -> impl Iterator<Item = u64> {
        schemas.as_array().into_iter().flatten().map(|schema| self.of(schema))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::most;

    #[test]
    fn alternatives_add_up_and_what_holds_at_once_multiplies() {
        let choice = json!({"oneOf": [true, {"type": "string"}, {"anyOf": [{}, {}]}]});
        for (schema, expected) in [
            (json!(true), 1),
            (json!({"type": "object", "properties": {"a": {"type": "string"}}}), 1),
            (choice.clone(), 4),
            (
                json!({"items": {"allOf": [choice, {"$ref": "#/$defs/two"}]}, "$defs": {"two": {"anyOf": [{}, {}]}}}),
                8,
            ),
            (json!({"if": {}, "then": {"anyOf": [{}, {}]}, "allOf": [{"if": {}, "else": {}}]}), 6),
            (json!({"dependentSchemas": {"a": {}, "b": {"anyOf": [{}, {}]}}}), 6),
            (
                json!({"anyOf": [{"$ref": "#/$defs/a"}, {}], "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}, {}]}}}),
                3,
            ),
        ] {
            assert_eq!(most(&schema), expected, "{schema}");
        }
        let doubling: Vec<_> = (0..80).map(|_| json!({"anyOf": [{}, {}]})).collect();
        assert_eq!(most(&json!({"allOf": doubling})), u64::MAX);
    }
}
