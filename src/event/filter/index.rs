//! Finding the filters that match a record without asking each.
//!
//! A filter that cannot hold unless some value is one of a few (`eq`, `in`, an `and` that holds one, an `or` of such)
//! is filed under those values; a record then costs one look-up per source asked for, and one judgement per filter
//! found. The others are asked one by one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::super::RecordView;
use super::{Filter, Found, Rule, Scalar, Source, Test};

type Anchor = (Source, Scalar<'static>);

/// Filters and what they stand for, found by record.
#[derive(Debug)]
pub(crate) struct Index<T> {
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
    pub(crate) fn insert(&mut self, filter: &Filter, target: T) {
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
    pub(crate) fn remove(&mut self, filter: &Filter) {
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
    pub(crate) fn matching(&self, view: &RecordView<'_>, mut hit: impl FnMut(&T)) {
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

    pub(crate) fn is_empty(&self) -> bool {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::super::{Headers, Offset, Record, RecordView, Storage, Timestamp};
    use super::{Filter, Index};

    fn any_filter() -> impl Strategy<Value = Value> {
        let pointer = prop_oneof![Just("/data/a"), Just("/data/b")];
        let test = prop_oneof![
            (pointer.clone(), 0..3).prop_map(|(pointer, value)| json!({"pointer": pointer, "eq": value})),
            (pointer.clone(), 0..3).prop_map(|(pointer, value)| json!({"pointer": pointer, "gt": value})),
            (pointer, 0..3).prop_map(|(pointer, value)| json!({"pointer": pointer, "in": [value, "x"]})),
            Just(json!({"key": true, "eq": "x"})),
        ];
        test.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 1..3).prop_map(|list| json!({"and": list})),
                prop::collection::vec(inner.clone(), 1..3).prop_map(|list| json!({"or": list})),
                inner.prop_map(|inner| json!({"not": inner})),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_index_finds_what_asking_each_filter_finds(
            filters in prop::collection::vec(any_filter(), 1..20),
            removed in 0..10_usize,
            (a, b, key) in (0..4, 0..4, any::<bool>()),
        ) {
            let mut distinct: Vec<Filter> = Vec::new();
            for filter in filters.iter().map(|filter| Filter::parse(filter).unwrap()) {
                if !distinct.contains(&filter) {
                    distinct.push(filter);
                }
            }
            let mut index = Index::default();
            for (number, filter) in distinct.iter().enumerate() {
                index.insert(filter, number);
            }
            let kept = distinct.split_off(removed.min(distinct.len()));
            let gone = distinct.len();
            distinct.iter().for_each(|filter| index.remove(filter));
            let record = Record {
                offset: Offset::ZERO,
                timestamp: Timestamp::from_millis(0),
                key: key.then_some("x".into()),
                value: Some(format!(r#"{{"a":{a},"b":{b}}}"#).into()),
                headers: Headers::default(),
                decoded: None,
            };
            let view = RecordView::parse(&record, Storage::Native);
            let mut found = Vec::new();
            index.matching(&view, |number| found.push(*number));
            found.sort_unstable();
            found.dedup();
            let wanted = kept.iter().enumerate().filter(|(_, filter)| filter.matches(&view));
            let wanted: Vec<usize> = wanted.map(|(number, _)| number + gone).collect();
            prop_assert_eq!(found, wanted);
            kept.iter().for_each(|filter| index.remove(filter));
            prop_assert!(index.is_empty() && index.by_source.is_empty() && index.unanchored.is_empty());
        }
    }
}
