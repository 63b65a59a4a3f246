//! The contract of the HTTP API, read by a linter of others.

use std::path::Path;
use std::process::Command;

use crate::npm::{self, run};

#[test]
#[cfg_attr(not(all(has_interop, has_node)), ignore = "needs npm, and Node 20 or later")]
fn the_contract_breaks_no_recommended_rule() {
    let linter = npm::installed("openapi", &["lint.mjs"]);
    let contract = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi/openapi.yaml");
    let text = run(Command::new("node").arg("lint.mjs").arg(contract).current_dir(linter));
    assert!(text.contains("all allowed"), "{text}");
}
