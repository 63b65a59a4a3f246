//! The way in: what was received becomes a record in the log, or a clear refusal and nothing stored.
//!
//! An event is parsed once, judged (grant, topic, source, schema, key, size, quota), told apart from a repeat, and
//! handed over; the caller's answer follows the log's. All up to the hand-over is one call without a wait, so the
//! order of calls is the order in the log. This room knows nothing of HTTP and never logs data.
//!
//! ```text
//! body ─ Document ─ Draft ─ judge (topic, grant, source, schema, seal, key) ─ partition ─ quota ─ dedupe ─ queue
//!                                                                                                           │
//!                                                    Published ◄─ Pending (metrics, dedupe entry) ◄─ log.append
//!                                                                                    │
//!                              other gateways, the next start ◄─ a table ◄─ Sharing ─┘
//! ```

mod answers;
mod atomic;
mod batch;
mod config;
mod dedupe;
mod dispatch;
mod error;
mod guess;
mod headers;
mod idempotency;
mod identity;
mod judge;
mod key;
mod lanes;
mod metrics;
mod outcome;
mod parts;
mod pending;
mod publisher;
mod quarantine;
mod queue;
mod quota;
mod request;
mod resolve;
mod series;
mod sharing;
mod sightings;
mod spread;
mod validate;
mod violators;

pub use answers::Answer;
pub use config::{Config, Quota, TopicTemplate};
pub use error::{Error, Part, Retry, Used};
pub use idempotency::{Claim, Idempotency, Lease};
pub use metrics::Counts;
pub use outcome::{Batch, Checked, Item, ItemResult, Outcome, Published, Queued, Receipt};
pub use pending::Pending;
pub use publisher::Publisher;
pub use quarantine::{KeptState, Quarantine};
pub use request::{Ack, BatchForm, Form, IdSeed, Options, Validation};
pub use series::{Series, Submitted, Underway};
pub use sharing::{Memory, Sharing};
pub use sightings::{BrokenRule, Producer, Sighting};
pub use validate::Validated;

#[cfg(test)]
mod tests;
