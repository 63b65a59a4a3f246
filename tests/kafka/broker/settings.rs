//! What a node is told: its properties, and what it logs.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

/// What nodes log.
const LOGGING: &str = "\
rootLogger.level=WARN
rootLogger.appenderRef.o.ref=O
appender.o.type=Console
appender.o.name=O
appender.o.layout.type=PatternLayout
appender.o.layout.pattern=%d %p %m (%c)%n
logger.s.name=kafka.server.KafkaRaftServer
logger.s.level=INFO
";

/// The same for the logger of older versions.
const OLDER_LOGGING: &str = "\
log4j.rootLogger=WARN, O
log4j.appender.O=org.apache.log4j.ConsoleAppender
log4j.appender.O.layout=org.apache.log4j.PatternLayout
log4j.appender.O.layout.ConversionPattern=%d %p %m (%c)%n
log4j.logger.kafka.server=INFO
";

/// Writes what nodes of any version log.
pub(super) fn write_logging(data: &Path) {
    fs::write(data.join("log4j2.properties"), LOGGING).unwrap();
    fs::write(data.join("log4j.properties"), OLDER_LOGGING).unwrap();
}

/// Writes the properties of a node; answers where.
pub(super) fn write(data: &Path, ports: &[(u16, u16)], id: usize) -> PathBuf {
    let (count, (broker, controller)) = (ports.len(), ports[id - 1]);
    let voters: Vec<String> =
        (1..).zip(ports).map(|(id, (_, controller))| format!("{id}@127.0.0.1:{controller}")).collect();
    let text = format!(
        "process.roles=broker,controller\n\
         node.id={id}\n\
         listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{broker}\n\
         controller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
         controller.quorum.voters={voters}\n\
         log.dirs={data}/data{id}\n\
         auto.create.topics.enable=false\n\
         default.replication.factor={count}\n\
         min.insync.replicas={in_sync}\n\
         offsets.topic.replication.factor={count}\n\
         offsets.topic.num.partitions=1\n\
         transaction.state.log.replication.factor={count}\n\
         transaction.state.log.min.isr={in_sync}\n\
         transaction.state.log.num.partitions=1\n\
         share.coordinator.state.topic.replication.factor={count}\n\
         share.coordinator.state.topic.min.isr={in_sync}\n\
         group.initial.rebalance.delay.ms=0\n\
         log.cleaner.backoff.ms=200\n\
         group.consumer.min.session.timeout.ms=5000\n\
         group.consumer.session.timeout.ms=5000\n\
         group.consumer.min.heartbeat.interval.ms=500\n\
         group.consumer.heartbeat.interval.ms=500\n",
        voters = voters.join(","),
        data = data.display(),
        in_sync = if count >= 3 { 2 } else { 1 },
    );
    let file = data.join(format!("node{id}.properties"));
    fs::write(&file, text).unwrap();
    file
}

/// Lets nodes speak to one another at names, `node1` and so on: brokers at a listener of their own, at the first of the
/// ports, and controllers, at the second.
pub(super) fn name_nodes(file: &Path, id: usize, [broker, controller]: [u16; 2], controllers: &[u16]) {
    add_listener(file, "INNER", "PLAINTEXT", &format!("127.0.0.1:{broker}"), &format!("node{id}:{broker}"));
    let mut text = fs::read_to_string(file).unwrap();
    let names = "\ncontroller.listener.names";
    text = text.replacen(names, &format!(",CONTROLLER://node{id}:{controller}{names}"), 1);
    for (id, port) in (1..).zip(controllers) {
        text = text.replace(&format!("{id}@127.0.0.1:{port}"), &format!("{id}@node{id}:{port}"));
    }
    text.push_str("inter.broker.listener.name=INNER\n");
    fs::write(file, text).unwrap();
}

/// Writes what a node takes for the addresses of names; answers where.
pub(super) fn write_hosts(data: &Path, id: usize, nodes: impl Iterator<Item = Ipv4Addr>) -> PathBuf {
    let own = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let nodes = (1..).zip(nodes).map(|(id, address)| format!("{address} node{id}\n"));
    let hosts = format!("127.0.0.1 localhost {}\n{}", own.trim(), String::from_iter(nodes));
    let file = data.join(format!("hosts{id}"));
    fs::write(&file, hosts).unwrap();
    file
}

/// One more listener, which clients are told to find at `advertised`.
pub(super) fn add_listener(file: &Path, name: &str, protocol: &str, address: &str, advertised: &str) {
    let text = fs::read_to_string(file).unwrap();
    let text = text
        .replace(",CONTROLLER://", &format!(",{name}://{address},CONTROLLER://"))
        .replace("CONTROLLER:PLAINTEXT", &format!("CONTROLLER:PLAINTEXT,{name}:{protocol}"))
        .replacen(
            "\ncontroller.listener.names",
            &format!(",{name}://{advertised}\ncontroller.listener.names"),
            1,
        );
    fs::write(file, text).unwrap();
}
