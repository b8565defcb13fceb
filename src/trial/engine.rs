//! A process without threads: cores and owners as the server has them, cuts when somebody says so.
//!
//! Knows in which order a shard does things at a cut; does not know sockets, clocks, or what points mean. Points come as
//! requests, so that everything behind a door is the server's own.

use crate::config::Plan;
use crate::flush::{self, FoldShared, Outlet, Owner, Work, Written};
use crate::fold::Notes;
use crate::ingest::{self, GatePlan, Ingest, explain};
use crate::ledger::Tally;
use crate::model::{Door, EpochNumber, Flushed, Receipt, View};
use crate::rows::Rows;
use crate::series::Series;
use crate::series::index::IndexCursor;
use crate::series::registry::{self, Registry};
use crate::series::slab::SlabWriter;
use crate::sync::cut::{CutBoard, CutTimes, Due, Publish, Switch};
use crate::trial::row::{TrialRow, take_rows};
use std::sync::Arc;

/// Both views of a cut, as they leave.
#[derive(Default)]
struct Kept {
    rows: Vec<TrialRow>,
}

impl Outlet for Kept {
    fn wants(&self, _: View) -> bool {
        true
    }

    fn take(&mut self, flushed: Flushed, rows: &impl Rows) -> Option<Written> {
        let before = self.rows.len();
        take_rows(rows, flushed.view.temporality, &mut self.rows);
        let points = (self.rows.len() - before) as u64;
        (points > 0).then_some(Written { points, bytes: 0 })
    }
}

/// Nobody, to whom nothing leaves.
struct Nobody;

impl Outlet for Nobody {
    fn wants(&self, _: View) -> bool {
        false
    }

    fn take(&mut self, _: Flushed, _: &impl Rows) -> Option<Written> {
        None
    }
}

/// One core of it, and what that owns.
struct Core {
    ingest: Ingest,
    owner: Owner,
}

/// See the file's head.
pub struct Engine {
    registry: Arc<Registry>,
    board: CutBoard,
    cores: Vec<Core>,
    tally: Tally,
    /// What cores share of the rules.
    rules: Arc<FoldShared>,
    /// What becomes of what comes in, from the next cut on.
    gate: Option<GatePlan>,
    /// What cores go by from the next cut on.
    gate_then: GatePlan,
    /// Cuts that were made.
    cuts: u32,
    /// Where the window of the next cut begins.
    from_ns: u64,
    sweep_after: u32,
    future_ns: u64,
}

impl Engine {
    /// With so many cores, as the plan says otherwise; the process began at `started_ns`, wall clock.
    pub fn new(plan: &Plan, cores: usize, started_ns: u64) -> Engine {
        let (writers, slabs): (Vec<_>, Vec<_>) = (0..cores).map(|_| SlabWriter::new()).unzip();
        let limits = registry::Options {
            series_limit: plan.series_limit,
            group_limit: plan.group_limit.unwrap_or(usize::MAX),
            memory_limit: plan.memory_limit.unwrap_or(usize::MAX),
        };
        let registry = Arc::new(Registry::new(limits, slabs));
        let owned = flush::Options {
            plan: plan.number,
            epoch: EpochNumber::FIRST,
            started_ns,
            expire_ns: u64::try_from(plan.expire.as_nanos()).unwrap_or(u64::MAX),
        };
        let taken = ingest::Options { started_ns, limits: plan.attributes };
        let state = registry.state().clone();
        let rules = Arc::new(FoldShared::new(plan.rules.clone(), cores, plan.output_limit(), state));
        let gate = plan.gate();
        let core = |(i, slab)| {
            let mut ingest = Ingest::new(i, taken, registry.clone(), slab);
            ingest.take_up(&gate);
            Core { ingest, owner: Owner::with_rules(i, owned, registry.clone(), Some(rules.clone())).0 }
        };
        Engine {
            registry: registry.clone(),
            board: CutBoard::new(cores),
            cores: writers.into_iter().enumerate().map(core).collect(),
            tally: Tally::default(),
            rules,
            gate: None,
            gate_then: gate,
            cuts: 0,
            from_ns: started_ns,
            sweep_after: (plan.expire.as_nanos() / plan.interval.as_nanos().max(1)).clamp(2, 1 << 20) as u32,
            future_ns: u64::try_from(plan.max_future.as_nanos()).unwrap_or(u64::MAX),
        }
    }

    /// A request comes in at `core`, when the clock says `now_ns`.
    ///
    /// # Errors
    /// Words, where it is no request.
    pub fn send(&mut self, core: usize, now_ns: u64, body: &[u8]) -> Result<Receipt, String> {
        let ingest = &mut self.cores[core].ingest;
        ingest.accept_until(now_ns.saturating_add(self.future_ns));
        let receipt = ingest.export(Door::OtlpGrpc.into(), body, &mut self.tally);
        receipt.map_err(|fault| explain(&fault, body))
    }

    /// A cut at `boundary_ns`, the last one of the process or not: what leaves, in both views.
    pub fn cut(&mut self, boundary_ns: u64, is_last: bool) -> Vec<TrialRow> {
        let mut kept = Kept::default();
        self.make_cut(boundary_ns, is_last, &mut kept);
        kept.rows
    }

    /// A cut at `boundary_ns` of which nobody wants to know what leaves.
    pub fn close(&mut self, boundary_ns: u64) {
        self.make_cut(boundary_ns, false, &mut Nobody);
    }

    fn make_cut(&mut self, boundary_ns: u64, is_last: bool, outlet: &mut impl Outlet) {
        self.cuts += 1;
        let times = CutTimes {
            from_ns: self.from_ns,
            boundary_ns,
            mono_ns: boundary_ns,
            is_last,
            is_exchange: self.rules.is_pending(),
        };
        self.from_ns = boundary_ns;
        let published = self.board.publish(self.cuts, times);
        assert_eq!(published, Publish::Published, "nothing is being merged between two cuts");
        // each core in its turn, until nobody has anything to do
        while (0..self.cores.len()).filter(|core| self.turn(*core, outlet)).count() > 0 {}
        self.gate = None;
        assert!(self.tally.balanced(), "the ledger balances: {:?}", self.tally);
        assert_eq!(self.tally.open(), 0, "a cut of all cores leaves nothing open");
    }

    /// All series that came in and live.
    pub fn each_series(&self, visit: &mut dyn FnMut(&Series)) {
        for owner in 0..self.cores.len() {
            self.registry.trie(owner).walk(&mut IndexCursor::default(), usize::MAX, |series| visit(series));
        }
    }

    /// Other rules and other entries of `dedup`, behind the next cut.
    pub fn reload(&mut self, plan: &Plan) {
        let is_offered = self.rules.offer(plan.rules.clone(), None);
        assert!(is_offered, "nothing is pending between two cuts");
        self.gate_then = plan.gate().behind(&self.gate_then);
        self.gate = Some(self.gate_then.clone());
    }

    /// All points counted.
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// What rules noticed, all of them together.
    pub fn noticed(&self) -> Notes {
        let mut all = Notes::default();
        self.rules.noticed().iter().for_each(|of| all.absorb(&of.notes));
        all
    }

    /// What the board asks of a core; `false` if nothing.
    fn turn(&mut self, number: usize, outlet: &mut impl Outlet) -> bool {
        let Core { ingest, owner } = &mut self.cores[number];
        match self.board.due(number) {
            Due::Nothing => return false,
            Due::Switch(cut) => {
                ingest.hand_over();
                let switched = self.board.try_switch(number, cut.number);
                assert!(matches!(switched, Switch::Switched { .. }), "nobody is skipped");
                ingest.switch(cut.number + 1);
                if cut.number.is_multiple_of(self.sweep_after) {
                    ingest.sweep(self.sweep_after);
                }
                if let Some(gate) = &self.gate {
                    ingest.take_up(gate);
                }
                while ingest.tidy() {}
            }
            Due::Merge(cut) => {
                if !owner.busy() {
                    let views = (0..self.board.shards()).map(|shard| self.board.view(shard)).collect();
                    owner.begin(cut.number, cut.times, views);
                }
                if owner.step(ingest.slab_mut(), &mut self.tally, outlet, || true) == Work::Folded {
                    self.board.fold_done(number, cut.number);
                }
            }
            Due::Settle(cut) => {
                if !owner.is_settling() {
                    owner.settle();
                }
                if owner.step(ingest.slab_mut(), &mut self.tally, outlet, || true) == Work::Done {
                    self.board.merge_done(number, cut.number);
                }
            }
        }
        true
    }
}
