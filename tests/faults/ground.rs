//! Where a run's gateways keep their events: three brokers, with a control that works past the gateways; or one gateway's own
//! log, where nothing can be past it until it has ended.

use std::path::PathBuf;
use std::time::Duration;

use rdkafka::consumer::BaseConsumer;
use tokio::task::block_in_place;
use tokio::time::{interval, timeout};

use crate::brokers::Held;
use crate::checkers::{Stored, ends};
use crate::control::{Control, READER};
use crate::gateway::Target;
use crate::run::PARTITIONS;
use crate::subscribers::Seen;
use crate::{alone, log, until};

/// How long readers may take to come to the end of a healed log.
const DRAIN_MAX: Duration = Duration::from_secs(120);

/// Which engine the gateways of a run have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Kafka,
    /// One gateway has its log for itself.
    Embedded,
}

/// Where events lie.
#[derive(Debug)]
pub(crate) enum Ground {
    Brokers { brokers: Held, control: Control, commits: log::Commits },
    Own { target: Target, data: PathBuf, commits: alone::Commits },
}

/// The group and the topic of a run.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    pub(crate) topic: String,
    pub(crate) group: String,
}

/// What lies there in the end.
#[derive(Debug)]
pub(crate) struct Remains {
    pub(crate) truth: Vec<Stored>,
    pub(crate) committed: Vec<(i32, i64)>,
    /// The group's dead letters.
    pub(crate) letters: Vec<Stored>,
    /// What was sent back to it of those.
    pub(crate) redriven: Vec<Stored>,
}

/// Looks at what a group has committed.
pub(crate) enum Onlooker<'g> {
    /// With a client of Kafka, at this topic.
    Broker(BaseConsumer, &'g str),
    /// By asking a gateway of this group and topic.
    Gateway(&'g Target, &'g str, &'g str),
}

impl Onlooker<'_> {
    /// What it is, by partition, as far as it can be told.
    pub(crate) async fn committed(&self) -> Option<Vec<(i32, i64)>> {
        match self {
            Self::Broker(consumer, topic) => block_in_place(|| log::committed(consumer, topic, PARTITIONS)),
            Self::Gateway(target, group, topic) => alone::committed(target, group, topic).await,
        }
    }
}

impl Names {
    pub(crate) fn letters(&self) -> String {
        format!("dlq.{}.{}", self.topic, self.group)
    }

    /// What the group is sent back goes through this topic.
    pub(crate) fn redrives(&self) -> String {
        format!("_weirgate.redrive.{}", self.group)
    }
}

impl Ground {
    /// Who follows the topic past the gateways.
    pub(crate) fn reader(&self) -> Option<&'static str> {
        self.followed().map(|_| READER)
    }

    fn followed(&self) -> Option<&Seen> {
        match self {
            Self::Brokers { control, .. } => Some(&control.followed),
            Self::Own { .. } => None,
        }
    }

    /// Waits until the control, where there is one, goes on.
    pub(crate) async fn goes_on(&self, patience: Duration) {
        if let Self::Brokers { control, .. } = self {
            control.goes_on(patience).await;
        }
    }

    /// Stops the control's producers and ends all that is wrong with brokers.
    pub(crate) async fn heal(&mut self, patience: Duration) {
        if let Self::Brokers { brokers, control, .. } = self {
            timeout(patience, control.stop_producers()).await.expect("the control's producers stop");
            brokers.heal().await;
        }
    }

    /// Who looks at what the group has committed.
    pub(crate) fn onlooker<'g>(&'g self, names: &'g Names) -> Onlooker<'g> {
        self.onlooker_of(&names.group, &names.topic)
    }

    /// The same of any topic of the group.
    fn onlooker_of<'g>(&'g self, group: &'g str, topic: &'g str) -> Onlooker<'g> {
        match self {
            Self::Brokers { brokers, .. } => Onlooker::Broker(log::onlooker(&brokers.client(), group), topic),
            Self::Own { target, .. } => Onlooker::Gateway(target, group, topic),
        }
    }

    /// Waits until the group has committed all that was sent back to it.
    pub(crate) async fn until_all_returned(&self, names: &Names, patience: Duration) {
        let topic = names.redrives();
        let onlooker = self.onlooker_of(&names.group, &topic);
        until("all that was sent back is committed", patience, async || {
            let ends = self.ends(&names.group, &topic).await?;
            let committed = onlooker.committed().await?;
            let is_there = |(part, end): &(i32, i64)| *end == 0 || committed.contains(&(*part, *end));
            ends.iter().all(is_there).then_some(())
        })
        .await;
    }

    /// Where the partitions of a topic of the group end.
    async fn ends(&self, group: &str, topic: &str) -> Option<Vec<(i32, i64)>> {
        match self {
            Self::Brokers { brokers, .. } => {
                let client = brokers.client();
                Some(block_in_place(|| log::ends(&client, topic, PARTITIONS)))
            }
            Self::Own { target, .. } => {
                let places = alone::places(target, group, topic).await?;
                Some(places.iter().map(|place| (place.part, place.end)).collect())
            }
        }
    }

    /// Whether each reader came to the end of the log in time, and the group has committed it. What is missing is for the
    /// checkers, which name it.
    pub(crate) async fn is_drained(&self, names: &Names, followed: &Seen) -> bool {
        let draining = async {
            let mut ticks = interval(Duration::from_millis(100));
            let (log, ends) = self.log_now(names).await;
            let onlooker = self.onlooker(names);
            let has_all = |seen: &Seen| {
                let seen = seen.lock().unwrap();
                log.iter().all(|position| seen.contains(position))
            };
            let readers: Vec<&Seen> = [followed].into_iter().chain(self.followed()).collect();
            while !readers.iter().all(|seen| has_all(seen))
                || onlooker.committed().await.is_none_or(|now| now != ends)
            {
                ticks.tick().await;
            }
        };
        timeout(DRAIN_MAX, draining).await.is_ok()
    }

    /// Every position of the topic, and where its partitions end.
    async fn log_now(&self, names: &Names) -> (Vec<(i32, i64)>, Vec<(i32, i64)>) {
        match self {
            Self::Brokers { brokers, .. } => {
                let truth = log::truth(&brokers.client(), &names.topic, PARTITIONS);
                (truth.iter().map(|stored| (stored.part, stored.off)).collect(), ends(&truth))
            }
            Self::Own { target, .. } => {
                let places = alone::places(target, &names.group, &names.topic).await;
                let places = places.expect("the gateway answers");
                let ends: Vec<(i32, i64)> = places.iter().map(|place| (place.part, place.end)).collect();
                let all = ends.iter().flat_map(|(part, end)| (0..*end).map(|off| (*part, off)));
                (all.collect(), ends)
            }
        }
    }

    /// Removes what lies before these offsets, as retention does, while no gateway runs; answers what that was.
    pub(crate) async fn remove(&self, names: &Names, before: &[(i32, i64)]) -> Vec<Stored> {
        let is_gone =
            |stored: &Stored| before.iter().any(|(part, off)| stored.part == *part && stored.off < *off);
        let mut truth = match self {
            Self::Brokers { brokers, .. } => {
                let client = brokers.client();
                let truth = log::truth(&client, &names.topic, PARTITIONS);
                log::remove(&client, &names.topic, before).await;
                truth
            }
            Self::Own { data, .. } => {
                let log = block_in_place(|| alone::Log::open(data));
                let truth = log.truth(&names.topic).await;
                log.remove(&names.topic, before).await;
                log.close().await;
                truth
            }
        };
        truth.retain(is_gone);
        truth
    }

    /// Waits until all who follow have seen these positions.
    pub(crate) async fn shows(&self, positions: &[(i32, i64)], followed: &Seen, patience: Duration) {
        let readers: Vec<&Seen> = [followed].into_iter().chain(self.followed()).collect();
        until("all who follow have seen it", patience, async || {
            let has_all = |seen: &&Seen| positions.iter().all(|one| seen.lock().unwrap().contains(one));
            readers.iter().all(has_all).then_some(())
        })
        .await;
    }

    /// Reads what lies there, once the gateways have ended.
    pub(crate) async fn end(self, names: &Names) -> Remains {
        match self {
            Self::Brokers { brokers, control, commits } => {
                commits.stop().await;
                control.stop().await;
                let client = brokers.client();
                let onlooker = log::onlooker(&client, &names.group);
                let committed = block_in_place(|| log::all_committed(&onlooker, &names.topic, PARTITIONS));
                let of_any = |topic: &str| match block_in_place(|| log::partitions(&client, topic)) {
                    0 => Vec::new(),
                    partitions => log::truth(&client, topic, partitions),
                };
                Remains {
                    truth: log::truth(&client, &names.topic, PARTITIONS),
                    committed,
                    letters: of_any(&names.letters()),
                    redriven: of_any(&names.redrives()),
                }
            }
            Self::Own { data, commits, .. } => {
                commits.stop().await;
                let log = block_in_place(|| alone::Log::open(&data));
                let remains = Remains {
                    truth: log.truth(&names.topic).await,
                    committed: log.committed(&names.group, &names.topic).await,
                    letters: log.truth(&names.letters()).await,
                    redriven: log.truth(&names.redrives()).await,
                };
                log.close().await;
                remains
            }
        }
    }
}
