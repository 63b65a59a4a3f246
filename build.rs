//! Says what this machine has, so that tests which need it are run, or shown as ignored with the reason.
//!
//! `WEIRGATE_REQUIRE` lists needs, such as `suites,kafka`, whose absence is a failure; CI sets it.

use std::path::Path;
use std::process::{Command, Stdio};

/// How a need is looked for.
enum Probe {
    /// This file is there.
    File(&'static str),
    /// This command ends well.
    Runs(&'static str, &'static [&'static str]),
    /// Java of this version or a later one is there, and Maven, which fetches what runs on it.
    JavaAndMaven(u32),
}

/// What tests may need: the word of `WEIRGATE_REQUIRE`, the cfg, and how it is looked for.
const NEEDS: &[(&str, &str, Probe)] = &[
    ("suites", "has_suites", Probe::File("../shared/suites/README.md")),
    ("curl", "has_curl", Probe::Runs("curl", &["--version"])),
    ("python", "has_python", Probe::Runs("python3", &["-c", "import websockets.asyncio.client"])),
    ("node", "has_node", Probe::Runs("node", &["--experimental-websocket", "-e", "WebSocket"])),
    ("browser", "has_browser", Probe::Runs("chromedriver", &["--version"])),
    ("nginx", "has_nginx", Probe::Runs("nginx", &["-v"])),
    ("kafka", "has_kafka", Probe::JavaAndMaven(17)),
    (
        "interop",
        "has_interop",
        Probe::Runs("sh", &["-c", "npm --version && python3 -c 'import ensurepip, venv'"]),
    ),
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
            Self::Runs(program, arguments) => runs(program, arguments).is_some(),
            Self::JavaAndMaven(version_min) => {
                let version = runs("java", &["-version"]).and_then(|text| java_version(&text));
                version.is_some_and(|version| version >= *version_min)
                    && runs("mvn", &["--version"]).is_some()
            }
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::File(path) => (*path).to_owned(),
            Self::Runs(program, arguments) => format!("{program} {}", arguments.join(" ")),
            Self::JavaAndMaven(version_min) => format!("java {version_min} with mvn"),
        }
    }
}

/// What a command says to standard error, where it ends well.
fn runs(program: &str, arguments: &[&str]) -> Option<String> {
    let output =
        Command::new(program).args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The version in `openjdk version "17.0.15" 2025-04-15`.
fn java_version(text: &str) -> Option<u32> {
    let (_, quoted) = text.split_once("version \"")?;
    let digits: String = quoted.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}
