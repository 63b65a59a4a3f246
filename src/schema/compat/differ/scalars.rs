//! Bounds of numbers and texts.

use serde_json::Value;

use super::super::facts::{greatest, least, number, whole};
use super::super::place::Node;
use super::super::types::Types;
use super::{At, Differ, Rule, Wish, shown};

pub(super) fn is_numeric(keyword: &str) -> bool {
    matches!(keyword, "minimum" | "exclusiveMinimum" | "maximum" | "exclusiveMaximum" | "multipleOf")
}

pub(super) fn is_textual(keyword: &str) -> bool {
    matches!(keyword, "minLength" | "maxLength" | "pattern" | "format")
}

/// How far numbers go to one side, seen so that more is stricter.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Bound {
    value: f64,
    is_exclusive: bool,
}

impl Bound {
    /// For whole numbers a bound is one, and they reach it.
    fn tightened(self) -> Self {
        let value = self.value.ceil();
        let step = if self.is_exclusive && value == self.value { 1.0 } else { 0.0 };
        Self { value: value + step, is_exclusive: false }
    }

    fn is_within(self, other: Self) -> bool {
        self.value > other.value || (self.value == other.value && (self.is_exclusive || !other.is_exclusive))
    }
}

/// The strictest bound of writers on one side; `sign` turns the upper side into the lower one.
fn bound(writers: &[Node<'_>], types: Types, sign: f64) -> Option<Bound> {
    let keywords = if sign > 0.0 { ["minimum", "exclusiveMinimum"] } else { ["maximum", "exclusiveMaximum"] };
    let mut strictest: Option<Bound> = None;
    for (keyword, is_exclusive) in keywords.into_iter().zip([false, true]) {
        for value in writers.iter().filter_map(|writer| writer.get(keyword)?.as_f64()) {
            let own = Bound { value: value * sign, is_exclusive };
            let own = if types.has(Types::FRACTION) { own } else { own.tightened() };
            if strictest.is_none_or(|before| own.is_within(before)) {
                strictest = Some(own);
            }
        }
    }
    strictest
}

pub(super) fn told(size: Option<u64>) -> String {
    size.map_or_else(|| "no bound".to_owned(), |size| size.to_string())
}

impl<'b> Differ<'b> {
    pub(super) fn number(
        &mut self,
        writers: &[Node<'b>],
        types: Types,
        keyword: &str,
        wanted: &Value,
        at: &At,
    ) -> bool {
        if keyword == "multipleOf" {
            return self.multiple(writers, types, wanted, at);
        }
        let sign = if keyword.ends_with("inimum") { 1.0 } else { -1.0 };
        let Some(limit) = wanted.as_f64() else { return true };
        let reader = Bound { value: limit * sign, is_exclusive: keyword.starts_with("exclusive") };
        let writer = bound(writers, types, sign);
        if writer.is_some_and(|writer| writer.is_within(reader)) {
            return true;
        }
        let rule = if sign > 0.0 { Rule::MinimumRaised } else { Rule::MaximumLowered };
        let beyond = match writer {
            Some(Bound { value, is_exclusive: false }) => value,
            // Halfway, so that it lies within both bounds.
            Some(Bound { value, .. }) if types.has(Types::FRACTION) => f64::midpoint(value, reader.value),
            Some(Bound { value, .. }) => value,
            None => reader.value.floor() - if reader.is_exclusive { 0.0 } else { 1.0 },
        };
        let words =
            writer.map_or_else(|| "no bound".to_owned(), |writer| shown(&number(writer.value * sign)));
        self.find(rule, &at.keyword(keyword), &shown(wanted), &words, Wish::Exactly(number(beyond * sign)))
    }

    fn multiple(&mut self, writers: &[Node<'b>], types: Types, wanted: &Value, at: &At) -> bool {
        let is_factor = |own: &Value| match (own.as_u64(), wanted.as_u64()) {
            (Some(own), Some(wanted)) => wanted != 0 && own % wanted == 0,
            _ => own == wanted,
        };
        let is_whole = !types.has(Types::FRACTION) && wanted.as_u64() == Some(1);
        if is_whole || writers.iter().filter_map(|writer| writer.get("multipleOf")).any(is_factor) {
            return true;
        }
        self.find(
            Rule::MultipleOfChanged,
            &at.keyword("multipleOf"),
            &shown(wanted),
            "other numbers",
            Wish::Anything,
        )
    }

    pub(super) fn text(&mut self, writers: &[Node<'b>], keyword: &str, wanted: &Value, at: &At) -> bool {
        let place = at.keyword(keyword);
        let limit = whole(wanted).unwrap_or_default();
        match keyword {
            "minLength" => {
                let own = greatest(writers, keyword);
                let shorter = Wish::Characters(size(own.unwrap_or(0)));
                own.unwrap_or(0) >= limit
                    || self.find(Rule::MinLengthRaised, &place, &shown(wanted), &told(own), shorter)
            }
            "maxLength" => {
                let own = least(writers, keyword);
                let longer = Wish::Characters(size(limit.saturating_add(1)));
                own.is_some_and(|own| own <= limit)
                    || self.find(Rule::MaxLengthLowered, &place, &shown(wanted), &told(own), longer)
            }
            _ => {
                let rule = if keyword == "pattern" { Rule::PatternChanged } else { Rule::FormatChanged };
                let own: Vec<&Value> = writers.iter().filter_map(|writer| writer.get(keyword)).collect();
                let words = own.first().map_or_else(|| "any text".to_owned(), |own| shown(own));
                own.contains(&wanted) || self.find(rule, &place, &shown(wanted), &words, Wish::Anything)
            }
        }
    }
}

pub(super) fn size(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}
