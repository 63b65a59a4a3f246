//! Weirgate: an HTTP and WebSocket event gateway for Kafka.
//!
//! The rooms, ground floor first; each imports only rooms above it in this list (`tests/architecture.rs`):
//!
//! | room | keeps |
//! | --- | --- |
//! | [`event`] | names, positions, records, the envelope, the borrowed JSON document |
//! | [`telemetry`] | metrics registry, log set-up, trace context |
//! | [`log`] | the port to the log: traits, the error, the conformance suite |
//! | [`schema`] | subjects and compiled validators |
//! | [`auth`] | principals, credentials, grants, decisions |
//! | [`log_embedded`] | the durable engine of one machine |
//! | [`log_kafka`] | the engine on Apache Kafka |
//! | [`publish`] | the way in |
//! | [`feed`] | the way out to an audience |
//! | [`delivery`] | the way out to workers |
//! | [`problem`] | the catalogue of public errors |
//! | [`socket`] | a subscriber's session over WebSocket |
//! | [`http`] | routes, streams, the accept loop |
//! | [`config`] | the configuration, checked |
//! | [`app`] | build, run, drain |
//! | [`cli`] | the commands |
//!
//! ```text
//! POST ── http ── auth ── publish (parse, schema, dedupe, key) ── log.append ── receipt ── 201
//! log ── feed (tail, ring, cursors) ── shared frames ── socket, SSE
//! log ── delivery (group, lanes, attempts) ── a member's socket ── settlement ── commit
//! ```

pub mod app;
pub mod auth;
pub mod cli;
pub mod config;
pub mod delivery;
pub mod event;
pub mod feed;
pub mod http;
pub mod log;
pub mod log_embedded;
pub mod log_kafka;
pub mod problem;
pub mod publish;
pub mod schema;
pub mod socket;
pub mod telemetry;
