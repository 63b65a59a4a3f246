//! The registry against a model that knows nothing of entries: whatever is asked, in whatever order, both answer alike.

use std::collections::{BTreeMap, BTreeSet};

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

/// What a version is in the model: number, content, id, and whether it is deleted.
type Versions = Vec<(u32, u8, i32, bool)>;

#[derive(Debug, Clone, Default)]
struct Model {
    subjects: BTreeMap<u8, Versions>,
    /// The ids that contents have but for imports.
    ids: BTreeMap<u8, i32>,
    last_id: i32,
    general: Option<Mode>,
    modes: BTreeMap<u8, Mode>,
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

impl Model {
    fn mode(&self, subject: u8) -> Mode {
        let general = self.general.unwrap_or_default();
        if general == Mode::ReadonlyOverride {
            general
        } else {
            self.modes.get(&subject).copied().unwrap_or(general)
        }
    }

    fn check_mode(&self, subject: u8) -> Result<(), u32> {
        if matches!(self.mode(subject), Mode::Readonly | Mode::ReadonlyOverride) {
            Err(42_205)
        } else {
            Ok(())
        }
    }

    fn versions(&self, subject: u8) -> Versions {
        self.subjects.get(&subject).cloned().unwrap_or_default()
    }

    fn is_used(&self, content: u8, is_meant: impl Fn(bool) -> bool) -> bool {
        self.subjects.values().flatten().any(|(_, other, _, deleted)| *other == content && is_meant(*deleted))
    }

    fn apply(&mut self, step: &Step) -> Outcome {
        match *step {
            Step::Register { subject, content, id, version } => self.register(subject, content, id, version),
            Step::DeleteVersion(subject, number) => {
                let deleted = self.named(subject, number)?;
                self.check_mode(subject)?;
                if deleted {
                    return Err(40_406);
                }
                if (subject, number) == (0, 1) && self.is_used(REFERRING, |deleted| !deleted) {
                    return Err(42_206);
                }
                self.mark(subject, number);
                Ok(vec![number])
            }
            Step::RemoveVersion(subject, number) => {
                let deleted = self.named(subject, number)?;
                self.check_mode(subject)?;
                if !deleted {
                    return Err(40_407);
                }
                self.remove(subject, number)?;
                Ok(vec![number])
            }
            Step::DeleteSubject(subject) => self.delete_subject(subject),
            Step::RemoveSubject(subject) => {
                let versions = self.versions(subject);
                if versions.is_empty() {
                    return Err(40_401);
                }
                self.check_mode(subject)?;
                if versions.iter().any(|(.., deleted)| !deleted) {
                    return Err(40_405);
                }
                for (number, ..) in versions.iter().rev() {
                    self.remove(subject, *number)?;
                }
                Ok(versions.into_iter().map(|(number, ..)| number).collect())
            }
            Step::SetMode(subject, mode, force) => self.set_mode(subject, mode, force),
        }
    }

    fn register(&mut self, subject: u8, content: u8, id: Option<i32>, wanted: Option<u32>) -> Outcome {
        let versions = self.versions(subject);
        let is_live = |version: &&(u32, u8, i32, bool)| version.1 == content && !version.3;
        if let Some((number, _, known, _)) = versions.iter().rev().find(is_live)
            && id.is_none_or(|id| id == *known)
            && wanted.is_none_or(|wanted| wanted == *number)
        {
            return Ok(vec![*number, known.unsigned_abs()]);
        }
        self.check_mode(subject)?;
        let is_import = self.mode(subject) == Mode::Import;
        if id.is_some() && !is_import {
            return Err(42_205);
        }
        if content == REFERRING
            && !self.versions(0).iter().any(|(number, .., deleted)| *number == 1 && !deleted)
        {
            // The test does not ask: what is referred to was judged before.
            return Err(0);
        }
        let next = versions.last().map_or(1, |(number, ..)| number + 1);
        let number = match wanted {
            None => next,
            Some(wanted) if is_import && versions.iter().any(|(number, ..)| *number == wanted) => {
                return Err(42_201);
            }
            Some(wanted) if is_import || wanted == next => wanted,
            Some(_) => return Err(42_201),
        };
        let of_id = |id: i32| {
            self.subjects.values().flatten().find(|version| version.2 == id).map(|version| version.1)
        };
        let given = match id {
            Some(id) if of_id(id).is_some_and(|other| other != content) => return Err(42_207),
            Some(id) => id,
            None => self.ids.get(&content).copied().unwrap_or(self.last_id + 1),
        };
        self.last_id = self.last_id.max(given);
        self.ids.entry(content).or_insert(given);
        let versions = self.subjects.entry(subject).or_default();
        versions.push((number, content, given, false));
        versions.sort_unstable();
        Ok(vec![number, given.unsigned_abs()])
    }

    fn named(&self, subject: u8, number: u32) -> Result<bool, u32> {
        let versions = self.versions(subject);
        if versions.is_empty() {
            return Err(40_401);
        }
        versions.iter().find(|(other, ..)| *other == number).map(|(.., deleted)| *deleted).ok_or(40_402)
    }

    fn mark(&mut self, subject: u8, number: u32) {
        let versions = self.subjects.get_mut(&subject).unwrap();
        versions.iter_mut().filter(|(other, ..)| *other == number).for_each(|(.., deleted)| *deleted = true);
    }

    fn remove(&mut self, subject: u8, number: u32) -> Result<(), u32> {
        if (subject, number) == (0, 1) && self.is_used(REFERRING, |_| true) {
            return Err(42_206);
        }
        self.subjects.get_mut(&subject).unwrap().retain(|(other, ..)| *other != number);
        let used: BTreeSet<i32> = self.used();
        self.ids.retain(|_, id| used.contains(id));
        Ok(())
    }

    fn used(&self) -> BTreeSet<i32> {
        self.subjects.values().flatten().map(|version| version.2).collect()
    }

    fn delete_subject(&mut self, subject: u8) -> Outcome {
        let versions = self.versions(subject);
        if versions.is_empty() {
            return Err(40_401);
        }
        self.check_mode(subject)?;
        let live: Vec<u32> =
            versions.iter().filter(|(.., deleted)| !deleted).map(|(number, ..)| *number).collect();
        if live.is_empty() {
            return Err(40_404);
        }
        for number in live.iter().rev() {
            if (subject, *number) == (0, 1) && self.is_used(REFERRING, |deleted| !deleted) {
                return Err(42_206);
            }
            self.mark(subject, *number);
        }
        self.modes.remove(&subject);
        Ok(live)
    }

    fn set_mode(&mut self, subject: Option<u8>, mode: Mode, force: Force) -> Outcome {
        let has_live = |versions: &Versions| versions.iter().any(|(.., deleted)| !deleted);
        let has_versions = match subject {
            Some(_) if mode == Mode::ReadonlyOverride => return Err(42_205),
            Some(subject) => has_live(&self.versions(subject)),
            None => self.subjects.values().any(has_live),
        };
        if mode == Mode::Import && force == Force::No && has_versions {
            return Err(42_205);
        }
        match subject {
            Some(subject) => drop(self.modes.insert(subject, mode)),
            None => self.general = Some(mode),
        }
        Ok(vec![])
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
