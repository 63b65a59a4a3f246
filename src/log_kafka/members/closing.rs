//! The end of members' clients: closing one blocks, and now and then never returns.
//!
//! Each closes on a thread of its own, which neither the runtime's end nor anything else waits for. One that takes too long
//! is left behind and counted until it ends after all. Since it keeps its threads, connections and memory, a process that
//! left many behind joins no further group: other gateways take over what it cannot serve.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::log::Error;
use crate::telemetry::Gauge;

use super::super::failure::unavailable;

/// With so many clients left behind no group is joined.
const LEFT_BEHIND_MAX: i64 = 32;

/// Too many clients were left behind.
#[derive(Debug, thiserror::Error)]
#[error("{0} clients of memberships that ended do not close, so no group is joined; restart the gateway")]
struct Stuck(i64);

/// Whether one more client may be made.
pub(super) fn check(left_behind: &Gauge) -> Result<(), Error> {
    match left_behind.get() {
        count if count >= LEFT_BEHIND_MAX => Err(unavailable(Stuck(count))),
        _ => Ok(()),
    }
}

/// Runs what closes a client; answers whether that ended within `patience`.
pub(super) async fn close(
    left_behind: &Gauge,
    patience: Duration,
    close: impl FnOnce() + Send + 'static,
) -> bool {
    let (done, mut closed) = oneshot::channel();
    let counted = left_behind.clone();
    let work = move || {
        close();
        if done.send(()).is_err() {
            counted.dec();
        }
    };
    // Where there is no thread for it, it is dropped, which closes the client here.
    drop(std::thread::Builder::new().name("kafka-close".to_owned()).spawn(work));
    if timeout(patience, &mut closed).await.is_ok() {
        return true;
    }
    left_behind.inc();
    closed.close();
    let is_closed = closed.try_recv().is_ok();
    if is_closed {
        left_behind.dec();
    }
    is_closed
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::{LEFT_BEHIND_MAX, check, close};
    use crate::event::{Clock, GroupName};
    use crate::log::{GroupSubscription, Groups as _, Start};
    use crate::log_kafka::metrics::Metrics;
    use crate::log_kafka::{Config, Engine};
    use crate::telemetry::Registry;

    const LONG: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_client_that_does_not_close_is_counted_until_it_does() {
        let left_behind = Metrics::register(&Registry::new()).clients_left_behind;
        assert!(close(&left_behind, LONG, || {}).await);
        assert_eq!(left_behind.get(), 0);

        let (open, door) = mpsc::channel::<()>();
        let work = move || assert!(door.recv().is_ok());
        assert!(!close(&left_behind, Duration::from_millis(10), work).await);
        assert_eq!(left_behind.get(), 1);
        open.send(()).unwrap();
        let ended = async {
            let mut interval = tokio::time::interval(Duration::from_millis(5));
            while left_behind.get() > 0 {
                interval.tick().await;
            }
        };
        tokio::time::timeout(LONG, ended).await.expect("it is counted no more");
    }

    #[tokio::test]
    async fn with_too_many_left_behind_no_group_is_joined() {
        let engine =
            Engine::open(Config::of(vec!["127.0.0.1:1".to_owned()]), Clock::system(), &Registry::new())
                .unwrap();
        let left_behind = &engine.shared().metrics.clients_left_behind;
        left_behind.set(LEFT_BEHIND_MAX - 1);
        assert!(check(left_behind).is_ok());
        left_behind.set(LEFT_BEHIND_MAX);
        let group = GroupName::parse("g").unwrap();
        let subscription = GroupSubscription { topics: Vec::new(), start: Start::Earliest };
        let refused = engine.join(&group, subscription).await.unwrap_err();
        let cause = std::error::Error::source(&refused).unwrap().to_string();
        assert!(cause.contains("32 clients") && cause.contains("restart"), "{cause}");
        engine.close().await;
    }
}
