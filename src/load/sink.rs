//! `catchment sink`: a counting backend. OTLP/gRPC and OTLP/HTTP in on one port, protobuf and JSON, identity, gzip and
//! zstd; exact totals out, faults to order.
//!
//! Deliberately plain: one thread for each connection, blocking sockets, prost; it is not on any hot path. Shares no
//! code with server, encoder or ledger.
//! Invariants: 1. a request is counted before its success is answered; 2. a request that meets a status, hang or
//! reset fault is not counted, one that meets `--drop` is answered with success and not counted.
//! *Progress*: one lock around the totals, held for one decoded request at a time.
//! Bounds: bodies of [`BODY_BYTES_MAX`]; threads as many as there are connections.

use super::json_in;
use super::messages::ExportMetricsServiceRequest;
use super::sink_session::serve;
use super::totals::Totals;
use crate::files;
use crate::units::{count, decimal, duration, positive};
use prost::Message;
use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};

/// Largest request, compressed or not.
pub(crate) const BODY_BYTES_MAX: usize = 256 * 1024 * 1024;

/// How long answers that are being written hold up the end of a sink, and the distance of two looks at them.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(1);

/// Receive OTLP metrics, keep exact totals per metric and series, answer as told.
///
/// Takes OTLP/gRPC and OTLP/HTTP on one port, protobuf and JSON, identity, gzip and zstd.
///
/// Totals are printed as JSON at the end (SIGTERM, Ctrl-C), and `GET /totals` shows them at any time. Faults meet the
/// requests that --fail-rate chooses.
#[derive(Clone, Debug, clap::Args)]
pub struct SinkOptions {
    /// Where to listen, for OTLP/gRPC and OTLP/HTTP alike; port 0 takes a free one
    #[arg(long, value_name = "ADDR", value_parser = listen_at, default_value = "127.0.0.1:4320")]
    pub listen: SocketAddr,

    /// Write the address as a JSON object to this file once it listens
    #[arg(long, value_name = "PATH")]
    pub ports_file: Option<std::path::PathBuf>,

    /// Refuse requests with this status: 1 to 16 is a gRPC status (503 over HTTP), 300 to 599 an HTTP status
    #[arg(long, value_name = "CODE", value_parser = fail_status, group = "fault")]
    pub fail_status: Option<u16>,

    /// Share of the requests that meet the fault (one of --fail-status, --hang, --reset and --partial), evenly spread:
    /// 0.25 is every fourth
    #[arg(long, value_name = "SHARE", default_value_t = 1.0, value_parser = share, requires = "fault")]
    pub fail_rate: f64,

    /// Answer only after so long, as in 100ms (all requests)
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub delay: Option<Duration>,

    /// Never answer
    #[arg(long, group = "fault")]
    pub hang: bool,

    /// Reset the connection in place of an answer
    #[arg(long, group = "fault")]
    pub reset: bool,

    /// Send this many seconds as Retry-After (HTTP) or RetryInfo (gRPC) with --fail-status
    #[arg(long, value_name = "SECONDS", value_parser = count::<u32>, requires = "fail_status", conflicts_with_all = ["hang", "reset", "partial"])]
    pub retry_after: Option<u32>,

    /// Claim in partial success that so many points of the request were rejected (they are counted all the same)
    #[arg(long, value_name = "N", value_parser = positive, group = "fault")]
    pub partial: Option<u64>,

    /// Answer the N-th request with success and forget it: what a test of --verify must find
    #[arg(long, value_name = "N", value_parser = positive)]
    pub drop: Option<u64>,

    /// After the N-th request, hold one series of a metric one too high and another one as much too low: their sum is
    /// right, and they are not
    #[arg(long, value_name = "N", value_parser = positive)]
    pub misplace: Option<u64>,
}

impl Default for SinkOptions {
    /// A free port on loopback, no faults.
    fn default() -> Self {
        SinkOptions {
            listen: ([127, 0, 0, 1], 0).into(),
            ports_file: None,
            fail_status: None,
            fail_rate: 1.0,
            delay: None,
            hang: false,
            reset: false,
            retry_after: None,
            partial: None,
            drop: None,
            misplace: None,
        }
    }
}

/// An address to listen at, without names.
pub(super) fn listen_at(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        let bare = text.split_once("://").map_or(text, |(_, rest)| rest).trim_start_matches(':').trim_end_matches('/');
        let meant = match bare.strip_prefix("localhost:").unwrap_or(bare).parse::<u16>() {
            Ok(port) => format!("127.0.0.1:{port}"),
            Err(_) if bare.parse::<SocketAddr>().is_ok() => bare.to_owned(),
            Err(_) => "IP:PORT, such as 127.0.0.1:4320".to_owned(),
        };
        format!("'{text}' is no address to listen at; write {meant}")
    })
}

/// A status that refuses.
fn fail_status(text: &str) -> Result<u16, String> {
    let status = text.parse().ok().filter(|status| matches!(status, 1..=16 | 300..=599));
    status.ok_or_else(|| "a gRPC status is from 1 to 16, an HTTP status that refuses from 300 to 599".into())
}

fn share(text: &str) -> Result<f64, String> {
    let share = decimal(text).ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "a share is from 0 to 1, as in 0.25".into())
}

/// What to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// Success, with so many points said to be rejected.
    Accept { rejected: u64 },
    /// Refused with an HTTP (100 and more) or gRPC status.
    Refuse { status: u16, retry_after_s: Option<u32>, why: String },
    /// No answer, ever.
    Hang,
    /// The connection goes away.
    Reset,
}

/// What connections share.
pub(crate) struct Shared {
    options: SinkOptions,
    totals: Mutex<Totals>,
    requests: AtomicU64,
    /// Requests that are being answered.
    answering: AtomicU64,
    stopping: AtomicBool,
    /// Weak, so that a connection is closed when its session ends.
    connections: Mutex<Vec<Weak<TcpStream>>>,
}

/// While it lives, a request is being answered.
pub(crate) struct Answering<'a>(&'a Shared);

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        // ORDERING: Release pairs with the Acquire in `Sink::drop`: the answer was written before.
        self.0.answering.fetch_sub(1, Ordering::Release);
    }
}

impl Shared {
    /// From before a request is counted until its answer is written, if there is one.
    pub(super) fn answering(&self) -> Answering<'_> {
        // ORDERING: Relaxed, a count; what is counted behind it is behind the lock of the totals.
        self.answering.fetch_add(1, Ordering::Relaxed);
        Answering(self)
    }

    /// Counts one request body, already decompressed, and says what to answer.
    pub(super) fn request(&self, body: &[u8], json: bool) -> Reply {
        // ORDERING: Relaxed, a number to each request; nothing else is published by it.
        let number = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(delay) = self.options.delay {
            std::thread::sleep(delay);
        }
        let rate = self.options.fail_rate.clamp(0.0, 1.0);
        let chosen = (number as f64 * rate).floor() > ((number - 1) as f64 * rate).floor();
        if chosen && let Some(reply) = self.fault() {
            self.totals().faulted_requests += 1;
            return reply;
        }
        let request = match json {
            true => json_in::request(body),
            false => ExportMetricsServiceRequest::decode(body).map_err(|error| error.to_string()),
        };
        let request = match request {
            Ok(request) => request,
            Err(why) => {
                self.totals().faulted_requests += 1;
                return Reply::Refuse { status: 400, retry_after_s: None, why };
            }
        };
        if self.options.drop != Some(number) {
            self.totals().take(&request);
        }
        if self.options.misplace == Some(number) {
            self.totals().misplace_one();
        }
        let rejected = if chosen { self.options.partial.unwrap_or(0) } else { 0 };
        Reply::Accept { rejected }
    }

    /// The totals as they stand.
    pub(super) fn totals(&self) -> MutexGuard<'_, Totals> {
        self.totals.lock().expect("no thread panics while it counts")
    }

    fn fault(&self) -> Option<Reply> {
        if self.options.hang {
            return Some(Reply::Hang);
        }
        if self.options.reset {
            return Some(Reply::Reset);
        }
        let status = self.options.fail_status?;
        Some(Reply::Refuse { status, retry_after_s: self.options.retry_after, why: "fault ordered".into() })
    }
}

/// A sink that runs on threads of its own until it is dropped.
pub struct Sink {
    shared: Arc<Shared>,
    address: SocketAddr,
    acceptor: Option<std::thread::JoinHandle<()>>,
}

impl Sink {
    /// Listens. Errors name the address.
    pub fn start(options: SinkOptions) -> Result<Sink, String> {
        let fail = |error: std::io::Error| format!("{}: {error}", options.listen);
        let no_ports = |path: &Path, error: &std::io::Error| {
            format!("--ports-file {}: {}", path.display(), files::unwritten(path, error))
        };
        let listener = TcpListener::bind(options.listen).map_err(fail)?;
        let address = listener.local_addr().map_err(fail)?;
        if let Some(path) = &options.ports_file {
            let text = format!("{{\"otlp_grpc\":\"{address}\",\"otlp_http\":\"{address}\"}}\n");
            files::replace(path, text.as_bytes()).map_err(|error| no_ports(path, &error))?;
        }
        let shared = Arc::new(Shared {
            options,
            totals: Mutex::default(),
            requests: AtomicU64::new(0),
            answering: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            connections: Mutex::default(),
        });
        let of_acceptor = Arc::clone(&shared);
        let accept = move || accept(&listener, &of_acceptor);
        let acceptor = std::thread::Builder::new().name("sink".into()).spawn(accept).map_err(fail_spawn)?;
        Ok(Sink { shared, address, acceptor: Some(acceptor) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The totals as they stand; connections wait while they are held.
    pub fn totals(&self) -> MutexGuard<'_, Totals> {
        self.shared.totals()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        // What was counted is answered first: else its sender would send it again, to nobody.
        let deadline = Instant::now() + LAST_ANSWERS;
        // ORDERING: Acquire pairs with the Release in `Answering::drop`.
        while self.shared.answering.load(Ordering::Acquire) > 0 && Instant::now() < deadline {
            std::thread::sleep(LOOK);
        }
        self.shared.stopping.store(true, Ordering::Release);
        for connection in self.shared.connections.lock().expect("no thread panics while it lists").drain(..) {
            let Some(connection) = connection.upgrade() else { continue };
            // A connection that is gone already is what we want.
            let _ = connection.shutdown(Shutdown::Both);
        }
        // The acceptor sees the mark when it is woken by one more connection.
        drop(TcpStream::connect(self.address));
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.join().expect("the acceptor does not panic");
        }
    }
}

fn fail_spawn(error: std::io::Error) -> String {
    format!("cannot start a thread: {error}")
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        // ORDERING: Acquire pairs with the Release in `drop`: what was shut down before is seen as such.
        if shared.stopping.load(Ordering::Acquire) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let stream = Arc::new(stream);
        {
            let mut connections = shared.connections.lock().expect("no thread panics while it lists");
            connections.retain(|connection| connection.strong_count() > 0);
            connections.push(Arc::downgrade(&stream));
        }
        let shared = Arc::clone(shared);
        let session = move || {
            if let Err(error) = serve(&stream, &shared) {
                tracing::debug!(%error, "sink: connection ended");
            }
        };
        if let Err(error) = std::thread::Builder::new().name("sink-connection".into()).spawn(session) {
            tracing::warn!(%error, "sink: connection refused");
        }
    }
}

impl SinkOptions {
    /// What can be found wrong before anything is bound.
    pub fn check(&self) -> Result<(), String> {
        let Some(path) = &self.ports_file else { return Ok(()) };
        files::replaceable(path)
            .map_err(|error| format!("--ports-file {}: {}", path.display(), files::unwritten(path, &error)))
    }
}

/// The subcommand: listens until SIGTERM or SIGINT, then prints the totals.
pub fn sink_command(options: &SinkOptions) -> Result<u8, String> {
    let mut signals = signal_hook::iterator::Signals::new([signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM])
        .map_err(|error| format!("signals: {error}"))?;
    let sink = Sink::start(options.clone())?;
    crate::log::tell(format_args!("sink: OTLP/gRPC and OTLP/HTTP on {0}, totals on http://{0}/totals", sink.address()));
    signals.forever().next();
    let text = sink.totals().json() + "\n";
    std::io::stdout().write_all(text.as_bytes()).map_err(|error| format!("standard output: {error}"))?;
    Ok(0)
}
