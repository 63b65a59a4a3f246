//! Topics in Confluent's formats: its deserializers read what was posted as JSON, and subscribers read as JSON what its
//! serializers wrote. Topics of data alone: so do the languages' own libraries.

use std::collections::BTreeMap;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::PATIENCE;
use super::clients::script;
use crate::broker;
use crate::harness::waiting::eventually_within;
use crate::harness::{Process, Socket, client};

const PYTHON: &str = "formats.py";
const JAVASCRIPT: &str = "formats.cjs";

/// A topic that nobody else has.
#[derive(Debug, Clone)]
struct Case {
    name: String,
    format: &'static str,
    wire: &'static str,
}

impl Case {
    fn new(format: &'static str, wire: &'static str) -> Self {
        Self { name: format!("orders.{}.v1", uuid::Uuid::new_v4().simple()), format, wire }
    }

    fn configuration(&self) -> String {
        let Self { name, format, wire } = self;
        format!(
            "{{name: {name}, event_types: [{name}], partitions: 12, retention: 7d, key: /data/customerId, \
             event_id: /data/eventId, envelope: headers, schema: {{format: {format}, wire: {wire}}}}}"
        )
    }

    /// An order as those see it who read this topic.
    fn shown(&self, number: u32) -> Value {
        let mut order = order(number);
        if self.format == "protobuf" {
            order["timestamp"] = order["timestamp"].to_string().into();
        }
        order
    }
}

/// The gateway, and Confluent's clients beside it.
struct Both {
    process: Process,
    brokers: String,
    cases: Vec<Case>,
}

impl Both {
    /// Starts the gateway with these topics.
    async fn start(directory: &std::path::Path, cases: Vec<Case>) -> Self {
        let brokers = spawn_blocking(broker::shared).await.unwrap().join(",");
        let topics: Vec<String> = cases.iter().map(Case::configuration).collect();
        let keys = [
            "log.engine=kafka".to_owned(),
            "socket.ping=10m".to_owned(),
            "schemas.store=embedded".to_owned(),
            "groups={}".to_owned(),
            format!("log.kafka.brokers=[{brokers}]"),
            format!("topics=[{}]", topics.join(", ")),
        ];
        let process = Process::start_with(directory, "127.0.0.1:0", &keys).await;
        let http = client();
        let is_ready = async || {
            let answer = http.get(process.url("/readyz")).send().await.unwrap();
            (answer.status() == 200).then_some(())
        };
        eventually_within(PATIENCE, "the gateway is ready", is_ready).await;
        Self { process, brokers, cases }
    }

    /// Runs a part of a client's script on topics, with an order of this number where it writes; answers what it read of
    /// each.
    async fn run(
        &self,
        client: &str,
        what: &str,
        cases: &[&Case],
        number: u32,
    ) -> BTreeMap<String, (Value, Value)> {
        let mut command = script(client).await;
        command.args([what, &self.brokers, &self.process.url("/registry"), &self.process.token]);
        command.kill_on_drop(true).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let line = |case: &&Case| json!({"name": case.name, "format": case.format, "wire": case.wire, "data": order(number)});
        let lines: String = cases.iter().map(|case| format!("{}\n", line(case))).collect();
        let mut input = child.stdin.take().unwrap();
        input.write_all(lines.as_bytes()).await.unwrap();
        drop(input);
        let output = timeout(PATIENCE, child.wait_with_output()).await.expect("the script ends").unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{client} {what} {cases:?}: {told}");
        let text = String::from_utf8(output.stdout).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let read = |line: Value| {
            (line["name"].as_str().unwrap().to_owned(), (line["key"].clone(), line["value"].clone()))
        };
        lines.map(read).collect()
    }

    /// Posts an order to every topic, which answers so.
    async fn post(&self, number: u32, status: u16, member: &str, expected: &str) {
        for case in &self.cases {
            let request = client().post(self.process.url(&format!("/v1/topics/{}/events", case.name)));
            let request = request.bearer_auth(&self.process.token).header("content-type", "application/json");
            let answer = request.body(order(number).to_string()).send().await.unwrap();
            let answered = answer.status().as_u16();
            let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
            assert_eq!((answered, &body[member]), (status, &json!(expected)), "{case:?}: {body}");
        }
    }

    /// Follows all topics from their beginning.
    async fn follow(&self) -> Socket {
        let mut socket = self.process.socket().await;
        let names: Vec<&String> = self.cases.iter().map(|case| &case.name).collect();
        let subscribe = json!({"id": 1, "op": "subscribe", "topics": names, "from": "earliest"});
        socket.ask(1, &subscribe.to_string()).await;
        socket
    }
}

/// The next event of each of these topics.
async fn next_of_each(socket: &mut Socket, cases: &[&Case]) -> BTreeMap<String, Value> {
    let mut events = BTreeMap::new();
    while events.len() < cases.len() {
        let event = socket.next_event().await;
        let name = event["topic"].as_str().unwrap().to_owned();
        assert!(events.insert(name, event).is_none(), "one of each is on its way");
    }
    events
}

fn order(number: u32) -> Value {
    json!({
        "eventId": format!("evt-{number}"),
        "orderId": format!("ord_{number}"),
        "customerId": "c-42",
        "amount": 59.8,
        "timestamp": 1_764_000_000_000_u64 + u64::from(number),
    })
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(all(has_kafka, has_interop)), ignore = "needs Java 17 and Maven, npm, and Python with venv")]
async fn other_clients_and_the_gateway_read_what_the_other_wrote() {
    let formats = ["json", "avro", "protobuf"];
    let framed = formats.iter().flat_map(|format| ["prefix", "header"].map(|wire| Case::new(format, wire)));
    let alone = ["avro", "protobuf"].map(|format| Case::new(format, "none"));
    let directory = tempfile::tempdir().unwrap();
    let both = Both::start(directory.path(), framed.chain(alone).collect()).await;
    let all: Vec<&Case> = both.cases.iter().collect();
    let framed: Vec<&Case> = both.cases.iter().filter(|case| case.wire != "none").collect();
    both.post(1, 422, "code", "schema_missing").await;
    both.run(PYTHON, "register", &all, 0).await;
    both.post(1, 201, "eventId", "evt-1").await;
    let (python, javascript) =
        tokio::join!(both.run(PYTHON, "read", &all, 0), both.run(JAVASCRIPT, "read", &framed, 0));
    for (read, cases) in [(python, &all), (javascript, &framed)] {
        for case in cases {
            let expected = Some((json!("c-42"), case.shown(1)));
            assert_eq!(read.get(&case.name).cloned(), expected, "{case:?}");
        }
    }

    let mut socket = both.follow().await;
    let posted = next_of_each(&mut socket, &all).await;
    for case in &all {
        let event = &posted[&case.name];
        assert_eq!((&event["data"], &event["meta"]["eventId"]), (&case.shown(1), &json!("evt-1")), "{event}");
    }
    for (number, client, cases) in [(2, PYTHON, &all), (3, JAVASCRIPT, &framed)] {
        both.run(client, "write", cases, number).await;
        let written = next_of_each(&mut socket, cases).await;
        for case in cases {
            let event = &written[&case.name];
            assert_eq!((&event["data"], &event["key"]), (&case.shown(number), &json!("c-42")), "{case:?}");
        }
    }
    socket.close().await;
    assert_eq!(both.process.terminate().await, Some(0));
}
