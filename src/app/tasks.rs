//! What runs beside the rooms: each task is known here, and ends with the gateway.

use std::future::Future;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The tasks of the app itself. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Tasks {
    tracker: TaskTracker,
    stopped: CancellationToken,
}

impl Tasks {
    /// Runs something until it is done or the gateway stops. Must be called within a Tokio runtime.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stopped = self.stopped.clone();
        self.tracker.spawn(async move { stopped.run_until_cancelled(task).await.unwrap_or_default() });
    }

    /// Ends what runs.
    pub(super) fn stop(&self) {
        self.stopped.cancel();
    }

    /// Waits until nothing runs.
    pub(super) async fn ended(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}
