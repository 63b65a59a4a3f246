//! The way out to an audience: every subscriber sees every event it may see, from where it wants to begin.
//!
//! One tail reader per partition fills a ring; a subscription is a cursor into rings, never a queue, and whoever
//! falls out of a ring reads the log until it has caught up. Frames are encoded once and shared. This room knows no
//! connection and no principal: rights come as a function from topic to [`Admission`].
//!
//! ```text
//! log ── tail ── ring ──┬── selection (filter, judged once) ── bell ── subscriptions ── shared frames
//!   └──── backlog (8 readers, shared blocks) ─────────────────────────────┘
//! ```

mod backlog;
mod bell;
mod channel;
mod entry;
mod error;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod fake_log;
mod frame;
mod handle;
mod hub;
mod meter;
mod metrics;
mod page;
mod partition;
mod request;
mod ring;
mod seat;
mod selection;
mod service;
mod start;
mod stream;
mod subscription;
mod tail;

pub use channel::SubscriptionId;
pub use error::Error;
pub use frame::{Frame, Gap, GapReason, Push};
pub use handle::Feed;
pub use request::{Admission, At, From, OnSlow, Page, PageRequest, Request};
pub use service::{Config, Service};
pub use subscription::Subscription;

#[cfg(test)]
mod tests;
