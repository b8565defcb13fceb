//! What the members that one shard owns gave one output in a base interval.
//!
//! Knows members' values; does not know who they are, cuts, or what leaves. Parts of all shards are absorbed by the
//! output's state in any order: what is promised to the bit does not depend on it.
//!
//! Bounds: a part of a counter is `FoldPart` itself; the rest is boxed, and as large as what the outputs ask for.

use super::contribution::{ContributedRegion, Contribution};
use super::distinct::Distinct;
use super::exact::ExactSum;
use super::made::Made;
use super::needs;
use super::regions::RegionPart;
use super::samples::Samples;
use super::spec::{FoldSpec, is_of_samples};
use super::top::TopTable;
use super::values::SampleValues;
use super::work::FoldWork;
use crate::aggregate::number::Value;
use crate::rules::InputKind;

/// What the members of a shard gave.
#[derive(Clone, Debug, Default)]
pub struct FoldPart {
    /// Σ Δ; of histograms the number of observations.
    pub(super) delta: ExactSum,
    pub(super) points: u64,
    pub(super) touched: u32,
    pub(super) live: u32,
    pub(super) levels: Option<Box<LevelPart>>,
    pub(super) regions: Option<Box<RegionPart>>,
    pub(super) tables: Option<Box<TablePart>>,
}

/// Values of keys.
#[derive(Clone, Debug, Default)]
pub(super) struct TablePart {
    /// For each `unique` of the outputs.
    pub(super) unique: Vec<Distinct>,
    /// For each `topk`.
    pub(super) top: Vec<TopTable>,
}

/// Levels of live members at the cut.
#[derive(Clone, Debug, Default)]
pub(super) struct LevelPart {
    /// Σ V of those that have no delta input.
    pub(super) standing: ExactSum,
    pub(super) samples: Samples,
    /// Histograms of them, for the outputs that are such.
    pub(super) made: Vec<Made>,
    /// They themselves, for quantiles.
    pub(super) values: SampleValues,
}

impl FoldPart {
    /// Adds what a member gave.
    #[inline]
    pub fn add(&mut self, spec: &FoldSpec, given: &Contribution<'_>, work: &mut FoldWork) {
        self.points += given.points;
        self.touched += u32::from(given.is_touched);
        self.live += u32::from(given.is_live);
        if let Some(delta) = given.delta
            && (spec.input == InputKind::Counter || spec.input == InputKind::UpDownCounter && given.is_delta)
        {
            if self.delta.add(delta) {
                work.notes.given.add(delta);
            } else {
                work.notes.not_finite += 1;
            }
        }
        if let Some(level) = given.level
            && given.is_live
            && spec.needs(needs::LEVELS)
        {
            self.add_level(spec, level, given, work);
        }
        if let Some(words) = given.summary
            && given.is_live
            && spec.needs(needs::NEWEST)
        {
            self.regions.get_or_insert_default().offer(given.time_ns, words);
        }
        if let Some(region) = &given.region {
            self.add_region(spec, region, work);
        }
        if !spec.unique.is_empty() || !spec.top.is_empty() {
            self.add_keys(spec, given, work);
        }
    }

    fn add_keys(&mut self, spec: &FoldSpec, given: &Contribution<'_>, work: &mut FoldWork) {
        let TablePart { unique, top } = &mut **self.tables.get_or_insert_default();
        if given.is_live {
            unique.resize_with(spec.unique.len(), Distinct::default);
            for (unique, hash) in unique.iter_mut().zip(given.distinct) {
                unique.add(*hash);
            }
        }
        let mut sum = ExactSum::default();
        let has_some = match (&given.region, given.delta, given.level) {
            (_, _, level) if is_of_samples(spec.input) => level.is_some_and(|level| given.is_live && sum.add(level)),
            (Some(region), ..) => {
                sum.add_int(i128::from(region.count()));
                true
            }
            (_, delta, _) => delta.is_some_and(|delta| sum.add(delta)),
        };
        if has_some {
            top.resize_with(spec.top.len(), TopTable::default);
            for (top, key) in top.iter_mut().zip(given.top) {
                work.notes.table_full += top.add(key, &sum);
            }
        }
    }

    fn add_level(&mut self, spec: &FoldSpec, level: Value, given: &Contribution<'_>, work: &mut FoldWork) {
        let levels = self.levels.get_or_insert_default();
        if spec.needs(needs::STANDING) && !given.is_delta {
            levels.standing.add(level);
        }
        let is_finite = levels.samples.add(spec.needs, level, given.time_ns, given.extremes);
        work.notes.not_finite += u64::from(!is_finite);
        if is_finite && spec.needs(needs::MADE | needs::VALUES) {
            let value = level.as_f64();
            if spec.needs(needs::VALUES) {
                levels.values.add(value, &mut work.exponential);
            }
            for made in made_for(&mut levels.made, spec) {
                made.observe(value, &mut work.exponential);
            }
        }
    }

    fn add_region(&mut self, spec: &FoldSpec, region: &ContributedRegion<'_>, work: &mut FoldWork) {
        let count = i128::from(region.count());
        self.delta.add_int(count);
        work.notes.given.add_int(count);
        if spec.needs(needs::REGIONS) {
            self.regions.get_or_insert_default().add(region, work);
        }
    }

    /// Takes over what another shard's members gave.
    pub fn absorb(&mut self, spec: &FoldSpec, other: &mut FoldPart, work: &mut FoldWork) {
        self.points += other.points;
        self.touched += other.touched;
        self.live += other.live;
        self.delta.absorb(&other.delta);
        if let Some(from) = &mut other.levels {
            let levels = self.levels.get_or_insert_default();
            levels.standing.absorb(&from.standing);
            levels.samples.absorb(&from.samples, 1);
            levels.values.absorb(&mut from.values, &mut work.exponential);
            if !from.made.is_empty() {
                for (into, from) in made_for(&mut levels.made, spec).iter_mut().zip(&mut from.made) {
                    work.notes.count_overflows += u64::from(into.absorb(from));
                }
            }
        }
        if let Some(from) = &mut other.regions {
            debug_assert!(spec.needs(needs::REGIONS | needs::NEWEST));
            self.regions.get_or_insert_default().absorb(from, work);
        }
        if let Some(from) = &other.tables {
            let TablePart { unique, top } = &mut **self.tables.get_or_insert_default();
            unique.resize_with(spec.unique.len(), Distinct::default);
            top.resize_with(spec.top.len(), TopTable::default);
            unique.iter_mut().zip(&from.unique).for_each(|(into, from)| into.absorb(from));
            work.notes.table_full += top.iter_mut().zip(&from.top).map(|(into, from)| into.absorb(from)).sum::<u64>();
        }
    }

    /// How many small parts it takes as long as to absorb, beside one.
    pub fn weight(&self) -> usize {
        let levels = self.levels.as_ref().map_or(0, |levels| levels.values.len() / 64 + levels.made.len());
        let regions = self.regions.as_ref().map_or(0, |_| 4);
        let tables = self
            .tables
            .as_ref()
            .map_or(0, |tables| 16 * tables.unique.len() + tables.top.iter().map(TopTable::len).sum::<usize>() / 4);
        levels + regions + tables
    }

    /// Nothing was given, and nobody is live.
    pub const fn is_empty(&self) -> bool {
        self.touched == 0 && self.live == 0 && self.points == 0
    }

    /// Makes it empty; its memory is used again.
    pub fn clear(&mut self) {
        let (mut levels, mut regions) = (self.levels.take(), self.regions.take());
        if let Some(levels) = &mut levels {
            let (mut made, mut values) = (std::mem::take(&mut levels.made), std::mem::take(&mut levels.values));
            made.iter_mut().for_each(Made::clear);
            values.clear();
            **levels = LevelPart { made, values, ..LevelPart::default() };
        }
        if let Some(regions) = &mut regions {
            regions.clear();
        }
        let mut tables = self.tables.take();
        if let Some(tables) = &mut tables {
            tables.unique.iter_mut().for_each(Distinct::clear);
            tables.top.iter_mut().for_each(TopTable::clear);
        }
        *self = FoldPart { levels, regions, tables, ..FoldPart::default() };
    }

    /// Bytes of memory that it takes.
    pub fn bytes(&self) -> usize {
        size_of::<FoldPart>()
            + self
                .levels
                .as_ref()
                .map_or(0, |levels| size_of::<LevelPart>() + made_bytes(&levels.made) + levels.values.bytes())
            + self.regions.as_ref().map_or(0, |regions| regions.bytes())
            + self.tables.as_ref().map_or(0, |tables| {
                let unique: usize = tables.unique.iter().map(|unique| size_of::<Distinct>() + unique.bytes()).sum();
                let top: usize = tables.top.iter().map(|top| size_of::<TopTable>() + top.bytes()).sum();
                size_of::<TablePart>() + unique + top
            })
    }
}

/// The histograms that outputs make, empty where there were none.
pub(super) fn made_for<'a>(made: &'a mut Vec<Made>, spec: &FoldSpec) -> &'a mut [Made] {
    if made.len() != spec.made.len() {
        *made = spec.made.iter().map(|(_, bucketing)| Made::new(bucketing)).collect();
    }
    made
}

/// Bytes of them.
pub(super) fn made_bytes(made: &[Made]) -> usize {
    made.iter().map(|made| size_of::<Made>() + made.bytes()).sum()
}
