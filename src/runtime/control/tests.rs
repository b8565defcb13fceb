//! The pages of a process of which no shard runs: the tests do what shards would do.

use super::pages::READY_WITHIN_NS;
use super::scrapes::ScrapePlace;
use super::shutdown::cut_last;
use super::*;
use crate::config::{DoorAddresses, SettingDifferences, Settings};
use crate::ledger::Book;
use crate::limits::{SCRAPE_MAX, SCRAPES_MAX};
use crate::listen::pages::{PageBody, PageMaker, PageResponse};
use crate::model::{EpochNumber, PlanNumber};
use crate::problem::Problem;
use crate::runtime::asks::Ask;
use crate::runtime::bind::{ADMIN, SCRAPE};
use crate::runtime::bodies::Bodies;
use crate::runtime::count::Count;
use crate::runtime::gates::GateBoard;
use crate::runtime::shared::{QUITTING, ShutdownTimes};
use crate::series::registry::{self, Registry};
use crate::series::slab::SlabWriter;
use crate::sync::cut::{Due, Switch};
use crate::telemetry::shard_stats::ShardStats;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::Instant;

const SHARDS: usize = 3;

/// A process of three shards none of which runs: the test does what they would do.
fn control() -> Control {
    let mut plan = Plan { shards: SHARDS, ..Plan::sample() };
    let slabs = (0..SHARDS).map(|_| SlabWriter::new().1).collect();
    let options = registry::Options { series_limit: 10, group_limit: 10, memory_limit: usize::MAX };
    let poll = mio::Poll::new().unwrap();
    let memory = crate::runtime::memory::settle(&mut plan, 1 << 30, false).unwrap().0;
    let registry = Arc::new(Registry::new(options, slabs));
    let waker = mio::Waker::new(poll.registry(), WAKE).unwrap();
    let bodies = Bodies::new(memory.bodies, 5_000);
    let shared = Arc::new(ProcessState::new(
        registry,
        (Vec::new(), waker),
        (GateBoard::new(plan.gate(), SHARDS), ShutdownTimes::new(Duration::ZERO, Duration::ZERO)),
        bodies,
        None,
    ));
    let flush =
        crate::flush::Options { plan: PlanNumber::FIRST, epoch: EpochNumber::FIRST, started_ns: 1, expire_ns: 1 };
    let shards = (0..SHARDS).map(|shard| Readings {
        ledger: Book::new().1,
        stats: ShardStats::new().1,
        directories: crate::flush::Owner::new(shard, flush, shared.registry.clone()).1,
    });
    let shards = shards.collect();
    let (sender, delivery) =
        crate::deliver::start(Vec::new(), crate::deliver::Options::new(&clock::SYSTEM, 1)).unwrap();
    let of_memory = (memory, SHARDS);
    let destinations = Destinations::new(&plan, (delivery, sender.clone()), shared.registry.clone(), of_memory);
    let started = Now { mono_ns: 1, wall_ns: 1 };
    let pages = Vec::new();
    let state = shared.registry.state().clone();
    let folds = Arc::new(crate::flush::FoldShared::new(plan.rules.clone(), SHARDS, 0, state));
    let parts = ControlParts {
        plan: &plan,
        shared,
        poll,
        pages,
        shards,
        sender,
        destinations,
        started,
        memory,
        folds,
        capture: None,
        signals: None,
        settled: Settled { settings: Settings::default(), plan: plan.clone(), listening: DoorAddresses::default() },
        sources: Arc::new(NoSources),
    };
    Control::new(parts).unwrap()
}

/// Settings that never change.
struct NoSources;

impl Sources for NoSources {
    fn read(&self, running: &Settled) -> Result<(Settled, SettingDifferences), Vec<Problem>> {
        Ok((running.clone(), SettingDifferences::default()))
    }

    fn has_files(&self) -> bool {
        false
    }

    fn first_look(&self) -> u64 {
        0
    }

    fn look(&self) -> u64 {
        0
    }
}

/// However often settings were asked for before the signal that ends it.
#[test]
fn the_end_is_not_lost_behind_reloads() {
    let mut control = control();
    for _ in 0..10_000 {
        control.turns.shared.ask(Ask::Hangup);
    }
    control.turns.shared.ask(Ask::End);
    assert_eq!(control.turns.turn(Duration::ZERO), ControlTurn::Signalled);
    assert_eq!(control.turns.turn(Duration::ZERO), ControlTurn::Idle, "it came once");
}

/// Not ready before each loop has turned once, nor while one is stuck; the page names the shards.
#[test]
fn readiness_names_the_shards_that_do_not_turn() {
    let mut control = control();
    let check = |control: &Control, now: u64, status: u16, shards: &str| {
        let page = control.turns.pages.ready(now);
        let PageBody::Full(words) = page.body else { panic!("a short page") };
        let words = std::str::from_utf8(&words).unwrap();
        assert_eq!(page.status, status, "{words}");
        assert!(words.contains(shards), "{words}");
    };
    let beat = |control: &Control, shard: usize, at: u64| control.turns.shared.heartbeats[shard].store(at, Relaxed);
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
    control.turns.pages.stopping = true;
    check(&control, 6 + READY_WITHIN_NS, 503, "stopping");
}

fn get(control: &mut Control, door: u8, path: &str, query: &str) -> PageResponse {
    control.turns.pages.page(door, "GET", path, query, "")
}

/// Four at once, whatever they do; who goes makes room, and gives back what was lent to it.
#[test]
fn a_scrape_too_many_is_refused_and_counted() {
    let mut control = control();
    let mut pages: Vec<PageResponse> = (0..SCRAPES_MAX).map(|_| get(&mut control, SCRAPE, "/metrics", "")).collect();
    assert!(pages.iter().all(|page| page.status == 200));
    assert!(control.turns.pages.scrapes.counts().merge_lent < control.turns.pages.scrapes.merge_bytes);
    assert_eq!(get(&mut control, SCRAPE, "/metrics", "").status, 503);
    assert_eq!(get(&mut control, ADMIN, "/metrics", "").status, 200, "another door's page");
    assert_eq!(control.turns.pages.facts().scrapes, (SCRAPES_MAX as u64, 0, 1));
    pages.pop();
    let again = get(&mut control, SCRAPE, "/metrics", "");
    assert_eq!(again.status, 200);
    let place = ScrapePlace::take(&control.turns.pages.scrapes.counts, 1 << 20);
    assert!(place.is_none());
    drop((pages, again));
    assert_eq!(
        (control.turns.pages.scrapes.counts().under_way, control.turns.pages.scrapes.counts().merge_lent),
        (0, 0)
    );
    let first = ScrapePlace::take(&control.turns.pages.scrapes.counts, 1 << 20).unwrap();
    let later = first.begun_ns + SCRAPE_MAX.as_nanos() as u64 + 1;
    assert!(!first.is_due(later), "nobody wants it");
    let others: Vec<_> =
        (1..SCRAPES_MAX).map(|_| ScrapePlace::take(&control.turns.pages.scrapes.counts, 1 << 20).unwrap()).collect();
    assert!(first.is_due(later) && !first.is_due(later - 1));
    drop(others);
}

/// A ledger is verified for one at a time, in slices; a switch in the middle makes the count begin again, not for ever.
#[test]
fn a_ledger_is_verified_for_one_at_a_time() {
    let mut control = control();
    let ask = |control: &mut Control| get(control, ADMIN, "/ledger", "verify=1");
    let page = ask(&mut control);
    assert_eq!((page.status, ask(&mut control).status), (200, 503));
    assert_eq!(get(&mut control, ADMIN, "/ledger", "").status, 200);
    let PageBody::Stream(mut stream) = page.body else { panic!("made as it is read") };
    let mut json = Vec::new();
    while let Some(piece) = stream.next() {
        json.extend_from_slice(&piece.unwrap());
    }
    assert!(String::from_utf8(json).unwrap().contains("\"open_counted_in_cells\":0"));
    assert_eq!(ask(&mut control).status, 200, "the first one is out");
    let mut count = Count::begin(&control.turns.shared);
    let switch = |control: &mut Control| {
        assert!(control.turns.cut(clock::now()), "all was merged");
        let number = control.turns.schedule.number();
        (0..SHARDS).for_each(|shard| {
            control.turns.shared.board.try_switch(shard, number);
        });
        (0..SHARDS).for_each(|shard| {
            control.turns.shared.board.fold_done(shard, number);
        });
        (0..SHARDS).for_each(|shard| {
            control.turns.shared.board.merge_done(shard, number);
        });
    };
    switch(&mut control);
    assert_eq!(count.step(&control.turns.shared), None, "begun again");
    let steps = (0..100).find_map(|_| count.step(&control.turns.shared));
    assert_eq!(steps, Some(Some(0)));
    let mut count = Count::begin(&control.turns.shared);
    let given_up = (0..100).find_map(|_| {
        switch(&mut control);
        count.step(&control.turns.shared)
    });
    assert_eq!(given_up, Some(None));
}

/// What a shard took in before it was late for the last cut was acknowledged: there is a cut more that it is in.
#[test]
fn a_shard_that_is_late_for_the_last_cut_is_in_one_more() {
    const LATE: usize = 1;
    let mut control = control();
    let shared = control.turns.shared.clone();
    let shards = std::thread::spawn(move || {
        let mut switched_at = [0; SHARDS];
        while shared.phase.load(Acquire) != QUITTING {
            for (shard, at) in switched_at.iter_mut().enumerate() {
                match shared.board.due(shard) {
                    Due::Switch(cut) if (shard, cut.number) == (LATE, 1) => {}
                    Due::Switch(cut) => match shared.board.try_switch(shard, cut.number) {
                        Switch::Switched { .. } => *at = cut.number,
                        Switch::AlreadySkipped => {}
                    },
                    Due::Merge(cut) => drop(shared.board.fold_done(shard, cut.number)),
                    Due::Settle(cut) => drop(shared.board.merge_done(shard, cut.number)),
                    Due::Nothing => {}
                }
            }
            std::thread::yield_now();
        }
        switched_at
    });
    let begun = Instant::now();
    cut_last(&mut control.turns, &mut (begun + Duration::from_secs(60)));
    control.turns.shared.phase.store(QUITTING, Release);
    assert_eq!(shards.join().unwrap(), [2; SHARDS], "all of them");
    assert!(control.turns.is_merged() && begun.elapsed() < Duration::from_secs(50), "without waiting for the deadline");
}
