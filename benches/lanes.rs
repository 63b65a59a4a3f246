//! What a step of a lane costs: taking a record, sending it, settling it. The goal is at most 1 us.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use weirgate::delivery::lane::Lane;

const WINDOW: usize = 32;
const TIMEOUT: Duration = Duration::from_secs(30);

/// A lane with a full window and as much waiting behind it.
fn busy_lane() -> (Lane, u64) {
    let mut lane = Lane::new(WINDOW);
    let mut next = 0;
    for _ in 0..256 {
        lane.push(next);
        next += 1;
    }
    while lane.sendable(Duration::ZERO).is_some() {
        lane.send(Duration::ZERO, 1, next, TIMEOUT);
    }
    (lane, next)
}

fn steps(criterion: &mut Criterion) {
    let now = Duration::from_secs(1);
    criterion.bench_function("lane: take, send and acknowledge one", |bencher| {
        let (mut lane, mut next) = busy_lane();
        bencher.iter(|| {
            lane.settle(black_box(next - 256), now);
            lane.push(next);
            next += 1;
            if lane.sendable(now).is_some() {
                lane.send(now, 1, next, TIMEOUT);
            }
            black_box(lane.wake(now));
        });
    });
    criterion.bench_function("lane: rewind a full window and send it again", |bencher| {
        let (mut lane, _) = busy_lane();
        bencher.iter(|| {
            black_box(lane.fail(0, Duration::ZERO));
            lane.record(0);
            while lane.sendable(now).is_some() {
                lane.send(now, 1, 1, TIMEOUT);
            }
        });
    });
}

criterion_group!(benches, steps);
criterion_main!(benches);
