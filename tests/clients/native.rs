//! Clients of Kafka and of schema registries that are not ours, for JavaScript and Python, as the lists in `native` name them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::npm::{self, FETCH_SECONDS_MAX, run};

/// A script that lies in a folder of the tests, with all clients in its reach.
pub(crate) fn script(folder: &str, name: &str) -> Command {
    let mut command = if name.ends_with(".py") {
        Command::new(installed().join("venv/bin/python"))
    } else {
        let mut command = Command::new("node");
        command.env("NODE_PATH", installed().join("node_modules"));
        command
    };
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder).join(name));
    command
}

/// Where the clients lie, which are fetched once, and again when others are asked for.
fn installed() -> &'static Path {
    static INSTALLED: OnceLock<PathBuf> = OnceLock::new();
    INSTALLED.get_or_init(install)
}

fn install() -> PathBuf {
    let list = "requirements.txt";
    let target = npm::installed("native", &[list]);
    let (asked, marker) = (fs::read(target.join(list)).unwrap(), target.join("venv/installed"));
    if !fs::read(&marker).is_ok_and(|installed| installed == asked) {
        let fetch = |program: &str, arguments: &[&str]| {
            let mut command = Command::new("timeout");
            run(command.args([FETCH_SECONDS_MAX, program]).args(arguments).current_dir(&target));
        };
        fetch("python3", &["-m", "venv", "--clear", "venv"]);
        fetch("venv/bin/pip", &["install", "-q", "--disable-pip-version-check", "-r", list]);
        fs::write(marker, asked).unwrap();
    }
    target
}
