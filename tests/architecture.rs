//! The walls of the house: which room may import which, and which outside names belong to one room alone.
//!
//! A room may list only rooms before it in [`ROOMS`], so no circle fits in. A new edge is a design change.

#![expect(clippy::unwrap_used, reason = "a test that cannot read the source must fail")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Every room in order, with the rooms it may import.
const ROOMS: &[(&str, &str)] = &[
    ("event", ""),
    ("telemetry", ""),
    ("log", "event telemetry"),
    ("schema", "event telemetry log"),
    ("auth", "event telemetry"),
    ("log_embedded", "event telemetry log"),
    ("log_kafka", "event telemetry log"),
    ("publish", "event telemetry log schema auth"),
    ("feed", "event telemetry log schema"),
    ("delivery", "event telemetry log schema"),
    ("problem", "event log schema auth publish feed delivery"),
    ("socket", "event telemetry schema auth publish feed delivery problem"),
    ("http", "event telemetry log schema auth publish feed delivery problem socket"),
    ("config", "event telemetry log schema auth log_embedded log_kafka publish feed delivery socket http"),
    (
        "app",
        "event telemetry log schema auth log_embedded log_kafka publish feed delivery socket http config",
    ),
    ("cli", "event telemetry schema auth socket config app"),
];

/// Outside crates that only these rooms may name.
const FENCES: &[(&str, &str)] = &[
    ("prometheus", "telemetry"),
    ("tracing_subscriber", "telemetry"),
    ("apache_avro", "schema"),
    ("jsonschema", "schema"),
    ("referencing", "schema"),
    ("regex_syntax", "schema"),
    ("prost_reflect", "schema"),
    ("protox", "schema"),
    ("jsonwebtoken", "auth"),
    ("rustls_pki_types", "http socket"),
    ("rustls_platform_verifier", "socket"),
    ("maud", "http"),
    ("rusqlite", "log_embedded"),
    ("rdkafka", "log_kafka"),
    ("rskafka", ""),
    ("tokio_tungstenite", "socket"),
    ("axum", "http"),
    ("tower", "http"),
    ("tower_http", "http"),
    ("hyper", "http"),
    ("hyper_util", "http"),
    ("tokio_rustls", "http socket"),
    ("serde_saphyr", "config http"),
    ("clap", "cli"),
    ("reqwest", "auth schema cli"),
    ("anyhow", "app cli"),
];

struct Source {
    room: String,
    path: PathBuf,
    text: String,
}

#[test]
fn rooms_list_only_rooms_before_them() {
    for (index, (room, imports)) in ROOMS.iter().enumerate() {
        for import in imports.split_whitespace() {
            let at = ROOMS.iter().position(|(name, _)| *name == import).unwrap();
            assert!(at < index, "{room} may not list {import}");
        }
    }
}

#[test]
fn rooms_import_only_their_neighbours() {
    for source in sources() {
        let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == source.room) else {
            panic!("{} belongs to no room of the list", source.path.display());
        };
        for room in rooms_named(&source.text) {
            let is_room = ROOMS.iter().any(|(name, _)| *name == room);
            let is_neighbour = allowed.split_whitespace().any(|name| name == room);
            assert!(
                !is_room || room == source.room || is_neighbour,
                "{} imports crate::{room}, which {} may not",
                source.path.display(),
                source.room
            );
        }
    }
}

#[test]
fn one_use_names_one_room() {
    for source in sources() {
        assert!(
            !source.text.contains("use crate::{"),
            "{} names two rooms in one use",
            source.path.display()
        );
    }
}

#[test]
fn outside_names_stay_in_their_room() {
    for source in sources() {
        for (outside, rooms) in FENCES {
            let is_owner = rooms.split_whitespace().any(|name| name == source.room);
            let is_named = source.text.lines().any(|line| names_crate(line, outside));
            assert!(!is_named || is_owner, "{} names {outside}", source.path.display());
        }
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    for source in sources() {
        assert!(source.text.starts_with("//!"), "{} has no module doc", source.path.display());
        assert!(!source.path.ends_with("mod.rs"), "{} should be a door file", source.path.display());
    }
}

#[test]
fn every_file_is_reached_by_a_mod() {
    for source in sources() {
        let stem = source.path.file_stem().unwrap().to_str().unwrap();
        let folder = source.path.parent().unwrap();
        let door = if folder == Path::new("src") { "src/lib.rs".into() } else { folder.with_extension("rs") };
        let text =
            fs::read_to_string(&door).unwrap_or_else(|_| panic!("{} has no door file", folder.display()));
        let is_reached = text.lines().any(|line| line.trim().ends_with(&format!("mod {stem};")));
        assert!(is_reached, "{} is dead: {} has no `mod {stem};`", source.path.display(), door.display());
    }
}

#[test]
fn every_public_error_code_stands_in_both_contracts() {
    let openapi = fs::read_to_string("openapi/openapi.yaml").unwrap();
    let asyncapi = fs::read_to_string("asyncapi/asyncapi-base.yaml").unwrap();
    for code in weirgate::problem::Code::ALL {
        let is_listed = |text: &str| text.lines().any(|line| line.trim() == format!("- {}", code.as_str()));
        assert!(is_listed(&openapi), "openapi.yaml does not list {}", code.as_str());
        assert!(is_listed(&asyncapi), "asyncapi-base.yaml does not list {}", code.as_str());
    }
}

/// The names after `crate::` in code, comments left out.
fn rooms_named(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| line.split("crate::").skip(1))
        .map(|rest| rest.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect())
        .collect()
}

/// Whether a line of code (not a comment) names a path into this outside crate.
fn names_crate(line: &str, outside: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    code.match_indices(&format!("{outside}::")).any(|(at, _)| {
        !code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_' || before == ':')
    })
}

fn sources() -> Vec<Source> {
    let mut sources = Vec::new();
    let mut folders = vec![PathBuf::from("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let first = path.components().nth(1).unwrap().as_os_str().to_str().unwrap();
                let room = first.trim_end_matches(".rs").to_owned();
                sources.push(Source { room, path, text });
            }
        }
    }
    sources.retain(|source| source.room != "lib" && source.room != "main");
    sources
}
