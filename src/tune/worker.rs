//! A round's own process: recorded requests into `Ingest` on a thread for each shard, with real cuts and merges; or plain
//! arithmetic. Does not know which counts are compared.
//!
//! Times of requests move on with each pass.

use super::machine;
use super::server::INTERVAL;
use super::{stdout, times};
use crate::capture;
use crate::flush::{self, Outlet, Owner, Work, Written};
use crate::identity::attributes::Limits;
use crate::ingest::{self, Ingest};
use crate::ledger::Tally;
use crate::limits::{EXPIRE_DEFAULT, GROUP_LIMIT_MAX, SLICE, SOCKETS_TO_MERGE};
use crate::model::{Door, EpochNumber, Flushed, PlanNumber, View};
use crate::rows::Rows;
use crate::runtime::clock;
use crate::series::registry::{self, Registry};
use crate::series::slab::SlabWriter;
use crate::sync::cut::{CutBoard, CutTimes, Due, Publish, Switch};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

/// Times move on by this much with each pass.
const PASS_NS: u64 = 1_000_000;
/// Passes before the measurement: series are born, predictions learnt.
const WARM_UP: usize = 3;

/// What a round measured.
pub(super) struct Measured {
    pub points_per_s: f64,
    pub cpu_s_per_million_points: f64,
    pub rss_bytes: u64,
}

/// Does what `memory::start` or `scaling` asks, prints one JSON object.
pub(super) fn work(work: &str) -> Result<u8, String> {
    let work: Value = serde_json::from_str(work).map_err(|error| format!("--worker: {error}"))?;
    let number = |key: &str| work[key].as_u64().ok_or_else(|| format!("--worker: no {key}"));
    let duration = Duration::from_millis(number("ms")?);
    let cores: Vec<usize> =
        serde_json::from_value(work["cores"].clone()).map_err(|error| format!("--worker: {error}"))?;
    let Some(path) = work["capture"].as_str() else {
        stdout::print(&json!({ "steps_per_s": arithmetic(&cores, duration)? }).to_string())?;
        return Ok(crate::SUCCESS);
    };
    let (parts, first) = (number("parts")?.max(1) as usize, number("first")? as usize);
    let requests = capture::read(Path::new(path))?.requests;
    // with fewer requests than parts, several shards share one, as connections of one client would
    let parts = parts.min(requests.len()).max(1);
    let share = |shard: usize| {
        let mine = requests.iter().enumerate().filter(|(at, _)| at % parts == (first + shard) % parts);
        mine.map(|(_, recorded)| Request::new(recorded.door, recorded.body.clone())).collect::<Vec<_>>()
    };
    let shares: Vec<Vec<Request>> = (0..cores.len()).map(share).collect();
    drop(requests);
    let measured = measure(shares, &cores, duration)?;
    let answer = json!({ "points_per_s": measured.points_per_s, "rss_bytes": measured.rss_bytes,
        "cpu_s_per_million_points": measured.cpu_s_per_million_points });
    stdout::print(&answer.to_string())?;
    Ok(crate::SUCCESS)
}

/// A request that can be sent again.
struct Request {
    door: Door,
    body: Vec<u8>,
    times: Vec<u32>,
    points: u64,
}

impl Request {
    fn new(door: Door, body: Vec<u8>) -> Request {
        let (times, points) = times::offsets(&body);
        Request { door, body, times, points }
    }
}

struct Shared {
    board: CutBoard,
    start: Barrier,
    stop: AtomicBool,
}

/// What one shard did, and in what time.
struct Done {
    points: u64,
    wall_s: f64,
    cpu_ns: u64,
}

/// Nobody wants anything: merged, but not encoded, as in a server that is only scraped.
struct Nowhere;

impl Outlet for Nowhere {
    fn wants(&self, _: View) -> bool {
        false
    }

    fn take(&mut self, _: Flushed, _: &impl Rows) -> Option<Written> {
        None
    }
}

fn measure(shares: Vec<Vec<Request>>, cores: &[usize], duration: Duration) -> Result<Measured, String> {
    let before = machine::resident(std::process::id()).unwrap_or(0);
    let n = shares.len();
    let (writers, slabs): (Vec<_>, Vec<_>) = (0..n).map(|_| SlabWriter::new()).unzip();
    let options =
        registry::Options { series_limit: u32::MAX as usize, group_limit: GROUP_LIMIT_MAX, memory_limit: usize::MAX };
    let registry = Arc::new(Registry::new(options, slabs));
    let started_ns = clock::now().wall_ns;
    let shared = Arc::new(Shared { board: CutBoard::new(n), start: Barrier::new(n + 1), stop: AtomicBool::new(false) });
    let mut threads = Vec::new();
    for (shard, ((requests, slab), core)) in shares.into_iter().zip(writers).zip(cores.iter().copied()).enumerate() {
        let (registry, shared) = (registry.clone(), shared.clone());
        let flush = flush::Options {
            plan: PlanNumber::FIRST,
            epoch: EpochNumber::FIRST,
            started_ns,
            expire_ns: EXPIRE_DEFAULT.as_nanos() as u64,
        };
        let thread = std::thread::Builder::new().name(format!("shard-{shard}"));
        let thread = thread.spawn(move || {
            let confined = machine::confine(&[core]);
            let core = Core {
                shard,
                ingest: Ingest::new(
                    shard,
                    ingest::Options { started_ns, limits: Limits::DEFAULT },
                    registry.clone(),
                    slab,
                ),
                owner: Owner::new(shard, flush, registry).0,
                tally: Tally::default(),
                shared,
                credit_ns: 0,
            };
            (confined, core.run(requests))
        });
        threads.push(thread.map_err(|error| error.to_string())?);
    }
    shared.start.wait();
    coordinate(&shared, duration);
    let rss = machine::resident(std::process::id()).unwrap_or(0);
    shared.stop.store(true, Relaxed);
    let (mut points, mut rate, mut cpu_ns) = (0, 0.0, 0);
    for thread in threads {
        let (confined, done) = thread.join().map_err(|_| "a shard panicked".to_owned())?;
        confined?;
        let done = done?;
        points += done.points;
        rate += done.points as f64 / done.wall_s.max(1e-9);
        cpu_ns += done.cpu_ns;
    }
    Ok(Measured {
        points_per_s: rate,
        cpu_s_per_million_points: cpu_ns as f64 / 1e3 / points.max(1) as f64,
        rss_bytes: rss.saturating_sub(before),
    })
}

/// Publishes cuts until the time is over.
fn coordinate(shared: &Shared, duration: Duration) {
    let begun = Instant::now();
    let (mut number, mut from, mut next) = (0, clock::now().wall_ns, INTERVAL / 2);
    while begun.elapsed() < duration {
        let left = duration.saturating_sub(begun.elapsed()).min(next.saturating_sub(begun.elapsed()));
        std::thread::sleep(left.max(Duration::from_millis(1)));
        if begun.elapsed() < next {
            continue;
        }
        let now = clock::now();
        let times = CutTimes {
            from_ns: from,
            boundary_ns: now.wall_ns,
            mono_ns: now.mono_ns,
            is_last: false,
            is_exchange: false,
        };
        if shared.board.publish(number + 1, times) == Publish::Published {
            (number, from) = (number + 1, now.wall_ns);
            next += INTERVAL;
        }
    }
}

/// One shard.
struct Core {
    shard: usize,
    ingest: Ingest,
    owner: Owner,
    tally: Tally,
    shared: Arc<Shared>,
    credit_ns: i64,
}

impl Core {
    fn run(mut self, mut requests: Vec<Request>) -> Result<Done, String> {
        let warm = (0..WARM_UP).try_for_each(|_| requests.iter_mut().try_for_each(|request| self.send(request)));
        self.shared.start.wait();
        warm?;
        let (begun, cpu) = (Instant::now(), machine::thread_cpu_ns());
        let mut points = 0;
        let mut last = clock::mono();
        'all: loop {
            for request in &mut requests {
                if self.shared.stop.load(Relaxed) {
                    break 'all;
                }
                self.send(request)?;
                points += request.points;
                let now = clock::mono();
                self.cuts(now - last);
                last = clock::mono();
            }
        }
        let cpu_ns = machine::thread_cpu_ns() - cpu;
        Ok(Done { points, wall_s: begun.elapsed().as_secs_f64(), cpu_ns })
    }

    fn send(&mut self, request: &mut Request) -> Result<(), String> {
        times::advance(&mut request.body, &request.times, PASS_NS);
        match self.ingest.export(request.door.into(), &request.body, &mut self.tally) {
            Ok(_) => Ok(()),
            Err(fault) => Err(format!("a recorded request is malformed: {}", ingest::explain(&fault, &request.body))),
        }
    }

    /// Switches or merges as the board says, within merging's share of the time that requests took.
    fn cuts(&mut self, spent_ns: u64) {
        match self.shared.board.due(self.shard) {
            Due::Nothing => {
                self.owner.welcome(&mut self.tally);
                self.ingest.tidy();
            }
            Due::Switch(cut) => {
                self.ingest.hand_over();
                match self.shared.board.try_switch(self.shard, cut.number) {
                    Switch::Switched { .. } => self.ingest.switch(cut.number + 1),
                    Switch::AlreadySkipped => self.ingest.take_back(),
                }
            }
            Due::Settle(cut) => {
                self.owner.settle();
                while self.owner.step(self.ingest.slab_mut(), &mut self.tally, &mut Nowhere, || true) == Work::More {}
                self.shared.board.merge_done(self.shard, cut.number);
            }
            Due::Merge(cut) => {
                if !self.owner.busy() {
                    let board = &self.shared.board;
                    let cores = (0..board.shards()).map(|shard| board.view(shard)).collect();
                    self.owner.begin(cut.number, cut.times, cores);
                }
                let whole = SLICE.as_nanos() as i64;
                self.credit_ns = (self.credit_ns + (spent_ns / SOCKETS_TO_MERGE) as i64).min(whole);
                if self.credit_ns <= 0 {
                    return;
                }
                let (begun, credit) = (clock::mono(), self.credit_ns as u64);
                let more = || clock::mono() - begun < credit;
                let work = self.owner.step(self.ingest.slab_mut(), &mut self.tally, &mut Nowhere, more);
                self.credit_ns -= (clock::mono() - begun) as i64;
                if work == Work::Folded {
                    self.shared.board.fold_done(self.shard, cut.number);
                }
            }
        }
    }
}

/// Multiplies and adds in registers; steps per second.
fn arithmetic(cores: &[usize], duration: Duration) -> Result<f64, String> {
    machine::confine(cores)?;
    const CHUNK: u64 = 1 << 20;
    let (begun, mut state, mut steps) = (Instant::now(), 1_u64, 0);
    while begun.elapsed() < duration {
        for _ in 0..CHUNK {
            state = std::hint::black_box(state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407));
        }
        steps += CHUNK;
    }
    Ok(steps as f64 / begun.elapsed().as_secs_f64())
}
