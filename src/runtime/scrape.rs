//! The scrape page's view of the index: one cut, read while the next is being made.
//!
//! Knows directories and value slots; does not know the page's format. A value that a second cut has overwritten
//! breaks the page off (`Overtaken`).

use super::shared::ProcessState;
use crate::aggregate::explicit::{COUNT, FLAGS, HAS_SUM, HEAD, SUM};
use crate::aggregate::exponential::Exponential;
use crate::aggregate::{number, summary};
use crate::cells::block;
use crate::flush::{GroupDirectory, ListedGroup};
use crate::model::Kind;
use crate::otlp::exemplars;
use crate::prometheus::{Exemplar, Meta, Overtaken, Progress, Row, Source, Value};
use crate::series::exemplars::Shown;
use crate::series::{ReadValue, Series};
use std::ops::ControlFlow;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};

/// One cut of all shards.
pub(super) struct ScrapedCut {
    pub shared: Arc<ProcessState>,
    pub directories: Vec<GroupDirectory>,
    pub number: u32,
    /// By shard, the exemplars of the cut, as long as their owner keeps them: a slow page does not.
    pub exemplars: Vec<Weak<Shown>>,
}

/// A group on one shard.
#[derive(Clone)]
pub(super) struct ScrapedGroup {
    shard: usize,
    listed: Arc<ListedGroup>,
    meta: Arc<Meta>,
}

impl Source for ScrapedCut {
    type Group = ScrapedGroup;

    fn groups(&self) -> Vec<ScrapedGroup> {
        let mut all = Vec::new();
        for (shard, directory) in self.directories.iter().enumerate() {
            for listed in directory.load().iter().filter(|listed| !listed.is_gone()) {
                let m = &listed.meta;
                let meta = Meta {
                    resource: m.resource.clone(),
                    resource_schema_url: m.resource_schema_url.clone(),
                    scope: m.scope.clone(),
                    scope_schema_url: m.scope_schema_url.clone(),
                    name: m.name.clone(),
                    unit: m.unit.clone(),
                    description: Arc::from(&**m.description.load()),
                    kind: m.kind,
                    hints: m.hints(),
                    monotonic: m.monotonic,
                    bounds: (m.kind == Kind::Histogram).then(|| m.bounds.clone()),
                    born_ns: u64::from(m.id) + 1,
                };
                all.push(ScrapedGroup { shard, listed: listed.clone(), meta: Arc::new(meta) });
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
        visit: &mut dyn FnMut(Row<'_>) -> ControlFlow<()>,
    ) -> Result<Progress, Overtaken> {
        let list = group.listed.series.load();
        let (mut buckets, mut quantiles, mut exponential) = (Vec::new(), Vec::new(), Exponential::default());
        let exemplars = self.exemplars[group.shard].upgrade();
        while let Some(series) = list.get(*cursor) {
            *cursor += 1;
            if series.is_dead() {
                continue;
            }
            let (value, slot, cut) = match series.read(self.number) {
                ReadValue::Found { value, slot, cut } => (value, slot, cut),
                ReadValue::NotYet | ReadValue::Ended => continue,
                ReadValue::Overtaken if series.is_dead() => continue,
                ReadValue::Overtaken => return Err(Overtaken),
            };
            let value = match group.meta.kind {
                Kind::Gauge | Kind::Sum => match value {
                    number::Value::Int(v) => Value::Int(v),
                    number::Value::Double(v) => Value::Double(v),
                },
                Kind::Summary => {
                    let Some((count, sum)) = self.summary(group.shard, series, slot, &mut quantiles) else { continue };
                    Value::Summary { count, sum, quantiles: &quantiles }
                }
                kind => {
                    let read = match kind {
                        Kind::Histogram => self.histogram(group.shard, series, slot, &mut buckets),
                        _ => self.exponential(group.shard, series, slot, &mut exponential).map(|()| (0, None)),
                    };
                    let Some((count, sum)) = read else { continue };
                    match kind {
                        Kind::Histogram => Value::Histogram { count, sum, buckets: &buckets },
                        _ => Value::Exponential(&exponential),
                    }
                }
            };
            let start_ns = if group.meta.kind == Kind::Gauge { 0 } else { series.start_of(slot) };
            if !series.still(slot, cut) {
                if series.is_dead() {
                    continue;
                }
                return Err(Overtaken);
            }
            let time_ns = series.time();
            let shown = exemplars.iter().filter(|_| cut == self.number).flat_map(|all| all.of(series));
            let shown: Vec<Exemplar<'_>> = shown.filter_map(exemplar).collect();
            let row = Row { attributes: &series.attributes, time_ns, cut, start_ns, value, exemplars: &shown };
            if visit(row).is_break() {
                return Ok(Progress::More);
            }
        }
        Ok(Progress::Done)
    }
}

/// As the page takes it.
fn exemplar(message: &[u8]) -> Option<Exemplar<'_>> {
    let exemplars::Exemplar { time, value, trace_id, span_id, attributes } = exemplars::read(message)?;
    Some(Exemplar { value, time_ns: time, attributes, trace_id, span_id })
}

impl ScrapedCut {
    /// Count and sum of a slot; the buckets go into `buckets`.
    fn histogram(
        &self,
        shard: usize,
        series: &Series,
        slot: usize,
        buckets: &mut Vec<u64>,
    ) -> Option<(u64, Option<f64>)> {
        let words = self.slot(shard, series, slot)?;
        // ORDERING: Relaxed; the caller checks the slot's cut number afterwards (series::value, invariant 2)
        let get = |i: usize| words[i].load(Relaxed);
        buckets.clear();
        buckets.extend((HEAD..words.len()).map(get));
        Some((get(COUNT), (get(FLAGS) & HAS_SUM != 0).then(|| f64::from_bits(get(SUM)))))
    }

    /// Count and sum of a slot; the quantiles go into `quantiles`.
    fn summary(
        &self,
        shard: usize,
        series: &Series,
        slot: usize,
        quantiles: &mut Vec<(f64, f64)>,
    ) -> Option<(u64, f64)> {
        let region = self.slot(shard, series, slot)?;
        // ORDERING: as in `histogram`; a number of quantiles that is being overwritten stays within the region
        let pairs = (summary::used(&region) - summary::HEAD) / 2;
        quantiles.clear();
        quantiles.extend((0..pairs).map(|i| summary::quantile(&region, i)));
        let get = |i: usize| region[i].load(Relaxed);
        Some((get(summary::COUNT), f64::from_bits(get(summary::SUM))))
    }

    /// Reads a slot into `value`, which means nothing if the slot is being overwritten.
    fn exponential(&self, shard: usize, series: &Series, slot: usize, value: &mut Exponential) -> Option<()> {
        let words = self.slot(shard, series, slot)?;
        value.load(&words);
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
