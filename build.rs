//! Says what this machine has, so that tests which need it are run, or shown as ignored with the reason.
//!
//! `WEIRGATE_REQUIRE` lists needs, such as `suites,browser`, whose absence is a failure; CI sets it. A later `kafka` is
//! one more line in [`NEEDS`].

use std::path::Path;
use std::process::{Command, Stdio};

/// How a need is looked for.
enum Probe {
    /// This file is there.
    File(&'static str),
    /// This command ends well.
    Runs(&'static str, &'static [&'static str]),
}

/// What tests may need: the word of `WEIRGATE_REQUIRE`, the cfg, and how it is looked for.
const NEEDS: &[(&str, &str, Probe)] = &[
    ("suites", "has_suites", Probe::File("../shared/suites/README.md")),
    ("curl", "has_curl", Probe::Runs("curl", &["--version"])),
    ("python", "has_python", Probe::Runs("python3", &["-c", "import websockets.asyncio.client"])),
    ("node", "has_node", Probe::Runs("node", &["--experimental-websocket", "-e", "WebSocket"])),
    ("browser", "has_browser", Probe::Runs("chromedriver", &["--version"])),
];

fn main() -> Result<(), String> {
    println!("cargo::rerun-if-env-changed=WEIRGATE_REQUIRE");
    println!("cargo::rerun-if-env-changed=PATH");
    println!("cargo::rerun-if-changed=build.rs");
    let required = std::env::var_os("WEIRGATE_REQUIRE").unwrap_or_default();
    let required = required.to_string_lossy();
    for (word, cfg, probe) in NEEDS {
        println!("cargo::rustc-check-cfg=cfg({cfg})");
        if probe.is_met() {
            println!("cargo::rustc-cfg={cfg}");
        } else if required.split(',').any(|given| given.trim() == *word) {
            return Err(format!(
                "WEIRGATE_REQUIRE asks for {word}, which {} does not find",
                probe.describe()
            ));
        }
    }
    Ok(())
}

impl Probe {
    fn is_met(&self) -> bool {
        match self {
            Self::File(path) => {
                let is_there = Path::new(path).exists();
                if is_there {
                    println!("cargo::rerun-if-changed={path}");
                }
                is_there
            }
            Self::Runs(program, arguments) => Command::new(program)
                .args(*arguments)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success()),
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::File(path) => (*path).to_owned(),
            Self::Runs(program, arguments) => format!("{program} {}", arguments.join(" ")),
        }
    }
}
