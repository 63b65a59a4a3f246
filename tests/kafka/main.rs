//! Tests on a real Apache Kafka.
//!
//! - `broker`: starts Kafka from Maven Central's jars, and stops it.
//! - `conformance`: the port's suite on the Kafka engine.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod broker;
mod conformance;
