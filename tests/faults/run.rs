//! One run: gateways, publishers, workers, an audience and the control on a topic of their own; then the verdict.
//!
//! ```text
//! begin ── faults, by the test ── end: stop publishing, heal, drain, end the gateways, read the log ── verdict
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use tokio::task::block_in_place;
use tokio::time::{Instant, timeout};

use crate::audience::AUDIENCE;
use crate::brokers::{self, Brokers};
use crate::checkers::{Case, Stored};
use crate::control::Control;
use crate::gateway::{Gateway, Target};
use crate::ground::{Engine, Ground, Names, Remains};
use crate::history::{Book, Deed, Entry, Kind};
use crate::publishers::{EVENT_TYPE, Pace, Publishers, Retry};
use crate::settling::Settling;
use crate::subscribers::{Reading, Subscribers};
use crate::verdict::{Ended, Verdict};
use crate::{alone, log, rounds, until};

pub(crate) const PARTITIONS: i32 = 3;
/// `socket.drain_window`: over how long sockets leave a gateway that ends.
pub(crate) const DRAIN_WINDOW: Duration = Duration::from_secs(3);
/// How long clients may take to finish what they are at.
const STOP_MAX: Duration = Duration::from_secs(180);
/// `log.kafka.delivery_timeout` where nothing is done to brokers: a slow disk leaves no outcome unknown.
pub(crate) const PATIENT: Duration = Duration::from_secs(60);

/// What a run is made of.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) engine: Engine,
    pub(crate) gateways: usize,
    pub(crate) workers: usize,
    pub(crate) settling: Settling,
    pub(crate) pace: Pace,
    /// `log.kafka.delivery_timeout`, and the control's.
    pub(crate) delivery_timeout: Duration,
    /// Settings of the group, each after a comma.
    pub(crate) policy: &'static str,
    /// Where a gateway shows its metrics, if it shall: two cannot at one place.
    pub(crate) metrics: Option<u16>,
    /// YAML laid over the gateways' configuration.
    pub(crate) yaml: String,
}

impl Default for Plan {
    /// Two gateways on Kafka, eight keys, a hundred events a second, two workers; the gateway's own defaults.
    fn default() -> Self {
        Self {
            engine: Engine::Kafka,
            gateways: 2,
            workers: 2,
            settling: Settling::All,
            pace: Pace { publishers: 8, every: Duration::from_millis(80), retry: Retry::Never },
            delivery_timeout: Duration::from_secs(10),
            policy: "",
            metrics: None,
            yaml: String::new(),
        }
    }
}

impl Plan {
    /// As many gateways as the engine lets share a log, up to two, with publishers that try again.
    pub(crate) fn retrying(engine: Engine) -> Self {
        let plan = Self::default();
        let gateways = if engine == Engine::Embedded { 1 } else { plan.gateways };
        let pace = Pace { retry: Retry::UntilStored, ..plan.pace };
        Self { engine, gateways, pace, delivery_timeout: PATIENT, ..plan }
    }
}

/// A run under way.
#[derive(Debug)]
pub(crate) struct Run {
    name: &'static str,
    began: Instant,
    pub(crate) names: Names,
    ground: Ground,
    pub(crate) gateways: Vec<Gateway>,
    pub(crate) publishers: Publishers,
    pub(crate) subscribers: Subscribers,
    pub(crate) book: Book,
    removed: Vec<Stored>,
    /// Letters that were taken away on purpose.
    pub(crate) taken: Vec<Stored>,
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
        let brokers = match plan.engine {
            Engine::Kafka => Some(brokers::take().await),
            Engine::Embedded => None,
        };
        let began = Instant::now();
        let id = uuid::Uuid::new_v4().simple().to_string();
        let names = Names { topic: format!("faults.{id}"), group: format!("faults-{id}") };
        let directory =
            PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("faults-{name}-{}", &id[..8]));
        if let Some(brokers) = &brokers {
            brokers.make_topic(&names.topic, PARTITIONS, &[("min.insync.replicas", "2")]).await;
        }
        let yaml = yaml(brokers.as_ref().map(|brokers| brokers.doors()), &names, &plan);
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
            topic: names.topic.clone(),
            group: names.group.clone(),
            workers: plan.workers,
            settling: plan.settling,
        };
        let Names { topic, group } = &names;
        let ground = match brokers {
            Some(brokers) => Ground::Brokers {
                control: Control::start(&book, &brokers.doors(), topic, PARTITIONS, plan.delivery_timeout),
                commits: log::Commits::watch(&book, &brokers.client(), group, topic, PARTITIONS),
                brokers,
            },
            None => Ground::Own {
                commits: alone::Commits::watch(&book, &targets[0], &names),
                target: targets[0].clone(),
                data: gateways[0].data(),
            },
        };
        let run = Self {
            name,
            began,
            subscribers: Subscribers::start(&book, &targets, &reading),
            publishers: Publishers::start(&book, &targets, plan.pace),
            names,
            ground,
            gateways,
            book,
            removed: Vec::new(),
            taken: Vec::new(),
            directory,
        };
        run.publishers.go_on(5, STOP_MAX).await;
        run.ground.goes_on(STOP_MAX).await;
        run.group_goes_on(STOP_MAX).await;
        run
    }

    /// The brokers of a run that has some.
    pub(crate) fn brokers(&self) -> &Brokers {
        let Ground::Brokers { brokers, .. } = &self.ground else { panic!("a run on Kafka") };
        brokers
    }

    /// The same, to do something to them.
    pub(crate) fn brokers_mut(&mut self) -> &mut Brokers {
        let Ground::Brokers { brokers, .. } = &mut self.ground else { panic!("a run on Kafka") };
        brokers
    }

    /// Waits until the group has settled something new in every partition.
    pub(crate) async fn group_goes_on(&self, patience: Duration) {
        self.group_goes_on_where(|_| true, patience).await;
    }

    /// The same in every partition but this one.
    pub(crate) async fn group_goes_on_elsewhere(&self, part: i32, patience: Duration) {
        self.group_goes_on_where(|other| other != part, patience).await;
    }

    async fn group_goes_on_where(&self, is_meant: impl Fn(i32) -> bool, patience: Duration) {
        let last = || {
            let settled = self.subscribers.settled.lock().unwrap();
            settled.iter().copied().collect::<BTreeMap<i32, i64>>()
        };
        let before = last();
        until("the group goes on", patience, async || {
            let now = last();
            let more = |part: i32| now.get(&part) > before.get(&part);
            (0..PARTITIONS).filter(|part| is_meant(*part)).all(more).then_some(())
        })
        .await;
    }

    /// Waits until so many deliveries failed, and were to come again.
    pub(crate) async fn until_failed(&self, count: usize, patience: Duration) {
        until("deliveries fail", patience, async || {
            let history = self.book.read();
            let failed = history.iter().filter(|entry| entry.is(Deed::Nack, Kind::Ok));
            (failed.count() >= count).then_some(())
        })
        .await;
    }

    /// What the group has committed of a partition.
    pub(crate) async fn committed(&self, part: i32) -> Option<i64> {
        let committed = self.ground.onlooker(&self.names).committed().await?;
        committed.into_iter().find(|(of, _)| *of == part).map(|(_, off)| off)
    }

    /// Waits until the group has committed all that it settled; answers where that ends.
    pub(crate) async fn until_committed(&self, patience: Duration) -> Vec<(i32, i64)> {
        until("all that was settled is committed", patience, async || {
            let now = self.ground.onlooker(&self.names).committed().await?;
            let settled = self.subscribers.settled.lock().unwrap();
            let last: BTreeMap<i32, i64> = settled.iter().map(|(part, off)| (*part, off + 1)).collect();
            (now == last.into_iter().collect::<Vec<_>>()).then_some(now)
        })
        .await
    }

    /// Does something in the log of the run's only gateway, which does not run.
    pub(crate) async fn in_log<T>(&self, work: impl AsyncFnOnce(&alone::Log) -> T) -> T {
        let Ground::Own { data, .. } = &self.ground else { panic!("a run on a gateway's own log") };
        let log = block_in_place(|| alone::Log::open(data));
        let done = work(&log).await;
        log.close().await;
        done
    }

    /// Waits until the group has committed all that was sent back to it.
    pub(crate) async fn until_all_returned(&self, patience: Duration) {
        self.ground.until_all_returned(&self.names, patience).await;
    }

    /// Restarts all gateways and removes, while none runs, what lies before these offsets, once all who follow have seen it.
    pub(crate) async fn remove(&mut self, before: &[(i32, i64)], patience: Duration) {
        let last: Vec<(i32, i64)> = before.iter().map(|(part, off)| (*part, off - 1)).collect();
        self.ground.shows(&last, &self.subscribers.followed, patience).await;
        for gateway in &mut self.gateways {
            gateway.terminate().await;
        }
        self.removed.extend(self.ground.remove(&self.names, before).await);
        for gateway in &mut self.gateways {
            gateway.start_again().await;
            gateway.until_ready().await;
        }
    }

    /// The node that leads the topic's first partition.
    pub(crate) async fn leader(&self) -> usize {
        self.brokers().leader(&self.names.topic, 0).await
    }

    /// Ends the run and judges it; see [`Ended::judge`].
    pub(crate) async fn end(self, control_stall_max: Duration) -> Verdict {
        self.finish().await.judge(control_stall_max)
    }

    /// Stops publishing, heals, lets the readers come to the end, ends the gateways and reads the log.
    async fn finish(mut self) -> Ended {
        timeout(STOP_MAX, self.publishers.stop()).await.expect("the publishers stop");
        self.ground.heal(STOP_MAX).await;
        for gateway in &mut self.gateways {
            gateway.check();
            gateway.until_ready().await;
        }
        let is_drained = self.ground.is_drained(&self.names, &self.subscribers.followed).await;
        timeout(STOP_MAX, self.subscribers.stop()).await.expect("the subscribers stop");
        for gateway in &mut self.gateways {
            gateway.terminate().await;
            gateway.check();
            let mut recorder = self.book.recorder(&gateway.target.name);
            for lost in gateway.losses() {
                recorder.write_at(self.book.at(lost), Entry::new(Deed::Lose, Kind::Ok));
            }
        }
        let reader = self.ground.reader();
        let Remains { mut truth, committed, letters, redriven } = self.ground.end(&self.names).await;
        let removed = self.removed.iter().map(|stored| (stored.part, stored.off)).collect();
        truth.extend(self.removed);
        truth.sort_by_key(|stored| (stored.part, stored.off));
        let audiences = [AUDIENCE].into_iter().chain(reader).map(str::to_owned).collect();
        Ended {
            name: self.name,
            took: self.began.elapsed(),
            case: Case {
                history: self.book.read(),
                truth,
                removed,
                partitions: PARTITIONS,
                has_control: reader.is_some(),
                has_group: true,
                audiences,
            },
            is_drained,
            committed,
            letters,
            taken: self.taken,
            redriven,
            directory: self.directory,
        }
    }
}

/// What the gateways are told; without brokers each has a log of its own.
pub(crate) fn yaml(brokers: Option<Vec<String>>, names: &Names, plan: &Plan) -> String {
    let Names { topic, group } = names;
    let metrics = plan.metrics.map_or_else(|| "null".to_owned(), |port| format!("127.0.0.1:{port}"));
    let log = brokers.map_or_else(String::new, |brokers| {
        let (brokers, delivery_timeout) = (brokers.join(", "), plan.delivery_timeout.as_millis());
        format!(
            "log:
  engine: kafka
  kafka: {{brokers: [{brokers}], delivery_timeout: {delivery_timeout}ms}}
"
        )
    });
    format!(
        "http: {{metrics_listen: {metrics}, drain_delay: 500ms, limits: {{connections_new_per_second_max: 10000}}}}
\
         socket: {{drain_window: {}ms}}
\
         {log}\
         topic_defaults: {{schema: {{required: false}}}}
\
         topics: [{{name: {topic}, event_types: [{EVENT_TYPE}], partitions: {PARTITIONS}, key: /data/key}}]
\
         groups: {{{group}: {{topics: [{topic}]{}}}}}
{}
",
        DRAIN_WINDOW.as_millis(),
        plan.policy,
        plan.yaml
    )
}
