//! Whether bytes that one schema wrote can be read as another says, by Avro's rules of resolution: the proof of a
//! counter-example.
//!
//! What the bytes hold decides, not what they might hold: an empty list of anything is read as a list of anything else. A
//! reader's union takes what any of its branches takes. Nothing is made of the data.

use super::names::Name;
use super::resolve::{is_same_name, kind, other_decimal, promotes, written_field};
use super::tree::{Field, Id, Node, Octets, Record, Tree, Union};
use super::wire::read_long;

/// Values may lie within each other this deep, and so many are looked at.
const DEPTH_MAX: usize = 128;
const STEPS_MAX: usize = 100_000;

/// What came of reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was read.
    Read,
    /// The reader has nothing to read it by.
    Refused,
    /// The bytes are not the writer's, or too many to tell.
    Unknown,
}

/// Reads bytes of the writer's schema as data of the reader's.
pub(super) fn read_as(reader: &Tree, writer: &Tree, bytes: &[u8]) -> Outcome {
    let mut reading = Reading { reader, writer, rest: bytes, steps: 0 };
    match reading.value(Some(reader.root()), writer.root(), 0) {
        Ok(()) if reading.rest.is_empty() => Outcome::Read,
        Ok(()) | Err(Failure::Broken) => Outcome::Unknown,
        Err(Failure::Refused) => Outcome::Refused,
    }
}

enum Failure {
    Broken,
    Refused,
}

type Step<T> = Result<T, Failure>;

struct Reading<'t, 'b> {
    reader: &'t Tree,
    writer: &'t Tree,
    rest: &'b [u8],
    steps: usize,
}

impl<'t, 'b> Reading<'t, 'b> {
    /// One value; without a reader's type it is passed over.
    fn value(&mut self, read: Option<Id>, written: Id, depth: usize) -> Step<()> {
        self.steps += 1;
        if depth > DEPTH_MAX || self.steps > STEPS_MAX {
            return Err(Failure::Broken);
        }
        let (reader, writer) = (self.reader, self.writer);
        let node = writer.node(written);
        if let Node::Union(branches) = node {
            let index = usize::try_from(self.long()?).map_err(|_| Failure::Broken)?;
            let branch = branches.branches.get(index).ok_or(Failure::Broken)?;
            return self.value(read, branch.node, depth + 1);
        }
        let Some(id) = read else { return self.known(None, node, depth) };
        match reader.node(id) {
            Node::Union(union) => self.any_branch(union, written, depth),
            wanted => self.known(Some(wanted), node, depth),
        }
    }

    fn any_branch(&mut self, union: &Union, written: Id, depth: usize) -> Step<()> {
        let start = self.rest;
        for branch in &union.branches {
            self.rest = start;
            match self.value(Some(branch.node), written, depth + 1) {
                Err(Failure::Refused) => {}
                done => return done,
            }
        }
        Err(Failure::Refused)
    }

    /// A value of a type that is no union, as one that is none.
    fn known(&mut self, read: Option<&'t Node>, written: &'t Node, depth: usize) -> Step<()> {
        match (read, written) {
            (None, Node::Array(written)) => self.blocks(|own| own.value(None, *written, depth + 1)),
            (Some(Node::Array(read)), Node::Array(written)) => {
                self.blocks(|own| own.value(Some(*read), *written, depth + 1))
            }
            (None, Node::Map(written)) => self.entries(None, *written, depth),
            (Some(Node::Map(read)), Node::Map(written)) => self.entries(Some(*read), *written, depth),
            (None, Node::Record(written)) => self.record(None, written, depth),
            (Some(Node::Record(read)), Node::Record(written)) => {
                same_name((&read.name, &read.aliases), &written.name)?;
                let is_there = |field| written_field(field, written).is_some();
                if read.fields.iter().any(|field| field.default.is_none() && !is_there(field)) {
                    return Err(Failure::Refused);
                }
                self.record(Some(read), written, depth)
            }
            (read, Node::Enum(written)) => {
                let index = usize::try_from(self.long()?).map_err(|_| Failure::Broken)?;
                let symbol = written.symbols.get(index).ok_or(Failure::Broken)?;
                match read {
                    None => Ok(()),
                    Some(Node::Enum(read)) => {
                        same_name((&read.name, &read.aliases), &written.name)?;
                        let is_known = read.by_symbol.contains_key(symbol) || read.default.is_some();
                        if is_known { Ok(()) } else { Err(Failure::Refused) }
                    }
                    Some(_) => Err(Failure::Refused),
                }
            }
            (read, Node::Fixed(written)) => {
                self.take(written.size)?;
                match read {
                    None => Ok(()),
                    Some(Node::Fixed(read)) => {
                        same_name((&read.name, &read.aliases), &written.name)?;
                        if read.size == written.size {
                            same_number(read.octets, written.octets)
                        } else {
                            Err(Failure::Refused)
                        }
                    }
                    Some(_) => Err(Failure::Refused),
                }
            }
            (Some(_), Node::Array(_) | Node::Map(_) | Node::Record(_)) => Err(Failure::Refused),
            (read, written) => {
                self.plain(written)?;
                match (read, written) {
                    (Some(Node::Bytes(read)), Node::Bytes(written)) => same_number(*read, *written),
                    (Some(read), _) if !promotes(kind(written), kind(read)) => Err(Failure::Refused),
                    (Some(_) | None, _) => Ok(()),
                }
            }
        }
    }

    fn record(&mut self, read: Option<&Record>, written: &'t Record, depth: usize) -> Step<()> {
        for field in &written.fields {
            let by = read.and_then(|read| {
                let is_of = |own: &&Field| {
                    written_field(own, written).is_some_and(|found| std::ptr::eq(found, field))
                };
                read.fields.iter().find(is_of)
            });
            self.value(by.map(|field| field.node), field.node, depth + 1)?;
        }
        Ok(())
    }

    fn entries(&mut self, read: Option<Id>, written: Id, depth: usize) -> Step<()> {
        self.blocks(|own| {
            own.bytes()?;
            own.value(read, written, depth + 1)
        })
    }

    fn blocks(&mut self, mut element: impl FnMut(&mut Self) -> Step<()>) -> Step<()> {
        loop {
            let count = self.long()?;
            if count < 0 {
                self.long()?;
            }
            if count == 0 {
                return Ok(());
            }
            for _ in 0..count.unsigned_abs() {
                element(self)?;
            }
        }
    }

    /// A value without parts.
    fn plain(&mut self, written: &Node) -> Step<()> {
        match written {
            Node::Boolean => self.take(1).map(drop),
            Node::Int(_) | Node::Long(_) => self.long().map(drop),
            Node::Float => self.take(4).map(drop),
            Node::Double => self.take(8).map(drop),
            Node::Bytes(_) | Node::Text { .. } => self.bytes().map(drop),
            Node::Null
            | Node::Array(_)
            | Node::Map(_)
            | Node::Union(_)
            | Node::Record(_)
            | Node::Enum(_)
            | Node::Fixed(_) => Ok(()),
        }
    }

    fn long(&mut self) -> Step<i64> {
        let (number, rest) = read_long(self.rest).ok_or(Failure::Broken)?;
        self.rest = rest;
        Ok(number)
    }

    fn take(&mut self, length: usize) -> Step<&'b [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Failure::Broken)?;
        self.rest = rest;
        Ok(taken)
    }

    fn bytes(&mut self) -> Step<&'b [u8]> {
        let length = usize::try_from(self.long()?).map_err(|_| Failure::Broken)?;
        self.take(length)
    }
}

fn same_name((read, aliases): (&Name, &[Box<str>]), written: &Name) -> Step<()> {
    if is_same_name((read, aliases), written) { Ok(()) } else { Err(Failure::Refused) }
}

fn same_number(read: Octets, written: Octets) -> Step<()> {
    if other_decimal(read, written).is_none() { Ok(()) } else { Err(Failure::Refused) }
}
