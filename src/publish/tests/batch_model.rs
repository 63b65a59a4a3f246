//! The abort rule of batches against a naive model, for any mix of events and answers of the log.

use std::collections::HashSet;

use proptest::prelude::{Just, Strategy, any, prop, prop_oneof, proptest};
use proptest::test_runner::Config as Cases;
use serde_json::json;

use super::fake_log::Answer;
use super::gateway::{Gateway, statuses};
use crate::log;
use crate::publish::{Error, Validation};

/// An event of the model: where it belongs, and whether it is refused.
#[derive(Debug, Clone, Copy)]
struct Event {
    is_order: bool,
    key: Option<u8>,
    is_bad: bool,
}

impl Event {
    fn lane(self) -> Option<(bool, u8)> {
        self.key.map(|key| (self.is_order, key))
    }

    fn body(self, index: usize) -> String {
        let source = if self.is_bad { "nobody" } else { "order-service" };
        let key = self.key.map(|key| format!("k{key}"));
        let (event_type, member) =
            if self.is_order { ("orders.placed.v1", "customerId") } else { ("payments.taken.v1", "account") };
        json!({ "eventType": event_type, "source": source, "data": { member: key, "place": index } })
            .to_string()
    }
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = (any::<bool>(), prop_oneof![Just(None), (0..3_u8).prop_map(Some)], prop::bool::weighted(0.2));
    // Orders must have a key; a null one is a refusal of its own and told apart by no lane.
    let event = event.prop_map(|(is_order, key, is_bad)| Event {
        is_order,
        key,
        is_bad: is_bad || (is_order && key.is_none()),
    });
    prop::collection::vec(event, 1..40)
}

/// What each event comes to before the log is asked.
fn judged(events: &[Event]) -> Vec<&'static str> {
    let mut broken = HashSet::new();
    events
        .iter()
        .map(|event| match event.lane() {
            _ if event.is_bad => {
                broken.extend(event.lane());
                "failed"
            }
            Some(lane) if broken.contains(&lane) => "aborted",
            Some(_) | None => "accepted",
        })
        .collect()
}

proptest! {
    #![proptest_config(Cases::with_cases(64))]

    #[test]
    fn refusals_abort_exactly_the_later_events_of_their_lane(events in events()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let gateway = Gateway::start().await;
            let bodies: Vec<String> = events.iter().enumerate().map(|(index, event)| event.body(index)).collect();
            let body = format!("[{}]", bodies.join(","));
            let expected = judged(&events);
            if expected.contains(&"failed") {
                let refused = gateway.batch(Validation::All, &body).await;
                assert!(matches!(refused, Err(Error::BatchRefused(_))));
                assert!(gateway.log.appends().is_empty());
            }
            let batch = gateway.batch(Validation::Each, &body).await.unwrap();
            assert_eq!(statuses(&batch), expected);
            assert_order_is_kept(&gateway);
        });
    }

    #[test]
    fn failed_appends_leave_no_gap_followed_by_an_event_handed_over_later(
        events in events(),
        answers in prop::collection::vec(0..4_u8, 0..6),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let gateway = Gateway::start().await;
            gateway.log.script(answers.iter().map(|answer| match answer {
                0 => Answer::Refuse(log::Error::Overloaded),
                1 => Answer::StoreSilently,
                2 => Answer::Lose,
                _ => Answer::Store,
            }));
            let bodies: Vec<String> = events.iter().enumerate().map(|(index, event)| event.body(index)).collect();
            let batch = gateway.batch(Validation::Each, &format!("[{}]", bodies.join(","))).await.unwrap();
            let stored = gateway.log.records("orders.v1").len() + gateway.log.records("payments").len();
            let statuses = statuses(&batch);
            let count = |wanted: &str| statuses.iter().filter(|status| **status == wanted).count();
            assert!(count("accepted") <= stored && stored <= count("accepted") + count("unknown"));
            // Of one lane: after an event that failed or was aborted, nothing is accepted.
            let mut broken = HashSet::new();
            for (event, status) in events.iter().zip(&statuses) {
                let Some(lane) = event.lane() else { continue };
                match *status {
                    "failed" | "aborted" => { broken.insert(lane); }
                    "accepted" => assert!(!broken.contains(&lane)),
                    _ => {}
                }
            }
            assert_order_is_kept(&gateway);
        });
    }
}

/// Records of one key lie in the order of their events.
fn assert_order_is_kept(gateway: &Gateway) {
    for topic in ["orders.v1", "payments"] {
        let mut last = std::collections::HashMap::new();
        for record in gateway.log.records(topic) {
            let Some(key) = record.key else { continue };
            let value: serde_json::Value = serde_json::from_slice(&record.value.unwrap()).unwrap();
            let place = value["data"]["place"].as_u64().unwrap();
            assert!(last.insert(key, place).is_none_or(|before| before < place));
        }
    }
}
