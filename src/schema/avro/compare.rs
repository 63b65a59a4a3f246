//! Whether a version may follow earlier ones, in the words of all comparisons of schemas.

use super::contract::{self, Notes};
use super::example::example;
use super::resolve::{Finding, Rule, Step, Unproved, resolve};
use super::{Avro, form};
use crate::schema::compat::{
    Break, CounterExample, Difference, Direction, Level, Report, TimeBox, compare_by,
};

/// Compares a new version with the earlier ones, oldest first, as far as the level asks. Takes a second at most for each.
#[must_use]
pub fn compare(earlier: &[Avro], new: &Avro, level: Level) -> Report {
    compare_within(earlier, new, level, &TimeBox::endless())
}

/// As [`compare`], but what could not be shown before the time was over is not compatible.
#[must_use]
pub fn compare_within(earlier: &[Avro], new: &Avro, level: Level, time: &TimeBox) -> Report {
    let judge = |old: &Avro, direction| judge(old, new, direction, time);
    compare_by(earlier, level, time, judge, |old| accept_same(old, new))
}

/// Whether both take the same JSON and write it alike.
fn accept_same(old: &Avro, new: &Avro) -> bool {
    let contract = |avro: &Avro| contract::write(&avro.tree, Notes::LeftOut);
    form::write(&old.tree) == form::write(&new.tree) && contract(old) == contract(new)
}

/// What stands against one reader of one writer.
fn judge(old: &Avro, new: &Avro, direction: Direction, time: &TimeBox) -> Option<Break> {
    let (reader, writer) = match direction {
        Direction::Backward => (&new.tree, &old.tree),
        Direction::Forward => (&old.tree, &new.tree),
    };
    let found = Break::new(direction);
    match resolve(reader, writer, time) {
        Ok(findings) if findings.is_empty() => None,
        Ok(findings) => {
            let differences = findings.iter().map(|finding| difference(finding, direction)).collect();
            let counter_example = example(reader, writer, &findings, time).map(CounterExample::Data);
            Some(Break { differences, counter_example, ..found })
        }
        Err(Unproved) => {
            let reason = "it takes too long to compare the schemas".to_owned();
            Some(Break { unproved: Some(reason), ..found })
        }
    }
}

fn difference(finding: &Finding, direction: Direction) -> Difference {
    let (reader, writer) = direction.sides();
    Difference {
        rule: name(finding.rule),
        direction,
        pointer: format!("#{}", finding.place.iter().map(pointer).collect::<String>()),
        path: finding.place.iter().map(path).collect(),
        message: message(finding, reader, writer),
        fix: fix(finding.rule, direction).to_owned(),
    }
}

/// Where a step leads in the schema.
fn pointer(step: &Step) -> String {
    match step {
        Step::Field(index, _) => format!("/fields/{index}"),
        Step::FieldType(index, _) => format!("/fields/{index}/type"),
        Step::Items => "/items".to_owned(),
        Step::Values => "/values".to_owned(),
        Step::Branch(index) => format!("/{index}"),
        Step::Attribute(name) => format!("/{name}"),
    }
}

/// Where a step leads in the data; any element and any member is `*`.
fn path(step: &Step) -> String {
    match step {
        Step::Field(_, name) | Step::FieldType(_, name) => format!("/{name}"),
        Step::Items | Step::Values => "/*".to_owned(),
        Step::Branch(_) | Step::Attribute(_) => String::new(),
    }
}

const fn name(rule: Rule) -> &'static str {
    match rule {
        Rule::Decimal => "DECIMAL_MISMATCH",
        Rule::FixedSize => "FIXED_SIZE_MISMATCH",
        Rule::MissingDefault => "READER_FIELD_MISSING_DEFAULT_VALUE",
        Rule::MissingEnumSymbols => "MISSING_ENUM_SYMBOLS",
        Rule::MissingUnionBranch => "MISSING_UNION_BRANCH",
        Rule::Name => "NAME_MISMATCH",
        Rule::Type => "TYPE_MISMATCH",
    }
}

fn message(finding: &Finding, reader: &str, writer: &str) -> String {
    let about: String = finding.about.chars().take(500).collect();
    match finding.rule {
        Rule::Decimal => format!("the decimals in {reader} and {writer} have {about}"),
        Rule::FixedSize => format!("the sizes in {reader} and {writer} are {about}"),
        Rule::MissingDefault => {
            format!("{reader} has the field {about} without a default, and {writer} does not write it")
        }
        Rule::MissingEnumSymbols => format!("{writer} writes symbols that {reader} does not know: {about}"),
        Rule::MissingUnionBranch => format!("{writer} writes {about}, which no branch in {reader} reads"),
        Rule::Name => format!("the names in {reader} and {writer} are {about}"),
        Rule::Type => format!("the types in {reader} and {writer} are {about}"),
    }
}

const fn fix(rule: Rule, direction: Direction) -> &'static str {
    match (rule, direction) {
        (Rule::Decimal, _) => "keep scale and precision, or use a new field for numbers of other digits",
        (Rule::FixedSize, _) => "keep the size, or use a type of another name in a new field",
        (Rule::MissingDefault, Direction::Backward) => {
            "give the field a default, or an alias where it was renamed"
        }
        (Rule::MissingDefault, Direction::Forward) => {
            "keep the field, or give it a default in a version before the one without it"
        }
        (Rule::MissingEnumSymbols, Direction::Backward) => "keep the symbols, or give the enum a default",
        (Rule::MissingEnumSymbols, Direction::Forward) => {
            "give the enum a default in a version before the one with new symbols"
        }
        (Rule::MissingUnionBranch, Direction::Backward) => "keep the branch in the union",
        (Rule::MissingUnionBranch, Direction::Forward) => {
            "add no branch, or make it a new version of the event type"
        }
        (Rule::Name, Direction::Backward) => "keep the name, or give the type its old one as an alias",
        (Rule::Name, Direction::Forward) => "keep the name",
        (Rule::Type, _) => "keep the type, or make it a new version of the event type",
    }
}
