//! One run: gateways, publishers, workers, an audience and the control on a topic of their own; then the verdict.
//!
//! ```text
//! begin ── faults, by the test ── end: stop publishing, heal, drain, end the gateways, read the log ── verdict
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use tokio::task::block_in_place;
use tokio::time::{Instant, interval, timeout};

use crate::brokers::{self, Held};
use crate::checkers::{Case, Stored, ends};
use crate::control::{Control, READER};
use crate::gateway::{Gateway, Target};
use crate::history::{Book, Deed, Entry, Kind};
use crate::log::{self, Commits};
use crate::publishers::{EVENT_TYPE, Pace, Publishers, Retry};
use crate::subscribers::{AUDIENCE, Reading, Seen, Settling, Subscribers};
use crate::verdict::{Ended, Verdict};
use crate::{rounds, until};

pub(crate) const PARTITIONS: i32 = 3;
/// How long readers may take to come to the end of a healed log.
const DRAIN_MAX: Duration = Duration::from_secs(120);
/// How long clients may take to finish what they are at.
const STOP_MAX: Duration = Duration::from_secs(60);

/// What a run is made of.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) gateways: usize,
    pub(crate) workers: usize,
    pub(crate) settling: Settling,
    pub(crate) pace: Pace,
    /// `log.kafka.delivery_timeout`, and the control's.
    pub(crate) delivery_timeout: Duration,
    /// YAML laid over the gateways' configuration.
    pub(crate) yaml: String,
}

impl Default for Plan {
    /// Two gateways, eight keys, a hundred events a second, two workers; the gateway's own defaults.
    fn default() -> Self {
        let pace = Pace { publishers: 8, every: Duration::from_millis(80), retry: Retry::Never };
        let delivery_timeout = Duration::from_secs(10);
        Self { gateways: 2, workers: 2, settling: Settling::All, pace, delivery_timeout, yaml: String::new() }
    }
}

/// A run under way.
#[derive(Debug)]
pub(crate) struct Run {
    name: &'static str,
    began: Instant,
    pub(crate) topic: String,
    pub(crate) group: String,
    pub(crate) brokers: Held,
    pub(crate) gateways: Vec<Gateway>,
    pub(crate) publishers: Publishers,
    pub(crate) subscribers: Subscribers,
    pub(crate) book: Book,
    control: Control,
    commits: Commits,
    directory: PathBuf,
}

impl Run {
    /// A whole run, in each of whose rounds this happens.
    pub(crate) async fn rounds(
        name: &'static str,
        plan: Plan,
        control_stall_max: Duration,
        mut round: impl AsyncFnMut(&mut Self),
    ) -> Verdict {
        let mut run = Self::begin(name, plan).await;
        for _ in 0..rounds() {
            round(&mut run).await;
        }
        run.end(control_stall_max).await
    }

    /// Starts everything, and waits until every publisher and the control have stored something.
    pub(crate) async fn begin(name: &'static str, plan: Plan) -> Self {
        let brokers = brokers::take().await;
        let began = Instant::now();
        let id = uuid::Uuid::new_v4().simple().to_string();
        let (topic, group) = (format!("faults.{id}"), format!("faults-{id}"));
        let directory =
            PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("faults-{name}-{}", &id[..8]));
        brokers.make_topic(&topic, PARTITIONS, &[("min.insync.replicas", "2")]).await;
        let yaml = yaml(&brokers.doors(), &topic, &group, &plan);
        let mut gateways = Vec::new();
        for number in 0..plan.gateways {
            gateways.push(Gateway::start(&directory.join(format!("gateway{number}")), &yaml).await);
        }
        for gateway in &gateways {
            gateway.until_ready().await;
        }
        let targets: Vec<Target> = gateways.iter().map(|gateway| gateway.target.clone()).collect();
        let book = Book::new(&directory);
        let reading = Reading {
            topic: topic.clone(),
            group: group.clone(),
            workers: plan.workers,
            settling: plan.settling,
        };
        let run = Self {
            name,
            began,
            subscribers: Subscribers::start(&book, &targets, &reading),
            publishers: Publishers::start(&book, &targets, plan.pace),
            control: Control::start(&book, &brokers.doors(), &topic, PARTITIONS, plan.delivery_timeout),
            commits: Commits::watch(&book, &brokers.client(), &group, &topic, PARTITIONS),
            topic,
            group,
            brokers,
            gateways,
            book,
            directory,
        };
        run.publishers.go_on(5, STOP_MAX).await;
        run.control.goes_on(STOP_MAX).await;
        run.group_goes_on(STOP_MAX).await;
        run
    }

    /// Waits until the group has settled something new in every partition.
    pub(crate) async fn group_goes_on(&self, patience: Duration) {
        let last = || {
            let settled = self.subscribers.settled.lock().unwrap();
            settled.iter().copied().collect::<BTreeMap<i32, i64>>()
        };
        let before = last();
        until("the group goes on in every partition", patience, async || {
            let now = last();
            let more = |part: i32| now.get(&part) > before.get(&part);
            (0..PARTITIONS).all(more).then_some(())
        })
        .await;
    }

    /// What the group has committed of a partition.
    pub(crate) fn committed(&self, part: i32) -> Option<i64> {
        let onlooker = log::onlooker(&self.brokers.client(), &self.group);
        let committed = block_in_place(|| log::committed(&onlooker, &self.topic, PARTITIONS))?;
        committed.into_iter().find(|(of, _)| *of == part).map(|(_, off)| off)
    }

    /// The node that leads the topic's first partition.
    pub(crate) async fn leader(&self) -> usize {
        self.brokers.leader(&self.topic, 0).await
    }

    /// Ends the run and judges it; see [`Ended::judge`].
    pub(crate) async fn end(self, control_stall_max: Duration) -> Verdict {
        self.finish().await.judge(control_stall_max)
    }

    /// Stops publishing, heals, lets the readers come to the end, ends the gateways and reads the log.
    async fn finish(mut self) -> Ended {
        timeout(STOP_MAX, self.publishers.stop()).await.expect("the publishers stop");
        timeout(STOP_MAX, self.control.stop_producers()).await.expect("the control's producers stop");
        self.brokers.heal().await;
        for gateway in &mut self.gateways {
            gateway.check();
            gateway.until_ready().await;
        }
        let client = self.brokers.client();
        let truth = log::truth(&client, &self.topic, PARTITIONS);
        let onlooker = log::onlooker(&client, &self.group);
        let committed = || block_in_place(|| log::committed(&onlooker, &self.topic, PARTITIONS));
        let readers = [&self.subscribers.followed, &self.control.followed];
        let is_drained = drained(&truth, &readers, committed).await;
        timeout(STOP_MAX, self.subscribers.stop()).await.expect("the subscribers stop");
        for gateway in &mut self.gateways {
            gateway.terminate().await;
            gateway.check();
            let mut recorder = self.book.recorder(&gateway.target.name);
            for lost in gateway.losses() {
                recorder.write_at(self.book.at(lost), Entry::new(Deed::Lose, Kind::Ok));
            }
        }
        self.commits.stop().await;
        self.control.stop().await;
        let truth = log::truth(&client, &self.topic, PARTITIONS);
        let committed = committed();
        let audiences = vec![AUDIENCE.to_owned(), READER.to_owned()];
        Ended {
            name: self.name,
            took: self.began.elapsed(),
            case: Case {
                history: self.book.read(),
                truth,
                partitions: PARTITIONS,
                has_group: true,
                audiences,
            },
            is_drained,
            committed: committed.expect("the commits can be read"),
            directory: self.directory,
        }
    }
}

/// Whether each reader came to the end of the log in time, and the group has committed it. What is missing is for the
/// checkers, which name it.
async fn drained(
    truth: &[Stored],
    readers: &[&Seen],
    committed: impl Fn() -> Option<Vec<(i32, i64)>>,
) -> bool {
    let has_all = |seen: &Seen| {
        let seen = seen.lock().unwrap();
        truth.iter().all(|stored| seen.contains(&(stored.part, stored.off)))
    };
    let ends = ends(truth);
    let draining = async {
        let mut ticks = interval(Duration::from_millis(100));
        while !readers.iter().all(|seen| has_all(seen)) || committed().is_none_or(|now| now != ends) {
            ticks.tick().await;
        }
    };
    timeout(DRAIN_MAX, draining).await.is_ok()
}

/// What the gateways are told.
pub(crate) fn yaml(brokers: &[String], topic: &str, group: &str, plan: &Plan) -> String {
    let (brokers, delivery_timeout) = (brokers.join(", "), plan.delivery_timeout.as_millis());
    format!(
        "http: {{metrics_listen: null, drain_delay: 500ms, limits: {{connections_new_per_second_max: 10000}}}}\n\
         socket: {{drain_window: 3s}}\n\
         log:\n  engine: kafka\n  kafka: {{brokers: [{brokers}], delivery_timeout: {delivery_timeout}ms}}\n\
         topic_defaults: {{schema: {{required: false}}}}\n\
         topics: [{{name: {topic}, event_types: [{EVENT_TYPE}], partitions: {PARTITIONS}, key: /data/key}}]\n\
         groups: {{{group}: {{topics: [{topic}]}}}}\n{}\n",
        plan.yaml
    )
}
