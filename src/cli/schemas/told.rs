//! A comparison in words: what breaks whom, where, with an event that shows it and the way out.

use crate::schema::compat::{Break, CounterExample, Direction, Level, Policy, Report};

/// An event longer than this is cut.
const EXAMPLE_CHARACTERS_MAX: usize = 2_000;

/// What stands against a new version, some lines; nothing where it may follow.
pub(super) fn breaks(report: &Report, policy: Policy, level: Level) -> String {
    let mut text = String::new();
    for found in &report.breaks {
        let who = match found.direction {
            Direction::Backward => "readers of the new schema and data of the old one",
            Direction::Forward => "readers of the old schema and data of the new one",
        };
        let verdict = if found.unproved.is_some() { "not proved to be compatible" } else { "incompatible" };
        text.push_str(&format!("  {verdict}: {who} ({level}, {policy})\n"));
        describe(found, &mut text);
    }
    text
}

fn describe(found: &Break, text: &mut String) {
    for difference in &found.differences {
        let path = if difference.path.is_empty() { "the data" } else { &difference.path };
        text.push_str(&format!("  - {path}: {} [{}]\n", difference.message, difference.rule));
        text.push_str(&format!("    at {}; {}\n", difference.pointer, difference.fix));
    }
    if let (Some(reason), true) = (&found.unproved, found.differences.is_empty()) {
        text.push_str(&format!("  - {reason}\n"));
    }
    let (writer, reader) = match found.direction {
        Direction::Backward => ("old", "new"),
        Direction::Forward => ("new", "old"),
    };
    match &found.counter_example {
        Some(CounterExample::Data(data)) => {
            let data = cut(&data.to_string());
            text.push_str(&format!(
                "  the {writer} schema allows this, the {reader} one refuses it: {data}\n"
            ));
        }
        Some(CounterExample::Misread { data, read }) => {
            let (data, read) = (cut(&data.to_string()), cut(&read.to_string()));
            text.push_str(&format!(
                "  the {writer} schema writes this, and the {reader} one reads something else: {data} as {read}\n"
            ));
        }
        Some(CounterExample::Schema(schema)) => {
            let schema = cut(&schema.to_string());
            text.push_str(&format!(
                "  the {writer} schema allows more than the {reader} one, namely: {schema}\n"
            ));
        }
        None => {}
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(EXAMPLE_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
