//! What people are told of their folders and files.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use clap::Parser as _;

use super::{Args, Environment, Report, describe, run};

#[derive(clap::Parser)]
struct Program {
    #[command(flatten)]
    args: Args,
}

fn schemas(arguments: &[&str]) -> ExitCode {
    let program = Program::try_parse_from(["schemas"].iter().chain(arguments)).unwrap();
    run(&program.args, &Environment::new([])).unwrap()
}

fn check(directory: &str) -> ExitCode {
    schemas(&["check", "--directory", directory])
}

#[test]
fn the_sample_schemas_and_their_examples_are_good() {
    assert_eq!(check(concat!(env!("CARGO_MANIFEST_DIR"), "/schemas")), ExitCode::SUCCESS);
}

#[test]
fn one_finding_is_one_finding() {
    let folder = tempfile::tempdir().unwrap();
    let report = super::judge(&super::folder(&folder.path().join("absent")));
    assert!(describe(&report).ends_with("absent: there is no such folder\n1 finding\n"));
    let report = Report { schemas: 1, examples: 2, findings: Vec::new() };
    assert_eq!(describe(&report), "as they should be: 1 schema, 2 examples\n");
}

#[test]
fn a_wrong_example_or_an_absent_folder_fails() {
    let folder = tempfile::tempdir().unwrap();
    let examples = folder.path().join("a/b/v1.examples/invalid");
    fs::create_dir_all(&examples).unwrap();
    fs::write(folder.path().join("a/b/v1.json"), r#"{"type":"string"}"#).unwrap();
    fs::write(examples.join("number.json"), "1").unwrap();
    let directory = folder.path().to_str().unwrap();
    assert_eq!(check(directory), ExitCode::SUCCESS);
    fs::write(examples.join("text.json"), "\"x\"").unwrap();
    assert_eq!(check(directory), ExitCode::FAILURE);
    assert_eq!(check("/nowhere"), ExitCode::FAILURE);
}

#[test]
fn a_revision_is_no_option_of_git() {
    for revision in ["", "-rf", "--output=x"] {
        let against = format!("--against={revision}");
        assert!(Program::try_parse_from(["schemas", "check", &against]).is_err(), "{revision}");
    }
    for rules in [["--level", "BACKWARDS"], ["--policy", "LAX"]] {
        assert!(Program::try_parse_from(["schemas", "check"].iter().chain(&rules)).is_err());
    }
}

#[test]
fn files_of_each_language_are_compared_and_only_with_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let order = |kind: &str| {
        format!(
            r#"{{"type":"record","name":"O","fields":[{{"name":"a","type":"{kind}"}},{{"name":"m","type":"Money"}}]}}"#
        )
    };
    let proto = |kind: &str| {
        format!("import \"p/m.proto\"; message A {{ optional {kind} a = 1; optional M m = 2; }}")
    };
    write("money.avsc", r#"{"type":"fixed","name":"Money","size":8}"#);
    write("p/m.proto", "message M { }");
    let (int, long, text) =
        (write("1.avsc", &order("int")), write("2.avsc", &order("long")), write("3.avsc", &order("string")));
    let (old, new, other) = (
        write("1.proto", &proto("int32")),
        write("2.proto", &proto("uint32")),
        write("3.proto", &proto("string")),
    );
    let json = write("1.json", r#"{"type":"object"}"#);
    let diff = |old: &str, new: &str, more: &[&str]| {
        schemas(&[&["diff", old, new, "--directory", "/nowhere"], more].concat())
    };
    for (old, new, is_good) in [
        (&int, &long, true),
        (&long, &int, false),
        (&int, &text, false),
        (&old, &new, true),
        (&old, &other, false),
        (&json, &json, true),
        (&json, &int, false),
        (&int, &old, false),
    ] {
        let expected = if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        assert_eq!(diff(old, new, &[]), expected, "{old} {new}");
    }
    let (named, unnamed) = (diff(&int, &long, &["--format", "avro"]), write("4.txt", r#""int""#));
    assert_eq!(named, ExitCode::SUCCESS);
    assert_eq!(diff(&unnamed, &unnamed, &[]), ExitCode::FAILURE);
    assert_eq!(diff(&unnamed, &unnamed, &["--format", "avro"]), ExitCode::SUCCESS);
}

#[test]
fn nothing_outside_a_files_folder_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let (inner, secret) = (folder.path().join("inner"), folder.path().join("secret.proto"));
    fs::create_dir_all(&inner).unwrap();
    fs::write(&secret, "message Secret { }").unwrap();
    std::os::unix::fs::symlink(&secret, inner.join("link.proto")).unwrap();
    for import in ["../secret.proto", secret.to_str().unwrap(), "link.proto", "http://127.0.0.1:1/x.proto"] {
        let path = inner.join("a.proto");
        fs::write(&path, format!("import \"{import}\"; message A {{ }}")).unwrap();
        let path = path.to_str().unwrap();
        assert_eq!(schemas(&["diff", path, path, "--directory", "/nowhere"]), ExitCode::FAILURE, "{import}");
    }
}

fn git(folder: &Path, arguments: &[&str]) {
    let name = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"];
    let output = Command::new("git").arg("-C").arg(folder).args(name).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_folder_is_compared_with_what_it_was_at_a_revision() {
    let folder = tempfile::tempdir().unwrap();
    let schemas = folder.path().join("work/schemas");
    let write = |path: &str, text: &str| {
        let path = schemas.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let common = |least: u8| format!(r#"{{"$defs":{{"amount":{{"type":"integer","minimum":{least}}}}}}}"#);
    write("shop/common.json", &common(0));
    write("a/b/v1.json", r##"{"properties":{"m":{"$ref":"../../shop/common.json#/$defs/amount"}}}"##);
    write("a/c/v1.json", r#"{"type":"string"}"#);
    write("a/c/v1.examples/valid/x.json", "\"x\"");
    write("a/e/v1.proto", "message A { optional int32 a = 1; }");
    write("a/f/v1.avsc", r#"["null", "Money"]"#);
    write("money.avsc", r#"{"type":"fixed","name":"Money","size":8}"#);
    git(folder.path(), &["init", "-q", "-b", "main"]);
    git(folder.path(), &["add", "."]);
    git(folder.path(), &["commit", "-q", "-m", "first"]);
    let directory = schemas.to_str().unwrap();
    let against = |more: &[&str]| {
        let call = [&["check", "--directory", directory, "--against", "main"], more].concat();
        self::schemas(&call)
    };
    assert_eq!(against(&[]), ExitCode::SUCCESS);
    write("a/d/v1.json", "{}");
    write("a/c/v1.json", r#"{"type":["string","null"]}"#);
    assert_eq!(against(&[]), ExitCode::SUCCESS, "a new type and a wider one");
    assert_eq!(against(&["--level", "FULL"]), ExitCode::FAILURE, "old readers know no null");
    write("shop/common.json", &common(1));
    assert_eq!(against(&[]), ExitCode::FAILURE, "what is referred to is narrower");
    assert_eq!(against(&["--level", "NONE"]), ExitCode::SUCCESS);
    write("shop/common.json", &common(0));
    write("a/e/v1.proto", "message A { optional string a = 1; }");
    assert_eq!(against(&[]), ExitCode::FAILURE, "the type of a field");
    write("a/e/v1.proto", "message A { optional int32 a = 1; optional int32 b = 2; }");
    fs::rename(schemas.join("a/f/v1.avsc"), schemas.join("a/f/v1.proto")).unwrap();
    write("a/f/v1.proto", "message F { }");
    assert_eq!(against(&[]), ExitCode::FAILURE, "another language");
    assert_eq!(against(&["--level", "NONE"]), ExitCode::SUCCESS);
    fs::remove_file(schemas.join("a/f/v1.proto")).unwrap();
    write("a/f/v1.avsc", r#"["null", "Money"]"#);
    write("money.avsc", r#"{"type":"fixed","name":"Money","size":9}"#);
    assert_eq!(against(&[]), ExitCode::FAILURE, "a type of another file");
    write("money.avsc", r#"{"type":"fixed","name":"Money","size":8}"#);
    assert_eq!(against(&[]), ExitCode::SUCCESS);
    fs::remove_file(schemas.join("a/c/v1.json")).unwrap();
    assert_eq!(against(&[]), ExitCode::FAILURE, "a schema is gone");
    let call = ["check", "--directory", directory, "--against", "absent"];
    let program = Program::try_parse_from(["schemas"].iter().chain(&call)).unwrap();
    let problem = run(&program.args, &Environment::new([])).unwrap_err().to_string();
    assert!(problem.starts_with("absent is no revision that git knows in "), "{problem}");
}
