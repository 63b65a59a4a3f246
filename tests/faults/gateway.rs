//! The real binary as processes, to be killed, ended and started again on the same address and directory.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::task::{block_in_place, spawn_blocking};
use tokio::time::{Instant, timeout};

use crate::until;

/// How long a gateway may take until it serves.
const WELCOME_MAX: Duration = Duration::from_secs(120);
/// How long a gateway may take until it is ready, brokers being there.
const READY_MAX: Duration = Duration::from_secs(120);
/// SIGTERM to exit, as promised, and a little for a machine that does other things.
const EXIT_MAX: Duration = Duration::from_secs(120);
/// How long an answer may take of a gateway that lives.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// Where a gateway is found, and with what credential; the same after a restart.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// What histories call it.
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) token: String,
}

/// A gateway.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) target: Target,
    directory: PathBuf,
    process: Option<Process>,
}

/// A process that ends with its owner, whatever became of that.
#[derive(Debug)]
struct Process(Child);

impl Gateway {
    /// Starts a gateway with this configuration and files of its own in `directory`.
    pub(crate) async fn start(directory: &Path, yaml: &str) -> Self {
        fs::create_dir_all(directory).unwrap();
        fs::write(directory.join("weirgate.yaml"), yaml).unwrap();
        let (process, target) = launch(directory, "127.0.0.1:0").await;
        Self { target, directory: directory.to_owned(), process: Some(process) }
    }

    /// Starts it where it was.
    pub(crate) async fn start_again(&mut self) {
        assert!(self.process.is_none(), "it runs");
        let (process, target) = launch(&self.directory, &self.target.address).await;
        assert_eq!(target.address, self.target.address);
        self.target.token = target.token;
        self.process = Some(process);
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        drop(self.process.take().expect("it runs"));
    }

    /// SIGSTOP.
    pub(crate) fn pause(&self) {
        self.process.as_ref().expect("it runs").signal("-STOP");
    }

    /// SIGCONT.
    pub(crate) fn resume(&self) {
        self.process.as_ref().expect("it runs").signal("-CONT");
    }

    /// SIGTERM; answers how long the end took. It must be a clean one.
    pub(crate) async fn terminate(&mut self) -> Duration {
        let process = self.process.as_mut().expect("it runs");
        let told = Instant::now();
        process.signal("-TERM");
        let ended = until("the gateway ends", EXIT_MAX, async || process.0.try_wait().unwrap()).await;
        self.process = None;
        assert_eq!(ended.code(), Some(0), "{}", self.log_path());
        told.elapsed()
    }

    /// Status and body of `/readyz`, where there is an answer.
    pub(crate) async fn ready(&self) -> Option<(u16, String)> {
        self.get("/readyz").await
    }

    pub(crate) async fn get(&self, path: &str) -> Option<(u16, String)> {
        get(&self.target, path).await
    }

    /// Where it keeps its log, if it has one of its own.
    pub(crate) fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    pub(crate) async fn until_ready(&self) {
        let is_ready = async || self.ready().await.filter(|(status, _)| *status == 200).map(drop);
        until("the gateway is ready", READY_MAX, is_ready).await;
    }

    /// Fails if the gateway ended by itself, or panicked on the way.
    pub(crate) fn check(&mut self) {
        if let Some(Process(child)) = &mut self.process {
            assert_eq!(child.try_wait().unwrap(), None, "the gateway ended: {}", self.log_path());
        }
        let log = self.log();
        let panicked = log.lines().find(|line| line.contains("panicked"));
        assert_eq!(panicked, None, "{}", self.log_path());
    }

    /// When it heard that the group had given its partitions to others.
    pub(crate) fn losses(&self) -> Vec<SystemTime> {
        let log = self.log();
        let lines = log.lines().filter(|line| line.contains("partitions were lost"));
        let time = |line: &str| OffsetDateTime::parse(line.split(' ').next().unwrap(), &Rfc3339).unwrap();
        lines.map(|line| time(line).into()).collect()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap()
    }

    /// Resident memory.
    pub(crate) fn resident_kib(&self) -> u64 {
        let id = self.process.as_ref().expect("it runs").0.id();
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    fn log_path(&self) -> String {
        self.directory.join("log").display().to_string()
    }
}

impl Process {
    fn signal(&self, name: &str) {
        let status = block_in_place(|| Command::new("kill").args([name, &self.0.id().to_string()]).status());
        assert!(status.unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Status and body of an answer, where there is one.
pub(crate) async fn get(target: &Target, path: &str) -> Option<(u16, String)> {
    let url = format!("http://{}{path}", target.address);
    let request = reqwest::Client::new().get(url).bearer_auth(&target.token);
    let answer = request.timeout(ANSWER_MAX).send().await.ok()?;
    Some((answer.status().as_u16(), answer.text().await.ok()?))
}

/// Status and JSON of the answer to what is asked with this method and body.
pub(crate) async fn ask(target: &Target, method: reqwest::Method, path: &str, body: &Value) -> (u16, Value) {
    let url = format!("http://{}{path}", target.address);
    let request = reqwest::Client::new().request(method, url).bearer_auth(&target.token);
    let request = request.header("content-type", "application/json").body(body.to_string());
    let answer = request.timeout(ANSWER_MAX).send().await.expect("the gateway answers");
    let status = answer.status().as_u16();
    (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default())
}

/// The sum of all series of a metric that a gateway shows at this port, where it answers.
pub(crate) async fn metric(port: u16, name: &str) -> Option<f64> {
    let request = reqwest::Client::new().get(format!("http://127.0.0.1:{port}/metrics")).timeout(ANSWER_MAX);
    let text = request.send().await.ok()?.text().await.ok()?;
    let series = text.lines().filter_map(|line| line.strip_prefix(name));
    let series = series.filter(|rest| rest.starts_with(['{', ' ']));
    series.map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

async fn launch(directory: &Path, listen: &str) -> (Process, Target) {
    let log = File::options().create(true).append(true).open(directory.join("log")).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_weirgate"))
        .args(["dev", "--listen", listen, "--config"])
        .arg(directory.join("weirgate.yaml"))
        .arg("--data-dir")
        .arg(directory.join("data"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .unwrap();
    let mut process = Process(child);
    let stdout = process.0.stdout.take().unwrap();
    // Where this gives up, the process ends, and with it what is being read.
    let welcome = timeout(WELCOME_MAX, spawn_blocking(move || read_welcome(stdout)));
    let welcome = welcome.await.expect("the gateway says in time where it is").unwrap();
    let (address, token) =
        welcome.unwrap_or_else(|| panic!("no gateway: {}", directory.join("log").display()));
    let name = directory.file_name().unwrap().to_str().unwrap().to_owned();
    (process, Target { name, address, token })
}

/// The address and the token that `dev` prints, once it serves.
fn read_welcome(stdout: impl Read) -> Option<(String, String)> {
    let (mut address, mut token) = (None, None);
    for line in BufReader::new(stdout).lines() {
        let line = line.ok()?;
        if let Some(rest) = line.trim().strip_prefix("Weirgate runs on http://") {
            address = rest.split(". ").next().map(str::to_owned);
        }
        if let Some(rest) = line.trim().strip_prefix("export WEIRGATE_TOKEN='") {
            token = Some(rest.trim_end_matches('\'').to_owned());
        }
        if line.contains("Stop: Ctrl-C") {
            break;
        }
    }
    Some((address?, token?))
}
