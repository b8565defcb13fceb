//! The thread of one `stdout` or `file:` destination: a line of OTLP/JSON per request.
//!
//! Does not know: the network; other destinations. It may block for as long as its pipe does and holds nobody up.
//!
//! Invariants:
//! 1. A line is written whole: a retry goes on at the byte where the last try stopped. Only a line that is given up can be
//!    cut, and the next one then starts on a line of its own.
//!    Where the file was moved or removed, a line begun in the old one is written whole to the new one.
//! 2. Another file takes the next line, and one of which nothing is out; at its end (`WriterEnding`) a writer has a bounded
//!    time, and what is left then is `dropped{destination_removed}`. One that is blocked in its pipe cannot end.
//! 3. A batch is settled after its line has left the process; nothing is buffered here.
//!
//! `turn` writes what can be written and says when the next one is due: whoever calls it may be this thread, or a run that
//! simulates it.
//!
//! Progress: `run` parks when the queue is empty; a turn blocks in `write` alone. Bounds: `TRIES` tries per line; one line in memory; a file
//! that was moved or removed is noticed before the first line that comes `LOOK_NS` after the last look.
//!
//! Source: OpenTelemetry "File Exporter" (JSON lines), opentelemetry-proto OTLP/JSON.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crossbeam::queue::ArrayQueue;

use super::backoff::wait_ns;
use super::destination::{DeliveryTarget, Destination};
use super::ledger::Dropped;
use super::options::Options;
use super::queue::{Encoded, Port};
use super::state::DeliveryState;
use super::warn::Warner;
use crate::chance::Chance;
use crate::disk::{Disk, DiskFile, FileIdentity, SYSTEM};
use crate::files;
use crate::otlp::json_out::write_json;
use crate::problem::{Flaw, Problem};

/// Tries of one line.
pub(super) const TRIES: u32 = 4;
/// Longest park; a lost wake-up costs no more than this.
const PARK: Duration = Duration::from_secs(1);
/// Distance of two looks at where a path leads, ns.
const LOOK_NS: u64 = 1_000_000_000;
/// Wait when standard output is a non-blocking pipe that somebody else made so, and full, ns.
const FULL_PIPE_WAIT_NS: u64 = 10_000_000;

/// Where lines go. Both are files without a buffer in between: what `write` says was written has left the process.
pub(super) struct LineFile {
    disk: &'static dyn Disk,
    /// `None` is standard output.
    path: Option<PathBuf>,
    open: Option<Box<dyn DiskFile>>,
    /// Which file was opened last.
    identity: Option<FileIdentity>,
    /// Monotonic time of the last look at the path.
    looked: u64,
}

impl LineFile {
    pub(super) fn stdout() -> Self {
        LineFile { disk: &SYSTEM, path: None, open: None, identity: None, looked: 0 }
    }

    pub(super) fn file(path: &Path, disk: &'static dyn Disk) -> Self {
        LineFile { disk, path: Some(path.to_owned()), open: None, identity: None, looked: 0 }
    }

    /// Opens what is not open; whether that is another file than the last one.
    fn open(&mut self) -> io::Result<bool> {
        if self.open.is_some() {
            return Ok(false);
        }
        let file = match &self.path {
            Some(path) => self.disk.append(path)?,
            None => Box::new(File::from(io::stdout().as_fd().try_clone_to_owned()?)),
        };
        let identity = file.identity()?;
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
        match self.disk.identity(path) {
            Ok(found) => Some(found) != self.identity,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }

    /// After an error the file is opened again.
    fn reset(&mut self) {
        self.open = None;
    }
}

/// Opens every `file:` once, as it will be written: what cannot be is found before anything starts. A pipe or a device is not
/// tried.
///
/// # Errors
/// Each that cannot be written.
pub fn check_files(destinations: &[Destination]) -> Result<(), Vec<Problem>> {
    let mut problems = Vec::new();
    for path in destinations
        .iter()
        .filter_map(|one| if let DeliveryTarget::File(path) = &one.target { Some(path) } else { None })
    {
        let opened = match path.metadata() {
            Ok(there) if !there.is_file() && !there.is_dir() => continue,
            _ => SYSTEM.append(path),
        };
        if let Err(error) = opened {
            let flaw = Flaw::new(files::unwritten(path, &error));
            problems.push(Problem::new("out", format!("file:{}", path.display()), flaw));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// What a writer is told between two lines: where they go from now on, and whether it ends.
pub(super) struct WriterOrder {
    /// `None` is standard output.
    pub(super) path: Option<PathBuf>,
    pub(super) ending: Option<WriterEnding>,
}

/// The end of a writer.
#[derive(Clone, Copy)]
pub(super) struct WriterEnding {
    /// Time it has, once nothing new can come.
    pub(super) within_ns: u64,
    /// The queue is somebody else's: only the line under way is this writer's.
    pub(super) hands_over: bool,
}

/// Serves one `stdout` or `file:` destination.
pub(super) struct LineWriter {
    port: Arc<Port>,
    /// The newest order, if there is one.
    orders: Arc<ArrayQueue<WriterOrder>>,
    ending: Option<WriterEnding>,
    /// When the time for that is over, ns.
    ends_at: Option<u64>,
    shared: Arc<DeliveryState>,
    file: LineFile,
    options: Options,
    chance: Chance,
    warner: Warner,
    /// Buffer of a line.
    line: Vec<u8>,
    /// The line under way.
    under_way: Option<UnderWay>,
    /// The last line was given up in its middle.
    torn: bool,
    /// How often files were to be opened again, as of the last look.
    reopened: u64,
}

/// A line that is not out yet.
struct UnderWay {
    batch: Arc<Encoded>,
    /// Bytes of it that are.
    written: usize,
    /// Tries that have begun.
    tries: u32,
    wait: Wait,
}

/// What a line waits for before it goes on.
#[derive(Clone, Copy)]
enum Wait {
    Nothing,
    /// Tried again at this time, ns.
    Retry {
        until_ns: u64,
    },
    /// Looked at again at this time, ns: the pipe is full.
    Room {
        until_ns: u64,
    },
}

/// When a writer's next turn is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NextTurn {
    Now,
    /// At this time, ns.
    At(u64),
    /// When something is queued, or delivery is stopped.
    WhenRung,
    /// Never: it has stopped.
    Never,
}

impl LineWriter {
    pub(super) fn new(
        port: Arc<Port>,
        shared: Arc<DeliveryState>,
        orders: Arc<ArrayQueue<WriterOrder>>,
        file: LineFile,
        options: Options,
        chance: Chance,
    ) -> LineWriter {
        LineWriter {
            port,
            orders,
            ending: None,
            ends_at: None,
            shared,
            file,
            options,
            chance,
            warner: Warner::default(),
            line: Vec::new(),
            under_way: None,
            torn: false,
            reopened: 0,
        }
    }

    /// The thread: serves the queue until stopped and empty, or until the deadline.
    pub(super) fn run(mut self) {
        loop {
            let longest = match self.turn() {
                NextTurn::Now => continue,
                NextTurn::Never => return,
                NextTurn::WhenRung => PARK,
                NextTurn::At(at) => Duration::from_nanos(at.saturating_sub(self.options.clock.mono_ns())),
            };
            let now_ns = self.options.clock.mono_ns();
            let stops_at = self.shared.stop_at().into_iter().chain(self.ends_at).min();
            let stops_in = stops_at.map_or(u64::MAX, |at| at.saturating_sub(now_ns));
            std::thread::park_timeout(longest.min(Duration::from_nanos(stops_in)));
        }
    }

    /// Writes at most one line, as far as it goes; blocks only where `write` does.
    pub(super) fn turn(&mut self) -> NextTurn {
        let now_ns = self.options.clock.mono_ns();
        let stop_at = self.shared.stop_at();
        self.obey();
        if self.under_way.is_none() {
            self.reopen();
        }
        if self.give_up_late(now_ns) || self.has_ended() {
            return NextTurn::Never;
        }
        if stop_at.is_some_and(|at| now_ns >= at) {
            if let Some(UnderWay { wait: Wait::Room { .. }, .. }) = self.under_way {
                self.failed(&io::ErrorKind::WouldBlock.into());
            }
            // what is under way stays queued
            self.port.stats.in_flight.set(0);
            return NextTurn::Never;
        }
        let Some(under_way) = &mut self.under_way else {
            let Some(batch) = self.port.store.pop() else {
                return if stop_at.is_some() { NextTurn::Never } else { NextTurn::WhenRung };
            };
            return self.begin(batch, now_ns);
        };
        match under_way.wait {
            Wait::Retry { until_ns } | Wait::Room { until_ns } if now_ns < until_ns => return NextTurn::At(until_ns),
            Wait::Retry { .. } => {
                under_way.tries += 1;
                self.port.stats.retries.add(1);
            }
            Wait::Room { .. } | Wait::Nothing => {}
        }
        under_way.wait = Wait::Nothing;
        match self.write_on() {
            Ok(()) => {
                self.torn = false;
                self.port.stats.requests_ok.add(1);
                self.warner.recovered(&self.port.name);
                self.finish(None)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.wait(|until_ns| Wait::Room { until_ns }, FULL_PIPE_WAIT_NS)
            }
            Err(error) => self.try_again(&error),
        }
    }

    /// Follows what it was told since the last look. A line of which nothing is out goes to the new file.
    fn obey(&mut self) {
        let is_between = self.under_way.as_ref().is_none_or(|line| line.written == 0);
        let Some(order) = is_between.then(|| self.orders.pop()).flatten() else { return };
        (self.ending, self.ends_at) = (order.ending, None);
        if order.path != self.file.path {
            self.file = match &order.path {
                Some(path) => LineFile::file(path, self.options.disk),
                None => LineFile::stdout(),
            };
            if let Some(line) = &mut self.under_way {
                // where the line begins with the end of the one before, another file does not need that
                (line.written, line.wait) = (usize::from(self.torn), Wait::Nothing);
            }
            self.torn = false;
        }
    }

    /// The time of its end may have come: what is left is given up. Whether it has.
    fn give_up_late(&mut self, now_ns: u64) -> bool {
        let Some(WriterEnding { within_ns, hands_over }) = self.ending else { return false };
        if self.ends_at.is_none() && (hands_over || self.port.is_left()) {
            self.ends_at = Some(now_ns.saturating_add(within_ns));
        }
        if self.ends_at.is_none_or(|at| now_ns < at) {
            return false;
        }
        let mut points = if hands_over { 0 } else { self.port.give_up() };
        if let Some(line) = self.under_way.take() {
            points += line.batch.points;
            self.port.stats.in_flight.set(0);
            self.port.settle(&line.batch, Some((Dropped::Removed, line.batch.points)));
        }
        if points > 0 {
            let (destination, remedy) = (&self.port.name, Dropped::Removed.help());
            tracing::warn!(destination, points, remedy, "points of a destination that was taken out are dropped");
        }
        hands_over || self.port.try_end()
    }

    /// Whether it is to end and has nothing left.
    fn has_ended(&self) -> bool {
        let Some(ending) = &self.ending else { return false };
        if self.under_way.is_some() {
            return false;
        }
        // in this order: what came before the last one left is seen
        ending.hands_over || (self.port.is_left() && self.port.store.is_empty() && self.port.try_end())
    }

    /// Opens the file again if that was asked for since the last look.
    fn reopen(&mut self) {
        let asked = self.shared.reopened();
        if std::mem::replace(&mut self.reopened, asked) != asked && self.file.path.is_some() && self.file.open.is_some()
        {
            self.file.reset();
            // what fails now fails at the next line, which says so
            self.torn &= !self.file.open().unwrap_or(false);
        }
    }

    /// Takes a batch on: its line is ready to be written.
    fn begin(&mut self, batch: Arc<Encoded>, now_ns: u64) -> NextTurn {
        self.port.stats.in_flight.set(1);
        if self.file.has_moved(now_ns) {
            tracing::info!(destination = %self.port.name, "the file was moved or removed: opened again");
            self.file.reset();
        }
        self.line.clear();
        if self.torn {
            self.line.push(b'\n');
        }
        let made = write_json(&batch.bytes, &mut self.line);
        self.line.push(b'\n');
        let points = batch.points;
        self.under_way = Some(UnderWay { batch, written: 0, tries: 1, wait: Wait::Nothing });
        if let Err(error) = made {
            let text = format!("an encoded request cannot be written as JSON: {error}");
            self.port.stats.message(&text);
            let now_ns = self.options.clock.mono_ns();
            self.warner.failed(&self.port.name, &text, "this is a bug: report it", now_ns);
            return self.finish(Some((Dropped::Malformed, points)));
        }
        NextTurn::Now
    }

    /// The batch has its outcome.
    fn finish(&mut self, lost: Option<(Dropped, u64)>) -> NextTurn {
        let done = self.under_way.take().expect("an outcome belongs to a line");
        self.port.stats.in_flight.set(0);
        self.port.settle(&done.batch, lost);
        NextTurn::Now
    }

    /// After an error: the line waits for its next try, or is given up.
    fn try_again(&mut self, error: &io::Error) -> NextTurn {
        self.failed(error);
        let line = self.under_way.as_ref().expect("an error belongs to a line");
        let (tries, points) = (line.tries, line.batch.points);
        if tries == TRIES || error.kind() == io::ErrorKind::BrokenPipe {
            // a newline alone leaves nothing torn
            self.torn |= line.written > 0;
            self.port.stats.requests_refused.add(1);
            return self.finish(Some((Dropped::IoError, points)));
        }
        let wait = wait_ns(tries, None, self.options.backoff_first, self.options.backoff_max, &mut self.chance);
        self.wait(|until_ns| Wait::Retry { until_ns }, wait)
    }

    /// Notes an error; the file is opened again at the next try.
    fn failed(&mut self, error: &io::Error) {
        let text = error.to_string();
        self.file.reset();
        self.port.stats.tries_retryable.add(1);
        self.port.stats.message(&text);
        let remedy = "check that the file can be written and the disk has room";
        self.warner.failed(&self.port.name, &text, remedy, self.options.clock.mono_ns());
    }

    fn wait(&mut self, of: impl FnOnce(u64) -> Wait, wait_ns: u64) -> NextTurn {
        let until_ns = self.options.clock.mono_ns().saturating_add(wait_ns);
        self.under_way.as_mut().expect("a wait belongs to a line").wait = of(until_ns);
        NextTurn::At(until_ns)
    }

    /// Writes the line from where it is.
    fn write_on(&mut self) -> io::Result<()> {
        let line = self.under_way.as_mut().expect("there is a line to write");
        if self.file.open()? {
            // where the line begins with the end of the one before, another file does not need that
            line.written = usize::from(self.torn);
        }
        while line.written < self.line.len() {
            match self.file.write(&self.line[line.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    line.written += n;
                    self.port.stats.bytes_sent.add(n as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::queue::Offer;
    use super::super::sender::Sender;
    use super::super::state::OpenDestination;
    use super::*;
    use crate::clock::{Clock as _, ManualClock, Now};
    use crate::disk::MemoryDisk;
    use crate::model::{EpochNumber, Flushed, PlanNumber, Temporality, Tenant, View};

    /// On a disk that takes writes in pieces, fails, and is full for a while, lines come out whole and once, in turns that
    /// wait for nothing.
    #[test]
    fn lines_are_whole_on_a_disk_that_is_not() {
        let path = Path::new("/f/lines");
        let disk: &'static MemoryDisk = Box::leak(Box::new(MemoryDisk::new(50)));
        let clock: &'static ManualClock = Box::leak(Box::new(ManualClock::new(Now::at(1), 0)));
        disk.set_piece(7);
        let port = Arc::new(Port::new("file".into(), 1 << 20));
        let destination = Arc::new(super::super::destination::parse_out("file:/f/lines").unwrap());
        let shared = DeliveryState::new(vec![OpenDestination { destination, port: port.clone() }]);
        let sender = Sender::new(shared.clone());
        let options = Options::new(clock, 1);
        let mut writer = LineWriter::new(
            port,
            shared,
            Arc::new(ArrayQueue::new(1)),
            LineFile::file(path, disk),
            options,
            Chance::new(1),
        );
        let flushed = Flushed {
            plan: PlanNumber::FIRST,
            epoch: EpochNumber::FIRST,
            cut: 1,
            shard: 0,
            number: 0,
            tenant: Tenant::DEFAULT,
            view: View::of_all(Temporality::Delta),
            boundary_ns: 1,
        };
        // a request of one empty resource, whose schema is "x"
        let batch = || Arc::new(Encoded { bytes: b"\x0a\x03\x1a\x01x".as_slice().into(), points: 1, flushed });
        const LINE: &str = "{\"resourceMetrics\":[{\"schemaUrl\":\"x\"}]}\n";
        for _ in 0..3 {
            assert_eq!(sender.offer(0, batch()), Offer::Queued);
        }
        disk.fail(3, io::ErrorKind::Other);
        let mut waits = 0;
        for _ in 0..100 {
            match writer.turn() {
                NextTurn::Now => {}
                NextTurn::At(at) => {
                    waits += 1;
                    // room is made while it waits the second time
                    disk.set_room(if waits > 1 { 1_000 } else { 50 });
                    clock.advance(at - clock.mono_ns());
                }
                NextTurn::WhenRung | NextTurn::Never => break,
            }
        }
        assert_eq!(waits, 2, "one error, one full disk");
        assert_eq!(String::from_utf8(disk.read(path).unwrap()).unwrap(), LINE.repeat(3));
        let row = sender.ledger(0);
        assert!(row.balances() && row.delivered == 3, "{row:?}");
    }
}
