//! Dead letters in words and columns. What is told comes from elsewhere, so that nothing in it may steer the terminal.

use serde_json::Value;

use crate::cli::paint::harmless;
use crate::cli::table::Table;

/// The columns of a list.
pub(super) const LETTER_HEAD: [&str; 8] =
    ["ID", "FROM", "KEY", "REASON", "ATTEMPTS", "LAST FAILED", "STATE", "ERROR"];
/// The columns of counts.
pub(super) const COUNT_HEAD: [&str; 5] = ["GROUP", "TOPIC", "LETTERS", "BY REASON", "BY STATE"];

/// The columns of redrives.
pub(super) const REDRIVE_HEAD: [&str; 9] =
    ["ID", "STATE", "MOVED", "FAILED", "SKIPPED", "LOOKED AT", "RATE", "CREATED", "BY"];

/// A letter as a row.
pub(super) fn letter_cells(letter: &Value) -> [String; 8] {
    [
        text(letter, "id"),
        place(letter),
        key(letter),
        text(letter, "reason"),
        text(letter, "attempts"),
        text(letter, "lastFailedAt"),
        text(letter, "state"),
        text(letter, "error"),
    ]
}

/// The letters of a group's topic as a row.
pub(super) fn count_cells(count: &Value) -> [String; 5] {
    let (letters, examined) = (count.get("letters"), count.get("examined"));
    let of_newest =
        if letters == examined { String::new() } else { format!(" (newest {})", text(count, "examined")) };
    let parts = |name: &str| {
        let parts = count.get(name).and_then(Value::as_object).into_iter().flatten();
        let parts: Vec<String> = parts.map(|(name, number)| format!("{name} {number}")).collect();
        if parts.is_empty() { "-".to_owned() } else { parts.join(", ") }
    };
    [
        text(count, "group"),
        text(count, "topic"),
        text(count, "letters"),
        format!("{}{of_newest}", parts("reasons")),
        parts("states"),
    ]
}

/// A redrive as a row.
pub(super) fn redrive_cells(redrive: &Value) -> [String; 9] {
    [
        text(redrive, "id"),
        text(redrive, "state"),
        text(redrive, "moved"),
        text(redrive, "failed"),
        text(redrive, "skipped"),
        format!("{}/{}", text(redrive, "examined"), text(redrive, "letters")),
        text(redrive, "ratePerSecond"),
        text(redrive, "createdAt"),
        text(redrive, "by"),
    ]
}

/// How far a redrive is, in a line.
pub(super) fn redrive(redrive: &Value) -> String {
    let why = if redrive.get("reason").is_some() {
        format!(": {}", text(redrive, "reason"))
    } else {
        String::new()
    };
    let [id, state, moved, failed, skipped, looked_at, ..] = redrive_cells(redrive);
    let told = format!(
        "{id}: {state}{why}; {moved} moved, {failed} failed, {skipped} skipped, looked at {looked_at}"
    );
    format!("{}\n", harmless(&told))
}

/// What a redrive would do.
pub(super) fn plan(plan: &Value) -> String {
    let (matched, examined, letters) = (text(plan, "matched"), text(plan, "examined"), text(plan, "letters"));
    let is_exact = plan.get("isExact").and_then(Value::as_bool).unwrap_or(false);
    let how = if is_exact { "" } else { "at least " };
    let mut told = harmless(&format!("{how}{matched} would be sent back, looked at {examined}/{letters}"));
    told.push('\n');
    let sample = plan.get("sample").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if !sample.is_empty() {
        let mut table = Table::new(&LETTER_HEAD);
        for one in sample {
            table.row(&letter_cells(one).each_ref().map(String::as_str));
        }
        told.push_str(&format!("\n{}", table.to_text()));
    }
    told
}

/// A letter with all that is known of it.
pub(super) fn letter(letter: &Value) -> String {
    let mut told = String::new();
    let mut line = |name: &str, value: &str| told.push_str(&format!("{name:<14}{}\n", harmless(value)));
    line("id", &text(letter, "id"));
    line("group", &text(letter, "group"));
    line("from", &place(letter));
    line("key", &key(letter));
    line("state", &state(letter));
    line("reason", &text(letter, "reason"));
    line("error", &text(letter, "error"));
    line("attempts", &text(letter, "attempts"));
    line("first failed", &text(letter, "firstFailedAt"));
    line("last failed", &text(letter, "lastFailedAt"));
    line("redrives", &text(letter, "redrives"));
    for (name, value) in letter.get("headers").and_then(Value::as_object).into_iter().flatten() {
        line(
            "header",
            &format!("{name}: {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned)),
        );
    }
    for note in letter.get("notes").and_then(Value::as_array).into_iter().flatten() {
        line("note", &format!("{} {}: {}", text(note, "at"), text(note, "by"), text(note, "text")));
    }
    for name in ["event", "meta", "data", "eventBase64", "undecodable"] {
        if let Some(value) = letter.get(name) {
            told.push_str(&format!("{name}\n{}\n", pretty(value)));
        }
    }
    told
}

/// What became of a letter.
pub(super) fn standing(standing: &Value) -> String {
    harmless(&format!("{}: {}", text(standing, "id"), state(standing)))
}

fn state(letter: &Value) -> String {
    let state = text(letter, "state");
    match letter.get("settledBy") {
        Some(_) => format!("{state} by {} at {}", text(letter, "settledBy"), text(letter, "settledAt")),
        None => state,
    }
}

fn place(letter: &Value) -> String {
    format!("{}/{}@{}", text(letter, "topic"), text(letter, "partition"), text(letter, "offset"))
}

fn key(letter: &Value) -> String {
    match letter.get("keyBase64") {
        Some(_) => format!("base64:{}", text(letter, "keyBase64")),
        None => text(letter, "key"),
    }
}

/// A member as text; `-` where there is none.
fn text(value: &Value, name: &str) -> String {
    match value.get(name) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// JSON in several lines.
fn pretty(value: &Value) -> String {
    let pretty = serde_json::to_string_pretty(value).unwrap_or_default();
    pretty.lines().map(|line| format!("  {}", harmless(line))).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_in_a_letter_steers_the_terminal() {
        let hostile = "a\u{1b}[2J\r\n\u{9b}\u{202e}";
        let told = letter(&json!({
            "id": hostile, "topic": hostile, "key": hostile, "error": hostile, "state": hostile, "settledBy": hostile,
            "headers": {(hostile): hostile, "b": [hostile]}, "notes": [{"at": "x", "by": hostile, "text": hostile}],
            "event": {(hostile): hostile},
        }));
        let is_plain = |letter: char| letter == '\n' || !(letter.is_control() || letter == '\u{202e}');
        assert!(told.chars().all(is_plain), "{told:?}");
        assert_eq!(told.lines().filter(|line| line.starts_with("note")).count(), 1, "{told}");
        assert!(told.contains(r"a\u001b[2J\u000d\n\u009b\u202e"), "{told}");
    }

    #[test]
    fn counts_say_whether_they_are_of_all_letters() {
        let count = |examined| {
            json!({"group": "g", "topic": "t", "letters": 5, "examined": examined,
                   "reasons": {"expired": 1, "rejected": 2}, "states": {"open": 3}})
        };
        assert_eq!(count_cells(&count(5)), ["g", "t", "5", "expired 1, rejected 2", "open 3"]);
        assert_eq!(count_cells(&count(3))[3], "expired 1, rejected 2 (newest 3)");
    }
}
