//! Dead letters as people handle them: found by filters, settled for all gateways, forgotten with their records.

use std::sync::Arc;

use bytes::Bytes;
use weirgate::delivery::{
    DeadLetter, DeadLetterCounts, DeadLetterFilter, DeadLetterId, DeadLetterQuery, DeadLetterState, Delivery,
    Error, Standing,
};
use weirgate::event::{Clock, GroupName, Headers, Offset, Partition, Timestamp, Topic};
use weirgate::log::{Append, NewRecord, Table};

use super::engine::PATIENCE;
use super::harness::{World, group, topic};
use super::waiting::eventually_within;

const LETTERS: &str = "dlq.orders.v1.inventory-sync";

/// A letter to be written.
struct Draft<'d> {
    number: u64,
    reason: &'d str,
    key: &'d str,
    correlation_id: &'d str,
    failed_at: &'d str,
    padding: usize,
}

impl Default for Draft<'_> {
    fn default() -> Self {
        let failed_at = "2026-11-21T10:00:00.000Z";
        Self { number: 0, reason: "rejected", key: "42", correlation_id: "c-1", failed_at, padding: 0 }
    }
}

impl Draft<'_> {
    fn record(&self) -> NewRecord {
        let id = format!("{:032x}", self.number);
        let number = self.number.to_string();
        let headers = [
            ("__dlq.errors.topic", "orders.v1"),
            ("__dlq.errors.partition", "0"),
            ("__dlq.errors.offset", &number),
            ("weirgate-dlq-id", &id),
            ("weirgate-dlq-reason", self.reason),
            ("weirgate-dlq-error", "no such sku"),
            ("weirgate-dlq-attempts", "4"),
            ("weirgate-dlq-last-failed-at", self.failed_at),
        ];
        let headers = headers.map(|(name, value)| (Arc::from(name), Some(Bytes::from(value.to_owned()))));
        let value = format!(
            r#"{{"eventId":"e-1","eventType":"orders.placed.v1","eventVersion":"1.0.0","timestamp":"2026-11-21T10:15:30.123Z","source":"shop","correlationId":"{}","data":{{"padding":"{}"}}}}"#,
            self.correlation_id,
            "x".repeat(self.padding)
        );
        NewRecord {
            key: Some(Bytes::from(self.key.to_owned())),
            value: Some(Bytes::from(value)),
            headers: Headers::new(headers.into()),
            timestamp: None,
        }
    }
}

/// Letters in partition 0, as a gateway writes them.
async fn bury(world: &World, drafts: &[Draft<'_>]) {
    if world.log.topic(&topic(LETTERS)).is_none() {
        world.create(LETTERS, 1).await;
    }
    for some in drafts.chunks(16) {
        let records = some.iter().map(Draft::record).collect();
        let append = Append { topic: topic(LETTERS), partition: Partition::new(0), records };
        world.log.append(append).await.unwrap();
    }
}

fn numbered(count: u64) -> Vec<Draft<'static>> {
    (0..count).map(|number| Draft { number, ..Draft::default() }).collect()
}

async fn until_loaded(delivery: &Delivery) {
    let is_loaded = async || delivery.has_dead_letter_states().then_some(());
    eventually_within(PATIENCE, "the states of letters are loaded", is_loaded).await;
}

/// All letters that a query asks for, page by page, and how many pages there were.
async fn all(delivery: &Delivery, query: DeadLetterQuery) -> (Vec<DeadLetter>, usize) {
    let (mut letters, mut pages, mut cursor) = (Vec::new(), 0, None);
    loop {
        let query = DeadLetterQuery { limit: query.limit.max(1), cursor, ..query.clone() };
        let page = delivery.dead_letters(&group(), query).await.unwrap();
        letters.extend(page.dead_letters);
        pages += 1;
        cursor = page.cursor;
        if cursor.is_none() {
            return (letters, pages);
        }
    }
}

async fn offsets(delivery: &Delivery, filter: DeadLetterFilter) -> Vec<u64> {
    let (letters, _) = all(delivery, DeadLetterQuery { filter, limit: 2, cursor: None }).await;
    letters.iter().map(|letter| letter.offset.number()).collect()
}

async fn ids(delivery: &Delivery) -> Vec<DeadLetterId> {
    let (letters, _) = all(delivery, DeadLetterQuery { limit: 100, ..DeadLetterQuery::default() }).await;
    letters.into_iter().map(|letter| letter.id).collect()
}

async fn state(delivery: &Delivery, id: &DeadLetterId) -> DeadLetterState {
    delivery.dead_letter(&group(), &[topic("orders.v1")], id).await.unwrap().letter.state
}

async fn discard(delivery: &Delivery, id: &DeadLetterId, by: &str) -> Result<Standing, Error> {
    delivery.discard_dead_letter(&group(), &[topic("orders.v1")], id, by).await
}

async fn annotate(delivery: &Delivery, id: &DeadLetterId, text: &str) -> Result<Standing, Error> {
    delivery.annotate_dead_letter(&group(), &[topic("orders.v1")], id, "anna", text).await
}

#[tokio::test]
async fn every_filter_narrows_the_list_and_all_of_them_count() {
    let world = World::start(1, "{}").await;
    until_loaded(&world.delivery).await;
    let times = ["2026-11-21T10:00:00.000Z", "2026-11-21T11:00:00.000Z", "2026-11-21T12:00:00.000Z"];
    bury(
        &world,
        &[
            Draft { number: 0, failed_at: times[0], ..Draft::default() },
            Draft { number: 1, failed_at: times[1], reason: "expired", ..Draft::default() },
            Draft { number: 2, failed_at: times[2], key: "43", ..Draft::default() },
            Draft { number: 3, failed_at: times[2], correlation_id: "c-2", ..Draft::default() },
        ],
    )
    .await;
    let time = |text: &str| Some(Timestamp::parse(text).unwrap());
    let text = |text: &str| Some(text.to_owned());
    let any = DeadLetterFilter::default();
    let delivery = &world.delivery;
    discard(delivery, &ids(delivery).await[0], "anna").await.unwrap();
    for (filter, expected) in [
        (any.clone(), &[0, 1, 2, 3][..]),
        (DeadLetterFilter { topic: Some(topic("orders.v1")), ..any.clone() }, &[0, 1, 2, 3]),
        (DeadLetterFilter { topic: Some(topic("other.v1")), ..any.clone() }, &[]),
        (DeadLetterFilter { reason: text("expired"), ..any.clone() }, &[1]),
        (DeadLetterFilter { key: text("43"), ..any.clone() }, &[2]),
        (DeadLetterFilter { key: text(""), ..any.clone() }, &[]),
        (DeadLetterFilter { correlation_id: text("c-2"), ..any.clone() }, &[3]),
        (DeadLetterFilter { from: time(times[1]), ..any.clone() }, &[1, 2, 3]),
        (DeadLetterFilter { to: time(times[1]), ..any.clone() }, &[0]),
        (DeadLetterFilter { from: time(times[1]), to: time(times[2]), ..any.clone() }, &[1]),
        (DeadLetterFilter { state: Some(DeadLetterState::Discarded), ..any.clone() }, &[0]),
        (DeadLetterFilter { state: Some(DeadLetterState::Open), ..any.clone() }, &[1, 2, 3]),
        (DeadLetterFilter { state: Some(DeadLetterState::Held), ..any.clone() }, &[]),
        (
            DeadLetterFilter {
                reason: text("rejected"),
                key: text("42"),
                correlation_id: text("c-1"),
                ..any
            },
            &[0],
        ),
    ] {
        assert_eq!(offsets(delivery, filter.clone()).await, expected, "{filter:?}");
    }
}

#[tokio::test]
async fn a_filter_that_few_letters_fit_reads_a_part_at_a_time() {
    let world = World::start(1, "{}").await;
    until_loaded(&world.delivery).await;
    let large = |number| Draft { number, padding: 256 << 10, ..Draft::default() };
    let mut drafts: Vec<Draft<'_>> = (0..80).map(large).collect();
    drafts.push(Draft { number: 80, key: "last", ..Draft::default() });
    bury(&world, &drafts).await;
    let filter = DeadLetterFilter { key: Some("last".to_owned()), ..DeadLetterFilter::default() };
    let query = DeadLetterQuery { filter, limit: 10, cursor: None };
    let first = world.delivery.dead_letters(&group(), query.clone()).await.unwrap();
    assert!(first.dead_letters.is_empty() && first.cursor.is_some(), "{first:?}");
    let (letters, pages) = all(&world.delivery, query).await;
    assert_eq!((letters.len(), letters[0].offset.number()), (1, 80));
    assert!(pages >= 2, "{pages}");
}

#[tokio::test]
async fn a_cursor_is_good_for_its_own_list_only() {
    let world = World::start(1, "{}").await;
    until_loaded(&world.delivery).await;
    bury(&world, &numbered(3)).await;
    let query = DeadLetterQuery { limit: 1, ..DeadLetterQuery::default() };
    let cursor = world.delivery.dead_letters(&group(), query.clone()).await.unwrap().cursor;
    assert!(cursor.is_some());
    let filter = DeadLetterFilter { key: Some("42".to_owned()), ..DeadLetterFilter::default() };
    let other = DeadLetterQuery { filter, cursor: cursor.clone(), ..query.clone() };
    let refused = world.delivery.dead_letters(&group(), other).await;
    assert!(matches!(refused, Err(Error::InvalidCursor)), "{refused:?}");
    let larger = DeadLetterQuery { limit: 9, cursor, ..query };
    assert_eq!(world.delivery.dead_letters(&group(), larger).await.unwrap().dead_letters.len(), 2);
    let counts = world.delivery.dead_letter_counts(|_, _| true, 1, None).await.unwrap();
    assert_eq!(counts.cursor, None);
}

#[tokio::test]
async fn a_letter_is_discarded_once_and_for_all_gateways() {
    let world = World::start(1, "{}").await;
    let other = world.neighbour().await;
    until_loaded(&world.delivery).await;
    until_loaded(&other.delivery).await;
    let knows = async || other.delivery.policy(&group()).map(drop);
    eventually_within(PATIENCE, "the other gateway knows the group", knows).await;
    bury(&world, &numbered(2)).await;
    let ids = ids(&world.delivery).await;
    let first = discard(&world.delivery, &ids[0], "anna").await.unwrap();
    let settled = first.settled.clone().unwrap();
    assert_eq!((first.state, settled.by.as_str()), (DeadLetterState::Discarded, "anna"));
    let seen = async || (state(&other.delivery, &ids[0]).await == DeadLetterState::Discarded).then_some(());
    eventually_within(PATIENCE, "the other gateway follows", seen).await;
    assert_eq!(discard(&other.delivery, &ids[0], "berta").await.unwrap(), first, "who was first stays");
    assert_eq!(state(&other.delivery, &ids[1]).await, DeadLetterState::Open);

    // Changes at once through two gateways build on one another.
    let (left, right) =
        tokio::join!(annotate(&world.delivery, &ids[0], "left"), annotate(&other.delivery, &ids[0], "right"));
    let longer = [left.unwrap(), right.unwrap()].into_iter().max_by_key(|one| one.notes.len()).unwrap();
    let mut texts: Vec<&str> = longer.notes.iter().map(|note| note.text.as_str()).collect();
    texts.sort_unstable();
    assert_eq!((texts, longer.state), (vec!["left", "right"], DeadLetterState::Discarded));
}

#[tokio::test]
async fn what_was_decided_outlives_the_gateway() {
    let mut world = World::start(1, "{}").await;
    until_loaded(&world.delivery).await;
    bury(&world, &numbered(1)).await;
    let id = ids(&world.delivery).await.remove(0);
    annotate(&world.delivery, &id, " the SKU is gone\n").await.unwrap();
    discard(&world.delivery, &id, "anna").await.unwrap();
    world.crash().await;
    until_loaded(&world.delivery).await;
    let (letters, _) = all(&world.delivery, DeadLetterQuery::default()).await;
    assert_eq!(letters[0].state, DeadLetterState::Discarded);
    assert_eq!(letters[0].notes[0].text, "the SKU is gone");
}

#[tokio::test]
async fn notes_have_bounds_and_the_same_one_again_is_none() {
    let world = World::start(1, "{}").await;
    until_loaded(&world.delivery).await;
    bury(&world, &numbered(30)).await;
    let ids = ids(&world.delivery).await;
    for bad in ["", " \n\t", &"x".repeat(10 << 10)] {
        let refused = annotate(&world.delivery, &ids[0], bad).await;
        assert!(matches!(refused, Err(Error::InvalidNote(_))), "{refused:?}");
    }
    for _ in 0..2 {
        assert_eq!(annotate(&world.delivery, &ids[0], "once").await.unwrap().notes.len(), 1);
    }
    for number in 1..20 {
        annotate(&world.delivery, &ids[0], &format!("note {number}")).await.unwrap();
    }
    let refused = annotate(&world.delivery, &ids[0], "one too many").await;
    assert!(matches!(refused, Err(Error::DeadLettersFull(_))), "{refused:?}");

    // All letters together: the table of these tests takes 64 KiB.
    let mut fitted = 0;
    let refused = loop {
        match annotate(&world.delivery, &ids[fitted + 1], &"x".repeat(4 << 10)).await {
            Ok(_) => fitted += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, Error::DeadLettersFull(_)), "{refused:?}");
    assert!((10..16).contains(&fitted), "{fitted}");
    assert_eq!(state(&world.delivery, &ids[fitted + 1]).await, DeadLetterState::Open);
    let metrics = world.registry.render();
    assert!(metrics.contains(&format!("weirgate_dlq_states {}", fitted + 1)), "{metrics}");
}

#[tokio::test]
async fn ids_that_are_forged_or_of_elsewhere_are_unknown() {
    let world = World::start(1, "{}").await;
    until_loaded(&world.delivery).await;
    bury(&world, &numbered(2)).await;
    let name = format!("{:032x}", 1);
    let id = |name: &str, partition, offset| {
        DeadLetterId::new(name, Partition::new(partition), Offset::new(offset)).unwrap()
    };
    let sources = [topic("orders.v1")];
    let find = |id: DeadLetterId, sources: Vec<Topic>| {
        let delivery = world.delivery.clone();
        async move { delivery.dead_letter(&group(), &sources, &id).await.map(|found| found.letter.offset) }
    };
    assert_eq!(find(id(&name, 0, 1), sources.to_vec()).await.unwrap(), Offset::new(1));
    for forged in [id(&name, 0, 0), id(&name, 0, 2), id(&name, 1, 1), id(&name, u32::MAX, u64::MAX)] {
        let found = find(forged.clone(), sources.to_vec()).await;
        assert!(matches!(found, Err(Error::UnknownDeadLetter)), "{forged}: {found:?}");
        let refused = discard(&world.delivery, &forged, "anna").await;
        assert!(matches!(refused, Err(Error::UnknownDeadLetter)), "{forged}: {refused:?}");
    }
    let elsewhere = find(id(&name, 0, 1), vec![topic("other.v1")]).await;
    assert!(matches!(elsewhere, Err(Error::UnknownDeadLetter)), "{elsewhere:?}");
    let nobody = GroupName::parse("nobody").unwrap();
    let unknown = world.delivery.dead_letter(&nobody, &sources, &id(&name, 0, 1)).await.map(drop);
    assert!(matches!(unknown, Err(Error::UnknownGroup(_))), "{unknown:?}");
}

#[tokio::test]
async fn letters_that_retention_removed_leave_nothing_in_the_table() {
    let mut world = World::start(1, "{}").await;
    until_loaded(&world.delivery).await;
    bury(&world, &numbered(3)).await;
    for id in ids(&world.delivery).await {
        discard(&world.delivery, &id, "anna").await.unwrap();
    }
    let states = topic("_weirgate.dead_letters");
    let table = Table::open(Arc::clone(&world.log), states, 1).await.unwrap();
    assert_eq!(table.size().entries, 3);
    world.log.delete_records(&topic(LETTERS), Partition::new(0), Offset::new(2)).await.unwrap();
    // A gateway looks for them when it starts, and then every ten minutes.
    world.restart().await;
    let is_swept = async || (table.size().entries == 1).then_some(());
    eventually_within(PATIENCE, "the entries of two letters are gone", is_swept).await;
    let (letters, _) = all(&world.delivery, DeadLetterQuery::default()).await;
    assert_eq!((letters.len(), letters[0].state), (1, DeadLetterState::Discarded));
}

#[tokio::test]
async fn letters_are_counted_by_group_topic_reason_and_state() {
    let world = World::start(1, "{}").await;
    until_loaded(&world.delivery).await;
    let count = async |limit, cursor: Option<&str>| -> DeadLetterCounts {
        world.delivery.dead_letter_counts(|_, _| true, limit, cursor).await.unwrap()
    };
    assert_eq!(count(10, None).await.dead_letters, []);
    let mut drafts = numbered(3);
    drafts.push(Draft { number: 3, reason: "expired", ..Draft::default() });
    drafts.push(Draft { number: 4, reason: "whatever somebody wrote", ..Draft::default() });
    // The same letter once more.
    drafts.push(Draft { number: 0, ..Draft::default() });
    bury(&world, &drafts).await;
    discard(&world.delivery, &ids(&world.delivery).await[1], "anna").await.unwrap();
    let counted = serde_json::to_value(count(10, None).await).unwrap();
    let expected = serde_json::json!({"deadLetters": [{
        "group": "inventory-sync", "topic": "orders.v1", "letters": 6, "examined": 6,
        "reasons": {"rejected": 3, "expired": 1, "unknown": 1}, "states": {"open": 4, "discarded": 1},
    }]});
    assert_eq!(counted, expected);

    // Many letters: how many is known, and by reason the newest are.
    bury(&world, &(10..2_010).map(|number| Draft { number, ..Draft::default() }).collect::<Vec<_>>()).await;
    world.create("dlq.orders.v1.other", 1).await;
    let one = &count(10, None).await.dead_letters[0];
    assert_eq!((one.letters, one.examined, one.reasons["rejected"]), (2_006, 1_000, 1_000));

    let record = Draft::default().record();
    let append =
        Append { topic: topic("dlq.orders.v1.other"), partition: Partition::new(0), records: vec![record] };
    world.log.append(append).await.unwrap();
    let first = count(1, None).await;
    assert_eq!((first.dead_letters.len(), first.dead_letters[0].group.as_str()), (1, "inventory-sync"));
    let second = count(1, first.cursor.as_deref()).await;
    assert_eq!((second.dead_letters[0].group.as_str(), second.cursor), ("other", None));
    let none = world.delivery.dead_letter_counts(|_, _| false, 1, None).await.unwrap();
    assert_eq!(none.dead_letters, []);
    let bad = world.delivery.dead_letter_counts(|_, _| true, 1, Some("WzIsImEiXQ")).await;
    assert!(matches!(bad, Err(Error::InvalidCursor)), "{bad:?}");
}

#[tokio::test]
async fn open_letters_are_counted_and_the_age_of_the_oldest_is_told() {
    let world = World::start(1, "{}").await;
    until_loaded(&world.delivery).await;
    let hours_ago = |hours: i64| Clock::system().now().plus_millis(hours * -3_600_000).to_string();
    let (three, two) = (hours_ago(3), hours_ago(2));
    bury(
        &world,
        &[
            Draft { number: 0, failed_at: &two, ..Draft::default() },
            Draft { number: 1, failed_at: &three, ..Draft::default() },
            // The same letter, written twice.
            Draft { number: 1, failed_at: &three, ..Draft::default() },
        ],
    )
    .await;
    let open =
        |count: u64| format!(r#"weirgate_dlq_open{{group="inventory-sync",topic="orders.v1"}} {count}"#);
    let oldest = || {
        let text = world.registry.render();
        let start = r#"weirgate_dlq_oldest_open_seconds{group="inventory-sync",topic="orders.v1"} "#;
        let age = text.lines().find_map(|line| line.strip_prefix(start)).unwrap();
        age.parse::<f64>().unwrap() / 3_600.0
    };
    world.until_metric(&open(2)).await;
    assert!((3.0..3.9).contains(&oldest()), "{}", oldest());

    let ids = ids(&world.delivery).await;
    discard(&world.delivery, &ids[1], "anna").await.unwrap();
    world.until_metric(&open(1)).await;
    assert!((2.0..2.9).contains(&oldest()), "{}", oldest());

    discard(&world.delivery, &ids[0], "anna").await.unwrap();
    world.until_metric(&open(0)).await;
    assert!(oldest().abs() < f64::EPSILON, "{}", oldest());
}

#[tokio::test]
async fn letters_behind_those_looked_at_count_as_open_until_they_are_settled() {
    let world = World::start(1, "{}").await;
    until_loaded(&world.delivery).await;
    bury(&world, &numbered(1_200)).await;
    let open =
        |count: u64| format!(r#"weirgate_dlq_open{{group="inventory-sync",topic="orders.v1"}} {count}"#);
    world.until_metric(&open(1_200)).await;
    for number in [3, 1_150] {
        let id =
            DeadLetterId::new(&format!("{number:032x}"), Partition::new(0), Offset::new(number)).unwrap();
        discard(&world.delivery, &id, "anna").await.unwrap();
    }
    world.until_metric(&open(1_198)).await;
}

#[tokio::test]
async fn a_letter_that_died_again_has_been_open_since_then() {
    let world = World::start(1, "{}").await;
    until_loaded(&world.delivery).await;
    let hours_ago = |hours: i64| Clock::system().now().plus_millis(hours * -3_600_000).to_string();
    let (three, one) = (hours_ago(3), hours_ago(1));
    let first = Draft { failed_at: &three, ..Draft::default() };
    bury(&world, &[first, Draft { failed_at: &one, ..Draft::default() }]).await;
    let last = DeadLetterId::new(&"0".repeat(32), Partition::new(0), Offset::new(1)).unwrap();
    annotate(&world.delivery, &last, "it died again").await.unwrap();
    let is_young = async || {
        let text = world.registry.render();
        let told = |name: &str| {
            let start = format!(r#"weirgate_dlq_{name}{{group="inventory-sync",topic="orders.v1"}} "#);
            text.lines().find_map(|line| line.strip_prefix(&start)?.parse::<f64>().ok())
        };
        let (open, age) = (told("open")?, told("oldest_open_seconds")? / 3_600.0);
        ((0.9..1.1).contains(&open) && (1.0..1.9).contains(&age)).then_some(())
    };
    eventually_within(PATIENCE, "one letter has been open for an hour", is_young).await;
}
