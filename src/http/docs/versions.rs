//! The versions of an event type's schema in the registry, and how one differs from another.

use std::collections::BTreeMap;

use maud::{Markup, html};

use crate::event::EventType;
use crate::schema::compat::{Break, ChangeLevel, CounterExample, Report};
use crate::schema::registry::{Content, Difference, Version};

use super::event_type::address;
use super::fields::{self, Field};

/// The page of a type's versions.
pub(super) fn address_of(event_type: &EventType) -> String {
    format!("{}/versions", address(event_type))
}

/// The body of the page: the versions there are, and the difference that was asked for.
pub(super) fn body(event_type: &EventType, versions: &[Version], difference: &Difference) -> Markup {
    let chooser = |name: &str, chosen: Version| {
        html! {
            label for=(name) { (name) }
            select id=(name) name=(name) {
                @for version in versions {
                    option value=(version) selected[*version == chosen] { "version " (version) }
                }
            }
        }
    };
    let (from, to) = (difference.from.version, difference.to.version);
    html! {
        p { a href=(address(event_type)) { (event_type) } }
        h1 { "Versions of " (event_type) }
        form.search action=(address_of(event_type)) {
            div.row { (chooser("from", from)) (chooser("to", to)) button type="submit" { "Compare" } }
        }
        h2 { "From version " (from) " to " (to) }
        @match &difference.report {
            Some(report) => { (verdict(report)) }
            None => { p { "These two cannot be compared." } }
        }
        @if let Some((old, new)) = &difference.schemas { (changes(&fields::of(old).rows, &fields::of(new).rows)) }
        (text(from, &difference.from.content))
        @if from != to { (text(to, &difference.to.content)) }
    }
}

/// A schema's text over several lines, where it is JSON.
pub(super) fn readable(content: &Content) -> String {
    let parsed = serde_json::from_str::<serde_json::Value>(&content.text);
    parsed.map_or_else(|_| content.text.clone(), |schema| format!("{schema:#}"))
}

fn text(version: Version, content: &Content) -> Markup {
    html! {
        details {
            summary { "Version " (version) " whole" }
            pre tabindex="0" { code { (readable(content)) } }
        }
    }
}

fn verdict(report: &Report) -> Markup {
    html! {
        @if let Some(level) = report.change_level {
            p { "Change level: " strong { (match level {
                ChangeLevel::Patch => "patch",
                ChangeLevel::Minor => "minor",
                ChangeLevel::Major => "major",
            }) } (match level {
                ChangeLevel::Patch => ", the same events are accepted",
                ChangeLevel::Minor => ", other events are accepted, and no reader breaks",
                ChangeLevel::Major => ", readers break",
            }) "." }
        }
        @for found in &report.breaks { (broken(found)) }
    }
}

fn broken(found: &Break) -> Markup {
    html! {
        ul {
            @for one in &found.differences {
                li { code { (one.path) } ": " (one.message) ". " span.hint { (one.fix) } }
            }
            @if let Some(reason) = &found.unproved { li { "Not proved: " (reason) } }
        }
        @if let Some(CounterExample::Data(data)) = &found.counter_example {
            p { "Data that one takes and the other refuses:" }
            pre tabindex="0" { code { (format!("{data:#}")) } }
        }
        @if let Some(CounterExample::Misread { data, read }) = &found.counter_example {
            p { "Data that one writes:" }
            pre tabindex="0" { code { (format!("{data:#}")) } }
            p { "and what the other reads:" }
            pre tabindex="0" { code { (format!("{read:#}")) } }
        }
    }
}

/// What became of each field.
fn changes(old: &[Field], new: &[Field]) -> Markup {
    let by_path = |rows: &[Field]| -> BTreeMap<String, Field> {
        rows.iter().map(|row| (row.path.clone(), row.clone())).collect()
    };
    let (old, new) = (by_path(old), by_path(new));
    let added = new.values().filter(|row| !old.contains_key(&row.path));
    let removed = old.values().filter(|row| !new.contains_key(&row.path));
    let changed =
        new.values().filter_map(|row| Some((old.get(&row.path)?, row))).filter(|(was, is)| was != is);
    let is_same = old == new;
    html! {
        h3 { "Fields" }
        @if is_same { p { "No field changed." } }
        ul.changes {
            @for row in added { li.added { "added " code { (row.path) } ", " (summary(row)) } }
            @for row in removed { li.removed { "removed " code { (row.path) } ", " (summary(row)) } }
            @for (was, is) in changed {
                li { "changed " code { (is.path) }
                    @if summary(was) == summary(is) { ": its description" }
                    @else { ": " span.removed { (summary(was)) } " → " span.added { (summary(is)) } }
                }
            }
        }
    }
}

fn summary(row: &Field) -> String {
    let need = if row.is_required { "required" } else { "optional" };
    std::iter::once(format!("{need} {}", row.kind))
        .chain(row.rules.iter().cloned())
        .collect::<Vec<_>>()
        .join(", ")
}
