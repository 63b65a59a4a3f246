//! The high-water file: how far the database had come, kept beside it, so that a database that lost its newest
//! commits is noticed at open and not served as if nothing had been there.
//!
//! SQLite ends the recovery of a damaged write-ahead file silently at the first bad frame. The first slot holds how
//! many transactions were committed, written before anybody hears of them; the slot of a log, written now and then,
//! holds where that log ended and serves to say what is missing. Each slot has its own checksum. The file is
//! never synced: it must outlive the process, and after a power loss it may be behind, never ahead of what was synced.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use crate::event::Offset;

use super::storage::LogId;

const SLOT_BYTES: usize = 32;
const MAGIC: u64 = u64::from_le_bytes(*b"WRGThw01");

/// What the file said when it was opened.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Noted {
    /// How many transactions were committed; `None` for a new or damaged file.
    pub(super) commits: Option<u64>,
    /// Where logs ended, at least.
    pub(super) ends: Vec<(LogId, Offset)>,
    /// How many slots had a wrong checksum.
    pub(super) damaged: usize,
}

/// The file, open for writing.
#[derive(Debug)]
pub(super) struct HighWater(File);

impl HighWater {
    /// Opens or makes the file.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Noted)> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let mut noted = Noted::default();
        for (index, slot) in bytes.chunks(SLOT_BYTES).enumerate() {
            match (index, decode(slot)) {
                (_, None) if slot.iter().all(|byte| *byte == 0) => {}
                (0, Some((MAGIC, commits))) => noted.commits = Some(commits),
                (_, Some((log, end))) if log == index as u64 => {
                    noted.ends.push((LogId::new(log), Offset::new(end)));
                }
                _ => noted.damaged += 1,
            }
        }
        Ok((Self(file), noted))
    }

    /// Notes that so many transactions are committed.
    pub(super) fn note_commits(&mut self, commits: u64) -> io::Result<()> {
        self.write(0, &encode(MAGIC, commits))
    }

    /// Notes that a log ends at `end`.
    pub(super) fn note_end(&mut self, log: LogId, end: Offset) -> io::Result<()> {
        self.write(log.number(), &encode(log.number(), end.number()))
    }

    /// Forgets a log that is about to go.
    pub(super) fn forget(&mut self, log: LogId) -> io::Result<()> {
        self.write(log.number(), &[0; SLOT_BYTES])
    }

    fn write(&mut self, slot: u64, bytes: &[u8; SLOT_BYTES]) -> io::Result<()> {
        self.0.seek(SeekFrom::Start(slot * SLOT_BYTES as u64))?;
        self.0.write_all(bytes)
    }
}

fn encode(name: u64, number: u64) -> [u8; SLOT_BYTES] {
    let mut slot = [0; SLOT_BYTES];
    let (name, number) = (name.to_le_bytes(), number.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&name), &number).to_le_bytes();
    for (place, byte) in slot.iter_mut().zip(name.into_iter().chain(number).chain(crc)) {
        *place = byte;
    }
    slot
}

fn decode(slot: &[u8]) -> Option<(u64, u64)> {
    let (name, number) = (slot.get(..8)?, slot.get(8..16)?);
    let crc = u32::from_le_bytes(slot.get(16..20)?.try_into().ok()?);
    let is_whole = crc32c::crc32c(slot.get(..16)?) == crc && name.iter().any(|byte| *byte != 0);
    is_whole
        .then_some((u64::from_le_bytes(name.try_into().ok()?), u64::from_le_bytes(number.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use crate::event::Offset;

    use super::super::storage::LogId;
    use super::{HighWater, Noted};

    #[test]
    fn what_was_noted_is_read_back_and_damage_is_counted() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("high-water");
        let (mut file, noted) = HighWater::open(&path).unwrap();
        assert_eq!(noted, Noted::default());
        file.note_commits(7).unwrap();
        file.note_end(LogId::new(3), Offset::new(40)).unwrap();
        file.note_end(LogId::new(5), Offset::new(50)).unwrap();
        file.forget(LogId::new(3)).unwrap();
        let (mut file, noted) = HighWater::open(&path).unwrap();
        let ends = vec![(LogId::new(5), Offset::new(50))];
        assert_eq!(noted, Noted { commits: Some(7), ends, damaged: 0 });
        file.note_commits(8).unwrap();
        drop(file);

        let mut bytes = std::fs::read(&path).unwrap();
        bytes[9] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let (_, noted) = HighWater::open(&path).unwrap();
        assert_eq!((noted.commits, noted.damaged), (None, 1));
    }
}
