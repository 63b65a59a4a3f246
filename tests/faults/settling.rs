//! How workers settle what they are given: most at once, some when it comes again, poison never.

use serde_json::{Value, json};

use crate::history::{Deed, Entry, Kind};

/// How workers settle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settling {
    /// All they are given, at once.
    All,
    /// Some only when they are given it for the second time.
    SomeTwice,
}

/// Of so many offsets one fails at first.
const FAILS_EVERY: i64 = 16;
/// Of so many dead letters one fails when it comes back for the first time.
const FAILS_AGAIN_EVERY: i64 = 2;

/// Events whose key begins so are rejected.
pub(crate) const POISON: &str = "poison";
/// How the note of a letter's settlement says that it was acknowledged, and that it was not.
pub(crate) const ACKNOWLEDGED: &str = "acknowledged";
const REJECTED: &str = "rejected";

/// What a worker says of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Ack,
    Nack,
    Reject,
}

/// Whether a dead letter with this offset fails when it comes back for the first time.
pub(crate) const fn fails_again(off: i64) -> bool {
    off % FAILS_AGAIN_EVERY == 0
}

impl Settling {
    /// What is said of this delivery.
    pub(crate) fn answer(self, entry: &Entry) -> Answer {
        let off = entry.off.unwrap_or_default();
        if entry.is_of_letter() {
            return if entry.note == "1" && fails_again(off) { Answer::Reject } else { Answer::Ack };
        }
        if self == Self::SomeTwice && entry.attempt == Some(1) && off % FAILS_EVERY == 0 {
            Answer::Nack
        } else if entry.key.starts_with(POISON) {
            Answer::Reject
        } else {
            Answer::Ack
        }
    }
}

impl Answer {
    /// The delivery's line as that of its settlement.
    pub(crate) fn entry(self, of: Entry) -> Entry {
        let entry = Entry { kind: Kind::Invoke, ..of };
        match self {
            Self::Ack if entry.is_of_letter() => Entry { f: Deed::Settle, ..entry }.note(ACKNOWLEDGED),
            Self::Reject if entry.is_of_letter() => Entry { f: Deed::Settle, ..entry }.note(REJECTED),
            Self::Ack | Self::Reject => Entry { f: Deed::Ack, ..entry },
            Self::Nack => Entry { f: Deed::Nack, ..entry },
        }
    }

    /// How it is told.
    pub(crate) fn command(self, id: u64, sub: &Value, tag: &str) -> Value {
        match self {
            Self::Ack => json!({"id": id, "op": "ack", "sub": sub, "deliveries": [tag]}),
            Self::Nack => json!({"id": id, "op": "nack", "sub": sub, "delivery": tag}),
            Self::Reject => json!({"id": id, "op": "reject", "sub": sub, "delivery": tag, "reason": POISON}),
        }
    }
}
