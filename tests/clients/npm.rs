//! Packages of npm, as a lock file beside this one names them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Fetching takes a while on a slow network.
pub(crate) const FETCH_SECONDS_MAX: &str = "600";
const ASKED: [&str; 3] = ["package.json", "package-lock.json", ".npmrc"];

/// Where what a folder here lists lies, with other files of it: fetched once, and again when something else is asked for.
pub(crate) fn installed(folder: &str, others: &[&str]) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join(folder);
    fs::create_dir_all(&target).unwrap();
    for name in ASKED.iter().chain(others) {
        fs::copy(source(folder).join(name), target.join(name)).unwrap();
    }
    let (lock, marker) = (fs::read(target.join("package-lock.json")).unwrap(), target.join("installed"));
    if !fs::read(&marker).is_ok_and(|installed| installed == lock) {
        let npm = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"];
        run(Command::new("timeout").arg(FETCH_SECONDS_MAX).args(npm).current_dir(&target));
        fs::write(marker, lock).unwrap();
    }
    target
}

/// A folder here.
pub(crate) fn source(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(folder)
}

/// What a program says; it must end well.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {said}{complained}");
    said.into_owned()
}
