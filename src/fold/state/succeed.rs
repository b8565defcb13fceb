//! What an output has gathered goes on under another spec (`succession`).
//!
//! Knows which of its parts are kept for which outputs; does not know why the spec is another one.

use super::{MadeState, OutputState, SumState, TableState};
use crate::fold::made::Made;
use crate::fold::needs;
use crate::fold::spec::{FoldOutput, FoldSpec, is_histogram};
use crate::fold::succession::Succession;
use crate::rules::Output;

impl OutputState {
    /// Goes on under another spec; `since`: how many cuts of the rule there were before it came into force.
    pub fn succeed(&mut self, succession: &Succession, spec: &FoldSpec, since: u64) {
        let Succession { before, is_anew, .. } = succession;
        let moved = |bits: u32| {
            let places = succession.places.iter().enumerate().filter(|(old, _)| bits >> old & 1 == 1);
            places.filter_map(|(_, place)| *place).fold(0, |bits, place| bits | 1 << place)
        };
        self.shown = moved(self.shown);
        if *is_anew {
            (self.since, self.late, self.was_trailing) = (0, 0, false);
            self.ring = None;
            self.values = None;
        } else {
            let late = succession.late(spec);
            self.late = moved(self.late) | late;
            self.late_since = if late == 0 { self.late_since } else { since };
            let ring = self.ring.take().filter(|_| spec.layout.steps > 0);
            self.ring = ring.map(|ring| {
                if before.layout == spec.layout { ring } else { Box::new(ring.refit(&before.layout, &spec.layout)) }
            });
            if let Some(values) = &mut self.values
                && before.value_steps != spec.value_steps
            {
                values.refit(spec.value_steps);
            }
        }
        self.values = self.values.take().filter(|_| spec.needs(needs::VALUES));
        self.levels = self.levels.take().filter(|_| spec.needs(needs::LEVELS));
        self.regions = self.regions.take().filter(|_| spec.needs(needs::REGIONS));
        if let Some(regions) = &mut self.regions {
            regions.refit(spec.region_steps, *is_anew);
        }
        self.succeed_sums(succession, spec);
        if let Some(made) = self.made.take() {
            self.made = Some(Box::new(made.moved(succession, spec)));
        }
        if let Some(tables) = self.tables.take() {
            self.tables = Some(Box::new(tables.moved(succession, spec)));
        }
    }

    /// A sum of histograms' sums that was not there before begins at 0.
    fn succeed_sums(&mut self, succession: &Succession, spec: &FoldSpec) {
        let is_sum = |output: &FoldOutput| matches!(output.output, Output::Sum) && is_histogram(spec.input);
        match spec.outputs.iter().position(is_sum) {
            None => self.sums = None,
            Some(place) if succession.source(place).is_none() => {
                self.sums = Some(Box::new(SumState { start_ns: Some(u64::MAX), ..SumState::default() }));
            }
            Some(_) => {}
        }
    }
}

impl TableState {
    /// Under another spec.
    fn moved(self, succession: &Succession, spec: &FoldSpec) -> TableState {
        let Succession { before, is_anew, .. } = succession;
        let at = |olds: &[usize], now: usize| {
            let old = succession.source(now)?;
            let is_same = !is_anew && before.outputs[old].steps == spec.outputs[now].steps;
            Some((olds.iter().position(|place| *place == old)?, is_same))
        };
        let (mut unique, mut top) = (self.unique, self.top);
        let mut of_unique = |now: &usize| {
            let (old, _) = at(&before.unique, *now).filter(|(_, is_same)| *is_same)?;
            unique.get_mut(old).map(std::mem::take)
        };
        let unique = spec.unique.iter().map(|now| of_unique(now).unwrap_or_default()).collect();
        let mut of_top = |now: &usize| {
            let (old, is_same) = at(&before.top, *now)?;
            let mut top = top.get_mut(old).map(std::mem::take)?;
            if !is_same {
                top.begin_anew();
            }
            Some(top)
        };
        let top = spec.top.iter().map(|now| of_top(now).unwrap_or_default()).collect();
        TableState { unique, counts: Vec::new(), top }
    }
}

impl MadeState {
    /// Under another spec.
    fn moved(mut self, succession: &Succession, spec: &FoldSpec) -> MadeState {
        let mut made = MadeState::default();
        for (now, bucketing) in &spec.made {
            let source = succession.source(*now);
            let old = source.and_then(|old| succession.before.made.iter().position(|(place, _)| *place == old));
            let take = |all: &mut Vec<Made>| {
                let found = old.and_then(|old| all.get_mut(old));
                found.map_or_else(|| Made::new(bucketing), |found| std::mem::replace(found, Made::new(bucketing)))
            };
            made.open.push(take(&mut self.open));
            made.total.push(take(&mut self.total));
            made.starts_ns.push(old.and_then(|old| self.starts_ns.get(old).copied().flatten()));
        }
        made
    }
}
