//! One network destination: takes batches from its queue, gives them to its exporter and decides on retries.
//!
//! Does not know: protocols (see `exporter`), other destinations, who calls its turns (see `worker`), files (see `writer`).
//!
//! ```text
//!  queue ─► slot (packed once) ─► breaker ─► exporter ─► outcome ─► settle: delivered | dropped{reason}
//!             ▲                                              │
//!             └──────────── wait: back-off, advice ◄─────────┘ retry: the same bytes
//! ```
//!
//! Invariants:
//! 1. A batch popped is in exactly one slot until `Port::settle`, or is the one that waits for its turn (`next`); at exit
//!    what is there and in the queue still counts as queued, and the ledger's `queued` equals the points counted there.
//! 2. A retry sends the same bytes, packed once (E7).
//! 3. Destinations share nothing but the thread's time, and a turn of one is bounded (`ROUNDS_MAX`, read budgets).
//! 4. While a destination has told us to wait, nothing is started there (E4). While its breaker is not closed, nothing is
//!    but the probe, which is the oldest batch in the slots.
//! 5. A batch that is too large is sent in parts, one after the other in the same slot, each settled by itself; the
//!    batch's bytes are released with the last one (E9).
//! 6. Settings may change while it runs: a try ends on the connections on which it began (`Way`), and the next one goes by
//!    the new settings. At its end (`end`) a lane has a bounded time; what is left then is `dropped{destination_removed}`.
//!
//! 7. In order (`DeliveryOrder`) no batch begins while one of an earlier cut has no outcome. A series is written by one shard,
//!    into one request a cut, and a shard's requests come in the order of their cuts: so no series goes back in time there.
//!    (But for the mark that ends an output at a reload, which may stand in the request behind that of its last value.)
//!
//! Progress: a turn never blocks; it is due at `next_ns`, at an event, or when the bell rings.
//! Bounds: `in_flight` slots per destination, each holding one batch and its packed copy, or its parts, which together
//! are about as large, and one batch beside them. A former way has at least one try under way, so there are at most `in_flight` of them. Of a batch with 413 all the way down to `SPLIT_BYTES_MIN` one path of halves is tried.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker, ready};

use bytes::Bytes;

use super::backoff::wait_ns;
use super::breaker::{Breaker, BreakerState};
use super::destination::{DeliveryOrder, Destination};
use super::exporter::{Cancelled, Done, Exporter, Job, Turn};
use super::in_flight::{BatchInFlight, Retry, TryStage, pack};
use super::ledger::Dropped;
use super::options::Options;
use super::outcome::{Outcome, UNREADABLE};
use super::pace::Pace;
use super::queue::{Encoded, Port};
use super::reread::HeaderReader;
use super::warn::{BreakerWarner, Warner};
use super::why::Why;
use crate::chance::Chance;
use crate::clock::Now;
use crate::limits::{IN_FLIGHT_LIMIT, MAX_BODY_BYTES_DEFAULT, SPLIT_BYTES_MIN};

/// Tokens of one destination's connections.
pub(super) const TOKENS_EACH: usize = IN_FLIGHT_LIMIT;
/// Rounds in one turn of a destination: polling again because polling moved something.
const ROUNDS_MAX: usize = 64;
/// Set by wakers inside `h2` and `hyper`; everything runs on this thread, so a flag is enough.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A protocol over its connections, made with some settings. No number is used twice in a process, so that an event of
/// one that is gone is nobody's.
pub(super) struct Way {
    number: usize,
    exporter: Box<dyn Exporter>,
}

impl Way {
    pub(super) fn new(number: usize, exporter: Box<dyn Exporter>) -> Way {
        Way { number, exporter }
    }

    /// Token of its first connection.
    fn first_token(&self) -> usize {
        1 + self.number * TOKENS_EACH
    }
}

/// The end of a lane.
struct Ending {
    /// Time it has, once nothing new can come.
    within_ns: u64,
    /// When that is over.
    until_ns: Option<u64>,
    /// The queue is somebody else's: only what is in slots is this lane's.
    hands_over: bool,
}

/// One network destination.
pub(super) struct Lane {
    destination: Destination,
    port: Arc<Port>,
    /// On which tries begin.
    way: Way,
    /// Of former settings, with tries that are under way.
    retiring: Vec<Way>,
    /// Those from `in_flight` on take nothing on any more.
    slots: Vec<Option<BatchInFlight>>,
    in_flight: usize,
    /// Out of the queue, and not begun: batches of an earlier cut are under way.
    next: Option<Arc<Encoded>>,
    ending: Option<Ending>,
    /// The server asked for silence until then, ns; 0 when it did not (E4).
    quiet_until_ns: u64,
    breaker: Breaker,
    /// There once a probe has asked for it.
    header_reader: Option<HeaderReader>,
    /// Batches taken on so far.
    taken: u64,
    chance: Chance,
    warner: Warner,
    breaker_warner: BreakerWarner,
    woken: Arc<Woken>,
    waker: Waker,
    done: Vec<Done>,
}

impl Lane {
    pub(super) fn new(destination: Destination, port: Arc<Port>, way: Way, options: &Options) -> Self {
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        let in_flight = destination.in_flight.unwrap_or(options.in_flight);
        port.breaker.put(BreakerState::Closed, options.clock.now().wall_ns);
        Lane {
            destination,
            port,
            slots: (0..in_flight).map(|_| None).collect(),
            in_flight,
            next: None,
            ending: None,
            quiet_until_ns: 0,
            breaker: Breaker::new(),
            header_reader: None,
            taken: 0,
            chance: Chance::new(options.seed ^ (way.number as u64).wrapping_mul(0xA24B_AED4_963E_E407)),
            way,
            retiring: Vec::new(),
            warner: Warner::default(),
            breaker_warner: BreakerWarner::default(),
            waker: Waker::from(woken.clone()),
            woken,
            done: Vec::new(),
        }
    }

    /// What it is to the others.
    pub(super) fn port(&self) -> &Arc<Port> {
        &self.port
    }

    /// Whether its connections would serve these settings, too.
    pub(super) fn has_way_for(&self, destination: &Destination) -> bool {
        self.destination.has_way_of(destination)
    }

    /// Takes other settings: tries under way end as they began, all others go by `way`, if there is one. What waited for
    /// its next try has it at once, and a breaker closes, because the change may be what they waited for.
    pub(super) fn change(&mut self, destination: Destination, way: Option<Way>, options: &Options) {
        if let Some(way) = way {
            self.retiring.push(std::mem::replace(&mut self.way, way));
            self.quiet_until_ns = 0;
            let now = options.clock.now();
            self.make_due(now);
            if self.breaker.close() {
                self.note_closed(now);
            }
            self.retire();
        }
        self.in_flight = destination.in_flight.unwrap_or(options.in_flight);
        self.slots.resize_with(self.slots.len().max(self.in_flight), || None);
        self.destination = destination;
        // one of other files; what it reads is nobody's any more
        self.header_reader = None;
        self.ending = None;
        self.woken.0.store(true, Ordering::Relaxed);
    }

    /// Begins its end: it goes on until all is delivered, or `within_ns` after nothing new can come. One that hands over
    /// leaves the queue to another.
    pub(super) fn end(&mut self, within_ns: u64, hands_over: bool) {
        if hands_over {
            self.port.breaker.clear();
        }
        self.ending = Some(Ending { within_ns, until_ns: None, hands_over });
        self.woken.0.store(true, Ordering::Relaxed);
    }

    /// Whether it is over.
    pub(super) fn has_ended(&self) -> bool {
        let Some(ending) = &self.ending else { return false };
        let is_idle = self.next.is_none() && self.slots.iter().all(Option::is_none);
        if ending.hands_over {
            return is_idle;
        }
        // in this order: what came before the last one left is seen
        is_idle && self.port.is_left() && self.port.store.is_empty() && self.port.try_end()
    }

    /// The time of its end may have come: what is left is given up.
    fn give_up_late(&mut self, now: Now) {
        let Some(ending) = &mut self.ending else { return };
        if ending.until_ns.is_none() && (ending.hands_over || self.port.is_left()) {
            ending.until_ns = Some(now.mono_ns.saturating_add(ending.within_ns));
        }
        if ending.until_ns.is_none_or(|until_ns| now.mono_ns < until_ns) {
            return;
        }
        let mut points = if ending.hands_over { 0 } else { self.port.give_up() };
        if let Some(batch) = self.next.take() {
            points += batch.points;
            self.port.settle(&batch, Some((Dropped::Removed, batch.points)));
        }
        for at in 0..self.slots.len() {
            let Some(held) = &self.slots[at] else { continue };
            points += held.points();
            if matches!(held.stage, TryStage::Flying { .. }) {
                let number = held.way;
                self.exporter(number).cancel(at);
            }
            while let Some(held) = &self.slots[at] {
                let lost = (Dropped::Removed, held.part.points);
                self.leave(at, Some(lost));
            }
        }
        if points > 0 {
            let (destination, remedy) = (&self.port.name, Dropped::Removed.help());
            tracing::warn!(destination, points, remedy, "points of a destination that was taken out are dropped");
        }
    }

    /// The exporter on whose way a try is.
    fn exporter(&mut self, number: usize) -> &mut dyn Exporter {
        let way = self.retiring.iter_mut().find(|way| way.number == number);
        &mut *way.unwrap_or(&mut self.way).exporter
    }

    fn ways(&self) -> impl Iterator<Item = &Way> {
        self.retiring.iter().chain([&self.way])
    }

    /// Former ways go when their last try has ended.
    fn retire(&mut self) {
        let slots = &self.slots;
        let is_flying = |number: usize| {
            let mut held = slots.iter().flatten();
            held.any(|held| held.way == number && matches!(held.stage, TryStage::Flying { .. }))
        };
        self.retiring.retain(|way| is_flying(way.number));
    }

    /// Moves what waits beyond the slots that there may be into those.
    fn gather(&mut self) {
        while self.slots.len() > self.in_flight {
            let from = self.slots.len() - 1;
            let is_waiting = matches!(&self.slots[from], Some(BatchInFlight { stage: TryStage::Waiting { .. }, .. }));
            let free = (0..self.in_flight).find(|at| self.slots[*at].is_none());
            match (&self.slots[from], free) {
                (None, _) => {}
                (Some(_), Some(to)) if is_waiting => self.slots.swap(from, to),
                (Some(_), _) => return,
            }
            self.slots.pop();
        }
    }

    /// The loop saw an event with this token; `false` if it belongs to another destination.
    pub(super) fn on_event(&mut self, token: usize, event: &mio::event::Event) -> bool {
        for way in self.retiring.iter_mut().chain([&mut self.way]) {
            if let Some(connection) = token.checked_sub(way.first_token()).filter(|at| *at < TOKENS_EACH) {
                way.exporter.on_event(connection, event);
                return true;
            }
        }
        false
    }

    /// Moves this destination as far as it goes now, or until its piece of time is over.
    pub(super) fn turn(&mut self, registry: &mio::Registry, options: &Options, pace: &Pace) {
        self.retiring.iter_mut().chain([&mut self.way]).for_each(|way| way.exporter.new_turn());
        let begun = options.clock.mono_ns();
        for round in 1..=ROUNDS_MAX {
            let now = options.clock.now();
            if pace.is_over(now.mono_ns - begun) {
                self.woken.0.store(true, Ordering::Relaxed);
                break;
            }
            self.woken.0.store(false, Ordering::Relaxed);
            self.expire(now, options);
            self.gather();
            self.fill(now);
            self.probe(now);
            let mut context = Context::from_waker(&self.waker);
            let mut done = std::mem::take(&mut self.done);
            for way in self.retiring.iter_mut().chain([&mut self.way]) {
                let (first_token, stats) = (way.first_token(), &self.port.stats);
                let turn = Turn { registry, first_token, now, stats, hops: options.hops };
                way.exporter.poll(&mut context, &turn, &mut done);
            }
            let moved = !done.is_empty();
            for (slot, outcome) in done.drain(..) {
                self.settle(slot, outcome, now, options);
            }
            self.done = done;
            if !moved && !self.woken.0.load(Ordering::Relaxed) {
                break;
            }
            if round == ROUNDS_MAX {
                // another turn goes on from here
                self.woken.0.store(true, Ordering::Relaxed);
            }
        }
        self.give_up_late(options.clock.now());
        self.retire();
        let held = self.slots.iter().filter(|slot| slot.is_some()).count();
        self.port.stats.in_flight.set(held as u64);
    }

    /// Ends tries that took too long and starts those whose wait is over.
    fn expire(&mut self, now: Now, options: &Options) {
        for at in 0..self.slots.len() {
            if let Some(BatchInFlight { stage: TryStage::Flying { until_ns }, way, job, .. }) = &self.slots[at]
                && now.mono_ns >= *until_ns
            {
                self.port.stats.tries_timed_out.add(1);
                let (timeout, way) = (job.timeout, *way);
                let (is_sent, why) = match self.exporter(way).cancel(at) {
                    Cancelled::Unsent(Some(Why { what, remedy })) => {
                        (false, Why { what: format!("not sent within {timeout:?}: {what}"), remedy })
                    }
                    Cancelled::Unsent(None) => (false, format!("not sent within {timeout:?}").into()),
                    Cancelled::Sent => (true, format!("no answer within {timeout:?}").into()),
                };
                self.retry(at, &why, Retry::Failed { is_sent }, now, options);
            }
            self.launch(at, now);
        }
    }

    /// Starts a try whose wait is over, unless the breaker has it wait for the probe.
    fn launch(&mut self, at: usize, now: Now) {
        if at >= self.in_flight || !self.breaker.is_closed() {
            return;
        }
        let Some(BatchInFlight { stage: TryStage::Waiting { until_ns }, .. }) = self.slots[at] else { return };
        if now.mono_ns >= until_ns.max(self.quiet_until_ns) {
            self.try_now(at, now);
        }
    }

    /// The oldest batch that may be tried, by its slot.
    fn oldest(&self) -> Option<usize> {
        let held = self.slots[..self.in_flight].iter().enumerate().filter_map(|(at, held)| Some((at, held.as_ref()?)));
        held.min_by_key(|(_, held)| held.sequence).map(|(at, _)| at)
    }

    /// Lets the probe go, if it is time: the oldest batch. One that was under way when the breaker opened, and is still, is it
    /// without another try.
    fn probe(&mut self, now: Now) {
        let is_due = self.breaker.probe_at_ns().is_some_and(|at| now.mono_ns >= at.max(self.quiet_until_ns));
        let Some(at) = self.oldest().filter(|_| is_due) else { return };
        if self.read_headers_again(now).is_pending() {
            return;
        }
        if matches!(self.slots[at], Some(BatchInFlight { stage: TryStage::Waiting { .. }, .. })) {
            self.try_now(at, now);
        }
        self.breaker.probe(at);
        self.port.stats.breaker_half_opened.add(1);
        self.port.breaker.put(BreakerState::HalfOpen, now.wall_ns);
    }

    /// What files of headers say by now is sent from now on; `Pending` as long as a probe waits for that.
    fn read_headers_again(&mut self, now: Now) -> Poll<()> {
        if !self.destination.header_sources.have_files() {
            return Poll::Ready(());
        }
        if self.header_reader.is_none() {
            let reader = HeaderReader::start(self.destination.header_sources.clone(), self.port.clone());
            self.header_reader =
                reader.inspect_err(|error| tracing::warn!(%error, "no thread reads headers again")).ok();
        }
        let Some(reader) = &mut self.header_reader else { return Poll::Ready(()) };
        match ready!(reader.poll(now.mono_ns)) {
            Some(Ok(headers)) if headers != self.destination.headers => {
                self.way.exporter.put_headers(&headers);
                self.destination.headers = headers;
                tracing::info!(destination = %self.port.name, "the headers are other ones by now, and are sent");
            }
            Some(Ok(_)) => {}
            Some(Err(flaw)) => {
                let error = format!("headers cannot be read again: {flaw}");
                self.port.stats.message(&error);
                self.warner.note(&self.port.name, &error, "those before are sent until they can", now.mono_ns);
            }
            None => {
                let error = "headers cannot be read again in time";
                self.warner.note(&self.port.name, error, "those before are sent until they can", now.mono_ns);
            }
        }
        Poll::Ready(())
    }

    /// There was an answer: the breaker may close, and what waited for that goes.
    fn note_answer(&mut self, at: usize, now: Now) {
        if self.breaker.answered(at, self.in_flight) {
            self.make_due(now);
            self.note_closed(now);
        }
    }

    fn note_closed(&mut self, now: Now) {
        self.port.stats.breaker_closed.add(1);
        self.port.breaker.put(BreakerState::Closed, now.wall_ns);
        self.breaker_warner.closed(&self.port.name, now.mono_ns);
    }

    /// What waits for its next try has it at once, and short waits after that.
    fn make_due(&mut self, now: Now) {
        for held in self.slots.iter_mut().flatten() {
            if let TryStage::Waiting { until_ns } = &mut held.stage {
                *until_ns = now.mono_ns;
                held.tries = held.tries.min(1);
            }
        }
    }

    /// Starts a try.
    fn try_now(&mut self, at: usize, now: Now) {
        let held = self.slots[at].as_mut().expect("a try is of a held batch");
        // what the destination may have already comes again as it was (E7); all else goes by the settings as they are
        if held.packed != self.destination.compression && !held.ambiguous {
            held.packed = self.destination.compression;
            (held.job.encoding, held.job.body) = pack(held.packed, &held.part.bytes);
        }
        (held.job.timeout, held.way) = (self.destination.timeout, self.way.number);
        held.stage = TryStage::Flying { until_ns: now.mono_ns + self.destination.timeout.as_nanos() as u64 };
        if held.tries > 0 {
            self.port.stats.retries.add(1);
        }
        if held.ambiguous {
            self.port.stats.resent_ambiguous.add(1);
        }
        held.tries = held.tries.saturating_add(1);
        self.way.exporter.start(at, held.job.clone());
    }

    /// Takes batches into free slots.
    fn fill(&mut self, now: Now) {
        if now.mono_ns < self.quiet_until_ns {
            return;
        }
        // over: no timer of it is left behind, or the loop would spin on a time that has passed
        self.quiet_until_ns = 0;
        for at in 0..self.in_flight {
            while self.slots[at].is_none() && (self.breaker.is_closed() || self.oldest().is_none()) {
                let Some(batch) = self.take() else { return };
                // nothing has been tried yet: it is due at once
                let stage = TryStage::Waiting { until_ns: now.mono_ns };
                let part = Encoded { bytes: batch.bytes.clone(), points: batch.points, flushed: batch.flushed };
                let job = Job { body: Bytes::new(), encoding: None, timeout: self.destination.timeout };
                let (packed, way) = (self.destination.compression, self.way.number);
                let (rest, tries, ambiguous, sequence) = (Vec::new(), 0, false, self.taken);
                self.taken += 1;
                self.slots[at] =
                    Some(BatchInFlight { batch, part, rest, job, tries, ambiguous, packed, way, sequence, stage });
                if self.prepare(at, now) {
                    self.launch(at, now);
                }
            }
        }
    }

    /// The next batch of the queue, if it may begin.
    fn take(&mut self) -> Option<Arc<Encoded>> {
        let hands_over = self.ending.as_ref().is_some_and(|ending| ending.hands_over);
        let pop = || if hands_over { None } else { self.port.store.pop() };
        let batch = self.next.take().or_else(pop)?;
        let at = |batch: &Encoded| (batch.flushed.epoch, batch.flushed.cut);
        let is_early = |held: &BatchInFlight| at(&held.batch) < at(&batch);
        if self.destination.order == DeliveryOrder::ByCut && self.slots.iter().flatten().any(is_early) {
            self.next = Some(batch);
            return None;
        }
        Some(batch)
    }

    /// Packs the part that comes next, split until it is within what receivers take; false if nothing was left of it.
    fn prepare(&mut self, at: usize, now: Now) -> bool {
        while let Some(held) = &mut self.slots[at] {
            if held.part.bytes.len() <= MAX_BODY_BYTES_DEFAULT {
                held.packed = self.destination.compression;
                let (encoding, body) = pack(held.packed, &held.part.bytes);
                held.job = Job { body, encoding, timeout: self.destination.timeout };
                (held.tries, held.ambiguous) = (0, false);
                held.stage = TryStage::Waiting { until_ns: now.mono_ns };
                return true;
            }
            if !held.split() {
                self.port.stats.requests_too_large.add(1);
                let error = format!("a request of {} bytes is over the limit of 64 MiB", held.part.bytes.len());
                self.warner.note(&self.port.name, &error, "send fewer points per request", now.mono_ns);
                let lost = (Dropped::TooLarge, held.part.points);
                self.leave(at, Some(lost));
                continue;
            }
            self.port.stats.requests_split.add(1);
        }
        false
    }

    /// The part has its outcome: the next one is its turn, or the batch is done.
    fn finish(&mut self, at: usize, lost: Option<(Dropped, u64)>, now: Now) {
        self.leave(at, lost);
        self.prepare(at, now);
    }

    /// Settles the part, and takes the next one if there is one.
    fn leave(&mut self, at: usize, lost: Option<(Dropped, u64)>) {
        let held = self.slots[at].as_mut().expect("an outcome belongs to a held batch");
        self.port.leave(&held.part, lost);
        match held.rest.pop() {
            Some(next) => held.part = next,
            None => {
                self.port.store.release(held.batch.bytes.len());
                self.slots[at] = None;
            }
        }
    }

    fn settle(&mut self, at: usize, outcome: Outcome, now: Now, options: &Options) {
        if outcome.is_answer() {
            self.note_answer(at, now);
        }
        let stats = &self.port.stats;
        let name = &self.port.name;
        match outcome {
            Outcome::Delivered { rejected, message } => {
                let points = self.slots[at].as_ref().expect("an outcome belongs to a held batch").part.points;
                let rejected = rejected.min(points);
                self.warner.recovered(name);
                if message == UNREADABLE {
                    stats.requests_ok.add(1);
                    stats.answers_unreadable.add(1);
                    stats.message(&message);
                } else if rejected > 0 || !message.is_empty() {
                    stats.requests_partial.add(1);
                    let text = format!("{rejected} of {points} points rejected: {message}");
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
                self.finish(at, lost, now);
            }
            Outcome::Refused(Why { what, remedy }) => {
                stats.requests_refused.add(1);
                let remedy = remedy.unwrap_or("check the destination's address and what it accepts");
                self.drop_part(at, Dropped::Refused, &what, remedy, now);
            }
            Outcome::Unauthorized(why) => {
                stats.tries_unauthorized.add(1);
                self.retry(at, &why, Retry::Unauthorized, now, options);
            }
            Outcome::TooLarge(what) => self.too_large(at, &what, now),
            Outcome::ResponseTooLarge => {
                stats.responses_too_large.add(1);
                let what = "the answer is over the limit of 4 MiB";
                self.drop_part(at, Dropped::ResponseTooLarge, what, "check what listens at that address", now);
            }
            Outcome::Retry { what, after } => {
                stats.tries_retryable.add(1);
                self.retry(at, &what.into(), Retry::Asked(after), now, options);
            }
            Outcome::Disconnected(why) => {
                stats.tries_disconnected.add(1);
                self.retry(at, &why, Retry::Failed { is_sent: true }, now, options);
            }
            Outcome::Unconnected(why) => {
                stats.tries_unconnected.add(1);
                self.retry(at, &why, Retry::Failed { is_sent: false }, now, options);
            }
        }
    }

    /// The destination takes no request of this size (413): it gets two smaller ones, down to single points.
    fn too_large(&mut self, at: usize, what: &str, now: Now) {
        let held = self.slots[at].as_mut().expect("an outcome belongs to a held batch");
        let bytes = held.part.bytes.len();
        if bytes <= SPLIT_BYTES_MIN {
            return self.drop_batch(at, what, now);
        }
        if !held.split() {
            self.port.stats.requests_too_large.add(1);
            let what = format!("{what}: {bytes} bytes that cannot be split further");
            let remedy = "let the destination take larger requests; these points are dropped";
            return self.drop_part(at, Dropped::TooLarge, &what, remedy, now);
        }
        self.port.stats.requests_split.add(1);
        self.port.stats.message(what);
        let what = format!("{what}: a request of {bytes} bytes is sent as smaller ones");
        self.warner.note(&self.port.name, &what, "let the destination take requests of 2 MiB", now.mono_ns);
        self.prepare(at, now);
    }

    /// Nothing is small enough for it: the parts that are left are not tried.
    fn drop_batch(&mut self, at: usize, what: &str, now: Now) {
        self.port.stats.requests_too_large.add(1);
        let what = format!("{what}: even a request of at most {SPLIT_BYTES_MIN} bytes");
        self.port.stats.message(&what);
        let remedy = "check the destination's address and its limit of request bodies; these points are dropped";
        self.warner.failed(&self.port.name, &what, remedy, now.mono_ns);
        while let Some(held) = &self.slots[at] {
            let lost = (Dropped::TooLarge, held.part.points);
            self.leave(at, Some(lost));
        }
    }

    fn drop_part(&mut self, at: usize, reason: Dropped, what: &str, remedy: &str, now: Now) {
        let held = self.slots[at].as_ref().expect("an outcome belongs to a held batch");
        self.port.stats.message(what);
        self.warner.failed(&self.port.name, what, remedy, now.mono_ns);
        self.finish(at, Some((reason, held.part.points)), now);
    }

    fn retry(&mut self, at: usize, why: &Why, retry: Retry, now: Now, options: &Options) {
        self.port.stats.message(&why.what);
        let remedy = why
            .remedy
            .unwrap_or("check that the destination runs and can be reached; the data is kept and tried again");
        self.warner.failed(&self.port.name, &why.what, remedy, now.mono_ns);
        let held = self.slots[at].as_mut().expect("an outcome belongs to a held batch");
        let after = if let Retry::Asked(after) = retry { after } else { None };
        let wait = wait_ns(held.tries, after, options.backoff_first, options.backoff_max, &mut self.chance);
        let until_ns = now.mono_ns.saturating_add(wait);
        if after.is_some_and(|after| !after.is_zero()) {
            self.port.stats.throttled.add(1);
            self.quiet_until_ns = self.quiet_until_ns.max(until_ns);
        }
        held.ambiguous |= matches!(retry, Retry::Failed { is_sent: true });
        held.stage = TryStage::Waiting { until_ns };
        let opened = match retry {
            Retry::Unauthorized => self.breaker.refused(at, until_ns),
            Retry::Asked(_) | Retry::Failed { .. } => self.breaker.failed(at, until_ns, self.in_flight),
        };
        if opened {
            self.port.stats.breaker_opened.add(1);
            self.port.breaker.put(BreakerState::Open, now.wall_ns);
            self.breaker_warner.opened(&self.port.name, &why.what, remedy, now.mono_ns);
        }
    }

    /// When this destination wants its next turn without an event, ns.
    pub(super) fn next_ns(&self) -> Option<u64> {
        if self.woken.0.load(Ordering::Relaxed) || self.ways().any(|way| way.exporter.is_starved()) {
            return Some(0);
        }
        let timers = self.slots.iter().enumerate().filter_map(|(at, slot)| match slot.as_ref()?.stage {
            TryStage::Flying { until_ns } => Some(until_ns),
            // one beyond the slots that there may be waits for one of these, and all wait for the probe
            TryStage::Waiting { until_ns } => {
                (at < self.in_flight && self.breaker.is_closed()).then(|| until_ns.max(self.quiet_until_ns))
            }
        });
        let reading = self.header_reader.as_ref().and_then(HeaderReader::until_ns);
        let probe = self.breaker.probe_at_ns().map(|at| reading.unwrap_or(at).max(self.quiet_until_ns));
        let probe = probe.filter(|_| self.oldest().is_some());
        // batches that wait in the queue want to be taken when the silence ends
        let quiet = (self.quiet_until_ns > 0 && self.port.store.bytes() > 0).then_some(self.quiet_until_ns);
        let free = self.slots.iter().any(Option::is_none);
        let end = self.ending.as_ref().and_then(|ending| ending.until_ns);
        let exporters = self.ways().filter_map(|way| way.exporter.next_ns());
        timers.chain(probe).chain(quiet.filter(|_| free)).chain(exporters).chain(end).min()
    }

    /// Nearly as much waits as may.
    pub(super) fn is_pressed(&self) -> bool {
        self.port.store.bytes() > self.destination.queue_bytes / 8 * 7
    }

    pub(super) fn is_empty(&self) -> bool {
        self.port.store.bytes() == 0
    }

    /// Invariant 1, at exit: counts the points still held, which the ledger calls queued.
    pub(super) fn count_left(mut self) -> u64 {
        let held: u64 = self.slots.iter_mut().filter_map(Option::take).map(|held| held.points()).sum();
        let held = held + self.next.take().map_or(0, |batch| batch.points);
        let queued: u64 = std::iter::from_fn(|| self.port.store.pop()).map(|batch| batch.points).sum();
        held + queued
    }
}
