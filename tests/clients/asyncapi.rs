//! The documents that gateways make of what they have: read by AsyncAPI's own parser, and held to the one that is committed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use crate::gateway::Gateway;
use crate::npm::{self, run};

/// The document of a gateway.
async fn document(gateway: &Gateway, form_and_view: &str) -> String {
    gateway.ready().await;
    let url = format!("{}/asyncapi.{form_and_view}", gateway.url);
    // As somebody at the usual address is told it.
    let request =
        reqwest::Client::new().get(url).header("host", "127.0.0.1:8080").bearer_auth(&gateway.token);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.text().await.unwrap()
}

/// Where the parser lies; fetched once for all tests.
static PARSER: LazyLock<PathBuf> = LazyLock::new(|| npm::installed("asyncapi", &["check.mjs"]));

/// How many channels the parser finds in a document, which it must find nothing wrong with.
fn parsed(document: &str) -> usize {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), document).unwrap();
    let text = run(Command::new("node").arg("check.mjs").arg(file.path()).current_dir(&*PARSER));
    let (channels, _) = text.split_once(" channels").unwrap();
    channels.parse().unwrap()
}

#[tokio::test]
async fn the_document_of_the_samples_is_the_one_that_is_committed() {
    let fresh = document(&Gateway::start(), "yaml").await;
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("asyncapi/samples.yaml");
    if fs::read_to_string(&committed).ok().as_deref() != Some(&fresh) {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("samples.yaml");
        fs::write(&path, fresh).unwrap();
        panic!("asyncapi/samples.yaml is not what a gateway tells; copy {} to asyncapi/", path.display());
    }
}

#[tokio::test]
#[cfg_attr(not(all(has_interop, has_node)), ignore = "needs npm, and Node 20 or later")]
async fn asyncapis_own_parser_takes_both_views() {
    let gateway = Gateway::start();
    for form_and_view in ["json", "yaml?view=client"] {
        assert!(parsed(&document(&gateway, form_and_view).await) > 4, "{form_and_view}");
    }
}

#[tokio::test]
#[cfg_attr(not(all(has_interop, has_node)), ignore = "needs npm, and Node 20 or later")]
async fn asyncapis_own_parser_takes_documents_of_no_one_and_a_thousand_types() {
    for count in [0, 1, 1_000] {
        let folder = tempfile::tempdir().unwrap();
        let types: Vec<String> = (0..count).map(|number| described(folder.path(), number)).collect();
        let topics = format!("topics=[{{name: things.v1, event_types: [{}]}}]", types.join(", "));
        let topics = if count == 0 { "topics=[]" } else { &topics };
        let schemas = format!("schemas.directory={}", folder.path().display());
        let gateway = Gateway::start_with(&[topics, &schemas]);
        let document = document(&gateway, "json").await;
        assert_eq!(document.matches("\"name\": \"things.").count() / 2, count);
        parsed(&document);
    }
}

/// An event type with a schema in a folder.
fn described(folder: &Path, number: usize) -> String {
    let name = format!("made{number}");
    let folder = folder.join("things").join(&name);
    fs::create_dir_all(&folder).unwrap();
    let schema = format!(
        r#"{{"type":"object","required":["id"],"properties":{{"id":{{"type":"string"}},"count":{{"minimum":{number}}}}}}}"#
    );
    fs::write(folder.join("v1.json"), schema).unwrap();
    format!("things.{name}.v1")
}
