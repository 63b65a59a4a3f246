//! The HTTP side over real sockets: bytes in, bytes out, with a log in memory that fails when told to.
//!
//! - `alone`: Avro and Protobuf in records of nothing else
//! - `asyncapi`: the document of what there is, for whom
//! - `audit`: what is told of acts, to whom, and that nothing is done which cannot be told
//! - `avro`: schemas and events of Avro
//! - `bombs`: registrations that would harm
//! - `catalogue`: every error code, raised
//! - `certificates`: clients that show a certificate
//! - `client`: a raw client that says exactly what it is told
//! - `cloud_events`: topics that store CloudEvents
//! - `contract`: routes, methods, statuses and codes against `openapi/openapi.yaml`, and every answer to `Gateway::send`
//! - `dead_letters`: lists, single letters, counts, notes, discards and redrives of one
//! - `redrives`: plans, jobs, their cancelling, and who may what
//! - `docs`: pages for people
//! - `drain`: going away without a reset
//! - `event_types`: event types for programs, and data that is judged and not stored
//! - `framing`: request smuggling vectors, slow and oversized requests, connection limits
//! - `gateway`: the server over the other rooms
//! - `http2`: requests over HTTP/2
//! - `log`: the log in memory
//! - `operations`: probes, metrics, who calls, pages
//! - `order`: which of many mistakes is told
//! - `protobuf`: schemas and events of Protobuf
//! - `publishing`: every form, option and refusal of the publish routes
//! - `quarantine`: refused events that are kept
//! - `reading`: pages, server-sent events, lines, cursors
//! - `registered`: events judged by the schema registry
//! - `registry`: the schema registry
//! - `registry_suite`: what the registries of others do
//! - `tls`: the same over TLS
//! - `upgrade`: the way to a socket

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must fail"
)]

mod alone;
mod asyncapi;
mod audit;
mod avro;
mod bombs;
mod catalogue;
mod certificates;
mod client;
mod cloud_events;
mod contract;
mod dead_letters;
mod docs;
mod drain;
mod event_types;
mod framing;
mod gateway;
mod http2;
mod log;
mod operations;
mod order;
mod protobuf;
mod publishing;
mod quarantine;
mod reading;
mod redrives;
mod registered;
mod registry;
mod registry_suite;
mod replays;
mod tls;
mod upgrade;
