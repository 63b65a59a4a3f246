//! Members: which must be there, which may, and what they hold.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::facts::{greatest, is_refused, least, member, required, whole};
use super::super::place::Node;
use super::super::validator;
use super::scalars::{size, told};
use super::{At, Differ, Rule, Step, Wish, shown};

/// A member that no schema names, for examples.
const UNNAMED: &str = "unexpectedMember";

pub(super) fn is_about_objects(keyword: &str) -> bool {
    matches!(
        keyword,
        "required"
            | "properties"
            | "patternProperties"
            | "additionalProperties"
            | "propertyNames"
            | "minProperties"
            | "maxProperties"
            | "dependentRequired"
            | "dependentSchemas"
            | "unevaluatedProperties"
    )
}

/// The members that some writer names.
fn named<'b>(writers: &[Node<'b>]) -> BTreeSet<&'b str> {
    let names = writers.iter().flat_map(|writer| writer.map("properties").map(|(name, _)| name));
    names.chain(required(writers)).collect()
}

/// How many members the writers allow.
fn members_max(writers: &[Node<'_>]) -> Option<u64> {
    let is_closed = |writer: &&Node<'_>| {
        writer.get("additionalProperties") == Some(&Value::Bool(false))
            && writer.map("patternProperties").next().is_none()
    };
    let closed = writers.iter().filter(is_closed);
    let counts = closed.map(|writer| u64::try_from(writer.map("properties").count()).unwrap_or(u64::MAX));
    counts.chain(least(writers, "maxProperties")).min()
}

impl<'b> Differ<'b> {
    pub(super) fn object(&mut self, writers: &[Node<'b>], keyword: &str, reader: Node<'b>, at: &At) -> bool {
        let (place, wanted) = (at.keyword(keyword), reader.get(keyword).unwrap_or(&Value::Null));
        let limit = whole(wanted).unwrap_or_default();
        match keyword {
            "required" => self.required(writers, reader, &place),
            "properties" => self.properties(writers, reader, at),
            "patternProperties" => self.pattern_properties(writers, reader, at),
            "additionalProperties" => self.additional_properties(writers, reader, &place),
            "propertyNames" => self.property_names(writers, reader.at(wanted), &place),
            "minProperties" => {
                let own = u64::try_from(required(writers).len()).ok().max(greatest(writers, keyword));
                let fewer = Wish::Members(size(own.unwrap_or(0)));
                own.unwrap_or(0) >= limit
                    || self.find(Rule::MinPropertiesRaised, &place, &shown(wanted), &told(own), fewer)
            }
            "maxProperties" => {
                let own = members_max(writers);
                let more = Wish::Members(size(limit.saturating_add(1)));
                own.is_some_and(|own| own <= limit)
                    || self.find(Rule::MaxPropertiesLowered, &place, &shown(wanted), &told(own), more)
            }
            "dependentRequired" => self.dependent_required(writers, reader, &place),
            "dependentSchemas" => self.dependent_schemas(writers, reader, at),
            _ => {
                *wanted == Value::Bool(true)
                    || self.find(Rule::Unfollowed, &place, "unevaluatedProperties", "", Wish::Anything)
            }
        }
    }

    fn required(&mut self, writers: &[Node<'b>], reader: Node<'b>, place: &At) -> bool {
        let (own, mut follows) = (required(writers), true);
        for name in required(&[reader]) {
            if !own.contains(name) {
                let without = Wish::Without { name: name.to_owned(), beside: None };
                follows = self.find(Rule::RequiredAdded, place, name, "", without);
            }
        }
        follows
    }

    fn properties(&mut self, writers: &[Node<'b>], reader: Node<'b>, at: &At) -> bool {
        let mut follows = true;
        for (name, schema) in reader.map("properties") {
            let place = at.named("properties", name).step(Step::Member(name.to_owned()));
            let own = member(writers, name);
            if is_refused(&own) {
                continue;
            }
            if !own.is_empty() {
                follows &= self.follows(&own, schema, &place);
            } else if !self.quietly(|differ| differ.follows(&own, schema, &place)) {
                let refused = refused_by(schema).map_or(Wish::Anything, Wish::Exactly);
                follows = self.find(Rule::PropertyAddedToOpen, &place, name, "", refused);
            }
        }
        follows
    }

    fn pattern_properties(&mut self, writers: &[Node<'b>], reader: Node<'b>, at: &At) -> bool {
        let (names, mut follows) = (named(writers), true);
        for (pattern, schema) in reader.map("patternProperties") {
            let place = at.named("patternProperties", pattern);
            for name in names.iter().filter(|name| reader.is_match(pattern, name)) {
                let own = member(writers, name);
                let place = place.clone().step(Step::Member((*name).to_owned()));
                follows &= is_refused(&own) || self.follows(&own, schema, &place);
            }
            // Other names: a writer that says the same of them, or that says nothing by patterns.
            let same = |writer: &Node<'b>| {
                let by_pattern = writer.map("patternProperties").find(|(own, _)| *own == pattern);
                let is_plain = writer.map("patternProperties").next().is_none();
                let rest = writer.get("additionalProperties").filter(|_| is_plain);
                by_pattern.map(|(_, schema)| schema).or_else(|| rest.map(|schema| writer.at(schema)))
            };
            let own: Vec<Node<'b>> = writers.iter().filter_map(same).collect();
            follows &= is_refused(&own) || self.follows(&own, schema, &place);
        }
        follows
    }

    fn additional_properties(&mut self, writers: &[Node<'b>], reader: Node<'b>, place: &At) -> bool {
        let Some(rest) = reader.get("additionalProperties").map(|schema| reader.at(schema)) else {
            return true;
        };
        let is_own = |name: &str| {
            reader.map("properties").any(|(own, _)| own == name)
                || reader.map("patternProperties").any(|(pattern, _)| reader.is_match(pattern, name))
        };
        let mut follows = true;
        for name in named(writers).into_iter().filter(|name| !is_own(name)) {
            let own = member(writers, name);
            follows &= self.other_member(&own, rest, name, place);
        }
        let has_pattern = |pattern: &str| reader.map("patternProperties").any(|(own, _)| own == pattern);
        for writer in writers {
            for (pattern, schema) in writer.map("patternProperties").filter(|(own, _)| !has_pattern(own)) {
                follows &= self.other_member(&[schema], rest, pattern, place);
            }
        }
        let own: Vec<Node<'b>> = writers
            .iter()
            .filter_map(|writer| writer.get("additionalProperties").map(|schema| writer.at(schema)))
            .collect();
        follows & self.other_member(&own, rest, UNNAMED, place)
    }

    /// A member that falls under the reader's `additionalProperties`.
    fn other_member(&mut self, own: &[Node<'b>], rest: Node<'b>, name: &str, place: &At) -> bool {
        if is_refused(own) {
            return true;
        }
        let place = place.clone().step(Step::Member(name.to_owned()));
        let told = if name == UNNAMED { "members that it does not name" } else { name };
        if rest.is_nothing() {
            return self.find(Rule::PropertyRefused, &place, told, "", Wish::Anything);
        }
        if own.is_empty() && !self.quietly(|differ| differ.follows(own, rest, &place)) {
            let refused = refused_by(rest).map_or(Wish::Anything, Wish::Exactly);
            return self.find(Rule::AdditionalNarrowed, &place, &shown(rest.schema), "", refused);
        }
        self.follows(own, rest, &place)
    }

    fn property_names(&mut self, writers: &[Node<'b>], reader: Node<'b>, place: &At) -> bool {
        let own: Vec<Node<'b>> =
            writers.iter().filter_map(|writer| Some(writer.at(writer.get("propertyNames")?))).collect();
        if !own.is_empty() && self.quietly(|differ| differ.follows(&own, reader, place)) {
            return true;
        }
        let is_closed = members_max(writers).is_some()
            && writers.iter().any(|writer| writer.get("additionalProperties") == Some(&Value::Bool(false)))
            && writers.iter().all(|writer| writer.map("patternProperties").next().is_none());
        let is_taken = |name: &&str| {
            let name = Value::String((*name).to_owned());
            validator(reader).is_some_and(|judge| judge.is_valid(&name))
        };
        if is_closed && named(writers).iter().all(is_taken) {
            return true;
        }
        self.find(Rule::NamesNarrowed, place, &shown(reader.schema), "", Wish::Anything)
    }

    fn dependent_required(&mut self, writers: &[Node<'b>], reader: Node<'b>, place: &At) -> bool {
        let (always, mut follows) = (required(writers), true);
        for (name, wanted) in reader.map("dependentRequired") {
            if is_refused(&member(writers, name)) {
                continue;
            }
            let of = |node: &Node<'b>| node.map("dependentRequired").find(|(own, _)| *own == name);
            for other in wanted.schema.as_array().into_iter().flatten() {
                let is_wanted = writers
                    .iter()
                    .filter_map(of)
                    .any(|(_, own)| own.schema.as_array().is_some_and(|names| names.contains(other)));
                let other = other.as_str().unwrap_or_default();
                if !is_wanted && !always.contains(other) {
                    let told = format!("{other} where there is {name}");
                    let without = Wish::Without { name: other.to_owned(), beside: Some(name.to_owned()) };
                    follows = self.find(Rule::DependencyAdded, place, &told, "", without);
                }
            }
        }
        follows
    }

    fn dependent_schemas(&mut self, writers: &[Node<'b>], reader: Node<'b>, at: &At) -> bool {
        let mut follows = true;
        for (name, schema) in reader.map("dependentSchemas") {
            if is_refused(&member(writers, name)) {
                continue;
            }
            let of = |node: &Node<'b>| node.map("dependentSchemas").find(|(own, _)| *own == name);
            let mut own = writers.to_vec();
            own.extend(writers.iter().filter_map(of).map(|(_, schema)| schema));
            follows &= self.follows(&own, schema, &at.named("dependentSchemas", name));
        }
        follows
    }
}

/// Some value that a schema refuses.
fn refused_by(schema: Node<'_>) -> Option<Value> {
    let judge = validator(schema)?;
    let mut values =
        vec![Value::Null, Value::from("text"), Value::from(-1), Value::from(0.5), Value::from("")];
    values.extend([Value::Bool(true), Value::Array(Vec::new()), Value::Object(serde_json::Map::new())]);
    values.into_iter().find(|value| !judge.is_valid(value))
}
