//! The sample clients and the playground, run against the real binary with the tools a user has.
//!
//! - `asyncapi`: the documents that gateways make, read by AsyncAPI's own parser.
//! - `engine`: the log that gateways run on.
//! - `gateway`: starts `weirgate dev` on a free port.
//! - `npm`: fetches what a test asks for.
//! - `native`: clients that are not ours, for JavaScript and Python.
//! - `openapi`: a linter on the contract of the HTTP API.
//! - `registry`: official clients of schema registries; scripts lie beside it.
//! - `schemas`: `weirgate schemas register` and `types`.
//! - `scripts`: curl, Python and Node.
//! - `docs`: the docs, from the list to a published event.
//! - `browser`: the playground and the browser sample in headless Chromium, driven over WebDriver.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod asyncapi;
mod browser;
mod docs;
mod engine;
mod gateway;
mod native;
mod npm;
mod openapi;
mod registry;
mod schemas;
mod scripts;
