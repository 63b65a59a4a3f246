//! Where librdkafka's blocking calls run: threads of the runtime that are made for it, few at a time.

use std::future::Future;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::log::Error;

/// Look-ups at a time; more wait.
const LOOKUPS_MAX: usize = 16;
/// Members' calls at a time. A commit may stand for long while its coordinator is away, and must not hold back look-ups.
const CALLS_MAX: usize = 256;

/// Runs blocking calls. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Blocking {
    runtime: Handle,
    lookups: Arc<Semaphore>,
    watch: Arc<Semaphore>,
    calls: Arc<Semaphore>,
}

impl Blocking {
    pub(super) fn new(runtime: Handle) -> Self {
        Self {
            runtime,
            lookups: Arc::new(Semaphore::new(LOOKUPS_MAX)),
            watch: Arc::new(Semaphore::new(1)),
            calls: Arc::new(Semaphore::new(CALLS_MAX)),
        }
    }

    /// Runs a look-up. Dropping the future does not end a call that has begun.
    pub(super) async fn look_up<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        self.run(&self.lookups, work).await
    }

    /// Runs a look of the keeper's, which no look-up at a leader that died may hold up. Dropping the future does not end a
    /// call that has begun.
    pub(super) async fn watch<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        self.run(&self.watch, work).await
    }

    /// Runs a member's call. Dropping the future does not end a call that has begun.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        self.run(&self.calls, work).await
    }

    /// Lets something go on that nobody waits for.
    pub(super) fn go_on(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(future);
    }

    async fn run<T: Send + 'static>(
        &self,
        permits: &Arc<Semaphore>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let permit = Arc::clone(permits).acquire_owned().await.map_err(|_| Error::Closed)?;
        let worked = self.runtime.spawn_blocking(move || {
            let done = work();
            drop(permit);
            done
        });
        worked.await.map_err(|_| Error::Closed)
    }
}
