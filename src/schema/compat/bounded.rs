//! Comparing with a limit of time and of how many at once.
//!
//! A comparison runs on a thread of its own with a large stack. It keeps a time box, so that it ends soon after nobody waits
//! for it any more; a caller that has waited long enough goes on with "not proved" meanwhile, and the thread counts against
//! the bound until it has ended.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, timeout_at};

use super::{Break, ChangeLevel, Level, Policy, Report, TimeBox, Version, compare, compare_within};

/// Canonical forms of deep schemas are made by recursion.
const STACK_BYTES: usize = 64 << 20;

/// Compares within bounds. Clones share them.
#[derive(Debug, Clone)]
pub struct Comparer {
    running: Arc<Semaphore>,
    limit: Duration,
}

impl Comparer {
    /// A caller waits 2 seconds, and 2 comparisons run at once.
    #[must_use]
    pub fn new() -> Self {
        Self::with_bounds(2, Duration::from_secs(2))
    }

    /// With other bounds.
    #[must_use]
    pub fn with_bounds(running_max: usize, limit: Duration) -> Self {
        Self { running: Arc::new(Semaphore::new(running_max)), limit }
    }

    /// As [`compare`], but not proved where that takes too long.
    pub async fn compare(
        &self,
        earlier: Arc<[Version]>,
        new: Arc<Version>,
        policy: Policy,
        level: Level,
    ) -> Report {
        if earlier.is_empty() {
            return compare(&earlier, &new, policy, level);
        }
        let (count, limit) = (earlier.len(), self.limit);
        let job = move || compare_within(&earlier, &new, (policy, level), &TimeBox::new(limit));
        match self.run(job).await {
            Ok(report) => report,
            Err(reason) => given_up(count, level, reason),
        }
    }

    /// Whether all comparisons end in so long.
    #[cfg(test)]
    pub(super) async fn is_idle_within(&self, limit: Duration) -> bool {
        timeout_at(Instant::now() + limit, self.running.acquire_many(1)).await.is_ok()
    }

    async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, &'static str> {
        const LATE: &str = "it took too long";
        let deadline = Instant::now() + self.limit;
        let acquired = timeout_at(deadline, Arc::clone(&self.running).acquire_owned()).await;
        let Ok(Ok(permit)) = acquired else {
            return Err("too many comparisons are under way; try again later");
        };
        let (tx, rx) = oneshot::channel();
        let thread = thread::Builder::new().name("schema-compare".to_owned()).stack_size(STACK_BYTES);
        let started = thread.spawn(move || {
            // Nobody may be waiting any more.
            drop(tx.send(job()));
            drop(permit);
        });
        if started.is_err() {
            return Err("no thread could be started for it");
        }
        match timeout_at(deadline, rx).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err("the comparison failed"),
            Err(_) => Err(LATE),
        }
    }
}

impl Default for Comparer {
    fn default() -> Self {
        Self::new()
    }
}

fn given_up(count: usize, level: Level, reason: &str) -> Report {
    let unproved = format!("could not be proved: {reason}");
    let breaks: Vec<Break> = level
        .directions()
        .iter()
        .map(|direction| Break {
            earlier: count - 1,
            direction: *direction,
            unproved: Some(unproved.clone()),
            differences: Vec::new(),
            counter_example: None,
        })
        .collect();
    Report { compatible: breaks.is_empty(), change_level: Some(ChangeLevel::Major), breaks }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::{Comparer, Level, Policy, Version};
    use crate::schema::Dialect;

    fn version(schema: &Value) -> Version {
        Version::new(schema, Dialect::Draft202012, &[]).unwrap()
    }

    #[tokio::test]
    async fn comparisons_that_do_not_end_are_bounded_and_told() {
        let comparer = Comparer::with_bounds(1, Duration::from_millis(50));
        let (release, held) = std::sync::mpsc::channel::<()>();
        let late = comparer.run(move || held.recv().is_ok()).await;
        assert_eq!(late, Err("it took too long"));
        let earlier: Arc<[Version]> = Arc::from([version(&json!({"type": "string"}))]);
        let new = Arc::new(version(&json!({})));
        let report =
            comparer.compare(Arc::clone(&earlier), Arc::clone(&new), Policy::Strict, Level::Backward).await;
        let unproved = report.breaks[0].unproved.clone().unwrap();
        assert_eq!(unproved, "could not be proved: too many comparisons are under way; try again later");
        assert!(!report.compatible);
        drop(release);
        let patient = Comparer { limit: Duration::from_secs(30), ..comparer };
        assert!(patient.compare(earlier, new, Policy::Strict, Level::Backward).await.compatible);
    }

    #[tokio::test]
    async fn a_comparison_that_panics_is_not_proved_and_frees_its_place() {
        let comparer = Comparer::with_bounds(1, Duration::from_secs(30));
        assert_eq!(comparer.run(|| panic!("on purpose")).await, Err::<(), _>("the comparison failed"));
        assert_eq!(comparer.run(|| 1).await, Ok(1));
    }
}
