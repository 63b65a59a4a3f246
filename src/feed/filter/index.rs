//! Finding the filters that match a record without asking each.
//!
//! A filter that cannot hold unless some value is one of a few (`eq`, `in`, an `and` that holds one, an `or` of such)
//! is filed under those values; a record then costs one look-up per source asked for, and one judgement per filter
//! found. The others are asked one by one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::event::RecordView;

use super::{Filter, Found, Rule, Scalar, Source, Test};

type Anchor = (Source, Scalar<'static>);

/// Filters and what they stand for, found by record.
#[derive(Debug)]
pub(in crate::feed) struct Index<T> {
    by_source: HashMap<Source, HashMap<Scalar<'static>, Vec<Filed<T>>>>,
    unanchored: Vec<Filed<T>>,
    anchors: HashMap<Filter, Vec<Anchor>>,
}

#[derive(Debug)]
struct Filed<T> {
    filter: Filter,
    /// Whether being found is holding.
    is_exact: bool,
    target: T,
}

impl<T> Default for Index<T> {
    fn default() -> Self {
        Self { by_source: HashMap::new(), unanchored: Vec::new(), anchors: HashMap::new() }
    }
}

impl<T: Clone> Index<T> {
    /// Files a filter that is not filed yet.
    pub(in crate::feed) fn insert(&mut self, filter: &Filter, target: T) {
        let anchors = self.best_anchors(filter);
        let filed = |target| Filed { filter: filter.clone(), is_exact: filter.is_equality(), target };
        for (source, value) in anchors.iter().flatten().cloned() {
            let values = self.by_source.entry(source).or_default();
            values.entry(value).or_default().push(filed(target.clone()));
        }
        if anchors.is_none() {
            self.unanchored.push(filed(target));
        }
        self.anchors.insert(filter.clone(), anchors.unwrap_or_default());
    }

    /// Takes a filter out.
    pub(in crate::feed) fn remove(&mut self, filter: &Filter) {
        let Some(anchors) = self.anchors.remove(filter) else { return };
        if anchors.is_empty() {
            self.unanchored.retain(|filed| filed.filter != *filter);
        }
        for (source, value) in anchors {
            let Entry::Occupied(mut values) = self.by_source.entry(source) else { continue };
            if let Entry::Occupied(mut filed) = values.get_mut().entry(value) {
                filed.get_mut().retain(|filed| filed.filter != *filter);
                if filed.get().is_empty() {
                    filed.remove();
                }
            }
            if values.get().is_empty() {
                values.remove();
            }
        }
    }

    /// Calls `hit` for every filter that holds; once per source it is filed under.
    pub(in crate::feed) fn matching(&self, view: &RecordView<'_>, mut hit: impl FnMut(&T)) {
        let mut judge = |filed: &Filed<T>| {
            if filed.is_exact || filed.filter.matches(view) {
                hit(&filed.target);
            }
        };
        for (source, values) in &self.by_source {
            source.read(view, |found| {
                if let Found::Scalar(scalar) = found {
                    values.get(&scalar).into_iter().flatten().for_each(&mut judge);
                }
            });
        }
        self.unanchored.iter().for_each(judge);
    }

    pub(in crate::feed) fn is_empty(&self) -> bool {
        self.anchors.is_empty()
    }

    /// Of the choices an `and` leaves, the one that shares its values with the fewest filters.
    fn best_anchors(&self, filter: &Filter) -> Option<Vec<Anchor>> {
        match &*filter.0 {
            Rule::All(filters) => {
                let choices = filters.iter().filter_map(|filter| self.best_anchors(filter));
                choices.min_by_key(|anchors| (self.load(anchors), anchors.len()))
            }
            Rule::Any(filters) => {
                let each: Option<Vec<_>> = filters.iter().map(|filter| self.best_anchors(filter)).collect();
                let mut anchors = Vec::new();
                for anchor in each?.into_iter().flatten() {
                    if !anchors.contains(&anchor) {
                        anchors.push(anchor);
                    }
                }
                (!anchors.is_empty()).then_some(anchors)
            }
            Rule::Test(source, Test::In(values)) => {
                Some(values.iter().map(|value| (source.clone(), value.clone())).collect())
            }
            Rule::Not(_) | Rule::Test(_, Test::Prefix(_) | Test::Exists(_) | Test::Order(..)) => None,
        }
    }

    fn load(&self, anchors: &[Anchor]) -> usize {
        let filed = |(source, value): &Anchor| self.by_source.get(source)?.get(value).map(Vec::len);
        anchors.iter().filter_map(filed).sum()
    }
}

impl Filter {
    fn is_equality(&self) -> bool {
        matches!(&*self.0, Rule::Test(_, Test::In(_)))
    }
}
