//! The configuration: file, then environment, then flags, checked once and reported whole.
//!
//! Every room declares its own `Config` of checked values; this room sums them, reads what the operator wrote and
//! reports all mistakes at once, each with path and line. The defaults are `deploy/weirgate.yaml`, built in; there
//! are none in code. No later room checks again, and nothing here acts on what it reads.
//!
//! ```text
//! deploy/weirgate.yaml ◁ deploy/dev.yaml (dev) ◁ the operator's file ◁ WEIRGATE__… ◁ flags ── Section ── Config
//! ```

mod callers;
mod confluent;
mod encoding;
mod files;
mod groups;
mod kafka;
mod live;
mod mistake;
mod reading;
mod rooms;
mod secret;
mod section;
mod show;
mod topics;
mod tree;
mod units;
mod yaml;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::auth;
use crate::delivery;
use crate::event::Catalogue;
use crate::feed;
use crate::http;
use crate::log::TopicSpec;
use crate::log_embedded;
use crate::log_kafka;
use crate::publish;
use crate::schema;
use crate::socket;
use crate::telemetry;

pub(crate) use live::adopt;
pub use mistake::Mistake;

use reading::Reading;
use section::Section;
use tree::{Node, Origin, Value};

/// The reference configuration: every key, its default, and a sentence on each.
pub const REFERENCE: &str = include_str!("../deploy/weirgate.yaml");

const DEV: &str = include_str!("../deploy/dev.yaml");

/// The environment variables of the process, as a value.
#[derive(Debug, Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The environment with these variables.
    #[must_use]
    pub fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(variables.into_iter().collect())
    }

    /// One variable.
    #[must_use]
    pub fn read(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The keys set by variables named `WEIRGATE__{PATH}`, with `__` between the parts.
    fn overrides(&self) -> impl Iterator<Item = (Vec<String>, &str)> {
        self.0.iter().filter_map(|(name, value)| {
            let path = name.strip_prefix("WEIRGATE__")?;
            Some((path.split("__").map(str::to_lowercase).collect(), value.as_str()))
        })
    }
}

/// What a configuration is read from, weakest first.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Whether the sample topics and the development issuer are laid over the defaults.
    pub is_dev: bool,
    /// The text of the operator's file.
    pub file: Option<String>,
    /// The environment.
    pub environment: Environment,
    /// Keys set by flags, as (`http.listen`, `127.0.0.1:8080`).
    pub flags: Vec<(String, String)>,
}

/// Which engine carries the events, and its settings.
#[derive(Debug, Clone)]
pub enum Log {
    /// The durable log of one machine.
    Embedded(log_embedded::Config),
    /// Apache Kafka.
    Kafka(Box<log_kafka::Config>),
}

/// What is done about the files that a configuration names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Files {
    /// Nothing: whoever needs them says what is wrong.
    Believed,
    /// They are tried.
    Tried,
}

/// A checked configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The gateway's name; `None` is `auto`.
    pub node: Option<String>,
    /// The HTTP side.
    pub http: http::Config,
    /// Subscribers' sockets.
    pub socket: socket::Config,
    /// The log.
    pub log: Log,
    /// Where the embedded log would lie; in development mode it holds the gateway's key.
    pub dev_directory: PathBuf,
    /// Topics that shall exist.
    pub topics: Vec<TopicSpec>,
    /// What a topic made on first use has; its name means nothing.
    pub topic_defaults: TopicSpec,
    /// How events of each topic are stored, keyed and judged.
    pub catalogue: Catalogue,
    /// Schemas.
    pub schemas: schema::Config,
    /// Who may come in and do what.
    pub auth: auth::Config,
    /// The way in.
    pub publish: publish::Config,
    /// The way out to an audience.
    pub feed: feed::Config,
    /// The way out to workers.
    pub delivery: delivery::Config,
    /// Logs.
    pub telemetry: telemetry::Config,
    /// All of it as YAML, secrets hidden.
    pub shown: String,
    /// The same as a value.
    pub view: serde_json::Value,
}

impl Config {
    /// Reads and checks a configuration.
    ///
    /// # Errors
    /// Every mistake there is.
    pub fn read(sources: &Sources) -> Result<Self, Vec<Mistake>> {
        Self::read_as(sources, Files::Believed)
    }

    /// As [`Config::read`], and tries what it names: schemas, certificates, the topics of groups. Blocks on the file
    /// system.
    ///
    /// # Errors
    /// Every mistake there is.
    pub fn check(sources: &Sources) -> Result<Self, Vec<Mistake>> {
        Self::read_as(sources, Files::Tried)
    }

    fn read_as(sources: &Sources, files: Files) -> Result<Self, Vec<Mistake>> {
        let (tree, mut mistakes) = merge(sources)?;
        let reading = Rc::new(Reading::default());
        let root = Section::new(&tree, String::new(), Rc::clone(&reading), &sources.environment);
        let config = rooms::read(&root, &tree, sources.is_dev, files);
        root.finish();
        mistakes.extend(Rc::try_unwrap(reading).map(Reading::into_mistakes).unwrap_or_default());
        match config {
            Some(config) if mistakes.is_empty() => Ok(config),
            _ => Err(mistakes),
        }
    }

    /// The directory that holds this gateway's own state; `None` where it keeps none.
    #[must_use]
    pub fn data_directory(&self) -> Option<&Path> {
        let is_dev = self.auth.mode == auth::Mode::Dev;
        match &self.log {
            Log::Embedded(embedded) => Some(&embedded.path),
            // The development key has to outlive a restart.
            Log::Kafka(_) => is_dev.then_some(self.dev_directory.as_path()),
        }
    }
}

/// All sources laid over one another; a file that is no map of keys is left out.
fn merge(sources: &Sources) -> Result<(Node, Vec<Mistake>), Vec<Mistake>> {
    let parse = |text: &str| yaml::parse(text).map_err(|mistake| vec![mistake]);
    let mut tree = parse(REFERENCE)?.0.with_origin(Origin::Default);
    if sources.is_dev {
        tree.overlay(parse(DEV)?.0.with_origin(Origin::Default));
    }
    let mut mistakes = Vec::new();
    if let Some(file) = &sources.file {
        let (node, found) = parse(file)?;
        mistakes = found;
        if matches!(node.value, Value::Map(_)) {
            tree.overlay(node);
        } else {
            let problem =
                "the file must be a map of keys, such as 'http: {listen: 127.0.0.1:8080}'".to_owned();
            mistakes.push(Mistake { path: String::new(), line: Some(1), column: None, problem, cause: None });
        }
    }
    for (path, value) in sources.environment.overrides() {
        tree.set(&path, parse_value(value));
    }
    for (path, value) in &sources.flags {
        let path: Vec<String> = path.split('.').map(str::to_owned).collect();
        tree.set(&path, parse_value(value));
    }
    Ok((tree, mistakes))
}

/// A value of the environment or a flag: YAML where it is a list or a map, else a text.
fn parse_value(text: &str) -> Node {
    let parsed = if text.starts_with(['[', '{']) { yaml::parse(text).ok() } else { None };
    let node = parsed.filter(|(_, mistakes)| mistakes.is_empty()).map(|(node, _)| node);
    let value = if text == "null" { Value::Null } else { Value::Text(text.to_owned()) };
    node.unwrap_or(Node { value, origin: Origin::Environment }).with_origin(Origin::Environment)
}

#[cfg(test)]
mod tests {
    use super::{Config, Environment, Sources};

    fn read(file: &str) -> Result<Config, Vec<String>> {
        let sources = Sources { file: Some(file.to_owned()), ..Sources::default() };
        Config::read(&sources).map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_reference_is_complete_and_correct() {
        let config = Config::read(&Sources::default()).unwrap();
        assert_eq!(config.http.listen.to_string(), "127.0.0.1:8080");
        assert!(config.topics.is_empty());
    }

    #[test]
    fn dev_brings_the_sample_topics_and_groups() {
        let config = Config::read(&Sources { is_dev: true, ..Sources::default() }).unwrap();
        assert_eq!(config.topics.len(), 4);
        assert!(config.catalogue.rule_of_type("orders.placed.v1").is_some());
    }

    #[test]
    fn all_mistakes_are_reported_at_once_with_path_and_line() {
        let mistakes = read(
            "http:\n  lisen: 127.0.0.1:80\n  limits: {body_bytes_max: 8MB}\ngroup_defaults: {ack_timeout: 30}\n\
             topics:\n  - {name: 'a b'}\n",
        )
        .unwrap_err();
        let has = |text: &str| {
            assert!(mistakes.iter().any(|mistake| mistake.contains(text)), "{text}: {mistakes:#?}")
        };
        has("line 2: http.lisen: unknown key; did you mean 'listen'?");
        has("line 3: http.limits.body_bytes_max: must be a size");
        has("line 4: group_defaults.ack_timeout: must be a duration");
        has("line 6: topics[0].name: topic name may hold only");
    }

    #[test]
    fn a_drain_leaves_time_for_what_comes_after_it() {
        assert!(read("http: {drain_delay: 10s}\nsocket: {drain_window: 15s}").is_ok());
        let mistakes = read("http:\n  drain_delay: 10s\nsocket: {drain_window: 15001ms}").unwrap_err();
        assert!(
            mistakes[0].starts_with("line 2: http.drain_delay: with socket.drain_window"),
            "{mistakes:?}"
        );
        assert!(mistakes[0].contains("takes 25.001 s; it may take 25 s"), "{mistakes:?}");
    }

    #[test]
    fn environment_overrides_the_file_and_flags_override_both() {
        let variables = [("WEIRGATE__HTTP__LISTEN".to_owned(), "127.0.0.1:1".to_owned())];
        let mut sources = Sources {
            file: Some("http: {listen: '127.0.0.1:2'}".to_owned()),
            environment: Environment::new(variables),
            ..Sources::default()
        };
        assert_eq!(Config::read(&sources).unwrap().http.listen.port(), 1);
        sources.flags.push(("http.listen".to_owned(), "127.0.0.1:3".to_owned()));
        assert_eq!(Config::read(&sources).unwrap().http.listen.port(), 3);
    }

    #[test]
    fn a_key_named_twice_hides_no_other_mistake() {
        let mistakes = read("feed: {}\nfeed: {}\nhttp: {lisen: x}\n").unwrap_err();
        assert_eq!(mistakes.len(), 2, "{mistakes:?}");
        assert!(mistakes[0].starts_with("line 2, column 1: feed: is named twice"), "{mistakes:?}");
    }

    #[test]
    fn what_is_no_map_is_one_mistake() {
        for (file, told) in [
            ("just text\n", "line 1: the file must be a map"),
            ("http: here\n", "line 1: http: must be a map"),
        ] {
            let mistakes = read(file).unwrap_err();
            assert!(mistakes.len() == 1 && mistakes[0].starts_with(told), "{mistakes:?}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let config = read("auth: {ticket_key: 'not-to-be-seen-0123456789abcdef-0123'}").unwrap();
        assert!(!config.shown.contains("not-to-be-seen"));
        assert!(config.shown.contains("ticket_key: \"(hidden)\""));
        assert!(!format!("{config:?}").contains("not-to-be-seen"));
    }
}
