//! The scrape page's view of the index: one cut, read while the next is being made.
//!
//! Knows directories and value slots; does not know the page's format. A value that a second cut has overwritten
//! breaks the page off (`Overtaken`).

use super::shared::ProcessState;
use crate::aggregate::explicit::ExplicitRegion;
use crate::aggregate::exponential::ExponentialRegion;
use crate::aggregate::summary::SummaryRegion;
use crate::cells::block;
use crate::flush::{GroupDirectory, ListedPlace};
use crate::model::Kind;
use crate::prometheus::{Meta, Overtaken, PageRow, Progress, Source};
use crate::rows::{Row, RowValue};
use crate::series::exemplars::Shown;
use crate::series::{ReadValue, Series};
use std::ops::ControlFlow;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};

/// One cut of all shards.
pub(super) struct ScrapedCut {
    pub shared: Arc<ProcessState>,
    /// With the numbers of their shards.
    pub directories: Vec<(usize, GroupDirectory)>,
    /// The same of outputs of rules, two of which may leave under one identity.
    pub outputs: Vec<(usize, GroupDirectory)>,
    pub number: u32,
    /// By shard, the exemplars of the cut, as long as their owner keeps them: a slow page does not.
    pub exemplars: Vec<Weak<Shown>>,
}

/// A group on one shard.
#[derive(Clone)]
pub(super) struct ScrapedGroup {
    shard: usize,
    listed: ListedPlace,
    meta: Arc<Meta>,
}

impl Source for ScrapedCut {
    type Group = ScrapedGroup;

    fn groups(&self) -> Vec<ScrapedGroup> {
        let mut all = Vec::new();
        let series = self.directories.iter().map(|one| (one, false));
        for ((shard, directory), may_repeat) in series.chain(self.outputs.iter().map(|one| (one, true))) {
            let list = directory.load();
            for (at, listed) in list.iter().enumerate().filter(|(_, listed)| !listed.is_hidden()) {
                let (Some(series), Some(place)) = (listed.load(), ListedPlace::of(&list, at)) else { continue };
                let m = series.group();
                let meta = Meta {
                    resource: m.resource().clone(),
                    resource_schema_url: m.resource_set.schema_url.clone(),
                    scope: m.scope().clone(),
                    scope_schema_url: m.scope_set.schema_url.clone(),
                    name: m.name().clone(),
                    unit: m.unit().clone(),
                    description: m.description().map_or_else(Arc::default, |text| Arc::from(&**text)),
                    kind: m.kind,
                    hints: m.hints(),
                    monotonic: m.monotonic,
                    bounds: (m.kind == Kind::Histogram).then(|| m.bounds.clone()),
                    may_repeat,
                    born_ns: u64::from(m.id) + 1,
                };
                all.push(ScrapedGroup { shard: *shard, listed: place, meta: Arc::new(meta) });
            }
        }
        all
    }

    fn meta<'a>(&self, group: &'a ScrapedGroup) -> &'a Meta {
        &group.meta
    }

    fn rows(
        &self,
        group: &ScrapedGroup,
        cursor: &mut usize,
        visit: &mut dyn FnMut(PageRow<'_>) -> ControlFlow<()>,
    ) -> Result<Progress, Overtaken> {
        self.each(group.shard, &group.listed, cursor, &mut |_, row| visit(row))
    }
}

impl ScrapedCut {
    /// Visits the rows of a group from `cursor` on, each with its series, until `visit` breaks; as `Source::rows`.
    pub(super) fn each(
        &self,
        shard: usize,
        listed: &ListedPlace,
        cursor: &mut usize,
        visit: &mut dyn FnMut(&Series, PageRow<'_>) -> ControlFlow<()>,
    ) -> Result<Progress, Overtaken> {
        let Some(list) = listed.load() else { return Ok(Progress::Done) };
        let kind = list.group().kind;
        let mut words = Vec::new();
        let exemplars = self.exemplars.get(shard).and_then(Weak::upgrade);
        while let Some(series) = list.get(*cursor) {
            *cursor += 1;
            if series.is_dead() {
                continue;
            }
            let (value, slot, cut) = match series.read(self.number) {
                ReadValue::Found { value, slot, cut } => (value, slot, cut),
                ReadValue::NotYet | ReadValue::Ended | ReadValue::Hidden => continue,
                ReadValue::Overtaken if series.is_dead() => continue,
                ReadValue::Overtaken => return Err(Overtaken),
            };
            let is_number = matches!(kind, Kind::Gauge | Kind::Sum);
            if !is_number && self.region(shard, series, slot, &mut words).is_none() {
                continue;
            }
            let start_ns = if kind == Kind::Gauge { 0 } else { series.start_of(slot) };
            if !series.still(slot, cut) {
                if series.is_dead() {
                    continue;
                }
                return Err(Overtaken);
            }
            let time_ns = series.time();
            // whole, as the slot is still the cut's
            let value = match kind {
                Kind::Gauge | Kind::Sum => RowValue::Number(value),
                Kind::Summary => RowValue::Summary(SummaryRegion::new(&words)),
                Kind::Histogram => RowValue::Histogram(ExplicitRegion::new(&words)),
                Kind::ExponentialHistogram => RowValue::Exponential(ExponentialRegion::new(&words)),
            };
            let exemplars = exemplars.as_ref().filter(|_| cut == self.number).map_or(&[][..], |all| all.of(series));
            let row = PageRow { row: Row { attributes: &series.attributes, start_ns, time_ns, value, exemplars }, cut };
            if visit(series, row).is_break() {
                return Ok(Progress::More);
            }
        }
        Ok(Progress::Done)
    }

    /// Copies the region in a slot, which means nothing if it is being overwritten.
    fn region(&self, shard: usize, series: &Series, slot: usize, into: &mut Vec<u64>) -> Option<()> {
        let words = self.slot(shard, series, slot)?;
        into.clear();
        // ORDERING: Relaxed; the caller checks the slot's cut number afterwards (series::value, invariant 2)
        into.extend(words.iter().map(|word| word.load(Relaxed)));
        Some(())
    }

    /// The region in a slot of the series' block.
    fn slot(&self, shard: usize, series: &Series, slot: usize) -> Option<&[AtomicU64]> {
        let group = &series.group;
        let line = series.block().checked_sub(1)?;
        let words = self.shared.registry.slab(shard).run(line, group.block_words())?;
        Some(block::slot(words, block::region_words(group.kind, group.buckets()), slot))
    }
}
