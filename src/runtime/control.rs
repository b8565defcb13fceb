//! The control thread: makes cuts, serves the scrape page and the admin door, follows signals, ends the process.
//!
//! ```text
//!   timer ─► publish cut ─► wake shards ─► (late? skip) ─► all merged ─► next
//!   SIGTERM ─► ready no more ─► --shutdown-delay ─► drain doors ─► last cut ─► deliver until the deadline ─► ledger ─► exit code
//! ```
//!
//! Progress: never holds anything a shard waits for. Bounds: `limits::CUT_LATE_AFTER` for a late shard; the end takes
//! at most `--shutdown-delay` and `--shutdown-timeout`, and `limits::LAST_MERGE_MAX` more where a cut was made that is not merged by then; a
//! second signal ends it at once, but for that merge. What was left is said, and which shard is stuck; where this thread
//! is, `signals` has the last word.

use super::bind::{ADMIN, SCRAPE};
use super::closing::Closing;
use super::count::Count;
use super::losses::{self, AtDoors, Losses, REFUSALS};
use super::signals::{self, Account};
use super::{DRAINING, House, LAST_CUT, Memory, QUITTING, clock, scrape};
use crate::capture;
use crate::clock::Now;
use crate::config::Plan;
use crate::deliver::{self, DestinationRow, Sender};
use crate::flush::Directory;
use crate::ledger::{self, Tally};
use crate::limits::{CUT_LATE_AFTER, HURRY, LAST_JOIN_MAX, LAST_MERGE_MAX, PAGE_ROOM_BYTES, SCRAPE_MAX, SCRAPES_MAX};
use crate::listen::pages::{Abort, Body, Options as PageOptions, Page, PageServer, PageStream, Pages};
use crate::prometheus;
use crate::sync::cut::{Publish, Times};
use crate::sync::row::Row;
use crate::telemetry::ledger::Ledger;
use crate::telemetry::metrics::Facts;
use crate::telemetry::watch::{self, Seen};
use bytes::Bytes;
use mio::net::TcpListener;
use std::cell::RefCell;
use std::io::{self, Read};
use std::rc::Rc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tracing::field::debug;

/// Token of the waker.
pub(super) const WAKE: mio::Token = mio::Token(0);
const SIGNALS: mio::Token = mio::Token(1);
const PAGES: usize = 2;
/// A shard that has not turned its loop for this long is not ready.
const READY_WITHIN_NS: u64 = 2_000_000_000;
/// Longest wait for events.
const POLL_MAX: Duration = Duration::from_millis(500);

/// What the control thread sees of a shard.
pub(super) struct Window {
    pub row: Arc<Row<{ ledger::WORDS }>>,
    pub seen: Arc<Row<{ watch::WORDS }>>,
    pub directory: Directory,
}

pub(super) struct Parts<'a> {
    pub plan: &'a Plan,
    pub house: Arc<House>,
    pub poll: mio::Poll,
    pub pages: Vec<(TcpListener, u8)>,
    pub windows: Vec<Window>,
    pub sender: Sender,
    pub started: Now,
    pub memory: Memory,
    pub capture: Option<capture::Watch>,
    /// What is followed: once in a process.
    pub signals: Option<signal_hook::iterator::Signals>,
}

/// How it ended.
pub(super) struct End {
    pub code: u8,
    /// Threads are left that end with the process alone.
    pub stuck: bool,
}

/// Counters of this thread.
#[derive(Default)]
struct Counts {
    cuts: u64,
    postponed: u64,
    skipped: u64,
    scrapes: u64,
    scrapes_refused: u64,
    superseded: u64,
    /// Scrapes under way, and the bytes lent to them for colliding rows.
    scraping: usize,
    merge_lent: usize,
    /// Over all pages to their end, by reason.
    left_out: [u64; prometheus::WarningReason::COUNT],
}

/// What the pages are made from.
struct View {
    house: Arc<House>,
    windows: Rc<[Window]>,
    sender: Sender,
    /// Held a second time by a ledger that is being verified.
    verifying: Rc<()>,
    counts: Rc<RefCell<Counts>>,
    started: Now,
    series_limit: usize,
    /// `--connections`
    connections: usize,
    memory: Memory,
    capture: Option<capture::Watch>,
    translation: prometheus::Translation,
    created: bool,
    /// A signal has come: whoever balances load should send nothing more.
    stopping: bool,
}

pub(super) struct Control {
    poll: mio::Poll,
    server: PageServer<mio::Registry>,
    signals: mio::net::UnixStream,
    view: View,
    house: Arc<House>,
    interval_ns: u64,
    shutdown_timeout: Duration,
    shutdown_delay: Duration,
    /// Number of the last cut, its wall time, and when it was published on the monotonic clock; before the first the
    /// start of the process.
    number: u32,
    boundary: u64,
    published: u64,
    postponed: bool,
    late_noted: u32,
    /// Wall time of the next cut.
    next: u64,
    losses: Losses,
    closing: Closing,
    /// The ledger has been told.
    told: Arc<AtomicBool>,
}

impl Control {
    pub(super) fn new(parts: Parts<'_>) -> io::Result<Control> {
        let (read, write) = std::os::unix::net::UnixStream::pair()?;
        let rows = parts.windows.iter().map(|window| window.row.clone()).collect();
        let account = Account { rows, sender: parts.sender.clone(), told: Arc::default() };
        let told = account.told.clone();
        if let Some(caught) = parts.signals {
            let within = parts.plan.shutdown_delay.saturating_add(parts.plan.shutdown_timeout);
            signals::follow(caught, write, within, account)?;
        }
        read.set_nonblocking(true)?;
        let mut signals = mio::net::UnixStream::from_std(read);
        parts.poll.registry().register(&mut signals, SIGNALS, mio::Interest::READABLE)?;
        let page_options = PageOptions {
            connections_max: parts.memory.connections_max.1,
            allowed_hosts: parts.plan.allowed_hosts.clone(),
            ..PageOptions::default()
        };
        let server = PageServer::new(page_options, parts.pages, parts.poll.registry().try_clone()?, PAGES)?;
        let interval_ns = parts.plan.interval.as_nanos() as u64;
        let view = View {
            house: parts.house.clone(),
            windows: parts.windows.into(),
            sender: parts.sender,
            verifying: Rc::default(),
            counts: Rc::default(),
            started: parts.started,
            series_limit: parts.plan.series_limit,
            connections: parts.plan.connections,
            memory: parts.memory,
            capture: parts.capture,
            translation: parts.plan.translation,
            created: parts.plan.created,
            stopping: false,
        };
        Ok(Control {
            poll: parts.poll,
            server,
            signals,
            view,
            house: parts.house,
            interval_ns,
            shutdown_timeout: parts.plan.shutdown_timeout,
            shutdown_delay: parts.plan.shutdown_delay,
            number: 0,
            boundary: parts.started.wall_ns,
            published: parts.started.mono_ns,
            postponed: false,
            late_noted: 0,
            next: next_boundary(parts.started.wall_ns, interval_ns),
            losses: Losses::default(),
            closing: Closing::prepare()?,
            told,
        })
    }

    /// Runs until a signal.
    pub(super) fn run(mut self, threads: Vec<JoinHandle<()>>, delivery: deliver::Handle) -> End {
        let mut events = mio::Events::with_capacity(128);
        let mut busy = false;
        loop {
            let now = clock::now();
            if threads.iter().any(JoinHandle::is_finished) {
                // a shard never ends by itself: its panic has been printed
                crate::log::tell(format_args!("catchment: a shard ended unexpectedly; what it held is lost"));
                // the others run on, and hold what they hold
                return End { code: crate::FAILURE, stuck: true };
            }
            let wait = if busy { Duration::ZERO } else { self.wait(now) };
            let signalled;
            (busy, signalled) = self.turn(&mut events, wait);
            if signalled {
                break;
            }
        }
        self.end(events, threads, delivery)
    }

    /// One turn of the loop: whether there is more to do at once, and whether a signal came.
    fn turn(&mut self, events: &mut mio::Events, wait: Duration) -> (bool, bool) {
        self.poll(events, wait);
        if self.signalled(events) {
            return (false, true);
        }
        let now = clock::now();
        let busy = self.serve(events, now);
        self.cuts(now);
        if self.losses.is_time(now.mono_ns) {
            let (tally, examples) = (self.view.tally(), self.house.registry.examples());
            self.losses.look(&tally, examples, &self.view.destinations(), now.mono_ns, false);
            self.losses.look_at_doors(&self.view.at_doors(), examples, now.mono_ns, false);
        }
        (busy, false)
    }

    /// `--shutdown-delay`: all goes on, but `/readyz` says that it will not. Whether a second signal ended it.
    fn linger(&mut self, events: &mut mio::Events) -> bool {
        let until = Instant::now() + self.shutdown_delay;
        let mut busy = false;
        if !self.shutdown_delay.is_zero() {
            tracing::info!(
                delay = ?self.shutdown_delay,
                "stopping: not ready any more; the doors close after --shutdown-delay, or at another signal"
            );
        }
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let wait = if busy { Duration::ZERO } else { self.wait(clock::now()).min(left) };
            let signalled;
            (busy, signalled) = self.turn(events, wait);
            if signalled {
                return true;
            }
        }
    }

    fn poll(&mut self, events: &mut mio::Events, wait: Duration) {
        if let Err(error) = self.poll.poll(events, Some(wait))
            && error.kind() != io::ErrorKind::Interrupted
        {
            tracing::error!(%error, "poll failed");
        }
    }

    fn wait(&self, now: Now) -> Duration {
        let mut wait = POLL_MAX.min(Duration::from_nanos(self.next.saturating_sub(now.wall_ns)));
        if self.postponed || !self.house.board.all_merged(self.number) {
            wait = wait.min(Duration::from_millis(50));
        }
        self.server.next_timeout(now).map_or(wait, |timer| timer.min(wait))
    }

    fn signalled(&mut self, events: &mio::Events) -> bool {
        if !events.iter().any(|event| event.token() == SIGNALS) {
            return false;
        }
        let mut bytes = [0; 64];
        matches!(self.signals.read(&mut bytes), Ok(n) if n > 0)
    }

    fn serve(&mut self, events: &mio::Events, now: Now) -> bool {
        events.iter().filter(|e| e.token().0 >= PAGES).for_each(|event| self.server.on_event(event.into()));
        let busy = self.server.turn(&mut self.view, now);
        if self.server.next_timeout(now) == Some(Duration::ZERO) {
            self.server.on_timers(&mut self.view, now);
        }
        busy
    }

    /// Publishes a cut that is due, and skips shards that are late for the last one.
    fn cuts(&mut self, now: Now) {
        let two = self.interval_ns.saturating_mul(2);
        if now.wall_ns.saturating_add(two) < self.next {
            // the wall clock was set back: the next cut comes within an interval all the same
            self.next = next_boundary(now.wall_ns, self.interval_ns);
        }
        // set back by less, it waits no longer than this
        if now.wall_ns >= self.next || now.mono_ns.saturating_sub(self.published) >= two {
            self.cut(now);
        }
        self.skip_late(now);
    }

    /// Skips shards that are late for the last cut.
    fn skip_late(&mut self, now: Now) {
        let late = self.published + CUT_LATE_AFTER.as_nanos() as u64;
        if self.number > 0 && now.mono_ns >= late && !self.house.board.all_closed(self.number) {
            let skipped = self.house.board.skip_late(self.number);
            self.view.counts.borrow_mut().skipped += skipped.shards.len() as u64;
            if !skipped.shards.is_empty() && self.late_noted != self.number {
                self.late_noted = self.number;
                tracing::warn!(shards = ?skipped.shards, cut = self.number, "shards were late for a cut; their points are in the next one");
            }
            if skipped.last {
                self.house.wake_all();
            }
        }
    }

    /// Publishes the next cut, or notes that it must wait.
    fn cut(&mut self, now: Now) -> bool {
        let (before, elapsed) = (self.boundary, now.mono_ns.saturating_sub(self.published));
        let times = times(before, elapsed, now, self.interval_ns);
        let boundary = times.boundary_ns;
        match self.house.board.publish(self.number + 1, times) {
            Publish::Published => {
                self.number += 1;
                if boundary < before || times.from_ns > before {
                    tracing::warn!(
                        cut = self.number,
                        by_s = (boundary as i128 - before as i128 - elapsed as i128) / 1_000_000_000,
                        "the wall clock stepped; windows follow it, nothing is forgotten"
                    );
                }
                self.boundary = boundary;
                self.published = now.mono_ns;
                self.postponed = false;
                self.next = next_boundary(now.wall_ns, self.interval_ns);
                self.view.counts.borrow_mut().cuts += 1;
                self.house.wake_all();
                true
            }
            Publish::Postponed => {
                if !self.postponed {
                    self.postponed = true;
                    self.view.counts.borrow_mut().postponed += 1;
                    tracing::warn!(
                        cut = self.number,
                        "the merge takes longer than the interval; the next cut covers more"
                    );
                }
                false
            }
        }
    }

    /// Drains, cuts, delivers, tells.
    fn end(mut self, mut events: mio::Events, threads: Vec<JoinHandle<()>>, delivery: deliver::Handle) -> End {
        self.view.stopping = true;
        let hurried = self.linger(&mut events);
        let mut deadline =
            Instant::now() + if hurried { HURRY.min(self.shutdown_timeout) } else { self.shutdown_timeout };
        let timeout = Some(self.shutdown_timeout).filter(|timeout| !timeout.is_zero()).map(debug);
        tracing::info!(timeout, "stopping: no new requests, one last cut, delivery; another signal ends the wait");
        // ORDERING: Release pairs with the shards' Acquire
        self.house.phase.store(DRAINING, Release);
        self.house.wake_all();
        // clients get half of the time to end their calls
        let drained_by = Instant::now() + if hurried { Duration::ZERO } else { self.shutdown_timeout / 2 };
        let all_drained = |house: &House| house.drained.iter().all(|drained| drained.load(Acquire));
        while !all_drained(&self.house) && Instant::now() < drained_by {
            self.poll(&mut events, Duration::from_millis(20));
            if self.hurried(&events) {
                // what is acknowledged is still cut; delivery gets no more time than that takes
                deadline = deadline.min(Instant::now() + HURRY);
                break;
            }
            self.serve(&events, clock::now());
            self.cuts(clock::now());
        }
        // one last cut, behind the one that may be under way. Client libraries go on sending until they have read that
        // the connection ends, so each shard is told before that cut to take nothing after it
        // ORDERING: Release pairs with the shards' Acquire; before the cut is published
        self.house.phase.store(LAST_CUT, Release);
        let mut last = None;
        loop {
            // a cut that was made is merged to its end, which takes no destination: half a cut is in no ledger
            let over = Instant::now() >= deadline;
            let merging = !self.house.board.all_merged(self.number) && Instant::now() < deadline + LAST_MERGE_MAX;
            if over && !merging {
                break;
            }
            let now = clock::now();
            match last {
                None => {
                    if !over && self.house.board.all_merged(self.number) && self.cut(now) {
                        last = Some(self.number);
                    }
                }
                // what waits for room in a queue gets it as long as there is time
                Some(number) if self.house.board.all_merged(number) && !self.house.is_holding() => break,
                Some(_) => {}
            }
            self.skip_late(now);
            self.poll(&mut events, Duration::from_millis(5));
            if self.hurried(&events) {
                deadline = Instant::now();
            }
            self.serve(&events, now);
        }
        delivery.stop(deadline);
        while !delivery.is_stopped() && Instant::now() < deadline {
            self.poll(&mut events, Duration::from_millis(5));
            if self.hurried(&events) {
                deadline = Instant::now();
            }
            self.serve(&events, clock::now());
        }
        // ORDERING: as above
        self.house.phase.store(QUITTING, Release);
        self.house.wake_all();
        // both may be stuck, and the process ends all the same
        let latest = deadline.max(Instant::now()) + LAST_JOIN_MAX;
        self.closing.begin(delivery, deadline);
        let stuck = signals::join(threads, latest);
        signals::say_stuck(&stuck, &self.house, clock::mono());
        let left = latest.saturating_duration_since(Instant::now());
        // a writer in its pipe is left behind, and what it has is in the ledger as queued
        let broken = self.closing.is_broken(left);
        End { code: self.account(broken || !stuck.is_empty()), stuck: !stuck.is_empty() }
    }

    /// Tells what was lost, and the ledger; returns the exit code.
    fn account(&mut self, failed: bool) -> u8 {
        let tally = self.view.tally();
        let destinations = self.view.destinations();
        self.losses.look(&tally, self.house.registry.examples(), &destinations, clock::mono(), true);
        self.losses.look_at_doors(&self.view.at_doors(), self.house.registry.examples(), clock::mono(), true);
        losses::say_undelivered(&tally, &destinations);
        let ledger = Ledger { tally: &tally, destinations: &destinations, verified_open: None };
        ledger.say();
        // ORDERING: a flag; publishes nothing
        self.told.store(true, Relaxed);
        if failed {
            return crate::FAILURE;
        }
        // nothing switches any more
        let mut count = Count::begin(&self.house);
        let counted = loop {
            if let Some(counted) = count.step(&self.house) {
                break counted;
            }
        };
        // points of a cut that is not merged are neither in open banks nor emitted
        if self.house.board.all_merged(self.number) && Some(tally.open() as u64) != counted {
            let (open, counted) = (tally.open(), counted.unwrap_or_default());
            crate::log::tell(format_args!(
                "catchment: the ledger has {open} open points, the cells {counted}: please report this"
            ));
            return crate::FAILURE;
        }
        if !ledger.balanced() {
            return crate::FAILURE;
        }
        let lost = destinations.iter().any(|(_, row)| row.dropped_total() + row.queued > 0);
        // points that the deadline kept from being merged never became output points: as undelivered as those queued
        let unmerged = !destinations.is_empty() && tally.open() > 0;
        if lost || unmerged { crate::INCOMPLETE } else { crate::SUCCESS }
    }

    /// A second signal: the user is in a hurry. What is not delivered by now is told in the ledger and by the exit code.
    fn hurried(&mut self, events: &mio::Events) -> bool {
        self.signalled(events)
    }
}

/// The window of the cut made `now`, `elapsed` after the one at `before`. Boundaries are multiples of the interval while
/// the wall clock behaves, and rise, also where it is set back by an interval at most; set back by more they follow it,
/// and the window is one interval. A window is never longer than what passed, in whole intervals, or two of them.
fn times(before: u64, elapsed: u64, now: Now, interval: u64) -> Times {
    let (wall_ns, mono_ns) = (now.wall_ns, now.mono_ns);
    let aligned = wall_ns / interval * interval;
    if wall_ns.saturating_add(interval) < before {
        let boundary_ns = if aligned == 0 { wall_ns } else { aligned };
        return Times { from_ns: boundary_ns.saturating_sub(interval), boundary_ns, mono_ns };
    }
    let boundary_ns = if aligned > before { aligned } else { wall_ns }.max(before + 1);
    let longest = elapsed.div_ceil(interval).max(2).saturating_mul(interval);
    Times { from_ns: before.max(boundary_ns.saturating_sub(longest)), boundary_ns, mono_ns }
}

/// The next multiple of the interval after `wall`.
const fn next_boundary(wall: u64, interval: u64) -> u64 {
    (wall / interval + 1) * interval
}

fn tallies(windows: &[Window]) -> Vec<Tally> {
    windows.iter().map(|window| Tally::from_words(window.row.read())).collect()
}

fn destinations(sender: &Sender) -> Vec<(String, DestinationRow)> {
    (0..sender.destinations()).map(|d| (sender.name(d).to_string(), sender.ledger(d))).collect()
}

fn ledger_json(windows: &[Window], sender: &Sender, verified_open: Option<u64>) -> String {
    let tally = Tally::sum(tallies(windows));
    Ledger { tally: &tally, destinations: &destinations(sender), verified_open }.json()
}

impl View {
    fn tally(&self) -> Tally {
        Tally::sum(self.tallies())
    }

    fn tallies(&self) -> Vec<Tally> {
        tallies(&self.windows)
    }

    /// Connections that were closed for want of a place, and pauses for want of descriptors.
    fn at_doors(&self) -> AtDoors {
        let seen = self.windows.iter().map(|window| Seen::read(&window.seen));
        seen.fold(AtDoors { connections: self.connections, ..AtDoors::default() }, |all, seen| AtDoors {
            refused: all.refused + seen.refused(),
            paused: all.paused + seen.paused(),
            answered: std::array::from_fn(|i| all.answered[i] + seen.answered(REFUSALS[i])),
            ..all
        })
    }

    fn destinations(&self) -> Vec<(String, DestinationRow)> {
        destinations(&self.sender)
    }

    fn facts(&self) -> Facts {
        let registry = &self.house.registry;
        let counts = self.counts.borrow();
        Facts {
            tallies: self.tallies(),
            seen: self.windows.iter().map(|window| Seen::read(&window.seen)).collect(),
            index: (0..registry.cores()).map(|owner| registry.trie(owner).stats()).collect(),
            slab_bytes: (0..registry.cores()).map(|core| registry.slab(core).bytes()).collect(),
            destinations: (0..self.sender.destinations())
                .map(|d| {
                    let s = &self.sender;
                    (s.name(d).to_string(), s.ledger(d), s.stats(d), s.queue_bytes(d))
                })
                .collect(),
            series: (registry.live(), self.series_limit, registry.group_count()),
            // ORDERING: for the page only
            bodies: (self.house.bodies.taken(), self.memory.bodies),
            cuts: (counts.cuts, counts.postponed, counts.skipped),
            scrapes: (counts.scrapes, counts.superseded, counts.scrapes_refused),
            page_cases: counts.left_out,
            capture: self.capture.as_ref().map(capture::Watch::read),
            log_dropped: crate::log::dropped(),
            resident: clock::resident(),
            uptime: (clock::mono() - self.started.mono_ns) as f64 * 1e-9,
        }
    }

    /// Shards whose loop does not run yet, or has not turned in time.
    fn stuck(&self, now: u64) -> Vec<usize> {
        // ORDERING: a time; publishes nothing
        let late = |at: u64| at == 0 || now.saturating_sub(at) > READY_WITHIN_NS;
        let beats = self.house.heartbeats.iter().enumerate();
        beats.filter(|(_, beat)| late(beat.load(Relaxed))).map(|(shard, _)| shard).collect()
    }

    fn ready(&self, now: u64) -> Page {
        if self.stopping {
            return text(503, "not ready: stopping\n".into());
        }
        match self.stuck(now) {
            stuck if stuck.is_empty() => text(200, "ready\n".into()),
            stuck => text(503, format!("not ready: shards {stuck:?} have not turned their loop within 2 s\n")),
        }
    }

    fn scrape(&mut self, accept: &str) -> Page {
        let Some(place) = Place::take(&self.counts, self.memory.page_merge) else {
            return text(503, format!("{SCRAPES_MAX} scrapes are under way already; try again in a second\n"));
        };
        if !self.house.has_room_left(place.merge_bytes + PAGE_ROOM_BYTES) {
            return text(503, "the system has no memory for this process (ulimit -v); try again later\n".into());
        }
        let board = &self.house.board;
        let published = board.published();
        let number = if board.all_merged(published) { published } else { published.saturating_sub(1) };
        let source = scrape::Cut {
            house: self.house.clone(),
            directories: self.windows.iter().map(|window| window.directory.clone()).collect(),
            number,
            exemplars: (0..board.shards())
                .map(|shard| self.house.registry.shown_exemplars(shard).of(number).map_or(Weak::new(), Arc::downgrade))
                .collect(),
        };
        let keys = self.house.registry.state().clone();
        let negotiated = prometheus::negotiate(accept);
        let style = prometheus::Style::new(self.translation, self.created, negotiated);
        let bounds = prometheus::Bounds { merge_bytes: place.merge_bytes, ..prometheus::Bounds::default() };
        let page = prometheus::Page::new(source, keys, bounds, style);
        Page {
            status: 200,
            content_type: negotiated.content_type(),
            body: Body::Stream(Box::new(Stream { page, place })),
        }
    }

    /// The ledger, once the open points are counted in the cells: piece by piece, for one at a time.
    fn verified(&self) -> Page {
        if Rc::strong_count(&self.verifying) > 1 {
            return text(503, "the ledger is being verified for another; try again in a second\n".into());
        }
        let verify = Verify {
            count: Count::begin(&self.house),
            house: self.house.clone(),
            windows: self.windows.clone(),
            sender: self.sender.clone(),
            turn: Some(self.verifying.clone()),
        };
        Page { status: 200, content_type: "application/json", body: Body::Stream(Box::new(verify)) }
    }

    fn admin(&mut self, path: &str, query: &str) -> Page {
        match path {
            "/metrics" => Page {
                status: 200,
                content_type: "text/plain; version=0.0.4; charset=utf-8",
                body: Body::Full(self.facts().page().into()),
            },
            "/ledger" if query.split('&').any(|part| part == "verify=1") => self.verified(),
            "/ledger" => {
                let json = ledger_json(&self.windows, &self.sender, None);
                Page { status: 200, content_type: "application/json", body: Body::Full(json.into()) }
            }
            "/healthz" => text(200, "ok\n".into()),
            "/readyz" => self.ready(clock::mono()),
            "/" => text(200, "catchment admin: /metrics /ledger (?verify=1) /healthz /readyz\n".into()),
            _ => text(404, "not found; there are /metrics /ledger /healthz /readyz\n".into()),
        }
    }
}

fn text(status: u16, words: String) -> Page {
    Page { status, content_type: "text/plain; charset=utf-8", body: Body::Full(words.into()) }
}

impl Pages for View {
    fn page(&mut self, door: u8, method: &str, path: &str, query: &str, accept: &str) -> Page {
        if method != "GET" && method != "HEAD" {
            return text(405, "only GET\n".into());
        }
        match (door, path) {
            (SCRAPE, "/metrics") => self.scrape(accept),
            (SCRAPE, _) => text(404, "the scrape page is at /metrics\n".into()),
            (ADMIN, _) => self.admin(path, query),
            _ => text(404, "not found\n".into()),
        }
    }
}

/// A ledger whose open points are being counted.
struct Verify {
    count: Count,
    house: Arc<House>,
    windows: Rc<[Window]>,
    sender: Sender,
    /// Until the ledger is out.
    turn: Option<Rc<()>>,
}

impl PageStream for Verify {
    fn next(&mut self) -> Option<Result<Bytes, Abort>> {
        self.turn.as_ref()?;
        let Some(open) = self.count.step(&self.house) else { return Some(Ok(Bytes::new())) };
        self.turn = None;
        Some(Ok(ledger_json(&self.windows, &self.sender, open).into()))
    }
}

/// One of `SCRAPES_MAX` places.
struct Place {
    counts: Rc<RefCell<Counts>>,
    merge_bytes: usize,
    begun_ns: u64,
}

impl Place {
    /// Half of what is left of `merge_bytes` comes with it: nearly always there is one scraper.
    fn take(counts: &Rc<RefCell<Counts>>, merge_bytes: usize) -> Option<Place> {
        let mut all = counts.borrow_mut();
        if all.scraping == SCRAPES_MAX {
            all.scrapes_refused += 1;
            return None;
        }
        all.scrapes += 1;
        all.scraping += 1;
        let merge_bytes = merge_bytes.saturating_sub(all.merge_lent) / 2;
        all.merge_lent += merge_bytes;
        Some(Place { counts: counts.clone(), merge_bytes, begun_ns: clock::mono() })
    }

    /// Others want it, and this page has had its time.
    fn is_due(&self, now: u64) -> bool {
        let is_long = now.saturating_sub(self.begun_ns) > SCRAPE_MAX.as_nanos() as u64;
        is_long && self.counts.borrow().scraping == SCRAPES_MAX
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self.counts.borrow_mut();
        all.scraping -= 1;
        all.merge_lent -= self.merge_bytes;
    }
}

struct Stream {
    page: prometheus::Page<scrape::Cut>,
    place: Place,
}

impl PageStream for Stream {
    fn next(&mut self) -> Option<Result<Bytes, Abort>> {
        if self.place.is_due(clock::mono()) {
            self.place.counts.borrow_mut().superseded += 1;
            return Some(Err(Abort));
        }
        match self.page.step() {
            prometheus::Step::Chunk(bytes) => Some(Ok(bytes)),
            prometheus::Step::Working => Some(Ok(Bytes::new())),
            prometheus::Step::Overtaken => {
                self.place.counts.borrow_mut().superseded += 1;
                Some(Err(Abort))
            }
            prometheus::Step::End => {
                let left_out = &mut self.place.counts.borrow_mut().left_out;
                left_out.iter_mut().zip(self.page.report().cases).for_each(|(sum, cases)| *sum += cases);
                for warning in &self.page.report().warnings {
                    tracing::debug!(?warning, "scrape page");
                }
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Book;
    use crate::runtime::RUNNING;
    use crate::series::registry::{self, Registry};
    use crate::series::slab::SlabWriter;
    use crate::sync::cut::{CutBoard, Due, Switch};
    use crate::telemetry::watch::Watch;
    use std::sync::atomic::{AtomicU8, AtomicU64};

    const SHARDS: usize = 3;
    const INTERVAL: Duration = Duration::from_secs(10);

    /// A process of three shards none of which runs: the test does what they would do.
    fn control() -> Control {
        let mut plan = Plan { shards: SHARDS, ..Plan::sample() };
        let slabs = (0..SHARDS).map(|_| SlabWriter::new().1).collect();
        let options = registry::Options { series_limit: 10, group_limit: 10, memory_limit: usize::MAX };
        let poll = mio::Poll::new().unwrap();
        let memory = crate::runtime::memory::settle(&mut plan, 1 << 30, false).unwrap().0;
        let house = Arc::new(House {
            board: CutBoard::new(SHARDS),
            registry: Arc::new(Registry::new(options, slabs)),
            wakers: Vec::new(),
            control: mio::Waker::new(poll.registry(), WAKE).unwrap(),
            phase: AtomicU8::new(RUNNING),
            heartbeats: (0..SHARDS).map(|_| AtomicU64::new(0)).collect(),
            drained: (0..SHARDS).map(|_| AtomicBool::new(false)).collect(),
            holding: (0..SHARDS).map(|_| AtomicBool::new(false)).collect(),
            bodies: super::super::bodies::Bodies::new(memory.bodies, 5_000),
            margin: None,
        });
        let flush = crate::flush::Options { started_ns: 1, expire_ns: 1, interval_ns: 1 };
        let windows = (0..SHARDS).map(|shard| Window {
            row: Book::new().1,
            seen: Watch::new().1,
            directory: crate::flush::Owner::new(shard, flush, house.registry.clone()).1,
        });
        let windows = windows.collect();
        let (sender, _) = deliver::start(Vec::new(), deliver::Options::new(&clock::SYSTEM, 1)).unwrap();
        let started = Now { mono_ns: 1, wall_ns: 1 };
        let pages = Vec::new();
        let parts =
            Parts { plan: &plan, house, poll, pages, windows, sender, started, memory, capture: None, signals: None };
        Control::new(parts).unwrap()
    }

    /// Not ready before each loop has turned once, nor while one is stuck; the page names the shards.
    #[test]
    fn readiness_names_the_shards_that_do_not_turn() {
        let mut control = control();
        let check = |control: &Control, now: u64, status: u16, shards: &str| {
            let page = control.view.ready(now);
            let Body::Full(words) = page.body else { panic!("a short page") };
            let words = std::str::from_utf8(&words).unwrap();
            assert_eq!(page.status, status, "{words}");
            assert!(words.contains(shards), "{words}");
        };
        let beat = |control: &Control, shard: usize, at: u64| control.house.heartbeats[shard].store(at, Relaxed);
        check(&control, 1, 503, "[0, 1, 2]");
        beat(&control, 0, 5);
        beat(&control, 2, 5);
        check(&control, 6, 503, "[1]");
        beat(&control, 1, 6);
        check(&control, 6, 200, "ready");
        check(&control, 5 + READY_WITHIN_NS, 200, "ready");
        check(&control, 6 + READY_WITHIN_NS, 503, "[0, 2]");
        beat(&control, 0, READY_WITHIN_NS);
        beat(&control, 2, READY_WITHIN_NS);
        check(&control, 6 + READY_WITHIN_NS, 200, "ready");
        control.view.stopping = true;
        check(&control, 6 + READY_WITHIN_NS, 503, "stopping");
    }

    fn get(control: &mut Control, door: u8, path: &str, query: &str) -> Page {
        control.view.page(door, "GET", path, query, "")
    }

    /// Four at once, whatever they do; who goes makes room, and gives back what was lent to it.
    #[test]
    fn a_scrape_too_many_is_refused_and_counted() {
        let mut control = control();
        let mut pages: Vec<Page> = (0..SCRAPES_MAX).map(|_| get(&mut control, SCRAPE, "/metrics", "")).collect();
        assert!(pages.iter().all(|page| page.status == 200));
        assert!(control.view.counts.borrow().merge_lent < control.view.memory.page_merge);
        assert_eq!(get(&mut control, SCRAPE, "/metrics", "").status, 503);
        assert_eq!(get(&mut control, ADMIN, "/metrics", "").status, 200, "another door's page");
        assert_eq!(control.view.facts().scrapes, (SCRAPES_MAX as u64, 0, 1));
        pages.pop();
        let again = get(&mut control, SCRAPE, "/metrics", "");
        assert_eq!(again.status, 200);
        let place = Place::take(&control.view.counts, 1 << 20);
        assert!(place.is_none());
        drop((pages, again));
        assert_eq!((control.view.counts.borrow().scraping, control.view.counts.borrow().merge_lent), (0, 0));
        let first = Place::take(&control.view.counts, 1 << 20).unwrap();
        let later = first.begun_ns + SCRAPE_MAX.as_nanos() as u64 + 1;
        assert!(!first.is_due(later), "nobody wants it");
        let others: Vec<_> = (1..SCRAPES_MAX).map(|_| Place::take(&control.view.counts, 1 << 20).unwrap()).collect();
        assert!(first.is_due(later) && !first.is_due(later - 1));
        drop(others);
    }

    /// A ledger is verified for one at a time, in slices; a switch in the middle makes the count begin anew, not for ever.
    #[test]
    fn a_ledger_is_verified_for_one_at_a_time() {
        let mut control = control();
        let ask = |control: &mut Control| get(control, ADMIN, "/ledger", "verify=1");
        let page = ask(&mut control);
        assert_eq!((page.status, ask(&mut control).status), (200, 503));
        assert_eq!(get(&mut control, ADMIN, "/ledger", "").status, 200);
        let Body::Stream(mut stream) = page.body else { panic!("made as it is read") };
        let mut json = Vec::new();
        while let Some(piece) = stream.next() {
            json.extend_from_slice(&piece.unwrap());
        }
        assert!(String::from_utf8(json).unwrap().contains("\"open_counted_in_cells\":0"));
        assert_eq!(ask(&mut control).status, 200, "the first one is out");
        let mut count = Count::begin(&control.house);
        let switch = |control: &mut Control| {
            let now = Now { mono_ns: 1, wall_ns: control.next };
            control.cuts(now);
            let number = control.number;
            (0..SHARDS).for_each(|shard| {
                control.house.board.try_switch(shard, number);
            });
            (0..SHARDS).for_each(|shard| {
                control.house.board.merge_done(shard, number);
            });
        };
        switch(&mut control);
        assert_eq!(count.step(&control.house), None, "begun anew");
        let steps = (0..100).find_map(|_| count.step(&control.house));
        assert_eq!(steps, Some(Some(0)));
        let mut count = Count::begin(&control.house);
        let given_up = (0..100).find_map(|_| {
            switch(&mut control);
            count.step(&control.house)
        });
        assert_eq!(given_up, Some(None));
    }

    /// DESIGN 4: a shard that has not switched a second after a cut is skipped, counted once, and holds nobody up; it
    /// learns of it, and switches at the next cut.
    #[test]
    fn a_shard_that_is_late_for_a_cut_is_skipped() {
        let mut control = control();
        let mut now = Now { mono_ns: 1, wall_ns: control.next };
        control.cuts(now);
        let board = &control.house.board;
        assert_eq!(board.published(), 1);
        for shard in [0, 2] {
            assert!(matches!(board.try_switch(shard, 1), Switch::Switched { last: false }));
        }
        now.mono_ns += CUT_LATE_AFTER.as_nanos() as u64 - 1;
        control.cuts(now);
        assert!(!control.house.board.all_closed(1), "not late yet");
        now.mono_ns += 1;
        control.cuts(now);
        control.cuts(now);
        let board = &control.house.board;
        assert!(board.all_closed(1), "nobody waits for it any more");
        assert_eq!(control.view.counts.borrow().skipped, 1);
        assert!(matches!(board.try_switch(1, 1), Switch::AlreadySkipped));
        for shard in 0..SHARDS {
            board.merge_done(shard, 1);
        }
        now.wall_ns = control.next;
        control.cuts(now);
        let board = &control.house.board;
        assert_eq!(board.published(), 2);
        assert!(matches!(board.due(1), Due::Switch(cut) if cut.number == 2));
        assert!(matches!(board.try_switch(1, 2), Switch::Switched { .. }));
    }

    /// A cut that is due while the one before is being merged waits, is counted once, and comes when that is done.
    #[test]
    fn a_cut_that_is_due_during_a_merge_is_postponed() {
        let mut control = control();
        let mut now = Now { mono_ns: 1, wall_ns: control.next };
        control.cuts(now);
        (0..SHARDS).for_each(|shard| {
            control.house.board.try_switch(shard, 1);
        });
        now.wall_ns = control.next;
        control.cuts(now);
        control.cuts(now);
        assert_eq!((control.number, control.view.counts.borrow().postponed), (1, 1));
        (0..SHARDS).for_each(|shard| {
            control.house.board.merge_done(shard, 1);
        });
        control.cuts(now);
        assert_eq!((control.number, control.view.counts.borrow().cuts), (2, 2));
    }

    const I: u64 = INTERVAL.as_nanos() as u64;
    const HOUR: u64 = 3_600_000_000_000;
    const YEAR: u64 = 8_760 * HOUR;

    /// Runs for `intervals`, a look each tenth; the shards do what they should. The times of the cuts made.
    fn go(control: &mut Control, now: &mut Now, intervals: u64) -> Vec<Times> {
        let mut cuts = Vec::new();
        for _ in 0..intervals * 10 {
            now.mono_ns += I / 10;
            now.wall_ns += I / 10;
            control.cuts(*now);
            let board = &control.house.board;
            let number = board.published();
            if !board.all_merged(number) {
                (0..SHARDS).for_each(|shard| {
                    board.try_switch(shard, number);
                });
                (0..SHARDS).for_each(|shard| {
                    board.merge_done(shard, number);
                });
                cuts.push(board.times());
            }
        }
        cuts
    }

    /// A wall clock that steps, by anything, in either direction: cuts go on at their pace, the boundary is never
    /// further from the clock than an interval, no window is longer than two or begins behind its end, and the
    /// monotonic time of cuts knows nothing of it.
    #[test]
    fn cuts_follow_a_wall_clock_that_steps() {
        let mut control = control();
        let mut now = Now { mono_ns: 1, wall_ns: 1 };
        now.wall_ns += 50 * YEAR / I * I;
        (control.boundary, control.next) = (now.wall_ns, next_boundary(now.wall_ns, I));
        let mut last = now.mono_ns;
        let mut boundary = now.wall_ns;
        let steps = [0, I / 2, I, 3 * I / 2, 2 * I, 5 * I / 2, HOUR, YEAR];
        for step in steps.into_iter().flat_map(|step| [step as i64, -(step as i64)]) {
            now.wall_ns = now.wall_ns.strict_add_signed(step);
            let cuts = go(&mut control, &mut now, 6);
            assert!(cuts.len() >= 5, "{step}: {cuts:?}");
            for (i, cut) in cuts.iter().enumerate() {
                assert!(cut.mono_ns - last <= 2 * I, "{step}: {cuts:?}");
                assert!(cut.from_ns < cut.boundary_ns && cut.boundary_ns - cut.from_ns <= 2 * I, "{step}: {cuts:?}");
                // what of the first cut is published late is less than an interval
                let wall = now.wall_ns - (now.mono_ns - cut.mono_ns);
                assert!(cut.boundary_ns.abs_diff(wall) <= I, "{step}: {cuts:?}");
                assert!(step.unsigned_abs() > I || cut.from_ns == boundary, "{step}: {i} follows: {cuts:?}");
                assert!(i == 0 || cut.from_ns == boundary, "{step}: {i} follows: {cuts:?}");
                assert!(i < 2 || cut.boundary_ns.is_multiple_of(I), "{step}: aligned again: {cuts:?}");
                (last, boundary) = (cut.mono_ns, cut.boundary_ns);
            }
        }
    }

    /// A cut that comes late because the merge before was slow covers all of it: that is no step.
    #[test]
    fn a_window_is_as_long_as_a_slow_merge() {
        let now = Now { mono_ns: 100 * I, wall_ns: 1_007 * I + 5 };
        let made = times(1_000 * I, 7 * I + 5, now, I);
        assert_eq!((made.from_ns, made.boundary_ns), (1_000 * I, 1_007 * I));
    }
}
