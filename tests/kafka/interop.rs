//! What other clients and the gateway read of each other: kafkajs, kafka-python, Confluent's and Java's own tools, each with the
//! settings it has by itself, and the gateway's real binary.
//!
//! - `clients`: runs the clients; scripts lie beside it.
//! - `events`: CloudEvents and their official SDKs for Python and JavaScript.
//! - `formats`: topics in Confluent's formats, and its client for Python.
//! - `gateway`: the binary on the broker that these tests share.
//! - `groups`: one group of the gateway and a native client.
//! - `keys`: everyone's choice of a key's partition.
//! - `records`: values, keys and headers, both ways.

mod clients;
mod events;
mod formats;
mod gateway;
mod groups;
mod keys;
mod records;

use std::time::Duration;

use clients::{Client, Native};
use gateway::Gateway;

/// Several programs start on a machine that does other things, too.
const PATIENCE: Duration = Duration::from_secs(150);
