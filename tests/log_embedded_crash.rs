//! Kills the process that writes to an embedded log (-9, at random instants) and reads everything back.
//!
//! This binary starts itself again as the writer. The writer says on its output what was acknowledged; whatever it had
//! said before it died must be there afterwards, whole, at its offset, without a gap.

#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use weirgate::event::{Clock, GroupName, Offset, Partition, Record, Topic};
use weirgate::log::{
    Append, Cleanup, Commit, Committed, EventLog, Groups, NewRecord, Purpose, Table, TopicSpec,
};
use weirgate::log_embedded::{Config, Engine};
use weirgate::telemetry::Registry;

const DIRECTORY: &str = "WEIRGATE_CRASH_DIRECTORY";
const ROUNDS: u64 = 55;
const PARTITIONS: u32 = 3;
/// The partition whose oldest records are deleted while it is written to.
const TRIMMED: Partition = Partition::new(2);
const DELETED_AT_ONCE: u64 = 20;
const KEYS: u64 = 10;

fn topic() -> Topic {
    Topic::parse("crashed").unwrap()
}

fn group() -> GroupName {
    GroupName::parse("crashed").unwrap()
}

fn random(below: u64) -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).unwrap();
    u64::from_le_bytes(bytes) % below
}

fn open(path: &Path) -> Arc<Engine> {
    // Upkeep all the time, a small memory: every path is under the axe.
    let config =
        Config { retention_interval: Duration::from_millis(20), ring_bytes_max: 10_000, ..Config::at(path) };
    Engine::open(&config, Clock::system(), &Registry::new()).unwrap()
}

/// A text that says what it is and can be told from every other, however it is torn.
fn text(name: &str) -> String {
    let length = name.bytes().map(usize::from).sum::<usize>() * 7 % 2_500;
    format!("{name}|{}", name.chars().cycle().take(length).collect::<String>())
}

fn record(name: &str) -> NewRecord {
    NewRecord { value: Some(Bytes::from(text(name))), ..NewRecord::default() }
}

/// The name of a record that is whole.
fn name_of(record: &Record) -> String {
    let value = std::str::from_utf8(record.value.as_deref().unwrap()).unwrap();
    let name = value.split('|').next().unwrap();
    assert_eq!(value, text(name), "a torn record at {}", record.offset);
    name.to_owned()
}

fn say(line: &str) {
    // One write per line, so that a line is there as a whole or cut off at its end.
    let mut out = std::io::stdout().lock();
    out.write_all(format!("@{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// The writer: does nothing unless this binary was started as one, then writes until it is killed.
#[test]
fn writer() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(write_until_killed(Path::new(&directory)));
}

async fn write_until_killed(path: &Path) {
    let run = random(u64::MAX);
    let engine = open(path);
    let spec = TopicSpec {
        name: topic(),
        partitions: PARTITIONS,
        cleanup: Cleanup::Delete,
        retention: None,
        retention_bytes: None,
    };
    engine.ensure_topic(&spec).await.unwrap();
    say("ready");
    for producer in 0..6 {
        tokio::spawn(produce(Arc::clone(&engine), run, producer));
    }
    tokio::spawn(produce_pairs(Arc::clone(&engine), run));
    tokio::spawn(delete_oldest(Arc::clone(&engine)));
    tokio::spawn(write_table(Arc::clone(&engine)));
    commit_after_appends(engine, run).await;
}

async fn produce(engine: Arc<Engine>, run: u64, producer: u32) {
    let partition = Partition::new(producer % PARTITIONS);
    for number in 0_u64.. {
        let names: Vec<String> =
            (0..=number % 3).map(|index| format!("{run}-{producer}-{number}-{index}")).collect();
        let records = names.iter().map(|name| record(name)).collect();
        let appended = engine.append(Append { topic: topic(), partition, records }).await.unwrap();
        for (offset, name) in (appended.base.number()..).zip(names) {
            say(&format!("append {partition} {offset} {name}"));
        }
    }
}

async fn produce_pairs(engine: Arc<Engine>, run: u64) {
    for number in 0_u64.. {
        let count = 1 + number % 3;
        let names: Vec<String> =
            (0..count).map(|index| format!("pair-{run}-{number}-{index}of{count}")).collect();
        let append = |partition| {
            let records = names.iter().map(|name| record(name)).collect();
            Append { topic: topic(), partition: Partition::new(partition), records }
        };
        let appended = engine.append_atomic(vec![append(0), append(1)]).await.unwrap();
        for (partition, appended) in appended.iter().enumerate() {
            for (index, name) in names.iter().enumerate() {
                say(&format!("append {partition} {} {name}", appended.offset(index)));
            }
        }
    }
}

async fn delete_oldest(engine: Arc<Engine>) {
    let mut seen = engine.bounds(&topic(), TRIMMED).await.unwrap().end;
    let mut reader = engine.reader(&topic(), TRIMMED, seen, Purpose::Tail).await.unwrap();
    loop {
        let end = reader.next(1).await.unwrap().end;
        reader.seek(end);
        if end.since(seen) < DELETED_AT_ONCE {
            continue;
        }
        seen = end;
        let before = Offset::new(end.number().saturating_sub(200));
        engine.delete_records(&topic(), TRIMMED, before).await.unwrap();
        say(&format!("delete {before}"));
    }
}

async fn write_table(engine: Arc<Engine>) {
    let table = table(&engine).await;
    let next = 1 + table.entries().iter().map(|(_, value)| number(value)).max().unwrap_or(0);
    for number in next.. {
        let key = Bytes::from((number % KEYS).to_string());
        // Large enough that compaction comes to it.
        let value = Bytes::from(format!("{number:0>2000}"));
        table.write(key, Some(value)).await.unwrap();
        say(&format!("table {number}"));
    }
}

async fn table(engine: &Arc<Engine>) -> Table {
    Table::open(Arc::clone(engine) as _, Topic::parse("_crashed").unwrap(), 1).await.unwrap()
}

fn number(value: &[u8]) -> u64 {
    std::str::from_utf8(value).unwrap().parse().unwrap()
}

async fn commit_after_appends(engine: Arc<Engine>, run: u64) {
    let partition = Partition::new(0);
    for number in 0_u64.. {
        let records = vec![record(&format!("{run}-committed-{number}"))];
        let appended = engine.append(Append { topic: topic(), partition, records }).await.unwrap();
        let offset = appended.base.next();
        let committed = Committed { offset, metadata: format!("up to {offset}") };
        let commit = Commit { topic: topic(), partition, committed };
        engine.set_committed(&group(), vec![commit]).await.unwrap();
        say(&format!("commit {offset}"));
    }
}

/// What was acknowledged so far.
#[derive(Default)]
struct Acknowledged {
    names: BTreeMap<(u32, u64), String>,
    committed: u64,
    deleted: u64,
    table: BTreeMap<u64, u64>,
    count: usize,
}

impl Acknowledged {
    fn hear(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        match *words {
            ["append", partition, offset, name] => {
                let place = (partition.parse().unwrap(), offset.parse().unwrap());
                let earlier = self.names.insert(place, name.to_owned());
                assert_eq!(earlier, None, "offset {place:?} was given out twice");
                self.count += 1;
            }
            ["commit", offset] => self.committed = offset.parse().unwrap(),
            ["delete", before] => self.deleted = before.parse().unwrap(),
            ["table", number] => {
                let number: u64 = number.parse().unwrap();
                self.table.insert(number % KEYS, number);
            }
            ["ready"] => {}
            _ => panic!("the writer said '{line}'"),
        }
    }

    /// Reads back what is there, from `from` on in each partition; answers the ends.
    async fn check(&self, engine: &Arc<Engine>, from: &BTreeMap<u32, u64>) -> BTreeMap<u32, u64> {
        let (mut ends, mut pairs) = (BTreeMap::new(), Vec::new());
        for partition in 0..PARTITIONS {
            let from = from.get(&partition).copied().unwrap_or(0);
            let (end, names) = read_names(engine, Partition::new(partition), from).await;
            let heard = self.names.range((partition, names.start)..(partition, u64::MAX));
            for ((_, offset), name) in heard {
                assert_eq!(
                    names.at(*offset),
                    Some(name),
                    "the record at {partition}/{offset} was lost or changed"
                );
            }
            pairs.push(names.pairs());
            ends.insert(partition, end);
        }
        if from.is_empty() {
            assert_eq!(pairs.first(), pairs.get(1), "half of an atomic append");
            if let Some(names) = pairs.first() {
                names.iter().for_each(|name| assert_whole(name, names));
            }
        }
        let bounds = engine.bounds(&topic(), TRIMMED).await.unwrap();
        assert!(bounds.start.number() >= self.deleted, "deleted records came back");

        let committed = engine.committed(&group(), &topic()).await.unwrap();
        if let Some(committed) = committed.get(&Partition::new(0)) {
            assert_eq!(
                committed.metadata,
                format!("up to {}", committed.offset),
                "offset and metadata differ"
            );
            assert!(committed.offset.number() >= self.committed, "a committed offset was lost");
            assert!(
                Some(&committed.offset.number()) <= ends.get(&0),
                "an offset of records that are not there"
            );
        } else {
            assert_eq!(self.committed, 0, "the committed offset was lost");
        }
        if engine.topic(&Topic::parse("_crashed").unwrap()).is_some() {
            let table = table(engine).await;
            for (key, heard) in &self.table {
                let value =
                    table.read(key.to_string().as_bytes()).unwrap_or_else(|| panic!("the table lost {key}"));
                assert!(number(&value) >= *heard, "a table's entry fell back");
            }
        }
        ends
    }
}

/// Of an atomic append all records of a partition are there, or none.
fn assert_whole(name: &str, names: &BTreeSet<String>) {
    let (begin, place) = name.rsplit_once('-').unwrap();
    let (_, count) = place.split_once("of").unwrap();
    let whole =
        (0..count.parse().unwrap()).all(|index: u64| names.contains(&format!("{begin}-{index}of{count}")));
    assert!(whole, "a part of an atomic append: {name}");
}

/// The names of consecutive records.
struct Names {
    start: u64,
    names: Vec<String>,
}

impl Names {
    fn at(&self, offset: u64) -> Option<&String> {
        self.names.get(usize::try_from(offset.checked_sub(self.start)?).unwrap())
    }

    fn pairs(&self) -> BTreeSet<String> {
        self.names.iter().filter(|name| name.starts_with("pair-")).cloned().collect()
    }
}

async fn read_names(engine: &Engine, partition: Partition, from: u64) -> (u64, Names) {
    let bounds = engine.bounds(&topic(), partition).await.unwrap();
    let start = bounds.start.number().max(from);
    let mut reader = engine.reader(&topic(), partition, Offset::new(start), Purpose::CatchUp).await.unwrap();
    let mut names = Vec::new();
    while reader.position() < bounds.end {
        for record in reader.next(1 << 20).await.unwrap().records {
            assert_eq!(record.offset.number(), start + names.len() as u64, "a gap in {partition}");
            names.push(name_of(&record));
        }
    }
    (bounds.end.number(), Names { start, names })
}

/// The writer as a process, and what it says.
struct Writer {
    process: Child,
    lines: Receiver<String>,
}

impl Writer {
    fn start(path: &Path) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "writer", "--nocapture", "--test-threads=1"])
            .env(DIRECTORY, path)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = process.stdout.take().unwrap();
        let (heard, lines) = channel();
        std::thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut line = String::new();
            // A line without its end was cut off by the kill, and says nothing.
            while output.read_line(&mut line).is_ok_and(|bytes| bytes > 0) && line.ends_with('\n') {
                if let Some(said) = line.trim_end().rsplit('@').next().filter(|_| line.contains('@'))
                    && heard.send(said.to_owned()).is_err()
                {
                    return;
                }
                line.clear();
            }
        });
        Self { process, lines }
    }

    /// Kills it after `patience` of work, or of its start where `is_early`; tells what it had said.
    fn kill_after(mut self, patience: Duration, is_early: bool, mut hear: impl FnMut(&str)) {
        let mut deadline = Instant::now() + if is_early { patience } else { Duration::from_secs(60) };
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    if line == "ready" && !is_early {
                        deadline = Instant::now() + patience;
                    }
                    hear(&line);
                }
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("the writer died by itself: {:?}", self.process.wait())
                }
            }
        }
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.lines.iter().for_each(|line| hear(&line));
    }
}

#[test]
fn nothing_acknowledged_is_lost_by_a_kill_at_any_instant() {
    let directory = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut acknowledged, mut checked) = (Acknowledged::default(), BTreeMap::new());
    for round in 1..=ROUNDS {
        // Every eighth is killed while it starts, and perhaps recovers from the kill before.
        let is_early = round % 8 == 0;
        let patience = Duration::from_micros(random(if is_early { 60_000 } else { 250_000 }));
        Writer::start(directory.path()).kill_after(patience, is_early, |line| acknowledged.hear(line));
        if round % 5 == 0 || round == ROUNDS {
            checked.clear();
        }
        checked = runtime.block_on(async {
            let engine = open(directory.path());
            let ends = acknowledged.check(&engine, &checked).await;
            engine.close().await;
            ends
        });
    }
    println!("{ROUNDS} kills, {} records acknowledged, none lost", acknowledged.count);
    assert!(acknowledged.count > 1_000, "the writer hardly wrote");
}
