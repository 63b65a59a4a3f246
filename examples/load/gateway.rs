//! A gateway process on a directory of its own, and what a process uses.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::client::Client;

/// What the load generator lays over the development configuration.
const CONFIG: &str = include_str!("weirgate.yaml");

/// A running gateway; ends with this value.
#[derive(Debug)]
pub(crate) struct Gateway {
    child: Process,
    pub(crate) address: SocketAddr,
    pub(crate) token: String,
    /// From the start of the process until it was ready.
    pub(crate) took: Duration,
    directory: TempDir,
    setup: Setup,
}

/// A child that ends with this value.
#[derive(Debug)]
struct Process(Child);

/// What a gateway is started with.
#[derive(Debug, Clone, Default)]
pub(crate) struct Setup {
    /// A broker; without one the embedded log.
    pub(crate) kafka: Option<String>,
    /// Topics beside `load.events`, as entries of the configuration's list.
    pub(crate) topics: Vec<String>,
    /// Settings of the configuration, such as `schemas.store=embedded`.
    pub(crate) settings: Vec<String>,
}

/// What a process used: CPU so far, memory now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) cpu: Duration,
    pub(crate) resident_mib: f64,
}

impl Gateway {
    /// Starts `target/release/weirgate` (beside this example) on a free port and a fresh directory. The directory lies
    /// under `target`, so that fsync means a disk and not memory.
    pub(crate) fn start(setup: &Setup) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("load-").tempdir_in(release()?)?;
        Self::start_on(directory, setup.clone())
    }

    /// Kills the gateway and starts another one on what it left.
    pub(crate) fn restart(self) -> anyhow::Result<Self> {
        let Self { child, directory, setup, .. } = self;
        drop(child);
        Self::start_on(directory, setup)
    }

    fn start_on(directory: TempDir, setup: Setup) -> anyhow::Result<Self> {
        let started = Instant::now();
        let mut child = Process(spawn(directory.path(), &setup)?);
        let (address, token) = introduction(&mut child.0)?;
        let mut ready = Client::connect(address, "GET", "/readyz", &token)?;
        while ready.send(b"")? != 200 {
            std::thread::yield_now();
        }
        Ok(Self { child, address, token, took: started.elapsed(), directory, setup })
    }

    pub(crate) fn usage(&self) -> Usage {
        usage(&self.child.0.id().to_string())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn release() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let release = own.ancestors().nth(2).context("this example lies in target/release/examples")?;
    Ok(release.to_owned())
}

fn spawn(directory: &Path, setup: &Setup) -> anyhow::Result<Child> {
    let binary = release()?.join("weirgate");
    if !binary.exists() {
        bail!("{} is missing: cargo build --release", binary.display());
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/load");
    let topics: String = setup.topics.iter().map(|topic| format!("  - {topic}\n")).collect();
    let config = directory.join("weirgate.yaml");
    std::fs::write(&config, CONFIG.replace("topics:\n", &format!("topics:\n{topics}")))?;
    let schemas = format!("schemas.directory={}", here.join("schemas").display());
    let settings = setup.settings.iter().chain([&schemas]).flat_map(|setting| ["--set", setting]);
    let child = Command::new(binary)
        .args(["dev", "--listen", "127.0.0.1:0", "--set", "http.metrics_listen=null", "--config"])
        .arg(config)
        .args(setup.kafka.iter().flat_map(|broker| ["--kafka", broker]))
        .args(settings)
        .arg("--data-dir")
        .arg(directory)
        .stdout(Stdio::piped())
        .spawn()?;
    Ok(child)
}

/// The address and the token that the gateway prints.
fn introduction(child: &mut Child) -> anyhow::Result<(SocketAddr, String)> {
    let stdout = child.stdout.take().context("its output")?;
    let (mut address, mut token) = (None, None);
    for line in BufReader::new(stdout).lines() {
        let line = line?;
        if let Some(rest) = line.trim().strip_prefix("Weirgate runs on http://") {
            address = rest.split(". ").next().and_then(|address| address.parse().ok());
        }
        if let Some(rest) = line.trim().strip_prefix("export WEIRGATE_TOKEN='") {
            token = Some(rest.trim_end_matches('\'').to_owned());
        }
        if line.contains("Stop: Ctrl-C") {
            break;
        }
    }
    Ok((address.context("the gateway did not start")?, token.context("the gateway printed no token")?))
}

/// What this process used.
pub(crate) fn own_usage() -> Usage {
    usage("self")
}

/// The difference of two readings; memory is the later one's.
pub(crate) fn since(earlier: Usage, later: Usage) -> Usage {
    Usage { cpu: later.cpu.saturating_sub(earlier.cpu), resident_mib: later.resident_mib }
}

/// From /proc/PID/stat: utime and stime in ticks of 10 ms, resident pages of 4 KiB.
fn usage(process: &str) -> Usage {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields: Vec<u64> = stat
        .rsplit_once(") ")
        .map(|(_, rest)| rest.split_whitespace().map(|field| field.parse().unwrap_or_default()).collect())
        .unwrap_or_default();
    let field = |index: usize| fields.get(index).copied().unwrap_or_default();
    #[expect(clippy::cast_precision_loss, reason = "a figure for a person")]
    let resident_mib = field(21) as f64 / 256.0;
    Usage { cpu: Duration::from_millis((field(11) + field(12)) * 10), resident_mib }
}
