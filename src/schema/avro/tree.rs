//! A compiled schema: types in one list, which refer to each other by their places in it.

use std::collections::HashMap;

use serde_json::Value;

use super::names::Name;

/// The place of a type in its tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Id(u32);

/// A compiled schema.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    root: Id,
}

/// One type.
#[derive(Debug)]
pub(super) enum Node {
    Null,
    Boolean,
    Int(Meaning),
    Long(Meaning),
    Float,
    Double,
    Bytes(Octets),
    Text { is_uuid: bool },
    Array(Id),
    Map(Id),
    Union(Union),
    Record(Record),
    Enum(Enum),
    Fixed(Fixed),
}

/// What a whole number stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Itself.
    Number,
    /// Days since 1970.
    Date,
    /// Time since midnight.
    TimeOfDay(Unit),
    /// Time since 1970, UTC.
    Instant(Unit),
    /// Time since 1970 on the local clock.
    Local(Unit),
}

/// What a time is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Millis,
    Micros,
    Nanos,
}

/// What bytes stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Octets {
    /// Themselves.
    Plain,
    /// A number of so many digits, `scale` of them after the point.
    Decimal { precision: usize, scale: usize },
    /// The 16 bytes of a UUID.
    Uuid,
}

#[derive(Debug)]
pub(super) struct Record {
    pub(super) name: Name,
    pub(super) aliases: Vec<Box<str>>,
    pub(super) doc: Option<Box<str>>,
    pub(super) fields: Vec<Field>,
    pub(super) by_name: HashMap<Box<str>, usize>,
}

#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: Box<str>,
    pub(super) aliases: Vec<Box<str>>,
    pub(super) doc: Option<Box<str>>,
    pub(super) node: Id,
    pub(super) default: Option<Default>,
}

#[derive(Debug)]
pub(super) struct Default {
    /// As the schema has it, where bytes are text.
    pub(super) told: Value,
    /// As it is written where the data has none.
    pub(super) written: Box<[u8]>,
}

#[derive(Debug)]
pub(super) struct Enum {
    pub(super) name: Name,
    pub(super) aliases: Vec<Box<str>>,
    pub(super) doc: Option<Box<str>>,
    pub(super) symbols: Vec<Box<str>>,
    pub(super) by_symbol: HashMap<Box<str>, usize>,
    pub(super) default: Option<Box<str>>,
}

#[derive(Debug)]
pub(super) struct Fixed {
    pub(super) name: Name,
    pub(super) aliases: Vec<Box<str>>,
    pub(super) size: usize,
    pub(super) octets: Octets,
}

#[derive(Debug)]
pub(super) struct Union {
    pub(super) branches: Vec<Branch>,
    pub(super) by_name: HashMap<Box<str>, usize>,
}

#[derive(Debug)]
pub(super) struct Branch {
    pub(super) node: Id,
    /// By which a tagged value names it.
    pub(super) name: Box<str>,
    pub(super) form: Form,
}

/// How a union's value is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As it is: its JSON type tells the branch.
    Plain,
    /// Within an object, under the branch's name.
    Tagged,
}

impl Id {
    /// The place after so many others; `None` beyond all budgets.
    pub(super) fn new(place: usize) -> Option<Self> {
        u32::try_from(place).ok().map(Self)
    }

    pub(super) const fn place(self) -> usize {
        self.0 as usize
    }
}

impl Tree {
    pub(super) const fn new(nodes: Vec<Node>, root: Id) -> Self {
        Self { nodes, root }
    }

    pub(super) const fn root(&self) -> Id {
        self.root
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter()
    }

    pub(super) fn nodes_mut(&mut self) -> impl Iterator<Item = &mut Node> {
        self.nodes.iter_mut()
    }

    /// The type at a place; all places that a tree names are in it.
    pub(super) fn node(&self, id: Id) -> &Node {
        self.nodes.get(id.place()).unwrap_or(&Node::Null)
    }
}

impl Node {
    /// The types that it is made of, each as often as it stands there.
    pub(super) fn parts(&self) -> Vec<Id> {
        match self {
            Self::Array(part) | Self::Map(part) => vec![*part],
            Self::Union(union) => union.branches.iter().map(|branch| branch.node).collect(),
            Self::Record(record) => record.fields.iter().map(|field| field.node).collect(),
            Self::Null
            | Self::Boolean
            | Self::Int(_)
            | Self::Long(_)
            | Self::Float
            | Self::Double
            | Self::Bytes(_)
            | Self::Text { .. }
            | Self::Enum(_)
            | Self::Fixed(_) => Vec::new(),
        }
    }
}

impl Unit {
    /// How many make a second.
    pub(super) const fn per_second(self) -> i64 {
        match self {
            Self::Millis => 1_000,
            Self::Micros => 1_000_000,
            Self::Nanos => 1_000_000_000,
        }
    }

    /// How many digits a second has after its point.
    pub(super) const fn digits(self) -> usize {
        match self {
            Self::Millis => 3,
            Self::Micros => 6,
            Self::Nanos => 9,
        }
    }
}
