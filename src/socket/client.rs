//! A subscriber's side of the protocol: connects, subscribes, and comes back after every break where it left off.
//!
//! Used by `cli tail`. It keeps what a resume needs (cursor, later positions, connection id), waits between attempts
//! as the close code asks, and stops where coming back cannot help.
//!
//! ```text
//! Away (until) ── connect, hello, subscribe ──► Linked ── push ──► Update::Message
//!    ▲                                            │
//!    └── back-off by close code ◄── bye, close, silence, error ── Update::Lost
//! ```

mod backoff;
mod link;
mod memory;
mod tls;

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until, timeout};

use crate::problem::{CloseCode, Code};

use self::backoff::{Backoff, Next};
use self::link::{Heard, Link};
use self::memory::Memory;
pub use self::tls::{Trust, TrustError};

/// How long the gateway may take to answer a step of coming in.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the gateway is and who calls.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// `http(s)://…` or `ws(s)://…`; a path is kept as a prefix of `/v1/stream`.
    pub url: String,
    /// Who may sign the gateway's certificate.
    pub trust: Trust,
    /// The header that carries the credential, such as `authorization`, and its value.
    pub credential: Option<(&'static str, String)>,
}

/// What to subscribe to.
#[derive(Debug, Clone)]
pub enum Wish {
    /// Topics, as everybody sees them.
    Audience {
        /// Names or patterns.
        topics: Vec<String>,
        /// `from` as the protocol has it; `None` is the latest.
        from: Option<Value>,
        /// A filter.
        filter: Option<Value>,
    },
    /// A part in a group's work.
    Worker {
        /// The group.
        group: String,
        /// What it is believed to read; refused where that is not so.
        topics: Option<Vec<String>>,
        /// How many deliveries may be unsettled.
        credit: Option<u32>,
        /// Whether the gateway settles a delivery as it hands it out.
        is_auto: bool,
    },
}

/// What became of a delivery.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// Done.
    Ack,
    /// Failed: try again, after this delay where one is given.
    Nack {
        /// Instead of the group's own delay.
        delay: Option<Duration>,
        /// In words.
        reason: Option<String>,
    },
    /// Failed for good.
    Reject {
        /// In words.
        reason: Option<String>,
    },
}

/// What the client tells its user.
#[derive(Debug)]
pub enum Update {
    /// Subscribed; the `ok` of the answer. Told after every connect.
    Subscribed(Value),
    /// A push of the gateway: an event, a delivery, a gap and so on. The text is as it came.
    Message {
        /// The message.
        text: String,
        /// The same, read.
        value: Value,
    },
    /// The connection is gone; another follows after the delay.
    Lost {
        /// Why, in words.
        reason: String,
        /// How long until the next attempt.
        delay: Duration,
    },
}

/// Why there is no further attempt.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be used.
    #[error("'{url}' is no address of a gateway: {problem}")]
    Address {
        /// The address.
        url: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Nobody answers at the first attempt.
    #[error("cannot connect to {address}; does the gateway run there?")]
    Unreachable {
        /// Host and port.
        address: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The gateway shows a certificate that is not to be trusted, or speaks no TLS.
    #[error("the gateway at {address} cannot be trusted; --ca names who signs its certificate")]
    Untrusted {
        /// Host and port.
        address: String,
        /// What is wrong with it.
        #[source]
        source: std::io::Error,
    },
    /// The gateway refused the handshake.
    #[error("the gateway answered {status}: {detail}")]
    Refused {
        /// The status.
        status: u16,
        /// The problem's detail.
        detail: String,
    },
    /// The gateway refused the subscription, or took it back.
    #[error("{code}: {detail}")]
    Problem {
        /// The problem's code.
        code: String,
        /// Its detail.
        detail: String,
    },
    /// The gateway closed the connection for good.
    #[error("the gateway closed the connection: {reason} ({code})")]
    Closed {
        /// The close code.
        code: u16,
        /// In words.
        reason: String,
    },
}

impl Error {
    /// Whether the gateway wants to know who calls, and was not told or does not take it.
    #[must_use]
    pub fn wants_credential(&self) -> bool {
        match self {
            Self::Refused { status, .. } => *status == Code::Unauthenticated.status(),
            Self::Problem { code, .. } => code == Code::Unauthenticated.as_str(),
            Self::Closed { code, .. } => {
                [CloseCode::TokenInvalid, CloseCode::NoHello].iter().any(|close| close.number() == *code)
            }
            Self::Address { .. } | Self::Unreachable { .. } | Self::Untrusted { .. } => false,
        }
    }
}

/// One subscription that outlives its connections.
#[derive(Debug)]
pub struct Client {
    endpoint: Endpoint,
    wish: Wish,
    memory: Memory,
    backoff: Backoff,
    link: Option<Link>,
    away_until: Instant,
    was_linked: bool,
}

/// How one connection ended, or failed to begin.
#[derive(Debug)]
enum Break {
    /// Trying again can help.
    Passing { reason: String, next: Next },
    /// It cannot.
    Final(Error),
}

impl Client {
    /// A client; nothing happens before [`Client::next`].
    #[must_use]
    pub fn new(endpoint: Endpoint, wish: Wish) -> Self {
        let memory = Memory::default();
        let (backoff, away_until) = (Backoff::default(), Instant::now());
        Self { endpoint, wish, memory, backoff, link: None, away_until, was_linked: false }
    }

    /// What happens next; connects where needed. Cancel safe but for an attempt to connect, which begins anew.
    ///
    /// # Errors
    /// When no further attempt can help.
    pub async fn next(&mut self) -> Result<Update, Error> {
        let outcome = match &mut self.link {
            None => {
                sleep_until(self.away_until).await;
                self.connect().await
            }
            Some(link) => listen(link, &mut self.memory).await,
        };
        match outcome {
            Ok(update) => {
                if let Update::Message { .. } = update {
                    self.backoff.reset();
                }
                Ok(update)
            }
            Err(Break::Passing { reason, next }) => {
                self.link = None;
                let delay = self.backoff.delay(next, random_share());
                self.away_until = Instant::now() + delay;
                Ok(Update::Lost { reason, delay })
            }
            Err(Break::Final(error)) => {
                self.link = None;
                Err(error)
            }
        }
    }

    /// Settles a delivery. A connection that broke meanwhile shows at the next [`Client::next`].
    pub async fn settle(&mut self, delivery: &str, verdict: &Verdict) {
        let Some(link) = &mut self.link else { return };
        let Some(sub) = link.sub else { return };
        let mut command = json!({ "sub": sub, "delivery": delivery });
        if let Some(members) = command.as_object_mut() {
            let (op, reason) = match verdict {
                Verdict::Ack => ("ack", None),
                Verdict::Nack { delay, reason } => {
                    let delay = delay.map(|delay| ("delayMs".to_owned(), json!(super::push::millis(delay))));
                    members.extend(delay);
                    ("nack", reason.as_deref())
                }
                Verdict::Reject { reason } => ("reject", reason.as_deref()),
            };
            members.insert("op".to_owned(), op.into());
            members.extend(reason.map(|reason| ("reason".to_owned(), json!(reason))));
        }
        link.say(&command).await;
    }

    /// Where a later subscription would go on, as its `from`; a group keeps its place itself.
    #[must_use]
    pub fn place(&self) -> Option<Value> {
        self.memory.place()
    }

    /// Says goodbye and waits a moment for the answer: all that was settled before is then applied.
    pub async fn close(mut self) {
        if let Some(link) = self.link.take() {
            drop(timeout(Duration::from_secs(3), link.close()).await);
        }
    }

    async fn connect(&mut self) -> Result<Update, Break> {
        let attempt = timeout(PATIENCE, enter(&self.endpoint, &self.wish, &self.memory)).await;
        let outcome = attempt.unwrap_or_else(|_| Err(passing("the gateway does not answer")));
        match outcome {
            Ok((link, subscribed)) => {
                self.was_linked = true;
                self.memory.begin(&link.connection, &subscribed);
                self.link = Some(link);
                Ok(Update::Subscribed(subscribed))
            }
            // Who was there before comes back, also while the gateway restarts.
            Err(Break::Final(Error::Unreachable { address, source })) if self.was_linked => {
                Err(passing(&format!("cannot connect to {address}: {source}")))
            }
            Err(end) => Err(end),
        }
    }
}

/// Connects, says hello and subscribes.
async fn enter(endpoint: &Endpoint, wish: &Wish, memory: &Memory) -> Result<(Link, Value), Break> {
    let mut link = Link::connect(endpoint).await?;
    link.say(
        &json!({ "id": 1, "op": "hello", "client": concat!("weirgate-tail/", env!("CARGO_PKG_VERSION")) }),
    )
    .await;
    let hello = link.answer(1).await?;
    link.greet(&hello);
    link.say(&memory.subscription(wish)).await;
    let subscribed = link.answer(2).await?;
    link.sub = subscribed.get("sub").and_then(Value::as_u64);
    Ok((link, subscribed))
}

/// The next message that is not between the machines alone.
async fn listen(link: &mut Link, memory: &mut Memory) -> Result<Update, Break> {
    loop {
        let Heard { text, value } = link.hear().await?;
        memory.note(&value);
        if let Some(problem) = value.get("unsubscribed") {
            return Err(link::problem(problem));
        }
        if value.get("op").is_none() {
            return Ok(Update::Message { text, value });
        }
    }
}

fn passing(reason: &str) -> Break {
    Break::Passing { reason: reason.to_owned(), next: Next::Backoff }
}

/// A random number from 0 to 1.
fn random_share() -> f64 {
    let number = getrandom::u32().unwrap_or(u32::MAX / 2);
    f64::from(number) / f64::from(u32::MAX)
}
