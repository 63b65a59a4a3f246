//! The `weirgate` binary.

fn main() {}
