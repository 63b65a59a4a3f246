//! Who judges texts: off the async threads, a few at a time, each for a while at most.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::error::Error;

/// So many texts are judged at once; one takes a thread for as long.
const JUDGES: usize = 2;
/// How long a text waits for its turn.
const TURN_MAX: Duration = Duration::from_secs(5);
/// How long anybody waits for a judgement. The budgets keep it far below, also where a machine is busy.
const JUDGEMENT_MAX: Duration = Duration::from_secs(5);

/// Places for judgements.
#[derive(Debug)]
pub(super) struct Judges {
    places: Arc<Semaphore>,
    turn_max: Duration,
    judgement_max: Duration,
}

impl Default for Judges {
    fn default() -> Self {
        Self::new(TURN_MAX, JUDGEMENT_MAX)
    }
}

impl Judges {
    fn new(turn_max: Duration, judgement_max: Duration) -> Self {
        Self { places: Arc::new(Semaphore::new(JUDGES)), turn_max, judgement_max }
    }

    /// Has something judged. What takes too long keeps its place until it ends, though nobody waits for it any more.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        judge: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let turn = timeout(self.turn_max, Arc::clone(&self.places).acquire_owned()).await;
        let turn = turn.ok().and_then(Result::ok).ok_or(Error::Busy)?;
        let judging = tokio::task::spawn_blocking(move || {
            let judged = judge();
            drop(turn);
            judged
        });
        match timeout(self.judgement_max, judging).await {
            Ok(Ok(judged)) => Ok(judged),
            Ok(Err(panicked)) => {
                tracing::warn!(error = %panicked, "a schema cannot be judged");
                Err(Error::InvalidSchema("the schema cannot be judged".to_owned()))
            }
            Err(_) => Err(Error::InvalidSchema("the schema takes too long to judge".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::{Error, JUDGES, Judges};

    #[tokio::test]
    async fn a_judgement_without_end_keeps_its_place_and_nobody_waiting() {
        let judges = Judges::new(Duration::from_millis(50), Duration::from_millis(50));
        let mut held = Vec::new();
        for _ in 0..JUDGES {
            let (end, ending) = mpsc::channel::<()>();
            held.push(end);
            let endless = judges.ask(move || ending.recv().is_ok()).await;
            assert!(matches!(endless, Err(Error::InvalidSchema(_))), "{endless:?}");
        }
        assert!(matches!(judges.ask(|| ()).await, Err(Error::Busy)));
        drop(held);
        let patient =
            Judges { turn_max: Duration::from_secs(30), judgement_max: Duration::from_secs(30), ..judges };
        assert!(patient.ask(|| ()).await.is_ok());
    }

    #[tokio::test]
    async fn a_panic_is_a_refusal_and_gives_its_place_back() {
        let judges = Judges::default();
        for _ in 0..=JUDGES {
            let panicked: Result<(), Error> = judges.ask(|| panic!("a pattern does this")).await;
            assert!(matches!(panicked, Err(Error::InvalidSchema(_))));
        }
    }
}
