//! The HTTP side over real sockets: bytes in, bytes out, with a log in memory that fails when told to.
//!
//! - `asyncapi`: the document of what there is, for whom
//! - `catalogue`: every error code, raised
//! - `certificates`: clients that show a certificate
//! - `client`: a raw client that says exactly what it is told
//! - `contract`: routes, methods, statuses and codes against `openapi/openapi.yaml`
//! - `drain`: going away without a reset
//! - `framing`: request smuggling vectors, slow and oversized requests, connection limits
//! - `gateway`: the server over the other rooms
//! - `http2`: requests over HTTP/2
//! - `log`: the log in memory
//! - `operations`: probes, metrics, who calls, pages
//! - `order`: which of many mistakes is told
//! - `publishing`: every form, option and refusal of the publish routes
//! - `reading`: pages, server-sent events, lines, cursors
//! - `registered`: events judged by the schema registry
//! - `registry`: the schema registry, with every answer held to the contract
//! - `registry_suite`: what the registries of others do
//! - `tls`: the same over TLS
//! - `upgrade`: the way to a socket

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must fail"
)]

mod asyncapi;
mod catalogue;
mod certificates;
mod client;
mod contract;
mod drain;
mod framing;
mod gateway;
mod http2;
mod log;
mod operations;
mod order;
mod publishing;
mod reading;
mod registered;
mod registry;
mod registry_suite;
mod tls;
mod upgrade;
