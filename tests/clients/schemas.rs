//! `weirgate schemas` against a running gateway, and its types as the compiler of their language sees them.

use std::fs;
use std::process::{Command, Output};

use crate::gateway::Gateway;
use crate::npm::{self, run};

/// A folder of schemas to change, and a gateway to register them in.
struct Shop {
    gateway: Gateway,
    folder: tempfile::TempDir,
}

impl Shop {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/.");
        run(Command::new("cp").arg("-r").arg(samples).arg(folder.path()));
        let gateway = Gateway::start();
        gateway.ready().await;
        Self { gateway, folder }
    }

    fn schemas(&self, arguments: &[&str]) -> Output {
        self.schemas_as(&self.gateway.token, arguments)
    }

    fn schemas_as(&self, token: &str, arguments: &[&str]) -> Output {
        let mut command = weirgate();
        command.arg("schemas").args(arguments).arg("--directory").arg(self.folder.path());
        command.args(["--data-dir", "/nowhere", "--url", &self.gateway.url]);
        command.env("WEIRGATE_TOKEN", token).output().unwrap()
    }

    /// Puts one text for another in the schema of an order.
    fn change_orders(&self, old: &str, new: &str) {
        let path = self.folder.path().join("orders/placed/v1.json");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(old));
        fs::write(path, text.replace(old, new)).unwrap();
    }
}

fn weirgate() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weirgate"));
    command.env_remove("WEIRGATE_TOKEN").env_remove("WEIRGATE_API_KEY").env_remove("WEIRGATE_URL");
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

#[track_caller]
fn told(output: &Output, code: i32) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (said, complained) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{said}{complained}");
    format!("{said}{complained}")
}

#[tokio::test]
async fn a_folder_is_registered_and_changes_are_judged_by_what_is() {
    let shop = Shop::open().await;
    let first = told(&shop.schemas(&["register"]), 0);
    assert_eq!(first.lines().count(), 5, "{first}");
    assert!(first.contains("orders.placed.v1-value: version 1, id "), "{first}");
    assert_eq!(told(&shop.schemas(&["register"]), 0), first, "what is registered keeps its version");
    let same = told(&shop.schemas(&["check", "--registered"]), 0);
    assert!(same.contains("compatible with the registry at http"), "{same}");

    shop.change_orders("\"note\": {", "\"colour\": { \"type\": \"string\" }, \"note\": {");
    let told_of = told(&shop.schemas(&["register", "--dry-run"]), 0);
    assert_eq!(told_of, "5 schemas may be registered\n");
    let second = told(&shop.schemas(&["register", "orders.placed.v1"]), 0);
    assert!(second.starts_with("orders.placed.v1-value: version 2, id "), "{second}");
    assert!(second.ends_with(", a minor change\n"), "{second}");

    shop.change_orders("\"maxLength\": 1000", "\"maxLength\": 900");
    for arguments in [&["check", "--registered"][..], &["register", "--dry-run"], &["register"]] {
        let refused = told(&shop.schemas(arguments), 1);
        assert!(refused.contains("orders/placed/v1.json: "), "{arguments:?}: {refused}");
        assert!(
            refused.contains("maxLength") && refused.contains("counterExample"),
            "{arguments:?}: {refused}"
        );
    }
}

#[tokio::test]
async fn files_of_avro_and_protobuf_are_registered_after_what_they_refer_to() {
    let shop = Shop::open().await;
    let write = |path: &str, text: &str| {
        let path = shop.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let money = |size: u8| format!(r#"{{"type":"fixed","name":"shop.Money","size":{size}}}"#);
    write(
        "stock/counted/v1.avsc",
        r#"{"type":"record","name":"shop.Stock","fields":[{"name":"worth","type":"Money"}]}"#,
    );
    write("stock/counted/v1.examples/valid/a.json", r#"{"worth":"AAAAAAAAAAA="}"#);
    write("stock/counted/v1.examples/invalid/a.json", r#"{"worth":"AAA="}"#);
    write("shop/money.avsc", &money(8));
    write(
        "stock/moved/v1.proto",
        "import \"shop/place.proto\"; message Moved { optional shop.Place to = 1; }",
    );
    write("shop/place.proto", "package shop; message Place { optional string name = 1; }");
    let judged = told(&shop.schemas(&["check"]), 0);
    assert!(judged.starts_with("as they should be: 7 schemas, "), "{judged}");
    let unknown = told(&shop.schemas(&["register", "--dry-run", "stock.counted.v1"]), 1);
    assert!(unknown.contains("the subject shop.Money does not have as it is here"), "{unknown}");
    let types = ["stock.counted.v1", "stock.moved.v1"];
    let first = told(&shop.schemas(&[&["register"][..], &types].concat()), 0);
    assert!(
        first.contains("stock.counted.v1-value: version 1, id ") && first.lines().count() == 2,
        "{first}"
    );
    assert_eq!(told(&shop.schemas(&[&["register"][..], &types].concat()), 0), first);
    assert_eq!(
        told(&shop.schemas(&[&["register", "--dry-run"][..], &types].concat()), 0),
        "2 schemas may be registered\n"
    );
    write("shop/money.avsc", &money(9));
    let refused = told(&shop.schemas(&["register", "stock.counted.v1"]), 1);
    assert!(
        refused.contains("shop/money.avsc as shop.Money: ") && refused.contains("FIXED_SIZE"),
        "{refused}"
    );
    write("shop/money.avsc", &money(8));
    write("stock/moved/v1.proto", "import \"shop/place.proto\"; message Moved { optional int32 to = 1; }");
    let refused = told(&shop.schemas(&["register", "--dry-run", "stock.moved.v1"]), 1);
    assert!(refused.contains("FIELD_KIND_CHANGED") && refused.contains("counterExample"), "{refused}");
}

#[tokio::test]
async fn a_registry_that_cannot_be_asked_is_told_of() {
    let shop = Shop::open().await;
    let stranger = told(&shop.schemas_as("", &["register"]), 1);
    assert!(stranger.contains("answered 401") && stranger.contains("--token"), "{stranger}");
    let elsewhere = told(&shop.schemas(&["register", "--registry-path", "/nowhere"]), 1);
    assert!(elsewhere.contains("answered 404") && elsewhere.contains("--registry-path"), "{elsewhere}");
    let unknown = told(&shop.schemas(&["register", "no.such.v1"]), 1);
    assert!(unknown.contains("has no schema of no.such.v1"), "{unknown}");
}

#[test]
#[cfg_attr(not(all(has_interop, has_node)), ignore = "needs npm and Node 20 or later")]
fn the_compiler_takes_the_types_and_refuses_what_breaks_them() {
    let types = run(weirgate().args(["schemas", "types", "--lang", "typescript"]));
    let (compiler, work) = (npm::installed("typescript", &[]), tempfile::tempdir().unwrap());
    fs::write(work.path().join("types.ts"), types).unwrap();
    fs::copy(npm::source("typescript").join("events.ts"), work.path().join("events.ts")).unwrap();
    let tsc = compiler.join("node_modules/typescript/bin/tsc");
    let strictly = ["--noEmit", "--strict", "--target", "es2022", "events.ts"];
    run(Command::new("node").arg(tsc).args(strictly).current_dir(work.path()));
}
