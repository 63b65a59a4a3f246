//! Elements: their number, their schemas, and what an array must hold.

use serde_json::Value;

use super::super::facts::{greatest, least, whole};
use super::super::place::Node;
use super::scalars::{size, told};
use super::{At, Differ, Rule, Step, Wish, shown};

pub(super) fn is_about_arrays(keyword: &str) -> bool {
    matches!(
        keyword,
        "items" | "prefixItems" | "minItems" | "maxItems" | "uniqueItems" | "contains" | "unevaluatedItems"
    )
}

/// How many elements the writers allow; lists that end bound it too.
fn elements_max(writers: &[Node<'_>]) -> Option<u64> {
    let ended = writers.iter().filter(|writer| writer.get("items") == Some(&Value::Bool(false)));
    let ends = ended.map(|writer| u64::try_from(writer.list("prefixItems").count()).unwrap_or(u64::MAX));
    ends.chain(least(writers, "maxItems")).min()
}

fn elements<'b>(writers: &[Node<'b>], index: usize) -> Vec<Node<'b>> {
    writers.iter().filter_map(|writer| writer.element(index)).collect()
}

impl<'b> Differ<'b> {
    pub(super) fn array(&mut self, writers: &[Node<'b>], keyword: &str, reader: Node<'b>, at: &At) -> bool {
        let (place, wanted) = (at.keyword(keyword), reader.get(keyword).unwrap_or(&Value::Null));
        let limit = whole(wanted).unwrap_or_default();
        match keyword {
            "minItems" => {
                let own = greatest(writers, keyword);
                let fewer = Wish::Elements(size(own.unwrap_or(0)));
                own.unwrap_or(0) >= limit
                    || self.find(Rule::MinItemsRaised, &place, &shown(wanted), &told(own), fewer)
            }
            "maxItems" => {
                let own = elements_max(writers);
                let more = Wish::Elements(size(limit.saturating_add(1)));
                own.is_some_and(|own| own <= limit)
                    || self.find(Rule::MaxItemsLowered, &place, &shown(wanted), &told(own), more)
            }
            "uniqueItems" => {
                let is_unique = writers.iter().any(|writer| writer.get(keyword) == Some(&Value::Bool(true)));
                *wanted == Value::Bool(false)
                    || is_unique
                    || elements_max(writers).is_some_and(|own| own < 2)
                    || self.find(
                        Rule::UniqueItemsAdded,
                        &place,
                        "no equal elements",
                        "equal ones",
                        Wish::Elements(2),
                    )
            }
            "prefixItems" => self.first_elements(writers, reader, at),
            "items" => self.other_elements(writers, reader, at),
            "contains" => self.contains(writers, reader, &place),
            _ => {
                *wanted == Value::Bool(true)
                    || self.find(Rule::Unfollowed, &place, "unevaluatedItems", "", Wish::Anything)
            }
        }
    }

    fn first_elements(&mut self, writers: &[Node<'b>], reader: Node<'b>, at: &At) -> bool {
        let count = elements_max(writers).map_or(usize::MAX, size);
        let mut follows = true;
        for (index, element) in reader.list("prefixItems").enumerate().take(count) {
            let place = at.named("prefixItems", &index.to_string()).step(Step::Element(index));
            follows &= self.follows(&elements(writers, index), element, &place);
        }
        follows
    }

    fn other_elements(&mut self, writers: &[Node<'b>], reader: Node<'b>, at: &At) -> bool {
        let Some(schema) = reader.get("items") else { return true };
        let from = reader.list("prefixItems").count();
        let known = writers.iter().map(|writer| writer.list("prefixItems").count()).max().unwrap_or(0);
        let count = elements_max(writers).map_or(usize::MAX, size);
        let mut follows = true;
        // One past the last that a writer describes by itself stands for all that come after.
        for index in (from..=known.max(from)).take_while(|index| *index < count) {
            let place = at.keyword("items").step(Step::Element(index));
            follows &= self.follows(&elements(writers, index), reader.at(schema), &place);
        }
        follows
    }

    fn contains(&mut self, writers: &[Node<'b>], reader: Node<'b>, place: &At) -> bool {
        let Some(wanted) = reader.get("contains").map(|schema| reader.at(schema)) else { return true };
        let fewest = |node: Node<'_>| node.get("minContains").and_then(whole).unwrap_or(1);
        let most = |node: Node<'_>| node.get("maxContains").and_then(whole);
        let (mut has_enough, mut has_few) = (fewest(reader) == 0, most(reader).is_none());
        for writer in writers {
            let Some(own) = writer.get("contains").map(|schema| writer.at(schema)) else { continue };
            has_enough |= fewest(*writer) >= fewest(reader)
                && self.quietly(|differ| differ.follows(&[own], wanted, place));
            has_few |= most(*writer).is_some_and(|own| most(reader).is_none_or(|most| own <= most))
                && self.quietly(|differ| differ.follows(&[wanted], own, place));
        }
        (has_enough && has_few)
            || self.find(
                Rule::ContainsChanged,
                place,
                &shown(wanted.schema),
                "other elements",
                Wish::Elements(0),
            )
    }
}
