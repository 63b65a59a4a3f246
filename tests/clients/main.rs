//! The sample clients and the playground, run against the real binary with the tools a user has.
//!
//! - `gateway`: starts `weirgate dev` on a free port.
//! - `scripts`: curl, Python and Node.
//! - `browser`: the playground and the browser sample in headless Chromium, driven over WebDriver.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod browser;
mod gateway;
mod scripts;
