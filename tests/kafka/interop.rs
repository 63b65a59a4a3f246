//! What other clients and the gateway read of each other: kafkajs, kafka-python and Java's own tools, each with the
//! settings it has by itself, and the gateway's real binary.
//!
//! - `clients`: installs the clients and runs them; scripts and versions lie beside it.
//! - `gateway`: the binary on the broker that these tests share.
//! - `groups`: one group of the gateway and a native client.
//! - `keys`: everyone's choice of a key's partition.
//! - `records`: values, keys and headers, both ways.

mod clients;
mod gateway;
mod groups;
mod keys;
mod records;

use std::time::Duration;

use clients::{Client, Native};
use gateway::Gateway;

/// Several programs start on a machine that does other things, too.
const PATIENCE: Duration = Duration::from_secs(150);
