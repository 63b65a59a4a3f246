//! The protocol's rules one by one, and under random input.

use std::time::Duration;

use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::{collection, proptest};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Action, Ending, Identified, Input, Machine, Opened, Order, Refused};
use crate::event::GroupName;
use crate::problem::{CloseCode, Code, Problem};
use crate::socket::Config;
use crate::socket::command::Reply;

const CONFIG: Config = Config {
    ping: Duration::from_secs(25),
    pong: Duration::from_secs(10),
    hello_timeout: Duration::from_secs(5),
    inbound_bytes_max: 64 * 1024,
    messages_per_second_max: 50,
    unsent_bytes_max: 1024 * 1024,
    subscriptions_max: 4,
    in_flight_max: 256,
    drain_window: Duration::from_secs(20),
};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A machine with a clock of its own, whose messages are read back as JSON.
struct Bench {
    machine: Machine,
    now: Instant,
}

#[derive(Debug, Default)]
struct Outcome {
    said: Vec<Value>,
    asked: Vec<Action>,
    closed: Option<(u16, Option<Duration>)>,
}

impl Outcome {
    fn code(&self) -> Option<u16> {
        self.closed.map(|(code, _)| code)
    }

    fn error(&self) -> &str {
        self.said.iter().find_map(|message| message["error"]["code"].as_str()).unwrap_or_default()
    }

    fn reply(self) -> Reply {
        let reply = self.asked.into_iter().find_map(|action| match action {
            Action::Identify { reply, .. }
            | Action::Subscribe { reply, .. }
            | Action::Join { reply, .. }
            | Action::Order { reply, .. }
            | Action::Publish { reply, .. }
            | Action::Drop { reply, .. } => Some(reply),
            Action::Send(..) | Action::Keep | Action::Discard | Action::Close { .. } => None,
        });
        reply.expect("something was asked for")
    }
}

impl Bench {
    fn strange() -> Self {
        let now = Instant::now();
        Self { machine: Machine::new(CONFIG, "c-1".into(), "g1".into(), now), now }
    }

    fn known() -> Self {
        let mut bench = Self::strange();
        bench.identified(None, "customer:42", None);
        bench
    }

    fn on(&mut self, input: Input<'_>) -> Outcome {
        let mut actions = Vec::new();
        self.machine.on(input, self.now, &mut actions);
        let mut outcome = Outcome::default();
        for action in actions {
            match action {
                Action::Send(_, text) => outcome.said.push(serde_json::from_slice(&text).unwrap()),
                Action::Close { code, delay, .. } => {
                    assert_eq!(outcome.closed, None, "closed once");
                    outcome.closed = Some((code.number(), delay));
                }
                other => outcome.asked.push(other),
            }
        }
        outcome
    }

    fn text(&mut self, text: &str) -> Outcome {
        self.on(Input::Text(text))
    }

    fn after(&mut self, time: Duration) -> Outcome {
        self.now += time;
        self.on(Input::Tick)
    }

    fn identified(&mut self, reply: Option<Reply>, principal: &str, expires_in: Option<Duration>) -> Outcome {
        self.on(Input::Identified {
            reply,
            outcome: Ok(Identified { principal: principal.into(), expires_in }),
        })
    }

    fn subscribe(&mut self, sub: u32) -> Outcome {
        let reply = self.text(r#"{"id":2,"op":"subscribe","topics":["orders.v1"]}"#).reply();
        self.on(Input::Opened { reply, group: None, outcome: Ok(Opened { sub, ok: json!({ "sub": sub }) }) })
    }

    fn join(&mut self, group: &str, sub: u32, credit: u32) -> Outcome {
        let asked = self.text(&format!(r#"{{"id":3,"op":"subscribe","group":"{group}","credit":{credit}}}"#));
        let opened = Opened { sub, ok: json!({ "sub": sub }) };
        let group = Some(GroupName::parse(group).unwrap());
        self.on(Input::Opened { reply: asked.reply(), group, outcome: Ok(opened) })
    }
}

#[test]
fn hello_brings_the_token_and_is_answered_with_the_limits() {
    let mut bench = Bench::strange();
    let reply = bench.text(r#"{"id":1,"op":"hello","token":"t","caps":[]}"#).reply();
    let outcome = bench.identified(Some(reply), "customer:42", Some(secs(540)));
    let hello = &outcome.said[0];
    assert_eq!(hello["id"], 1);
    assert_eq!(hello["ok"]["principal"], "customer:42");
    assert_eq!(hello["ok"]["connection"], "c-1");
    assert_eq!(hello["ok"]["pingMs"], 25_000);
    assert_eq!(hello["ok"]["expiresInMs"], 540_000);
    assert_eq!(hello["ok"]["limits"]["inFlightMax"], 256);
}

#[test]
fn without_hello_nothing_is_allowed_and_the_time_is_short() {
    let mut bench = Bench::strange();
    for op in [r#""subscribe","topics":["a"]"#, r#""publish","event":{}"#, r#""refresh","token":"t""#] {
        assert_eq!(bench.text(&format!(r#"{{"id":1,"op":{op}}}"#)).error(), "unauthenticated", "{op}");
    }
    assert_eq!(bench.text(r#"{"id":1,"op":"hello"}"#).error(), "unauthenticated");
    assert_eq!(bench.text(r#"{"op":"ping"}"#).said, [json!({"op": "pong"})]);
    assert_eq!(bench.machine.deadline(), Some(bench.now + secs(5)));
    assert_eq!(bench.after(secs(5)).code(), Some(4008));
}

#[test]
fn a_token_being_checked_is_waited_for() {
    let mut bench = Bench::strange();
    let reply = bench.text(r#"{"id":1,"op":"hello","token":"t"}"#).reply();
    assert_eq!(bench.text(r#"{"id":2,"op":"hello","token":"u"}"#).error(), "conflict");
    assert_eq!(bench.after(secs(6)).code(), None);
    assert_eq!(bench.identified(Some(reply), "p", None).code(), None);
}

#[test]
fn a_refused_token_ends_a_stranger_and_not_an_acquaintance() {
    let refused = || Refused { problem: Problem::hidden(Code::TokenInvalid), close: CloseCode::TokenInvalid };
    let mut bench = Bench::strange();
    let reply = bench.text(r#"{"id":1,"op":"hello","token":"t"}"#).reply();
    let outcome = bench.on(Input::Identified { reply: Some(reply), outcome: Err(refused()) });
    assert_eq!((outcome.error(), outcome.code()), ("token_invalid", Some(4001)));

    let mut bench = Bench::known();
    let reply = bench.text(r#"{"id":1,"op":"refresh","token":"t"}"#).reply();
    let outcome = bench.on(Input::Identified { reply: Some(reply), outcome: Err(refused()) });
    assert_eq!((outcome.error(), outcome.code()), ("token_invalid", None));

    let outcome = Bench::strange().on(Input::Identified { reply: None, outcome: Err(refused()) });
    assert_eq!((outcome.said.len(), outcome.code()), (0, Some(4001)));
}

#[test]
fn expiry_is_told_and_a_refresh_moves_it() {
    let mut bench = Bench::strange();
    bench.identified(None, "p", Some(secs(20)));
    let outcome = bench.after(secs(1));
    assert_eq!(outcome.said, [] as [Value; 0], "a short token was told at once");
    let mut bench = Bench::strange();
    let told = bench.identified(None, "p", Some(secs(40)));
    assert_eq!(told.said, [] as [Value; 0]);
    bench.now += secs(9);
    bench.on(Input::Control);
    assert_eq!(bench.machine.deadline(), Some(bench.now + secs(1)));
    assert_eq!(bench.after(secs(1)).said, [json!({"op": "expiring", "inMs": 30_000})]);
    let reply = bench.text(r#"{"id":9,"op":"refresh","token":"t"}"#).reply();
    let outcome = bench.identified(Some(reply), "p", Some(secs(100)));
    assert_eq!(outcome.said, [json!({"id": 9, "ok": {"expiresInMs": 100_000}})]);
    for _ in 0..8 {
        bench.now += secs(10);
        assert_eq!(bench.on(Input::Control).code(), None);
    }
    bench.now += secs(20);
    assert_eq!(bench.on(Input::Control).code(), Some(4100));
}

#[test]
fn silence_is_asked_about_and_then_ended() {
    let mut bench = Bench::known();
    assert_eq!(bench.after(secs(24)).said.len(), 0);
    assert_eq!(bench.after(secs(1)).said, [json!({"op": "ping"})]);
    assert_eq!(bench.machine.deadline(), Some(bench.now + secs(10)));
    assert_eq!(bench.after(secs(9)).code(), None);
    // Any traffic counts.
    bench.on(Input::Control);
    assert_eq!(bench.after(secs(2)).code(), None);
    assert_eq!(bench.after(secs(23)).said, [json!({"op": "ping"})]);
    let outcome = bench.after(secs(10));
    assert_eq!(outcome.code(), Some(4201));
    assert_eq!(bench.machine.deadline(), None);
}

#[test]
fn silence_that_is_not_listened_to_is_no_fault() {
    let mut bench = Bench::known();
    bench.after(secs(25));
    bench.machine.set_reading(false);
    assert_eq!(bench.after(secs(11)).code(), None);
    bench.machine.set_reading(true);
    assert_eq!(bench.after(secs(24)).code(), None);
}

#[test]
fn too_many_messages_in_a_second_end_the_connection() {
    let mut bench = Bench::known();
    for _ in 0..3 {
        for _ in 0..CONFIG.messages_per_second_max {
            assert_eq!(bench.text(r#"{"op":"pong"}"#).code(), None);
        }
        bench.now += secs(1);
    }
    for _ in 0..CONFIG.messages_per_second_max {
        bench.on(Input::Control);
    }
    assert_eq!(bench.on(Input::Control).code(), Some(4205));
}

#[test]
fn what_is_no_message_ends_the_connection() {
    assert_eq!(Bench::known().text("hello").code(), Some(4000));
    assert_eq!(Bench::known().text(r#"{"id":1}"#).code(), Some(4000));
    assert_eq!(Bench::known().on(Input::Binary).code(), Some(1003));
    assert_eq!(Bench::known().on(Input::Fault(CloseCode::TooLarge)).code(), Some(1009));
    assert_eq!(Bench::known().on(Input::Stuffed).code(), Some(4200));
    let outcome = Bench::known().text(r#"{"id":1,"op":"dance"}"#);
    assert_eq!((outcome.error(), outcome.code()), ("bad_request", None));
}

#[test]
fn the_same_subscription_twice_is_refused() {
    let mut bench = Bench::known();
    assert!(matches!(bench.subscribe(7).asked[..], [Action::Keep]));
    let again = bench.subscribe(7);
    assert_eq!(again.error(), "already_subscribed");
    assert!(matches!(again.asked[..], [Action::Discard]));
    bench.join("g", 9, 10);
    assert_eq!(bench.text(r#"{"id":4,"op":"subscribe","group":"g"}"#).error(), "already_subscribed");
    assert_eq!(bench.machine.book.totals(), (2, 10));
}

#[test]
fn subscriptions_and_credit_are_bounded() {
    let mut bench = Bench::known();
    bench.join("a", 1, 200);
    assert_eq!(
        bench.text(r#"{"id":4,"op":"subscribe","group":"b","credit":57}"#).error(),
        "invalid_parameter"
    );
    bench.join("b", 2, 56);
    assert_eq!(bench.text(r#"{"id":5,"op":"credit","sub":2,"set":57}"#).error(), "invalid_parameter");
    assert_eq!(bench.text(r#"{"id":5,"op":"credit","sub":1,"set":100}"#).asked.len(), 1);
    assert_eq!(bench.text(r#"{"id":5,"op":"credit","sub":2,"set":156}"#).asked.len(), 1);
    bench.subscribe(3);
    let reply = bench.text(r#"{"id":6,"op":"subscribe","topics":["a"]}"#).reply();
    assert_eq!(bench.text(r#"{"id":7,"op":"subscribe","topics":["b"]}"#).error(), "conflict");
    let outcome = Err(Problem::hidden(Code::Forbidden));
    assert_eq!(bench.on(Input::Opened { reply, group: None, outcome }).error(), "forbidden");
    assert!(matches!(bench.subscribe(5).asked[..], [Action::Keep]));
}

#[test]
fn orders_reach_only_what_they_fit() {
    let mut bench = Bench::known();
    bench.subscribe(7);
    bench.join("g", 9, 10);
    for op in [r#""ack","sub":1,"delivery":"x""#, r#""pause","sub":1"#, r#""unsubscribe","sub":1"#] {
        assert_eq!(bench.text(&format!(r#"{{"id":1,"op":{op}}}"#)).error(), "not_found", "{op}");
    }
    for op in [r#""nack","sub":7,"delivery":"x""#, r#""credit","sub":7,"set":1"#] {
        assert_eq!(bench.text(&format!(r#"{{"id":1,"op":{op}}}"#)).error(), "bad_request", "{op}");
    }
    let paused = bench.text(r#"{"id":1,"op":"pause","sub":7}"#);
    assert!(matches!(paused.asked[..], [Action::Order { sub: 7, order: Order::Pause, .. }]));
    let dropped = bench.text(r#"{"id":8,"op":"unsubscribe","sub":7}"#);
    assert!(matches!(dropped.asked[..], [Action::Drop { sub: 7, .. }]));
    assert_eq!(bench.text(r#"{"id":8,"op":"unsubscribe","sub":7}"#).error(), "not_found");
}

#[test]
fn only_what_asks_for_an_answer_gets_one() {
    let mut bench = Bench::known();
    bench.join("g", 9, 10);
    let silent = bench.text(r#"{"op":"ack","sub":9,"delivery":"x"}"#).reply();
    assert_eq!(bench.on(Input::Done { reply: silent, outcome: Ok(json!({})) }).said.len(), 0);
    let asking = bench.text(r#"{"id":"a","op":"ack","sub":9,"delivery":"x"}"#).reply();
    let outcome = bench.on(Input::Done { reply: asking, outcome: Ok(json!({})) });
    assert_eq!(outcome.said, [json!({"id": "a", "ok": {}})]);
}

#[test]
fn a_lost_right_ends_the_subscription_alone() {
    let mut bench = Bench::known();
    bench.subscribe(7);
    let ending = || Ending::Alone(Problem::hidden(Code::Forbidden));
    let outcome = bench.on(Input::Ended { sub: 7, ending: ending() });
    assert_eq!(outcome.said[0]["unsubscribed"]["code"], "forbidden");
    assert_eq!((outcome.said[0]["sub"].as_u64(), outcome.code()), (Some(7), None));
    assert_eq!(bench.on(Input::Ended { sub: 7, ending: ending() }).said.len(), 0);
    assert_eq!(bench.on(Input::Outcast(CloseCode::Revoked)).code(), Some(4010));
}

#[test]
fn a_drain_takes_nobody_in_and_lets_go_at_its_moment() {
    let mut bench = Bench::known();
    bench.subscribe(7);
    let opening = bench.text(r#"{"id":2,"op":"subscribe","topics":["b"]}"#).reply();
    bench.on(Input::Drain { at: bench.now + secs(8), delay: secs(11) });
    assert_eq!(bench.machine.deadline(), Some(bench.now + secs(8)));
    assert_eq!(bench.text(r#"{"id":3,"op":"subscribe","topics":["a"]}"#).error(), "draining");
    let opened = Opened { sub: 8, ok: json!({}) };
    let late = bench.on(Input::Opened { reply: opening, group: None, outcome: Ok(opened) });
    assert_eq!(late.error(), "draining");
    assert!(matches!(late.asked[..], [Action::Discard]));
    assert_eq!(bench.after(secs(7)).closed, None);
    assert_eq!(bench.after(secs(1)).closed, Some((4300, Some(secs(11)))));
}

#[derive(Debug, Clone)]
enum Step {
    Text(String),
    Control,
    Wait(u64),
    Finish { is_good: bool, sub: u32 },
    End(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let id = prop_oneof![Just(String::new()), (0..5_u32).prop_map(|id| format!("\"id\":{id},"))];
    let op = prop_oneof![
        Just(r#""hello""#.to_owned()),
        Just(r#""hello","token":"t""#.to_owned()),
        Just(r#""refresh","token":"t""#.to_owned()),
        Just(r#""subscribe","topics":["a"]"#.to_owned()),
        (0..3_u32, 1..200_u32)
            .prop_map(|(group, credit)| format!(r#""subscribe","group":"g{group}","credit":{credit}"#)),
        (0..6_u32).prop_map(|sub| format!(r#""unsubscribe","sub":{sub}"#)),
        (0..6_u32).prop_map(|sub| format!(r#""nack","sub":{sub},"delivery":"x""#)),
        (0..6_u32, any::<u32>()).prop_map(|(sub, set)| format!(r#""credit","sub":{sub},"set":{set}"#)),
        (0..6_u32).prop_map(|sub| format!(r#""pause","sub":{sub}"#)),
        Just(r#""publish","event":{}"#.to_owned()),
        Just(r#""ping""#.to_owned()),
        "[a-z\":{}\\[\\],0-9]{0,20}",
    ];
    prop_oneof![
        6 => (id, op).prop_map(|(id, op)| Step::Text(format!("{{{id}\"op\":{op}}}"))),
        1 => Just(Step::Control),
        2 => (0..15_000_u64).prop_map(Step::Wait),
        6 => (any::<bool>(), 0..6_u32).prop_map(|(is_good, sub)| Step::Finish { is_good, sub }),
        1 => (0..6_u32).prop_map(Step::End),
    ]
}

/// Finishes the oldest thing the machine asked for.
fn finish(bench: &mut Bench, action: Action, is_good: bool, sub: u32) -> Outcome {
    let problem = || Problem::hidden(Code::LogUnavailable);
    match action {
        Action::Identify { reply, .. } => {
            let identified = Identified { principal: "p".into(), expires_in: is_good.then_some(secs(60)) };
            let refused = Refused { problem: problem(), close: CloseCode::Overloaded };
            let outcome = if sub > 0 { Ok(identified) } else { Err(refused) };
            bench.on(Input::Identified { reply: Some(reply), outcome })
        }
        Action::Subscribe { reply, .. } => {
            let outcome = if is_good { Ok(Opened { sub, ok: json!({}) }) } else { Err(problem()) };
            bench.on(Input::Opened { reply, group: None, outcome })
        }
        Action::Join { reply, worker, .. } => {
            let outcome = if is_good { Ok(Opened { sub, ok: json!({}) }) } else { Err(problem()) };
            bench.on(Input::Opened { reply, group: Some(worker.group), outcome })
        }
        Action::Drop { reply, .. } | Action::Order { reply, .. } | Action::Publish { reply, .. } => {
            let outcome = if is_good { Ok(json!({})) } else { Err(problem()) };
            bench.on(Input::Done { reply, outcome })
        }
        Action::Send(..) | Action::Keep | Action::Discard | Action::Close { .. } => Outcome::default(),
    }
}

proptest! {
    #[test]
    fn whatever_comes_the_limits_hold_and_the_end_is_the_end(steps in collection::vec(step(), 1..80)) {
        let mut bench = Bench::strange();
        let mut under_way = std::collections::VecDeque::new();
        let (mut asked_ids, mut answered_ids) = (0, 0);
        let mut is_closed = false;
        let mut is_known = false;
        for step in steps {
            let mut finished_identify = false;
            let outcome = match step {
                Step::Text(text) => {
                    let is_addressed = super::Command::parse(&text).is_ok_and(|command| command.reply.id.is_some());
                    asked_ids += usize::from(is_addressed && !is_closed);
                    bench.text(&text)
                }
                Step::Control => bench.on(Input::Control),
                Step::Wait(millis) => bench.after(Duration::from_millis(millis)),
                Step::End(sub) => bench.on(Input::Ended { sub, ending: Ending::Alone(Problem::hidden(Code::Forbidden)) }),
                Step::Finish { is_good, sub } => match under_way.pop_front() {
                    Some(action) => {
                        finished_identify = matches!(action, Action::Identify { .. }) && sub > 0;
                        finish(&mut bench, action, is_good, sub)
                    }
                    None => continue,
                },
            };
            is_known |= finished_identify;
            answered_ids += outcome.said.iter().filter(|message| message.get("id").is_some()).count();
            let wants = outcome.asked.into_iter().filter(|action| !matches!(action, Action::Keep | Action::Discard));
            for action in wants {
                assert!(is_known || matches!(action, Action::Identify { .. }), "{action:?} for a stranger");
                assert!(!is_closed, "{action:?} after the end");
                under_way.push_back(action);
            }
            assert!(!(is_closed && outcome.closed.is_some()), "closed twice");
            is_closed |= outcome.closed.is_some();
            let (subscriptions, credit) = bench.machine.book.totals();
            assert!(subscriptions <= CONFIG.subscriptions_max && credit <= CONFIG.in_flight_max);
            match bench.machine.deadline() {
                Some(deadline) => assert!(!is_closed && deadline > bench.now, "a deadline that has passed"),
                None => assert!(is_closed),
            }
        }
        let waiting = under_way.iter().filter(|action| has_id(action)).count();
        // The last message may have closed the connection instead of being answered.
        assert!(asked_ids - answered_ids - waiting <= usize::from(is_closed), "{asked_ids} {answered_ids} {waiting}");
    }
}

fn has_id(action: &Action) -> bool {
    match action {
        Action::Identify { reply, .. }
        | Action::Subscribe { reply, .. }
        | Action::Join { reply, .. }
        | Action::Drop { reply, .. }
        | Action::Order { reply, .. }
        | Action::Publish { reply, .. } => reply.id.is_some(),
        Action::Send(..) | Action::Keep | Action::Discard | Action::Close { .. } => false,
    }
}
