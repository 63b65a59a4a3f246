//! Says what this machine has, so that tests which need it are run, or shown as ignored with the reason.
//!
//! `has_suites`: the conformance data lies beside the project, in `../shared/suites`. `WEIRGATE_REQUIRE=suites` turns its
//! absence into a failure. A later `has_kafka` is one more line in [`NEEDS`].

use std::path::Path;

/// What tests may need: the word of `WEIRGATE_REQUIRE`, the cfg, and a file that is there when it can be had.
const NEEDS: &[(&str, &str, &str)] = &[("suites", "has_suites", "../shared/suites/README.md")];

fn main() -> Result<(), String> {
    println!("cargo::rerun-if-env-changed=WEIRGATE_REQUIRE");
    println!("cargo::rerun-if-changed=build.rs");
    let required = std::env::var_os("WEIRGATE_REQUIRE").unwrap_or_default();
    let required = required.to_string_lossy();
    for (word, cfg, file) in NEEDS {
        println!("cargo::rustc-check-cfg=cfg({cfg})");
        if Path::new(file).exists() {
            println!("cargo::rerun-if-changed={file}");
            println!("cargo::rustc-cfg={cfg}");
        } else if required.split(',').any(|given| given.trim() == *word) {
            return Err(format!("WEIRGATE_REQUIRE asks for {word}, but there is no {file}"));
        }
    }
    Ok(())
}
