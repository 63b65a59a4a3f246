//! Whether data of one schema can be read by another, by Avro's rules of resolution, and each place where it cannot.
//!
//! Names are compared without their namespaces, or by the reader's aliases; logical types take no part, but that two decimals
//! must have one scale and precision: the bytes would be read as another number. A pair of types that is met within itself is taken for readable until shown otherwise; what rests on that is not kept beyond it. The
//! walk looks at its time box, and gives up when that is over.

use std::collections::HashMap;
use std::rc::Rc;

use super::names::Name;
use super::tree::{Enum, Field, Id, Node, Octets, Record, Tree, Union};
use crate::schema::compat::TimeBox;

/// Pairs of types and fields that are looked at.
const STEPS_MAX: usize = 200_000;
/// Pairs may be met within each other this deep.
const DEPTH_MAX: usize = 400;
/// So many places are told of a pair.
const FINDINGS_MAX: usize = 20;

/// One reason why data cannot be read.
#[derive(Debug, Clone)]
pub(super) struct Finding {
    pub(super) rule: Rule,
    /// Where, from the root of the reader's schema.
    pub(super) place: Vec<Step>,
    /// What it is about: a name or a list of names.
    pub(super) about: String,
}

/// One step into a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// A field, the data's member of this name.
    Field(usize, Box<str>),
    /// The type of one.
    FieldType(usize, Box<str>),
    Items,
    Values,
    Branch(usize),
    Attribute(&'static str),
}

/// The rules, by the names that they have in Java; there is none for decimals, which Java passes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    Decimal,
    FixedSize,
    MissingDefault,
    MissingEnumSymbols,
    MissingUnionBranch,
    Name,
    Type,
}

/// It took too many steps to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unproved;

/// Why a reader cannot read what a writer writes; nothing where it can.
pub(super) fn resolve(reader: &Tree, writer: &Tree, time: &TimeBox) -> Result<Vec<Finding>, Unproved> {
    let (known, open) = (HashMap::new(), HashMap::new());
    let mut resolver = Resolver { reader, writer, time, known, open, steps: 0 };
    let (findings, _) = resolver.pair(reader.root(), writer.root())?;
    let told = findings.iter();
    Ok(told
        .map(|finding| Finding { place: finding.place.iter().rev().cloned().collect(), ..finding.clone() })
        .collect())
}

/// What was found of a pair, places from the inside out, and the outermost open pair that it rests on.
type Found = (Rc<Vec<Finding>>, usize);

/// Rests on nothing.
const ALONE: usize = usize::MAX;

struct Resolver<'t> {
    reader: &'t Tree,
    writer: &'t Tree,
    time: &'t TimeBox,
    known: HashMap<(Id, Id), Rc<Vec<Finding>>>,
    /// How deep each pair lies that is being looked at.
    open: HashMap<(Id, Id), usize>,
    steps: usize,
}

/// What is gathered of one pair.
struct Gathered {
    findings: Vec<Finding>,
    rests_on: usize,
}

impl Gathered {
    const fn new() -> Self {
        Self { findings: Vec::new(), rests_on: ALONE }
    }

    fn tell(&mut self, rule: Rule, steps: impl IntoIterator<Item = Step>, about: String) {
        let mut place: Vec<Step> = steps.into_iter().collect();
        place.reverse();
        self.put(Finding { rule, place, about });
    }

    fn put(&mut self, finding: Finding) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        }
    }

    /// Takes over what was found one step below.
    fn merge(&mut self, (findings, rests_on): Found, step: &Step) {
        for finding in &*findings {
            let mut finding = finding.clone();
            finding.place.push(step.clone());
            self.put(finding);
        }
        self.rests_on = self.rests_on.min(rests_on);
    }
}

impl<'t> Resolver<'t> {
    fn pair(&mut self, reader: Id, writer: Id) -> Result<Found, Unproved> {
        let key = (reader, writer);
        if let Some(depth) = self.open.get(&key) {
            return Ok((Rc::default(), *depth));
        }
        if let Some(findings) = self.known.get(&key) {
            return Ok((Rc::clone(findings), ALONE));
        }
        self.spend(1)?;
        let depth = self.open.len();
        if depth > DEPTH_MAX {
            return Err(Unproved);
        }
        self.open.insert(key, depth);
        let Gathered { findings, rests_on } = self.look(reader, writer)?;
        self.open.remove(&key);
        let findings = Rc::new(findings);
        // What a pair finds is certain; that it finds nothing may rest on pairs outside it.
        let rests_on = if rests_on >= depth || !findings.is_empty() { ALONE } else { rests_on };
        if rests_on == ALONE {
            self.known.insert(key, Rc::clone(&findings));
        }
        Ok((findings, rests_on))
    }

    fn spend(&mut self, steps: usize) -> Result<(), Unproved> {
        self.steps += steps;
        if self.steps > STEPS_MAX || !self.time.step() { Err(Unproved) } else { Ok(()) }
    }

    fn look(&mut self, reader: Id, writer: Id) -> Result<Gathered, Unproved> {
        let mut gathered = Gathered::new();
        let (read, written) = (self.reader.node(reader), self.writer.node(writer));
        match (read, written) {
            (_, Node::Union(branches)) => self.each_branch((reader, read), branches, &mut gathered)?,
            (Node::Union(branches), _) => {
                if !self.any_branch(branches, writer, &mut gathered)? {
                    gathered.tell(Rule::MissingUnionBranch, [], kind(written).to_owned());
                }
            }
            (Node::Array(read), Node::Array(written)) => {
                gathered.merge(self.pair(*read, *written)?, &Step::Items);
            }
            (Node::Map(read), Node::Map(written)) => {
                gathered.merge(self.pair(*read, *written)?, &Step::Values);
            }
            (Node::Record(read), Node::Record(written)) => {
                names((&read.name, &*read.aliases), &written.name, &mut gathered);
                self.fields(read, written, &mut gathered)?;
            }
            (Node::Enum(read), Node::Enum(written)) => {
                names((&read.name, &*read.aliases), &written.name, &mut gathered);
                symbols(read, written, &mut gathered);
                self.spend(written.symbols.len())?;
            }
            (Node::Fixed(read), Node::Fixed(written)) => {
                names((&read.name, &*read.aliases), &written.name, &mut gathered);
                if read.size != written.size {
                    let about = format!("{} and {}", read.size, written.size);
                    gathered.tell(Rule::FixedSize, [Step::Attribute("size")], about);
                }
                decimals(read.octets, written.octets, &mut gathered);
            }
            (Node::Bytes(read), Node::Bytes(written)) => decimals(*read, *written, &mut gathered),
            (read, written) => {
                if !promotes(kind(written), kind(read)) {
                    gathered.tell(Rule::Type, [], format!("{} and {}", kind(read), kind(written)));
                }
            }
        }
        Ok(gathered)
    }

    /// Each branch of the writer's union must be read: by the reader's type, or by a branch of the reader's union.
    fn each_branch(
        &mut self,
        (reader, read): (Id, &Node),
        written: &Union,
        gathered: &mut Gathered,
    ) -> Result<(), Unproved> {
        for (index, branch) in written.branches.iter().enumerate() {
            let found = self.pair(reader, branch.node)?;
            let step = Step::Branch(index);
            if !matches!(read, Node::Union(_)) {
                gathered.merge(found, &step);
                continue;
            }
            gathered.rests_on = gathered.rests_on.min(found.1);
            if !found.0.is_empty() {
                gathered.tell(Rule::MissingUnionBranch, [step], branch.name.to_string());
            }
        }
        Ok(())
    }

    /// Whether some branch reads a type.
    fn any_branch(&mut self, read: &Union, writer: Id, gathered: &mut Gathered) -> Result<bool, Unproved> {
        for branch in &read.branches {
            let (findings, rests_on) = self.pair(branch.node, writer)?;
            if findings.is_empty() {
                gathered.rests_on = gathered.rests_on.min(rests_on);
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn fields(&mut self, read: &Record, written: &Record, gathered: &mut Gathered) -> Result<(), Unproved> {
        self.spend(read.fields.len())?;
        for (index, field) in read.fields.iter().enumerate() {
            match written_field(field, written) {
                Some(other) => {
                    let found = self.pair(field.node, other.node)?;
                    gathered.merge(found, &Step::FieldType(index, field.name.clone()));
                }
                None if field.default.is_some() => {}
                None => {
                    let step = Step::Field(index, field.name.clone());
                    gathered.tell(Rule::MissingDefault, [step], field.name.to_string());
                }
            }
        }
        Ok(())
    }
}

/// The field that a reader's field is read from: by its name, else by an alias.
pub(super) fn written_field<'w>(field: &Field, written: &'w Record) -> Option<&'w Field> {
    let mut names = std::iter::once(&field.name).chain(&field.aliases);
    names.find_map(|name| written.by_name.get(name)).and_then(|index| written.fields.get(*index))
}

/// Whether a reader's type is that of a writer by its name, namespaces apart, or by an alias.
pub(super) fn is_same_name((read, aliases): (&Name, &[Box<str>]), written: &Name) -> bool {
    read.simple() == written.simple() || aliases.iter().any(|alias| **alias == *written.full())
}

fn names((read, aliases): (&Name, &[Box<str>]), written: &Name, gathered: &mut Gathered) {
    if !is_same_name((read, aliases), written) {
        let about = format!("{} and {}", read.full(), written.full());
        gathered.tell(Rule::Name, [Step::Attribute("name")], about);
    }
}

fn decimals(read: Octets, written: Octets, gathered: &mut Gathered) {
    let Some(attribute) = other_decimal(read, written) else { return };
    let digits = |octets| match octets {
        Octets::Decimal { precision, scale } => format!("{precision} digits, {scale} after the point"),
        Octets::Plain | Octets::Uuid => String::new(),
    };
    let about = format!("{}, and {}", digits(read), digits(written));
    gathered.tell(Rule::Decimal, [Step::Attribute(attribute)], about);
}

/// What two decimals must have in common for one to be read as the other, and have not; `None` where one is no decimal.
pub(super) fn other_decimal(read: Octets, written: Octets) -> Option<&'static str> {
    let (Octets::Decimal { precision, scale }, Octets::Decimal { precision: digits, scale: places }) =
        (read, written)
    else {
        return None;
    };
    if scale != places {
        return Some("scale");
    }
    (precision != digits).then_some("precision")
}

fn symbols(read: &Enum, written: &Enum, gathered: &mut Gathered) {
    let unknown = written.symbols.iter().filter(|symbol| !read.by_symbol.contains_key(*symbol));
    let unknown: Vec<&str> = unknown.map(|symbol| &**symbol).take(20).collect();
    if !unknown.is_empty() && read.default.is_none() {
        gathered.tell(Rule::MissingEnumSymbols, [Step::Attribute("symbols")], unknown.join(", "));
    }
}

/// Whether a type without parts is read as another.
pub(super) fn promotes(written: &str, read: &str) -> bool {
    let is_same = written == read && super::names::PRIMITIVES.contains(&read);
    is_same
        || matches!(
            (written, read),
            ("int", "long" | "float" | "double")
                | ("long", "float" | "double")
                | ("float", "double")
                | ("string", "bytes")
                | ("bytes", "string")
        )
}

/// The type's own word.
pub(super) const fn kind(node: &Node) -> &'static str {
    match node {
        Node::Null => "null",
        Node::Boolean => "boolean",
        Node::Int(_) => "int",
        Node::Long(_) => "long",
        Node::Float => "float",
        Node::Double => "double",
        Node::Bytes(_) => "bytes",
        Node::Text { .. } => "string",
        Node::Array(_) => "array",
        Node::Map(_) => "map",
        Node::Union(_) => "union",
        Node::Record(_) => "record",
        Node::Enum(_) => "enum",
        Node::Fixed(_) => "fixed",
    }
}
