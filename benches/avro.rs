//! JSON to Avro and back for the sample event's 603 bytes of data, and what a schema takes to be compiled.
//!
//! ```text
//! cargo bench --bench avro
//! ```

#![expect(clippy::unwrap_used, reason = "a bench that cannot be set up must fail")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use weirgate::event::json::{Document, Limits};
use weirgate::schema::avro::Avro;
use weirgate::schema::codec::Codec as _;

/// The gateway's own, since parsing allocates.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EVENT: &str = include_str!("sample/event.json");
/// Twenty fields with an address within; enums, a timestamp, and what may be absent as a union with null.
const SCHEMA: &str = include_str!("sample/schema.avsc");

fn avro(criterion: &mut Criterion) {
    let schema = Avro::parse(SCHEMA, &[]).unwrap();
    let document = Document::parse(EVENT.trim_end().as_bytes(), Limits::default()).unwrap();
    let data = document.root().member("data").unwrap();
    let mut bytes = Vec::new();
    schema.encode(data, &mut bytes).unwrap();
    let mut group = criterion.benchmark_group("avro");
    group.bench_function("compile", |bencher| bencher.iter(|| Avro::parse(black_box(SCHEMA), &[]).unwrap()));
    group.throughput(Throughput::Elements(1));
    group.bench_function("encode", |bencher| {
        let mut out = Vec::new();
        bencher.iter(|| {
            out.clear();
            schema.encode(black_box(data), &mut out).unwrap();
        });
    });
    group.bench_function("decode", |bencher| {
        let mut out = Vec::new();
        bencher.iter(|| {
            out.clear();
            schema.decode(&[], black_box(&bytes), 1 << 20, &mut out).unwrap();
        });
    });
    group.finish();
}

criterion_group!(benches, avro);
criterion_main!(benches);
