//! Protobuf: data of 20 fields from JSON (6 µs at most) and back, and a schema compiled.

#![expect(clippy::unwrap_used, reason = "a bench that cannot be set up must fail")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use weirgate::event::json::{Document, Limits};
use weirgate::schema::codec::Codec as _;
use weirgate::schema::protobuf::Protobuf;

/// The gateway's own, since compiling allocates.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EVENT: &str = include_str!("sample/event.json");
const SCHEMA: &str = include_str!("sample/order.proto");

fn codec(criterion: &mut Criterion) {
    let codec = Protobuf::compile(SCHEMA, []).unwrap();
    let document = Document::parse(EVENT.trim_end().as_bytes(), Limits::default()).unwrap();
    let data = document.root().member("data").unwrap();
    let mut encoded = Vec::new();
    codec.encode(data, &mut encoded).unwrap();
    let mut group = criterion.benchmark_group("protobuf");
    group.throughput(Throughput::Bytes(serde_json::to_vec(data).unwrap().len() as u64));
    group.bench_function("encode", |bencher| {
        let mut out = Vec::new();
        bencher.iter(|| {
            out.clear();
            codec.encode(black_box(data), &mut out).unwrap();
        });
    });
    group.bench_function("decode", |bencher| {
        let mut out = Vec::new();
        bencher.iter(|| {
            out.clear();
            codec.decode(&[0], black_box(&encoded), 1 << 20, &mut out).unwrap();
        });
    });
    group.finish();
    criterion.bench_function("protobuf/compile", |bencher| {
        bencher.iter(|| Protobuf::compile(black_box(SCHEMA), []).unwrap());
    });
}

criterion_group!(protobuf, codec);
criterion_main!(protobuf);
