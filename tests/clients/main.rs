//! The sample clients and the playground, run against the real binary with the tools a user has.
//!
//! - `asyncapi`: AsyncAPI's own parser on the document that a gateway makes.
//! - `gateway`: starts `weirgate dev` on a free port.
//! - `registry`: official clients of schema registries; scripts and versions lie beside it.
//! - `scripts`: curl, Python and Node.
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
mod gateway;
mod registry;
mod scripts;
