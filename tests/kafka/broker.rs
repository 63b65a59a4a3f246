//! Apache Kafka for tests: the jars from Maven Central, nodes on free ports with small heaps and data of their own.
//!
//! A node is the child of a shell that reads from a pipe of ours: when the pipe closes, the shell kills the node. So it
//! ends with its owner, and also when the test process is killed. Signals for the node go down the same pipe.

#[path = "broker/settings.rs"]
mod settings;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

const VERSION: &str = "4.3.1";
/// A version from before the newer group protocol.
const OLDER_VERSION: &str = "3.9.1";
/// A node that is not up by then never will be.
const START_MAX: Duration = Duration::from_secs(90);
/// A node that has not ended by then stands still.
const END_MAX: Duration = Duration::from_secs(60);
/// Kafka's own tools give their cluster up in less.
const TOOL_MAX: Duration = Duration::from_secs(120);
/// What is fetched comes from far, some 50 MB at a time.
pub(crate) const FETCH_MAX: Duration = Duration::from_secs(900);

/// One broker for all tests of this binary. Answers where it listens.
pub(crate) fn shared() -> Vec<String> {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(|| Cluster::start(1)).addresses()
}

/// One of Kafka's own tools, by its class.
pub(crate) fn tool(class: &str) -> Command {
    let mut command = Command::new("java");
    command.args(["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dfile.encoding=UTF-8", "-cp"]);
    command.arg(format!("{}/*", jars(VERSION).display())).arg(class);
    command
}

/// One broker of the older version for all tests of this binary. Answers where it listens.
pub(crate) fn shared_older() -> Vec<String> {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    let start = || {
        let mut cluster = Cluster::prepare_version(OLDER_VERSION, 1);
        cluster.start_node(0);
        cluster
    };
    SHARED.get_or_init(start).addresses()
}

/// Three brokers for all tests of this binary that kill none of them. Answers where they listen.
pub(crate) fn shared_three() -> Vec<String> {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(|| Cluster::start(3)).addresses()
}

/// Nodes that are brokers and controllers at once. They end when this is dropped.
#[derive(Debug)]
pub(crate) struct Cluster {
    jars: PathBuf,
    nodes: Vec<Node>,
    data: TempDir,
}

#[derive(Debug)]
struct Node {
    address: String,
    controller: u16,
    file: PathBuf,
    /// Options of its Java alone.
    options: Vec<String>,
    process: Option<Process>,
}

/// A running node.
#[derive(Debug)]
struct Process {
    pipe: ChildStdin,
    shell: Child,
    starts: Mutex<Receiver<()>>,
}

impl Cluster {
    /// Starts so many nodes, and waits until all of them serve.
    pub(crate) fn start(count: usize) -> Self {
        let mut cluster = Self::prepare(count);
        cluster.start_nodes();
        cluster
    }

    /// Starts all nodes that do not run, and waits until they serve.
    pub(crate) fn start_nodes(&mut self) {
        let missing = |index: &usize| self.nodes[*index].process.is_none();
        let missing: Vec<usize> = (0..self.nodes.len()).filter(missing).collect();
        for index in &missing {
            self.launch(*index, "");
        }
        for index in missing {
            self.wait(index);
        }
    }

    /// Makes so many nodes ready to be started; their addresses are known already.
    pub(crate) fn prepare(count: usize) -> Self {
        Self::prepare_version(VERSION, count)
    }

    fn prepare_version(version: &str, count: usize) -> Self {
        let jars = jars(version);
        let data = tempfile::Builder::new().prefix("kafka-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        settings::write_logging(data.path());
        let ports = free_ports(count);
        let node = |(id, (port, controller)): (usize, &(u16, u16))| {
            let file = settings::write(data.path(), &ports, id);
            format(&jars, data.path(), &file, &[]);
            let address = format!("127.0.0.1:{port}");
            Node { address, controller: *controller, file, options: Vec::new(), process: None }
        };
        let nodes = (1..).zip(&ports).map(node).collect();
        Self { jars, nodes, data }
    }

    /// Changes the configuration of a node that was never started, and makes its data directory anew: `arguments` go to
    /// Kafka's own tool for that.
    pub(crate) fn reconfigure(
        &self,
        index: usize,
        change: impl FnOnce(String) -> String,
        arguments: &[&str],
    ) {
        let file = &self.nodes[index].file;
        fs::write(file, change(fs::read_to_string(file).unwrap())).unwrap();
        fs::remove_dir_all(self.directory().join(format!("data{}", index + 1))).unwrap();
        format(&self.jars, self.directory(), file, arguments);
    }

    /// Starts a node whose files may be so large at most, as on a disk that is full then, and waits until it serves.
    /// Its indexes take 10 MiB from the beginning.
    pub(crate) fn start_node_on_small_disk(&mut self, index: usize, mib_max: u32) {
        // The shell counts blocks of 512 bytes.
        self.launch(index, &format!("ulimit -f {}; ", mib_max * 2_048));
        self.wait(index);
    }

    /// Runs one of Kafka's own tools on the cluster.
    pub(crate) fn tool(&self, class: &str, arguments: &[&str]) {
        let mut command = tool(class);
        command.args(["--bootstrap-server", &self.nodes[0].address]).args(arguments);
        run(command, TOOL_MAX);
    }

    /// Where its files lie.
    pub(crate) fn directory(&self) -> &Path {
        self.data.path()
    }

    /// Starts a node with the data it has, and waits until it serves.
    pub(crate) fn start_node(&mut self, index: usize) {
        self.launch(index, "");
        self.wait(index);
    }

    /// Starts a node whose Java is told these system properties, as `name=value`, and waits until it serves.
    pub(crate) fn start_node_with(&mut self, index: usize, properties: &[&str]) {
        let told: Vec<String> = properties.iter().map(|property| format!("'-D{property}'")).collect();
        self.launch(index, &format!("export JDK_JAVA_OPTIONS=\"{}\"; ", told.join(" ")));
        self.wait(index);
    }

    /// kill -9.
    pub(crate) fn kill_node(&mut self, index: usize) {
        self.nodes[index].process = None;
    }

    /// SIGTERM; waits until the node has ended.
    pub(crate) fn terminate_node(&mut self, index: usize) {
        let mut process = self.nodes[index].process.take().expect("it runs");
        process.signal("TERM");
        let ended = process.starts.lock().unwrap().recv_timeout(END_MAX);
        assert_eq!(ended, Err(RecvTimeoutError::Disconnected), "the node ends in time");
    }

    /// SIGSTOP: the node keeps its connections, and answers nothing.
    pub(crate) fn pause_node(&mut self, index: usize) {
        self.nodes[index].process.as_mut().expect("it runs").signal("STOP");
    }

    /// SIGCONT.
    pub(crate) fn resume_node(&mut self, index: usize) {
        self.nodes[index].process.as_mut().expect("it runs").signal("CONT");
    }

    /// Gives prepared nodes a second listener each, for clients that are told to find it at these ports: what stands
    /// there passes on to it. Answers where the second listeners are.
    pub(crate) fn listen_behind(&self, doors: &[u16]) -> Vec<String> {
        let ports = free_ports(doors.len());
        let listen = |(node, (door, (port, _))): (&Node, (&u16, &(u16, u16)))| {
            let inner = format!("127.0.0.1:{port}");
            settings::add_listener(&node.file, "DOOR", "PLAINTEXT", &inner, &format!("127.0.0.1:{door}"));
            inner
        };
        self.nodes.iter().zip(doors.iter().zip(&ports)).map(listen).collect()
    }

    /// Tells clients of a node to find it at another place than before.
    pub(crate) fn move_door(&self, index: usize, old: &str, new: &str) {
        let file = &self.nodes[index].file;
        let text = fs::read_to_string(file).unwrap();
        fs::write(file, text.replace(&format!("DOOR://{old}"), &format!("DOOR://{new}"))).unwrap();
    }

    /// Lets prepared nodes know one another by name, each by addresses that `address` gives it of the others: what stands
    /// there passes on to the same ports of 127.0.0.1. Answers which ports those are.
    pub(crate) fn know_by_name(&mut self, address: fn(usize, usize) -> Ipv4Addr) -> Vec<[u16; 2]> {
        let controllers: Vec<u16> = self.nodes.iter().map(|node| node.controller).collect();
        let ports: Vec<[u16; 2]> = controllers.iter().map(|port| [free_port(), *port]).collect();
        for (from, node) in self.nodes.iter_mut().enumerate() {
            settings::name_nodes(&node.file, from + 1, ports[from], &controllers);
            let addresses = (0..ports.len()).map(|to| address(from, to));
            let hosts = settings::write_hosts(self.data.path(), from + 1, addresses);
            node.options = vec![format!("-Djdk.net.hosts.file={}", hosts.display())];
        }
        ports
    }

    /// Where the brokers listen.
    pub(crate) fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.address.clone()).collect()
    }

    fn launch(&mut self, index: usize, before: &str) {
        let node = &mut self.nodes[index];
        let mut options = options(&self.jars, self.data.path());
        options.extend(node.options.iter().cloned());
        node.process = Some(launch(before, options, &node.file));
    }

    fn wait(&self, index: usize) {
        let process = self.nodes[index].process.as_ref().expect("it was launched");
        process.starts.lock().unwrap().recv_timeout(START_MAX).expect("Kafka starts in time");
    }
}

impl Process {
    fn signal(&mut self, name: &str) {
        self.pipe.write_all(format!("{name}\n").as_bytes()).unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Killing the shell alone would leave the broker; a word on the pipe ends both.
        let _told = self.pipe.write_all(b"end\n");
        let _ended = self.shell.wait();
    }
}

/// The jars of a version, fetched once, whoever else asks for them at the same time.
fn jars(version: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("kafka");
    let jars = target.join(version);
    fs::create_dir_all(&target).unwrap();
    let only_one = fs::File::create(target.join("lock")).unwrap();
    only_one.lock().unwrap();
    if !jars.exists() {
        let part = target.join(format!("{version}.part"));
        let pom = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kafka/pom.xml");
        let mut maven = Command::new("mvn");
        maven
            .args(["-q", "-B", "dependency:copy-dependencies"])
            .arg("-f")
            .arg(pom)
            .arg(format!("-Dkafka.version={version}"))
            .arg(format!("-DoutputDirectory={}", part.display()));
        run(maven, FETCH_MAX);
        fs::rename(part, &jars).unwrap();
    }
    jars
}

/// Ports for brokers and controllers.
pub(crate) fn free_ports(count: usize) -> Vec<(u16, u16)> {
    (0..count).map(|_| (free_port(), free_port())).collect()
}

/// A port that this process gives out once. It lies below those that systems give to outgoing connections (from 32768
/// on), so that no connection takes it before whoever shall listen there does, or while that is dead.
pub(crate) fn free_port() -> u16 {
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 20_000;
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    // Processes begin at places of their own.
    static START: OnceLock<u16> = OnceLock::new();
    let start = *START.get_or_init(|| uuid::Uuid::new_v4().as_fields().1 % COUNT);
    let next = || {
        let given = GIVEN.fetch_add(1, Ordering::Relaxed);
        assert!(given < COUNT, "all ports are taken");
        FIRST + (start + given) % COUNT
    };
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    std::iter::repeat_with(next).find(is_free).expect("the supply does not end")
}

fn format(jars: &Path, data: &Path, file: &Path, arguments: &[&str]) {
    let mut format = java(jars, data);
    format
        .args(["kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c"])
        .arg(file)
        .args(arguments);
    run(format, TOOL_MAX);
}

/// Runs a program that must succeed; one that takes too long is killed.
pub(crate) fn run(command: Command, patience: Duration) {
    let mut command = tokio::process::Command::from(command);
    command.stdin(Stdio::null()).kill_on_drop(true);
    // Whoever calls may be on a thread of a runtime, where no other one may be waited for.
    let ended = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let ended = runtime.block_on(async { tokio::time::timeout(patience, command.output()).await });
        let output = ended.unwrap_or_else(|_| panic!("{command:?} takes too long")).unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&said));
    });
    ended.join().expect("the program succeeds");
}

fn java(jars: &Path, data: &Path) -> Command {
    let mut command = Command::new("java");
    command.args(options(jars, data));
    command
}

fn options(jars: &Path, data: &Path) -> Vec<String> {
    vec![
        "-Xms64m".to_owned(),
        "-Xmx320m".to_owned(),
        "-XX:+UseSerialGC".to_owned(),
        "-XX:TieredStopAtLevel=1".to_owned(),
        format!("-Dlog4j2.configurationFile={}", data.join("log4j2.properties").display()),
        format!("-Dlog4j.configuration=file:{}", data.join("log4j.properties").display()),
        "-cp".to_owned(),
        format!("{}/*", jars.display()),
    ]
}

fn launch(before: &str, options: Vec<String>, file: &Path) -> Process {
    // Descriptors that came down from the runner are closed, or its locks would live as long as the broker.
    const SHELL: &str = "for fd in 3 4 5 6 7 8 9; do eval \"exec $fd>&-\"; done
\"$@\" </dev/null & node=$!
exec >&-
while read -r word; do
    case $word in TERM|STOP|CONT) kill -$word $node ;; *) break ;; esac
done
kill -9 $node 2>/dev/null
wait $node 2>/dev/null";
    let mut shell = Command::new("sh")
        .args(["-c", &format!("{before}{SHELL}"), "kafka", "java"])
        .args(options)
        .arg("kafka.Kafka")
        .arg(file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let (pipe, output) = (shell.stdin.take().unwrap(), shell.stdout.take().unwrap());
    let (started, starts) = channel();
    let mut log = fs::File::create(file.with_extension("log")).unwrap();
    thread::spawn(move || {
        for line in BufReader::new(output).lines() {
            let Ok(line) = line else { return };
            if line.contains("Kafka Server started") {
                let _waits = started.send(());
            }
            let _written = writeln!(log, "{line}");
        }
    });
    Process { pipe, shell, starts: Mutex::new(starts) }
}
