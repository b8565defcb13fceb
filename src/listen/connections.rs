//! What all doors of a shard share: listeners, connections in numbered slots, turns, timers, draining.
//!
//! Does not know what is served: that is up to the `Session` of a connection, and `B` is what a session works with.
//! Single-threaded.
//!
//! Invariants:
//! 1. A slot stands in `ready` at most once.
//! 2. Tokens are `base`, the listeners, then the slots. A token of a closed connection may still come in the same batch
//!    of events, and then counts for the next connection in that slot: readiness that is not true costs one `WouldBlock`
//!    and nothing else.
//! 3. A session that ended is drained: its last bytes go out, the write side is shut, what the peer still sends is thrown
//!    away (`limits::LINGER`, `limits::LINGER_BYTES_MAX`), so that an answer is not lost to a reset.
//! 4. Over the limit a newcomer gets the place of another connection (`make_room`), or is refused. Only then is a peer
//!    held to its share: one that is alone may have all places.
//! 5. What is done to all connections (turns, timers, giving way) is done in parts, for as long as `goes_on` says, and the
//!    next call goes on where this one stopped: many connections do not make a turn of the shard's loop longer.
//!
//! Bounds: `connections_max` slots a group; `limits::ACCEPTS_PER_TURN_MAX` accepts and `limits::READ_TURN_BYTES` a connection
//! and turn.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use super::stats::ConnectionStats;
use crate::clock::Now;
use crate::limits;
use crate::model::Peer;
use crate::net::accept::{Accepted, Reserve};
use crate::net::network::{Network, Readiness, Socket};
use crate::net::wire::{Discarded, ReadScratch, Wire};

/// What a session wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SessionStep {
    /// Events or time.
    Wait,
    /// Another turn soon.
    Again,
    /// The end: send what is left, then close.
    Close,
    /// The end, because it took too long.
    TimedOut,
}

/// One connection's protocol, over sockets `T`.
pub(super) trait Session<B, T> {
    /// Reads, answers, writes, as far as it goes without blocking.
    fn drive(&mut self, wire: &Rc<Wire<T>>, serving: &mut B) -> SessionStep;
    /// Looks at the clock.
    fn on_timer(&mut self, wire: &Rc<Wire<T>>, serving: &mut B) -> SessionStep;
    /// Finishes what is begun and takes nothing new.
    fn stop(&mut self, serving: &mut B) -> SessionStep;
    /// Whether nothing is lost with it: no request is begun, none in hand, no answer under way.
    fn is_idle(&self, wire: &Wire<T>) -> bool;
    /// Says how fast each of its bodies comes that has to give way to other peers', bytes a second.
    fn paces(&self, _: &Wire<T>, _: &B, _: &mut dyn FnMut(u64)) {}
    /// Ends the slowest of them.
    fn give_way(&mut self, _: &Rc<Wire<T>>, _: &mut B) -> SessionStep {
        SessionStep::Wait
    }
    /// The connection is gone: gives back what unfinished requests hold.
    fn abandon(&mut self, serving: &mut B);
}

/// What can be asked of a session at any time.
pub(super) trait InFlight {
    /// Requests that are not answered yet.
    fn in_flight(&self) -> usize;
}

struct Entry<L> {
    listener: L,
    group: u8,
    ready: bool,
    pause_until_ns: Option<u64>,
}

enum Phase<S> {
    Live(S),
    Draining { since_ns: u64, discard_left: usize, is_shut: bool },
}

struct Connection<S, T> {
    phase: Phase<S>,
    wire: Rc<Wire<T>>,
    group: u8,
    peer: Peer,
    /// When a byte came or went last.
    active_ns: u64,
    is_queued: bool,
    seen_in: u64,
    seen_out: u64,
}

/// What becomes of a connection after it was looked at.
enum Fate {
    Keep,
    Queue,
    Drop,
}

impl<S, T: Socket> Connection<S, T> {
    fn turn<B>(&mut self, serving: &mut B, now: Now, stats: &mut ConnectionStats) -> Fate
    where
        S: Session<B, T>,
    {
        self.wire.begin_turn(limits::READ_TURN_BYTES, now.mono_ns);
        let next = match &mut self.phase {
            Phase::Live(session) => session.drive(&self.wire, serving),
            Phase::Draining { .. } => return self.drain(now),
        };
        self.settle(next, serving, now, stats)
    }

    fn on_timer<B>(&mut self, serving: &mut B, now: Now, stats: &mut ConnectionStats) -> Fate
    where
        S: Session<B, T>,
    {
        let stalled_ns = self.wire.write_blocked_since_ns().map_or(0, |since_ns| now.mono_ns.saturating_sub(since_ns));
        let is_stalled = stalled_ns > limits::WRITE_STALL_TIMEOUT.as_nanos() as u64;
        self.wire.begin_turn(limits::READ_TURN_BYTES, now.mono_ns);
        let next = match &mut self.phase {
            Phase::Live(session) if is_stalled => {
                session.abandon(serving);
                stats.timed_out += 1;
                return Fate::Drop;
            }
            Phase::Live(session) => session.on_timer(&self.wire, serving),
            Phase::Draining { .. } => return self.drain(now),
        };
        self.settle(next, serving, now, stats)
    }

    fn stop<B>(&mut self, serving: &mut B, now: Now, stats: &mut ConnectionStats) -> Fate
    where
        S: Session<B, T>,
    {
        match &mut self.phase {
            Phase::Live(session) => {
                let next = session.stop(serving);
                self.settle(next, serving, now, stats)
            }
            Phase::Draining { .. } => Fate::Keep,
        }
    }

    fn is_idle<B>(&self) -> bool
    where
        S: Session<B, T>,
    {
        match &self.phase {
            Phase::Live(session) => !self.is_queued && self.wire.is_flushed() && session.is_idle(&self.wire),
            Phase::Draining { .. } => self.wire.is_flushed(),
        }
    }

    fn settle<B>(&mut self, next: SessionStep, serving: &mut B, now: Now, stats: &mut ConnectionStats) -> Fate
    where
        S: Session<B, T>,
    {
        if next == SessionStep::TimedOut {
            stats.timed_out += 1;
        }
        let Phase::Live(session) = &mut self.phase else { return Fate::Keep };
        match next {
            SessionStep::Wait | SessionStep::Again => match self.wire.flush_out() {
                Err(_) => {
                    session.abandon(serving);
                    Fate::Drop
                }
                Ok(_) if next == SessionStep::Again || self.wire.is_hungry() => Fate::Queue,
                Ok(_) => Fate::Keep,
            },
            SessionStep::Close | SessionStep::TimedOut => {
                session.abandon(serving);
                self.phase =
                    Phase::Draining { since_ns: now.mono_ns, discard_left: limits::LINGER_BYTES_MAX, is_shut: false };
                self.drain(now)
            }
        }
    }

    fn drain(&mut self, now: Now) -> Fate {
        let Phase::Draining { since_ns, discard_left, is_shut } = &mut self.phase else { return Fate::Keep };
        let past = |since_ns: u64, limit: Duration| now.mono_ns.saturating_sub(since_ns) > limit.as_nanos() as u64;
        match self.wire.flush_out() {
            Err(_) => return Fate::Drop,
            Ok(false) if past(*since_ns, limits::WRITE_STALL_TIMEOUT) => return Fate::Drop,
            Ok(false) => return Fate::Keep,
            Ok(true) => {}
        }
        if !*is_shut {
            self.wire.shutdown_write();
            *is_shut = true;
            *since_ns = now.mono_ns;
        }
        if past(*since_ns, limits::LINGER) || *discard_left == 0 {
            return Fate::Drop;
        }
        let bytes_max = limits::READ_TURN_BYTES.min(*discard_left);
        match self.wire.discard(bytes_max) {
            Discarded::End => Fate::Drop,
            Discarded::Empty => Fate::Keep,
            Discarded::More => {
                *discard_left -= bytes_max;
                Fate::Queue
            }
        }
    }
}

/// Listeners and connections.
pub(super) struct Connections<S, N: Network> {
    make: fn(usize, Now) -> S,
    network: N,
    base: usize,
    entries: Vec<Entry<N::Listener>>,
    entry_count: usize,
    slots: Vec<Option<Box<Connection<S, N::Socket>>>>,
    free: Vec<u32>,
    ready: VecDeque<u32>,
    connections_max: usize,
    /// Connections of each peer in each group.
    peers: HashMap<(u8, Peer), usize>,
    /// Connections in each group.
    groups: HashMap<u8, usize>,
    reserve: Reserve,
    scratch: ReadScratch,
    next_look_ns: u64,
    /// Where the look at all timers that is under way goes on.
    look_from: Option<usize>,
    /// Where the next look for bodies that have to give way begins.
    give_way_from: usize,
    /// Those found: how fast, and in which slot.
    slow: Vec<(u64, u32)>,
    /// Slots that were looked at for them since the last find.
    fruitless: usize,
    /// Counters of connections.
    pub stats: ConnectionStats,
}

impl<S, N: Network> Connections<S, N> {
    /// Watches `listeners` with tokens from `base` on; the number beside each says which group its connections are in,
    /// and `connections_max` is for each group. `make` begins a session at the listener of this index.
    ///
    /// # Errors
    /// The network's own, from watching, or the OS's from opening the spare descriptor.
    pub(super) fn new(
        mut listeners: Vec<(N::Listener, u8)>,
        network: N,
        base: usize,
        connections_max: usize,
        make: fn(usize, Now) -> S,
    ) -> io::Result<Self> {
        for (index, (listener, _)) in listeners.iter_mut().enumerate() {
            network.watch_listener(listener, base + index)?;
        }
        Ok(Connections {
            make,
            network,
            base,
            entry_count: listeners.len(),
            entries: listeners
                .into_iter()
                .map(|(listener, group)| Entry { listener, group, ready: true, pause_until_ns: None })
                .collect(),
            slots: Vec::new(),
            free: Vec::new(),
            ready: VecDeque::new(),
            connections_max,
            peers: HashMap::new(),
            groups: HashMap::new(),
            reserve: Reserve::new()?,
            scratch: ReadScratch::default(),
            next_look_ns: 0,
            look_from: None,
            give_way_from: 0,
            slow: Vec::new(),
            fruitless: 0,
            stats: ConnectionStats::default(),
        })
    }

    /// Notes what an event says; work follows in `turn`.
    pub(super) fn on_event(&mut self, event: Readiness) {
        let Some(index) = event.token.checked_sub(self.base) else { return };
        if index < self.entry_count {
            if let Some(entry) = self.entries.get_mut(index) {
                entry.ready = true;
            }
            return;
        }
        let slot = index - self.entry_count;
        if let Some(Some(connection)) = self.slots.get_mut(slot) {
            connection.wire.on_event(event);
            if !connection.is_queued {
                connection.is_queued = true;
                self.ready.push_back(slot as u32);
            }
        }
    }

    /// Every connection is driven in the next turn, as if something had happened to it.
    pub(super) fn rouse(&mut self) {
        for (slot, connection) in self.slots.iter_mut().enumerate() {
            if let Some(connection) = connection
                && !std::mem::replace(&mut connection.is_queued, true)
            {
                self.ready.push_back(slot as u32);
            }
        }
    }

    /// Accepts, and drives every connection that is ready once, or as many as `goes_on` after each. `true` when more can be
    /// done without waiting.
    pub(super) fn turn<B>(&mut self, serving: &mut B, now: Now, goes_on: impl Fn(&B) -> bool) -> bool
    where
        S: Session<B, N::Socket>,
    {
        self.accept_all(serving, now);
        for _ in 0..self.ready.len() {
            let Some(slot) = self.ready.pop_front() else { break };
            let slot = slot as usize;
            let Some(mut connection) = self.slots[slot].take() else { continue };
            connection.is_queued = false;
            let fate = connection.turn(serving, now, &mut self.stats);
            self.after(slot, connection, fate, now);
            if !goes_on(serving) {
                break;
            }
        }
        !self.ready.is_empty() || self.entries.iter().any(|entry| entry.ready)
    }

    /// Ends bodies whose peers have to give way to others, as many as `goes_on` after each: the slowest first of all, or of
    /// those that `limits::GIVE_WAY_LOOKS_MAX` looks find. `true` when another call may find more.
    pub(super) fn give_way<B>(&mut self, serving: &mut B, now: Now, goes_on: impl Fn(&B) -> bool) -> bool
    where
        S: Session<B, N::Socket>,
    {
        let (mut looks, mut visited, mut slow) = (0, 0, std::mem::take(&mut self.slow));
        while visited < self.slots.len() && looks < limits::GIVE_WAY_LOOKS_MAX {
            let slot = (self.give_way_from + visited) % self.slots.len();
            visited += 1;
            looks += 1;
            let Some(Connection { phase: Phase::Live(session), wire, .. }) = self.slots[slot].as_deref() else {
                continue;
            };
            session.paces(wire, serving, &mut |pace| {
                looks += 1;
                slow.push((pace, slot as u32));
            });
        }
        let is_all = visited == self.slots.len();
        self.give_way_from = if is_all { 0 } else { (self.give_way_from + visited) % self.slots.len() };
        slow.sort_unstable();
        let is_found = !slow.is_empty();
        for (_, slot) in slow.drain(..).take(limits::GIVE_WAY_PER_TURN_MAX) {
            if !goes_on(serving) {
                break;
            }
            self.end_slowest(slot as usize, serving, now);
        }
        self.slow = slow;
        // once round without finding any is enough
        self.fruitless = if is_found { 0 } else { self.fruitless + visited };
        is_found || self.fruitless < self.slots.len()
    }

    fn end_slowest<B>(&mut self, slot: usize, serving: &mut B, now: Now)
    where
        S: Session<B, N::Socket>,
    {
        let Some(mut connection) = self.slots[slot].take() else { return };
        connection.wire.begin_turn(limits::READ_TURN_BYTES, now.mono_ns);
        let next = match &mut connection.phase {
            Phase::Live(session) => session.give_way(&connection.wire, serving),
            Phase::Draining { .. } => SessionStep::Wait,
        };
        let fate = connection.settle(next, serving, now, &mut self.stats);
        self.after(slot, connection, fate, now);
    }

    /// When `on_timers` wants to be called, at the latest.
    pub(super) fn next_timeout(&self, now: Now) -> Option<Duration> {
        let look = (self.stats.open > 0).then_some(if self.look_from.is_some() { 0 } else { self.next_look_ns });
        let pause = self.entries.iter().filter_map(|entry| entry.pause_until_ns).min();
        let next_ns = look.into_iter().chain(pause).min()?;
        Some(Duration::from_nanos(next_ns.saturating_sub(now.mono_ns)))
    }

    /// Looks at all connections every `limits::TIMER_STEP`, at as many in one call as `goes_on` after each, and resumes
    /// accepting.
    pub(super) fn on_timers<B>(&mut self, serving: &mut B, now: Now, goes_on: impl Fn(&B) -> bool)
    where
        S: Session<B, N::Socket>,
    {
        for entry in &mut self.entries {
            if entry.pause_until_ns.is_some_and(|until_ns| until_ns <= now.mono_ns) {
                entry.pause_until_ns = None;
                entry.ready = true;
            }
        }
        if self.look_from.is_none() && now.mono_ns < self.next_look_ns {
            return;
        }
        let from = self.look_from.take().unwrap_or_else(|| {
            self.next_look_ns = now.mono_ns + limits::TIMER_STEP.as_nanos() as u64;
            0
        });
        for slot in from..self.slots.len() {
            let Some(mut connection) = self.slots[slot].take() else { continue };
            let fate = connection.on_timer(serving, now, &mut self.stats);
            self.after(slot, connection, fate, now);
            if !goes_on(serving) {
                self.look_from = Some(slot + 1);
                return;
            }
        }
    }

    /// Closes the listeners and asks every session to finish.
    pub(super) fn stop<B>(&mut self, serving: &mut B, now: Now)
    where
        S: Session<B, N::Socket>,
    {
        // Connections that wait in the kernel are reset with the listener: their clients go elsewhere at once.
        self.entries.clear();
        for slot in 0..self.slots.len() {
            let Some(mut connection) = self.slots[slot].take() else { continue };
            let fate = connection.stop(serving, now, &mut self.stats);
            self.after(slot, connection, fate, now);
        }
    }

    /// Whether no request is unanswered and no answer unsent.
    pub(super) fn is_idle(&self) -> bool
    where
        S: InFlight,
    {
        self.slots.iter().flatten().all(|connection| {
            let in_flight = match &connection.phase {
                Phase::Live(session) => session.in_flight(),
                Phase::Draining { .. } => 0,
            };
            in_flight == 0 && connection.wire.is_flushed()
        })
    }

    fn accept_all<B>(&mut self, serving: &mut B, now: Now)
    where
        S: Session<B, N::Socket>,
    {
        for index in 0..self.entries.len() {
            if self.entries[index].pause_until_ns.is_some() {
                self.entries[index].ready = false;
            }
            for _ in 0..limits::ACCEPTS_PER_TURN_MAX {
                if !self.entries[index].ready {
                    break;
                }
                match self.reserve.accept(&self.network, &self.entries[index].listener, now.mono_ns) {
                    Accepted::Socket(socket, peer) => self.admit(index, socket, peer, serving, now),
                    Accepted::Nobody => self.entries[index].ready = false,
                    Accepted::Pause { until_ns } => {
                        self.stats.accept_pauses += 1;
                        self.entries[index].ready = false;
                        self.entries[index].pause_until_ns = Some(until_ns);
                    }
                }
            }
        }
    }

    fn admit<B>(&mut self, entry: usize, socket: N::Socket, peer: Peer, serving: &mut B, now: Now)
    where
        S: Session<B, N::Socket>,
    {
        let group = self.entries[entry].group;
        let open = self.groups.get(&group).copied().unwrap_or_default();
        if open >= self.connections_max && !self.make_room(group, peer, serving, now) {
            self.stats.refused += 1;
            return;
        }
        let mut wire = Wire::new(socket, self.scratch.clone(), peer);
        let slot = match self.free.pop() {
            Some(slot) => slot as usize,
            None => {
                self.slots.push(None);
                self.slots.len() - 1
            }
        };
        let token = self.base + self.entry_count + slot;
        if self.network.watch(wire.socket_mut(), token).is_err() {
            self.stats.refused += 1;
            self.free.push(slot as u32);
            return;
        }
        self.stats.open += 1;
        *self.groups.entry(group).or_default() += 1;
        *self.peers.entry((group, peer)).or_default() += 1;
        self.stats.accepted += 1;
        let phase = Phase::Live((self.make)(entry, now));
        let connection = Connection {
            phase,
            wire: Rc::new(wire),
            group,
            peer,
            active_ns: now.mono_ns,
            is_queued: false,
            seen_in: 0,
            seen_out: 0,
        };
        self.slots[slot] = Some(Box::new(connection));
    }

    /// Closes a connection, so that one of `peer` has its place; `false` when none has to go.
    fn make_room<B>(&mut self, group: u8, peer: Peer, serving: &mut B, now: Now) -> bool
    where
        S: Session<B, N::Socket>,
    {
        let Some(slot) = self.whom_to_close(group, peer, now) else { return false };
        let Some(mut connection) = self.slots[slot].take() else { return false };
        if connection.is_idle() {
            // says goodbye as its protocol has it, and looks once more whether a request has come
            let mut fate = connection.stop(serving, now, &mut self.stats);
            if !matches!(fate, Fate::Drop) {
                fate = connection.turn(serving, now, &mut self.stats);
            }
            if !matches!(fate, Fate::Drop) && !connection.is_idle() {
                // which is answered, and then the connection closes
                self.after(slot, connection, fate, now);
                return false;
            }
        }
        if let Phase::Live(session) = &mut connection.phase {
            session.abandon(serving);
        }
        self.stats.refused += 1;
        self.after(slot, connection, Fate::Drop, now);
        true
    }

    /// The connection that has to go for one of `peer`. Of the peer with most connections, if it would still have more than
    /// the newcomer: the one that is idle for longest, or else the one without progress for longest. Where no peer has that
    /// many, it is the one that is idle for longest, once that is `limits::IDLE_YIELDS_AFTER`, but never one of another peer
    /// that has no more than the newcomer.
    fn whom_to_close<B>(&self, group: u8, peer: Peer, now: Now) -> Option<usize>
    where
        S: Session<B, N::Socket>,
    {
        let count = |peer| self.peers.get(&(group, peer)).copied().unwrap_or_default();
        let own = count(peer);
        let most = self.peers.iter().filter(|((at, _), _)| *at == group).max_by_key(|(_, count)| **count);
        let greedy = most.filter(|(_, count)| **count >= own + 2).map(|((_, peer), _)| *peer);
        let here = self.slots.iter().enumerate().filter_map(|(slot, connection)| Some((slot, connection.as_ref()?)));
        let here = here.filter(|(_, connection)| connection.group == group);
        let chosen = match greedy {
            Some(greedy) => here
                .filter(|(_, connection)| connection.peer == greedy)
                .min_by_key(|(_, connection)| (!connection.is_idle(), connection.active_ns)),
            None => here
                .filter(|(_, connection)| connection.peer == peer || count(connection.peer) > own)
                .filter(|(_, connection)| {
                    let quiet_ns = now.mono_ns.saturating_sub(connection.active_ns);
                    quiet_ns >= limits::IDLE_YIELDS_AFTER.as_nanos() as u64 && connection.is_idle()
                })
                .min_by_key(|(_, connection)| connection.active_ns),
        };
        chosen.map(|(slot, _)| slot)
    }

    fn after(&mut self, slot: usize, mut connection: Box<Connection<S, N::Socket>>, fate: Fate, now: Now) {
        let (bytes_in, bytes_out) = (connection.wire.bytes_in(), connection.wire.bytes_out());
        if (connection.seen_in, connection.seen_out) != (bytes_in, bytes_out) {
            connection.active_ns = now.mono_ns;
        }
        self.stats.wire_bytes_in += bytes_in - connection.seen_in;
        self.stats.wire_bytes_out += bytes_out - connection.seen_out;
        (connection.seen_in, connection.seen_out) = (bytes_in, bytes_out);
        match fate {
            Fate::Keep => {}
            Fate::Queue if connection.is_queued => {}
            Fate::Queue => {
                connection.is_queued = true;
                self.ready.push_back(slot as u32);
            }
            Fate::Drop => {
                self.stats.open -= 1;
                let (group, peer) = (connection.group, connection.peer);
                self.groups.entry(group).and_modify(|count| *count -= 1);
                if let Some(count) = self.peers.get_mut(&(group, peer)) {
                    *count -= 1;
                    if *count == 0 {
                        self.peers.remove(&(group, peer));
                    }
                }
                self.free.push(slot as u32);
                return;
            }
        }
        self.slots[slot] = Some(connection);
    }
}
