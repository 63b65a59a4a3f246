//! The model: subjects with their versions in plain maps, and what it answers to each step.

use std::collections::{BTreeMap, BTreeSet};

use super::super::change::Force;
use super::super::level::Mode;
use super::{Outcome, REFERRING, Step};

/// What a version is in the model: number, content, id, and whether it is deleted.
pub(super) type Versions = Vec<(u32, u8, i32, bool)>;

#[derive(Debug, Clone, Default)]
pub(super) struct Model {
    pub(super) subjects: BTreeMap<u8, Versions>,
    /// The ids that contents have but for imports.
    pub(super) ids: BTreeMap<u8, i32>,
    pub(super) last_id: i32,
    general: Option<Mode>,
    modes: BTreeMap<u8, Mode>,
}

impl Model {
    pub(super) fn mode(&self, subject: u8) -> Mode {
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

    pub(super) fn versions(&self, subject: u8) -> Versions {
        self.subjects.get(&subject).cloned().unwrap_or_default()
    }

    fn is_used(&self, content: u8, is_meant: impl Fn(bool) -> bool) -> bool {
        self.subjects.values().flatten().any(|(_, other, _, deleted)| *other == content && is_meant(*deleted))
    }

    pub(super) fn apply(&mut self, step: &Step) -> Outcome {
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

    pub(super) fn used(&self) -> BTreeSet<i32> {
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
