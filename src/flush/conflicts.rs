//! Identities under which more than one thing leaves: outputs of rules, or an output and a series that passes on.
//!
//! Knows identities, and whose outputs have them; does not know values: what is found is counted and told, and both leave
//! (the scrape page makes one row of them).
//!
//! ```text
//!   output begins, is over ───────► the shard that owns its identity ─► asked at the end of a cut ─► counted by rule
//!   series passes on as one does ─►   (and the series that came in                                └► told, once a pair
//!                                      with that identity, too)
//! ```
//!
//! The hash of an identity says which shard owns it, whoever makes its values. So all that share one are found in one place,
//! and nothing is looked for at a point, or at a cut at which nothing begins.
//!
//! Invariants
//! 1. Each pair is counted when the second of both begins to leave, or does again. So whichever of several goes first, those
//!    that stay were told of each other.
//! 2. What an exchange of rules ends is not told beside what takes its place: nothing is asked until it is forgotten.
//!
//! Progress: lock-free. Ordering: news go through queues, which order what was written of a series before; what is read of
//! one that goes on meanwhile is a hint.
//!
//! Bounds: `ALIKE_MAX` outputs of an identity are kept, those that come when there are as many are told beside them;
//! `PAIRS_MAX` pairs of a cut, and of all time, are told apart: others are counted. News are as many as outputs began or
//! ended since the cut before, or since rules were exchanged.

use super::in_force::{FORGOTTEN_AFTER, RulesInForce};
use super::noticed::NoticedHere;
use super::seen::seen;
use crate::rules::{ExplainedSeries, InputKind, OutputSpec};
use crate::series::index::{Lookup, Trie};
use crate::series::registry::{Registry, owner_of};
use crate::series::{ReadValue, Series};
use crate::sync::published::Published;
use crossbeam::queue::SegQueue;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Outputs of one identity that are kept.
const ALIKE_MAX: usize = 8;
/// Pairs that are told apart.
const PAIRS_MAX: usize = 100;
/// Characters of an identity that are shown.
const SHOWN_MAX: usize = 256;
/// Bytes that an output takes in the index of identities, about.
const ENTRY_BYTES: usize = 32;

/// What leaves under an identity that another has, too.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConflictSide {
    /// A series that passes on.
    Input,
    /// An output.
    Output {
        /// The rule's name.
        rule: Arc<str>,
        /// The output as the rule writes it.
        output: Arc<str>,
    },
}

impl ConflictSide {
    /// It is an output of the rule of this name.
    pub fn is_of(&self, name: &str) -> bool {
        matches!(self, ConflictSide::Output { rule, .. } if **rule == *name)
    }
}

impl fmt::Display for ConflictSide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConflictSide::Input => f.write_str("what passes on"),
            ConflictSide::Output { rule, output } => write!(f, "{output} of {rule}"),
        }
    }
}

/// Two that leave under one identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeavingConflict {
    /// Both, that of the earlier rule first; what passes on is before all.
    pub of: [ConflictSide; 2],
    /// An identity that they share, as it is written for people.
    pub series: String,
    /// How many of them were found since the start.
    pub count: u64,
}

/// What became of an output, or a series.
#[derive(Debug)]
enum News {
    /// An output leaves from now on, or again.
    Begins(Arc<Series>),
    /// It is no more.
    Over(Arc<Series>),
    /// A series that came in leaves, and an output has its identity.
    Passes(Arc<Series>),
}

/// What shards tell each other of identities, and what they found.
#[derive(Debug)]
pub(super) struct ConflictNews {
    /// By the shard that owns the identity.
    news: Box<[SegQueue<News>]>,
    found: SegQueue<LeavingConflict>,
    told: Published<Vec<LeavingConflict>>,
}

impl ConflictNews {
    pub(super) fn new(shards: usize) -> ConflictNews {
        ConflictNews {
            news: (0..shards).map(|_| SegQueue::new()).collect(),
            found: SegQueue::new(),
            told: Published::new(Arc::default()),
        }
    }

    fn put(&self, hash: u64, news: News) {
        self.news[owner_of(hash, self.news.len())].push(news);
    }

    /// An output left for the first time, or for the first time since it ended.
    pub(super) fn begins(&self, series: &Arc<Series>) {
        self.put(series.hash, News::Begins(series.clone()));
    }

    /// An output is no more.
    pub(super) fn is_over(&self, series: Arc<Series>) {
        self.put(series.hash, News::Over(series));
    }

    /// What was found until now, of rules that are in force. One thread only.
    pub(super) fn gather(&self, is_in_force: impl Fn(&str) -> bool) -> Arc<Vec<LeavingConflict>> {
        let told = self.told.load();
        let is_known = |side: &ConflictSide| match side {
            ConflictSide::Input => true,
            ConflictSide::Output { rule, .. } => is_in_force(rule),
        };
        let is_gone = |one: &LeavingConflict| !one.of.iter().all(is_known);
        if self.found.is_empty() && !told.iter().any(is_gone) {
            return told;
        }
        let mut all = told.to_vec();
        while let Some(found) = self.found.pop() {
            if let Some(known) = all.iter_mut().find(|known| known.of == found.of) {
                (known.count, known.series) = (known.count + found.count, found.series);
            } else if all.len() < PAIRS_MAX {
                all.push(found);
            }
        }
        all.retain(|one| !is_gone(one));
        let all = Arc::new(all);
        self.told.store(all.clone());
        all
    }

    /// What was gathered last. Any thread.
    pub(super) fn told(&self) -> Arc<Vec<LeavingConflict>> {
        self.told.load()
    }
}

/// A pair that was found at a cut: an identity, and how many there are.
type Found = BTreeMap<[ConflictSide; 2], (String, u64)>;

/// Identities that one shard owns, as far as outputs have them.
pub(super) struct Conflicts {
    shard: usize,
    shared: Arc<ConflictNews>,
    /// Outputs by identity; nothing as long as there were none.
    outputs: Option<Box<Trie<Series>>>,
    /// How many there are.
    count: usize,
    /// Cuts until what an exchange ended is forgotten.
    waits: u32,
    /// At the cut being ended.
    found: Found,
}

impl Conflicts {
    pub(super) fn new(shard: usize, shared: Arc<ConflictNews>) -> Conflicts {
        Conflicts { shard, shared, outputs: None, count: 0, waits: 0, found: Found::new() }
    }

    /// Bytes it takes, about.
    pub(super) const fn bytes(&self) -> usize {
        self.count * ENTRY_BYTES
    }

    /// A series of this shard passes on: it is born, or shown again.
    #[inline]
    pub(super) fn passes(&self, series: &Arc<Series>) {
        if let Some(outputs) = &self.outputs
            && outputs.get(series.hash, |output| output.is_like(series)).is_some()
        {
            self.shared.put(series.hash, News::Passes(series.clone()));
        }
    }

    /// A cut is over, and rules were exchanged with it, or not.
    pub(super) const fn end_cut(&mut self, is_exchange: bool) {
        self.waits = if is_exchange { FORGOTTEN_AFTER } else { self.waits.saturating_sub(1) };
    }

    /// Asks about up to `n` of what began or ended; `false` when there is no more.
    pub(super) fn ask_some(
        &mut self,
        n: usize,
        (in_force, registry): (&RulesInForce, &Registry),
        noticed: &mut NoticedHere,
    ) -> bool {
        if self.waits == 0 {
            for _ in 0..n {
                match self.shared.news[self.shard].pop() {
                    None => break,
                    Some(News::Begins(series)) => self.ask_output(series, (in_force, registry), noticed),
                    Some(News::Over(series)) => self.forget(&series),
                    Some(News::Passes(series)) if leaves_itself(&series) => {
                        self.ask_alike(&series, in_force, noticed);
                    }
                    Some(News::Passes(_)) => {}
                }
            }
            if !self.shared.news[self.shard].is_empty() {
                return true;
            }
        }
        for (of, (series, count)) in std::mem::take(&mut self.found) {
            self.shared.found.push(LeavingConflict { of, series, count });
        }
        false
    }

    /// An output that leaves: who else does under its identity.
    fn ask_output(
        &mut self,
        series: Arc<Series>,
        (in_force, registry): (&RulesInForce, &Registry),
        noticed: &mut NoticedHere,
    ) {
        let alike = self.ask_alike(&series, in_force, noticed);
        if let Some(own) = leaver(&series, in_force)
            && registry.like(&series).is_some_and(|input| leaves_itself(&input))
        {
            self.find([None, Some(own)], &series, noticed);
        }
        if alike < ALIKE_MAX {
            let outputs = self.outputs.get_or_insert_with(|| Box::new(Trie::new()));
            let itself = Arc::as_ptr(&series);
            let put = outputs.get_or_insert(series.hash, |other| std::ptr::eq(other, itself), || Some(series));
            self.count += usize::from(matches!(put, Lookup::Inserted(_)));
        }
    }

    /// Tells an output, or a series that passes on, of the outputs that have its identity; how many there are.
    fn ask_alike(&mut self, series: &Arc<Series>, in_force: &RulesInForce, noticed: &mut NoticedHere) -> usize {
        let Some(outputs) = &self.outputs else { return 0 };
        let (mut alike, mut all) = (0, Vec::new());
        outputs.get(series.hash, |other| {
            if !std::ptr::eq(other, &raw const **series) && other.is_like(series) {
                alike += 1;
                all.extend(leaver(other, in_force).filter(|_| is_shown(other)));
            }
            // all of them
            false
        });
        let own = leaver(series, in_force);
        if own.is_some() || series.made_of().is_none() {
            all.into_iter().for_each(|other| self.find([own.clone(), Some(other)], series, noticed));
        }
        alike
    }

    /// Two leave under the identity of `series`.
    fn find(&mut self, of: [Option<Leaver>; 2], series: &Series, noticed: &mut NoticedHere) {
        let [a, b] = &of;
        let slots = [a, b].map(|one| one.as_ref().map(|leaver| leaver.slot));
        for slot in slots.iter().flatten() {
            noticed.of(*slot).notes.output_conflicts += 1;
        }
        if let [Some(a), Some(b)] = slots
            && a == b
        {
            // once a pair
            noticed.of(a).notes.output_conflicts -= 1;
        }
        let [a, b] = if a.as_ref().map(Leaver::place) <= b.as_ref().map(Leaver::place) { [a, b] } else { [b, a] };
        let pair = [a, b].map(|one| one.as_ref().map_or(ConflictSide::Input, |leaver| leaver.side.clone()));
        if let Some((_, count)) = self.found.get_mut(&pair) {
            *count += 1;
        } else if self.found.len() < PAIRS_MAX {
            self.found.insert(pair, (shown(series), 1));
        }
    }

    /// An output is no more.
    fn forget(&mut self, series: &Arc<Series>) {
        let is_out = self.outputs.as_ref().is_some_and(|outputs| outputs.remove(series));
        self.count -= usize::from(is_out);
    }
}

/// An output as rules in force have it.
#[derive(Clone)]
struct Leaver {
    slot: u32,
    /// Of its rule, and among its outputs.
    place: (u32, usize),
    side: ConflictSide,
}

impl Leaver {
    const fn place(&self) -> (u32, usize) {
        self.place
    }
}

/// Which output of which rule leaves as this series; nothing if none does any more, or it came in.
fn leaver(series: &Series, in_force: &RulesInForce) -> Option<Leaver> {
    let slot = series.made_of()?.rule;
    if in_force.rules().len() <= slot as usize {
        return None;
    }
    let (folds, place) = in_force.at(slot);
    let (says, place) = (folds.aggregation()?, place?);
    let group = &series.group;
    let leaves_as = InputKind::of(group.kind, group.monotonic);
    let all = InputKind::ALL.into_iter().flat_map(|input| {
        let is_it = move |(_, spec): &(usize, &OutputSpec)| {
            spec.output.leaves_as(input) == leaves_as && is_called(&spec.name, group.name())
        };
        says.outputs[input as usize].iter().enumerate().filter(is_it)
    });
    // names with more words say more
    let (at, spec) = all.max_by_key(|(at, spec)| (spec.name.len(), std::cmp::Reverse(*at)))?;
    let rule = in_force.plan().rules().get(place as usize)?.name.clone();
    Some(Leaver { slot, place: (place, at), side: ConflictSide::Output { rule, output: spec.text.clone() } })
}

/// Whether an output with this name may be called so.
fn is_called(name: &str, called: &str) -> bool {
    let Some((before, behind)) = name.split_once("{name}") else { return name == called };
    let rest = called.strip_prefix(before);
    // of a name that says it several times the first one is enough
    let behind = behind.rsplit("{name}").next().unwrap_or(behind);
    rest.is_some_and(|rest| rest.ends_with(behind))
}

/// It is alive, and did not end.
fn is_shown(series: &Series) -> bool {
    !series.is_dead() && !matches!(series.read(u32::MAX), ReadValue::Ended)
}

/// A series that came in is not hidden.
fn leaves_itself(series: &Series) -> bool {
    is_shown(series) && !series.hides()
}

/// Its identity for people.
fn shown(series: &Series) -> String {
    let all = ExplainedSeries::of(&seen(&series.group), &series.attributes).to_string();
    match all.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &all[..end]),
        None => all,
    }
}
