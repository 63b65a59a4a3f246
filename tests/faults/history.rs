//! What every client did, as lines of JSON: one file for each client process, flushed before its next step.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Deed {
    /// An event was published.
    Publish,
    /// A group's member was handed a delivery.
    Deliver,
    /// It settled one.
    Ack,
    /// It said that a delivery failed.
    Nack,
    /// It was told that a delivery need not be settled any more.
    Withdraw,
    /// It was handed a dead letter again; which time that is, is in the note.
    Return,
    /// It settled one of those; the note says how.
    Settle,
    /// A member of another group was handed a delivery; of a dead letter, the note says which time.
    Aside,
    /// It was told which partitions its gateway has.
    Assign,
    /// A gateway heard that the group had given its partitions to others, since it had not been heard for too long.
    Lose,
    /// An audience was shown an event.
    Follow,
    /// A reader was told that it misses events from the offset in the note up to `off`.
    Gap,
    /// A group's committed offset was seen.
    Commit,
    /// A connection ended.
    Close,
}

/// How far it came. A publish without an end is as one of unknown outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Invoke,
    Ok,
    /// Refused for sure.
    Fail,
    /// Nobody knows.
    Info,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Microseconds since the run began.
    pub(crate) t_mono: u64,
    pub(crate) proc: String,
    pub(crate) f: Deed,
    #[serde(rename = "type")]
    pub(crate) kind: Kind,
    /// The event: `proc-seq` of who published it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) id: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) part: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) off: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) attempt: Option<u64>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) sha: String,
    /// Why, for people: a status and code.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) note: String,
}

impl Entry {
    pub(crate) fn new(f: Deed, kind: Kind) -> Self {
        Self {
            t_mono: 0,
            proc: String::new(),
            f,
            kind,
            id: String::new(),
            key: String::new(),
            part: None,
            off: None,
            attempt: None,
            sha: String::new(),
            note: String::new(),
        }
    }

    pub(crate) fn event(mut self, id: &str, key: &str) -> Self {
        id.clone_into(&mut self.id);
        key.clone_into(&mut self.key);
        self
    }

    pub(crate) const fn at(mut self, part: i32, off: i64) -> Self {
        (self.part, self.off) = (Some(part), Some(off));
        self
    }

    pub(crate) const fn attempt(mut self, attempt: u64) -> Self {
        self.attempt = Some(attempt);
        self
    }

    pub(crate) fn sha(mut self, bytes: &[u8]) -> Self {
        self.sha = sha(bytes);
        self
    }

    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// Partition and offset, where the line has them.
    pub(crate) fn position(&self) -> Option<(i32, i64)> {
        self.part.zip(self.off)
    }

    pub(crate) fn is(&self, f: Deed, kind: Kind) -> bool {
        self.f == f && self.kind == kind
    }

    /// Whether it says that the log did not answer in time.
    pub(crate) fn has_timed_out(&self) -> bool {
        self.kind == Kind::Info && (self.note.starts_with("504") || self.note.contains("MessageTimedOut"))
    }

    /// Whether it is about a dead letter that came back.
    pub(crate) const fn is_of_letter(&self) -> bool {
        matches!(self.f, Deed::Return | Deed::Settle)
    }
}

/// The first half of a SHA-256, which is enough to tell bytes apart.
pub(crate) fn sha(bytes: &[u8]) -> String {
    Sha256::digest(bytes)[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap()
}

/// Where the histories of one run lie, and when it began.
#[derive(Debug, Clone)]
pub(crate) struct Book {
    directory: PathBuf,
    began: Instant,
    began_wall: SystemTime,
}

/// Writes one client's history.
#[derive(Debug)]
pub(crate) struct Recorder {
    began: Instant,
    proc: String,
    file: File,
}

impl Book {
    pub(crate) fn new(directory: &Path) -> Self {
        fs::create_dir_all(directory).unwrap();
        Self { directory: directory.to_owned(), began: Instant::now(), began_wall: SystemTime::now() }
    }

    /// A client's history; no two clients of a run have one name.
    pub(crate) fn recorder(&self, proc: &str) -> Recorder {
        let path = self.directory.join(format!("{proc}.jsonl"));
        let file = File::create_new(path).unwrap();
        Recorder { began: self.began, proc: proc.to_owned(), file }
    }

    /// Now, as in the lines.
    pub(crate) fn now(&self) -> u64 {
        micros(self.began)
    }

    /// A time of the wall clock, as in the lines.
    pub(crate) fn at(&self, wall: SystemTime) -> u64 {
        let since = wall.duration_since(self.began_wall).unwrap_or_default();
        u64::try_from(since.as_micros()).unwrap()
    }

    /// All lines of all clients, by time. A last line that was cut off is not there.
    pub(crate) fn read(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        for file in fs::read_dir(&self.directory).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "jsonl") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            entries.extend(lines.map(|line| serde_json::from_str::<Entry>(line).unwrap()));
        }
        entries.sort_by_key(|entry| entry.t_mono);
        entries
    }
}

impl Recorder {
    pub(crate) fn write(&mut self, entry: Entry) {
        self.write_at(micros(self.began), entry);
    }

    /// Writes what happened earlier.
    pub(crate) fn write_at(&mut self, t_mono: u64, mut entry: Entry) {
        entry.t_mono = t_mono;
        entry.proc.clone_from(&self.proc);
        let mut line = serde_json::to_vec(&entry).unwrap();
        line.push(b'\n');
        // One write of the whole line, which the kernel has then: as durable as a process needs it that may be killed.
        self.file.write_all(&line).unwrap();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::{Book, Deed, Entry, Kind};

    #[test]
    fn what_was_written_is_read_back_by_time_without_a_torn_line() {
        let directory = tempfile::tempdir().unwrap();
        let book = Book::new(directory.path());
        let (mut one, mut other) = (book.recorder("p0"), book.recorder("w0"));
        one.write(Entry::new(Deed::Publish, Kind::Invoke).event("p0-1", "k").attempt(1).sha(b"x"));
        other.write(Entry::new(Deed::Deliver, Kind::Ok).event("p0-1", "k").at(2, 7));
        one.write(Entry::new(Deed::Publish, Kind::Ok).event("p0-1", "k").at(2, 7).note("201"));
        one.file.write_all(br#"{"t_mono":1,"proc":"p0","f":"pub"#).unwrap();
        let entries = book.read();
        let procs: Vec<&str> = entries.iter().map(|entry| entry.proc.as_str()).collect();
        assert_eq!(procs, ["p0", "w0", "p0"]);
        assert_eq!(entries[1].position(), Some((2, 7)));
        assert_eq!((entries[0].sha.len(), entries[2].note.as_str()), (32, "201"));
    }

    #[test]
    fn a_line_has_the_members_that_the_checkers_of_others_know() {
        let directory = tempfile::tempdir().unwrap();
        let mut recorder = Book::new(directory.path()).recorder("p0");
        recorder.write(Entry::new(Deed::Publish, Kind::Ok).event("p0-1", "k").at(0, 1).attempt(2).sha(b""));
        let text = std::fs::read_to_string(directory.path().join("p0.jsonl")).unwrap();
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        for member in ["t_mono", "proc", "f", "type", "id", "key", "part", "off", "attempt", "sha"] {
            assert!(!line[member].is_null(), "{member} in {line}");
        }
    }
}
