//! An event as one line for a person: time, place, key, type and data, with colours where the reader sees them.

use serde_json::Value;

const DIM: &str = "\x1b[2m";
const PLACE: &str = "\x1b[36m";
const KEY: &str = "\x1b[33m";
const TYPE: &str = "\x1b[1;32m";
const NAME: &str = "\x1b[34m";
const TEXT: &str = "\x1b[32m";
const NUMBER: &str = "\x1b[35m";
const PLAIN: &str = "\x1b[0m";

/// Writes lines, coloured or not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Painter {
    is_coloured: bool,
}

impl Painter {
    pub(super) const fn new(is_coloured: bool) -> Self {
        Self { is_coloured }
    }

    /// The line of an event or delivery; `verdict` is what was said of it.
    pub(super) fn event(self, message: &Value, verdict: Option<&str>) -> String {
        let mut line = String::new();
        let member = |name: &str| message.get(name).unwrap_or(&Value::Null);
        let text = |name: &str| member(name).as_str().unwrap_or_default();
        self.put(&mut line, DIM, clock(text("timestamp")));
        line.push(' ');
        let place = format!("{}/{}@{}", text("topic"), member("partition"), member("offset"));
        self.put(&mut line, PLACE, &place);
        match message.get("key").or_else(|| message.get("keyBase64")) {
            None | Some(Value::Null) => {}
            Some(key) => {
                line.push(' ');
                self.put(&mut line, KEY, &plain_or_json(key));
            }
        }
        let (event_type, data) = type_and_data(message);
        if let Some(event_type) = event_type {
            line.push(' ');
            self.put(&mut line, TYPE, &plain_or_json(event_type));
        }
        line.push(' ');
        self.json(&mut line, data);
        if let Some(verdict) = verdict {
            let attempt = member("attempt").as_u64().unwrap_or(1);
            let tries = if attempt > 1 { format!(" (attempt {attempt})") } else { String::new() };
            self.put(&mut line, DIM, &format!(" → {verdict}{tries}"));
        }
        line
    }

    /// A line that is about the connection rather than an event.
    pub(super) fn aside(self, text: &str) -> String {
        let mut line = String::new();
        self.put(&mut line, DIM, &format!("-- {text}"));
        line
    }

    fn put(self, line: &mut String, colour: &str, text: &str) {
        if self.is_coloured {
            line.extend([colour, text, PLAIN]);
        } else {
            line.push_str(text);
        }
    }

    fn json(self, line: &mut String, value: &Value) {
        match value {
            Value::Object(members) => {
                line.push('{');
                for (index, (name, value)) in members.iter().enumerate() {
                    line.push_str(if index > 0 { "," } else { "" });
                    self.put(line, NAME, &printable(&Value::from(name.as_str())));
                    line.push(':');
                    self.json(line, value);
                }
                line.push('}');
            }
            Value::Array(items) => {
                line.push('[');
                for (index, item) in items.iter().enumerate() {
                    line.push_str(if index > 0 { "," } else { "" });
                    self.json(line, item);
                }
                line.push(']');
            }
            Value::String(_) => self.put(line, TEXT, &printable(value)),
            Value::Number(_) | Value::Bool(_) | Value::Null => self.put(line, NUMBER, &value.to_string()),
        }
    }
}

/// The time of day of an RFC 3339 time.
fn clock(timestamp: &str) -> &str {
    timestamp.split_once('T').map_or(timestamp, |(_, clock)| clock.trim_end_matches('Z'))
}

/// A text as it is where that is safe to read, else as JSON, so that nothing in it can steer the terminal.
fn plain_or_json(value: &Value) -> String {
    match value.as_str() {
        Some(text)
            if !text.is_empty()
                && text.chars().all(|letter| letter.is_alphanumeric() || "-_.:/@".contains(letter)) =>
        {
            text.to_owned()
        }
        Some(_) | None => printable(value),
    }
}

/// A text in one line with all that could steer the terminal or hide what it says written out, as JSON would.
pub(super) fn harmless(text: &str) -> String {
    let steers = |letter: char| {
        // The last ones turn the direction of writing.
        letter.is_control()
            || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let shown = |letter: char| match letter {
        '\n' => "\\n".to_owned(),
        '\t' => "\\t".to_owned(),
        letter if steers(letter) => format!("\\u{:04x}", u32::from(letter)),
        letter => letter.to_string(),
    };
    text.chars().map(shown).collect()
}

/// JSON in which every control character is escaped; JSON itself asks for that only below U+0020.
fn printable(value: &Value) -> String {
    let json = value.to_string();
    if !json.chars().any(char::is_control) {
        return json;
    }
    json.chars()
        .map(
            |letter| {
                if letter.is_control() { format!("\\u{:04x}", u32::from(letter)) } else { letter.to_string() }
            },
        )
        .collect()
}

/// The type and the data of an event, whatever its envelope; the whole where there is none.
fn type_and_data(message: &Value) -> (Option<&Value>, &Value) {
    let (envelope, data) = match (message.get("event"), message.get("meta")) {
        (Some(event), _) => (event, event.get("data").unwrap_or(event)),
        (None, Some(meta)) => (meta, message.get("data").unwrap_or(&Value::Null)),
        (None, None) => return (None, message.get("eventBase64").unwrap_or(&Value::Null)),
    };
    (envelope.get("eventType").or_else(|| envelope.get("type")), data)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Painter, harmless};

    #[test]
    fn an_event_is_one_line() {
        let message = json!({
            "sub": 7, "topic": "orders.v1", "partition": 0, "offset": 124, "timestamp": "2026-11-21T10:15:30.123Z",
            "key": "42", "event": {"eventType": "orders.placed.v1", "data": {"a": 1}},
        });
        assert_eq!(
            Painter::new(false).event(&message, None),
            r#"10:15:30.123 orders.v1/0@124 42 orders.placed.v1 {"a":1}"#
        );
        assert!(Painter::new(true).event(&message, None).contains("\x1b[1;32morders.placed.v1\x1b[0m"));
    }

    #[test]
    fn a_harmless_text_is_one_line_and_says_what_it_hides() {
        assert_eq!(harmless("naïve 漢字 \"a\""), "naïve 漢字 \"a\"");
        let hostile = "a\u{1b}[2J\r\n\tb\u{9b}c\u{202e}d\u{7f}\0";
        assert_eq!(harmless(hostile), "a\\u001b[2J\\u000d\\n\\tb\\u009bc\\u202ed\\u007f\\u0000");
    }

    #[test]
    fn a_delivery_shows_its_attempt_and_verdict() {
        let message = json!({
            "sub": 9, "delivery": "t", "attempt": 2, "topic": "t", "partition": 1, "offset": 5, "timestamp": "x", "key": null,
            "meta": {"eventType": "a.b.v1"}, "data": [true, null],
        });
        assert_eq!(
            Painter::new(false).event(&message, Some("nack")),
            "x t/1@5 a.b.v1 [true,null] → nack (attempt 2)"
        );
    }

    #[test]
    fn nothing_in_a_key_steers_the_terminal() {
        let message =
            json!({"topic": "t", "partition": 0, "offset": 0, "timestamp": "x", "key": "a\u{1b}[2J\u{9b}"});
        let line = Painter::new(false).event(&message, None);
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
}
