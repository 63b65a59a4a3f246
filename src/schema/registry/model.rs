//! The registry against a model that knows nothing of entries: whatever is asked, in whatever order, both answer alike.

mod naive;

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use crate::event::Subject;
use crate::schema::SchemaId;

use super::change::{self, Force, Refusal, Wanted};
use super::content::{Content, Kind, Reference, Version};
use super::error::Error;
use super::level::Mode;
use super::reading::{self, Deleted, Which};
use super::rows::{self, Change, Rows, Totals};
use naive::{Model, Versions};

/// Entries in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Memory(BTreeMap<String, Bytes>);

impl Rows for Memory {
    fn read(&self, key: &str) -> Option<Bytes> {
        self.0.get(key).cloned()
    }

    fn below(&self, prefix: &str) -> Vec<(Bytes, Bytes)> {
        let entries = self.0.range(prefix.to_owned()..).take_while(|(key, _)| key.starts_with(prefix));
        entries.map(|(key, value)| (Bytes::from(key.clone()), value.clone())).collect()
    }
}

impl Change for Memory {
    fn write(&mut self, key: String, value: Option<Bytes>) {
        match value {
            Some(value) => self.0.insert(key, value),
            None => self.0.remove(&key),
        };
    }
}

const SUBJECTS: u8 = 3;
const CONTENTS: u8 = 4;
/// This content refers to the first version of the first subject.
const REFERRING: u8 = 3;

#[derive(Debug, Clone)]
enum Step {
    Register { subject: u8, content: u8, id: Option<i32>, version: Option<u32> },
    DeleteVersion(u8, u32),
    RemoveVersion(u8, u32),
    DeleteSubject(u8),
    RemoveSubject(u8),
    SetMode(Option<u8>, Mode, Force),
}

/// A refusal by its public code, or what was done: version and id, or versions.
type Outcome = Result<Vec<u32>, u32>;

fn subject(number: u8) -> Subject {
    Subject::parse(&format!("s/{number}")).unwrap()
}

fn version(number: u32) -> Version {
    Version::new(number).unwrap()
}

fn content(number: u8) -> Content {
    let text = format!("content {number}");
    let reference = Reference { name: "r".to_owned(), subject: subject(0), version: version(1) };
    let references = if number == REFERRING { vec![reference] } else { vec![] };
    Content::new(Kind::Json, text.clone(), &text, references)
}

fn code(error: &Error) -> u32 {
    match error {
        Error::SubjectNotFound(_) => 40_401,
        Error::VersionNotFound { .. } => 40_402,
        Error::SubjectDeleted(_) => 40_404,
        Error::SubjectNotDeleted(_) => 40_405,
        Error::VersionDeleted { .. } => 40_406,
        Error::VersionNotDeleted { .. } => 40_407,
        Error::InvalidSchema(_) => 42_201,
        Error::NotPermitted(_) => 42_205,
        Error::Referred { .. } => 42_206,
        Error::IdMismatch(_) => 42_207,
        other => panic!("nothing of this was asked: {other}"),
    }
}

/// What is decided counts only as a whole, as in the table.
fn decide(rows: &mut Memory, step: &Step) -> Outcome {
    let mut draft = rows.clone();
    let numbers = |versions: Vec<Version>| versions.into_iter().map(Version::number).collect::<Vec<_>>();
    let outcome = match step {
        Step::Register { subject: number, content: wanted, id, version: asked } => {
            let content = content(*wanted);
            let referred = content.references.iter().map(|one| reading::referred(&draft, one));
            let wanted = Wanted {
                referred: referred.map(|id| id.unwrap_or(SchemaId::new(999).unwrap())).collect(),
                id: id.and_then(SchemaId::new),
                version: asked.map(version),
                fits: Some(reading::comparison(&draft, &subject(*number))),
                content,
            };
            match change::register(&mut draft, &subject(*number), &wanted) {
                Ok(versioned) => Ok(vec![versioned.version.number(), versioned.id.number().unsigned_abs()]),
                Err(Refusal::Outdated) => Err(0),
                Err(Refusal::Refused(error)) => Err(code(&error)),
            }
        }
        Step::DeleteVersion(number, asked) => {
            let deleted =
                change::delete_version(&mut draft, &subject(*number), Which::Number(version(*asked)));
            deleted.map(|version| numbers(vec![version])).map_err(|error| code(&error))
        }
        Step::RemoveVersion(number, asked) => {
            let removed =
                change::remove_version(&mut draft, &subject(*number), Which::Number(version(*asked)));
            removed.map(|version| numbers(vec![version])).map_err(|error| code(&error))
        }
        Step::DeleteSubject(number) => {
            change::delete_subject(&mut draft, &subject(*number)).map(numbers).map_err(|error| code(&error))
        }
        Step::RemoveSubject(number) => {
            change::remove_subject(&mut draft, &subject(*number)).map(numbers).map_err(|error| code(&error))
        }
        Step::SetMode(number, mode, force) => {
            let set = change::set_mode(&mut draft, number.map(subject).as_ref(), *mode, *force);
            set.map(|()| vec![]).map_err(|error| code(&error))
        }
    };
    if outcome.is_ok() {
        *rows = draft;
    }
    outcome
}

/// All that can be looked up is as the model has it.
fn compare(rows: &Memory, model: &Model) {
    for number in 0..SUBJECTS {
        let subject = subject(number);
        let entries = reading::entries(rows, &subject, Deleted::Shown);
        let shown = entries.iter().map(|(version, entry)| {
            let content_of = (0..CONTENTS).find(|one| rows::content(rows, entry.id) == Some(content(*one)));
            let content_of = content_of.expect("every version has its schema");
            assert_eq!(entry.guid, content(content_of).guid);
            (version.number(), content_of, entry.id.number(), entry.is_deleted)
        });
        assert_eq!(shown.collect::<Versions>(), model.versions(number));
        assert_eq!(reading::effective_mode(rows, Some(&subject)), model.mode(number));
    }
    for number in 0..CONTENTS {
        let id = model.ids.get(&number).copied().and_then(SchemaId::new);
        assert_eq!(reading::id(rows, content(number).guid), id);
    }
    let all =
        || (0..SUBJECTS).flat_map(|one| model.versions(one).into_iter().map(move |version| (one, version)));
    let (mut bytes, mut referring) = (0, Vec::new());
    for id in model.used() {
        let expected = all().filter(|(_, version)| version.2 == id);
        let expected: Vec<(Subject, Version)> =
            expected.map(|(one, (number, ..))| (subject(one), version(number))).collect();
        let id = SchemaId::new(id).unwrap();
        assert_eq!(reading::uses(rows, id, Deleted::Shown), expected);
        let content = rows::content(rows, id).unwrap();
        bytes += content.text.len() as u64;
        referring.extend((!content.references.is_empty()).then_some(id));
    }
    assert_eq!(reading::referrers(rows, &subject(0), version(1)), referring);
    let totals = Totals { last_id: model.last_id, versions: u32::try_from(all().count()).unwrap(), bytes };
    assert_eq!(rows::value::<Totals>(rows, rows::TOTALS).unwrap_or_default(), totals);
    assert_eq!(rows.below("schema/").len(), model.used().len());
    assert_eq!(rows.below("guid/").len(), model.ids.len());
}

fn step() -> impl Strategy<Value = Step> {
    let subject = || 0..SUBJECTS;
    let rarely = |strategy: BoxedStrategy<i32>| prop_oneof![4 => Just(None), 1 => strategy.prop_map(Some)];
    let versions = || 1..5_u32;
    let mode = prop_oneof![
        5 => Just(Mode::Readwrite),
        1 => Just(Mode::Readonly),
        1 => Just(Mode::ReadonlyOverride),
        2 => Just(Mode::Import),
    ];
    let force = prop_oneof![Just(Force::No), Just(Force::Yes)];
    prop_oneof![
        8 => (subject(), 0..CONTENTS, rarely((1..9).boxed()), prop_oneof![4 => Just(None), 1 => versions().prop_map(Some)])
            .prop_map(|(subject, content, id, version)| Step::Register { subject, content, id, version }),
        3 => (subject(), versions()).prop_map(|(subject, version)| Step::DeleteVersion(subject, version)),
        2 => (subject(), versions()).prop_map(|(subject, version)| Step::RemoveVersion(subject, version)),
        1 => subject().prop_map(Step::DeleteSubject),
        1 => subject().prop_map(Step::RemoveSubject),
        1 => (prop_oneof![1 => Just(None), 3 => subject().prop_map(Some)], mode, force)
            .prop_map(|(subject, mode, force)| Step::SetMode(subject, mode, force)),
    ]
}

proptest! {
    #[test]
    fn the_registry_answers_as_the_model_does(steps in prop::collection::vec(step(), 1..60)) {
        let (mut rows, mut model) = (Memory::default(), Model::default());
        let mut given: BTreeMap<i32, u8> = BTreeMap::new();
        for step in &steps {
            let mut after = model.clone();
            let expected = after.apply(step);
            if expected.is_ok() {
                model = after;
            }
            prop_assert_eq!(decide(&mut rows, step), expected, "{:?}", step);
            compare(&rows, &model);
            // An id has one content for ever, but where an import says otherwise once nobody has it any more.
            let is_asked = matches!(step, Step::Register { id: Some(_), .. });
            for (_, content, id, _) in model.subjects.values().flatten() {
                prop_assert!(is_asked || *given.entry(*id).or_insert(*content) == *content);
                given.insert(*id, *content);
            }
        }
    }
}
