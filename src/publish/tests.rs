//! The way in over a log in memory that can refuse, wait and lose its answers.

mod answers;
mod atomic;
mod batch;
mod batch_model;
mod bounds;
mod claims;
mod data;
mod fake_log;
mod gateway;
mod keys;
mod metrics;
mod quarantine;
mod repeats;
mod series;
mod sharing;
mod single;
