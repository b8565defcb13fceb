//! The deliver thread: one `mio` loop that takes batches from the queues, gives them to exporters and decides on retries.
//!
//! Does not know: protocols (see `exporter`), how many shards produce, files (see `writer`).
//!
//! ```text
//!  queue ─► slot (packed once) ─► exporter ─► outcome ─► settle: delivered | dropped{reason}
//!             ▲                                 │
//!             └────── wait: back-off, advice ◄──┘ retry: the same bytes
//! ```
//!
//! Invariants:
//! 1. A batch popped is in exactly one slot until `Port::settle`; at exit what is in slots and queue still counts as
//!    queued, and the ledger's `queued` equals the points counted there.
//! 2. A retry sends the same bytes, packed once (E7).
//! 3. Destinations share nothing but the thread's time, and a turn of one is bounded (`ROUNDS_MAX`, read budgets).
//! 4. While a destination has told us to wait, nothing is started there (E4).
//!
//! Progress: the loop blocks only in `poll`, never longer than the next timer, and in the rests of `pace`.
//! Bounds: `in_flight` slots per destination, each holding one batch and its packed copy.

use std::io;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use mio::{Events, Poll, Token};

use super::Options;
use super::backoff::{Jitter, wait_ns};
use super::destination::{Compression, Destination};
use super::exporter::{Done, Exporter, Job, Turn};
use super::ledger::Dropped;
use super::outcome::Outcome;
use super::pace::Pace;
use super::queue::{Encoded, PollBell, Port, Shared};
use super::warn::Warner;
use crate::clock::Now;
use crate::limits::MAX_BODY_BYTES_DEFAULT;

/// Tokens of one destination's connections.
pub(super) const TOKENS_EACH: usize = 64;
/// Token of the bell.
pub(super) const BELL: Token = Token(0);
/// Rounds in one turn of a destination: polling again because polling moved something.
const ROUNDS_MAX: usize = 64;
/// Events taken from the system at once.
const EVENTS: usize = 256;

/// The points still held at exit, by number of the destination.
pub(super) type Left = Vec<(usize, u64)>;

/// Set by wakers inside `h2` and `hyper`; everything runs on this thread, so a flag is enough.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A batch on its way.
struct Held {
    batch: Arc<Encoded>,
    job: Job,
    tries: u32,
    /// The destination may have taken it already.
    ambiguous: bool,
    stage: Stage,
}

enum Stage {
    /// With the exporter until this time, ns.
    Flying { until_ns: u64 },
    /// Tried again at this time, ns.
    Waiting { until_ns: u64 },
}

/// One network destination.
pub(super) struct Lane {
    destination: Destination,
    port: Arc<Port>,
    exporter: Box<dyn Exporter>,
    slots: Vec<Option<Held>>,
    first_token: usize,
    /// The server asked for silence until then, ns; 0 when it did not (E4).
    quiet_until_ns: u64,
    jitter: Jitter,
    warner: Warner,
    woken: Arc<Woken>,
    waker: Waker,
    done: Vec<Done>,
}

impl Lane {
    pub(super) fn new(
        destination: Destination,
        number: usize,
        port: Arc<Port>,
        exporter: Box<dyn Exporter>,
        options: &Options,
    ) -> Self {
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        Lane {
            destination,
            port,
            exporter,
            slots: (0..options.in_flight).map(|_| None).collect(),
            first_token: 1 + number * TOKENS_EACH,
            quiet_until_ns: 0,
            jitter: Jitter::new(options.seed ^ (number as u64).wrapping_mul(0xA24B_AED4_963E_E407)),
            warner: Warner::default(),
            waker: Waker::from(woken.clone()),
            woken,
            done: Vec::new(),
        }
    }

    /// Moves this destination as far as it goes now, or until its piece of time is over.
    fn turn(&mut self, registry: &mio::Registry, options: &Options, pace: &Pace) {
        self.exporter.new_turn();
        let begun = (options.clock)().mono_ns;
        for _ in 0..ROUNDS_MAX {
            let now = (options.clock)();
            if pace.is_over(now.mono_ns - begun) {
                self.woken.0.store(true, Ordering::Relaxed);
                break;
            }
            self.woken.0.store(false, Ordering::Relaxed);
            self.expire(now, options);
            self.fill(now);
            let mut context = Context::from_waker(&self.waker);
            let turn = Turn { registry, first_token: self.first_token, now, stats: &self.port.stats };
            let mut done = std::mem::take(&mut self.done);
            self.exporter.poll(&mut context, &turn, &mut done);
            let moved = !done.is_empty();
            for (slot, outcome) in done.drain(..) {
                self.settle(slot, outcome, now, options);
            }
            self.done = done;
            if !moved && !self.woken.0.load(Ordering::Relaxed) {
                break;
            }
        }
        let held = self.slots.iter().filter(|slot| slot.is_some()).count();
        self.port.stats.in_flight.set(held as u64);
    }

    /// Ends tries that took too long and starts those whose wait is over.
    fn expire(&mut self, now: Now, options: &Options) {
        for at in 0..self.slots.len() {
            let Some(held) = &mut self.slots[at] else { continue };
            match held.stage {
                Stage::Flying { until_ns } if now.mono_ns >= until_ns => {
                    self.port.stats.tries_timed_out.add(1);
                    let sent = self.exporter.cancel(at);
                    let what = format!("no answer within {:?}", self.destination.timeout);
                    self.retry(at, &what, None, sent, now, options);
                }
                Stage::Waiting { until_ns } if now.mono_ns >= until_ns.max(self.quiet_until_ns) => {
                    held.stage = Stage::Flying { until_ns: now.mono_ns + self.destination.timeout.as_nanos() as u64 };
                    self.port.stats.retries.add(1);
                    if held.ambiguous {
                        self.port.stats.resent_ambiguous.add(1);
                    }
                    self.exporter.start(at, held.job.clone());
                }
                Stage::Flying { .. } | Stage::Waiting { .. } => {}
            }
        }
    }

    /// Takes batches into free slots.
    fn fill(&mut self, now: Now) {
        if now.mono_ns < self.quiet_until_ns {
            return;
        }
        // over: no timer of it is left behind, or the loop would spin on a time that has passed
        self.quiet_until_ns = 0;
        for at in 0..self.slots.len() {
            while self.slots[at].is_none() {
                let Some(batch) = self.port.store.pop() else { return };
                if batch.bytes.len() > MAX_BODY_BYTES_DEFAULT {
                    self.port.stats.requests_too_large.add(1);
                    let error = format!("a request of {} bytes is over the limit of 64 MiB", batch.bytes.len());
                    self.warner.note(&self.port.name, &error, "send fewer points per request", now.mono_ns);
                    self.port.settle(&batch, Some((Dropped::TooLarge, batch.points)));
                    continue;
                }
                let job = self.pack(&batch);
                self.exporter.start(at, job.clone());
                let until_ns = now.mono_ns + self.destination.timeout.as_nanos() as u64;
                self.slots[at] =
                    Some(Held { batch, job, tries: 1, ambiguous: false, stage: Stage::Flying { until_ns } });
            }
        }
    }

    fn pack(&self, batch: &Encoded) -> Job {
        let timeout = self.destination.timeout;
        match self.destination.compression {
            Compression::None => Job { body: batch.bytes.clone(), gzip: false, timeout },
            Compression::Gzip => {
                let sink = Vec::with_capacity(batch.bytes.len() / 4 + 64);
                let mut encoder = flate2::write::GzEncoder::new(sink, flate2::Compression::fast());
                let packed = encoder.write_all(&batch.bytes).and_then(|()| encoder.finish());
                Job { body: Bytes::from(packed.expect("a vector takes every byte")), gzip: true, timeout }
            }
        }
    }

    fn settle(&mut self, at: usize, outcome: Outcome, now: Now, options: &Options) {
        let stats = &self.port.stats;
        let name = &self.port.name;
        match outcome {
            Outcome::Delivered { rejected, message } => {
                let held = self.slots[at].take().expect("an outcome belongs to a held batch");
                let rejected = rejected.min(held.batch.points);
                self.warner.recovered(name);
                if rejected > 0 || !message.is_empty() {
                    stats.requests_partial.add(1);
                    let text = format!("{rejected} of {} points rejected: {message}", held.batch.points);
                    stats.message(&text);
                    self.warner.note(
                        name,
                        &text,
                        "see the destination's message; these points are not retried",
                        now.mono_ns,
                    );
                } else {
                    stats.requests_ok.add(1);
                }
                let lost = (rejected > 0).then_some((Dropped::RejectedByDestination, rejected));
                self.port.settle(&held.batch, lost);
            }
            Outcome::Refused(what) => {
                stats.requests_refused.add(1);
                self.drop_batch(
                    at,
                    Dropped::Refused,
                    &what,
                    "check the destination's address and what it accepts",
                    now,
                );
            }
            Outcome::ResponseTooLarge => {
                stats.responses_too_large.add(1);
                let what = "the answer is over the limit of 4 MiB";
                self.drop_batch(at, Dropped::ResponseTooLarge, what, "check what listens at that address", now);
            }
            Outcome::Retry { what, after } => {
                stats.tries_retryable.add(1);
                self.retry(at, &what, after, false, now, options);
            }
            Outcome::Disconnected(what) => {
                stats.tries_disconnected.add(1);
                self.retry(at, &what, None, true, now, options);
            }
            Outcome::Unconnected(what) => {
                stats.tries_unconnected.add(1);
                self.retry(at, &what, None, false, now, options);
            }
        }
    }

    fn drop_batch(&mut self, at: usize, reason: Dropped, what: &str, remedy: &str, now: Now) {
        let held = self.slots[at].take().expect("an outcome belongs to a held batch");
        self.port.stats.message(what);
        self.warner.failed(&self.port.name, what, remedy, now.mono_ns);
        self.port.settle(&held.batch, Some((reason, held.batch.points)));
    }

    fn retry(&mut self, at: usize, what: &str, after: Option<Duration>, sent: bool, now: Now, options: &Options) {
        self.port.stats.message(what);
        self.warner.failed(
            &self.port.name,
            what,
            "check that the destination runs and can be reached; the data is kept and tried again",
            now.mono_ns,
        );
        let held = self.slots[at].as_mut().expect("an outcome belongs to a held batch");
        let wait = wait_ns(held.tries, after, options.backoff_first, options.backoff_max, &mut self.jitter);
        let until_ns = now.mono_ns.saturating_add(wait);
        if after.is_some_and(|after| !after.is_zero()) {
            self.port.stats.throttled.add(1);
            self.quiet_until_ns = self.quiet_until_ns.max(until_ns);
        }
        held.tries = held.tries.saturating_add(1);
        held.ambiguous |= sent;
        held.stage = Stage::Waiting { until_ns };
    }

    /// When this destination wants its next turn without an event, ns.
    fn next_ns(&self) -> Option<u64> {
        if self.woken.0.load(Ordering::Relaxed) || self.exporter.is_starved() {
            return Some(0);
        }
        let timers = self.slots.iter().flatten().map(|held| match held.stage {
            Stage::Flying { until_ns } => until_ns,
            Stage::Waiting { until_ns } => until_ns.max(self.quiet_until_ns),
        });
        // batches that wait in the queue want to be taken when the silence ends
        let quiet = (self.quiet_until_ns > 0 && self.port.store.bytes() > 0).then_some(self.quiet_until_ns);
        let free = self.slots.iter().any(Option::is_none);
        timers.chain(quiet.filter(|_| free)).min()
    }

    /// Nearly as much waits as may.
    fn is_pressed(&self) -> bool {
        self.port.store.bytes() > self.destination.queue_bytes / 8 * 7
    }

    fn is_empty(&self) -> bool {
        self.port.store.bytes() == 0
    }

    /// Invariant 1, at exit: counts the points still held, which the ledger calls queued.
    fn count_left(mut self) -> u64 {
        let held: u64 = self.slots.iter_mut().filter_map(Option::take).map(|held| held.batch.points).sum();
        let queued: u64 = std::iter::from_fn(|| self.port.store.pop()).map(|batch| batch.points).sum();
        held + queued
    }
}

/// The loop; returns when stopped and empty, or at the deadline, with the points left per destination.
pub(super) fn run(
    mut poll: Poll,
    bell: &PollBell,
    shared: &Shared,
    mut lanes: Vec<Lane>,
    options: &Options,
) -> io::Result<Left> {
    let mut events = Events::with_capacity(EVENTS);
    let mut pace = Pace::new(options.cores_are_shared);
    loop {
        let now = (options.clock)();
        let stop_at = shared.stop_at();
        if stop_at.is_some_and(|at| now.mono_ns >= at || lanes.iter().all(Lane::is_empty)) {
            return Ok(lanes.into_iter().map(|lane| (lane.first_token / TOKENS_EACH, lane.count_left())).collect());
        }
        let next = lanes.iter().filter_map(Lane::next_ns).chain(stop_at).min();
        // rounded up: waking a moment too early would spin until the timer is due
        let timeout = next.map(|at| match at.saturating_sub(now.mono_ns) {
            0 => Duration::ZERO,
            ns => Duration::from_nanos(ns.saturating_add(999_999) / 1_000_000 * 1_000_000),
        });
        match poll.poll(&mut events, timeout) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        // ORDERING: AcqRel pairs with `PollBell::ring`: what was pushed before a ring is popped below.
        bell.rung.swap(false, Ordering::AcqRel);
        for event in events.iter().filter(|event| event.token() != BELL) {
            let token = event.token().0 - 1;
            if let Some(lane) = lanes.iter_mut().find(|lane| lane.first_token == 1 + token / TOKENS_EACH * TOKENS_EACH)
            {
                lane.exporter.on_event(token % TOKENS_EACH, event);
            }
        }
        let begun = (options.clock)().mono_ns;
        for lane in &mut lanes {
            lane.turn(poll.registry(), options, &pace);
        }
        let spent = (options.clock)().mono_ns - begun;
        if let Some(rest) = pace.rest(spent, stop_at.is_some() || lanes.iter().any(Lane::is_pressed)) {
            std::thread::sleep(rest);
        }
    }
}
