//! The start: from a plan to running threads, and what their end means for the exit code.
//!
//! Does not know: what any of them does. Whatever can be refused is refused before the first thread of a shard runs.

use super::banner;
use super::bind;
use super::bodies;
use super::clock;
use super::control;
use super::control::Sources;
use super::descriptors;
use super::destinations;
use super::doubts;
use super::gates::GateBoard;
use super::machine;
use super::margin::Margin;
use super::memory;
use super::memory::Memory;
use super::outlet;
use super::shard;
use super::shard_thread;
use super::shared::{ProcessState, ShutdownTimes};
use super::signals;
use crate::capture;
use crate::clock::Now;
use crate::config::{Pin, Plan, Settled};
use crate::deliver;
use crate::files;
use crate::flush;
use crate::flush::FoldShared;
use crate::ingest;
use crate::limits::{GIVE_BACK_AFTER_MS, GIVE_BACK_AT_ONCE_BYTES, LOG_FLUSH_MAX, MIB, PEER_WANTS_FOR};
use crate::model::EpochNumber;
use crate::net::hops::Hops;
use crate::problem::{Flaw, Problem};
use crate::series::peers::Shares;
use crate::series::registry::{self, Registry};
use crate::series::slab::SlabWriter;
use crate::sync::allocator;
use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;
use std::sync::Arc;

/// Runs until SIGTERM or Ctrl-C; returns the exit code. `sources`: where settings are read again.
pub fn run(settled: Settled, sources: Arc<dyn Sources>) -> u8 {
    if let Err(problem) = crate::log::start(&settled.plan.log) {
        crate::log::tell(format_args!("catchment: {problem}"));
        return crate::USAGE;
    }
    let code = match start(settled, sources) {
        Ok(code) => code,
        Err(Failed { code, words }) => {
            crate::log::tell(format_args!("catchment: {words}"));
            code
        }
    };
    crate::log::flush(LOG_FLUSH_MAX);
    code
}

/// Why nothing runs.
struct Failed {
    code: u8,
    words: String,
}

fn failure(words: impl std::fmt::Display) -> Failed {
    Failed { code: crate::FAILURE, words: words.to_string() }
}

fn usage(problem: Problem) -> Failed {
    Failed { code: crate::USAGE, words: problem.to_string() }
}

fn start(mut settled: Settled, sources: Arc<dyn Sources>) -> Result<u8, Failed> {
    let mut plan = settled.plan.clone();
    let started = clock::now();
    let signals = signals::catch().map_err(failure)?;
    let (memory, shrunk) = budget(&mut plan)?;
    let doors = bind::bind(&plan).map_err(failure)?;
    let addresses = doors.addresses;
    settled.listening = addresses;

    let (registry, writers) = registry(&plan, &memory);
    let (hops, sender, delivery) = delivery(&plan, &memory, &registry, started)?;

    let mut polls = Vec::new();
    let mut wakers = Vec::new();
    for _ in 0..plan.shards {
        let poll = mio::Poll::new().map_err(failure)?;
        wakers.push(mio::Waker::new(poll.registry(), shard_thread::WAKE).map_err(failure)?);
        polls.push(poll);
    }
    let control_poll = mio::Poll::new().map_err(failure)?;
    let control_waker = mio::Waker::new(control_poll.registry(), control::WAKE).map_err(failure)?;
    let bodies = bodies::Bodies::new(memory.bodies, plan.peer_share);
    let shutdown = ShutdownTimes::new(plan.shutdown_delay, plan.shutdown_timeout);
    let gates = GateBoard::new(plan.gate(), plan.shards);
    let margin = machine::has_wall().then(|| Margin::new(&memory, &sender));
    let shared =
        Arc::new(ProcessState::new(registry.clone(), (wakers, control_waker), (gates, shutdown), bodies, margin));

    let flush_options = flush::Options {
        plan: plan.number,
        epoch: EpochNumber::FIRST,
        started_ns: started.wall_ns,
        expire_ns: plan.expire.as_nanos() as u64,
    };
    let held_max = destinations::held_max(&memory, plan.shards, plan.outs.len());
    let of_memory = (memory, plan.shards);
    let to = (delivery, sender.clone());
    let destinations = destinations::Destinations::new(&settled.plan, to, registry.clone(), of_memory);
    let (limit, state) = (plan.output_limit(), registry.state().clone());
    let rules = FoldShared::new(plan.rules.clone(), plan.shards, limit, state).choosing(plan.selections.clone());
    let rules = Arc::new(rules);
    let cores = pins(&plan)?;
    let (recorder, tap) = record(&plan)?;
    let mut shards = Vec::new();
    let mut readings = Vec::new();
    let gate = shared.gates.newest();
    for (i, ((poll, slab), listeners)) in polls.into_iter().zip(writers).zip(doors.per_shard).enumerate() {
        let (mut owner, directories) =
            flush::Owner::with_rules(i, flush_options, registry.clone(), Some(rules.clone()));
        owner.select(plan.selections.clone());
        let ingest_options = ingest::Options { started_ns: started.wall_ns, limits: plan.attributes };
        let mut ingest = ingest::Ingest::new(i, ingest_options, registry.clone(), slab);
        gate.taken_up(i, ingest.take_up(gate.plan()));
        let parts = shard::ShardParts {
            number: i,
            clock: &clock::SYSTEM,
            shared: shared.clone(),
            ingest,
            owner,
            outlet: outlet::Queues::new(sender.clone(), held_max, &clock::SYSTEM),
            capture: tap.clone(),
            max_body: plan.max_body,
            hops,
            connections_max: plan.connections.div_ceil(plan.shards),
            interval_ns: plan.interval.as_nanos() as u64,
            future_ns: u64::try_from(plan.max_future.as_nanos()).unwrap_or(u64::MAX),
            sweep_after: (plan.expire.as_nanos() / plan.interval.as_nanos().max(1)).clamp(2, 1 << 20) as u32,
        };
        let (seed, read) = shard::Seed::new(parts, directories);
        readings.push(read);
        shards.push((seed, poll, listeners));
    }
    drop(tap);
    let control = control::Control::new(control::ControlParts {
        plan: &plan,
        shared,
        poll: control_poll,
        pages: doors.pages,
        shards: readings,
        sender,
        destinations,
        started,
        memory,
        folds: rules,
        capture: recorder.as_ref().map(capture::Recorder::watch),
        signals: Some(signals),
        settled,
        sources,
    })
    .map_err(failure)?;
    let mut threads = Vec::new();
    for (i, (seed, poll, listeners)) in shards.into_iter().enumerate() {
        let core = cores.get(i).copied();
        let thread = std::thread::Builder::new().name(format!("shard-{i}"));
        threads.push(thread.spawn(move || shard_thread::run(seed, poll, listeners, core)).map_err(failure)?);
    }
    if let Some(path) = &plan.ports_file {
        bind::write_ports(path, &addresses).map_err(|error| usage(bind::no_ports(path, &error)))?;
    }
    banner::say(&plan, &addresses, &memory, &shrunk, !cores.is_empty());
    let control::End { code, stuck } = control.run(threads);
    if stuck {
        // a recording ends when every shard has; who is stuck ends with the process
        return Ok(code);
    }
    // the shards are gone, and their taps with them
    match recorder.map(capture::Recorder::finish) {
        Some(Err(_)) if code == crate::SUCCESS => Ok(crate::FAILURE),
        _ => Ok(code),
    }
}

/// Lowers what was not asked for to what the machine has. Returns the memory, and words for the banner.
fn budget(plan: &mut Plan) -> Result<(Memory, Vec<String>), Failed> {
    let few = descriptors::settle(plan, descriptors::raise()).map_err(usage)?;
    let there = machine::available(Path::new("/"));
    doubts::say(plan, &there);
    let limit = plan.memory_limit.unwrap_or(there.share());
    let auto = plan.memory_limit.is_none();
    let (memory, shrunk) = memory::settle(plan, limit, auto).map_err(usage)?;
    allocator::give_back_after(if memory.limit <= GIVE_BACK_AT_ONCE_BYTES { 0 } else { GIVE_BACK_AFTER_MS });
    let shrunk = match plan.memory_limit {
        _ if shrunk.is_empty() => None,
        Some(_) => Some(format!("to fit --memory-limit: {}", shrunk.join(", "))),
        None => Some(format!("to fit {} ({} MiB): {}", there.source, there.bytes / MIB, shrunk.join(", "))),
    };
    Ok((memory, few.into_iter().chain(shrunk).collect()))
}

/// Who exists: nobody yet. One writer of cells for each shard.
fn registry(plan: &Plan, memory: &Memory) -> (Arc<Registry>, Vec<SlabWriter>) {
    let (mut writers, mut slabs) = (Vec::new(), Vec::new());
    for _ in 0..plan.shards {
        let (writer, slab) = SlabWriter::new();
        writers.push(writer);
        slabs.push(slab);
    }
    let (series_limit, group_limit) = (plan.series_limit, memory.groups_max);
    let options = registry::Options { series_limit, group_limit, memory_limit: memory.series };
    let binds = PEER_WANTS_FOR.as_nanos().div_ceil(plan.interval.as_nanos().max(1));
    let shares = Shares { share: plan.peer_share, binds: u32::try_from(binds).unwrap_or(u32::MAX).max(2) };
    (Arc::new(Registry::new(options, slabs).share_by(shares)), writers)
}

/// Queues and destinations, and what names this process to those that it sends to.
fn delivery(
    plan: &Plan,
    memory: &Memory,
    registry: &Registry,
    started: Now,
) -> Result<(&'static Hops, deliver::Sender, deliver::Handle), Failed> {
    let seed = registry.state().hash_one(started.wall_ns);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // lives as long as the process; another at every start
    let id = RandomState::new().hash_one((started.wall_ns, std::process::id()));
    let hops: &'static Hops = Box::leak(Box::new(Hops::new(id, plan.interval)));
    let delivery_options = deliver::Options {
        hops: Some(hops),
        cores_are_shared: plan.shards >= cores,
        in_flight: memory.in_flight,
        ..deliver::Options::new(&clock::SYSTEM, seed)
    };
    let (sender, delivery) = deliver::start(plan.destinations(), delivery_options).map_err(failure)?;
    Ok((hops, sender, delivery))
}

/// The recorder of requests, if there is one, and what shards hand them to.
fn record(plan: &Plan) -> Result<(Option<capture::Recorder>, Option<capture::Tap>), Failed> {
    let Some((path, limit)) = &plan.capture else { return Ok((None, None)) };
    let (recorder, tap) = capture::Recorder::start(path, *limit).map_err(|error| {
        let flaw = Flaw::new(files::unwritten(path, &error));
        usage(Problem::new("capture", path.display().to_string(), flaw))
    })?;
    Ok((Some(recorder), Some(tap)))
}

/// The core of each shard; empty when shards are not pinned.
fn pins(plan: &Plan) -> Result<Vec<core_affinity::CoreId>, Failed> {
    if plan.pin == Pin::Off {
        return Ok(Vec::new());
    }
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    if cores.len() < plan.shards {
        return match plan.pin {
            Pin::On => {
                let (shards, cores) = (plan.shards, cores.len());
                let flaw = Flaw::new(format!("{shards} shards, but this process may use only {cores} cores"));
                Err(failure(Problem::new("pin", "on", flaw.allowed("lower --shards or use --pin auto"))))
            }
            _ => Ok(Vec::new()),
        };
    }
    Ok(cores.into_iter().take(plan.shards).collect())
}
