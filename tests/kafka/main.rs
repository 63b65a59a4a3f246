//! Tests on a real Apache Kafka.
//!
//! - `atomic`: batches in one transaction, as native clients see them, and a gateway killed within one.
//! - `broker`: starts Kafka from Maven Central's jars, and stops it.
//! - `conformance`: the port's suite on the Kafka engine: on one broker, on three, and on an older one.
//! - `denied`: a gateway that may use topics and neither make nor change them.
//! - `engine`: the log that gateways of this binary run on: a broker for each.
//! - `failures`: what goes wrong on the side of Kafka, and what callers and operators are told.
//! - `front`: nginx before two gateways, and the other files of `deploy/`.
//! - `gateway`: a gateway that need not find Kafka when it starts.
//! - `interop`: kafkajs, kafka-python and Java's tools beside the gateway.
//! - `issuer`: hands out tokens for Kafka, for a short time each.
//! - `moving`: groups whose offsets are moved while native consumers share them.
//! - `oauth`: gateways that come with tokens, where the build can fetch them.
//! - `outage`: gateways that start before Kafka, and outlive it.
//! - `race`: two gateways that register schemas at once.
//! - `records`: what native clients write and read beside the gateway.
//! - `repeats`: repeats that reach another gateway than the first request did.
//! - `rights`: what the gateway may do where `deploy/kafka.md` was followed.
//! - `security`: TLS, SCRAM and certificates, and what a wrong password or missing rights look like.
//! - `secured`: a broker that asks who is there.
//! - `sharing`: groups that several members share, native ones too.
//! - `statics`: members that keep their partitions over a restart.
//! - `topics`: topics that others change, too.
//! - `delivery`, `socket`: what `tests/delivery` and `tests/socket` say of groups, subscriptions and publishing, unchanged; and
//!   `neighbours`, two gateways that share a group.
//! - `tenant`: the log that those are tested on: names of its own on the broker that all share.
//! - `statistics`: what librdkafka says of itself, as the gateway's metrics show it.
//! - `tables`: transactions, and tables that two gateways write at once.
//! - `clients`: the registry's official clients of `tests/clients`, unchanged, and where such clients lie.
//! - `shop`: the shop's story, the formats, refused events and the kill -9 of `tests/integration`, unchanged.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod atomic;
#[expect(dead_code, reason = "the fault tests use more of it")]
mod broker;
mod conformance;
mod denied;
mod engine;
mod failures;
mod front;
mod gateway;
mod interop;
mod issuer;
mod moving;
mod oauth;
mod outage;
#[path = "../log_embedded/race.rs"]
mod race;
mod records;
mod repeats;
mod rights;
mod secured;
mod security;
mod sharing;
mod statics;
mod statistics;
mod tables;
#[cfg(has_kafka)]
mod tenant;
mod topics;
#[cfg(has_kafka)]
#[path = "../delivery"]
#[expect(dead_code, reason = "the other binary uses more of it")]
mod delivery {
    use crate::harness::waiting;
    use crate::tenant as engine;

    mod fault;
    mod harness;
    pub(crate) mod layered;
    mod scripted;

    mod closing;
    mod jobs;
    mod members;
    mod neighbours;
    mod parking;
    mod redrives;
    mod replays;
    mod resets;
    mod settlement;
    mod survival;
    mod views;
}
#[cfg(has_kafka)]
#[path = "../socket"]
#[expect(dead_code, reason = "the other binary uses more of it")]
mod socket {
    use crate::harness::waiting;
    use crate::tenant as engine;

    mod deafening;
    mod setup;
    mod support;

    mod broadcast;
    mod groups;
    mod publish;
}
#[path = "../clients"]
mod clients {
    #[cfg(has_kafka)]
    use crate::engine;

    #[cfg(has_kafka)]
    #[expect(dead_code, reason = "the other binary uses more of it")]
    mod gateway;
    pub(crate) mod native;
    mod npm;
    #[cfg(has_kafka)]
    mod registry;
}
#[path = "../integration"]
mod shop {
    #[cfg(has_kafka)]
    mod formats;
    pub(crate) mod harness;
    #[cfg(has_kafka)]
    mod quarantine;
    #[cfg(has_kafka)]
    mod restart;
    #[cfg(has_kafka)]
    mod story;
}

use shop::harness;

#[cfg(not(has_kafka))]
#[test]
#[ignore = "needs Java 17 and Maven"]
fn the_shops_story_and_restart() {}

#[cfg(not(has_kafka))]
#[test]
#[ignore = "needs Java 17 and Maven"]
fn round_trips_of_the_registrys_official_clients() {}

#[cfg(not(has_kafka))]
#[test]
#[ignore = "needs Java 17 and Maven"]
fn groups_subscriptions_and_publishing_as_on_the_embedded_log() {}
