//! The thread of one `stdout` or `file:` destination: a line of OTLP/JSON per request.
//!
//! Does not know: the network; other destinations. It may block for as long as its pipe does and holds nobody up.
//!
//! Invariants:
//! 1. A line is written whole: a retry goes on at the byte where the last try stopped. Only a line that is given up can be
//!    cut, and the next one then starts on a line of its own.
//! 2. A batch is settled after its line has left the process; nothing is buffered here.
//!
//! Progress: parks when the queue is empty. Blocks in `write`. Bounds: `TRIES` tries per line; one line in memory.
//!
//! Source: OpenTelemetry "File Exporter" (JSON lines), opentelemetry-proto OTLP/JSON.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::Options;
use super::backoff::{Jitter, wait_ns};
use super::ledger::Dropped;
use super::queue::{Encoded, Port, Shared};
use super::warn::Warner;
use crate::otlp::json_out::write_json;

/// Tries of one line.
pub const TRIES: u32 = 4;
/// Longest park; a lost wake-up costs no more than this.
const PARK: Duration = Duration::from_secs(1);
/// Wait when standard output is a non-blocking pipe that somebody else made so, and full, ns.
const FULL_PIPE_WAIT_NS: u64 = 10_000_000;

/// Where lines go. Both are files without a buffer in between: what `write` says was written has left the process.
pub(super) struct Sink {
    /// `None` is standard output.
    path: Option<PathBuf>,
    open: Option<File>,
}

impl Sink {
    pub(super) fn stdout() -> Self {
        Sink { path: None, open: None }
    }

    pub(super) fn file(path: &Path) -> Self {
        Sink { path: Some(path.to_owned()), open: None }
    }

    /// Writes some of `bytes`.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let file = match (&mut self.open, &self.path) {
            (Some(file), _) => file,
            (none, Some(path)) => none.insert(open_file(path)?),
            (none, None) => none.insert(File::from(io::stdout().as_fd().try_clone_to_owned()?)),
        };
        file.write(bytes)
    }

    /// After an error the file is opened anew.
    fn reset(&mut self) {
        self.open = None;
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o644).open(path)
}

pub(super) struct Writer {
    pub(super) port: Arc<Port>,
    pub(super) shared: Arc<Shared>,
    pub(super) sink: Sink,
    pub(super) options: Options,
    pub(super) jitter: Jitter,
}

impl Writer {
    /// Serves the queue until stopped and empty, or until the deadline.
    pub(super) fn run(mut self) {
        let mut line = Vec::new();
        let mut torn = false;
        let mut warner = Warner::default();
        loop {
            let stop_at = self.shared.stop_at();
            let now_ns = (self.options.clock)().mono_ns;
            if stop_at.is_some_and(|at| now_ns >= at) {
                return;
            }
            let Some(batch) = self.port.store.pop() else {
                if stop_at.is_some() {
                    return;
                }
                std::thread::park_timeout(PARK);
                continue;
            };
            self.port.stats.in_flight.set(1);
            let lost = self.write_batch(&batch, &mut line, &mut torn, &mut warner);
            self.port.stats.in_flight.set(0);
            if let Some(lost) = lost {
                self.port.settle(&batch, lost);
            }
        }
    }

    /// Writes one batch; says what was lost of it, or `None` if the deadline came first.
    fn write_batch(
        &mut self,
        batch: &Encoded,
        line: &mut Vec<u8>,
        torn: &mut bool,
        warner: &mut Warner,
    ) -> Option<Option<(Dropped, u64)>> {
        let port = self.port.clone();
        line.clear();
        if *torn {
            line.push(b'\n');
        }
        if let Err(error) = write_json(&batch.bytes, line) {
            let text = format!("an encoded request cannot be written as JSON: {error}");
            port.stats.message(&text);
            warner.failed(&port.name, &text, "this is a bug: report it", (self.options.clock)().mono_ns);
            return Some(Some((Dropped::Malformed, batch.points)));
        }
        line.push(b'\n');
        let mut written = 0;
        for tries in 1..=TRIES {
            match self.write_on(line, &mut written) {
                Ok(()) => {
                    *torn = false;
                    port.stats.requests_ok.add(1);
                    warner.recovered(&port.name);
                    return Some(None);
                }
                Err(error) => {
                    let now_ns = (self.options.clock)().mono_ns;
                    self.sink.reset();
                    port.stats.tries_retryable.add(1);
                    port.stats.message(&error.to_string());
                    let remedy = "check that the file can be written and the disk has room";
                    warner.failed(&port.name, &error.to_string(), remedy, now_ns);
                    if tries == TRIES || error.kind() == io::ErrorKind::BrokenPipe {
                        break;
                    }
                    let wait =
                        wait_ns(tries, None, self.options.backoff_first, self.options.backoff_max, &mut self.jitter);
                    if !self.pause(wait) {
                        *torn = written > 0;
                        return None;
                    }
                    port.stats.retries.add(1);
                }
            }
        }
        // a newline alone leaves nothing torn
        *torn = written > 0 || *torn;
        port.stats.requests_refused.add(1);
        Some(Some((Dropped::IoError, batch.points)))
    }

    fn write_on(&mut self, line: &[u8], written: &mut usize) -> io::Result<()> {
        while *written < line.len() {
            match self.sink.write(&line[*written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    *written += n;
                    self.port.stats.bytes_sent.add(n as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && self.pause(FULL_PIPE_WAIT_NS) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits, at most until the deadline; false if that came first.
    fn pause(&self, wait_ns: u64) -> bool {
        let until = (self.options.clock)().mono_ns.saturating_add(wait_ns);
        loop {
            let now = (self.options.clock)().mono_ns;
            if self.shared.stop_at().is_some_and(|at| now >= at) {
                return false;
            }
            if now >= until {
                return true;
            }
            let stop_in = self.shared.stop_at().map_or(u64::MAX, |at| at.saturating_sub(now));
            std::thread::park_timeout(Duration::from_nanos((until - now).min(stop_in)));
        }
    }
}
