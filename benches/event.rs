//! The hot paths of an event: parse and validate on the way in, the frame on the way out.

#![expect(clippy::unwrap_used, reason = "a bench that cannot be set up must fail")]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use weirgate::event::json::{Document, Limits};
use weirgate::event::{
    Catalogue, Draft, Headers, Offset, Partition, Record, Storage, Timestamp, Topic, TopicRule, write_members,
};
use weirgate::schema::{Dialect, Schema, Verdict};

/// The gateway's own, since parsing allocates.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// An envelope of 800 bytes with 20 fields of data and a nested address.
const EVENT: &str = include_str!("sample/event.json");
const SCHEMA: &str = include_str!("sample/schema.json");

fn catalogue() -> Catalogue {
    let rule = TopicRule::plain(Topic::parse("orders.v1").unwrap(), Vec::new());
    Catalogue::new(Vec::new(), rule)
}

fn way_in(criterion: &mut Criterion) {
    let (body, catalogue) = (EVENT.trim_end().as_bytes(), catalogue());
    let schema = Schema::compile(&serde_json::from_str(SCHEMA).unwrap(), Dialect::Draft202012, &[]).unwrap();
    let mut group = criterion.benchmark_group("way_in");
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("parse", |bencher| {
        bencher.iter(|| Document::parse(black_box(body), Limits::default()).unwrap());
    });
    group.bench_function("validate", |bencher| {
        let document = Document::parse(body, Limits::default()).unwrap();
        let data = document.root().member("data").unwrap();
        bencher.iter(|| assert_eq!(schema.judge(black_box(data)), Verdict::Valid));
    });
    group.bench_function("parse_and_validate", |bencher| {
        bencher.iter(|| {
            let document = Document::parse(black_box(body), Limits::default()).unwrap();
            let data = document.root().member("data").unwrap();
            assert_eq!(schema.judge(data), Verdict::Valid);
        });
    });
    group.bench_function("parse_draft_and_validate", |bencher| {
        bencher.iter(|| {
            let document = Document::parse(black_box(body), Limits::default()).unwrap();
            let draft = Draft::from_native(document.node(), &catalogue).unwrap();
            assert_eq!(schema.judge(draft.data), Verdict::Valid);
        });
    });
    group.finish();
}

fn way_out(criterion: &mut Criterion) {
    let topic = Topic::parse("orders.v1").unwrap();
    let record = Record {
        offset: Offset::new(1_234_567),
        timestamp: Timestamp::from_millis(1_795_000_000_123),
        key: Some(Bytes::from_static(b"42")),
        value: Some(Bytes::from_static(EVENT.as_bytes())),
        headers: Headers::new(vec![("traceparent".into(), Some(Bytes::from_static(&[b'0'; 55])))]),
        decoded: None,
    };
    let mut group = criterion.benchmark_group("way_out");
    group.throughput(Throughput::Bytes(record.bytes() as u64));
    group.bench_function("write_members", |bencher| {
        let mut out = Vec::new();
        bencher.iter(|| {
            out.clear();
            write_members(&mut out, &topic, Partition::new(3), black_box(&record), Storage::Native);
        });
    });
    group.finish();
}

criterion_group!(event, way_in, way_out);
criterion_main!(event);
