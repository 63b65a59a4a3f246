//! What only a look can tell of a configuration: whether the files it names can be used, and its topics are there.

use crate::delivery;
use crate::http;
use crate::schema::{self, Schemas, Store};

use super::Log;
use super::reading::nearest;
use super::section::Section;
use super::topics::Topics;

/// Whether the folder of schemas loads; each schema that does not is a mistake.
pub(super) fn check_schemas(root: &Section<'_>, schemas: &schema::Config) {
    match &schemas.store {
        Store::Folder => {}
        Store::Embedded => return,
        Store::Confluent(confluent) => {
            if let Err(error) = confluent.check() {
                root.mistake_below("schemas.confluent.ca", &error.to_string());
            }
            return;
        }
    }
    for error in Schemas::load(schemas).err().unwrap_or_default() {
        root.mistake_below("schemas.directory", &error.to_string());
    }
}

/// Whether certificates and keys can be read and belong together. Kafka's are read with its other settings, which say
/// whether they are used.
pub(super) fn check_tls(root: &Section<'_>, tls: Option<&http::Tls>) {
    for (key, problem) in tls.map(http::Tls::problems).unwrap_or_default() {
        root.mistake_below(&format!("http.tls.{key}"), &problem);
    }
}

/// Whether groups read topics that there will be. Others may have made them on Kafka, and a log that is there already
/// may hold topics that are no longer configured: no topic goes with its entry.
pub(super) fn check_groups(root: &Section<'_>, groups: &delivery::Config, topics: &Topics, log: &Log) {
    match log {
        Log::Kafka(_) => return,
        Log::Embedded(embedded) if embedded.path.exists() => return,
        Log::Embedded(_) => {}
    }
    let known: Vec<&str> = topics.specs.iter().map(|spec| spec.name.as_str()).collect();
    for (group, policy) in &groups.groups {
        for (index, topic) in policy.topics.iter().flatten().enumerate() {
            if !known.contains(&topic.as_str()) {
                let hint = nearest(topic.as_str(), known.iter().copied());
                let problem = format!("nobody has a topic '{topic}': it is not among topics{hint}");
                root.mistake_below(&format!("groups.{group}.topics[{index}]"), &problem);
            }
        }
    }
}
