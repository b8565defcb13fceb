//! `catchment sink`: a counting backend. OTLP/gRPC and OTLP/HTTP in on one port, protobuf and JSON, identity, gzip and
//! zstd; exact totals out, faults to order.
//!
//! Deliberately plain: one thread for each connection, blocking sockets, prost; it is not on any hot path. Shares no
//! code with server, encoder or ledger.
//! Invariants: 1. a request is counted before its success is answered; 2. a request that meets a status, hang or
//! reset fault is not counted, one that meets `--drop` is answered with success and not counted.
//! *Progress*: one lock around the totals, held for one decoded request at a time.
//! Bounds: bodies of `counting::BODY_BYTES_MAX`; threads as many as there are connections.

use super::counting::Shared;
use super::options::SinkOptions;
use super::session::serve;
use super::totals::Totals;
use crate::files;
use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// How long answers that are being written hold up the end of a sink, and the distance of two looks at them.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(1);

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

/// The subcommand: listens until SIGTERM or SIGINT, then prints the totals.
pub fn sink_command(options: &SinkOptions) -> Result<u8, String> {
    let mut signals = signal_hook::iterator::Signals::new([signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM])
        .map_err(|error| format!("signals: {error}"))?;
    let sink = Sink::start(options.clone())?;
    crate::log::tell(format_args!("sink: OTLP/gRPC and OTLP/HTTP on {0}, totals on http://{0}/totals", sink.address()));
    signals.forever().next();
    let text = sink.totals().json() + "\n";
    std::io::stdout().write_all(text.as_bytes()).map_err(|error| format!("standard output: {error}"))?;
    Ok(crate::SUCCESS)
}
