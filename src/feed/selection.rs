//! The filters a topic is read with, and who reads with each.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::event::{Filter, FilterIndex, RecordView};

use super::bell::{Bell, Bells};
use super::ring::{Since, Wanted};

/// A filter's number within its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SelectionId(u64);

/// All who read a topic with the same filter.
#[derive(Debug)]
pub(super) struct Selection {
    pub(super) id: SelectionId,
    filter: Option<Filter>,
    /// Per partition, from where on the filter has been judged as records came.
    since: Box<[Since]>,
    /// Guards the readers' bells.
    bells: Mutex<Bells>,
}

/// A topic's selections.
#[derive(Debug)]
pub(super) struct Selections {
    everyone: Arc<Selection>,
    filtered: HashMap<Filter, Arc<Selection>>,
    index: FilterIndex<Arc<Selection>>,
    last_id: u64,
}

impl Selection {
    fn new(id: u64, filter: Option<Filter>, since: Box<[Since]>) -> Arc<Self> {
        Arc::new(Self { id: SelectionId(id), filter, since, bells: Mutex::default() })
    }

    /// What this selection wants of a partition.
    pub(super) fn wanted(&self, partition: usize) -> Wanted<'_> {
        match &self.filter {
            None => Wanted::All,
            Some(filter) => Wanted::Matching { id: self.id, filter, since: self.since(partition) },
        }
    }

    pub(super) fn since(&self, partition: usize) -> Option<Since> {
        self.since.get(partition).copied()
    }

    pub(super) const fn filter(&self) -> Option<&Filter> {
        self.filter.as_ref()
    }

    pub(super) fn ring(&self) {
        self.bells().iter().for_each(Bell::ring);
    }

    /// Asks the readers whose turn it is to say where they stand. Turns are spread by selection too, since most
    /// have one reader.
    pub(super) fn ask_reports(&self, turn: usize, turns: usize) {
        let shift = usize::try_from(self.id.0).unwrap_or_default();
        for bell in self.bells().of_phase((turn + shift) % turns, turns) {
            bell.ask_report();
            bell.ring();
        }
    }

    pub(super) fn bells(&self) -> MutexGuard<'_, Bells> {
        self.bells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Selections {
    fn default() -> Self {
        Self {
            everyone: Selection::new(0, None, Box::default()),
            filtered: HashMap::new(),
            index: FilterIndex::default(),
            last_id: 0,
        }
    }
}

impl Selections {
    /// The selection for this filter with one more reader, and the reader's place in it. `since` tells where each
    /// partition's ring ends, should the filter be new.
    pub(super) fn join(
        &mut self,
        filter: Option<&Filter>,
        bell: Arc<Bell>,
        since: impl FnOnce() -> Box<[Since]>,
    ) -> (Arc<Selection>, usize) {
        let selection = match filter {
            None => Arc::clone(&self.everyone),
            Some(filter) => match self.filtered.get(filter) {
                Some(selection) => Arc::clone(selection),
                None => self.add(filter, since()),
            },
        };
        let place = selection.bells().add(bell);
        (selection, place)
    }

    /// A reader leaves; answers whether the selection went with it.
    pub(super) fn leave(&mut self, selection: &Selection, place: usize) -> bool {
        let is_empty = {
            let mut bells = selection.bells();
            bells.remove(place);
            bells.is_empty()
        };
        let Some(filter) = selection.filter.as_ref().filter(|_| is_empty) else { return false };
        self.filtered.remove(filter);
        self.index.remove(filter);
        true
    }

    /// The filtered selections a record passes, each once.
    pub(super) fn matching(&self, view: &RecordView<'_>, passed: &mut Vec<Arc<Selection>>) {
        self.index.matching(view, |selection| passed.push(Arc::clone(selection)));
        if passed.len() > 1 {
            passed.sort_unstable_by_key(|selection| selection.id);
            passed.dedup_by_key(|selection| selection.id);
        }
    }

    /// Whether any filter has to be asked.
    pub(super) fn has_filters(&self) -> bool {
        !self.index.is_empty()
    }

    pub(super) const fn everyone(&self) -> &Arc<Selection> {
        &self.everyone
    }

    pub(super) fn filtered(&self) -> impl Iterator<Item = &Arc<Selection>> {
        self.filtered.values()
    }

    pub(super) fn is_unread(&self) -> bool {
        self.filtered.is_empty() && self.everyone.bells().is_empty()
    }

    fn add(&mut self, filter: &Filter, since: Box<[Since]>) -> Arc<Selection> {
        self.last_id += 1;
        let selection = Selection::new(self.last_id, Some(filter.clone()), since);
        self.filtered.insert(filter.clone(), Arc::clone(&selection));
        self.index.insert(filter, Arc::clone(&selection));
        selection
    }
}
