//! Data that a writer may write and a reader refuses or takes for something else, shown by doing both.
//!
//! Bytes say little of what they are, so that much is read as what it was not: a number as another, a field that is gone as
//! nothing. What a reader makes of data counts only for what was written; fields that only it knows do not.

use prost_reflect::FileDescriptor;
use serde_json::Value;

use super::super::plan::{Message, Plan};
use super::super::{decode, encode};
use super::differ::{Finding, Rule};
use super::sample::{Leaf, Sampler, trail_to_enum, trail_to_message};
use crate::event::json::{Document, Limits};
use crate::schema::compat::{CounterExample, Policy, TimeBox};

/// So many findings are searched for an example.
const SEARCHED_MAX: usize = 8;
/// What is read of an example may have this many bytes.
const READ_BYTES_MAX: usize = 64 << 10;

/// The shortest data that shows a finding.
pub(super) fn example(
    (original, update): (&FileDescriptor, &FileDescriptor),
    findings: &[Finding],
    policy: Policy,
    time: &TimeBox,
) -> Option<CounterExample> {
    let (writer, reader) = (Plan::of(original), Plan::of(update));
    let trial = Trial { writer: (&writer, first(&writer)?), reader: (&reader, first(&reader)?) };
    let searched = findings.iter().take(SEARCHED_MAX).take_while(|_| !time.is_over());
    let shown = searched.filter_map(|finding| {
        let sampler = Sampler::new(update, policy);
        samples(&sampler, original, finding).into_iter().find_map(|data| trial.run(data))
    });
    shown.min_by_key(|example| match example {
        CounterExample::Data(data) | CounterExample::Misread { data, .. } => (0, data.to_string().len()),
        CounterExample::Schema(_) => (1, 0),
    })
}

fn first(plan: &Plan) -> Option<&Message> {
    plan.at(&[0]).and_then(|index| plan.message(index))
}

/// Data that may show a finding, the smallest first.
fn samples(sampler: &Sampler<'_>, original: &FileDescriptor, finding: &Finding) -> Vec<Value> {
    let place = finding.pointer.trim_start_matches("#/");
    let (name, number) = place.split_once('/').unwrap_or((place, ""));
    let number = number.parse::<i32>().ok();
    let unsigned = number.and_then(|number| u32::try_from(number).ok());
    let Some(root) = original.messages().next() else { return Vec::new() };
    let found = match finding.rule {
        // Nothing is posted in a message that is not the first, and a package is not in the bytes.
        Rule::PackageChanged | Rule::MessageRemoved => Vec::new(),
        Rule::FirstMessageChanged => vec![sampler.make(&root, &[], &Leaf::All)],
        Rule::EnumConstRemoved | Rule::EnumConstChanged => {
            let trail = trail_to_enum(&root, name);
            vec![trail.and_then(|(trail, field)| sampler.make(&root, &trail, &Leaf::Number(field, number?)))]
        }
        Rule::RequiredFieldAdded => {
            let trail = trail_to_message(&root, name);
            vec![trail.and_then(|(trail, _)| sampler.make(&root, &trail, &Leaf::Least))]
        }
        Rule::FieldKindChanged
        | Rule::FieldScalarKindChanged
        | Rule::FieldNamedTypeChanged
        | Rule::FieldNumericLabelChanged
        | Rule::RequiredFieldRemoved
        | Rule::OneofFieldRemoved
        | Rule::MultipleFieldsMovedToOneof
        | Rule::FieldRemoved
        | Rule::FieldNameChanged
        | Rule::FieldFormChanged
        | Rule::FieldLabelChanged
        | Rule::FieldMovedToOneof => {
            let trail = trail_to_message(&root, name);
            let field = trail.as_ref().and_then(|(_, message)| message.get_field(unsigned?));
            let make = |leaf: &Leaf| sampler.make(&root, &trail.as_ref()?.0, leaf);
            field
                .map(|field| vec![make(&Leaf::Field(field.clone())), make(&Leaf::With(field))])
                .unwrap_or_default()
        }
    };
    found.into_iter().flatten().collect()
}

/// A writer and a reader of the first message.
struct Trial<'p> {
    writer: (&'p Plan, &'p Message),
    reader: (&'p Plan, &'p Message),
}

impl Trial<'_> {
    /// Writes data and reads it by both; what the reader does to it, where that is not what was meant.
    fn run(&self, data: Value) -> Option<CounterExample> {
        let text = data.to_string();
        let document = Document::parse(text.as_bytes(), Limits::default()).ok()?;
        let mut bytes = Vec::new();
        encode::encode(self.writer.0, self.writer.1, document.root(), &mut bytes).ok()?;
        let meant = read(self.writer, &bytes)?;
        match read(self.reader, &bytes) {
            None => Some(CounterExample::Data(data)),
            Some(read) if is_kept(&data, &meant, &read) => None,
            Some(read) => Some(CounterExample::Misread { data, read }),
        }
    }
}

fn read((plan, message): (&Plan, &Message), bytes: &[u8]) -> Option<Value> {
    let mut out = Vec::new();
    decode::decode(plan, message, bytes, READ_BYTES_MAX, &mut out).ok()?;
    serde_json::from_slice(&out).ok()
}

/// Whether all that was posted is read as it was meant.
fn is_kept(posted: &Value, meant: &Value, read: &Value) -> bool {
    match (posted, meant, read) {
        (Value::Object(posted), Value::Object(meant), Value::Object(read)) => {
            posted.iter().all(|(name, posted)| match (meant.get(name), read.get(name)) {
                (Some(meant), Some(read)) => is_kept(posted, meant, read),
                (meant, read) => meant == read,
            })
        }
        (Value::Array(posted), Value::Array(meant), Value::Array(read)) => {
            let places = posted.iter().zip(meant).zip(read);
            meant.len() == read.len()
                && places.into_iter().all(|((posted, meant), read)| is_kept(posted, meant, read))
        }
        (_, meant, read) => meant == read,
    }
}
