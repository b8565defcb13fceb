//! What all threads of the process share, and what others read of a shard.
//!
//! Does not know: who waits for what. Bounds: a few words for each shard.

use super::asks::{Ask, Asks};
use super::bodies::Bodies;
use super::gates::GateBoard;
use super::margin::{Margin, is_given};
use crate::flush::Directories;
use crate::ledger;
use crate::series::registry::Registry;
use crate::sync::cut::CutBoard;
use crate::sync::row::CounterRow;
use crate::telemetry::shard_stats;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Phases of the process.
pub(super) const RUNNING: u8 = 0;
/// The doors take no connections, calls under way are ended.
pub(super) const DRAINING: u8 = 1;
/// The last cut: what comes after a shard has switched for it is refused, so that nothing stays behind.
pub(super) const LAST_CUT: u8 = 2;
/// Every thread returns.
pub(super) const QUITTING: u8 = 3;

/// How long the end may take, as the newest settings say.
pub(super) struct ShutdownTimes {
    delay_ns: AtomicU64,
    timeout_ns: AtomicU64,
}

impl ShutdownTimes {
    pub(super) fn new(delay: Duration, timeout: Duration) -> ShutdownTimes {
        let times = ShutdownTimes { delay_ns: AtomicU64::new(0), timeout_ns: AtomicU64::new(0) };
        times.set(delay, timeout);
        times
    }

    /// They are these from now on.
    pub(super) fn set(&self, delay: Duration, timeout: Duration) {
        let ns = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        // ORDERING: times; they publish nothing
        self.delay_ns.store(ns(delay), Relaxed);
        self.timeout_ns.store(ns(timeout), Relaxed);
    }

    /// `--shutdown-delay` and `--shutdown-timeout`.
    pub(super) fn get(&self) -> (Duration, Duration) {
        let of = |ns: &AtomicU64| Duration::from_nanos(ns.load(Relaxed));
        (of(&self.delay_ns), of(&self.timeout_ns))
    }
}

/// What all threads share.
pub(super) struct ProcessState {
    pub board: CutBoard,
    /// What becomes of what comes in.
    pub gates: Arc<GateBoard>,
    pub shutdown: ShutdownTimes,
    pub registry: Arc<Registry>,
    pub wakers: Vec<mio::Waker>,
    pub control: mio::Waker,
    /// What the control thread is asked.
    pub asks: Asks,
    pub phase: AtomicU8,
    /// Monotonic time of each shard's last turn, nanoseconds; 0 before the first.
    pub heartbeats: Vec<AtomicU64>,
    pub drained: Vec<AtomicBool>,
    /// By shard: encoded requests wait for room in a queue.
    pub holding: Vec<AtomicBool>,
    /// Bytes of bodies being read or inflated.
    pub bodies: Bodies,
    /// The system sets this process a wall (`ulimit -v`): what has to be free there before a request is taken on.
    pub margin: Option<Margin>,
}

impl ProcessState {
    /// For as many shards as take up plans there, none of which has turned its loop yet.
    pub(super) fn new(
        registry: Arc<Registry>,
        (wakers, control): (Vec<mio::Waker>, mio::Waker),
        (gates, shutdown): (GateBoard, ShutdownTimes),
        bodies: Bodies,
        margin: Option<Margin>,
    ) -> ProcessState {
        let shards = gates.newest().shards();
        ProcessState {
            board: CutBoard::new(shards),
            gates: Arc::new(gates),
            shutdown,
            registry,
            wakers,
            control,
            asks: Asks::default(),
            phase: AtomicU8::new(RUNNING),
            heartbeats: (0..shards).map(|_| AtomicU64::new(0)).collect(),
            drained: (0..shards).map(|_| AtomicBool::new(false)).collect(),
            holding: (0..shards).map(|_| AtomicBool::new(false)).collect(),
            bodies,
            margin,
        }
    }

    /// Asks the control thread, and wakes it.
    pub(super) fn ask(&self, what: Ask) {
        self.asks.ask(what);
        // a waker fails only when its poll is gone, and then nobody is there who could be asked
        let _ = self.control.wake();
    }

    /// Every shard turns its loop.
    pub(super) fn wake_all(&self) {
        for waker in &self.wakers {
            // a waker fails only when its poll is gone, and then nobody waits
            let _ = waker.wake();
        }
    }

    /// Whether any shard has encoded requests that wait for room in a queue.
    pub(super) fn is_holding(&self) -> bool {
        self.holding.iter().any(|holding| holding.load(Relaxed))
    }

    /// Whether the system would give `bytes` and the margin beside them, which it is asked where it sets a wall: a failed
    /// allocation further in would end the process.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        let Some(margin) = &self.margin else { return true };
        is_given(bytes + margin.bytes(&self.registry))
    }

    /// Whether the system would give `bytes` of the margin.
    pub(super) fn has_room_left(&self, bytes: usize) -> bool {
        self.margin.is_none() || is_given(bytes)
    }
}

/// What other threads read of a shard.
pub(super) struct Readings {
    /// Points counted.
    pub ledger: Arc<CounterRow<{ ledger::WORDS }>>,
    /// What the loop and the doors count.
    pub stats: Arc<CounterRow<{ shard_stats::WORDS }>>,
    /// The series that the shard owns.
    pub directories: Directories,
}
