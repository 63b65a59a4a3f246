//! The store on SQLite: a table of batches per partition, keyed by the batch's last offset.
//!
//! An insert is then always at the right edge of its tree, and one seek finds the batch that holds an offset. A
//! second table per partition has a row per block of batches, with the block's latest time and its size: it makes
//! look-ups by time and the sum of bytes cheap. SQLite has no checksums of its own; the batches have.
//!
//! ```text
//! part(id, start, next)   log_<id>(last, time_max, data)   block_<id>(last, time_max, bytes)   kv(k, v)   state(commits)
//! ```

mod reading;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, params};

use crate::event::{Offset, Timestamp};
use crate::log::Bounds;

use self::reading::{Doing, Reading};
use super::batch::Batch;
use super::storage::{Entry, Extent, Failure, FailureKind, LogId, Source, Storage};

const APPLICATION_ID: i64 = 0x5752_4754;
const SCHEMA_VERSION: i64 = 1;
/// The first version without the bug that could corrupt a write-ahead file at its reset.
const SQLITE_VERSION_MIN: i32 = 3_051_003;
/// 4 MiB of pages: larger ones make checkpoints, and with them the slowest appends, slower.
const CHECKPOINT_PAGES: i64 = 1024;
const WAL_BYTES_KEPT: i64 = 16 << 20;
const WRITER_CACHE_KIB: i64 = 8 << 10;
const STATEMENTS_MAX: usize = 1024;
const BLOCK_BATCHES: u64 = 64;
const BLOCK_BYTES: u64 = 1 << 20;
const SHRINK_PAGES: i64 = 256;

/// How durable a commit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// Each commit is synced.
    Full,
    /// Only checkpoints and [`Storage::sync`] are.
    Normal,
}

/// The writing connection.
#[derive(Debug)]
pub(super) struct Sqlite {
    reading: Reading,
    path: PathBuf,
    durability: Durability,
    commits: u64,
    /// What is known of the logs that were written to; forgotten after anything unusual, and read again on need.
    tallies: HashMap<LogId, Tally>,
}

/// Sums over a log: of all its batches, and of those after its last block.
#[derive(Debug, Clone, Copy)]
struct Tally {
    bytes: u64,
    open_batches: u64,
    open_bytes: u64,
    open_time_max: i64,
}

impl Sqlite {
    /// Opens or makes the database. Until [`Sqlite::trust`], closing it changes nothing, so that a database that
    /// turns out to be behind its high-water file can still be examined.
    pub(super) fn open(path: &Path, durability: Durability) -> Result<Self, Failure> {
        if rusqlite::version_number() < SQLITE_VERSION_MIN {
            let source = format!("SQLite {} is older than {SQLITE_VERSION_MIN}", rusqlite::version()).into();
            return Err(Failure { kind: FailureKind::Other, doing: "opening the database", source });
        }
        let connection = Connection::open(path).doing("opening the database")?;
        prepare(&connection).doing("opening the database")?;
        let application: i64 = connection
            .pragma_query_value(None, "application_id", |row| row.get(0))
            .doing("opening the database")?;
        let version: i64 = connection
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .doing("opening the database")?;
        match (application, version) {
            (0, 0) => lay_out(&connection).doing("laying out the database")?,
            (APPLICATION_ID, SCHEMA_VERSION) => {}
            (APPLICATION_ID, _) => {
                let source =
                    format!("its layout is version {version}; this gateway knows {SCHEMA_VERSION}").into();
                return Err(Failure { kind: FailureKind::Other, doing: "opening the database", source });
            }
            _ => {
                let source = "it is some other program's database".into();
                return Err(Failure { kind: FailureKind::Other, doing: "opening the database", source });
            }
        }
        let level = match durability {
            Durability::Full => "full",
            Durability::Normal => "normal",
        };
        connection.pragma_update(None, "synchronous", level).doing("opening the database")?;
        let commits = connection
            .query_row("select commits from state", [], |row| row.get::<_, i64>(0))
            .doing("reading the database's state")?;
        let commits = u64::try_from(commits).unwrap_or(0);
        let reading = Reading::new(connection);
        Ok(Self { reading, path: path.to_owned(), durability, commits, tallies: HashMap::new() })
    }

    /// Takes what was recovered as it is: moves it to the database, synced, and lets SQLite tidy up at the end.
    pub(super) fn trust(&self) -> Result<(), Failure> {
        let doing = "recovering the database";
        self.connection().set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false).doing(doing)?;
        self.checkpoint().doing(doing)
    }

    fn checkpoint(&self) -> rusqlite::Result<()> {
        self.connection().query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(()))
    }

    const fn connection(&self) -> &Connection {
        self.reading.connection()
    }

    fn execute(
        &self,
        doing: &'static str,
        sql: &str,
        params: impl rusqlite::Params,
    ) -> Result<usize, Failure> {
        self.connection().prepare_cached(sql).and_then(|mut statement| statement.execute(params)).doing(doing)
    }

    fn tally(&mut self, log: LogId) -> Result<Tally, Failure> {
        if let Some(tally) = self.tallies.get(&log) {
            return Ok(*tally);
        }
        let log_number = log.number();
        let blocks =
            format!("select coalesce(sum(bytes), 0), coalesce(max(last), -1) from block_{log_number}");
        let open = format!(
            "select count(*), coalesce(sum(length(data)), 0), coalesce(max(time_max), -9223372036854775808) \
             from log_{log_number} where last > ?1"
        );
        let doing = "summing a log";
        let (closed, last): (i64, i64) =
            self.connection().query_row(&blocks, [], |row| Ok((row.get(0)?, row.get(1)?))).doing(doing)?;
        let (open_batches, open_bytes, open_time_max): (i64, i64, i64) = self
            .connection()
            .query_row(&open, [last], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .doing(doing)?;
        let tally = Tally {
            bytes: unsigned(closed) + unsigned(open_bytes),
            open_batches: unsigned(open_batches),
            open_bytes: unsigned(open_bytes),
            open_time_max,
        };
        self.tallies.insert(log, tally);
        Ok(tally)
    }
}

impl Source for Sqlite {
    fn read(&mut self, log: LogId, from: Offset, bytes_max: usize) -> Result<Vec<Bytes>, Failure> {
        self.reading.read(log, from, bytes_max)
    }

    fn read_at(&mut self, log: LogId, from: Offset, time: Timestamp) -> Result<Option<Bytes>, Failure> {
        self.reading.read_at(log, from, time)
    }

    fn oldest(&mut self, log: LogId, count: usize) -> Result<Vec<Extent>, Failure> {
        self.reading.oldest(log, count)
    }

    fn bounds(&mut self, log: LogId) -> Result<Bounds, Failure> {
        self.reading.bounds(log)
    }

    fn scan(&mut self, prefix: &[u8]) -> Result<Vec<Entry>, Failure> {
        self.reading.scan(prefix)
    }
}

impl Storage for Sqlite {
    fn source(&self) -> Result<Box<dyn Source>, Failure> {
        // A plain connection: one that sets journal or vacuum modes would take the write lock.
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags).doing("opening a reader")?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        Ok(Box::new(Reading::new(connection)))
    }

    fn logs(&mut self) -> Result<Vec<LogId>, Failure> {
        let doing = "listing the logs";
        let mut statement = self.connection().prepare("select id from part order by id").doing(doing)?;
        let rows = statement.query_map([], |row| row.get::<_, i64>(0)).doing(doing)?;
        rows.map(|id| id.map(|id| LogId::new(unsigned(id))).doing(doing)).collect()
    }

    fn commits(&self) -> u64 {
        self.commits
    }

    fn bytes(&mut self, log: LogId) -> Result<u64, Failure> {
        self.tally(log).map(|tally| tally.bytes)
    }

    fn begin(&mut self) -> Result<(), Failure> {
        self.execute("beginning a transaction", "begin immediate", []).map(drop)
    }

    fn create(&mut self) -> Result<LogId, Failure> {
        let doing = "making a log";
        self.execute(doing, "insert into part (start, next) values (0, 0)", [])?;
        let id = unsigned(self.connection().last_insert_rowid());
        let tables = format!(
            "create table log_{id} (last integer primary key, time_max integer not null, data blob not null);
             create table block_{id} (last integer primary key, time_max integer not null, bytes integer not null);"
        );
        self.connection().execute_batch(&tables).doing(doing)?;
        Ok(LogId::new(id))
    }

    fn remove_log(&mut self, log: LogId) -> Result<(), Failure> {
        let doing = "dropping a log";
        let id = log.number();
        self.tallies.remove(&log);
        self.connection().flush_prepared_statement_cache();
        self.connection()
            .execute_batch(&format!("drop table log_{id}; drop table block_{id};"))
            .doing(doing)?;
        self.execute(doing, "delete from part where id = ?1", [signed(id)]).map(drop)
    }

    fn append(&mut self, log: LogId, batch: &Batch) -> Result<(), Failure> {
        let mut tally = self.tally(log)?;
        let (id, last, time_max) = (log.number(), signed(batch.last.number()), batch.time_max.millis());
        let insert = format!("insert into log_{id} (last, time_max, data) values (?1, ?2, ?3)");
        self.execute("appending", &insert, params![last, time_max, &*batch.bytes])?;
        let bytes = batch.bytes.len() as u64;
        tally.bytes += bytes;
        tally.open_batches += 1;
        tally.open_bytes += bytes;
        tally.open_time_max = tally.open_time_max.max(time_max);
        if tally.open_batches >= BLOCK_BATCHES || tally.open_bytes >= BLOCK_BYTES {
            let insert = format!("insert into block_{id} (last, time_max, bytes) values (?1, ?2, ?3)");
            self.execute("appending", &insert, params![last, tally.open_time_max, signed(tally.open_bytes)])?;
            (tally.open_batches, tally.open_bytes, tally.open_time_max) = (0, 0, i64::MIN);
        }
        self.tallies.insert(log, tally);
        Ok(())
    }

    fn replace(&mut self, log: LogId, last: Offset, batch: Option<&Batch>) -> Result<(), Failure> {
        let doing = "compacting";
        let id = log.number();
        let last = signed(last.number());
        self.tallies.remove(&log);
        match batch {
            Some(batch) => self.execute(
                doing,
                &format!("update log_{id} set time_max = ?2, data = ?3 where last = ?1"),
                params![last, batch.time_max.millis(), &*batch.bytes],
            )?,
            None => self.execute(doing, &format!("delete from log_{id} where last = ?1"), [last])?,
        };
        // The block's latest time may stay too late: a look-up by time then only looks at one block in vain.
        let blocks = format!(
            "update block_{id} set bytes = (select coalesce(sum(length(data)), 0) from log_{id} where log_{id}.last <= block_{id}.last \
             and log_{id}.last > (select coalesce(max(last), -1) from block_{id} as earlier where earlier.last < ?1)) \
             where last = (select min(last) from block_{id} where last >= ?1)"
        );
        self.execute(doing, &blocks, [last]).map(drop)
    }

    fn trim(&mut self, log: LogId, batches: Offset, bounds: Bounds) -> Result<(), Failure> {
        let doing = "trimming";
        let id = log.number();
        let before = signed(batches.number());
        self.tallies.remove(&log);
        self.execute(doing, &format!("delete from log_{id} where last < ?1"), [before])?;
        self.execute(doing, &format!("delete from block_{id} where last < ?1"), [before])?;
        // The first block left may have lost its front, and now holds all from the log's beginning.
        let first = format!(
            "update block_{id} set bytes = (select coalesce(sum(length(data)), 0) from log_{id} where log_{id}.last <= block_{id}.last) \
             where last = (select min(last) from block_{id})"
        );
        self.execute(doing, &first, [])?;
        let part = "update part set start = ?2, next = max(next, ?3) where id = ?1";
        let (start, next) = (signed(bounds.start.number()), signed(bounds.end.number()));
        self.execute(doing, part, params![signed(id), start, next]).map(drop)
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Failure> {
        let put = "insert into kv (k, v) values (?1, ?2) on conflict (k) do update set v = excluded.v";
        self.execute("keeping an entry", put, params![key, value]).map(drop)
    }

    fn remove(&mut self, key: &[u8]) -> Result<(), Failure> {
        self.execute("removing an entry", "delete from kv where k = ?1", [key]).map(drop)
    }

    fn commit(&mut self) -> Result<(), Failure> {
        let doing = "committing";
        self.execute(doing, "update state set commits = ?1", [signed(self.commits + 1)])?;
        self.execute(doing, "commit", [])?;
        self.commits += 1;
        Ok(())
    }

    fn rollback(&mut self) {
        self.tallies.clear();
        if !self.connection().is_autocommit()
            && let Err(error) = self.connection().execute_batch("rollback")
        {
            tracing::error!(%error, "the log's database cannot roll back");
        }
    }

    fn sync(&mut self) -> Result<(), Failure> {
        let doing = "syncing";
        if self.durability == Durability::Full {
            return Ok(());
        }
        // A full commit syncs the whole write-ahead file, and so every commit before it.
        self.connection().pragma_update(None, "synchronous", "full").doing(doing)?;
        let synced = self.begin().and_then(|()| self.commit());
        self.connection().pragma_update(None, "synchronous", "normal").doing(doing)?;
        synced
    }

    fn shrink(&mut self) -> Result<bool, Failure> {
        let doing = "giving space back";
        let pages = |name| self.connection().pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let (free, all) = (pages("freelist_count").doing(doing)?, pages("page_count").doing(doing)?);
        if free < SHRINK_PAGES || free * 4 <= all {
            return Ok(false);
        }
        let vacuum = format!("pragma incremental_vacuum({SHRINK_PAGES})");
        let mut statement = self.connection().prepare_cached(&vacuum).doing(doing)?;
        let mut rows = statement.query([]).doing(doing)?;
        while rows.next().doing(doing)?.is_some() {}
        Ok(true)
    }

    fn close(&mut self) -> Result<(), Failure> {
        self.sync()?;
        self.checkpoint().doing("closing the database")
    }
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    // Vacuum mode counts only before the first table, journal mode only outside a transaction.
    connection.pragma_update(None, "auto_vacuum", "incremental")?;
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    connection.pragma_update_and_check(None, "wal_autocheckpoint", CHECKPOINT_PAGES, |_| Ok(()))?;
    connection.pragma_update_and_check(None, "journal_size_limit", WAL_BYTES_KEPT, |_| Ok(()))?;
    connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    connection.pragma_update(None, "temp_store", "memory")
}

fn lay_out(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "begin immediate;
         create table part (id integer primary key autoincrement, start integer not null, next integer not null);
         create table kv (k blob primary key, v blob not null) without rowid;
         create table state (commits integer not null);
         insert into state (commits) values (0);
         pragma application_id = {APPLICATION_ID};
         pragma user_version = {SCHEMA_VERSION};
         commit;"
    ))
}

/// SQLite's integers are signed; offsets and sizes never come near the end of that range.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
