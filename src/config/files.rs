//! What only a look can tell of a configuration: whether the files it names can be used, and its topics are there.

use std::fs::File;
use std::path::Path;

use crate::delivery;
use crate::http;
use crate::schema::{self, Schemas};

use super::Log;
use super::section::{Section, nearest};
use super::topics::Topics;

/// Whether the folder of schemas loads; each schema that does not is a mistake.
pub(super) fn check_schemas(root: &Section<'_>, schemas: &schema::Config) {
    for error in Schemas::load(schemas).err().unwrap_or_default() {
        root.mistake_below("schemas.directory", &error.to_string());
    }
}

/// Whether certificates and keys can be read and belong together.
pub(super) fn check_tls(root: &Section<'_>, tls: Option<&http::Tls>, log: &Log) {
    for (key, problem) in tls.map(http::Tls::problems).unwrap_or_default() {
        root.mistake_below(&format!("http.tls.{key}"), &problem);
    }
    if let Log::Kafka(kafka) = log {
        let tls = &kafka.security.tls;
        for (key, path) in [("ca", &tls.ca), ("certificate", &tls.certificate), ("key", &tls.key)] {
            let opened = path.as_deref().map(|path: &Path| (path, File::open(path)));
            if let Some((path, Err(error))) = opened {
                let problem = format!("{} cannot be read: {error}", path.display());
                root.mistake_below(&format!("log.kafka.security.tls.{key}"), &problem);
            }
        }
    }
}

/// Whether groups read topics that there will be. On Kafka others may have made them.
pub(super) fn check_groups(root: &Section<'_>, groups: &delivery::Config, topics: &Topics, log: &Log) {
    if matches!(log, Log::Kafka(_)) {
        return;
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
