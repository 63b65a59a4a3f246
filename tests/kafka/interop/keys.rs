//! A key's partition is the same whoever chose it, or the order of its records would end where another client writes.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::header::HeaderMap;
use serde_json::json;

use super::{Client, Gateway, Native};

/// Keys of every length of the hash's rest, long ones, an empty one, and all kinds of letters.
fn keys() -> Vec<String> {
    let numbered = (0..200).map(|number| format!("{number}"));
    let lengths = (0..=40).map(|length| "k".repeat(length));
    let letters =
        ["é", "größe", "Ελλάδα", "日本語", "Київ", "🛒", "a🛒b", "e\u{301}", " ", "a b", "\u{7f}\u{80}"];
    let long = ["x".repeat(1_000), "ü".repeat(500)];
    numbered.chain(lengths).chain(letters.map(ToOwned::to_owned)).chain(long).collect()
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(all(has_kafka, has_interop)), ignore = "needs Java 17 and Maven, npm, and Python with venv")]
async fn a_key_has_one_partition_whoever_writes_it() {
    let gateway = Gateway::start("native").await;
    let keys = keys();
    let event = |key: &String| json!({"eventType": "interop.written.v1", "source": "interop", "data": {"key": key, "by": "gateway"}});
    let batch = json!(keys.iter().map(event).collect::<Vec<_>>()).to_string();
    let (status, answer) = gateway.post("/v1/events", HeaderMap::new(), batch).await;
    assert_eq!(status, 207, "{answer}");
    let mut expected = BTreeMap::new();
    for (key, item) in keys.iter().zip(answer["items"].as_array().unwrap()) {
        assert_eq!(item["status"], "accepted", "{item}");
        expected.insert(key.as_bytes().to_vec(), item["partition"].as_u64().unwrap());
    }
    assert_eq!(expected.len(), keys.len());
    assert!(expected.values().collect::<BTreeSet<_>>().len() > 1);

    let clients = [Client::KafkaJs, Client::KafkaPython, Client::Java];
    for client in clients {
        let record = |key: &String| Native {
            key: Some(key.as_bytes().to_vec()),
            value: Some(format!("{client:?}").into_bytes()),
            ..Native::default()
        };
        let records: Vec<Native> = keys.iter().map(record).collect();
        client.produce(&gateway.topic, &records).await;
    }
    let mut witness = Client::KafkaPython.consume(&gateway.topic, &gateway.topic).await;
    let records = witness.records(keys.len() * (1 + clients.len())).await;
    witness.end().await;
    for record in &records {
        let key = record.key.as_ref().unwrap();
        let (shown, value) =
            (String::from_utf8_lossy(key), String::from_utf8_lossy(record.value.as_ref().unwrap()));
        assert_eq!(Some(&record.partition), expected.get(key), "'{shown}' of {value}");
    }
    gateway.stop().await;
}
