//! What groups ask the log for when they get partitions: a few questions at a time, of all groups together.
//!
//! A question about a partition whose leader is dead stands for seconds in the log, whoever has given it up. Its place
//! here is taken until then, so that others who ask the log find it free.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Questions at a time.
const AT_ONCE: usize = 4;

/// The questions under way.
#[derive(Debug)]
pub(super) struct Lookups {
    places: Arc<Semaphore>,
    tasks: TaskTracker,
    stopped: CancellationToken,
}

impl Lookups {
    pub(super) fn new() -> Self {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        Self { places, tasks: TaskTracker::new(), stopped: CancellationToken::new() }
    }

    /// Asks when there is a place; `None` when all has stopped. Dropped, what was asked goes on.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        question: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let place = Arc::clone(&self.places).acquire_owned().await.ok()?;
        let stopped = self.stopped.clone();
        let asked = self.tasks.spawn(async move {
            let answer = stopped.run_until_cancelled(question).await;
            drop(place);
            answer
        });
        asked.await.ok()?
    }

    /// Ends all of them.
    pub(super) async fn stop(&self) {
        self.places.close();
        self.stopped.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use futures_util::future::join_all;
    use tokio::time::timeout;

    use super::{AT_ONCE, Lookups};

    #[tokio::test(start_paused = true)]
    async fn questions_that_nobody_waits_for_any_more_still_count() {
        let lookups = Lookups::new();
        let asked = Arc::new(AtomicUsize::new(0));
        for _ in 0..3 {
            let group = join_all((0..20).map(|_| {
                let asked = Arc::clone(&asked);
                lookups.ask(async move {
                    asked.fetch_add(1, Ordering::Relaxed);
                    pending::<()>().await;
                })
            }));
            timeout(Duration::from_millis(500), group).await.expect_err("nothing is answered");
            assert_eq!(asked.load(Ordering::Relaxed), AT_ONCE);
        }
        timeout(Duration::from_secs(1), lookups.stop()).await.expect("it ends them");
        assert_eq!(lookups.ask(async {}).await, None);
    }

    #[tokio::test]
    async fn an_answer_leaves_its_place_to_the_next() {
        let lookups = Lookups::new();
        let answers = join_all((0..20).map(|number| lookups.ask(async move { number }))).await;
        assert_eq!(answers, (0..20).map(Some).collect::<Vec<_>>());
    }
}
