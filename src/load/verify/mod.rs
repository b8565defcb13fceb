//! `catchment load --verify`: the whole way checked, from the bytes that left to the bytes that arrived.
//!
//! ```text
//!   generator ─► server ─► sink           without --endpoint the server is a child of ours, ended before the balance;
//!       │                   │             with one, the balance is drawn when the sink has what was sent and nothing more
//!       │                   │             comes for a while, or --settle is over
//!       └── SeriesTotals ─ difference ─ Totals
//! ```
//!
//! Deliberately does not know how either side counts.
//! Invariants: 1. the balance is drawn by series, so errors of opposite sign do not cancel; 2. a run is verified only if
//! every point was acknowledged, every series is there, and the difference is 0; 3. no server of ours outlives this
//! process, unless it is killed by SIGKILL.
//! Bounds: `limits::VERIFY_*`.

mod difference;

pub use difference::Difference;

use super::options::Options;
use super::payload::{Encoding, SeriesTotals};
use super::send::Settled;
use super::sink::{Sink, SinkOptions, Totals};
use crate::limits::{VERIFY_QUIET, VERIFY_SERVER_TIMEOUT};
use rustix::process::{Pid, Signal, kill_process};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Distance of two looks at a child, or at a sink.
const LOOK: Duration = Duration::from_millis(5);

/// What the balance came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Output points that the sink received.
    pub delivered_points: u64,
    /// What was sent against what the sink holds.
    pub difference: Difference,
    /// Series that were born past the limit, and so are not in the difference.
    pub untracked: u64,
    /// What a server of ours had to say at its end, where that was not a clean one.
    pub complaint: Option<String>,
}

impl Verified {
    /// Whether the sink holds exactly what was sent. The run must have been exact, too.
    pub fn is_whole(&self) -> bool {
        self.difference.is_none() && self.untracked == 0 && self.complaint.is_none()
    }
}

/// Checks what reached a sink of what `send` sends; gives what that gave, too, which has the totals of the series.
/// Errors say what did not start.
pub(crate) fn verified<O>(
    options: &Options,
    stop: &AtomicBool,
    send: impl FnOnce(&Options) -> Result<(O, Option<SeriesTotals>), String>,
) -> Result<(O, Verified), String> {
    let mut options = options.clone();
    // Contradictions first: a server is started for a run that can be.
    let settled = options.settle()?;
    let listen = options.sink.unwrap_or_else(|| ([127, 0, 0, 1], 0).into());
    let sink = Sink::start(SinkOptions { listen, drop: options.sink_drop, ..SinkOptions::default() })?;
    let server = match &options.endpoint {
        Some(_) => {
            if options.sink.is_none() {
                crate::log::tell(format_args!(
                    "the sink listens on {0}: the server needs --out otlp-grpc://{0}",
                    sink.address()
                ));
            }
            None
        }
        None => {
            let server = Server::start(&settled, &sink)?;
            options.endpoint = Some(server.endpoint.parse()?);
            Some(server)
        }
    };
    let own = server.is_some();
    let (outcome, series) = send(&options)?;
    let series = series.ok_or("totals of the series were not kept")?;
    let complaint = server.map(Server::end).transpose()?.flatten();
    let deadline = Instant::now() + if own { Duration::ZERO } else { options.settle };
    let mut balance = Balance::drawn(&series, &sink.totals());
    let mut changed = Instant::now();
    loop {
        let requests = sink.totals().requests;
        if balance.requests != requests {
            balance = Balance::drawn(&series, &sink.totals());
            // Only now: no request could be counted while the balance was drawn.
            changed = Instant::now();
        }
        let is_quiet = balance.difference.is_none() && changed.elapsed() >= VERIFY_QUIET;
        // ORDERING: a flag; publishes nothing
        if is_quiet || Instant::now() >= deadline || stop.load(Ordering::Relaxed) {
            break;
        }
        std::thread::sleep(LOOK);
    }
    let Balance { points: delivered_points, difference, .. } = balance;
    Ok((outcome, Verified { delivered_points, difference, untracked: series.untracked, complaint }))
}

/// What was sent against what a sink holds after so many requests.
struct Balance {
    requests: u64,
    points: u64,
    difference: Difference,
}

impl Balance {
    fn drawn(series: &SeriesTotals, totals: &Totals) -> Balance {
        Balance { requests: totals.requests, points: totals.points, difference: series.difference(totals) }
    }
}

/// `catchment run` as a child, killed when it is dropped.
struct Server {
    child: std::process::Child,
    folder: PathBuf,
    endpoint: String,
    said: Option<std::thread::JoinHandle<String>>,
}

impl Server {
    /// This executable on free ports of loopback, delivering to `sink`: deltas where every kind adds, so that each
    /// single request counts, else cumulatives.
    fn start(settled: &Settled, sink: &Sink) -> Result<Server, String> {
        let program = std::env::current_exe().map_err(|error| format!("this program's own path: {error}"))?;
        let folder =
            std::env::temp_dir().join(format!("catchment-load-{}-{}", std::process::id(), sink.address().port()));
        std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let ports = folder.join("ports");
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CATCHMENT_")) {
            command.env_remove(name);
        }
        let temporality = if settled.settings.mix.is_delta() { "delta" } else { "cumulative" };
        let out = format!("otlp-grpc://{}?temporality={temporality}", sink.address());
        let limit = crate::limits::VERIFY_SERIES_MAX.to_string();
        command.args(["run", "--log", "warn", "--interval", "1s", "--expire", "24h", "--series-limit", &limit]);
        command.args(["--prometheus", "off", "--admin", "off", "--otlp-grpc", "127.0.0.1:0"]);
        command.args(["--otlp-http", "127.0.0.1:0", "--shutdown-timeout", "30s", "--out", &out, "--ports-file"]);
        command.arg(&ports).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        // A group of its own: Ctrl-C on a terminal is for us, and the server goes on until what was sent is delivered.
        command.process_group(0);
        let mut child = command.spawn().map_err(|error| format!("the server does not start: {error}"))?;
        let stderr = child.stderr.take();
        // Read all along, so that it never waits for us.
        let read = move || stderr.map(std::io::read_to_string).and_then(Result::ok).unwrap_or_default();
        let said = std::thread::spawn(read);
        let mut server = Server { child, folder, endpoint: String::new(), said: Some(said) };
        let deadline = Instant::now() + VERIFY_SERVER_TIMEOUT;
        let addresses = loop {
            if let Ok(text) = std::fs::read_to_string(&ports) {
                break text;
            }
            let ended = server.child.try_wait().map_err(|error| format!("the server: {error}"))?.is_some();
            if ended || Instant::now() >= deadline {
                return Err(format!("the server did not start: {}", server.kill()));
            }
            std::thread::sleep(LOOK);
        };
        let addresses: serde_json::Value =
            serde_json::from_str(&addresses).map_err(|error| format!("{}: {error}", ports.display()))?;
        let (scheme, door) = match settled.settings.encoding {
            Encoding::Protobuf => ("grpc", "otlp_grpc"),
            Encoding::Json => ("http", "otlp_http"),
        };
        server.endpoint = format!("{scheme}://{}", addresses[door].as_str().unwrap_or_default());
        Ok(server)
    }

    /// SIGTERM, and the last cut delivered. Says what it had to say, if it did not end well.
    fn end(mut self) -> Result<Option<String>, String> {
        // It fails only where the child has ended, which is seen below.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let deadline = Instant::now() + VERIFY_SERVER_TIMEOUT;
        let status = loop {
            if let Some(status) = self.child.try_wait().map_err(|error| format!("the server: {error}"))? {
                break status;
            }
            if Instant::now() >= deadline {
                return Err(format!("the server did not end in time: {}", self.kill()));
            }
            std::thread::sleep(LOOK);
        };
        let said = self.said();
        let ledger = said.lines().rfind(|line| line.contains("ledger:")).unwrap_or_default();
        if status.success() && ledger.ends_with("; balanced") {
            return Ok(None);
        }
        let last: Vec<&str> = said.lines().rev().take(3).collect();
        Ok(Some(format!("the server ended with {status}: {}", last.into_iter().rev().collect::<Vec<_>>().join("; "))))
    }

    fn kill(&mut self) -> String {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.said().trim().to_owned()
    }

    fn said(&mut self) -> String {
        self.said.take().and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // All of them fail only where it has ended, or the folder is gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
