//! What the gateway says to a connection: changed rights, drain, the end.
//!
//! It is said rarely and to all at once, while a connection wakes for every event. So the waiting for it is one future
//! that is polled only when it was woken, instead of four that each connection registers anew at every wake-up.

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::problem::CloseCode;
use crate::socket::machine::Input;
use crate::socket::sessions::{Plan, Shared};

use super::phase::Phase;
use super::{Session, random_part};

/// What is said.
#[derive(Debug, Clone, Copy)]
pub(super) enum Word {
    /// Grants changed.
    Policy,
    /// The gateway goes away, in good order.
    Drain,
    /// The runtime of this connection ends.
    Stop,
    /// No connection may wait any longer.
    Force,
}

/// Waits for the next word.
#[derive(Default)]
pub(super) struct Hearing(FuturesUnordered<Pin<Box<dyn Future<Output = Word> + Send>>>);

impl Hearing {
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Word> {
        match self.0.poll_next_unpin(context) {
            Poll::Ready(Some(word)) => Poll::Ready(word),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Session<S> {
    /// Waits for the word after this one. A connection that is going away heeds the last one only.
    pub(super) fn listen(&self, hearing: &mut Hearing, shutdown: &CancellationToken) {
        let shared = Arc::clone(&self.shared);
        hearing.0.push(if matches!(self.phase, Phase::Open) {
            let (policy, drain, shutdown) = (self.policy.clone(), self.drain.clone(), shutdown.clone());
            Box::pin(any(shared, policy, drain, shutdown))
        } else {
            Box::pin(async move {
                shared.force.cancelled().await;
                Word::Force
            })
        });
    }

    pub(super) fn on_word(&mut self, word: Word) {
        match word {
            Word::Force => self.phase = Phase::Over(Some(CloseCode::Drain)),
            Word::Stop | Word::Policy | Word::Drain if !matches!(self.phase, Phase::Open) => {}
            Word::Stop => {
                let delay = random_part(self.shared.config.drain_window);
                self.tell(Input::Stop { delay });
            }
            Word::Policy => self.recheck(),
            Word::Drain => self.on_drain(),
        }
    }
}

async fn any(
    shared: Arc<Shared>,
    mut policy: watch::Receiver<u64>,
    mut drain: watch::Receiver<Option<Plan>>,
    shutdown: CancellationToken,
) -> Word {
    tokio::select! {
        biased;
        () = shared.force.cancelled() => Word::Force,
        () = shutdown.cancelled() => Word::Stop,
        Ok(()) = policy.changed() => Word::Policy,
        Ok(()) = drain.changed() => Word::Drain,
        else => pending().await,
    }
}
