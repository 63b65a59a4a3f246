//! Parse and validate beside the common way, serde_json's own value with the same validator, turn and turn about in one process,
//! so that the two can be compared on a machine whose speed changes.
//!
//! ```text
//! cargo bench --bench beside
//! ```

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench that cannot go on must fail")]
#![expect(clippy::print_stdout, reason = "the figures are its result")]

use std::hint::black_box;
use std::time::Duration;

use tokio::time::Instant;
use weirgate::event::json::{Document, Limits};
use weirgate::schema::{Dialect, Schema, Verdict};

/// The gateway's own, since parsing allocates.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EVENT: &str = include_str!("sample/event.json");
const SCHEMA: &str = include_str!("sample/schema.json");

/// Pairs of turns, and events in each turn: a turn takes a few milliseconds.
const TURNS: usize = 501;
const EVENTS: u32 = 1_000;

fn main() {
    let body = EVENT.trim_end().as_bytes();
    let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
    let ours = Schema::compile(&schema, Dialect::Draft202012, &[]).unwrap();
    let common = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
    let judge_ours = || {
        let document = Document::parse(black_box(body), Limits::default()).unwrap();
        assert_eq!(ours.judge(document.root().member("data").unwrap()), Verdict::Valid);
    };
    let judge_common = || {
        let value: serde_json::Value = serde_json::from_slice(black_box(body)).unwrap();
        assert!(common.is_valid(value.get("data").unwrap()));
    };
    let pairs: Vec<[Duration; 2]> = (0..TURNS).map(|_| [turn(judge_ours), turn(judge_common)]).collect();
    let [ours, common] = [0, 1].map(|which| sorted(pairs.iter().map(|pair| pair[which].as_secs_f64() * 1e6)));
    let ratios = sorted(pairs.iter().map(|[ours, common]| ours.as_secs_f64() / common.as_secs_f64()));
    println!("us an event                  least  median");
    println!("parse and validate          {:6.2}  {:6.2}", ours[0], ours[TURNS / 2]);
    println!("serde_json::Value, the same {:6.2}  {:6.2}", common[0], common[TURNS / 2]);
    println!("ratio of the two            {:6.2}  {:6.2}", ours[0] / common[0], ratios[TURNS / 2]);
}

/// What one event takes in a turn of many.
fn turn(judge: impl Fn()) -> Duration {
    let began = Instant::now();
    (0..EVENTS).for_each(|_| judge());
    began.elapsed() / EVENTS
}

fn sorted(figures: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures
}
