//! The thread of one `stdout` or `file:` destination: a line of OTLP/JSON per request.
//!
//! Does not know: the network; other destinations. It may block for as long as its pipe does and holds nobody up.
//!
//! Invariants:
//! 1. A line is written whole: a retry goes on at the byte where the last try stopped. Only a line that is given up can be
//!    cut, and the next one then starts on a line of its own.
//!    Where the file was moved or removed, a line begun in the old one is written whole to the new one.
//! 2. A batch is settled after its line has left the process; nothing is buffered here.
//!
//! Progress: parks when the queue is empty. Blocks in `write`. Bounds: `TRIES` tries per line; one line in memory; a file
//! that was moved or removed is noticed before the first line that comes `LOOK_NS` after the last look.
//!
//! Source: OpenTelemetry "File Exporter" (JSON lines), opentelemetry-proto OTLP/JSON.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::backoff::wait_ns;
use super::destination::{Destination, Target};
use super::ledger::Dropped;
use super::options::Options;
use super::queue::{Encoded, Port, Shared};
use super::warn::Warner;
use crate::chance::Chance;
use crate::files;
use crate::otlp::json_out::write_json;

/// Tries of one line.
pub(super) const TRIES: u32 = 4;
/// Longest park; a lost wake-up costs no more than this.
const PARK: Duration = Duration::from_secs(1);
/// Distance of two looks at where a path leads, ns.
const LOOK_NS: u64 = 1_000_000_000;
/// Wait when standard output is a non-blocking pipe that somebody else made so, and full, ns.
const FULL_PIPE_WAIT_NS: u64 = 10_000_000;

/// Where lines go. Both are files without a buffer in between: what `write` says was written has left the process.
pub(super) struct Sink {
    /// `None` is standard output.
    path: Option<PathBuf>,
    open: Option<File>,
    /// Device and inode of the file that was opened last.
    identity: Option<(u64, u64)>,
    /// Monotonic time of the last look at the path.
    looked: u64,
}

impl Sink {
    pub(super) fn stdout() -> Self {
        Sink { path: None, open: None, identity: None, looked: 0 }
    }

    pub(super) fn file(path: &Path) -> Self {
        Sink { path: Some(path.to_owned()), open: None, identity: None, looked: 0 }
    }

    /// Opens what is not open; whether that is another file than the last one.
    fn open(&mut self) -> io::Result<bool> {
        if self.open.is_some() {
            return Ok(false);
        }
        let file = match &self.path {
            Some(path) => open_file(path)?,
            None => File::from(io::stdout().as_fd().try_clone_to_owned()?),
        };
        let identity = identity(&file.metadata()?);
        self.open = Some(file);
        Ok(self.identity.replace(identity).is_some_and(|before| before != identity))
    }

    /// Writes some of `bytes`; `open` comes first.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.open.as_mut().map_or(Err(io::ErrorKind::NotConnected.into()), |file| file.write(bytes))
    }

    /// Whether the path does not lead to the open file any more; looks at most once in `LOOK_NS`. Where the path cannot be
    /// looked at, the file stays.
    fn has_moved(&mut self, now_ns: u64) -> bool {
        let (Some(path), Some(_)) = (&self.path, &self.open) else { return false };
        if now_ns < self.looked.saturating_add(LOOK_NS) {
            return false;
        }
        self.looked = now_ns;
        match std::fs::metadata(path) {
            Ok(found) => Some(identity(&found)) != self.identity,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }

    /// After an error the file is opened anew.
    fn reset(&mut self) {
        self.open = None;
    }
}

fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o644).open(path)
}

/// Opens every `file:` once, as it will be written: what cannot be is found before anything starts. A pipe or a device is not
/// tried.
///
/// # Errors
/// A sentence for each that cannot be written.
pub fn check_files(destinations: &[Destination]) -> Result<(), Vec<String>> {
    let mut problems = Vec::new();
    for path in
        destinations.iter().filter_map(|one| if let Target::File(path) = &one.target { Some(path) } else { None })
    {
        let opened = match path.metadata() {
            Ok(there) if !there.is_file() && !there.is_dir() => continue,
            _ => open_file(path),
        };
        if let Err(error) = opened {
            problems.push(format!("--out file:{}: {}", path.display(), files::unwritten(path, &error)));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

pub(super) struct Writer {
    pub(super) port: Arc<Port>,
    pub(super) shared: Arc<Shared>,
    pub(super) sink: Sink,
    pub(super) options: Options,
    pub(super) chance: Chance,
}

impl Writer {
    /// Serves the queue until stopped and empty, or until the deadline.
    pub(super) fn run(mut self) {
        let mut line = Vec::new();
        let mut torn = false;
        let mut warner = Warner::default();
        let mut reopened = 0;
        loop {
            let stop_at = self.shared.stop_at();
            let now_ns = self.options.clock.mono_ns();
            let asked = self.shared.reopened();
            if std::mem::replace(&mut reopened, asked) != asked && self.sink.path.is_some() && self.sink.open.is_some()
            {
                self.sink.reset();
                // what fails now fails at the next line, which says so
                torn &= !self.sink.open().unwrap_or(false);
            }
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
            if self.sink.has_moved(now_ns) {
                tracing::info!(destination = %self.port.name, "the file was moved or removed: opened anew");
                self.sink.reset();
            }
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
            warner.failed(&port.name, &text, "this is a bug: report it", self.options.clock.mono_ns());
            return Some(Some((Dropped::Malformed, batch.points)));
        }
        line.push(b'\n');
        let mut written = 0;
        for tries in 1..=TRIES {
            match self.write_on(line, &mut written, *torn) {
                Ok(()) => {
                    *torn = false;
                    port.stats.requests_ok.add(1);
                    warner.recovered(&port.name);
                    return Some(None);
                }
                Err(error) => {
                    let now_ns = self.options.clock.mono_ns();
                    self.sink.reset();
                    port.stats.tries_retryable.add(1);
                    port.stats.message(&error.to_string());
                    let remedy = "check that the file can be written and the disk has room";
                    warner.failed(&port.name, &error.to_string(), remedy, now_ns);
                    if tries == TRIES || error.kind() == io::ErrorKind::BrokenPipe {
                        break;
                    }
                    let wait =
                        wait_ns(tries, None, self.options.backoff_first, self.options.backoff_max, &mut self.chance);
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

    /// `torn`: the line begins with the end of the one before, which another file does not need.
    fn write_on(&mut self, line: &[u8], written: &mut usize, torn: bool) -> io::Result<()> {
        if self.sink.open()? {
            *written = usize::from(torn);
        }
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
        let until = self.options.clock.mono_ns().saturating_add(wait_ns);
        loop {
            let now = self.options.clock.mono_ns();
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
