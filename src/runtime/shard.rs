//! One shard: a thread that receives, aggregates, switches at cuts, and merges what it owns.
//!
//! ```text
//!   poll ─► events ─► doors (each request: decode, stage, commit) ─► cut due? switch ─► closed by all? merge a slice ─► publish
//! ```
//!
//! Progress: never waits for another thread but in `poll`. Bounds: a turn serves each connection its share, then one
//! slice of `limits::SLICE` of merging; `poll` waits at most `POLL_MAX`.
//!
//! A full queue pauses nobody: what is encoded waits beside it (`deliver::Hold`) until the next merge of this shard.

use super::bodies::Asked;
use super::clock;
use super::outlet::Queues;
use super::shared::{DRAINING, LAST_CUT, QUITTING, RUNNING, Readings, Shared};
use crate::capture::Tap;
use crate::clock::Now;
use crate::flush::{Directory, Owner, Work};
use crate::ingest::{self, Ingest, Sliced};
use crate::ledger::{Book, Note};
use crate::limits::{
    GIVE_BACK_CUTS, GIVE_BACK_FALL_BYTES, GIVE_BACK_LOOK_BYTES, MARGIN_ASKED_BYTES, NO_MEMORY_RETRY_MS, SLICE,
    SOCKETS_TO_MERGE,
};
use crate::listen::{self, Doors, Exported, Intake};
use crate::model::{Origin, Peer, Refusal};
use crate::net::hops::Hops;
use crate::series::peers::Peers;
use crate::sync::allocator;
use crate::sync::cut::{Due, Switch};
use crate::sync::reclaim;
use crate::telemetry::watch::Watch;
use mio::net::TcpListener;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::Duration;

/// Token of the waker.
pub(super) const WAKE: mio::Token = mio::Token(0);
const DOORS: usize = 1;
/// Longest wait for events: keeps the heartbeat.
const POLL_MAX: Duration = Duration::from_millis(500);
const EVENTS: usize = 256;
/// Longest wait while encoded requests wait for room in a queue: the smallest queue (4 MiB) then moves 400 MB/s.
const HOLD_LOOK: Duration = Duration::from_millis(10);

pub(super) struct Parts {
    pub number: usize,
    pub house: Arc<Shared>,
    pub poll: mio::Poll,
    pub listeners: Vec<TcpListener>,
    pub ingest: Ingest,
    pub owner: Owner,
    pub outlet: Queues,
    pub capture: Option<Tap>,
    pub max_body: usize,
    pub hops: &'static Hops,
    pub connections_max: usize,
    pub sweep_after: u32,
    pub interval_ns: u64,
    pub future_ns: u64,
}

/// What the doors hand bodies to.
struct Core {
    house: Arc<Shared>,
    ingest: Ingest,
    book: Book,
    watch: Watch,
    /// Applied requests are recorded.
    capture: Option<Tap>,
    /// How far ahead of our clock points may be dated, nanoseconds.
    future_ns: u64,
    /// Who asked for room last, and its slot.
    peer: (Peer, u16),
    /// When this turn of the loop began.
    now_ns: u64,
    /// The last cut is behind it, or waits for the request that is being applied: no other one counts any more.
    closed: bool,
}

/// Advice to clients of a process that ends.
const RETRY_AFTER_END_MS: u64 = 1_000;

impl Intake for Core {
    fn export(&mut self, origin: Origin, body: &[u8], part: &mut Option<Box<Sliced>>, now: Now) -> Exported {
        if self.closed && !part.as_ref().is_some_and(|part| part.is_applying()) {
            let why = "shutting down: send it again, to this address once it is back or to another".into();
            let refusal = Refusal::Overloaded { why, retry_after_ms: RETRY_AFTER_END_MS };
            return Exported { end: Some(Err(refusal)), cost_ns: 0 };
        }
        let is_applying = part.as_ref().is_some_and(|part| part.is_applying());
        let has_room = self.house.has_room(0);
        if !has_room && !is_applying {
            *part = None;
            let why = "the system has no memory for this process (ulimit -v): raise it, or lower --memory-limit".into();
            let refusal = Refusal::Overloaded { why, retry_after_ms: NO_MEMORY_RETRY_MS };
            return Exported { end: Some(Err(refusal)), cost_ns: 0 };
        }
        // what has begun is brought to its end, but makes nothing new
        self.house.registry.be_short(!has_room);
        let before = clock::mono();
        let spent_ns = part.as_ref().map_or(0, |part| part.spent_ns);
        self.ingest.accept_until(now.wall_ns.saturating_add(self.future_ns));
        let (end, cost_ns) = self.ingest.export_part(origin, body, part, &mut self.book.tally);
        self.book.publish();
        let spent_ns = spent_ns + clock::mono() - before;
        if let Some(part) = part {
            part.spent_ns = spent_ns;
        }
        if end.is_some() {
            self.watch.request(spent_ns);
        }
        if let (Some(tap), Some(Ok(_))) = (&self.capture, &end) {
            tap.record(origin, now.mono_ns, body);
        }
        let refused = |fault| Refusal::Malformed(ingest::explain(&fault, body));
        Exported { end: end.map(|end| end.map_err(refused)), cost_ns }
    }

    fn reserve(&mut self, peer: Peer, bytes: usize) -> bool {
        if bytes >= MARGIN_ASKED_BYTES && !self.house.has_room(bytes) {
            return false;
        }
        let slot = self.slot(peer);
        let asked = self.house.bodies.reserve(slot, bytes, self.now_ns);
        if asked == Asked::Wanted {
            self.house.wake_all();
        }
        asked == Asked::Granted
    }

    fn release(&mut self, peer: Peer, bytes: usize) {
        let slot = self.slot(peer);
        self.house.bodies.release(slot, bytes);
    }

    fn is_wanted(&self) -> bool {
        self.house.bodies.is_wanted(self.now_ns)
    }

    fn gives_way(&self, peer: Peer) -> bool {
        let slot = Peers::slot_of(self.house.registry.state().hash_one(peer));
        self.house.bodies.gives_way(slot, self.now_ns)
    }
}

impl Core {
    /// The peer's slot; mostly it is the one of the last time.
    fn slot(&mut self, peer: Peer) -> u16 {
        if self.peer.0 != peer {
            self.peer = (peer, Peers::slot_of(self.house.registry.state().hash_one(peer)));
        }
        self.peer.1
    }
}

/// A shard before its thread runs: connections and their sessions never leave the thread they are made on.
pub(super) struct Seed {
    parts: Parts,
    book: Book,
    watch: Watch,
}

struct Shard {
    number: usize,
    house: Arc<Shared>,
    poll: mio::Poll,
    doors: Doors<mio::Registry>,
    core: Core,
    owner: Owner,
    outlet: Queues,
    sweep_after: u32,
    share: Share,
    tide: Tide,
    stopped: bool,
}

/// When memory that was freed is given back to the system: what leaves an index waits until nobody can read it any more,
/// which is looked at only as often as something enters or leaves.
#[derive(Default)]
struct Tide {
    /// What series took at most since it last fell.
    high: usize,
    /// Looks at what waits to be freed that are still due.
    looks_left: usize,
    /// As many looks are due at each of so many cuts more: a reader that was in the way at the first ones is gone by then.
    again: (u32, usize),
    /// When what was due was given back last, nanoseconds.
    tidied_ns: u64,
}

impl Tide {
    /// After a merge, when series take so many bytes.
    fn after_merge(&mut self, bytes: usize) {
        if bytes + GIVE_BACK_FALL_BYTES <= self.high {
            self.again = (GIVE_BACK_CUTS, (self.high - bytes) / GIVE_BACK_LOOK_BYTES);
            self.high = bytes;
        }
        if self.again.0 > 0 {
            self.again.0 -= 1;
            self.looks_left = self.looks_left.max(self.again.1);
        }
        self.high = self.high.max(bytes);
    }

    /// In each turn: some of what waits is freed, and in the end all that is free goes back. `true` when there is more.
    fn turn(&mut self) -> bool {
        if self.looks_left == 0 {
            return false;
        }
        reclaim::collect();
        self.looks_left -= 1;
        if self.looks_left == 0 {
            allocator::give_back();
        }
        self.looks_left > 0
    }

    /// With nothing to do: what is due goes back; nobody else would look.
    fn idle(&mut self, now_ns: u64) {
        if now_ns.saturating_sub(self.tidied_ns) >= POLL_MAX.as_nanos() as u64 {
            self.tidied_ns = now_ns;
            reclaim::collect();
            allocator::tidy();
        }
    }
}

/// What merging may take of a loop that has sockets to serve: see `limits::SOCKETS_TO_MERGE`. Once it has taken half of the
/// interval it takes all it needs.
struct Share {
    /// When the merge began.
    begun_ns: u64,
    /// Time that is due to merging.
    credit_ns: i64,
    /// How long a merge may share.
    hurry_ns: u64,
}

/// A turn that took no longer for its sockets had little to do: nobody is kept waiting.
const QUIET_TURN_NS: u64 = 20_000;

impl Share {
    /// The slice of this turn, whose sockets took `sockets_ns`; nothing if merging has had its share.
    fn slice(&mut self, now_ns: u64, sockets_ns: u64) -> Option<u64> {
        let whole = SLICE.as_nanos() as u64;
        if sockets_ns < QUIET_TURN_NS || now_ns.saturating_sub(self.begun_ns) > self.hurry_ns {
            self.credit_ns = whole as i64;
            return Some(whole);
        }
        self.credit_ns = (self.credit_ns + (sockets_ns / SOCKETS_TO_MERGE) as i64).min(whole as i64);
        u64::try_from(self.credit_ns).ok().filter(|credit| *credit > 0)
    }

    const fn spend(&mut self, ns: u64) {
        self.credit_ns -= ns as i64;
    }
}

impl Seed {
    /// The shard, and what others see of it.
    pub(super) fn new(parts: Parts, directory: Directory) -> (Seed, Readings) {
        let (book, row) = Book::new();
        let (watch, seen) = Watch::new();
        (Seed { parts, book, watch }, Readings { ledger: row, watch: seen, directory })
    }

    /// The thread: pins itself, opens the doors, runs until the process quits.
    pub(super) fn run(self, core: Option<core_affinity::CoreId>) {
        let Seed { parts, book, watch } = self;
        let options = listen::Options {
            max_body: parts.max_body,
            hops: Some(parts.hops),
            connections_max: parts.connections_max,
            ..listen::Options::default()
        };
        let registry = parts.poll.registry().try_clone();
        let mut doors = match registry.and_then(|registry| Doors::new(options, parts.listeners, registry, DOORS)) {
            Ok(doors) => doors,
            Err(error) => {
                tracing::error!(shard = parts.number, %error, "cannot open the doors");
                return;
            }
        };
        doors.show_to(parts.house.registry.examples().clone());
        let nobody = Peer::default();
        let peer = (nobody, Peers::slot_of(parts.house.registry.state().hash_one(nobody)));
        let shard = Shard {
            number: parts.number,
            house: parts.house.clone(),
            poll: parts.poll,
            doors,
            core: Core {
                house: parts.house,
                ingest: parts.ingest,
                book,
                watch,
                capture: parts.capture,
                future_ns: parts.future_ns,
                peer,
                now_ns: clock::mono(),
                closed: false,
            },
            owner: parts.owner,
            outlet: parts.outlet,
            sweep_after: parts.sweep_after,
            share: Share { begun_ns: 0, credit_ns: 0, hurry_ns: parts.interval_ns / 2 },
            tide: Tide::default(),
            stopped: false,
        };
        shard.run(core);
    }
}

impl Shard {
    fn run(mut self, core: Option<core_affinity::CoreId>) {
        if let Some(core) = core
            && !core_affinity::set_for_current(core)
        {
            tracing::warn!(shard = self.number, core = core.id, "cannot pin this shard; it runs unpinned");
        }
        let mut events = mio::Events::with_capacity(EVENTS);
        let (mut busy, mut holding) = (false, false);
        self.beat(clock::mono());
        loop {
            let wait = if busy {
                Duration::ZERO
            } else {
                let longest = if holding { HOLD_LOOK } else { POLL_MAX };
                self.doors.next_timeout(clock::now()).map_or(longest, |timer| timer.min(longest))
            };
            if let Err(error) = self.poll.poll(&mut events, Some(wait))
                && error.kind() != io::ErrorKind::Interrupted
            {
                tracing::error!(shard = self.number, %error, "poll failed");
            }
            let now = clock::now();
            events.iter().filter(|event| event.token() != WAKE).for_each(|event| self.doors.on_event(event.into()));
            if !busy && events.is_empty() {
                self.tide.idle(now.mono_ns);
            }
            self.core.now_ns = now.mono_ns;
            busy = self.doors.turn(&mut self.core, now);
            if self.doors.next_timeout(now) == Some(Duration::ZERO) {
                self.doors.on_timers(&mut self.core, now);
            }
            holding = self.advance_held();
            busy |= self.cuts(now);
            busy |= self.core.ingest.tidy();
            busy |= self.phase(now);
            busy |= self.tide.turn();
            self.tell(now);
            // ORDERING: Acquire pairs with the control's store
            if self.house.phase.load(Acquire) == QUITTING {
                return;
            }
        }
    }

    /// Moves encoded requests on that wait for room in a queue; `true` when some still wait.
    fn advance_held(&mut self) -> bool {
        let holding = self.outlet.advance();
        // ORDERING: Relaxed: for the end of the process, which looks at it behind the board's Acquire
        self.house.holding[self.number].store(holding, Relaxed);
        holding
    }

    /// Switches or merges as the board says; `true` when there is more to merge.
    fn cuts(&mut self, now: Now) -> bool {
        let board = &self.house.board;
        match board.due(self.number) {
            Due::Nothing => {
                self.owner.welcome();
                return false;
            }
            // half a request would be in the last cut, and half in none: it is brought to its end, a slice a turn
            Due::Switch(_) if self.core.ingest.is_applying() && self.house.phase.load(Acquire) >= LAST_CUT => {
                self.core.closed = true;
                return true;
            }
            Due::Switch(cut) => {
                let begun = clock::mono();
                // before the board says that the interval is closed: an owner may look at once
                self.core.ingest.close_exemplars();
                match board.try_switch(self.number, cut.number) {
                    Switch::Switched { last } => {
                        // ORDERING: Acquire pairs with the control's store, which comes before the last cut
                        self.core.closed = self.house.phase.load(Acquire) >= LAST_CUT;
                        self.core.ingest.switch(cut.number + 1);
                        if cut.number.is_multiple_of(self.sweep_after) {
                            self.core.ingest.sweep(self.sweep_after);
                        }
                        if last {
                            self.house.wake_all();
                        }
                    }
                    Switch::AlreadySkipped => {
                        self.core.ingest.reopen_exemplars();
                        self.core.book.tally.note(Note::CutLate, 1);
                    }
                }
                self.core.book.tally.note(Note::CutNs, clock::mono() - begun);
                return true;
            }
            Due::Merge(cut) => {
                if !self.owner.busy() {
                    // a whole interval late; at the end of the process nothing comes after it, and it may go on waiting
                    if self.house.phase.load(Acquire) == RUNNING {
                        self.outlet.give_up();
                    }
                    let cores = (0..board.shards()).map(|shard| board.view(shard)).collect();
                    self.owner.begin(cut.number, cut.times, cores);
                    self.share = Share { begun_ns: clock::mono(), credit_ns: 0, hurry_ns: self.share.hurry_ns };
                }
                let begun = clock::mono();
                let Some(slice) = self.share.slice(begun, begun - now.mono_ns) else { return true };
                let more = || clock::mono() - begun < slice;
                let slab = self.core.ingest.slab_mut();
                let work = self.owner.step(slab, &mut self.core.book.tally, &mut self.outlet, more);
                let (spent, encoding) = (clock::mono() - begun, self.outlet.take_encode_ns());
                self.share.spend(spent);
                self.core.book.tally.note(Note::MergeNs, spent.saturating_sub(encoding));
                self.core.book.tally.note(Note::EncodeNs, encoding);
                self.core.book.publish();
                if work == Work::Done {
                    self.advance_held();
                    self.core.watch.live(self.owner.live() as u64);
                    self.tide.after_merge(self.house.registry.bytes());
                    if self.house.board.merge_done(self.number, cut.number) {
                        let _ = self.house.control.wake();
                    }
                    return false;
                }
            }
        }
        true
    }

    /// Follows the process into its end.
    fn phase(&mut self, now: Now) -> bool {
        // ORDERING: Acquire pairs with the control's store
        if self.house.phase.load(Acquire) == RUNNING {
            return false;
        }
        if !self.stopped {
            self.stopped = true;
            self.doors.stop_accepting(&mut self.core, now);
        }
        if self.doors.idle() && self.house.phase.load(Acquire) == DRAINING {
            // ORDERING: Release: whoever sees it sees the requests before it in the ledger's rows
            if !self.house.drained[self.number].swap(true, Release) {
                let _ = self.house.control.wake();
            }
        }
        false
    }

    /// Publishes what others look at.
    fn tell(&mut self, now: Now) {
        let spent = clock::mono() - now.mono_ns;
        let tally = &mut self.core.book.tally;
        tally.note(Note::Turns, 1);
        tally.note(Note::TurnsOver1Ms, u64::from(spent > 1_000_000));
        tally.note_max(Note::TurnMaxNs, spent);
        self.core.book.publish();
        self.core.watch.turn(spent);
        self.core.watch.publish(self.doors.stats(), self.core.ingest.routes() as u64);
        self.beat(now.mono_ns + spent);
    }

    /// The loop runs.
    fn beat(&self, mono_ns: u64) {
        // ORDERING: a time for the readiness page; publishes nothing
        self.house.heartbeats[self.number].store(mono_ns.max(1), Relaxed);
    }
}
