//! The bytes of a message as JSON in one line, as the JSON mapping of Protobuf says.
//!
//! Names are the mapping's (`lowerCamelCase`, or what the schema calls `json_name`), whichever of its two names a producer
//! posted. Values that cannot be told from absent ones are always written, so that a posted `0` is read as `0`: the
//! mapping allows both. Whole numbers of 64 bits are text, since JSON's numbers are not that exact for all readers.

mod known;
mod scalar;

use std::collections::BTreeMap;

use super::encode::DEPTH_MAX;
use super::plan::{Field, Kind, Message, Plan, Scalar, Shape};
use super::wire::{Layout, Wire, read_array, read_field, read_varint};
use crate::event::json::write_text;
use crate::schema::codec::Undecodable;

/// Appends the JSON of a message.
pub(super) fn decode(
    plan: &Plan,
    message: &Message,
    encoded: &[u8],
    bytes_max: usize,
    out: &mut Vec<u8>,
) -> Result<(), Undecodable> {
    let before = out.len();
    let length_max = before.saturating_add(bytes_max);
    let mut decoder = Decoder { plan, out, length_max, found: Vec::new() };
    let decoded = decoder.message(message, &[encoded], 0);
    if decoded.is_err() {
        out.truncate(before);
    }
    decoded
}

pub(super) fn undecodable(problem: impl Into<String>) -> Undecodable {
    Undecodable { problem: problem.into() }
}

/// The walk. Parts of a message that stands in several pieces are its parts together.
struct Decoder<'p, 'o, 'b> {
    plan: &'p Plan,
    out: &'o mut Vec<u8>,
    length_max: usize,
    /// What was found of the messages that are being written, each with the number of its field: a stack.
    found: Vec<(usize, Wire<'b>)>,
}

impl<'p, 'b> Decoder<'p, '_, 'b> {
    fn message(
        &mut self,
        message: &'p Message,
        pieces: &[&'b [u8]],
        depth: usize,
    ) -> Result<(), Undecodable> {
        if depth > DEPTH_MAX {
            return Err(undecodable(format!("nests deeper than {DEPTH_MAX} levels")));
        }
        let start = self.found.len();
        let last = self.gather(message, pieces, start)?;
        match message.known {
            Some(known) => self.known(message, known, (start, &last), depth)?,
            None => self.object(message, &last, start, depth)?,
        }
        self.found.truncate(start);
        self.check_length()
    }

    /// Puts the fields on the stack, by number and then as they stand; answers which field of each oneof came last.
    fn gather(
        &mut self,
        message: &Message,
        pieces: &[&'b [u8]],
        start: usize,
    ) -> Result<Vec<usize>, Undecodable> {
        let (mut last, mut before, mut is_sorted) = (vec![usize::MAX; message.oneofs], 0, true);
        for piece in pieces {
            let mut rest = *piece;
            while !rest.is_empty() {
                let (number, wire) = read_field(&mut rest)
                    .ok_or_else(|| undecodable(format!("a field of {} is cut off", message.name)))?;
                // A newer schema may have more fields.
                let Some(index) = message.numbered(number) else { continue };
                let Some(field) = message.fields.get(index) else { continue };
                if !fits(field, wire) {
                    let words = format!("field {number} of {} is laid out as another type", message.name);
                    return Err(undecodable(words));
                }
                if let Some(last) = field.oneof.and_then(|oneof| last.get_mut(oneof)) {
                    *last = index;
                }
                is_sorted &= index >= before;
                before = index;
                self.found.push((index, wire));
            }
        }
        if let (false, Some(own)) = (is_sorted, self.found.get_mut(start..)) {
            own.sort_by_key(|(index, _)| *index);
        }
        Ok(last)
    }

    fn object(
        &mut self,
        message: &'p Message,
        last: &[usize],
        start: usize,
        depth: usize,
    ) -> Result<(), Undecodable> {
        self.out.push(b'{');
        let (mut at, mut is_first) = (start, true);
        for (index, field) in message.fields.iter().enumerate() {
            let begin = at;
            while self.found.get(at).is_some_and(|(found, _)| *found == index) {
                at += 1;
            }
            let is_replaced =
                field.oneof.and_then(|oneof| last.get(oneof)).is_some_and(|last| *last != index);
            let is_absent = begin == at && field.shape == Shape::One { has_presence: true };
            if is_replaced || is_absent {
                continue;
            }
            if !std::mem::take(&mut is_first) {
                self.out.push(b',');
            }
            write_text(self.out, &field.name);
            self.out.push(b':');
            self.field(field, begin..at, depth + 1)?;
            self.check_length()?;
        }
        self.out.push(b'}');
        Ok(())
    }

    fn field(
        &mut self,
        field: &'p Field,
        found: std::ops::Range<usize>,
        depth: usize,
    ) -> Result<(), Undecodable> {
        match field.shape {
            Shape::One { .. } => self.one(field.kind, found, depth),
            Shape::List { .. } => self.list(field, found, depth),
            Shape::Map { keys } => self.map(field, keys, found, depth),
        }
    }

    /// A value of which there is one: the last, or a message of all the pieces.
    fn one(&mut self, kind: Kind, found: std::ops::Range<usize>, depth: usize) -> Result<(), Undecodable> {
        let own = self.found.get(found).unwrap_or_default();
        match kind {
            Kind::Scalar(_) | Kind::Enum(_) => {
                let last = own.last().map(|(_, wire)| *wire);
                self.value(kind, last, depth)
            }
            Kind::Message(index) | Kind::Group(index) => {
                let pieces: Vec<&'b [u8]> = own.iter().map(|(_, wire)| inside(*wire)).collect();
                self.message_at(index, &pieces, depth)
            }
        }
    }

    fn list(
        &mut self,
        field: &'p Field,
        found: std::ops::Range<usize>,
        depth: usize,
    ) -> Result<(), Undecodable> {
        self.out.push(b'[');
        let mut is_first = true;
        for at in found {
            let Some((_, wire)) = self.found.get(at).copied() else { break };
            match wire {
                Wire::Bytes(mut run) if field.kind.layout() != Layout::Length => {
                    while !run.is_empty() {
                        let element = unpack(&mut run, field.kind.layout())
                            .ok_or_else(|| undecodable("a run of numbers is cut off"))?;
                        self.element(field.kind, element, &mut is_first, depth)?;
                    }
                }
                Wire::Bytes(_) | Wire::Varint(_) | Wire::Fixed64(_) | Wire::Group(_) | Wire::Fixed32(_) => {
                    self.element(field.kind, wire, &mut is_first, depth)?;
                }
            }
        }
        self.out.push(b']');
        Ok(())
    }

    fn element(
        &mut self,
        kind: Kind,
        wire: Wire<'b>,
        is_first: &mut bool,
        depth: usize,
    ) -> Result<(), Undecodable> {
        if !std::mem::take(is_first) {
            self.out.push(b',');
        }
        self.value(kind, Some(wire), depth + 1)?;
        self.check_length()
    }

    /// Entries by key; of a key that comes again, the last counts.
    fn map(
        &mut self,
        field: &'p Field,
        keys: Scalar,
        found: std::ops::Range<usize>,
        depth: usize,
    ) -> Result<(), Undecodable> {
        let mut entries = BTreeMap::new();
        for at in found {
            let Some((_, wire)) = self.found.get(at).copied() else { break };
            let (key, value) = entry(inside(wire), keys, field.kind)?;
            entries.insert(scalar::map_key(keys, key)?, value);
        }
        self.out.push(b'{');
        let mut is_first = true;
        for (key, value) in entries {
            if !std::mem::take(&mut is_first) {
                self.out.push(b',');
            }
            write_text(self.out, &key);
            self.out.push(b':');
            match (value, field.kind) {
                (None, Kind::Message(index)) => self.message_at(index, &[], depth + 1)?,
                (value, kind) => self.value(kind, value, depth + 1)?,
            }
            self.check_length()?;
        }
        self.out.push(b'}');
        Ok(())
    }

    /// One value; the default where there is none.
    fn value(&mut self, kind: Kind, wire: Option<Wire<'b>>, depth: usize) -> Result<(), Undecodable> {
        match kind {
            Kind::Scalar(scalar) => scalar::write(self.out, scalar, wire),
            Kind::Enum(index) => {
                if let Some(enumeration) = self.plan.enumeration(index) {
                    scalar::write_enum(self.out, enumeration, wire);
                }
                Ok(())
            }
            Kind::Message(index) | Kind::Group(index) => {
                self.message_at(index, &[wire.map(inside).unwrap_or_default()], depth)
            }
        }
    }

    fn message_at(&mut self, index: usize, pieces: &[&'b [u8]], depth: usize) -> Result<(), Undecodable> {
        let plan = self.plan;
        plan.message(index).map_or(Ok(()), |message| self.message(message, pieces, depth))
    }

    fn check_length(&self) -> Result<(), Undecodable> {
        if self.out.len() > self.length_max {
            return Err(undecodable("becomes too much JSON"));
        }
        Ok(())
    }
}

/// Whether bytes are laid out as a field has them; numbers of lists may come one by one or in a run.
fn fits(field: &Field, wire: Wire<'_>) -> bool {
    let layout = match wire {
        Wire::Varint(_) => Layout::Varint,
        Wire::Fixed64(_) => Layout::Fixed64,
        Wire::Bytes(_) => Layout::Length,
        Wire::Group(_) => Layout::GroupBegin,
        Wire::Fixed32(_) => Layout::Fixed32,
    };
    match field.shape {
        Shape::One { .. } => layout == field.kind.layout(),
        Shape::List { .. } => {
            let may_be_run =
                matches!(field.kind.layout(), Layout::Varint | Layout::Fixed64 | Layout::Fixed32);
            layout == field.kind.layout() || (may_be_run && layout == Layout::Length)
        }
        Shape::Map { .. } => layout == Layout::Length,
    }
}

const fn inside(wire: Wire<'_>) -> &[u8] {
    match wire {
        Wire::Bytes(bytes) | Wire::Group(bytes) => bytes,
        Wire::Varint(_) | Wire::Fixed64(_) | Wire::Fixed32(_) => &[],
    }
}

fn unpack<'b>(run: &mut &'b [u8], layout: Layout) -> Option<Wire<'b>> {
    match layout {
        Layout::Varint => read_varint(run).map(Wire::Varint),
        Layout::Fixed64 => read_array(run).map(|bytes| Wire::Fixed64(u64::from_le_bytes(bytes))),
        Layout::Fixed32 => read_array(run).map(|bytes| Wire::Fixed32(u32::from_le_bytes(bytes))),
        Layout::Length | Layout::GroupBegin | Layout::GroupEnd => None,
    }
}

/// The key and the value of a map's entry.
fn entry(
    mut bytes: &[u8],
    keys: Scalar,
    values: Kind,
) -> Result<(Option<Wire<'_>>, Option<Wire<'_>>), Undecodable> {
    let (mut key, mut value) = (None, None);
    while !bytes.is_empty() {
        let (number, wire) =
            read_field(&mut bytes).ok_or_else(|| undecodable("an entry of a map is cut off"))?;
        let (part, layout) = match number {
            1 => (&mut key, keys.layout()),
            2 => (&mut value, values.layout()),
            _ => continue,
        };
        let is_fit = match wire {
            Wire::Varint(_) => layout == Layout::Varint,
            Wire::Fixed64(_) => layout == Layout::Fixed64,
            Wire::Bytes(_) => layout == Layout::Length,
            Wire::Group(_) => false,
            Wire::Fixed32(_) => layout == Layout::Fixed32,
        };
        if !is_fit {
            return Err(undecodable("an entry of a map is laid out as another type"));
        }
        *part = Some(wire);
    }
    Ok((key, value))
}
