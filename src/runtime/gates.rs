//! What becomes of what comes in, exchanged while it runs: the newest plan, the shards that go by it, and what each plan put
//! aside.
//!
//! ```text
//!   control ─► offer, before a cut ─► each shard takes it up when it switches for that cut ─► what it counts by it, here
//!           ◄─ all have: what the plan before counted is kept by name ◄──────────────────────────┘
//! ```
//!
//! Does not know: what a plan says. Progress: the control thread alone writes the newest plan and the table; each shard writes
//! its own place once a plan. Nobody waits.
//!
//! Bounds: two plans at any time, for the next one is offered when all shards have this one; `limits::DROPS_GONE_MAX` names of
//! rules that are gone, and what those beyond had counted is kept under one name.

use crate::ingest::GatePlan;
use crate::limits::DROPS_GONE_MAX;
use crate::model::Discard;
use crate::sync::counts::Counts;
use crate::sync::published::Published;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

/// A plan, and which shards go by it.
#[derive(Debug)]
pub(super) struct GateOffer {
    /// Counted from 0.
    number: u64,
    plan: GatePlan,
    /// By shard, once it goes by the plan, the points that it puts aside by the plan's numbers.
    counts: Box<[OnceLock<Arc<Counts>>]>,
}

impl GateOffer {
    fn new(number: u64, plan: GatePlan, shards: usize) -> GateOffer {
        GateOffer { number, plan, counts: (0..shards).map(|_| OnceLock::new()).collect() }
    }

    /// What it says.
    pub(super) fn plan(&self) -> &GatePlan {
        &self.plan
    }

    /// Shards that will go by it.
    pub(super) fn shards(&self) -> usize {
        self.counts.len()
    }

    /// The shard goes by it from now on, and counts here.
    pub(super) fn taken_up(&self, shard: usize, counts: Arc<Counts>) {
        let _ = self.counts[shard].set(counts);
    }

    /// Whether all shards go by it.
    fn is_taken_up(&self) -> bool {
        self.counts.iter().all(|shard| shard.get().is_some())
    }

    /// By what puts points aside, how many.
    fn read(&self) -> impl Iterator<Item = PutAside> {
        let sum = |number: usize| self.counts.iter().filter_map(OnceLock::get).map(|counts| counts.read(number)).sum();
        self.plan.named().map(move |(number, why, name)| (why, name.clone(), sum(number)))
    }
}

/// Why, what puts points aside, and how many.
type PutAside = (Discard, Arc<str>, u64);

/// What was put aside.
#[derive(Debug)]
struct PutAsideTable {
    /// By plans that no shard goes by any more.
    before: Vec<PutAside>,
    /// Plans that some shard may go by, the newest last.
    plans: Vec<Arc<GateOffer>>,
}

/// The newest plan.
#[derive(Debug)]
pub(super) struct GateBoard {
    newest: Published<GateOffer>,
    table: Published<PutAsideTable>,
}

impl GateBoard {
    /// With the first plan, which so many shards take up as they begin.
    pub(super) fn new(plan: GatePlan, shards: usize) -> GateBoard {
        let first = Arc::new(GateOffer::new(0, plan, shards));
        let table = PutAsideTable { before: Vec::new(), plans: vec![first.clone()] };
        GateBoard { newest: Published::new(first), table: Published::new(Arc::new(table)) }
    }

    /// The newest plan.
    pub(super) fn newest(&self) -> Arc<GateOffer> {
        self.newest.load()
    }

    /// The newest plan, if it is another one than that of this number, which is its number then.
    pub(super) fn newer_than(&self, number: &mut u64) -> Option<Arc<GateOffer>> {
        let newest = self.newest.load();
        (std::mem::replace(number, newest.number) != newest.number).then_some(newest)
    }

    /// Whether another plan differs from the newest one for what comes in.
    pub(super) fn would_change(&self, plan: &GatePlan) -> bool {
        plan.change_from(&self.newest.load().plan).is_any()
    }

    /// Offers another plan, once all shards go by the last one (`settle`). The control thread.
    pub(super) fn offer(&self, plan: GatePlan) {
        let before = self.newest.load();
        let plan = plan.behind(&before.plan);
        let next = Arc::new(GateOffer::new(before.number + 1, plan, before.counts.len()));
        let table = self.table.load();
        let plans = table.plans.iter().chain([&next]).cloned().collect();
        // first of all: what is counted is in the table
        self.table.store(Arc::new(PutAsideTable { before: table.before.clone(), plans }));
        self.newest.store(next);
    }

    /// Whether all shards go by the newest plan; if so, what those before it counted is kept by name. The control thread.
    pub(super) fn settle(&self) -> bool {
        let newest = self.newest.load();
        if !newest.is_taken_up() {
            return false;
        }
        let table = self.table.load();
        if table.plans.len() > 1 {
            let gone = table.plans.iter().filter(|plan| plan.number != newest.number);
            let all = table.before.iter().cloned().chain(gone.flat_map(|plan| plan.read()));
            let before = bound(SumsByName::of(all).all, &SumsByName::of(newest.read()));
            self.table.store(Arc::new(PutAsideTable { before, plans: vec![newest] }));
        }
        true
    }

    /// By what puts points aside, or did, how many: what does so now comes first.
    pub(super) fn drops(&self) -> Vec<PutAside> {
        let table = self.table.load();
        let plans = table.plans.iter().rev().flat_map(|plan| plan.read());
        SumsByName::of(plans.chain(table.before.iter().cloned())).all
    }
}

/// SumsByName by name, in the order in which names came first.
#[derive(Default)]
struct SumsByName {
    all: Vec<PutAside>,
    places: HashMap<(u8, Arc<str>), usize>,
}

impl SumsByName {
    fn of(drops: impl Iterator<Item = PutAside>) -> SumsByName {
        let mut sums = SumsByName::default();
        for (why, name, points) in drops {
            let place = *sums.places.entry((why as u8, name.clone())).or_insert(sums.all.len());
            match sums.all.get_mut(place) {
                Some((_, _, sum)) => *sum += points,
                None => sums.all.push((why, name, points)),
            }
        }
        sums
    }
}

/// What those that are gone are called where there are too many.
const OTHERS: &str = "(others that are gone)";

/// Of names that are gone so many stay, the others under one name; what had counted nothing is forgotten.
fn bound(before: Vec<PutAside>, now: &SumsByName) -> Vec<PutAside> {
    let mut gone = 0;
    let bounded = before.into_iter().filter(|(.., points)| *points > 0).map(|(why, name, points)| {
        let is_gone = *name != *OTHERS && !now.places.contains_key(&(why as u8, name.clone()));
        gone += usize::from(is_gone);
        (why, if is_gone && gone > DROPS_GONE_MAX { OTHERS.into() } else { name }, points)
    });
    SumsByName::of(bounded).all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{Action, Rule, RulePlan, Selector};

    fn plan(names: &[String]) -> GatePlan {
        let rule = |name: &String| Rule {
            name: name.as_str().into(),
            selector: Selector::default(),
            except: None,
            action: Action::Drop,
            goes_on: false,
            was: None,
        };
        let rules = Arc::new(RulePlan::new(names.iter().map(rule).collect()).expect("sound"));
        GatePlan { rules, ..GatePlan::default() }
    }

    /// Each plan has one rule of its own and `stays`; a shard that has not taken the new one up counts by the old one, and all
    /// is in the sum at any time, whatever is gone.
    #[test]
    fn what_was_put_aside_is_counted_by_name_over_all_plans() {
        let plans = DROPS_GONE_MAX as u64 + 5;
        let of = |n: u64| plan(&[format!("own-{n}"), "stays".into()]);
        let gates = GateBoard::new(of(0), 2);
        let mut numbers = [u64::MAX; 2];
        let mut writers: [Option<crate::sync::counts::CountWriter>; 2] = [None, None];
        let take_up = |shard: usize, numbers: &mut [u64; 2], writers: &mut [Option<_>; 2]| {
            let offer = gates.newer_than(&mut numbers[shard]).expect("a newer one");
            let (writer, counts) = Counts::new(offer.plan().numbers());
            offer.taken_up(shard, counts);
            writers[shard] = Some(writer);
        };
        let add = |writers: &mut [Option<crate::sync::counts::CountWriter>; 2]| {
            for writer in writers.iter_mut().flatten() {
                writer.add(0, 1);
                writer.add(1, 10);
            }
        };
        let sum = |name: &str| gates.drops().iter().filter(|drop| &*drop.1 == name).map(|drop| drop.2).sum::<u64>();
        let total = || gates.drops().iter().map(|drop| drop.2).sum::<u64>();
        assert!(!gates.settle(), "nobody goes by it yet");
        take_up(0, &mut numbers, &mut writers);
        take_up(1, &mut numbers, &mut writers);
        assert!(gates.settle());
        add(&mut writers);
        let mut rounds = 1;
        for n in 1..plans {
            assert!(gates.would_change(&of(n)) && !gates.would_change(&of(n - 1)));
            gates.offer(of(n));
            take_up(0, &mut numbers, &mut writers);
            assert!(!gates.settle(), "the other one does not");
            add(&mut writers);
            assert_eq!((sum(&format!("own-{n}")), sum("stays")), (1, 20 * (rounds + 1)));
            take_up(1, &mut numbers, &mut writers);
            assert!(gates.newer_than(&mut numbers[1]).is_none());
            assert!(gates.settle());
            add(&mut writers);
            rounds += 2;
            assert_eq!((sum("stays"), total()), (20 * rounds, 22 * rounds));
        }
        let drops = gates.drops();
        assert!(drops.len() <= DROPS_GONE_MAX + 4, "{}", drops.len());
        assert!(sum(OTHERS) > 0);
        assert_eq!((&*drops[0].1, &*drops[1].1), (&*format!("own-{}", plans - 1), "stays"));
    }
}
