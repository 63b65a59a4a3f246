//! Schemas combined: all, any, one or none of them, and those under a condition.

use super::super::facts::is_impossible;
use super::super::place::Node;
use super::{At, Differ, Rule, Wish, shown};

/// So deep contradictions are looked for.
const DEPTH_MAX: usize = 3;

impl<'b> Differ<'b> {
    pub(super) fn all_of(&mut self, writers: &[Node<'b>], reader: Node<'b>, at: &At) -> bool {
        let mut follows = true;
        for (index, schema) in reader.list("allOf").enumerate() {
            follows &= self.follows(writers, schema, &at.named("allOf", &index.to_string()));
        }
        follows
    }

    pub(super) fn any_of(&mut self, writers: &[Node<'b>], reader: Node<'b>, at: &At) -> bool {
        let place = at.keyword("anyOf");
        if reader.list("anyOf").any(|branch| self.quietly(|differ| differ.follows(writers, branch, &place))) {
            return true;
        }
        let possible = possible_branches(writers, reader, "anyOf");
        match possible.as_slice() {
            [(index, only)] => self.follows(writers, *only, &at.named("anyOf", &index.to_string())),
            _ => self.find(Rule::BranchRemoved, &place, "one of its alternatives", "", Wish::Anything),
        }
    }

    pub(super) fn one_of(&mut self, writers: &[Node<'b>], reader: Node<'b>, at: &At) -> bool {
        let place = at.keyword("oneOf");
        let possible = possible_branches(writers, reader, "oneOf");
        if let [(index, only)] = possible.as_slice() {
            return self.follows(writers, *only, &at.named("oneOf", &index.to_string()));
        }
        for (index, branch) in &possible {
            if self.quietly(|differ| differ.follows(writers, *branch, &place)) {
                let are_others_out = possible
                    .iter()
                    .filter(|(other, _)| other != index)
                    .all(|(_, other)| self.is_excluded(writers, *other, &place));
                return are_others_out
                    || self.find(
                        Rule::OneOfChanged,
                        &place,
                        "only one of its alternatives",
                        "",
                        Wish::Anything,
                    );
            }
        }
        self.find(Rule::BranchRemoved, &place, "one of its alternatives", "", Wish::Anything)
    }

    /// Whether an alternative cannot hold since the writer's own `oneOf` excludes what it accepts.
    fn is_excluded(&mut self, writers: &[Node<'b>], other: Node<'b>, at: &At) -> bool {
        let ids: Vec<usize> = writers.iter().map(|writer| writer.id()).collect();
        for writer in writers {
            let own: Vec<Node<'b>> = writer.list("oneOf").collect();
            let Some(held) = own.iter().position(|branch| ids.contains(&branch.id())) else { continue };
            for (index, sibling) in own.iter().enumerate() {
                if index != held && self.quietly(|differ| differ.follows(&[other], *sibling, at)) {
                    return true;
                }
            }
        }
        false
    }

    pub(super) fn not(&mut self, writers: &[Node<'b>], refused: Node<'b>, at: &At) -> bool {
        let place = at.keyword("not");
        if is_beside(writers, refused) {
            return true;
        }
        for writer in writers {
            let Some(own) = writer.get("not").map(|schema| writer.at(schema)) else { continue };
            if self.quietly(|differ| differ.follows(&[refused], own, &place)) {
                return true;
            }
        }
        self.find(Rule::NotChanged, &place, &shown(refused.schema), "", Wish::Anything)
    }

    pub(super) fn condition(&mut self, writers: &[Node<'b>], reader: Node<'b>, at: &At) -> bool {
        let part = |keyword: &str| reader.get(keyword).map(|schema| reader.at(schema));
        let Some(condition) = part("if") else { return true };
        let (mut holding, mut failing) = (writers.to_vec(), writers.to_vec());
        holding.push(condition);
        for writer in writers {
            let Some(own) = writer.get("if").map(|schema| writer.at(schema)) else { continue };
            let (there, back) = (
                self.quietly(|differ| differ.follows(&[own], condition, at)),
                self.quietly(|differ| differ.follows(&[condition], own, at)),
            );
            if back {
                holding.extend(writer.get("then").map(|schema| writer.at(schema)));
            }
            if there {
                failing.extend(writer.get("else").map(|schema| writer.at(schema)));
            }
        }
        let always = self.quietly(|differ| differ.follows(writers, condition, at));
        let never = is_beside(writers, condition);
        let before = self.findings.len();
        let mut follows = true;
        if let (Some(then), false) = (part("then"), never) {
            follows &= self.follows(&holding, then, &at.keyword("then"));
        }
        if let (Some(otherwise), false) = (part("else"), always) {
            follows &= self.follows(&failing, otherwise, &at.keyword("else"));
        }
        if !follows && self.findings.len() == before {
            self.find(Rule::ConditionChanged, &at.keyword("if"), "what it says", "", Wish::Anything);
        }
        follows
    }
}

/// The alternatives that a value of the writers may satisfy.
fn possible_branches<'b>(writers: &[Node<'b>], reader: Node<'b>, keyword: &str) -> Vec<(usize, Node<'b>)> {
    reader.list(keyword).enumerate().filter(|(_, branch)| !is_beside(writers, *branch)).collect()
}

/// Whether no value of the writers satisfies a schema; `false` also where that is not seen.
fn is_beside(writers: &[Node<'_>], schema: Node<'_>) -> bool {
    let mut all = writers.to_vec();
    all.push(schema);
    is_impossible(&all, DEPTH_MAX)
}
