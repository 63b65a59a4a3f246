//! Which topics a subscription reads: names, patterns, rights.

use std::sync::{Arc, Mutex};

use crate::event::{Filter, Topic, json::Pointer};
use crate::feed::fake::{TestFeed, at, drain, request, short};
use crate::feed::{Admission, Error, From, Request, Subscription};

fn allowing(
    topics: &[&str],
    from: From,
    admission: impl Fn(&Topic) -> Admission + Send + Sync + 'static,
) -> Request {
    Request { admission: Arc::new(admission), ..request(topics, from) }
}

async fn shorts(subscription: &mut Subscription) -> Vec<String> {
    let mut seen: Vec<String> = drain(subscription).await.iter().filter_map(short).collect();
    seen.sort();
    seen
}

#[tokio::test(start_paused = true)]
async fn a_named_topic_must_exist_and_a_denied_one_does_not_say_whether_it_does() {
    let test = TestFeed::start();
    test.log.create("there", 1);
    let denied = |topics: &[&str]| allowing(topics, From::Latest, |_| Admission::Denied);
    assert!(matches!(
        test.feed.subscribe(request(&["away"], From::Latest)).await,
        Err(Error::UnknownTopic(_))
    ));
    for name in ["there", "away"] {
        assert!(matches!(test.feed.subscribe(denied(&[name])).await, Err(Error::Forbidden(_))), "{name}");
    }
    assert!(test.feed.subscribe(denied(&["*"])).await.unwrap().positions().is_empty());
    assert!(matches!(
        test.feed.subscribe(request(&["a b"], From::Latest)).await,
        Err(Error::InvalidTopic(_))
    ));
    assert!(matches!(
        test.feed.subscribe(request(&[], From::Latest)).await,
        Err(Error::InvalidTopics { .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn one_subscription_names_at_most_64_topics() {
    let test = TestFeed::start();
    let names: Vec<String> = (0..65).map(|number| format!("t{number}*")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert!(test.feed.subscribe(request(&names[..64], From::Latest)).await.is_ok());
    let refused = test.feed.subscribe(request(&names, From::Latest)).await;
    assert!(matches!(refused, Err(Error::InvalidTopics { topics_max: 64 })));
}

#[tokio::test(start_paused = true)]
async fn topics_created_later_join_a_pattern_from_their_beginning() {
    let test = TestFeed::start();
    test.log.create("orders.a", 1);
    test.log.put("orders.a", 0, "{}");
    let admission =
        |topic: &Topic| if topic.as_str() == "orders.secret" { Admission::Denied } else { Admission::All };
    let mut subscription =
        test.feed.subscribe(allowing(&["orders.*"], From::Latest, admission)).await.unwrap();
    for name in ["orders.b", "orders.secret", "users.a"] {
        test.log.create(name, 1);
        test.log.put(name, 0, "{}");
    }
    test.log.put("orders.a", 0, "{}");
    assert_eq!(shorts(&mut subscription).await, ["orders.a/0@1", "orders.b/0@0"]);
}

#[tokio::test(start_paused = true)]
async fn partitions_added_later_join_from_their_beginning() {
    let test = TestFeed::start();
    test.log.create("t", 1);
    let mut subscription = test.follow("t").await;
    test.log.grow("t", 3);
    test.log.put("t", 2, "{}");
    test.log.put("t", 0, "{}");
    assert_eq!(shorts(&mut subscription).await, ["t/0@0", "t/2@0"]);
    assert_eq!(subscription.positions(), at("t", &[(0, 1), (1, 0), (2, 1)]));
}

#[tokio::test(start_paused = true)]
async fn a_row_filter_is_applied_beside_the_wanted_one() {
    let test = TestFeed::start();
    test.log.create("t", 1);
    let rows = Filter::equals(Pointer::parse("/data/customerId").unwrap(), "42");
    let admission = move |_: &Topic| Admission::Rows(rows.clone());
    let wanted = Filter::parse_text(r#"{"pointer":"/data/amount","ge":10}"#).unwrap();
    let request = Request { filter: Some(wanted), ..allowing(&["t"], From::Earliest, admission) };
    for record in [
        r#"{"customerId":"42","amount":10}"#,
        r#"{"customerId":42,"amount":11}"#,
        r#"{"customerId":"42","amount":9}"#,
        r#"{"customerId":"7","amount":12}"#,
        r#"{"amount":12}"#,
        "no json",
    ] {
        test.log.put("t", 0, record);
    }
    let mut subscription = test.feed.subscribe(request).await.unwrap();
    assert_eq!(shorts(&mut subscription).await, ["t/0@0", "t/0@1"]);
}

#[tokio::test(start_paused = true)]
async fn a_recheck_ends_a_named_topic_and_leaves_a_pattern_the_rest() {
    let test = TestFeed::start();
    test.log.create("a", 1);
    test.log.create("b", 1);
    let allowed = Arc::new(Mutex::new(vec!["a"]));
    let admission = {
        let allowed = Arc::clone(&allowed);
        move |topic: &Topic| {
            if allowed.lock().unwrap().contains(&topic.as_str()) { Admission::All } else { Admission::Denied }
        }
    };
    let by_pattern = allowing(&["*"], From::Latest, admission.clone());
    let mut pattern = test.feed.subscribe(by_pattern).await.unwrap();
    let mut named = test.feed.subscribe(allowing(&["a"], From::Latest, admission)).await.unwrap();
    test.log.put("b", 0, "{}");
    *allowed.lock().unwrap() = vec!["b"];
    assert!(matches!(named.recheck(), Err(Error::Forbidden(topic)) if topic.as_str() == "a"));
    pattern.recheck().unwrap();
    drain(&mut pattern).await;
    test.log.put("a", 0, "{}");
    test.log.put("b", 0, "{}");
    assert_eq!(shorts(&mut pattern).await, ["b/0@1"], "what is now admitted joins at its end");
}

#[tokio::test(start_paused = true)]
async fn a_recheck_that_changes_the_rows_loses_and_repeats_nothing() {
    let test = TestFeed::start();
    test.log.create("t", 1);
    let rows = Arc::new(Mutex::new("1"));
    let admission = {
        let rows = Arc::clone(&rows);
        move |_: &Topic| {
            Admission::Rows(Filter::equals(Pointer::parse("/data/c").unwrap(), *rows.lock().unwrap()))
        }
    };
    let mut subscription = test.feed.subscribe(allowing(&["t"], From::Latest, admission)).await.unwrap();
    for customer in ["1", "2", "1"] {
        test.log.put("t", 0, &format!(r#"{{"c":"{customer}"}}"#));
    }
    assert_eq!(shorts(&mut subscription).await, ["t/0@0", "t/0@2"]);
    for customer in ["2", "1"] {
        test.log.put("t", 0, &format!(r#"{{"c":"{customer}"}}"#));
    }
    *rows.lock().unwrap() = "2";
    subscription.recheck().unwrap();
    assert_eq!(shorts(&mut subscription).await, ["t/0@3"]);
}
