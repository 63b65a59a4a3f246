//! The commands as a person calls them: what they print, and their exit codes.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use tokio::time::timeout;

/// No command takes longer, on a machine that does other things, too.
const DEADLINE: Duration = Duration::from_secs(60);

fn weirgate(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weirgate"));
    command
        .args(arguments)
        .env_remove("WEIRGATE_CONFIG")
        .env_remove("WEIRGATE_TOKEN")
        .env_remove("WEIRGATE_API_KEY")
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    run(command)
}

/// Runs a command to its end; one that has none is killed.
#[track_caller]
fn run(command: Command) -> Output {
    let mut command = tokio::process::Command::from(command);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ended = runtime.block_on(async {
        timeout(DEADLINE, command.stdin(Stdio::null()).kill_on_drop(true).output()).await
    });
    ended.unwrap_or_else(|_| panic!("{command:?} does not end")).unwrap()
}

#[track_caller]
fn expect(output: &Output, code: i32) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}\n{err}");
    assert!(!err.contains("panicked") && !err.contains("backtrace"), "{err}");
    (out, err)
}

fn write(directory: &Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn help_is_a_success_and_a_wrong_call_is_2() {
    let (out, _) = expect(&weirgate(&["--help"]), 0);
    for command in
        ["dev", "serve", "check-config", "schemas", "publish", "tail", "dlq", "groups", "token", "key"]
    {
        assert!(out.contains(command), "{command} in\n{out}");
        expect(&weirgate(&[command, "--help"]), 0);
    }
    expect(&weirgate(&["fly"]), 2);
    expect(&weirgate(&["serve", "--no-such-flag"]), 2);
}

#[test]
fn check_config_prints_what_holds_or_every_mistake() {
    let directory = tempfile::tempdir().unwrap();
    let good = write(directory.path(), "good.yaml", "http: {listen: '127.0.0.1:9999'}\n");
    let (out, _) = expect(&weirgate(&["check-config", "--config", &good]), 0);
    assert!(out.contains("listen: 127.0.0.1:9999") && out.contains("max_retries: 3"), "{out}");

    let bad = write(directory.path(), "bad.yaml", "htp: {}\nfeed: {catch_up_readers_max: many}\n");
    let (_, err) = expect(&weirgate(&["check-config", "--config", &bad]), 1);
    assert!(err.contains("line 1: htp: unknown key; did you mean 'http'?"), "{err}");
    assert!(err.contains("line 2: feed.catch_up_readers_max: must be a whole number"), "{err}");

    let two = write(directory.path(), "two.yaml", "http: {listen: here}\npublish: {dedupe_windo: 1h}\n");
    let (_, err) = expect(&weirgate(&["check-config", "--config", &two]), 1);
    assert!(err.contains("http.listen: must be an address"), "{err}");
    assert!(err.contains("publish.dedupe_windo: unknown key"), "one mistake hides no other: {err}");
    assert!(!err.contains("publish: unknown key"), "{err}");
}

#[test]
fn check_config_tries_what_the_configuration_names() {
    let directory = tempfile::tempdir().unwrap();
    let pair = rcgen::generate_simple_self_signed(["gateway.test".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["gateway.test".to_owned()]).unwrap();
    let certificate = write(directory.path(), "certificate.pem", &pair.cert.pem());
    let key = write(directory.path(), "key.pem", &other.signing_key.serialize_pem());
    let empty = write(directory.path(), "ca.pem", "");
    let data = directory.path().join("data");
    let file = |topics: &str, schemas: &str| {
        let tls = format!("{{certificate: {certificate}, key: {key}, client_ca: {empty}}}");
        let text = format!(
            "http:\n  tls: {tls}\ntopics: [{{name: orders.v1}}]\ngroups: {{a: {{topics: [{topics}]}}}}\nschemas: {{directory: {schemas}}}\nlog: {{embedded: {{path: {}}}}}\n",
            data.display()
        );
        write(directory.path(), "weirgate.yaml", &text)
    };
    let (_, err) = expect(&weirgate(&["check-config", "--config", &file("order.v1", "/nowhere")]), 1);
    for told in [
        "4 mistakes",
        &format!("line 2: http.tls.client_ca: {empty} holds no certificate"),
        &format!("line 2: http.tls.key: {key} does not belong to the certificate"),
        "line 4: groups.a.topics[0]: nobody has a topic 'order.v1': it is not among topics; did you mean 'orders.v1'?",
        "line 5: schemas.directory: /nowhere: there is no such folder",
    ] {
        assert!(err.contains(told), "{told}\n{err}");
    }
    write(directory.path(), "key.pem", &pair.signing_key.serialize_pem());
    write(directory.path(), "ca.pem", &pair.cert.pem());
    expect(&weirgate(&["check-config", "--config", &file("orders.v1", "schemas")]), 0);
    // A log that is there may hold the topic, though its entry has gone: the gateway starts with it.
    std::fs::create_dir(&data).unwrap();
    expect(&weirgate(&["check-config", "--config", &file("payments.v1", "schemas")]), 0);
}

#[test]
fn check_config_reads_the_files_of_kafka_once_and_only_where_they_are_used() {
    let directory = tempfile::tempdir().unwrap();
    let file = |protocol: &str| {
        let security = format!("{{protocol: {protocol}, tls: {{ca: /nowhere/ca.pem}}}}");
        let text = format!("log: {{engine: kafka, kafka: {{brokers: ['a:9093'], security: {security}}}}}\n");
        write(directory.path(), "weirgate.yaml", &text)
    };
    let (_, err) = expect(&weirgate(&["check-config", "--config", &file("ssl")]), 1);
    assert!(err.contains("1 mistake:") && err.contains("security.tls.ca"), "{err}");
    expect(&weirgate(&["check-config", "--config", &file("plaintext")]), 0);
}

#[test]
fn a_token_and_a_key_of_the_environment_together_are_a_wrong_call() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weirgate"));
    let tail = ["tail", "orders.v1", "--url", "http://127.0.0.1:1"];
    command.args(tail).env("WEIRGATE_TOKEN", "t").env("WEIRGATE_API_KEY", "k");
    let (_, err) = expect(&run(command), 2);
    assert!(err.contains("WEIRGATE_TOKEN and WEIRGATE_API_KEY are both set"), "{err}");
}

#[test]
fn a_key_that_is_typed_beats_a_token_of_the_environment() {
    let publish = ["publish", "--api-key", "wg_k1_x", "--url", "http://127.0.0.1:1", "no-such-file"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_weirgate"));
    command.args(publish).env("WEIRGATE_TOKEN", "t");
    let (_, err) = expect(&run(command), 1);
    assert!(err.contains("no-such-file"), "not a wrong call, but a file that is missing: {err}");
}

#[test]
fn what_check_config_prints_is_a_configuration_again() {
    let directory = tempfile::tempdir().unwrap();
    let (out, _) = expect(&weirgate(&["check-config", "--dev"]), 0);
    let again = write(directory.path(), "again.yaml", &out);
    let (second, _) = expect(&weirgate(&["check-config", "--dev", "--config", &again]), 0);
    assert_eq!(out, second);
}

#[test]
fn dev_refuses_an_address_that_others_can_reach() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let output = weirgate(&["dev", "--listen", "0.0.0.0:0", "--data-dir", data.to_str().unwrap()]);
    let (_, err) = expect(&output, 1);
    assert!(err.contains("loopback"), "{err}");
    assert!(!data.exists(), "nothing was made");
}

#[test]
fn dev_refuses_a_folder_of_schemas_that_is_not_there_and_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let output =
        weirgate(&["dev", "--set", "schemas.directory=absent", "--data-dir", data.to_str().unwrap()]);
    let (_, err) = expect(&output, 1);
    assert!(err.contains("absent: there is no such folder"), "{err}");
    assert!(!data.exists(), "nothing was made");
}

#[test]
fn dev_runs_anywhere_and_says_that_its_schemas_are_built_in() {
    let directory = tempfile::tempdir().unwrap();
    let mut gateway = Command::new(env!("CARGO_BIN_EXE_weirgate"))
        .args(["dev", "--listen", "127.0.0.1:0", "--set", "http.metrics_listen=null"])
        .env_remove("WEIRGATE_CONFIG")
        .current_dir(directory.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(gateway.stdout.take().unwrap()).lines().map(Result::unwrap);
    let (tell, told) = channel();
    // Whoever reads comes to an end when the gateway does.
    std::thread::spawn(move || tell.send(lines.find(|line| line.contains("Schemas:"))));
    let told = told.recv_timeout(DEADLINE);
    gateway.kill().unwrap();
    gateway.wait().unwrap();
    let told = told.expect("it says something in time").expect("it starts");
    assert!(told.contains("the samples, built in (there is no folder ./schemas here)"), "{told}");
}

#[test]
fn a_token_needs_the_key_of_a_development_gateway_and_makes_none() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let (out, err) = expect(&weirgate(&["token", "--data-dir", data.to_str().unwrap()]), 1);
    assert!(out.is_empty() && err.contains("there is no development key in"), "{out}{err}");
    assert!(!data.exists(), "nothing was made");
}

#[test]
fn the_sample_schemas_and_their_examples_are_right() {
    expect(&weirgate(&["schemas", "check"]), 0);
}

#[test]
fn a_wrong_example_is_named_and_fails() {
    let directory = tempfile::tempdir().unwrap();
    let examples = directory.path().join("a/b/v1.examples/valid");
    std::fs::create_dir_all(&examples).unwrap();
    write(&directory.path().join("a/b"), "v1.json", r#"{"type":"object"}"#);
    write(&examples, "wrong.json", "[]");
    let output = weirgate(&["schemas", "check", "--directory", directory.path().to_str().unwrap()]);
    let (out, err) = expect(&output, 1);
    assert!(format!("{out}{err}").contains("wrong.json"), "{out}{err}");
}

#[test]
fn two_schemas_are_compared_and_a_break_is_shown_with_an_event_and_the_way_out() {
    let directory = tempfile::tempdir().unwrap();
    let old =
        write(directory.path(), "old.json", r#"{"properties":{"amount":{"type":"integer","minimum":0}}}"#);
    let wider = write(
        directory.path(),
        "wider.json",
        r#"{"properties":{"amount":{"type":"integer"},"b":{"type":"string"}}}"#,
    );
    let needy =
        write(directory.path(), "needy.json", r#"{"properties":{"amount":{"type":"integer","minimum":5}}}"#);
    let (out, _) = expect(&weirgate(&["schemas", "diff", &old, &wider]), 0);
    assert_eq!(out, "compatible (BACKWARD, LENIENT); a minor change\n");
    let (out, _) = expect(&weirgate(&["schemas", "diff", &old, &needy]), 1);
    assert_eq!(
        out,
        format!(
            "{needy}: a major change\n\
             \x20 incompatible: readers of the new schema and data of the old one (BACKWARD, LENIENT)\n\
             \x20 - /amount: the new schema wants at least 5, the old one 0 [minimum_raised]\n\
             \x20   at #/properties/amount/minimum; keep what the old schema allows; else it is a new version of the type (v2)\n\
             \x20 the old schema allows this, the new one refuses it: {{\"amount\":0}}\n"
        )
    );
    let (out, _) =
        expect(&weirgate(&["schemas", "diff", &old, &wider, "--level", "FULL", "--policy", "STRICT"]), 1);
    assert!(
        out.contains("[property_added_to_open_content]") && out.contains("use the policy LENIENT"),
        "{out}"
    );
    let (_, err) = expect(&weirgate(&["schemas", "diff", &old, &wider, "--level", "SOME"]), 2);
    assert!(err.contains("SOME is none of NONE, BACKWARD"), "{err}");
    let (out, _) = expect(&weirgate(&["schemas", "diff", &old, "/nowhere.json"]), 1);
    assert!(out.starts_with("/nowhere.json: cannot be read"), "{out}");
}

#[test]
fn a_new_key_is_shown_once_with_the_lines_for_the_configuration() {
    let (out, _) = expect(&weirgate(&["key", "new", "--id", "k1", "--principal", "service:orders"]), 0);
    assert!(out.contains("wg_k1_") && out.contains("sha256:"), "{out}");
}

#[test]
fn publishing_to_nobody_fails_with_a_sentence() {
    let directory = tempfile::tempdir().unwrap();
    let events = write(directory.path(), "events.ndjson", "{}\n");
    let output = weirgate(&["publish", &events, "--url", "http://127.0.0.1:1", "--token", "t"]);
    let (_, err) = expect(&output, 1);
    assert!(err.contains("cannot reach http://127.0.0.1:1; does the gateway run there?"), "{err}");
    assert!(!err.contains("trying again"), "{err}");
}

#[test]
fn publishing_to_who_cannot_be_trusted_fails_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let events = write(directory.path(), "events.ndjson", "{}\n");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let (answered, is_answered) = channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        answered.send(()).unwrap();
    });
    let (_, err) = expect(&weirgate(&["publish", &events, "--url", &url, "--token", "t"]), 1);
    is_answered.recv_timeout(DEADLINE).expect("it was asked");
    assert!(err.contains("cannot be trusted; --ca names who signs its certificate"), "{err}");
    assert!(!err.contains("trying again"), "{err}");
}

#[test]
fn publishing_tells_why_it_tries_again() {
    let directory = tempfile::tempdir().unwrap();
    let events = write(directory.path(), "events.ndjson", "{}\n");
    let url = answering([
        "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 45\r\nconnection: close\r\n\r\n{\"code\":\"overloaded\",\"detail\":\"a full queue\"}",
        "HTTP/1.1 200 OK\r\ncontent-length: 44\r\nconnection: close\r\n\r\n{\"items\":[{\"index\":0,\"status\":\"accepted\"}]} ",
    ]);
    let (out, err) = expect(&weirgate(&["publish", &events, "--url", &url, "--token", "t"]), 0);
    assert!(
        err.contains("the gateway answered 503 overloaded: a full queue; trying again in 0.2 s"),
        "{err}"
    );
    assert!(out.starts_with("1 stored"), "{out}");
}

#[test]
fn an_atomic_batch_is_stored_with_one_request_and_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let events = write(directory.path(), "events.ndjson", "{}\n[{},{}]\n");
    let item = |index: u8, status: &str| format!(r#"{{"index":{index},"status":"{status}"}}"#);
    let items = [item(0, "accepted"), item(1, "duplicate"), item(2, "accepted")].join(",");
    let (url, asked) = asked([ok(&format!(r#"{{"items":[{items}]}}"#))]);
    let (out, err) = expect(&weirgate(&["publish", &events, "--atomic", "--url", &url, "--token", "t"]), 0);
    assert_eq!((out.as_str(), err.as_str()), ("2 stored, 1 known before, 0 refused\n", ""));
    assert_eq!(asked.recv_timeout(DEADLINE).unwrap(), "POST /v1/events?atomic=true HTTP/1.1\r\n");
}

#[test]
fn an_atomic_batch_that_is_refused_fails_and_tells_the_lines_to_blame() {
    let directory = tempfile::tempdir().unwrap();
    let events = write(directory.path(), "events.ndjson", "{}\n\n{}\n");
    let body = concat!(
        r#"{"code":"batch_refused","detail":"1 of 2 items are wrong","items":[{"index":0,"status":"aborted"},"#,
        r#"{"index":1,"status":"failed","problem":{"detail":"no eventType"}}]}"#
    );
    let url = answering([said("422 Unprocessable Content", body)]);
    let (out, err) = expect(&weirgate(&["publish", &events, "--atomic", "--url", &url, "--token", "t"]), 1);
    assert_eq!(out, "");
    assert_eq!(
        err,
        "line 3: failed: no eventType\nweirgate: nothing is stored\n  because the gateway answered 422 batch_refused: 1 of 2 items are wrong\n"
    );
}

#[test]
fn an_atomic_batch_of_unknown_fate_is_sent_again_with_the_same_ids() {
    let directory = tempfile::tempdir().unwrap();
    let events = write(directory.path(), "events.ndjson", "{}\n");
    let unknown = said("504 Gateway Timeout", r#"{"code":"outcome_unknown","detail":"no"}"#);
    let refusal = said("403 Forbidden", r#"{"code":"forbidden","detail":"no"}"#);
    let call = |answers| {
        let url = answering(answers);
        expect(&weirgate(&["publish", &events, "--atomic", "--url", &url, "--token", "t"]), 1).1
    };
    let err = call([unknown, refusal]);
    assert!(err.contains("504 outcome_unknown: no; trying again in 0.2 s"), "{err}");
    assert!(err.contains("weirgate: all of it is stored or nothing, and which is not known"), "{err}");
    assert!(call([refusal, refusal]).starts_with("weirgate: nothing is stored\n  because"));
}

#[test]
fn what_cannot_be_stored_whole_is_not_sent() {
    let directory = tempfile::tempdir().unwrap();
    let call = |text: &str| {
        let events = write(directory.path(), "events.ndjson", text);
        expect(&weirgate(&["publish", &events, "--atomic", "--url", "http://127.0.0.1:1", "--token", "t"]), 1)
    };
    let (out, err) = call("{}\nnonsense\n");
    assert!(out.is_empty() && err.contains("line 2: not JSON"), "{out}{err}");
    assert!(err.contains("weirgate: nothing is stored: not all lines are events"), "{err}");
    let (_, err) = call(&"{}\n".repeat(1_001));
    assert!(err.contains("nothing is stored: --atomic takes 1000 events at most"), "{err}");
    let (_, err) = call(&"{}\n".repeat(1_000));
    assert!(err.contains("weirgate: nothing is stored\n  because cannot reach"), "{err}");
    expect(&weirgate(&["publish", "--atomic", "--batch", "10"]), 2);
}

#[test]
fn who_shows_no_credential_is_told_how_to_get_one() {
    let directory = tempfile::tempdir().unwrap();
    let events = write(directory.path(), "events.ndjson", "{}\n");
    let refusal = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 40\r\nconnection: close\r\n\r\n{\"code\":\"unauthenticated\",\"detail\":\"no\"}";
    let nowhere = directory.path().to_str().unwrap();
    for command in [["publish", &events], ["tail", "orders.v1"]] {
        let url = answering([refusal]);
        let output = weirgate(&[command[0], command[1], "--url", &url, "--data-dir", nowhere]);
        let (_, err) = expect(&output, 1);
        assert!(err.contains("give --token or --api-key"), "{command:?}: {err}");
    }
}

#[test]
fn dead_letters_are_listed_page_by_page_and_nothing_in_them_steers_the_terminal() {
    let pages = || {
        answering([
            ok(r#"{"deadLetters":[],"cursor":"a"}"#),
            ok(concat!(
                r#"{"deadLetters":[{"id":"abc-0-1","topic":"orders.v1","partition":1,"offset":7,"key":"42","reason":"rejected","#,
                r#""attempts":2,"lastFailedAt":"2026-11-21T10:00:00.000Z","state":"open","error":"a\u001b[2J\nb"}],"cursor":"b"}"#
            )),
        ])
    };
    let list = |more: &[&str]| {
        let url = pages();
        let call = ["dlq", "list", "inventory-sync", "--limit", "1", "--token", "t", "--url", &url];
        expect(&weirgate(&[&call, more].concat()), 0)
    };
    let (out, err) = list(&[]);
    let expected = "ID       FROM           KEY  REASON    ATTEMPTS  LAST FAILED               STATE  ERROR\n\
                    abc-0-1  orders.v1/1@7   42  rejected         2  2026-11-21T10:00:00.000Z  open   a\\u001b[2J\\nb\n";
    assert_eq!(out, expected);
    assert!(err.contains("there are more"), "{err}");
    let (out, _) = list(&["--json"]);
    let letter: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((out.lines().count(), letter["id"].as_str()), (1, Some("abc-0-1")));
}

#[test]
fn letters_are_discarded_one_by_one_and_a_refusal_fails() {
    let standing = r#"{"id":"abc-0-1","state":"discarded","settledBy":"anna","settledAt":"2026-11-21T10:00:00.000Z","notes":[]}"#;
    let refusal = "HTTP/1.1 404 Not Found\r\ncontent-length: 63\r\nconnection: close\r\n\r\n{\"code\":\"dead_letter_not_found\",\"detail\":\"there is none\\u001b\"}";
    let url = answering([refusal, ok(standing), ok(standing)]);
    let call = [
        "dlq",
        "discard",
        "inventory-sync",
        "gone",
        "abc-0-1",
        "--note",
        "why",
        "--token",
        "t",
        "--url",
        &url,
    ];
    let (out, err) = expect(&weirgate(&call), 1);
    assert_eq!(out, "abc-0-1: discarded by anna at 2026-11-21T10:00:00.000Z\n");
    assert!(
        err.contains("gone: the gateway answered 404 dead_letter_not_found: there is none\\u001b"),
        "{err}"
    );
}

#[test]
fn a_redrive_is_seen_through_and_its_end_told() {
    let at = |state: &str, moved: u32, reason: &str| {
        let told = format!(
            r#"{{"id":"inventory-sync.7","state":"{state}",{reason}"moved":{moved},"failed":0,"skipped":1,"examined":{moved},"letters":9,"ratePerSecond":null,"createdAt":"2026-11-21T10:00:00.000Z","by":"anna"}}"#
        );
        ok(&told)
    };
    let redrive = |answers: [&'static str; 2], more: &[&str]| {
        let url = answering(answers);
        let call =
            ["dlq", "redrive", "inventory-sync", "--reason", "rejected", "--token", "t", "--url", &url];
        weirgate(&[&call, more].concat())
    };
    let (out, err) = expect(&redrive([at("running", 0, ""), at("done", 9, "")], &[]), 0);
    assert_eq!(out, "inventory-sync.7: done; 9 moved, 0 failed, 1 skipped, looked at 9/9\n");
    assert!(err.contains("inventory-sync.7: running; 0 moved"), "{err}");
    let failed = at("failed", 2, r#""reason":"topic\u001b[2J was deleted","#);
    let (out, _) = expect(&redrive([at("running", 0, ""), failed], &[]), 1);
    assert!(out.starts_with("inventory-sync.7: failed: topic\\u001b[2J was deleted; 2 moved"), "{out}");
    let (out, _) = expect(&redrive([at("running", 0, ""), ""], &["--no-wait", "--json"]), 0);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&out).unwrap()["state"], "running");
    let url = answering([ok(r#"{"redrives":[]}"#), ok(r#"{"redrives":[]}"#)]);
    let (out, _) = expect(&weirgate(&["dlq", "jobs", "inventory-sync", "--token", "t", "--url", &url]), 0);
    assert!(out.starts_with("ID  STATE"), "{out}");
    let (_, err) = expect(&weirgate(&["dlq", "redrive", "inventory-sync", "--token", "t", "--url", &url]), 1);
    assert!(err.contains("--all takes all that are open"), "{err}");
}

#[test]
fn a_replay_is_seen_through_and_its_end_told() {
    let at = |state: &str, delivered: u32, reason: &str| {
        let told = format!(
            r#"{{"id":"inventory-sync.7","state":"{state}",{reason}"delivered":{delivered},"failed":0,"skipped":1,"examined":{delivered},"events":9,"ratePerSecond":null,"createdAt":"2026-11-21T10:00:00.000Z","by":"anna"}}"#
        );
        ok(&told)
    };
    let replay = |answers: [&'static str; 2], more: &[&str]| {
        let url = answering(answers);
        let call =
            ["groups", "replay", "inventory-sync", "--from", "earliest", "--token", "t", "--url", &url];
        weirgate(&[&call, more].concat())
    };
    let (out, err) = expect(&replay([at("waiting", 0, ""), at("done", 9, "")], &[]), 0);
    assert_eq!(out, "inventory-sync.7: done; 9 delivered, 0 failed, 1 skipped, looked at 9/9\n");
    assert!(err.contains("inventory-sync.7: waiting; 0 delivered"), "{err}");
    let failed = at("failed", 2, r#""reason":"topic\u001b[2J was deleted","#);
    let (out, _) = expect(&replay([at("running", 0, ""), failed], &[]), 1);
    assert!(out.starts_with("inventory-sync.7: failed: topic\\u001b[2J was deleted; 2 delivered"), "{out}");
    let (out, _) = expect(&replay([at("running", 0, ""), ""], &["--no-wait", "--json"]), 0);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&out).unwrap()["state"], "running");
    let url = answering([ok(r#"{"replays":[]}"#)]);
    let list = weirgate(&["groups", "replays", "inventory-sync", "--token", "t", "--url", &url]);
    assert!(expect(&list, 0).0.starts_with("ID  STATE"));
    for wrong in [["--from", "yesterday"], ["--filter", "{"]] {
        let call = ["groups", "replay", "inventory-sync", "--from", "earliest"];
        expect(&weirgate(&[&call, &wrong[..]].concat()), 2);
    }
}

#[test]
fn a_plan_of_a_redrive_says_whether_it_knows_all() {
    let plan = |is_exact: bool| {
        let told = format!(
            r#"{{"group":"g","letters":9,"examined":5,"matched":4,"isExact":{is_exact},"sample":[{{"id":"abc-0-1","state":"open"}}]}}"#
        );
        let url = answering([ok(&told)]);
        let call = ["dlq", "redrive", "g", "--all", "--dry-run", "--token", "t", "--url", &url];
        expect(&weirgate(&call), 0).0
    };
    assert!(plan(true).starts_with("4 would be sent back, looked at 5/9\n\nID"), "{}", plan(true));
    assert!(plan(false).starts_with("at least 4 would be sent back"), "{}", plan(false));
}

#[test]
fn wrong_calls_of_dlq_and_groups_are_2() {
    for call in [
        &["dlq"][..],
        &["groups"],
        &["dlq", "list", "a b"],
        &["dlq", "list", "--key", "42"],
        &["dlq", "list", "g", "--limit", "0"],
        &["dlq", "list", "g", "--from", "yesterday"],
        &["dlq", "show", "g"],
        &["dlq", "discard", "g"],
        &["dlq", "redrive"],
        &["dlq", "redrive", "g", "an-id", "--reason", "rejected"],
        &["dlq", "redrive", "g", "an-id", "--all"],
        &["dlq", "redrive", "g", "--all", "--rate", "0"],
        &["dlq", "redrive", "g", "--all", "--state", "discarded"],
        &["dlq", "redrive", "g", "--all", "--wait", "--no-wait"],
        &["dlq", "jobs"],
        &["dlq", "cancel"],
        &["groups", "show"],
        &["groups", "reset", "g"],
        &["groups", "reset", "g", "--to", "yesterday"],
        &["groups", "delete"],
    ] {
        expect(&weirgate(call), 2);
    }
}

#[test]
fn a_reset_is_planned_or_done_and_never_asked_for_where_nobody_is() {
    const MOVE: &str = r#"{"topic":"orders.v1","partition":0,"from":4,"to":0,"skipped":0,"again":4}"#;
    let told = |state: &str| format!(r#"{{"group":"g","state":"{state}","partitions":[{MOVE}]}}"#);
    let url = answering([ok(&told("planned")), ok(&told("done"))]);
    let call = ["groups", "reset", "g", "--to", "earliest", "--url", &url, "--token", "t"];
    let (_, err) = expect(&weirgate(&call), 1);
    assert!(err.contains("--yes resets"), "{err}");
    let (out, _) = expect(&weirgate(&[&call[..], &["--dry-run"]].concat()), 0);
    assert!(
        out.contains("1 partition would be moved: at most 0 events skipped, 4 events read again"),
        "{out}"
    );
    let (out, _) = expect(&weirgate(&[&call[..], &["--yes", "--json"]].concat()), 0);
    assert!(out.contains(r#""state":"done""#) && out.ends_with("}\n") && out.lines().count() == 1, "{out}");
}

#[test]
fn a_group_is_deleted_by_who_says_yes() {
    let url = answering(["HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"]);
    let call = ["groups", "delete", "g", "--url", &url, "--token", "t"];
    let (_, err) = expect(&weirgate(&call), 1);
    assert!(err.contains("--yes deletes"), "{err}");
    let (out, _) = expect(&weirgate(&[&call[..], &["--yes"]].concat()), 0);
    assert_eq!(out, "group g was deleted\n");
}

#[test]
fn who_asks_nobody_is_told_so() {
    for call in [&["dlq", "list"][..], &["groups", "list"], &["dlq", "show", "g", "i"]] {
        let (_, err) =
            expect(&weirgate(&[call, &["--url", "http://127.0.0.1:1", "--token", "t"]].concat()), 1);
        assert!(err.contains("cannot reach http://127.0.0.1:1; does the gateway run there?"), "{err}");
    }
}

/// A good answer with this body.
fn ok(body: &str) -> &'static str {
    said("200 OK", body)
}

/// An answer of this status.
fn said(status: &str, body: &str) -> &'static str {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len()).leak()
}

/// The address of somebody who gives these answers, one for each connection.
fn answering<const N: usize>(answers: [&'static str; N]) -> String {
    asked(answers).0
}

/// The same, and the first line of what each was asked.
fn asked<const N: usize>(answers: [&'static str; N]) -> (String, Receiver<String>) {
    let (tell, told) = channel();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            // What it was asked has come when the head has.
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            // Most do not ask what was asked.
            drop(tell.send(line.clone()));
            let mut bytes = 0;
            while line != "\r\n" {
                line.clear();
                reader.read_line(&mut line).unwrap();
                let length =
                    line.to_lowercase().strip_prefix("content-length:").map(|text| text.trim().to_owned());
                bytes = length.map_or(bytes, |text| text.parse().unwrap());
            }
            reader.read_exact(&mut vec![0; bytes]).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    (url, told)
}
