//! What operators load beside the gateway: its alerts and its dashboard name only metrics and labels that there are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;
use weirgate::app::App;
use weirgate::config::{Config, Sources};
use weirgate::event::Clock;

const ALERTS: &str = include_str!("../../deploy/alerts.yaml");
const TESTS: &str = include_str!("../../deploy/alerts.test.yaml");
const DASHBOARD: &str = include_str!("../../deploy/grafana/weirgate.json");

/// What scraping adds to everything.
const SCRAPED: [&str; 2] = ["instance", "job"];

/// Labels by metric.
type Metrics = BTreeMap<String, BTreeSet<String>>;

/// What an expression of PromQL names.
#[derive(Debug, Default)]
struct Named {
    /// Metrics, and the labels they are selected by.
    metrics: Vec<(String, BTreeSet<String>)>,
    /// Labels that are kept or joined by.
    groupings: BTreeSet<String>,
}

/// Everything that a gateway exposes on this engine.
async fn exposed_by(engine: &[(&str, &str)], metrics: &mut Metrics) {
    let directory = tempfile::tempdir().unwrap();
    let schemas = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas");
    let common = [
        ("http.listen", "127.0.0.1:0"),
        ("http.metrics_listen", "127.0.0.1:0"),
        ("log.embedded.path", directory.path().to_str().unwrap()),
        ("schemas.directory", schemas),
    ];
    let flags = common.iter().chain(engine).map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let sources = Sources { is_dev: true, flags: flags.collect(), ..Sources::default() };
    let config = Config::read(&sources).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"));
    let reader = Arc::new(move || Ok(sources.clone()));
    let app = App::build(config, reader, Clock::system()).await.unwrap();
    for family in app.metric_families() {
        let labels: BTreeSet<String> = family.labels.into_iter().collect();
        if family.is_histogram {
            let with_bound = labels.iter().cloned().chain(["le".to_owned()]).collect();
            metrics.insert(format!("{}_bucket", family.name), with_bound);
            metrics.insert(format!("{}_sum", family.name), labels.clone());
            metrics.insert(format!("{}_count", family.name), labels);
        } else {
            metrics.insert(family.name, labels);
        }
    }
}

/// Everything that gateways expose, what Prometheus says of them itself, and what the rules record.
async fn exposed() -> Metrics {
    let mut metrics = Metrics::from([("up".to_owned(), BTreeSet::new())]);
    exposed_by(&[], &mut metrics).await;
    exposed_by(&[("log.engine", "kafka"), ("log.kafka.brokers", "['127.0.0.1:9']")], &mut metrics).await;
    for rule in rules() {
        if let Some(record) = rule["record"].as_str() {
            metrics.insert(record.to_owned(), BTreeSet::new());
        }
    }
    metrics
}

fn rules() -> Vec<Value> {
    let alerts: Value = serde_saphyr::from_str(ALERTS).unwrap();
    let groups = alerts["groups"].as_array().unwrap();
    groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

impl Named {
    fn of(expression: &str) -> Self {
        const WORDS: [&str; 5] = ["and", "bool", "offset", "or", "unless"];
        const GROUPINGS: [&str; 6] = ["by", "group_left", "group_right", "ignoring", "on", "without"];
        let mut named = Self::default();
        let mut rest = expression;
        while let Some(first) = rest.chars().next() {
            if first == '"' {
                rest = &rest[1 + rest[1..].find('"').unwrap() + 1..];
            } else if first == '[' {
                rest = &rest[rest.find(']').unwrap() + 1..];
            } else if first.is_ascii_alphanumeric() || first == '_' {
                let end = rest.find(|letter| !is_part(letter)).unwrap_or(rest.len());
                let (word, behind) = rest.split_at(end);
                rest = behind.trim_start();
                let is_grouped = ["by (", "without ("].iter().any(|grouping| rest.starts_with(grouping));
                if first.is_ascii_digit() || WORDS.contains(&word) || is_grouped {
                    // A number, a duration, an operator, an aggregation.
                } else if let Some(list) = rest.strip_prefix('(') {
                    if GROUPINGS.contains(&word) {
                        let (labels, behind) = list.split_once(')').unwrap();
                        named.groupings.extend(labels.split(',').map(|label| label.trim().to_owned()));
                        rest = behind;
                    }
                } else {
                    let mut labels = BTreeSet::new();
                    if let Some(matchers) = rest.strip_prefix('{') {
                        let (matchers, behind) = matchers.split_once('}').unwrap();
                        // No value has a comma here.
                        let names =
                            matchers.split(',').map(|one| one.split(['=', '!']).next().unwrap().trim());
                        labels.extend(names.map(str::to_owned));
                        rest = behind;
                    }
                    named.metrics.push((word.to_owned(), labels));
                }
            } else {
                rest = &rest[first.len_utf8()..];
            }
        }
        named
    }

    /// Fails where it names what is not there; answers the labels that its result may have.
    fn check(&self, place: &str, exposed: &Metrics) -> BTreeSet<String> {
        assert!(!self.metrics.is_empty(), "{place} names no metric");
        let mut known: BTreeSet<String> = SCRAPED.map(str::to_owned).into();
        for (metric, selected) in &self.metrics {
            let labels =
                exposed.get(metric).unwrap_or_else(|| panic!("{place}: there is no metric {metric}"));
            known.extend(labels.iter().cloned());
            for label in selected {
                let is_known = labels.contains(label) || SCRAPED.contains(&label.as_str());
                assert!(is_known, "{place}: {metric} has no label {label}, but {labels:?}");
            }
        }
        for label in &self.groupings {
            assert!(known.contains(label), "{place}: nothing has the label {label}");
        }
        if self.groupings.is_empty() { known } else { self.groupings.clone() }
    }
}

fn is_part(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_' || letter == ':' || letter == '.'
}

/// The names between `start` and a character that no name has.
fn names_behind<'t>(text: &'t str, start: &str) -> Vec<&'t str> {
    let names = text.split(start).skip(1);
    names.map(|name| &name[..name.find(|letter| !is_part(letter)).unwrap_or(name.len())]).collect()
}

#[test]
fn expressions_are_taken_apart() {
    let named = Named::of(
        r#"sum by (a, b) (rate(x_total{c="1",d!~"by (z)"}[5m])) / on (a) weirgate:y:ratio5m offset 5m > 14.4 * 0.001 or vector(0)"#,
    );
    let set = |labels: &[&str]| labels.iter().map(|&label| label.to_owned()).collect::<BTreeSet<String>>();
    let metrics = [("x_total".to_owned(), set(&["c", "d"])), ("weirgate:y:ratio5m".to_owned(), set(&[]))];
    assert_eq!((named.metrics, named.groupings), (metrics.to_vec(), set(&["a", "b"])));
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_name_what_gateways_expose() {
    let exposed = exposed().await;
    for rule in rules() {
        let name = rule["alert"].as_str().or_else(|| rule["record"].as_str()).unwrap();
        let labels = Named::of(rule["expr"].as_str().unwrap()).check(name, &exposed);
        if rule["alert"].is_null() {
            continue;
        }
        assert!(TESTS.contains(name), "{name} has no test in alerts.test.yaml");
        assert!(["page", "ticket"].contains(&rule["labels"]["severity"].as_str().unwrap()), "{name}");
        for part in ["summary", "description", "runbook"] {
            let text = rule["annotations"][part].as_str().unwrap_or_else(|| panic!("{name} has no {part}"));
            for label in names_behind(text, "$labels.") {
                assert!(labels.contains(label), "{name}: {part} tells the label {label}, it has {labels:?}");
            }
            // A word between back quotes that begins like our metrics is one.
            for metric in names_behind(text, "`weirgate_") {
                let metric = format!("weirgate_{metric}");
                let is_known =
                    exposed.contains_key(&metric) || exposed.contains_key(&format!("{metric}_sum"));
                assert!(is_known, "{name}: there is no metric {metric}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_shows_what_gateways_expose() {
    let exposed = exposed().await;
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    assert_eq!((&dashboard["schemaVersion"], &dashboard["uid"]), (&39.into(), &"weirgate".into()));
    let source = serde_json::json!({"type": "prometheus", "uid": "${DS_PROMETHEUS}"});

    let variables = dashboard["templating"]["list"].as_array().unwrap();
    assert_eq!(
        (&variables[0]["type"], &variables[0]["name"]),
        (&"datasource".into(), &"DS_PROMETHEUS".into())
    );
    let names: Vec<&str> = variables.iter().map(|variable| variable["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["DS_PROMETHEUS", "group", "topic"]);
    for variable in &variables[1..] {
        let query = variable["query"]["query"].as_str().unwrap();
        let asked = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')')).unwrap();
        let (metric, label) = asked.split_once(", ").unwrap();
        assert!(exposed[metric].contains(label), "{metric} has no label {label}");
        assert_eq!(variable["datasource"], source);
    }

    let panels = dashboard["panels"].as_array().unwrap();
    let rows = panels.iter().filter(|panel| panel["type"] == "row");
    let rows: Vec<&str> = rows.map(|row| row["title"].as_str().unwrap()).collect();
    let expected =
        ["Publish", "Delivery", "Lag", "Retries and dead letters", "Breakers and halts", "Log", "Sockets"];
    assert_eq!(rows, expected);
    let mut ids = BTreeSet::new();
    let mut places = BTreeSet::new();
    for panel in panels {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title} has another's id");
        let at = |side: &str| panel["gridPos"][side].as_u64().unwrap();
        for column in at("x")..at("x") + at("w") {
            assert!(column < 24, "{title} is too wide");
            for line in at("y")..at("y") + at("h") {
                assert!(places.insert((column, line)), "{title} lies over another panel");
            }
        }
        if panel["type"] == "row" {
            continue;
        }
        assert!(["stat", "table", "timeseries"].contains(&panel["type"].as_str().unwrap()), "{title}");
        assert_eq!(panel["datasource"], source, "{title}");
        for target in panel["targets"].as_array().unwrap() {
            let labels = Named::of(target["expr"].as_str().unwrap()).check(title, &exposed);
            for label in names_behind(target["legendFormat"].as_str().unwrap(), "{{") {
                assert!(labels.contains(label), "{title}: its legend names {label}, it has {labels:?}");
            }
            assert_eq!(target["datasource"], source, "{title}");
        }
    }
}
