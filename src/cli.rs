//! The commands of `weirgate`: each parses its arguments, does one thing, and says how it went by its exit code.

pub mod key;
pub mod schemas;
pub mod token;
