//! Other clients of Kafka as programs that say in lines what they read.

use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::PATIENCE;
use crate::broker;
use crate::clients::native;

/// A client of Kafka that is not ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Client {
    KafkaJs,
    KafkaPython,
    /// The console tools; their members speak the newer protocol of groups.
    Java,
}

/// A record as a client has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Native {
    pub(super) partition: u64,
    pub(super) offset: u64,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: Vec<(String, Option<Vec<u8>>)>,
}

/// A running consumer.
#[derive(Debug)]
pub(super) struct Consumer {
    client: Client,
    child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Client {
    /// Writes records. Java's tool takes keys and values that are text without line breaks, and no headers.
    pub(super) async fn produce(self, topic: &str, records: &[Native]) {
        let mut command = self.command("produce", topic).await;
        let mut child = command.stdin(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let mut lines = Vec::new();
        for record in records {
            lines.extend(self.line(record));
            lines.push(b'\n');
        }
        let mut input = child.stdin.take().unwrap();
        let producing = async {
            input.write_all(&lines).await.unwrap();
            drop(input);
            child.wait().await.unwrap()
        };
        let status = timeout(PATIENCE, producing).await.expect("the producer ends in time");
        assert!(status.success(), "{self:?} cannot write");
    }

    /// Starts a member of a group that begins at the start of a topic.
    pub(super) async fn consume(self, topic: &str, group: &str) -> Consumer {
        let mut command = self.command("consume", topic).await;
        match self {
            Self::KafkaJs | Self::KafkaPython => command.arg(group),
            Self::Java => command.args(["--group", group, "--from-beginning"]).args([
                "--command-property=group.protocol=consumer",
                "--formatter-property=print.partition=true",
                "--formatter-property=print.offset=true",
                "--formatter-property=print.headers=true",
                "--formatter-property=print.key=true",
            ]),
        };
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Consumer { client: self, child, input, lines: BufReader::new(output).lines() }
    }

    async fn command(self, what: &str, topic: &str) -> Command {
        spawn_blocking(broker::shared).await.unwrap();
        let brokers = broker::shared().join(",");
        match self {
            Self::KafkaJs | Self::KafkaPython => {
                let name = if self == Self::KafkaJs { "client.cjs" } else { "client.py" };
                let mut command = script(name).await;
                command.args([what, &brokers, topic]);
                command
            }
            Self::Java => {
                let class = match what {
                    "produce" => "org.apache.kafka.tools.ConsoleProducer",
                    _ => "org.apache.kafka.tools.consumer.ConsoleConsumer",
                };
                let mut command = Command::from(broker::tool(class));
                command.args(["--bootstrap-server", &brokers, "--topic", topic]);
                if what == "produce" {
                    command.args(["--reader-property=parse.key=true", "--reader-property=key.separator=|"]);
                }
                command
            }
        }
    }

    fn line(self, record: &Native) -> Vec<u8> {
        let text = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|bytes| STANDARD.encode(bytes));
        match self {
            Self::KafkaJs | Self::KafkaPython => {
                let headers: Vec<_> =
                    record.headers.iter().map(|(name, value)| (name, text(value))).collect();
                let line =
                    json!({"key": text(&record.key), "value": text(&record.value), "headers": headers});
                line.to_string().into_bytes()
            }
            Self::Java => [record.key.as_deref().unwrap(), b"|", record.value.as_deref().unwrap()].concat(),
        }
    }

    fn heard(self, line: &str) -> Native {
        if self == Self::Java {
            return printed(line).unwrap_or_else(|| panic!("no record: {line}"));
        }
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let bytes = |text: &Value| text.as_str().map(|text| STANDARD.decode(text).unwrap());
        let header = |pair: &Value| (pair[0].as_str().unwrap().to_owned(), bytes(&pair[1]));
        Native {
            partition: line["partition"].as_u64().unwrap(),
            offset: line["offset"].as_u64().unwrap(),
            key: bytes(&line["key"]),
            value: bytes(&line["value"]),
            headers: line["headers"].as_array().unwrap().iter().map(header).collect(),
        }
    }
}

impl Consumer {
    /// The next record; `None` once the consumer has ended.
    pub(super) async fn record(&mut self) -> Option<Native> {
        let line = timeout(PATIENCE, self.lines.next_line()).await;
        let line = line.unwrap_or_else(|_| panic!("{:?} says nothing more", self.client));
        Some(self.client.heard(&line.unwrap()?))
    }

    /// The next so many records.
    pub(super) async fn records(&mut self, count: usize) -> Vec<Native> {
        let mut records = Vec::new();
        while records.len() < count {
            records.push(self.record().await.expect("the consumer goes on"));
        }
        records
    }

    /// Lets it leave its group in peace.
    pub(super) async fn end(mut self) {
        drop(self.input);
        if self.client == Client::Java {
            let id = self.child.id().expect("it still runs").to_string();
            let told = Command::new("kill").args(["-TERM", &id]).status().await.unwrap();
            assert!(told.success());
        }
        let ending = async {
            while let Ok(Some(_)) = self.lines.next_line().await {}
            self.child.wait().await.unwrap()
        };
        let ended = timeout(PATIENCE, ending).await.expect("the consumer ends in time");
        assert!(ended.success() || self.client == Client::Java, "{:?} failed", self.client);
    }
}

/// What Java's console prints of a record: `Partition:3 Offset:0 a:1,b:2 key value`, parted by tabs.
fn printed(line: &str) -> Option<Native> {
    let mut parts = line.splitn(5, '\t');
    let partition = parts.next()?.strip_prefix("Partition:")?.parse().ok()?;
    let offset = parts.next()?.strip_prefix("Offset:")?.parse().ok()?;
    let mut text = || parts.next().map(|text| text.as_bytes().to_vec());
    let headers = match String::from_utf8(text()?).ok()?.as_str() {
        "NO_HEADERS" => Vec::new(),
        list => list
            .split(',')
            .filter_map(|header| header.split_once(':'))
            .map(|(name, value)| (name.to_owned(), Some(value.as_bytes().to_vec())))
            .collect(),
    };
    Some(Native { partition, offset, headers, key: text(), value: text() })
}

/// A script that lies beside this file, with what it needs.
pub(super) async fn script(name: &str) -> Command {
    let name = name.to_owned();
    let script = move || native::script("kafka/interop", &name);
    Command::from(spawn_blocking(script).await.unwrap())
}
