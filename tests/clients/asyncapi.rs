//! The document that a gateway makes of what it has, read by AsyncAPI's own parser.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::gateway::Gateway;

#[test]
#[cfg_attr(not(all(has_interop, has_node, has_curl)), ignore = "needs npm, Node 20 or later, and curl")]
fn asyncapis_own_parser_takes_both_views() {
    let (gateway, parser) = (Gateway::start(), installed());
    for (view, form) in [("gateway", "json"), ("client", "yaml")] {
        let file = tempfile::NamedTempFile::new().unwrap();
        let url = format!("{}/asyncapi.{form}?view={view}", gateway.url);
        let authorization = format!("Authorization: Bearer {}", gateway.token);
        run(Command::new("curl").args(["-sSf", "-H", &authorization, "-o"]).arg(file.path()).arg(url));
        let text = run(Command::new("node").arg("check.mjs").arg(file.path()).current_dir(&parser));
        let (channels, _) = text.split_once(" channels").unwrap();
        assert!(channels.parse::<u32>().unwrap() > 4, "{text}");
    }
}

/// Where the parser lies, with the program that asks it.
fn installed() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("asyncapi");
    fs::create_dir_all(&target).unwrap();
    for name in ["package.json", "package-lock.json", ".npmrc", "check.mjs"] {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/asyncapi").join(name);
        fs::copy(source, target.join(name)).unwrap();
    }
    let (lock, marker) = (fs::read(target.join("package-lock.json")).unwrap(), target.join("installed"));
    if !fs::read(&marker).is_ok_and(|installed| installed == lock) {
        let arguments = ["300", "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"];
        run(Command::new("timeout").args(arguments).current_dir(&target));
        fs::write(marker, lock).unwrap();
    }
    target
}

/// What a program says; it must end well.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {said}{complained}");
    said.into_owned()
}
