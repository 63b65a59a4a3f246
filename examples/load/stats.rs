//! Percentiles and CPU, as lines for a person.

use std::time::Duration;

use crate::gateway::Usage;

/// Latencies in microseconds.
#[derive(Debug, Default)]
pub(crate) struct Latencies(Vec<u32>);

impl Latencies {
    pub(crate) fn add(&mut self, latency: Duration) {
        self.0.push(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX));
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// P50, P95, P99 and the worst, in milliseconds.
    pub(crate) fn summary(&mut self) -> String {
        self.0.sort_unstable();
        let at = |part: usize| {
            let index = (self.0.len() * part / 100).min(self.0.len().saturating_sub(1));
            f64::from(self.0.get(index).copied().unwrap_or_default()) / 1_000.0
        };
        format!("P50 {:.2} ms, P95 {:.2} ms, P99 {:.2} ms, worst {:.1} ms", at(50), at(95), at(99), at(100))
    }
}

/// One line: the rate, CPU per piece of work on both sides, the gateway's memory.
pub(crate) fn report(what: &str, unit: &str, count: u64, elapsed: Duration, gateway: &Usage, own: &Usage) {
    #[expect(clippy::cast_precision_loss, reason = "a figure for a person")]
    let count = count.max(1) as f64;
    let rate = count / elapsed.as_secs_f64();
    let micros = |usage: &Usage| usage.cpu.as_secs_f64() * 1e6 / count;
    println!(
        "{what}: {rate:.0} {unit}/s; gateway {:.1} us CPU per {unit} ({:.1} MiB resident), load generator {:.1} us",
        micros(gateway),
        gateway.resident_mib,
        micros(own),
    );
}

/// As [`report`], of work that is all in this process.
pub(crate) fn report_own(what: &str, unit: &str, count: u64, elapsed: Duration, own: &Usage) {
    #[expect(clippy::cast_precision_loss, reason = "a figure for a person")]
    let count = count.max(1) as f64;
    println!(
        "{what}: {:.0} {unit}/s; {:.1} us CPU per {unit}",
        count / elapsed.as_secs_f64(),
        own.cpu.as_secs_f64() * 1e6 / count
    );
}
