//! The way out to workers: consumer groups that share the work, with acknowledgement, bounded retries and dead
//! letters.
//!
//! One task per active group owns a pure state machine ([`lane`] and `machine`); the loops around it only move
//! bytes. This room never knows how a log or a socket works: records come from the port, settlements from a
//! [`MemberControl`], and members pull what is theirs.
//!
//! ```text
//! log.groups.join ── intake ── lanes ── a member's mailbox ── Member::next ── socket
//!                                 │                                             │
//!        commit (prefix, metadata) ── tracker ── settlement ── MemberControl ───┘
//!                                 └── after the last retry: dlq.{topic}.{group}, awaited
//! ```

mod breaker;
mod burial;
mod dead_letters;
mod deletion;
mod error;
mod gateways;
mod group;
mod incarnations;
mod jobs;
mod key_hash;
mod lag;
pub mod lane;
mod lookups;
mod mailbox;
mod member;
mod merged;
mod metadata;
mod metrics;
mod owner;
mod pace;
mod policies;
mod policy;
mod redrive;
mod replays;
mod resets;
mod resumes;
mod retry;
mod roster;
mod service;
mod shared;
mod tag;
mod tracker;
mod view;

pub use dead_letters::{
    DeadLetter, DeadLetterCount, DeadLetterCounts, DeadLetterFilter, DeadLetterId, DeadLetterPage,
    DeadLetterQuery, DeadLetterState, Note, REASONS, Redrive, RedriveCounts, RedriveOf, RedriveOrder,
    RedrivePage, RedrivePlan, RedriveState, Settled, Standing, WholeDeadLetter,
};
pub use error::Error;
pub use jobs::JobId;
pub use member::{
    AckMode, ConnectionId, GapReason, How, Join, Lag, Member, MemberControl, MemberId, Push, Refused,
    Settlement, State, Withdrawal,
};
pub use policy::{Backoff, BackoffPatch, Exhausted, Ordering, Policy, PolicyPatch, Start};
pub use replays::{Replay, ReplayCounts, ReplayOrder, ReplayPage, ReplayPlan, ReplayRange, ReplayState};
pub use resets::{Move, Reset, ResetState, ResetTo, ResetView};
pub use resumes::{GivenUp, Resume};
pub use service::{Config, Delivery, Put, Service};
pub use tag::{Tag, TagError};
pub use view::{
    BlockedLane, Breaker, BreakerReason, GatewayView, GroupView, LastGap, MemberKind, MemberView,
    PartitionView, ResetProgress,
};
