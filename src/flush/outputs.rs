//! The series that leave of folds: their identities, values for scrapes, and the points of a cut.
//!
//! Knows how an output is called, what kind it is, and where its series stand; does not know members, or what is computed.
//!
//! Invariant: a series' value is written once at a cut, by the shard that owns its fold.

use super::batch::Batch;
use super::conflicts::ConflictNews;
use super::fold_series::{FoldSeries, SeriesOfFold};
use super::in_force::RulesInForce;
use super::passing::Passing;
use super::point::{StagedPoint, more_bytes};
use super::selecting::{OutputSelection, Selecting};
use super::tree::{GroupDirectory, Tree, TreePlace};
use super::turning;
use crate::aggregate::{explicit, summary};
use crate::cells::block;
use crate::fold::{Leaving, LeavingValue, TOP_OTHER, Variant};
use crate::identity::Parts;
use crate::identity::attributes::{self, Record, Records, key_byte};
use crate::limits::END_BEHIND_NS;
use crate::model::{Kind, SelectionNumber, TypeHints};
use crate::places::{self, put};
use crate::rules::{InputKind, Output, OutputSpec, SelectionSet};
use crate::series::folds::{FoldIndex, FoldKey};
use crate::series::group::Entry;
use crate::series::registry::identity_hash;
use crate::series::slab::SlabWriter;
use crate::series::{Group, MadeOf, Series};
use crate::sync::thin::ThinBytes;
use crate::wire::put_bytes;
use hashbrown::HashMap;
use std::borrow::Cow;
use std::sync::{Arc, Weak};

/// A series that leaves.
struct OutSeries {
    /// Nothing: the place is free.
    series: Option<Arc<Series>>,
    /// Where in the tree.
    stands: TreePlace,
    /// Where what it added last begins.
    from_ns: u64,
    /// The slot of its rule.
    slot: u32,
    /// Who is given it.
    selection: OutputSelection,
}

/// A point that leaves.
struct StagedOutput {
    place: u32,
    point: StagedPoint,
    /// Of its exemplars.
    bytes: usize,
}

/// What a rule's cut closes.
#[derive(Clone, Copy)]
pub(super) struct OutputCut {
    /// Number of the base cut.
    pub number: u32,
    /// Where the rule's interval began.
    pub from_ns: u64,
    /// Members that count at it.
    pub live: u32,
}

/// See the file's head.
pub(super) struct Outputs {
    tree: Tree,
    conflicts: Arc<ConflictNews>,
    state: ahash::RandomState,
    series: Vec<OutSeries>,
    series_free: Vec<u32>,
    /// By hash of their keys.
    groups: HashMap<u64, Weak<Group>, ahash::RandomState>,
    staged: Vec<StagedOutput>,
    /// Regions of what is staged: total, then step.
    words: Vec<u64>,
}

impl Outputs {
    /// None, and the directory that scrapes read.
    pub(super) fn new(conflicts: &Arc<ConflictNews>, state: &ahash::RandomState) -> (Outputs, GroupDirectory) {
        let (tree, directory) = Tree::new(state);
        let outputs = Outputs {
            tree,
            conflicts: conflicts.clone(),
            state: state.clone(),
            series: Vec::new(),
            series_free: Vec::new(),
            groups: HashMap::with_hasher(state.clone()),
            staged: Vec::new(),
            words: Vec::new(),
        };
        (outputs, directory)
    }

    /// What staged points refer to.
    pub(super) const fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Attributes of the series at a place, and where what it added begins.
    #[inline(never)]
    pub(super) fn at(&self, place: u32) -> Option<(&[u8], u64)> {
        let at = self.series.get(place as usize)?;
        at.series.as_ref().map(|series| (&*series.attributes, at.from_ns))
    }

    /// Who is given the series at a place.
    pub(super) fn selected(&self, place: u32) -> SelectionSet {
        self.series.get(place as usize).map_or(SelectionSet::NONE, |at| at.selection.set)
    }

    /// One of several series of its output, or of an output that is gone, which ended at a cut before this one.
    pub(super) fn is_over(&self, one: &FoldSeries, cut: u32) -> bool {
        let series = self.series[one.place() as usize].series.as_ref();
        (one.is_variant() || one.is_gone())
            && series.is_some_and(|series| series.is_ended() && series.newest_cut() < cut)
    }

    /// Nothing left of it at this cut.
    pub(super) fn is_older(&self, one: &FoldSeries, cut: u32) -> bool {
        self.series[one.place() as usize].series.as_ref().is_some_and(|series| series.newest_cut() < cut)
    }

    /// Takes a fold's series out.
    pub(super) fn forget(&mut self, gone: Vec<FoldSeries>, slab: &mut SlabWriter) {
        for place in gone.iter().map(FoldSeries::place) {
            let at = &mut self.series[place as usize];
            let Some(series) = at.series.take() else { continue };
            let (words, block) = (series.group.block_words(), series.block());
            series.put_dead();
            if words > 0 && block > 0 {
                slab.release(block - 1, words);
            }
            self.tree.bury(at.stands.group);
            self.conflicts.is_over(series);
            self.series_free.push(place);
        }
    }

    /// After folds were forgotten: gives back what they took.
    pub(super) fn trim(&mut self) {
        self.tree.trim();
        places::trim(&mut self.series, &mut self.series_free, |one| one.series.is_none());
    }

    /// What leaves of a fold: its series gets the value, and its point is staged. The series, if there is one.
    pub(super) fn leave(
        &mut self,
        (key, specs, owned): (&FoldKey, &[OutputSpec], &mut SeriesOfFold),
        folds: &FoldIndex,
        cut: OutputCut,
        leaving: &Leaving<'_>,
        slab: &mut SlabWriter,
    ) -> Option<Arc<Series>> {
        let variant = variant_bytes(&leaving.variant);
        let (place, is_new) = match owned.find(leaving.output as u32, &variant, &self.state) {
            Some(place) => (place, false),
            // nothing that never had a value ends
            None if leaving.value == LeavingValue::End => return None,
            None => {
                let place = self.make(key, &specs[leaving.output], &leaving.variant, folds);
                owned.push(leaving.output as u32, &variant, place, &self.state);
                (place, true)
            }
        };
        let at = &mut self.series[place as usize];
        at.from_ns = cut.from_ns;
        let series = at.series.clone()?;
        let begins = is_new || series.is_ended() && leaving.value != LeavingValue::End;
        series.put_made_of(MadeOf { rule: key.rule, members: key.members(), live: cut.live });
        let point = put_value(&series, cut.number, leaving, slab, &mut self.words);
        self.staged.push(StagedOutput { place, point, bytes: 0 });
        if begins {
            self.conflicts.begins(&series);
        }
        Some(series)
    }

    /// A series of a fold ends with this cut, because rules are others: an end mark is staged, if it shows a value. It stands
    /// right behind the last value, or behind where the base interval began: see `turning`.
    pub(super) fn end(&mut self, one: &FoldSeries, cut: OutputCut, slab: &mut SlabWriter) {
        let at = &mut self.series[one.place() as usize];
        let Some(series) = at.series.as_ref().filter(|series| !series.is_ended()) else { return };
        let last_ns = last_of(series, cut);
        at.from_ns = last_ns;
        let (time_ns, start_ns) = (last_ns.saturating_add(END_BEHIND_NS), last_ns);
        let start_ns = if series.group.kind == Kind::Gauge { start_ns } else { series.start().min(start_ns) };
        let leaving = Leaving { output: 0, variant: Variant::Plain, start_ns, time_ns, value: LeavingValue::End };
        let point = put_value(series, cut.number, &leaving, slab, &mut self.words);
        self.staged.push(StagedOutput { place: one.place(), point, bytes: 0 });
    }

    /// A series of a fold of the rule at this place, or of one that is gone, is given to others: who had it and has it no more is
    /// told of its end.
    pub(super) fn pass(
        &mut self,
        one: &FoldSeries,
        cut: OutputCut,
        (passing, selecting, rule): (&Passing, Option<&mut Selecting>, Option<u32>),
        slab: &SlabWriter,
    ) {
        let at = &mut self.series[one.place() as usize];
        let Some(series) = &at.series else { return };
        let all = || SelectionSet::one(SelectionNumber::FIRST);
        let had = match passing.before() {
            0 => all(),
            generation if at.selection.is_of(generation) => at.selection.set,
            _ => SelectionSet::NONE,
        };
        let has = selecting.map_or_else(all, |selecting| {
            selecting.settle_output(rule, series, &mut at.selection, Some(passing.carried(had)));
            at.selection.set
        });
        let ends = passing.ends(had, has);
        if ends.is_empty() || series.newest().is_none() || series.is_ended() {
            return;
        }
        let last_ns = last_of(series, cut);
        let start_ns = if series.group.kind == Kind::Gauge { last_ns } else { series.start() };
        let point = turning::end_mark(series, (start_ns, last_ns), ends, (slab, &mut self.words));
        self.staged.push(StagedOutput { place: one.place(), point, bytes: 0 });
    }

    /// What left last has exemplars: where, and their bytes.
    pub(super) fn show(&mut self, (place, bytes): (u32, usize)) {
        if let Some(last) = self.staged.last_mut() {
            (last.point.exemplars, last.bytes) = (place, bytes);
        }
    }

    fn make(&mut self, key: &FoldKey, spec: &OutputSpec, variant: &Variant<'_>, folds: &FoldIndex) -> u32 {
        let group = self.group(key, spec, variant, folds);
        let mut run = Vec::new();
        let more = more_attributes(variant, &spec.output);
        let has = |record: &Record<'_>| Records::new(&key.attributes).any(|known| known.key() == record.key());
        let all = Records::new(&key.attributes).chain(Records::new(&more).filter(|record| !has(record)));
        for record in all {
            put_bytes(&mut run, key_byte(group.kind), record.bytes);
        }
        // of its identity, whichever rule makes it: so all of one are found together
        let hash = identity_hash(&group, attributes::hash(&run, &self.state), &self.state);
        let series = Arc::new(Series::new(hash, group, ThinBytes::new(&run), 0));
        let stands = self.tree.link(series.clone());
        put(
            &mut self.series,
            &mut self.series_free,
            OutSeries {
                series: Some(series),
                stands,
                from_ns: 0,
                slot: key.rule,
                selection: OutputSelection::default(),
            },
        )
    }

    fn group(&mut self, key: &FoldKey, spec: &OutputSpec, variant: &Variant<'_>, folds: &FoldIndex) -> Arc<Group> {
        let state = &self.state;
        let leaves_as = spec.output.leaves_as(key.input);
        let parts = Parts {
            resource: key.resource.set(),
            scope: key.scope.set(),
            name: &spec.name.replace("{name}", &key.name),
            unit: &spec.output.unit(key.input, &key.unit),
            description: &key.description,
            hints: TypeHints::NONE,
            kind: leaves_as.kind(),
            monotonic: leaves_as == InputKind::Counter,
            bounds: match variant {
                Variant::Bounds(bounds) => bounds,
                _ => &[],
            },
        };
        let is_total = spec.output == Output::Total;
        let group_hash = parts.hash(state);
        let hash = state.hash_one((group_hash, is_total));
        if let Some(group) = self.groups.get(&hash).and_then(Weak::upgrade)
            && group.is(&parts)
            && group.is_total == is_total
        {
            return group;
        }
        let group = Group::new(group_hash, folds.next_group_id(), (Entry::Last, 0), &parts);
        let group = Arc::new(if is_total { group.total() } else { group });
        if self.groups.len() == self.groups.capacity() {
            self.groups.retain(|_, group| group.strong_count() > 0);
        }
        self.groups.insert(hash, Arc::downgrade(&group));
        group
    }

    /// Points that are staged.
    pub(super) const fn staged(&self) -> usize {
        self.staged.len()
    }

    /// Brings what is staged into the order of resources, scopes and groups.
    pub(super) fn sort(&mut self) {
        let series = &self.series;
        // the last first, as they are taken from the end
        self.staged
            .sort_unstable_by_key(|staged| std::cmp::Reverse((series[staged.place as usize].stands, staged.place)));
    }

    /// Moves what is staged into the batch until that is full; `true` when all is in it.
    pub(super) fn fill(&mut self, batch: &mut Batch, mut selecting: Option<(&mut Selecting, &RulesInForce)>) -> bool {
        while !batch.is_full() {
            let Some(StagedOutput { place, mut point, bytes }) = self.staged.pop() else {
                self.words.clear();
                return true;
            };
            let at = &mut self.series[place as usize];
            let Some(series) = &at.series else { continue };
            if let Some((selecting, in_force)) = &mut selecting {
                selecting.settle_output(in_force.at(at.slot).1, series, &mut at.selection, None);
            }
            let TreePlace { resource, scope, group } = at.stands;
            let meta = &series.group;
            let length = staged_words(meta);
            if length > 0 && (!point.ended || meta.kind == Kind::Summary) {
                let words = batch.words();
                let from = std::mem::replace(&mut point.words, words.len() as u32) as usize;
                words.extend_from_slice(&self.words[from..from + length]);
            }
            point.series = place;
            batch.enter(resource, scope, group);
            batch.add_bytes(bytes);
            batch.push(point, series.attributes.len() + more_bytes(meta.kind, meta.buckets()));
        }
        self.staged.is_empty()
    }

    /// Output series that are alive.
    pub(super) const fn live(&self) -> usize {
        self.tree.live()
    }
}

/// The time behind which an end stands: of the last value, or where the base interval began, unless it left at the cut before.
fn last_of(series: &Series, cut: OutputCut) -> u64 {
    let has_just_left = series.newest_cut() + 1 == cut.number;
    if has_just_left { series.time() } else { series.time().max(cut.from_ns) }
}

/// Words that a point of a group has beside it: of histograms two regions; of a summary one, which an end has, too, as its
/// quantiles tell a reader what ends.
fn staged_words(group: &Group) -> usize {
    let region = block::region_words(group.kind, group.buckets());
    if group.kind == Kind::Summary { region } else { 2 * region }
}

/// What tells a variant apart.
fn variant_bytes<'a>(variant: &Variant<'a>) -> Cow<'a, [u8]> {
    match variant {
        Variant::Plain => Cow::Borrowed(&[]),
        Variant::Bounds(bounds) => bounds.iter().flat_map(|bound| bound.to_bits().to_le_bytes()).collect(),
        Variant::Top(records) => Cow::Borrowed(records),
        // no record begins so
        Variant::TopOther => Cow::Borrowed(&[0]),
    }
}

/// Attributes that a variant has and the fold has not, with the key byte 0x0a.
fn more_attributes<'a>(variant: &Variant<'a>, output: &Output) -> Cow<'a, [u8]> {
    match (variant, output) {
        (Variant::Top(records), _) => Cow::Borrowed(records),
        (Variant::TopOther, Output::TopK { keys, .. }) => Cow::Owned(others(keys)),
        _ => Cow::Borrowed(&[]),
    }
}

/// Each of the keys with the value that stands for the others, as records.
fn others(keys: &[Arc<str>]) -> Vec<u8> {
    let (mut value, mut records, mut message) = (Vec::new(), Vec::new(), Vec::new());
    put_bytes(&mut value, 0x0a, TOP_OTHER.as_bytes());
    for key in keys {
        message.clear();
        put_bytes(&mut message, 0x0a, key.as_bytes());
        put_bytes(&mut message, 0x12, &value);
        put_bytes(&mut records, 0x0a, &message);
    }
    records
}

/// Writes the value for scrapes; the point that leaves.
fn put_value(
    series: &Series,
    cut: u32,
    leaving: &Leaving<'_>,
    slab: &mut SlabWriter,
    words: &mut Vec<u64>,
) -> StagedPoint {
    let &Leaving { start_ns, time_ns, value, .. } = leaving;
    let group = &series.group;
    let length = block::region_words(group.kind, group.buckets());
    let is_end = value == LeavingValue::End;
    // what a summary that ends has counted began where it did
    let start_ns = if is_end && group.kind == Kind::Summary { series.start() } else { start_ns };
    if group.kind != Kind::Gauge {
        series.put_start(start_ns);
    }
    series.put_time(time_ns);
    let base = StagedPoint { time: time_ns, start: start_ns, ..StagedPoint::default() };
    if length > 0 && !is_end && series.block() == 0 {
        // line numbers are kept one higher, so that 0 is "none"
        series.put_block(slab.allocate(group.block_words()) + 1);
    }
    // of numbers the word means something else
    let line = if length > 0 { series.block().checked_sub(1) } else { None };
    let lines = line.map(|line| slab.run(line, group.block_words())).unwrap_or_default();
    let slot = |slot: usize| block::slot(lines, length, slot);
    let from = words.len();
    match value {
        LeavingValue::Number { delta, value } => {
            series.put_value(cut, value);
            StagedPoint { time: time_ns, start: start_ns, ..StagedPoint::number(value, delta) }
        }
        LeavingValue::Explicit { delta, total } | LeavingValue::Exponential { delta, total } => {
            series.with_slot(cut, |_, at| explicit::copy(&mut slot(at), &total));
            words.extend_from_slice(total);
            words.extend_from_slice(delta);
            StagedPoint { words: from as u32, has_delta: true, ..base }
        }
        LeavingValue::Summary(region) => {
            series.with_slot(cut, |_, at| summary::copy(&mut slot(at), &region));
            words.extend_from_slice(region);
            words.resize(from + length, 0);
            StagedPoint { words: from as u32, ..base }
        }
        LeavingValue::End if length == 0 => {
            series.end_number(cut);
            StagedPoint { has_delta: true, ended: true, ..base }
        }
        LeavingValue::End if group.kind == Kind::Summary => {
            words.resize(from + length, 0);
            let region = &mut words[from..];
            if let Some(newest) = series.newest() {
                summary::copy(&mut &mut *region, &slot(newest));
                series.end(cut, |from, to| summary::copy(&mut slot(to), &slot(from)));
            }
            summary::forget_values(&mut &mut *region);
            StagedPoint { words: from as u32, ended: true, ..base }
        }
        LeavingValue::End => {
            if !lines.is_empty() {
                series.end(cut, |from, to| explicit::copy(&mut slot(to), &slot(from)));
            }
            StagedPoint { has_delta: true, ended: true, ..base }
        }
    }
}
