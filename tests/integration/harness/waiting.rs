//! Waiting for what comes by and by: never longer than a deadline, and with what was waited for in the failure.

use std::fmt::Display;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

/// Often enough for what a test waits for, and rarely enough for what else runs on the machine.
const INTERVAL: Duration = Duration::from_millis(20);

/// Asks until `check` gives something; fails after `patience`, saying what was waited for.
pub(crate) async fn eventually_within<T>(
    patience: Duration,
    what: impl Display,
    mut check: impl AsyncFnMut() -> Option<T>,
) -> T {
    let asking = async {
        let mut interval = tokio::time::interval(INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            if let Some(value) = check().await {
                return value;
            }
        }
    };
    tokio::time::timeout(patience, asking).await.unwrap_or_else(|_| panic!("never came true: {what}"))
}

/// What a future comes to; fails after `patience`, saying what was waited for.
pub(crate) async fn in_time<T>(patience: Duration, what: impl Display, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(patience, future).await.unwrap_or_else(|_| panic!("it takes too long: {what}"))
}
