//! Data as the bytes of a message: the plan and the borrowed JSON are walked together, as the JSON mapping of Protobuf
//! says, fields in the order of their numbers.

mod known;
mod number;
mod scalar;

use super::plan::{Field, Kind, Message, Plan, Scalar, Shape};
use super::wire::{Layout, begin, end, key};
use crate::event::json::Value;
use crate::schema::Violation;

/// At most this many violations are told.
const VIOLATIONS_MAX: usize = 20;
/// Arrays and objects may nest this deep, so that what is written can be read again.
pub(super) const DEPTH_MAX: usize = 64;
/// How much of a member's name a pointer shows.
const NAME_CHARACTERS_MAX: usize = 200;
/// A pointer through hostile names is told up to here.
const POINTER_BYTES_MAX: usize = 2_000;

/// Appends data as a message of the plan.
pub(super) fn encode(
    plan: &Plan,
    message: &Message,
    data: &Value<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Vec<Violation>> {
    let before = out.len();
    let mut encoder = Encoder { plan, out, path: Vec::new(), members: Vec::new(), violations: Vec::new() };
    encoder.message(message, data);
    let mut violations = encoder.violations;
    if violations.is_empty() {
        return Ok(());
    }
    out.truncate(before);
    violations.sort();
    violations.dedup();
    violations.truncate(VIOLATIONS_MAX);
    Err(violations)
}

/// A step from a value to a part of it.
#[derive(Debug, Clone, Copy)]
enum Step<'v> {
    /// A member that the schema names.
    Member(&'v str),
    /// A member of any name.
    Entry(&'v str),
    Element(usize),
}

/// The walk. What breaks the schema is told and passed over, so that one walk finds all of it.
struct Encoder<'p, 'v> {
    plan: &'p Plan,
    out: &'p mut Vec<u8>,
    path: Vec<Step<'v>>,
    /// The members of the messages that are being written, each with the number of its field: a stack.
    members: Vec<(usize, &'v str, &'v Value<'v>)>,
    violations: Vec<Violation>,
}

impl<'p, 'v> Encoder<'p, 'v> {
    /// The fields of a message; what stands around them is the caller's.
    fn message(&mut self, message: &'p Message, value: &'v Value<'v>) {
        if self.path.len() > DEPTH_MAX {
            return self.violation("maxDepth", format!("must not nest deeper than {DEPTH_MAX} levels"));
        }
        if let Some(known) = message.known {
            return self.known(message, known, value);
        }
        let Some(members) = value.as_object() else {
            return self.wrong_type("object");
        };
        let start = self.members.len();
        self.gather(message, members, start);
        self.check_members(message, start);
        let end = self.members.len();
        for at in start..end {
            let Some((index, name, value)) = self.members.get(at).copied() else { break };
            let Some(field) = message.fields.get(index) else { continue };
            self.path.push(Step::Member(name));
            self.field(field, value);
            self.path.pop();
        }
        self.members.truncate(start);
    }

    /// Puts the members that have a value on the stack, by the numbers of their fields.
    fn gather(
        &mut self,
        message: &Message,
        members: &'v [(std::borrow::Cow<'v, str>, Value<'v>)],
        start: usize,
    ) {
        let (mut next, mut is_sorted) = (0, true);
        for (name, value) in members {
            let Some(index) = message.find(name, next) else {
                self.violation_at(
                    Step::Entry(name),
                    "additionalProperties",
                    "is not a member that the schema knows".to_owned(),
                );
                continue;
            };
            is_sorted &= index >= next;
            next = index + 1;
            let is_absent = value.is_null()
                && message.fields.get(index).is_some_and(|field| {
                    !matches!(field.shape, Shape::One { .. }) || !self.plan.takes_null(field.kind)
                });
            if !is_absent {
                self.members.push((index, name, value));
            }
        }
        if let (false, Some(own)) = (is_sorted, self.members.get_mut(start..)) {
            own.sort_by_key(|(index, ..)| *index);
        }
    }

    /// Rules that concern the members of a message together.
    fn check_members(&mut self, message: &Message, start: usize) {
        let mut seen: Vec<bool> = if message.oneofs == 0 { Vec::new() } else { vec![false; message.oneofs] };
        let mut last = None;
        for at in start..self.members.len() {
            let Some((index, name, _)) = self.members.get(at).copied() else { break };
            if last == Some(index) {
                self.violation_at(
                    Step::Member(name),
                    "additionalProperties",
                    "is there under another name already".to_owned(),
                );
            }
            let oneof =
                message.fields.get(index).and_then(|field| field.oneof).filter(|_| last != Some(index));
            if let Some(is_seen) = oneof.and_then(|oneof| seen.get_mut(oneof))
                && std::mem::replace(is_seen, true)
            {
                let words = "must not be there together with another member of its oneof".to_owned();
                self.violation_at(Step::Member(name), "oneOf", words);
            }
            last = Some(index);
        }
        for index in &message.required {
            let own = self.members.get(start..).unwrap_or_default();
            if own.binary_search_by_key(index, |(index, ..)| *index).is_err()
                && let Some(field) = message.fields.get(*index)
            {
                self.violation_at(Step::Member(&field.name), "required", "is required".to_owned());
            }
        }
    }

    fn field(&mut self, field: &'p Field, value: &'v Value<'v>) {
        match field.shape {
            Shape::One { has_presence } => {
                let before = self.out.len();
                self.out.extend_from_slice(&field.key);
                let is_default = self.value(field.kind, field.number, value);
                if is_default && !has_presence {
                    self.out.truncate(before);
                }
            }
            Shape::List { is_packed } => match value.as_array() {
                Some([]) => {}
                Some(elements) if is_packed => self.packed(field, elements),
                Some(elements) => self.elements(field, elements),
                None => self.wrong_type("array"),
            },
            Shape::Map { keys } => match value.as_object() {
                Some(members) => self.map(field, keys, members),
                None => self.wrong_type("object"),
            },
        }
    }

    fn packed(&mut self, field: &'p Field, elements: &'v [Value<'v>]) {
        self.out.extend_from_slice(&field.key);
        let start = begin(self.out);
        for (index, element) in elements.iter().enumerate() {
            self.path.push(Step::Element(index));
            self.value(field.kind, field.number, element);
            self.path.pop();
        }
        end(self.out, start);
    }

    fn elements(&mut self, field: &'p Field, elements: &'v [Value<'v>]) {
        for (index, element) in elements.iter().enumerate() {
            self.path.push(Step::Element(index));
            self.out.extend_from_slice(&field.key);
            self.value(field.kind, field.number, element);
            self.path.pop();
        }
    }

    fn map(&mut self, field: &'p Field, keys: Scalar, members: &'v [(std::borrow::Cow<'v, str>, Value<'v>)]) {
        let value_key = key(2, field.kind.layout());
        let name_key = key(1, keys.layout());
        for (name, value) in members {
            self.path.push(Step::Entry(name));
            self.out.extend_from_slice(&field.key);
            let start = begin(self.out);
            self.out.extend_from_slice(&name_key);
            if let Err(words) = scalar::write_map_key(self.out, keys, name) {
                self.violation("propertyNames", format!("has a name that {words}"));
            }
            self.out.extend_from_slice(&value_key);
            self.value(field.kind, 2, value);
            end(self.out, start);
            self.path.pop();
        }
    }

    /// One value; answers whether it is what an absent one is.
    fn value(&mut self, kind: Kind, number: u32, value: &'v Value<'v>) -> bool {
        let plan = self.plan;
        match kind {
            Kind::Scalar(scalar) => match scalar::write(self.out, scalar, value) {
                Ok(is_default) => return is_default,
                Err(broken) => self.violation(broken.keyword, broken.words),
            },
            Kind::Enum(index) => {
                if let Some(enumeration) = plan.enumeration(index) {
                    match scalar::write_enum(self.out, enumeration, value) {
                        Ok(is_default) => return is_default,
                        Err(broken) => self.violation(broken.keyword, broken.words),
                    }
                }
            }
            Kind::Message(index) => {
                if let Some(message) = plan.message(index) {
                    let start = begin(self.out);
                    self.message(message, value);
                    end(self.out, start);
                }
            }
            Kind::Group(index) => {
                if let Some(message) = plan.message(index) {
                    self.message(message, value);
                    self.out.extend_from_slice(&key(number, Layout::GroupEnd));
                }
            }
        }
        false
    }

    fn wrong_type(&mut self, wanted: &str) {
        self.violation("type", format!("must be of type {wanted}"));
    }

    fn violation(&mut self, keyword: &str, message: String) {
        if self.violations.len() >= VIOLATIONS_MAX {
            return;
        }
        let (mut pointer, mut place) = ("/data".to_owned(), "/data".to_owned());
        for &step in &self.path {
            if pointer.len() > POINTER_BYTES_MAX {
                pointer.push('…');
                place.push('…');
                break;
            }
            push(&mut pointer, &mut place, step);
        }
        self.violations.push(Violation { pointer, place, keyword: keyword.to_owned(), message });
    }

    /// A violation by a member of what is being written.
    fn violation_at(&mut self, step: Step<'_>, keyword: &str, message: String) {
        let before = self.violations.len();
        self.violation(keyword, message);
        if let Some(Violation { pointer, place, .. }) = self.violations.get_mut(before) {
            push(pointer, place, step);
        }
    }
}

/// One step more, told whole and in the schema's own names.
fn push(pointer: &mut String, place: &mut String, step: Step<'_>) {
    match step {
        Step::Member(name) | Step::Entry(name) => {
            let shown: String = name.chars().take(NAME_CHARACTERS_MAX).collect();
            let shown = format!("/{}", shown.replace('~', "~0").replace('/', "~1"));
            pointer.push_str(&shown);
            place.push_str(if matches!(step, Step::Member(_)) { &shown } else { "/*" });
        }
        Step::Element(index) => {
            pointer.push_str(&format!("/{index}"));
            place.push_str("/*");
        }
    }
}
