//! Whole runs from a seed, in one thread: clients, two shards with their doors, rules that are exchanged, the schedule of cuts,
//! lanes, and servers that fail in every way they may. No socket, no thread, no system's clock.
//!
//! ```text
//!   clients ─► memory network ─► shard 0, 1 ─► queues ─► lanes ─► servers played by chance
//!                                   ▲ rules, and cuts from the schedule   │
//!                what was acknowledged ══════ must be ══════ what was received, as rules make it
//! ```
//!
//! It stands here and not in `tests/`, because a shard, the schedule and a lane are nobody's business outside the crate.
//!
//! A seed that fails says how to run it again. `SIMULATION_SEEDS` is how many seeds are run, `SIMULATION_SEED` the one that
//! is run alone.

mod clients;
#[allow(unreachable_pub)]
#[path = "../../../tests/memory_network/mod.rs"]
mod memory_network;
mod received;
mod rules;

use super::account::Account;
use super::bodies::Bodies;
use super::control::schedule::{Schedule, Woken};
use super::count::Count;
use super::destinations::{choose_otherwise, passed};
use super::gates::GateBoard;
use super::outlet::Queues;
use super::shard::{Seed, Shard, ShardParts, Turned};
use super::shared::{DRAINING, LAST_CUT, ProcessState, QUITTING, Readings, ShutdownTimes};
use crate::chance::Chance;
use crate::clock::{Clock as _, ManualClock, Now};
use crate::deliver::DeliveryOrder::{self, ByCut};
use crate::deliver::{self, Dropped, ExchangeRefused, Habits, Sender, SimulatedDelivery, StatsRow, parse_out};
use crate::flush::{FoldShared, Passed};
use crate::identity::attributes::Limits;
use crate::ledger::{Note, Tally};
use crate::model::{Discard, EpochNumber, PlanNumber, Temporality};
use crate::net::hops::Hops;
use crate::series::registry::{self, Registry};
use crate::series::slab::SlabWriter;
use crate::sync::cut::Due;
use crate::telemetry::ledger::LedgerPage;
use crate::{flush, ingest};
use clients::{Client, Seen};
use memory_network::MemoryNetwork;
use received::ReceivedPoints;
use rules::{RunPlan, RunRules, summed};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::Duration;

/// Where each shard's network listens.
const ADDRESS: &str = "127.0.0.1:4318";
const SHARDS: usize = 2;
const CLIENTS: usize = 3;
const STEPS: usize = 1_500;
const STEPS_OF_THE_END_MAX: usize = 200_000;
const INTERVAL_NS: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;
/// Seeds of a plain test run.
const SEEDS: u64 = 150;
/// Seeds within which a planted fault has to be found.
const SEEDS_TO_FIND: u64 = 40;

/// Deltas that must arrive whole, and cumulative values that must; others may lose some.
const DELTAS: usize = 0;
const TOTALS: usize = 1;

/// What is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Nothing,
    /// A server says that it took what was tried again, and did not: as if a retry dropped it.
    RetryDrops,
    /// A shard closes its bank on the board before its last requests are in it.
    ClosesEarly,
    /// Destinations get requests in any order.
    AnyOrder,
    /// Destinations are given what they choose a cut before the rules are in force that they choose of.
    ChoosesEarly,
    /// Rules are offered when the cut with which they are exchanged is under way.
    OffersLate,
    /// What rules have gathered when a destination chooses otherwise stays for those who choose them then.
    KeepsOpen,
}

/// What happened that does not happen in every run.
#[derive(Clone, Copy, Debug, Default)]
struct Rare {
    retries: u64,
    ambiguous: u64,
    timed_out: u64,
    throttled: u64,
    unauthorized: u64,
    in_order: u64,
    breaker_opened: u64,
    breaker_closed: u64,
    split: u64,
    rejected: u64,
    refused: u64,
    queue_full: u64,
    skipped: u64,
    postponed: u64,
    resets: u64,
    wall_steps: u64,
    requests_refused: u64,
    requests_abandoned: u64,
    requests_unanswered: u64,
    came_again: u64,
    exchanged: u64,
    removed: u64,
    reloads: u64,
    dropped_by_rules: u64,
    ends: u64,
    overflowed: u64,
    /// Anything that depends on the order in which things happened.
    fingerprint: u64,
}

struct Simulation {
    chance: Chance,
    clock: &'static ManualClock,
    shared: Arc<ProcessState>,
    networks: Vec<MemoryNetwork>,
    shards: Vec<Shard<MemoryNetwork>>,
    readings: Vec<Readings>,
    schedule: Schedule,
    sender: Sender,
    delivery: SimulatedDelivery,
    /// As they were given first.
    destinations: Vec<(deliver::Destination, Habits)>,
    /// Exchanges that changed one and took one out.
    exchanged: u64,
    rules: RunRules,
    folds: Arc<FoldShared>,
    /// Rules that wait for a cut.
    wanted: Option<RunPlan>,
    /// Rules that should have been offered before the cut that is under way.
    late: Option<(RunPlan, Box<[Passed]>)>,
    /// Rules that were exchanged.
    reloads: u64,
    clients: Vec<Client>,
    in_flight: usize,
    /// A shard does nothing until then.
    stands_still: [u64; SHARDS],
    /// The wall clock steps in this run: then times tell nothing of order.
    has_wall_steps: bool,
    wall_steps: u64,
    fault: Fault,
    /// Intervals that a shard has closed on the board and not for itself.
    closed_early: [Option<u32>; SHARDS],
}

impl Simulation {
    fn new(seed: u64, fault: Fault) -> Simulation {
        let mut chance = Chance::new(seed);
        let started = Now { mono_ns: 1, wall_ns: 1_700_000_000 * 1_000_000_000 + chance.up_to(INTERVAL_NS) };
        let reading_ns = [0, 1_000, 50_000][chance.place(3)];
        let clock: &'static ManualClock = Box::leak(Box::new(ManualClock::new(started, reading_ns)));
        let in_flight = 1 + chance.place(4);
        let has_wall_steps = chance.one_in(2);
        let options = deliver::Options {
            backoff_first: Duration::from_millis(50),
            backoff_max: Duration::from_secs(2),
            in_flight,
            ..deliver::Options::new(clock, chance.any())
        };
        let mut destinations = destinations(&mut chance, fault);
        let mut rules = RunRules::new(destinations.len(), INTERVAL_NS, &mut chance);
        let plan = rules.next(&mut chance);
        plan.choose(destinations.iter_mut().map(|(one, _)| one));
        let (sender, delivery) = SimulatedDelivery::new(destinations.clone(), options, &mut chance);
        let (writers, slabs): (Vec<_>, Vec<_>) = (0..SHARDS).map(|_| SlabWriter::new()).unzip();
        let limits = registry::Options { series_limit: 10_000, group_limit: 1_000, memory_limit: usize::MAX };
        let state = ahash::RandomState::with_seeds(chance.any(), chance.any(), chance.any(), chance.any());
        let registry = Arc::new(Registry::with_state(limits, slabs, state.clone()));
        let folds =
            Arc::new(FoldShared::new(plan.rules.clone(), SHARDS, 10_000, state).choosing(plan.selections.clone()));
        let nobody = mio::Poll::new().unwrap();
        let waker = mio::Waker::new(nobody.registry(), mio::Token(0)).unwrap();
        // at times too little for all clients at once
        let bodies = Bodies::new([1_500, 1 << 20][chance.place(2)], 5_000);
        let shared = Arc::new(ProcessState::new(
            registry.clone(),
            (Vec::new(), waker),
            (GateBoard::new(plan.gate(INTERVAL_NS), SHARDS), ShutdownTimes::new(Duration::ZERO, Duration::ZERO)),
            bodies,
            None,
        ));
        let hops: &'static Hops = Box::leak(Box::new(Hops::new(chance.any(), Duration::from_nanos(INTERVAL_NS))));
        let held_max = [0, 4_000, 1 << 20][chance.place(3)];
        let (mut shards, mut readings, mut networks) = (Vec::new(), Vec::new(), Vec::new());
        for (number, slab) in writers.into_iter().enumerate() {
            let expire_ns = 3_600 * INTERVAL_NS;
            let of_flush = flush::Options {
                plan: PlanNumber::FIRST,
                epoch: EpochNumber::FIRST,
                started_ns: started.wall_ns,
                expire_ns,
            };
            let (mut owner, directories) =
                flush::Owner::with_rules(number, of_flush, registry.clone(), Some(folds.clone()));
            owner.select(plan.selections.clone());
            let of_ingest = ingest::Options { started_ns: started.wall_ns, limits: Limits::DEFAULT };
            let mut ingest = ingest::Ingest::new(number, of_ingest, registry.clone(), slab);
            shared.gates.newest().taken_up(number, ingest.take_up(shared.gates.newest().plan()));
            let parts = ShardParts {
                number,
                clock,
                shared: shared.clone(),
                ingest,
                owner,
                outlet: Queues::new(sender.clone(), held_max, clock),
                capture: None,
                max_body: 1 << 20,
                hops,
                connections_max: 10,
                sweep_after: 3,
                interval_ns: INTERVAL_NS,
                future_ns: u64::MAX,
            };
            let (shard, reading) = Seed::new(parts, directories);
            let network = MemoryNetwork::new(1 + chance.up_to(4_000) as usize);
            shards.push(shard.open(vec![network.listen(ADDRESS)], network.clone()).unwrap());
            readings.push(reading);
            networks.push(network);
        }
        Simulation {
            clients: (0..CLIENTS).map(|number| Client::new(number, chance.place(SHARDS), started)).collect(),
            chance,
            clock,
            shared,
            networks,
            shards,
            readings,
            schedule: Schedule::new(started, INTERVAL_NS),
            sender,
            delivery,
            destinations,
            exchanged: 0,
            rules,
            folds,
            wanted: None,
            late: None,
            reloads: 0,
            in_flight,
            stands_still: [0; SHARDS],
            has_wall_steps,
            wall_steps: 0,
            fault,
            closed_early: [None; SHARDS],
        }
    }

    fn step(&mut self) {
        match self.chance.up_to(99) {
            0..40 => self.client(false),
            40..65 => {
                let shard = self.chance.place(SHARDS);
                if self.clock.mono_ns() >= self.stands_still[shard] {
                    self.shard(shard);
                }
            }
            65..75 => self.delivery.turn(),
            75..85 => self.cuts(),
            85..99 => self.clock.advance(self.chance.up_to(60 * MS)),
            _ => self.rare(),
        }
    }

    fn rare(&mut self) {
        let now = self.clock.now();
        match self.chance.place(7) {
            5 | 6 => self.reload(),
            0 => self.clock.advance(self.chance.up_to(3 * INTERVAL_NS)),
            3 | 4 => self.exchange(),
            1 => {
                let shard = self.chance.place(SHARDS);
                self.stands_still[shard] = now.mono_ns + self.chance.up_to(4 * INTERVAL_NS);
            }
            _ if !self.has_wall_steps => self.clock.advance(self.chance.up_to(INTERVAL_NS)),
            _ => {
                let (back, by) = (self.chance.one_in(2), self.chance.up_to(3 * INTERVAL_NS));
                self.clock.set_wall(if back { now.wall_ns - by } else { now.wall_ns + by });
                self.wall_steps += 1;
            }
        }
    }

    /// Other rules are wanted, once those before are in force everywhere.
    fn reload(&mut self) {
        let is_settled = self.shared.gates.settle() && !self.folds.is_pending() && self.delivery.is_taken_up();
        if self.rules.has_rules() && is_settled && self.wanted.is_none() && self.late.is_none() {
            self.wanted = Some(self.rules.next(&mut self.chance));
        }
    }

    /// As the control thread: rules that wait are offered before a cut that comes now.
    fn cuts(&mut self) {
        let now = self.clock.now();
        if let Some(late) = self.late.take() {
            self.put(late, false);
        }
        if self.schedule.is_due(&self.shared.board, now)
            && let Some(plan) = self.wanted.take()
        {
            self.offer(plan);
        }
        self.folds.settle();
        self.schedule.exchange_with_next(self.folds.is_pending() || self.late.is_some());
        self.schedule.turn(&self.shared.board, now);
    }

    fn offer(&mut self, plan: RunPlan) {
        let mut destinations = self.destinations.clone();
        plan.choose(destinations.iter_mut().map(|(one, _)| one));
        let is_early = self.fault == Fault::ChoosesEarly;
        let (now, then) = (self.folds.in_force(), &plan.rules);
        let have_other_choices = choose_otherwise(
            (self.destinations.iter().map(|(one, _)| one), now.plan().rules()),
            (destinations.iter().map(|(one, _)| one), then.rules()),
        );
        let passed = passed(self.destinations.iter().map(|(one, _)| one), destinations.iter().map(|(one, _)| one));
        let is_changed = have_other_choices || self.folds.would_change(then, plan.selections.as_ref());
        let from_cut = self.schedule.number() + 1 + u32::from(is_changed && !is_early);
        if let Err(why) = self.delivery.exchange(destinations.clone(), from_cut, &mut self.chance) {
            assert!(matches!(why, ExchangeRefused::Pending), "{why}");
            self.wanted = Some(plan);
            return;
        }
        self.destinations = destinations;
        let gate = plan.gate(INTERVAL_NS);
        if self.shared.gates.would_change(&gate) {
            self.shared.gates.offer(gate);
        }
        if !is_changed {
            return;
        }
        self.reloads += 1;
        if self.fault == Fault::OffersLate {
            self.late = Some((plan, passed));
        } else {
            self.put((plan, passed), have_other_choices && self.fault != Fault::KeepsOpen);
        }
        if self.chance.one_in(3) {
            // often late for the cut: what it took in before is merged under these rules
            let shard = self.chance.place(SHARDS);
            self.stands_still[shard] = self.clock.mono_ns() + self.chance.up_to(3 * INTERVAL_NS);
        }
    }

    fn put(&mut self, (plan, passed): (RunPlan, Box<[Passed]>), closes: bool) {
        let RunPlan { rules, selections, .. } = plan;
        let folds = &self.folds;
        let is_put = folds.offer_passing((rules, selections), passed, closes);
        assert!(is_put, "those before are in force");
    }

    /// Destinations change, and one comes and goes, while batches are on their way.
    fn exchange(&mut self) {
        let mut wanted = self.destinations.clone();
        for (one, _) in &mut wanted {
            if self.chance.one_in(2) {
                // other connections
                one.in_flight = Some(if self.in_flight == 1 { 1 } else { 1 + self.chance.place(4) });
                one.connections = 1 + self.chance.place(3);
            }
            if self.chance.one_in(3) {
                one.timeout = Duration::from_millis(500 + self.chance.up_to(2_000));
            }
        }
        if self.chance.one_in(2) {
            let (mut guest, habits) = wanted[DELTAS].clone();
            guest.name = "guest".into();
            wanted.push((guest, habits));
        }
        match self.delivery.exchange(wanted, self.schedule.number() + 1, &mut self.chance) {
            Ok(exchanged) => {
                self.exchanged += u64::from(!exchanged.changed.is_empty() && !exchanged.removed.is_empty())
            }
            Err(why) => assert!(matches!(why, ExchangeRefused::Pending), "{why}"),
        }
    }

    fn client(&mut self, is_leaving: bool) {
        let at = self.chance.place(CLIENTS);
        let wall_ns = self.clock.now().wall_ns;
        self.clients[at].step(&self.networks, wall_ns, is_leaving, &mut self.chance);
    }

    fn shard(&mut self, number: usize) -> Turned {
        let board = &self.shared.board;
        if self.fault == Fault::ClosesEarly
            && let Due::Switch(cut) = board.due(number)
        {
            board.try_switch(number, cut.number);
            self.closed_early[number] = Some(cut.number + 1);
        }
        let events = self.networks[number].events();
        let turned = self.shards[number].turn(events.into_iter());
        if self.closed_early[number].is_some() && self.shared.board.due(number) == Due::Nothing {
            let interval = self.closed_early[number].take().expect("looked at above");
            self.shards[number].ingest().switch(interval);
        }
        turned
    }

    /// All shards turn, in any order, and what they lead to is done.
    fn round(&mut self, is_leaving: bool) {
        let first = self.chance.place(SHARDS);
        for at in 0..SHARDS {
            let number = (first + at) % SHARDS;
            if self.clock.mono_ns() >= self.stands_still[number] {
                self.shard(number);
            }
        }
        (0..CLIENTS).for_each(|_| self.client(is_leaving));
        self.delivery.turn();
        self.clock.advance(self.chance.up_to(20 * MS));
    }

    /// Runs until `is_done`, which must come.
    fn until(&mut self, what: &str, is_leaving: bool, mut is_done: impl FnMut(&mut Simulation) -> bool) {
        for _ in 0..STEPS_OF_THE_END_MAX {
            if is_done(self) {
                return;
            }
            self.round(is_leaving);
        }
        panic!("this never ends: {what}");
    }

    /// As the control thread ends the process.
    fn end(&mut self) {
        self.stands_still = [0; SHARDS];
        self.shared.phase.store(DRAINING, Release);
        let patience = self.clock.mono_ns() + 5 * INTERVAL_NS;
        self.until("doors drain", false, |all| {
            all.cuts();
            all.clock.mono_ns() > patience || all.shared.drained.iter().all(|drained| drained.load(Acquire))
        });
        self.shared.phase.store(LAST_CUT, Release);
        if self.chance.one_in(3) {
            let shard = self.chance.place(SHARDS);
            self.stands_still[shard] = self.clock.mono_ns() + self.chance.up_to(3 * INTERVAL_NS);
        }
        self.until("the last cut is made", false, Simulation::cut_last);
        self.until("the last cut is merged", true, |all| {
            let now = all.clock.now();
            all.schedule.skip_late(&all.shared.board, now);
            if all.schedule.was_missed() {
                all.cut_last();
                return false;
            }
            all.shared.board.all_merged(all.schedule.number()) && !all.shared.is_holding()
        });
        self.until("clients have their answers", true, |all| {
            all.clients.iter().all(Client::is_idle) || all.chance.one_in(500)
        });
        self.clients.iter_mut().for_each(Client::give_up);
        self.delivery.stop(u64::MAX - 1);
        for _ in 0..STEPS_OF_THE_END_MAX {
            let now = self.clock.now();
            if self.delivery.is_over(now) {
                break;
            }
            // by its own timers alone
            let next_ns = self.delivery.next_ns().expect("what is not over has a timer");
            self.clock.advance(next_ns.min(now.mono_ns + 3_600 * INTERVAL_NS).saturating_sub(now.mono_ns));
            self.delivery.turn();
        }
        assert!(self.delivery.is_over(self.clock.now()), "delivery never ends");
        self.shared.phase.store(QUITTING, Release);
        for number in 0..SHARDS {
            assert_eq!(self.shard(number), Turned::Quits);
        }
    }

    fn cut_last(&mut self) -> bool {
        let now = self.clock.now();
        let board = &self.shared.board;
        board.all_merged(self.schedule.number()) && self.schedule.cut_last(board, now) == Woken::Shards
    }

    /// What must hold when all is over.
    fn check(self) -> Rare {
        let tally = Tally::sum(self.readings.iter().map(|reading| Tally::from_words(reading.ledger.read())));
        let (rows, stats): (Vec<_>, Vec<StatsRow>) =
            self.sender.standings().into_iter().map(|one| ((one.name, one.row), one.stats)).unzip();
        let of_shards = self.readings.iter().map(|reading| reading.ledger.clone());
        let account = Account::new(of_shards, self.sender.clone(), (self.shared.gates.clone(), self.folds.clone()));
        let (drops, of_rules) = (account.drops(), account.rules());
        let ledger = LedgerPage {
            tally: &tally,
            destinations: &rows,
            breakers: &[],
            drops: &drops,
            rules: &of_rules,
            verified_open: None,
        };
        assert!(ledger.balanced(), "{}", ledger.json());
        assert_eq!(tally.open(), 0, "everything is merged");
        assert!(self.folds.is_closed() || !self.rules.has_rules(), "the last cut closes all intervals");
        // those of rules that are gone, too
        for (slot, noticed) in self.folds.noticed().iter().enumerate() {
            let (given, left) = (&noticed.notes.given, &noticed.notes.left);
            assert_eq!(given.int(), left.int(), "what members of {slot} gave is what its outputs gave");
        }
        let dropped: u64 = drops.iter().map(|(_, _, points)| points).sum();
        assert_eq!(tally.discarded(Discard::Rule), dropped);
        let mut count = Count::begin(&self.shared);
        let counted = (0..1_000).find_map(|_| count.step(&self.shared)).expect("a count ends");
        assert_eq!(counted, Some(0), "no bank holds points any more");

        let seen: Vec<Seen> = self.clients.iter().map(|client| client.seen).collect();
        let of = |what: fn(&Seen) -> u64| seen.iter().map(what).sum::<u64>();
        let (acknowledged, unanswered) = (of(|s| s.acknowledged_points), of(|s| s.unanswered_points));
        let taken = tally.applied_total() + tally.discarded_total();
        assert!((acknowledged..=acknowledged + unanswered).contains(&taken), "{acknowledged} {unanswered} {taken}");
        let sums = summed(self.clients.iter().map(Client::sums));
        let totals = summed(self.clients.iter().map(Client::totals));
        let (left, received) = self.delivery.count_left();
        assert_eq!(left, 0, "nothing is left");
        let mut rare = Rare::default();
        for (d, (name, received)) in received.iter().enumerate() {
            let received = received.borrow();
            let place =
                rows.iter().position(|(of, _)| of == name).expect("a destination has a row as long as it all runs");
            let (read, row, stats) = (ReceivedPoints::read(&received), &rows[place].1, &stats[place]);
            // what was taken once may be refused when it comes again, or be given up before that is known
            let taken = row.delivered + received.rejected;
            let known = taken..=taken + row.dropped(Dropped::Refused) + row.dropped(Dropped::Removed);
            assert!(known.contains(&read.points), "destination {d}: {} {row:?}", read.points);
            assert_eq!(row.dropped(Dropped::RejectedByDestination), received.rejected, "destination {d}");
            assert!(read.again <= stats.resent_ambiguous, "destination {d}");
            match d {
                DELTAS => self.rules.check_deltas(self.rules.choice(d), &sums, &read, dropped as i64),
                TOTALS => self.rules.check_totals(self.rules.choice(d), (&sums, &totals), &read),
                _ => {}
            }
            if d == DELTAS || d == TOTALS {
                assert_eq!(row.dropped_total(), 0, "destination {d} loses nothing: {row:?}");
            }
            // where order is none, a retry comes behind what was sent after it; windows follow a clock that steps
            let is_in_order = self.destinations.iter().any(|(one, _)| one.name == *name && one.order == ByCut);
            if (self.fault == Fault::AnyOrder || is_in_order || self.in_flight == 1) && self.wall_steps == 0 {
                rare.in_order += u64::from(self.in_flight > 1);
                let stays = |key: &str| self.rules.stays(d, key);
                read.check_order(d != TOTALS, stays);
            }
            rare.ends += read.ends;
            rare.overflowed += read.overflowed;
            rare.came_again += read.again;
            for body in &received.requests {
                for byte in body {
                    rare.fingerprint = (rare.fingerprint ^ u64::from(*byte)).wrapping_mul(0x100_0000_01B3);
                }
            }
        }
        let stat = |what: fn(&StatsRow) -> u64| stats.iter().map(what).sum::<u64>();
        let dropped = |why| rows.iter().map(|(_, row)| row.dropped(why)).sum::<u64>();
        let cuts = self.schedule.counts();
        Rare {
            retries: stat(|s| s.retries),
            ambiguous: stat(|s| s.resent_ambiguous),
            timed_out: stat(|s| s.tries_timed_out),
            throttled: stat(|s| s.throttled),
            unauthorized: stat(|s| s.tries_unauthorized),
            breaker_opened: stat(|s| s.breaker_opened),
            breaker_closed: stat(|s| s.breaker_closed),
            split: stat(|s| s.requests_split),
            rejected: dropped(Dropped::RejectedByDestination),
            refused: dropped(Dropped::Refused),
            queue_full: dropped(Dropped::QueueFull),
            exchanged: self.exchanged,
            removed: dropped(Dropped::Removed),
            reloads: self.reloads,
            dropped_by_rules: tally.discarded(Discard::Rule),
            skipped: cuts.skipped,
            postponed: cuts.postponed,
            resets: tally.noted(Note::Reset),
            wall_steps: self.wall_steps,
            requests_refused: of(|s| s.refused),
            requests_abandoned: of(|s| s.abandoned),
            requests_unanswered: unanswered,
            ..rare
        }
    }
}

fn destinations(chance: &mut Chance, fault: Fault) -> Vec<(deliver::Destination, Habits)> {
    let to = |name: &str, temporality, queue_bytes: usize| {
        let mut one = parse_out("otlp-http://127.0.0.1:1?compression=none&timeout=2s").unwrap();
        (one.name, one.temporality, one.queue_bytes) = (name.into(), Some(temporality), queue_bytes);
        one
    };
    let forgets_retries = fault == Fault::RetryDrops;
    let patient = Habits {
        retries: 4,
        loses_answers: 8,
        hangs: 12,
        is_away: 8,
        forbids: 30,
        forgets_retries,
        ..Habits::default()
    };
    // two of them by default
    let orders = [if fault == Fault::AnyOrder { DeliveryOrder::None } else { ByCut }; 2];
    let small = Habits { bytes_max: [0, 1_100][chance.place(2)], ..patient };
    let hostile = Habits { rejects: 6, refuses: 6, ..patient };
    // more than one request, and not many
    let queue_bytes = 3_500 + chance.up_to(4_000) as usize;
    let mut all = vec![
        (to("deltas", Temporality::Delta, 64 << 20), small),
        (to("totals", Temporality::Cumulative, 64 << 20), patient),
        (to("hostile", Temporality::Delta, queue_bytes), hostile),
    ];
    for ((one, _), order) in
        all.iter_mut().zip(orders.into_iter().chain([[ByCut, DeliveryOrder::None][chance.place(2)]]))
    {
        one.order = order;
    }
    all
}

fn run(seed: u64, fault: Fault) -> Rare {
    let mut all = Simulation::new(seed, fault);
    (0..STEPS).for_each(|_| all.step());
    all.end();
    all.check()
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// Runs from many seeds: what was acknowledged is what arrives, once, and the ledger balances; and what is rare happened.
#[test]
fn simulated_runs_lose_nothing_and_count_everything() {
    if let Some(seed) = number("SIMULATION_SEED") {
        println!("{:#?}", run(seed, Fault::Nothing));
        return;
    }
    let seeds = number("SIMULATION_SEEDS").unwrap_or(SEEDS);
    let mut all = BTreeMap::new();
    for seed in 0..seeds {
        let again = format!("SIMULATION_SEED={seed} cargo test --lib simulated_runs -- --nocapture");
        let rare = catch_unwind(|| run(seed, Fault::Nothing));
        let rare = rare.unwrap_or_else(|_| panic!("seed {seed} fails: {again}"));
        let counts = [
            ("retries", rare.retries),
            ("retries of what may have been taken", rare.ambiguous),
            ("tries without an answer in time", rare.timed_out),
            ("advice to wait", rare.throttled),
            ("tries whose credentials were not taken", rare.unauthorized),
            ("destinations in order with several requests in flight", rare.in_order),
            ("breakers that opened", rare.breaker_opened),
            ("breakers that closed", rare.breaker_closed),
            ("requests sent in parts", rare.split),
            ("points rejected", rare.rejected),
            ("points refused", rare.refused),
            ("points dropped by a full queue", rare.queue_full),
            ("shards late for a cut", rare.skipped),
            ("cuts postponed", rare.postponed),
            ("resets", rare.resets),
            ("steps of the wall clock", rare.wall_steps),
            ("requests refused", rare.requests_refused),
            ("requests abandoned", rare.requests_abandoned),
            ("points without an answer", rare.requests_unanswered),
            ("requests received twice", rare.came_again),
            ("destinations changed and taken out", rare.exchanged),
            ("points dropped with their destination", rare.removed),
            ("exchanges of rules", rare.reloads),
            ("points dropped by rules", rare.dropped_by_rules),
            ("series that ended for a destination", rare.ends),
            ("points of what a rule had no room for", rare.overflowed),
        ];
        counts.into_iter().for_each(|(what, count)| *all.entry(what).or_insert(0) += count);
    }
    println!("{seeds} seeds: {all:#?}");
    assert!(all.values().all(|count| *count > 0), "what should be rare never happened: {all:#?}");
}

/// The same seed gives the same run, byte for byte, and another does not: a failure can be looked at again.
#[test]
fn simulated_runs_repeat() {
    let fingerprints = |seed| run(seed, Fault::Nothing).fingerprint;
    assert_eq!(fingerprints(3), fingerprints(3));
    assert_ne!(fingerprints(3), fingerprints(4));
}

/// What is broken on purpose is found: the checks see what they should.
#[test]
fn simulated_runs_find_planted_faults() {
    let faults = [
        Fault::RetryDrops,
        Fault::AnyOrder,
        Fault::ClosesEarly,
        Fault::ChoosesEarly,
        Fault::OffersLate,
        Fault::KeepsOpen,
    ];
    let found = faults.map(|fault| {
        let fails = |seed: &u64| catch_unwind(AssertUnwindSafe(|| run(*seed, fault))).is_err();
        (fault, (0..SEEDS_TO_FIND).find(fails))
    });
    for (fault, seed) in found {
        println!("{fault:?} is found by seed {seed:?}");
        assert!(seed.is_some(), "{fault:?} is not found within {SEEDS_TO_FIND} seeds");
    }
}
