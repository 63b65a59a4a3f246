//! Three brokers for all runs of this binary, each behind a proxy, taken by one run at a time and healed between them.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::{Arc, Weak};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use tokio::runtime::Runtime;
use tokio::sync::{Mutex, MutexGuard, OwnedMutexGuard};
use tokio::task::block_in_place;

use crate::broker::Cluster;
use crate::links::Links;
use crate::proxy::{Proxy, Weather};
use crate::until;

pub(crate) const NODES: usize = 3;
/// How long brokers may take to come back and catch up.
const HEAL_MAX: Duration = Duration::from_secs(90);
/// How long a request for metadata may take.
const ASK_MAX: Duration = Duration::from_secs(5);
/// How long the brokers may take to make a topic.
const MAKE_MAX: Duration = Duration::from_secs(60);

/// The brokers, held by one run.
pub(crate) type Held = OwnedMutexGuard<Brokers>;

/// The brokers and the paths to them.
pub(crate) struct Brokers {
    cluster: Cluster,
    proxies: Vec<Proxy>,
    /// Where those lead.
    behind: Vec<String>,
    links: Links,
    /// What clients are told that come through the proxies.
    doors: Vec<String>,
    is_paused: [bool; NODES],
    /// Asks for metadata.
    asking: BaseConsumer,
    /// Carries the proxies; a test's own runtime ends with it.
    runtime: Option<Runtime>,
}

/// Takes the brokers, whole: they are started with the first run and end with the last.
pub(crate) async fn take() -> Held {
    static SHARED: Mutex<Weak<Mutex<Brokers>>> = Mutex::const_new(Weak::new());
    let mut shared: MutexGuard<'_, Weak<Mutex<Brokers>>> = SHARED.lock().await;
    let brokers = shared.upgrade().unwrap_or_else(|| Arc::new(Mutex::new(block_in_place(Brokers::start))));
    *shared = Arc::downgrade(&brokers);
    drop(shared);
    let mut held = brokers.lock_owned().await;
    // The run before may have ended in the middle.
    held.heal().await;
    held
}

impl Brokers {
    fn start() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listeners: Vec<TcpListener> =
            (0..NODES).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports: Vec<u16> = listeners.iter().map(|one| one.local_addr().unwrap().port()).collect();
        let mut cluster = Cluster::prepare(NODES);
        let behind = cluster.listen_behind(&ports);
        let proxies = listeners.into_iter().zip(behind.clone());
        let proxies = proxies.map(|(door, address)| Proxy::start(runtime.handle(), door, address)).collect();
        let links = Links::start(runtime.handle(), &mut cluster);
        cluster.start_nodes();
        let doors = ports.iter().map(|port| door(*port)).collect();
        let asking = client_of(&cluster).create().unwrap();
        let is_paused = [false; NODES];
        Self { cluster, proxies, behind, links, doors, is_paused, asking, runtime: Some(runtime) }
    }

    /// Where the brokers are found through the proxies.
    pub(crate) fn doors(&self) -> Vec<String> {
        self.doors.clone()
    }

    /// kill -9.
    pub(crate) fn kill(&mut self, node: usize) {
        self.is_paused[node] = false;
        block_in_place(|| self.cluster.kill_node(node));
    }

    /// SIGTERM, and waits for the end.
    pub(crate) fn terminate(&mut self, node: usize) {
        block_in_place(|| self.cluster.terminate_node(node));
    }

    /// SIGSTOP.
    pub(crate) fn pause(&mut self, node: usize) {
        self.is_paused[node] = true;
        self.cluster.pause_node(node);
    }

    /// SIGCONT.
    pub(crate) fn resume(&mut self, node: usize) {
        self.is_paused[node] = false;
        self.cluster.resume_node(node);
    }

    /// Starts nodes that do not run, and waits until they do.
    pub(crate) fn start_missing(&mut self) {
        block_in_place(|| self.cluster.start_nodes());
    }

    pub(crate) fn weather(&self, node: usize, weather: Weather) {
        self.proxies[node].set(weather);
    }

    /// Resets every open connection to a node, and lets new ones pass.
    pub(crate) fn break_all(&self, node: usize) {
        self.proxies[node].break_all();
        self.weather(node, Weather::Clear);
    }

    pub(crate) fn weather_everywhere(&self, weather: Weather) {
        for proxy in &self.proxies {
            proxy.set(weather);
        }
    }

    /// No other broker reaches this one, nor it them; clients do.
    pub(crate) fn isolate(&self, node: usize) {
        self.links.isolate(node);
    }

    /// Lets all brokers reach one another.
    pub(crate) fn mend(&self) {
        self.links.mend();
    }

    /// SIGTERM. The node comes back behind another door, and nobody is behind the old one.
    pub(crate) fn move_away(&mut self, node: usize) {
        self.terminate(node);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let new = door(listener.local_addr().unwrap().port());
        let old = std::mem::replace(&mut self.doors[node], new);
        self.cluster.move_door(node, &old, &self.doors[node]);
        let runtime = self.runtime.as_ref().expect("it runs");
        self.proxies[node] = Proxy::start(runtime.handle(), listener, self.behind[node].clone());
        self.start_missing();
    }

    /// Lets the first of its replicas lead each partition.
    pub(crate) fn elect_preferred(&self) {
        const ELECTION: &str = "org.apache.kafka.tools.LeaderElectionCommand";
        let arguments = ["--election-type", "preferred", "--all-topic-partitions"];
        block_in_place(|| self.cluster.tool(ELECTION, &arguments));
    }

    /// Ends every fault, and waits until all brokers have all that was written.
    pub(crate) async fn heal(&mut self) {
        self.weather_everywhere(Weather::Clear);
        self.links.mend();
        for node in 0..NODES {
            if std::mem::take(&mut self.is_paused[node]) {
                self.cluster.resume_node(node);
            }
        }
        self.start_missing();
        until("all replicas are in sync", HEAL_MAX, async || {
            let partitions = self.partitions();
            partitions.is_some_and(|all| all.iter().all(Partition::is_whole)).then_some(())
        })
        .await;
    }

    /// A topic of three replicas, with these settings.
    pub(crate) async fn make_topic(&self, topic: &str, partitions: i32, settings: &[(&str, &str)]) {
        let admin: AdminClient<DefaultClientContext> = self.client().create().unwrap();
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(3));
        let new = settings.iter().fold(new, |new, (name, value)| new.set(name, value));
        let options = AdminOptions::new().operation_timeout(Some(MAKE_MAX));
        for outcome in admin.create_topics(&[new], &options).await.unwrap() {
            outcome.unwrap();
        }
        until("the topic has leaders", HEAL_MAX, async || self.leaders_of(topic)).await;
    }

    /// The node that leads a partition now.
    pub(crate) async fn leader(&self, topic: &str, partition: i32) -> usize {
        let leader = async || self.leaders_of(topic)?.get(&partition).copied();
        until("the partition has a leader", HEAL_MAX, leader).await
    }

    fn leaders_of(&self, topic: &str) -> Option<BTreeMap<i32, usize>> {
        let mut leaders = BTreeMap::new();
        for partition in self.partitions_of(topic)? {
            leaders.insert(partition.number, partition.leader?);
        }
        (!leaders.is_empty()).then_some(leaders)
    }

    /// The partitions of a topic, as some broker tells of them.
    pub(crate) fn partitions_of(&self, topic: &str) -> Option<Vec<Partition>> {
        let all = self.partitions()?.into_iter();
        Some(all.filter(|one| one.topic == topic).collect())
    }

    fn partitions(&self) -> Option<Vec<Partition>> {
        let metadata = block_in_place(|| self.asking.fetch_metadata(None, ASK_MAX)).ok()?;
        let mut partitions = Vec::new();
        for topic in metadata.topics() {
            partitions.extend(topic.partitions().iter().map(|partition| Partition {
                topic: topic.name().to_owned(),
                number: partition.id(),
                leader: usize::try_from(partition.leader() - 1).ok(),
                in_sync: partition.isr().len(),
            }));
        }
        Some(partitions)
    }

    /// A native client past the proxies.
    pub(crate) fn client(&self) -> ClientConfig {
        client_of(&self.cluster)
    }
}

fn door(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

fn client_of(cluster: &Cluster) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cluster.addresses().join(",")).set("reconnect.backoff.max.ms", "1000");
    config
}

impl std::fmt::Debug for Brokers {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Brokers").field("cluster", &self.cluster).field("doors", &self.doors).finish()
    }
}

impl Drop for Brokers {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A partition, as a broker tells of it.
#[derive(Debug)]
pub(crate) struct Partition {
    topic: String,
    number: i32,
    leader: Option<usize>,
    in_sync: usize,
}

impl Partition {
    /// Whether all its replicas have everything.
    pub(crate) const fn is_whole(&self) -> bool {
        self.in_sync == NODES
    }

    /// Whether it is this one, and this node leads it.
    pub(crate) fn is_led_by(&self, number: i32, node: usize) -> bool {
        self.number == number && self.leader == Some(node)
    }
}
