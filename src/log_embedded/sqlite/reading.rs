//! Reads from one connection, each a transaction of its own, so that no reader holds back a checkpoint for long.

use bytes::Bytes;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OptionalExtension, params};

use crate::event::{Offset, Timestamp};
use crate::log::Bounds;

use super::super::storage::{Entry, Extent, Failure, FailureKind, LogId, Source};
use super::{signed, unsigned};

/// A connection that reads.
#[derive(Debug)]
pub(super) struct Reading(Connection);

impl Reading {
    pub(super) const fn new(connection: Connection) -> Self {
        Self(connection)
    }

    pub(super) const fn connection(&self) -> &Connection {
        &self.0
    }
}

impl Source for Reading {
    fn read(&mut self, log: LogId, from: Offset, bytes_max: usize) -> Result<Vec<Bytes>, Failure> {
        let doing = "reading";
        let sql = format!("select data from log_{} where last >= ?1 order by last", log.number());
        let mut statement = self.0.prepare_cached(&sql).doing(doing)?;
        let mut rows = statement.query([signed(from.number())]).doing(doing)?;
        let (mut batches, mut bytes) = (Vec::new(), 0);
        while let Some(row) = rows.next().doing(doing)? {
            let batch = blob(row.get_ref(0).doing(doing)?);
            bytes += batch.len();
            batches.push(batch);
            if bytes >= bytes_max {
                break;
            }
        }
        Ok(batches)
    }

    fn read_at(&mut self, log: LogId, from: Offset, time: Timestamp) -> Result<Option<Bytes>, Failure> {
        let doing = "looking for a time";
        let id = log.number();
        let block =
            format!("select last from block_{id} where last >= ?1 and time_max >= ?2 order by last limit 1");
        let earlier = format!("select coalesce(max(last), -1) from block_{id} where last < ?1");
        let batch = format!(
            "select data from log_{id} where last >= ?1 and last <= ?2 and time_max >= ?3 order by last limit 1"
        );
        let mut from = signed(from.number());
        loop {
            let block: Option<i64> = self
                .0
                .prepare_cached(&block)
                .and_then(|mut block| block.query_row([from, time.millis()], |row| row.get(0)).optional())
                .doing(doing)?;
            // After the last block lie the batches that are in none yet.
            let end = block.unwrap_or(i64::MAX);
            let earlier: i64 = self
                .0
                .prepare_cached(&earlier)
                .and_then(|mut earlier| earlier.query_row([end], |row| row.get(0)))
                .doing(doing)?;
            let first = from.max(earlier.saturating_add(1));
            let found = self
                .0
                .prepare_cached(&batch)
                .and_then(|mut batch| {
                    let row = params![first, end, time.millis()];
                    batch.query_row(row, |row| row.get_ref(0).map(blob)).optional()
                })
                .doing(doing)?;
            match (found, block) {
                (None, Some(block)) => from = block.saturating_add(1),
                (found, _) => return Ok(found),
            }
        }
    }

    fn oldest(&mut self, log: LogId, count: usize) -> Result<Vec<Extent>, Failure> {
        let doing = "looking for old records";
        let sql =
            format!("select last, time_max, length(data) from log_{} order by last limit ?1", log.number());
        let mut statement = self.0.prepare_cached(&sql).doing(doing)?;
        let rows = statement
            .query_map([signed(count as u64)], |row| {
                Ok(Extent {
                    last: Offset::new(unsigned(row.get(0)?)),
                    time_max: Timestamp::from_millis(row.get(1)?),
                    bytes: unsigned(row.get(2)?),
                })
            })
            .doing(doing)?;
        rows.map(|row| row.doing(doing)).collect()
    }

    fn bounds(&mut self, log: LogId) -> Result<Bounds, Failure> {
        let doing = "reading the ends of a log";
        let id = signed(log.number());
        let (start, next): (i64, i64) = self
            .0
            .prepare_cached("select start, next from part where id = ?1")
            .and_then(|mut part| part.query_row([id], |row| Ok((row.get(0)?, row.get(1)?))))
            .doing(doing)?;
        let last: i64 = self
            .0
            .prepare_cached(&format!("select coalesce(max(last), -1) from log_{id}"))
            .and_then(|mut last| last.query_row([], |row| row.get(0)))
            .doing(doing)?;
        let end = next.max(last.saturating_add(1));
        Ok(Bounds { start: Offset::new(unsigned(start)), end: Offset::new(unsigned(end)) })
    }

    fn scan(&mut self, prefix: &[u8]) -> Result<Vec<Entry>, Failure> {
        let doing = "reading entries";
        let mut statement =
            self.0.prepare_cached("select k, v from kv where k >= ?1 order by k").doing(doing)?;
        let mut rows = statement.query([prefix]).doing(doing)?;
        let mut entries = Vec::new();
        while let Some(row) = rows.next().doing(doing)? {
            let key: Vec<u8> = row.get(0).doing(doing)?;
            if !key.starts_with(prefix) {
                break;
            }
            entries.push((key, row.get(1).doing(doing)?));
        }
        Ok(entries)
    }
}

/// Puts SQLite's errors into the room's terms.
pub(super) trait Doing<T> {
    /// Names what was being done when it failed.
    fn doing(self, doing: &'static str) -> Result<T, Failure>;
}

impl<T> Doing<T> for rusqlite::Result<T> {
    fn doing(self, doing: &'static str) -> Result<T, Failure> {
        self.map_err(|error| {
            let kind = match error.sqlite_error_code() {
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => FailureKind::Corrupt,
                Some(ErrorCode::DiskFull) => FailureKind::Full,
                Some(ErrorCode::SystemIoFailure) => FailureKind::Io,
                _ => FailureKind::Other,
            };
            Failure { kind, doing, source: Box::new(error) }
        })
    }
}

/// A row's batch; anything but a blob becomes empty, and fails its checksum.
fn blob(value: ValueRef<'_>) -> Bytes {
    Bytes::copy_from_slice(value.as_blob().unwrap_or_default())
}
