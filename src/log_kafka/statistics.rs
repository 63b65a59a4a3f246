//! What librdkafka says of itself every few seconds, as metrics.
//!
//! Clients come and go while the metrics stay, and many of one role share a series. So each client's teller remembers
//! what it said last and adds only what has changed; when the client goes, its part of the gauges goes with it. The text
//! may be a megabyte where there are a thousand partitions: only what is shown is taken from it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde::Deserialize;

use crate::telemetry::{CounterBy, Gauge, GaugeBy, RatioBy, Registry};

use super::locked;
use super::metrics::Metrics;

/// Series by the client's role (`producer`, `dead-letters`, `tail`, `catch-up`, `member`) and the broker's id.
#[derive(Debug)]
pub(super) struct Series {
    queue_records: Gauge,
    queue_bytes: Gauge,
    fetch_queue_records: GaugeBy,
    fetch_queue_bytes: GaugeBy,
    lag: GaugeBy,
    connections: GaugeBy,
    outstanding: GaugeBy,
    rtt: RatioBy,
    throttle: RatioBy,
    retries: CounterBy,
    send_errors: CounterBy,
    receive_errors: CounterBy,
    timeouts: CounterBy,
}

/// Tells one client's statistics.
#[derive(Debug)]
pub(super) struct Teller {
    role: &'static str,
    metrics: Arc<Metrics>,
    /// Guards what was told last.
    last: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    client: Client,
    brokers: HashMap<i32, Broker>,
}

/// What is told of a client.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Client {
    queue_records: i64,
    queue_bytes: i64,
    fetch_queue_records: i64,
    fetch_queue_bytes: i64,
    lag: i64,
}

/// What is told of a client's connection to a broker.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Broker {
    connections: i64,
    outstanding: i64,
    retries: u64,
    send_errors: u64,
    receive_errors: u64,
    timeouts: u64,
}

impl Series {
    pub(super) fn register(registry: &Registry) -> Self {
        let both: &[&str] = &["client", "broker"];
        let gauge = |name, help| registry.gauge_by(name, help, both);
        let counter = |name, help| registry.counter_by(name, help, both);
        Self {
            queue_records: registry
                .gauge("weirgate_kafka_queue_records", "Records in the producer's queue or in flight."),
            queue_bytes: registry
                .gauge("weirgate_kafka_queue_bytes", "Bytes in the producer's queue or in flight."),
            fetch_queue_records: registry.gauge_by(
                "weirgate_kafka_fetch_queue_records",
                "Records read ahead and not yet taken.",
                &["client"],
            ),
            fetch_queue_bytes: registry.gauge_by(
                "weirgate_kafka_fetch_queue_bytes",
                "Bytes read ahead and not yet taken.",
                &["client"],
            ),
            lag: registry.gauge_by(
                "weirgate_kafka_read_lag_records",
                "Records between what was taken and the ends of the partitions being read.",
                &["client"],
            ),
            connections: gauge("weirgate_kafka_broker_connections", "Clients connected to the broker."),
            outstanding: gauge(
                "weirgate_kafka_broker_requests_outstanding",
                "Requests to the broker that wait to be sent or answered.",
            ),
            rtt: registry.ratio_by(
                "weirgate_kafka_broker_rtt_seconds",
                "How long the broker took to answer, as one client of the role saw it last; avg or p95 of an interval.",
                &["client", "broker", "statistic"],
            ),
            throttle: registry.ratio_by(
                "weirgate_kafka_broker_throttle_seconds",
                "How long the broker made requests wait at most, as one client of the role saw it last.",
                both,
            ),
            retries: counter("weirgate_kafka_broker_retries_total", "Requests sent to the broker again."),
            send_errors: counter("weirgate_kafka_broker_send_errors_total", "Requests that could not be sent."),
            receive_errors: counter(
                "weirgate_kafka_broker_receive_errors_total",
                "Answers of the broker that could not be read.",
            ),
            timeouts: counter("weirgate_kafka_broker_timeouts_total", "Requests not answered in time."),
        }
    }
}

impl Teller {
    pub(super) fn new(role: &'static str, metrics: Arc<Metrics>) -> Self {
        Self { role, metrics, last: Mutex::default() }
    }

    /// Takes over what the client says now.
    pub(super) fn tell(&self, text: &[u8]) {
        match serde_json::from_slice::<Statistics<'_>>(text) {
            Ok(statistics) => {
                self.show_times(&statistics);
                self.replace(&mut locked(&self.last), statistics.told());
            }
            Err(error) => {
                tracing::debug!(%error, client = self.role, "librdkafka's statistics cannot be read")
            }
        }
    }

    /// Replaces what was told last.
    fn replace(&self, last: &mut Told, now: Told) {
        let (series, was, is) = (&self.metrics.statistics, last.client, now.client);
        series.queue_records.add(is.queue_records - was.queue_records);
        series.queue_bytes.add(is.queue_bytes - was.queue_bytes);
        let gauges = [
            (&series.fetch_queue_records, is.fetch_queue_records - was.fetch_queue_records),
            (&series.fetch_queue_bytes, is.fetch_queue_bytes - was.fetch_queue_bytes),
            (&series.lag, is.lag - was.lag),
        ];
        for (gauge, change) in gauges {
            gauge.with_label_values(&[self.role]).add(change);
        }
        for (id, is) in &now.brokers {
            self.replace_broker(*id, last.brokers.remove(id).unwrap_or_default(), *is);
        }
        for (id, was) in last.brokers.drain() {
            self.replace_broker(id, was, was.gone());
        }
        *last = now;
    }

    fn replace_broker(&self, id: i32, was: Broker, is: Broker) {
        let series = &self.metrics.statistics;
        let id = id.to_string();
        let labels = [self.role, id.as_str()];
        series.connections.with_label_values(&labels).add(is.connections - was.connections);
        series.outstanding.with_label_values(&labels).add(is.outstanding - was.outstanding);
        let counters = [
            (&series.retries, is.retries, was.retries),
            (&series.send_errors, is.send_errors, was.send_errors),
            (&series.receive_errors, is.receive_errors, was.receive_errors),
            (&series.timeouts, is.timeouts, was.timeouts),
        ];
        for (counter, is, was) in counters {
            counter.with_label_values(&labels).inc_by(is.saturating_sub(was));
        }
    }

    /// Times are not summed: the latest holds.
    fn show_times(&self, statistics: &Statistics<'_>) {
        let series = &self.metrics.statistics;
        for broker in statistics.real_brokers() {
            let id = broker.nodeid.to_string();
            if broker.rtt.cnt > 0 {
                for (statistic, micros) in [("avg", broker.rtt.avg), ("p95", broker.rtt.p95)] {
                    let labels = [self.role, id.as_str(), statistic];
                    series.rtt.with_label_values(&labels).set(micros / 1e6);
                }
            }
            let throttle = series.throttle.with_label_values(&[self.role, &id]);
            throttle.set(broker.throttle.max / 1e3);
        }
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        let mut last = std::mem::take(&mut *locked(&self.last));
        self.replace(&mut last, Told::default());
    }
}

impl Broker {
    /// What is left of it: only what counts upwards.
    const fn gone(self) -> Self {
        Self { connections: 0, outstanding: 0, ..self }
    }
}

/// What is taken from librdkafka's text.
#[derive(Debug, Deserialize)]
struct Statistics<'t> {
    #[serde(default)]
    msg_cnt: i64,
    #[serde(default)]
    msg_size: i64,
    #[serde(borrow, default)]
    brokers: HashMap<Cow<'t, str>, BrokerStatistics<'t>>,
    #[serde(borrow, default)]
    topics: HashMap<Cow<'t, str>, TopicStatistics<'t>>,
}

#[derive(Debug, Deserialize)]
struct BrokerStatistics<'t> {
    nodeid: i32,
    #[serde(borrow)]
    source: Cow<'t, str>,
    #[serde(borrow)]
    state: Cow<'t, str>,
    outbuf_cnt: i64,
    waitresp_cnt: i64,
    txerrs: u64,
    txretries: u64,
    rxerrs: u64,
    req_timeouts: u64,
    rtt: Window,
    throttle: Window,
}

/// A distribution over the last interval: microseconds of answers, milliseconds of throttling.
#[derive(Debug, Deserialize)]
struct Window {
    avg: f64,
    p95: f64,
    max: f64,
    cnt: u64,
}

#[derive(Debug, Deserialize)]
struct TopicStatistics<'t> {
    #[serde(borrow, default)]
    partitions: HashMap<Cow<'t, str>, PartitionStatistics>,
}

#[derive(Debug, Deserialize)]
struct PartitionStatistics {
    fetchq_cnt: i64,
    fetchq_size: i64,
    /// Behind the last record taken; negative where none was.
    app_offset: i64,
    /// Where readers' partition ends; negative where that is not known.
    ls_offset: i64,
}

impl Statistics<'_> {
    /// Brokers of the cluster: neither addresses to begin with nor the coordinator's second connection.
    fn real_brokers(&self) -> impl Iterator<Item = &BrokerStatistics<'_>> {
        self.brokers.values().filter(|broker| broker.nodeid >= 0 && broker.source != "logical")
    }

    fn told(&self) -> Told {
        let mut client =
            Client { queue_records: self.msg_cnt, queue_bytes: self.msg_size, ..Client::default() };
        for partition in self.topics.values().flat_map(|topic| topic.partitions.values()) {
            client.fetch_queue_records += partition.fetchq_cnt;
            client.fetch_queue_bytes += partition.fetchq_size;
            if partition.app_offset >= 0 {
                client.lag += (partition.ls_offset - partition.app_offset).max(0);
            }
        }
        let told = |broker: &BrokerStatistics<'_>| Broker {
            connections: i64::from(broker.state == "UP"),
            outstanding: broker.outbuf_cnt + broker.waitresp_cnt,
            retries: broker.txretries,
            send_errors: broker.txerrs,
            receive_errors: broker.rxerrs,
            timeouts: broker.req_timeouts,
        };
        Told { client, brokers: self.real_brokers().map(|broker| (broker.nodeid, told(broker))).collect() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::{Metrics, Registry, Teller};

    fn broker(id: i32, state: &str, retries: u64) -> Value {
        let window = json!({"min": 1, "max": 1_500, "avg": 700, "p95": 1_200, "cnt": 3});
        json!({
            "name": "b", "nodeid": id, "source": if id == 9 { "logical" } else { "learned" }, "state": state,
            "outbuf_cnt": 1, "waitresp_cnt": 2, "txerrs": 0, "txretries": retries, "rxerrs": 0,
            "req_timeouts": 0, "rtt": window, "throttle": window
        })
    }

    fn text(records: i64, brokers: &[Value]) -> Vec<u8> {
        let named: serde_json::Map<String, Value> = (0..)
            .zip(brokers)
            .map(|(index, broker): (u32, &Value)| (index.to_string(), broker.clone()))
            .collect();
        let partition = |taken: i64| json!({"partition": 0, "fetchq_cnt": 2, "fetchq_size": 20, "app_offset": taken, "ls_offset": 12});
        let topics =
            json!({"t\u{e9}": {"topic": "t", "partitions": {"0": partition(7), "-1": partition(-1_001)}}});
        json!({"name": "c", "msg_cnt": records, "msg_size": 10 * records, "brokers": named, "topics": topics})
            .to_string()
            .into_bytes()
    }

    #[test]
    fn clients_of_a_role_add_up_and_take_their_part_away() {
        let registry = Registry::new();
        let metrics = Arc::new(Metrics::register(&registry));
        let tellers = [(); 2].map(|()| Teller::new("member", Arc::clone(&metrics)));
        for teller in &tellers {
            teller.tell(&text(4, &[broker(1, "UP", 3), broker(9, "UP", 1), broker(-1, "INIT", 1)]));
        }
        let shows = |line: &str| {
            let shown = registry.render();
            assert!(shown.lines().any(|shown| shown == line), "{line} is not in {shown}");
        };
        shows("weirgate_kafka_queue_records 8");
        shows(r#"weirgate_kafka_fetch_queue_bytes{client="member"} 80"#);
        shows(r#"weirgate_kafka_read_lag_records{client="member"} 10"#);
        shows(r#"weirgate_kafka_broker_connections{broker="1",client="member"} 2"#);
        shows(r#"weirgate_kafka_broker_requests_outstanding{broker="1",client="member"} 6"#);
        shows(r#"weirgate_kafka_broker_retries_total{broker="1",client="member"} 6"#);
        shows(r#"weirgate_kafka_broker_rtt_seconds{broker="1",client="member",statistic="p95"} 0.0012"#);
        shows(r#"weirgate_kafka_broker_throttle_seconds{broker="1",client="member"} 1.5"#);
        assert!(
            !registry.render().contains(r#"broker="9""#) && !registry.render().contains(r#"broker="-1""#)
        );

        tellers[0].tell(&text(1, &[broker(1, "CONNECT", 5)]));
        shows("weirgate_kafka_queue_records 5");
        shows(r#"weirgate_kafka_broker_connections{broker="1",client="member"} 1"#);
        shows(r#"weirgate_kafka_broker_retries_total{broker="1",client="member"} 8"#);
        drop(tellers);
        shows("weirgate_kafka_queue_records 0");
        shows(r#"weirgate_kafka_read_lag_records{client="member"} 0"#);
        shows(r#"weirgate_kafka_broker_connections{broker="1",client="member"} 0"#);
        shows(r#"weirgate_kafka_broker_retries_total{broker="1",client="member"} 8"#);
    }

    #[test]
    fn what_cannot_be_read_changes_nothing() {
        let registry = Registry::new();
        let teller = Teller::new("tail", Arc::new(Metrics::register(&registry)));
        teller.tell(&text(4, &[]));
        teller.tell(b"{\"brokers\": 7}");
        assert!(registry.render().contains("weirgate_kafka_queue_records 4"));
    }
}
