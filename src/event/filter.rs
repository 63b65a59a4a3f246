//! Filters: which events a subscriber wants, or may see.
//!
//! A filter is a small tree of tests on the record's key, its headers and pointers into the event. It is checked and
//! bounded where it is read, judged once per record for all who share it, and found through [`Index`] where it asks
//! for equality.

mod index;
mod parse;
mod scalar;

pub(crate) use index::Index;

use std::cmp::Ordering;
use std::sync::Arc;

use scalar::Scalar;

use super::json::Pointer;
use super::{HeaderName, RecordView};

/// A condition on an event, checked and bounded. Cheap to clone; equal filters are one to the feed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Filter(Arc<Rule>);

/// Why a text or value is no filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the filter is wrong at '{pointer}': {problem}")]
pub struct FilterError {
    /// Where in the filter; empty for the whole.
    pub pointer: String,
    /// What is wrong there.
    pub problem: String,
}

#[derive(Debug, PartialEq, Eq, Hash)]
enum Rule {
    All(Vec<Filter>),
    Any(Vec<Filter>),
    Not(Filter),
    Test(Source, Test),
}

/// Where a test finds its value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Source {
    Key,
    Header(HeaderName),
    Pointer(Pointer),
}

/// What a test asks of the value. Only [`Test::Exists`] can hold where there is none.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Test {
    /// One of these; sorted.
    In(Vec<Scalar<'static>>),
    Prefix(Box<str>),
    Exists(bool),
    Order(Order, Scalar<'static>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Order {
    Gt,
    Ge,
    Lt,
    Le,
}

impl Filter {
    /// The member at `pointer` is this string, or the integer written so: a grant's row filter.
    #[must_use]
    pub fn equals(pointer: Pointer, text: &str) -> Self {
        let mut values = vec![Scalar::text(text)];
        values.extend(Scalar::integer_written(text));
        Self::test(Source::Pointer(pointer), Test::of(values))
    }

    /// The record's key is this text.
    #[must_use]
    pub fn key_equals(key: &str) -> Self {
        Self::test(Source::Key, Test::of(vec![Scalar::text(key)]))
    }

    /// All of them hold; none given holds always.
    #[must_use]
    pub fn all(filters: Vec<Self>) -> Self {
        Self::of_one(filters, Rule::All)
    }

    /// One of them holds; none given never holds.
    #[must_use]
    pub fn any(filters: Vec<Self>) -> Self {
        Self::of_one(filters, Rule::Any)
    }

    /// Whether the event is one of those meant.
    #[must_use]
    pub fn matches(&self, view: &RecordView<'_>) -> bool {
        match &*self.0 {
            Rule::All(filters) => filters.iter().all(|filter| filter.matches(view)),
            Rule::Any(filters) => filters.iter().any(|filter| filter.matches(view)),
            Rule::Not(filter) => !filter.matches(view),
            Rule::Test(source, test) => source.read(view, |found| test.holds(found)),
        }
    }

    fn test(source: Source, test: Test) -> Self {
        Self(Arc::new(Rule::Test(source, test)))
    }

    fn not(filter: Self) -> Self {
        Self(Arc::new(Rule::Not(filter)))
    }

    fn of_one(mut filters: Vec<Self>, many: impl FnOnce(Vec<Self>) -> Rule) -> Self {
        match filters.pop() {
            Some(only) if filters.is_empty() => only,
            last => {
                filters.extend(last);
                Self(Arc::new(many(filters)))
            }
        }
    }
}

/// What lies where a test looks.
enum Found<'a> {
    Nothing,
    /// An array or an object.
    Structure,
    Scalar(Scalar<'a>),
}

impl Source {
    fn read<T>(&self, view: &RecordView<'_>, judge: impl FnOnce(Found<'_>) -> T) -> T {
        let text = |bytes| {
            std::str::from_utf8(bytes).map_or(Found::Structure, |text| Found::Scalar(Scalar::borrowed(text)))
        };
        match self {
            Self::Key => judge(view.record().key.as_ref().map_or(Found::Nothing, |key| text(key))),
            Self::Header(name) => judge(view.header(name).map_or(Found::Nothing, text)),
            Self::Pointer(pointer) => match view.at(pointer) {
                None => judge(Found::Nothing),
                Some(value) => judge(Scalar::of_value(&value).map_or(Found::Structure, Found::Scalar)),
            },
        }
    }
}

impl Test {
    fn of(mut values: Vec<Scalar<'static>>) -> Self {
        values.sort_unstable();
        values.dedup();
        Self::In(values)
    }

    fn holds(&self, found: Found<'_>) -> bool {
        let scalar = match (self, found) {
            (Self::Exists(is_wanted), found) => return *is_wanted != matches!(found, Found::Nothing),
            (_, Found::Nothing | Found::Structure) => return false,
            (_, Found::Scalar(scalar)) => scalar,
        };
        match self {
            Self::In(values) => values.binary_search_by(|value| value.cmp(&scalar)).is_ok(),
            Self::Prefix(prefix) => scalar.as_text().is_some_and(|text| text.starts_with(&**prefix)),
            Self::Exists(is_wanted) => *is_wanted,
            Self::Order(order, bound) => scalar.compare(bound).is_some_and(|found| order.allows(found)),
        }
    }
}

impl Order {
    const fn allows(self, found: Ordering) -> bool {
        match self {
            Self::Gt => found.is_gt(),
            Self::Ge => found.is_ge(),
            Self::Lt => found.is_lt(),
            Self::Le => found.is_le(),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::{Value, json};

    use super::super::json::Pointer;
    use super::super::{Headers, Offset, Record, RecordView, Storage, Timestamp};
    use super::Filter;

    fn record(key: Option<&str>, headers: &[(&str, &[u8])], value: &str) -> Record {
        let headers =
            headers.iter().map(|(name, value)| ((*name).into(), Some(Bytes::copy_from_slice(value))));
        Record {
            offset: Offset::ZERO,
            timestamp: Timestamp::from_millis(0),
            key: key.map(|key| Bytes::copy_from_slice(key.as_bytes())),
            value: Some(Bytes::copy_from_slice(value.as_bytes())),
            headers: headers.collect::<Headers>(),
            decoded: None,
        }
    }

    fn matches(filter: &Value, record: &Record) -> bool {
        Filter::parse(filter).unwrap().matches(&RecordView::parse(record, Storage::Native))
    }

    #[test]
    fn every_operator_compares_as_json_means_it() {
        let value = r#"{"n":42,"d":4.5,"s":"2026-11","t":true,"z":null,"a":[1],"o":{"x":"y"}}"#;
        let record = record(Some("k1"), &[("trace", b"abc"), ("raw", b"\xff")], value);
        for (filter, is_match) in [
            (json!({"pointer": "/data/n", "eq": 42}), true),
            (json!({"pointer": "/data/n", "eq": 42.0}), true),
            (json!({"pointer": "/data/n", "eq": "42"}), false),
            (json!({"pointer": "/data/t", "eq": true}), true),
            (json!({"pointer": "/data/z", "eq": null}), true),
            (json!({"pointer": "/data/none", "eq": null}), false),
            (json!({"pointer": "/data/o/x", "in": ["x", "y"]}), true),
            (json!({"pointer": "/data/a", "eq": 1}), false),
            (json!({"pointer": "/data/a/0", "eq": 1}), true),
            (json!({"pointer": "/data/s", "prefix": "2026-"}), true),
            (json!({"pointer": "/data/n", "prefix": "4"}), false),
            (json!({"pointer": "/data/z", "exists": true}), true),
            (json!({"pointer": "/data/o", "exists": true}), true),
            (json!({"pointer": "/data/none", "exists": false}), true),
            (json!({"pointer": "/data/n", "gt": 41.5, "le": 42}), true),
            (json!({"pointer": "/data/n", "gt": 42}), false),
            (json!({"pointer": "/data/n", "ge": 42, "lt": 43}), true),
            (json!({"pointer": "/data/d", "lt": 5}), true),
            (json!({"pointer": "/data/s", "ge": "2026-10", "lt": "2026-12"}), true),
            (json!({"pointer": "/data/s", "gt": 1}), false),
            (json!({"key": true, "eq": "k1"}), true),
            (json!({"key": true, "exists": false}), false),
            (json!({"header": "trace", "prefix": "ab"}), true),
            (json!({"header": "raw", "exists": true}), true),
            (json!({"header": "raw", "prefix": ""}), false),
            (json!({"header": "none", "exists": true}), false),
            (json!({"not": {"pointer": "/data/none", "eq": 1}}), true),
            (json!({"and": [{"key": true, "eq": "k1"}, {"pointer": "/data/n", "gt": 100}]}), false),
            (json!({"or": [{"key": true, "eq": "k2"}, {"pointer": "/data/n", "lt": 100}]}), true),
        ] {
            assert_eq!(matches(&filter, &record), is_match, "{filter}");
        }
    }

    #[test]
    fn a_row_filter_takes_a_string_or_the_integer_written_so() {
        let rows = |text| Filter::equals(Pointer::parse("/data/c").unwrap(), text);
        let holds = |text, value: &str| {
            let record = record(None, &[], &format!(r#"{{"c":{value}}}"#));
            rows(text).matches(&RecordView::parse(&record, Storage::Native))
        };
        assert!(holds("42", r#""42""#) && holds("42", "42") && holds("-7", "-7"));
        assert!(!holds("042", "42") && !holds("42", r#""042""#) && !holds("42", "true") && !holds("+1", "1"));
        assert!(!holds("4.5", "4.5"), "only integers have one text");
    }

    #[test]
    fn what_is_no_json_has_a_key_and_headers_only() {
        let record = record(Some("k"), &[], "no json");
        assert!(!matches(&json!({"pointer": "/data/a", "exists": true}), &record));
        assert!(matches(&json!({"key": true, "eq": "k"}), &record));
    }
}
