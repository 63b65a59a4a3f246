//! Whether a new version of a schema may follow: 20 fields with a nested address, 20 ms at most.

#![expect(clippy::unwrap_used, reason = "a bench that cannot be set up must fail")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::{Value, json};
use weirgate::schema::Dialect;
use weirgate::schema::compat::{Level, Policy, Version, compare};

/// The gateway's own, since comparing allocates.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SCHEMA: &str = include_str!("sample/schema.json");

fn version(change: impl FnOnce(&mut Value)) -> Version {
    let mut schema: Value = serde_json::from_str(SCHEMA).unwrap();
    change(&mut schema);
    Version::new(&schema, Dialect::Draft202012, &[]).unwrap()
}

fn compatibility(criterion: &mut Criterion) {
    let old = [version(|_| {})];
    let added = version(|schema| {
        schema.pointer_mut("/properties").unwrap()["coupon"] = json!({"type": "string", "maxLength": 40});
    });
    let required = version(|schema| {
        schema.pointer_mut("/properties").unwrap()["coupon"] = json!({"type": "string", "maxLength": 40});
        schema["required"].as_array_mut().unwrap().push(json!("coupon"));
    });
    let narrowed = version(|schema| {
        schema.pointer_mut("/properties/status").unwrap()["enum"] = json!(["placed", "paid"]);
    });
    let mut group = criterion.benchmark_group("compatibility");
    for policy in [Policy::Strict, Policy::Lenient] {
        for (name, new) in [
            ("optional_member_added", &added),
            ("required_member_added", &required),
            ("enum_value_removed", &narrowed),
        ] {
            group.bench_function(format!("{name}/{policy}/FULL"), |bencher| {
                bencher.iter(|| compare(black_box(&old), black_box(new), policy, Level::Full));
            });
        }
    }
    group.bench_function("read_version", |bencher| bencher.iter(|| version(|_| {})));
    group.finish();
}

criterion_group!(compat, compatibility);
criterion_main!(compat);
