//! The keeper over a registry in memory whose clock stands still.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::super::client::{Body, Error, Patience, Place, Source};
use super::super::handle::Confluent;
use super::super::metrics::Metrics;
use super::super::types::{ABSENT_FRESH, FRESH};
use super::super::{Address, Keeper};
use crate::event::json::{Document, Limits};
use crate::event::{Catalogue, EventType, Format, LiveCatalogue, Topic, TopicRule};
use crate::schema::decoder::{Language, Wanted, Writers};
use crate::schema::framing::Writer;
use crate::schema::registry::Guid;
use crate::schema::{self, SchemaId};
use crate::telemetry::Registry;

const GUID: &str = "0b6e7c1e-6c3d-4b7e-8a52-2f7f3c1c9a10";
/// How long the registry takes to answer.
const ANSWER: Duration = Duration::from_millis(50);

/// A registry: what lies where, and what was asked.
#[derive(Debug, Default)]
struct Upstream {
    places: Mutex<HashMap<String, String>>,
    asked: Mutex<Vec<String>>,
    is_away: Mutex<bool>,
}

#[async_trait]
impl Source for Upstream {
    async fn get(&self, place: Place<'_>, _patience: Patience) -> Result<Option<Body>, Error> {
        let path = place.segments.join("/");
        self.asked.lock().unwrap().push(path.clone());
        sleep(ANSWER).await;
        let address = Address::parse("http://registry").unwrap();
        if *self.is_away.lock().unwrap() {
            return Err(Error::Slow { address });
        }
        let found = self.places.lock().unwrap().get(&path).cloned();
        if found.as_deref() == Some("forbidden") {
            return Err(Error::Forbidden { address });
        }
        Ok(found.map(|text| Body { address, bytes: text.into_bytes() }))
    }
}

impl Upstream {
    fn put(&self, path: &str, text: &str) {
        self.places.lock().unwrap().insert(path.to_owned(), text.to_owned());
    }

    /// Gives a type's subject a latest version that takes only this number as data.
    fn register(&self, event_type: &str, id: i32, number: i32) {
        let text =
            format!(r#"{{"id":{id},"version":{id},"schemaType":"JSON","schema":"{{\"const\":{number}}}"}}"#);
        self.put(&format!("subjects/{event_type}-value/versions/latest"), &text);
    }

    fn remove(&self, event_type: &str) {
        self.places.lock().unwrap().remove(&format!("subjects/{event_type}-value/versions/latest"));
    }

    fn go(&self, is_away: bool) {
        *self.is_away.lock().unwrap() = is_away;
    }

    /// How often something was asked for since the last call.
    fn asked(&self) -> usize {
        std::mem::take(&mut *self.asked.lock().unwrap()).len()
    }
}

struct Fixture {
    upstream: Arc<Upstream>,
    confluent: Confluent,
    running: JoinHandle<()>,
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl Fixture {
    /// A gateway whose catalogue names these types.
    fn start(upstream: Upstream, types: &[&str]) -> Self {
        let upstream = Arc::new(upstream);
        let source: Arc<dyn Source> = Arc::<Upstream>::clone(&upstream);
        let (confluent, keeper): (Confluent, Keeper) =
            Confluent::of(source, Metrics::register(&Registry::new()));
        let types = types.iter().map(|text| event_type(text)).collect();
        let rule = |name, types| TopicRule::plain(Topic::parse(name).unwrap(), types);
        let catalogue = Catalogue::new(vec![rule("listed", types)], rule("any", vec![]));
        let running = tokio::spawn(keeper.run(LiveCatalogue::new(catalogue)));
        Self { upstream, confluent, running }
    }

    /// The id of the schema that the data satisfies; the error's kind where it does not.
    fn judge(&self, name: &str, data: i32) -> Result<Option<i32>, &'static str> {
        let text = data.to_string();
        let document = Document::parse(text.as_bytes(), Limits::default()).unwrap();
        match self.confluent.judge_event(&event_type(name), Format::Json, document.root()) {
            Ok(checked) => Ok(checked.schema.map(SchemaId::number)),
            Err(schema::Error::Violation { .. }) => Err("violation"),
            Err(schema::Error::Unavailable { .. }) => Err("unavailable"),
            Err(schema::Error::Unusable { .. }) => Err("unusable"),
            Err(error) => panic!("{error}"),
        }
    }

    async fn learn(&self, name: &str) {
        self.confluent.learn(&event_type(name)).await;
    }
}

fn event_type(text: &str) -> EventType {
    EventType::parse(text).unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_catalogues_types_are_known_before_the_gateway_is_ready() {
    let upstream = Upstream::default();
    upstream.register("a.b.v1", 1, 10);
    let fixture = Fixture::start(upstream, &["a.b.v1", "c.d.v1"]);
    assert!(!fixture.confluent.is_ready());
    assert_eq!(fixture.judge("a.b.v1", 10), Err("unavailable"));
    sleep(Duration::from_secs(2)).await;
    assert!(fixture.confluent.is_ready());
    assert_eq!(fixture.judge("a.b.v1", 10), Ok(Some(1)));
    assert_eq!(fixture.judge("a.b.v1", 11), Err("violation"));
    assert_eq!(fixture.judge("c.d.v1", 11), Ok(None));
    assert_eq!(fixture.upstream.asked(), 2);
    assert_eq!(fixture.confluent.contract(&event_type("a.b.v1")).unwrap().id.number(), 1);
    assert_eq!(fixture.confluent.event_types(), [event_type("a.b.v1")]);
}

#[tokio::test(start_paused = true)]
async fn what_many_need_is_fetched_once() {
    let fixture = Fixture::start(Upstream::default(), &[]);
    fixture.upstream.register("a.b.v1", 1, 10);
    join_all((0..50).map(|_| fixture.learn("a.b.v1"))).await;
    assert!(fixture.confluent.is_ready(), "the catalogue names nothing to wait for");
    assert_eq!((fixture.upstream.asked(), fixture.judge("a.b.v1", 10)), (1, Ok(Some(1))));
}

#[tokio::test(start_paused = true)]
async fn another_latest_version_counts_when_the_last_answer_is_due() {
    let upstream = Upstream::default();
    upstream.register("a.b.v1", 1, 10);
    let fixture = Fixture::start(upstream, &[]);
    fixture.learn("a.b.v1").await;
    fixture.upstream.register("a.b.v1", 2, 20);
    sleep(FRESH - Duration::from_secs(1)).await;
    assert_eq!((fixture.judge("a.b.v1", 10), fixture.upstream.asked()), (Ok(Some(1)), 1));
    sleep(Duration::from_secs(3)).await;
    assert_eq!((fixture.judge("a.b.v1", 20), fixture.upstream.asked()), (Ok(Some(2)), 1));
    fixture.upstream.remove("a.b.v1");
    sleep(FRESH + Duration::from_secs(3)).await;
    assert_eq!(fixture.judge("a.b.v1", 7), Ok(None), "a subject that is gone judges nothing");
}

#[tokio::test(start_paused = true)]
async fn what_is_known_outlives_a_registry_that_is_away() {
    let upstream = Upstream::default();
    upstream.register("a.b.v1", 1, 10);
    let fixture = Fixture::start(upstream, &["a.b.v1"]);
    fixture.learn("a.b.v1").await;
    fixture.learn("c.d.v1").await;
    fixture.upstream.register("a.b.v1", 2, 20);
    fixture.upstream.go(true);
    sleep(100 * FRESH).await;
    assert!(fixture.confluent.is_ready() && !fixture.confluent.is_reachable());
    assert_eq!(fixture.judge("a.b.v1", 10), Ok(Some(1)));
    assert_eq!(fixture.judge("c.d.v1", 10), Ok(None));
    fixture.learn("e.f.v1").await;
    assert_eq!(fixture.judge("e.f.v1", 10), Err("unavailable"));
    let asked = fixture.upstream.asked();
    assert!(asked < 2_000, "a registry that is away is left alone: {asked} questions in 50 minutes");

    fixture.upstream.go(false);
    sleep(Duration::from_secs(5)).await;
    assert!(fixture.confluent.is_reachable());
    assert_eq!(fixture.judge("a.b.v1", 20), Ok(Some(2)));
    fixture.learn("e.f.v1").await;
    assert_eq!(fixture.judge("e.f.v1", 10), Ok(None));
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_is_away_from_the_start_keeps_the_gateway_from_being_ready() {
    let upstream = Upstream::default();
    upstream.go(true);
    upstream.register("a.b.v1", 1, 10);
    let fixture = Fixture::start(upstream, &["a.b.v1"]);
    sleep(Duration::from_secs(60)).await;
    assert!(!fixture.confluent.is_ready() && !fixture.confluent.is_reachable());
    assert_eq!(fixture.judge("a.b.v1", 10), Err("unavailable"));
    fixture.upstream.go(false);
    sleep(Duration::from_secs(5)).await;
    assert!(fixture.confluent.is_ready() && fixture.confluent.is_reachable());
    assert_eq!(fixture.judge("a.b.v1", 10), Ok(Some(1)));
}

#[tokio::test(start_paused = true)]
async fn that_there_is_nothing_is_remembered_for_a_while() {
    let fixture = Fixture::start(Upstream::default(), &[]);
    fixture.learn("a.b.v1").await;
    assert_eq!(fixture.upstream.asked(), 1);
    fixture.upstream.register("a.b.v1", 1, 10);
    assert_eq!((fixture.judge("a.b.v1", 7), fixture.upstream.asked()), (Ok(None), 0));
    sleep(ABSENT_FRESH).await;
    assert_eq!(fixture.judge("a.b.v1", 7), Ok(None), "nobody waits");
    sleep(2 * ANSWER).await;
    assert_eq!((fixture.judge("a.b.v1", 7), fixture.upstream.asked()), (Err("violation"), 1));
}

#[tokio::test(start_paused = true)]
async fn a_type_without_a_version_is_judged_by_its_first() {
    let fixture = Fixture::start(Upstream::default(), &[]);
    fixture.upstream.register("a.b.v1", 1, 10);
    fixture.upstream.register("c.d", 2, 20);
    fixture.upstream.register("c.d.v1", 3, 30);
    for name in ["a.b", "c.d", "a.b.v2"] {
        fixture.learn(name).await;
    }
    assert_eq!(fixture.judge("a.b", 10), Ok(Some(1)));
    assert_eq!(fixture.judge("c.d", 20), Ok(Some(2)));
    assert_eq!(fixture.judge("a.b.v2", 10), Ok(None));
    fixture.upstream.register("a.b", 4, 40);
    sleep(FRESH + Duration::from_secs(3)).await;
    assert_eq!(fixture.judge("a.b", 40), Ok(Some(4)));
}

#[tokio::test(start_paused = true)]
async fn what_concerns_one_schema_leaves_the_others_alone() {
    let upstream = Upstream::default();
    let latest = |name: &str| format!("subjects/{name}-value/versions/latest");
    upstream.put(&latest("forbidden.v1"), "forbidden");
    upstream.put(&latest("malformed.v1"), "{}");
    upstream
        .put(&latest("unusable.v1"), r#"{"id":3,"version":1,"schemaType":"JSON","schema":"{\"type\":7}"}"#);
    let dangling = r#"{"id":4,"version":1,"schemaType":"JSON","schema":"{}","references":[{"name":"n","subject":"s","version":1}]}"#;
    upstream.put(&latest("dangling.v1"), dangling);
    upstream.register("good.v1", 5, 10);
    let types = ["forbidden.v1", "malformed.v1", "unusable.v1", "dangling.v1", "good.v1"];
    let fixture = Fixture::start(upstream, &types);
    sleep(Duration::from_secs(5)).await;
    assert!(fixture.confluent.is_ready() && fixture.confluent.is_reachable());
    let judged = types.map(|name| fixture.judge(name, 10));
    let unavailable = Err("unavailable");
    assert_eq!(judged, [unavailable, unavailable, Err("unusable"), unavailable, Ok(Some(5))]);
}

#[tokio::test(start_paused = true)]
async fn references_are_fetched_with_what_refers_to_them() {
    let upstream = Upstream::default();
    let refers = r#"{"id":1,"version":1,"schemaType":"JSON","schema":"{\"$ref\":\"number.json\"}","references":[{"name":"number.json","subject":"number","version":3}]}"#;
    upstream.put("subjects/a.b.v1-value/versions/latest", refers);
    upstream.put(
        "subjects/number/versions/3",
        r#"{"id":9,"version":3,"schemaType":"JSON","schema":"{\"const\":10}"}"#,
    );
    let fixture = Fixture::start(upstream, &[]);
    fixture.learn("a.b.v1").await;
    assert_eq!((fixture.judge("a.b.v1", 10), fixture.judge("a.b.v1", 11)), (Ok(Some(1)), Err("violation")));
    assert_eq!(fixture.upstream.asked(), 2);
    sleep(FRESH + Duration::from_secs(3)).await;
    assert_eq!(fixture.upstream.asked(), 1, "a version never changes");
}

#[tokio::test(start_paused = true)]
async fn records_are_read_by_schemas_that_are_fetched_once() {
    let upstream = Upstream::default();
    upstream.put("schemas/ids/7", r#"{"schema":"\"string\""}"#);
    upstream.put(&format!("schemas/guids/{GUID}"), r#"{"schema":"{}","schemaType":"JSON"}"#);
    let fixture = Fixture::start(upstream, &[]);
    let id = |number| Writer::Id(SchemaId::new(number).unwrap());
    let writers = [id(7), id(8), Writer::Guid(Guid::parse(GUID).unwrap())];
    for _ in 0..2 {
        Writers::learn(&fixture.confluent, &writers.map(Wanted::Schema)).await;
    }
    let [known, unknown, by_guid] = writers.map(|writer| fixture.confluent.find(writer));
    assert!(matches!(known, Some((Language::Coded(_), _))) && unknown.is_none());
    assert!(matches!(by_guid, Some((Language::Json, _))));
    assert_eq!(fixture.upstream.asked(), 4, "only what is not there is asked for again");
}

#[tokio::test(start_paused = true)]
async fn records_that_name_no_schema_are_read_by_the_latest_of_their_type() {
    let upstream = Upstream::default();
    upstream.put("subjects/a.b.v1-value/versions/latest", r#"{"id":7,"version":1,"schema":"\"string\""}"#);
    let fixture = Fixture::start(upstream, &[]);
    let latest = |name: &str| fixture.confluent.latest(&event_type(name)).map(SchemaId::number);
    assert_eq!(latest("a.b.v1"), None);
    let wanted = ["a.b.v1", "a.b", "c.d.v1"].map(|name| Wanted::Latest(event_type(name)));
    Writers::learn(&fixture.confluent, &wanted).await;
    assert_eq!((latest("a.b.v1"), latest("a.b"), latest("c.d.v1")), (Some(7), Some(7), None));
    let known = fixture.confluent.find(Writer::Id(SchemaId::new(7).unwrap()));
    assert!(matches!(known, Some((Language::Coded(_), _))));
    fixture
        .upstream
        .put("subjects/a.b.v1-value/versions/latest", r#"{"id":8,"version":2,"schema":"\"bytes\""}"#);
    Writers::learn(&fixture.confluent, &wanted[..1]).await;
    assert_eq!(latest("a.b.v1"), Some(8));
}
