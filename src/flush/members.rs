//! The members of folds on one shard, and what they give at a cut.
//!
//! Knows which of the shard's series belong to which folds, and when they were touched; does not know what is computed of
//! what they give (`fold`), or what leaves (`settling`).
//!
//! A series is asked about when it is linked, and again behind an exchange of rules. What comes of that is a number beside it
//! in its group's list: of an entry, which members of the same folds share. Nothing here is touched for a point.
//!
//! Invariants
//! 1. An entry is there as long as a member has its number; a lane as long as an entry has it.
//! 2. What happens to a lane is told to its owner with the next packet, in order, and before any part of it.
//! 3. A series that a rule could not take, because there is no room for its outputs, passes on: nothing is lost.
//!
//! Bounds: entries and lanes by members; packets by pairs of shards.

use super::folded::FoldShared;
use super::hand_over::{LaneEvent, LanePart, Outbox, Packet};
use super::in_force::{Heritage, RulesInForce};
use super::known_sets::KnownSets;
use super::noticed::NoticedHere;
use super::point::StagedPoint;
use super::rule_cuts::RuleCuts;
use super::seen::seen;
use crate::aggregate::number::Value;
use crate::aggregate::summary;
use crate::cells::block;
use crate::fold::{ContributedRegion, Contribution, FoldPart, LiveNeed, Liveness};
use crate::ledger::{Note, Tally};
use crate::model::Kind;
use crate::places::put;
use crate::rules::{Candidates, InitialValue, Passage, RouteVerdict, RuleMatcher, StreamVerdict};
use crate::series::exemplars::{KeptExemplar, Reservoir};
use crate::series::folds::{FoldKey, FoldRefusal};
use crate::series::slab::SlabWriter;
use crate::series::{Group, Series};
use crate::sync::cut::CutTimes;
use hashbrown::HashMap;
use std::sync::Arc;

/// What a shard keeps of a member, beside its series.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Member {
    /// Number of its entry; 0: no rule folds it.
    pub entry: u32,
    liveness: Liveness,
}

impl Member {
    /// Its entry, if rules fold it.
    pub(super) fn fold(self) -> Option<u32> {
        (self.entry != 0).then_some(self.entry)
    }

    /// The same, once: it has none from now on.
    pub(super) fn take_fold(&mut self) -> Option<u32> {
        let entry = self.fold();
        self.entry = 0;
        entry
    }
}

/// A fold that a series belongs to, entered, with what its outputs ask of the series' attributes.
type FoundFold = (Arc<FoldKey>, Box<[u64]>, Box<[Arc<[u8]>]>);

/// What members of the same folds share.
#[derive(Debug, Default)]
struct MemberEntry {
    lanes: Box<[u32]>,
    /// How many have its number.
    members: u32,
    /// Their own values do not leave.
    hides: bool,
    /// How the first point of a cumulative counts: as the first rule has it that says so.
    initial: InitialValue,
    /// What only one member has: for outputs that look at attributes.
    own: Option<Box<OwnKeys>>,
}

/// What outputs that look at attributes need of a member, by lane.
#[derive(Debug, Default)]
struct OwnKeys {
    distinct: Vec<Box<[u64]>>,
    top: Vec<Box<[Arc<[u8]>]>>,
    /// What the texts among them take that others do not have.
    bytes: usize,
}

/// This shard's share of a fold.
#[derive(Debug, Default)]
struct Lane {
    key: Option<Arc<FoldKey>>,
    owner: usize,
    part: FoldPart,
    /// Entries that have it.
    entries: u32,
    /// How often it was used for another fold before.
    generation: u32,
    /// Its part has something of this cut.
    is_listed: bool,
    /// Its owner is told that series joined it at the exchange.
    is_joined: bool,
}

/// What an entry takes: itself, its lanes, twice, and its place in the table.
pub(super) const ENTRY_BYTES: usize = size_of::<MemberEntry>() + 64;
/// What an entry takes that only one member has: keys for outputs that look at attributes.
const OWN_BYTES: usize = 256;
/// What a lane takes: itself, its places in the table, in its owner's, and in the packets of two cuts.
pub(super) const LANE_BYTES: usize = size_of::<Lane>() + 32 + 2 * size_of::<LanePart>();

/// See the file's head.
pub(super) struct Membership {
    shard: usize,
    shared: Arc<FoldShared>,
    in_force: Arc<RulesInForce>,
    matcher: RuleMatcher,
    /// By slot of the rule.
    of_rules: Vec<MembersOfRule>,
    /// Slots of which something else was told.
    changed: Vec<u32>,
    /// Members of all rules.
    all: usize,
    entries: Vec<MemberEntry>,
    entry_free: Vec<u32>,
    /// Entries without keys of their own, by lanes and whether they hide.
    entry_ids: HashMap<(Box<[u32]>, bool), u32, ahash::RandomState>,
    lanes: Vec<Lane>,
    lane_free: Vec<u32>,
    /// By address of the key.
    lane_ids: HashMap<usize, u32, ahash::RandomState>,
    /// Lanes whose parts have something of this cut.
    listed: Vec<u32>,
    /// What owners are told next.
    outbox: Outbox,
    /// A packet that came back, and is not yet empty.
    returned: Option<Packet>,
    /// The newest exemplars of the cut, by lane.
    exemplars: Reservoir,
    /// Resources and scopes of the folds asked for last.
    sets: KnownSets,
    /// The keys of an output `topk` that were asked for last: of series of one resource they are often the same.
    top: Arc<[u8]>,
    /// Bytes of such keys.
    top_bytes: usize,
    /// See `is_short`.
    is_short: bool,
    /// The newest point of a summary.
    summary: Vec<u64>,
    /// Time of the cut, for liveness.
    now_ms: u32,
    expire_ms: u64,
}

/// What merging a series gave.
#[derive(Clone, Copy)]
pub(super) struct MergedMember<'a> {
    pub point: Option<&'a StagedPoint>,
    /// Words of the batch, where its histogram regions are.
    pub words: &'a [u64],
    /// Points that were taken out of its cells.
    pub points: u64,
    /// Delta input had reached it before.
    pub had_delta: bool,
    /// The smallest and the largest value of a gauge inside the interval, if a rule asks.
    pub extremes: Option<(Value, Value)>,
    /// Where the values of summaries are.
    pub slab: &'a SlabWriter,
}

impl Membership {
    pub(super) fn new(
        shard: usize,
        (shared, in_force): (Arc<FoldShared>, Arc<RulesInForce>),
        state: &ahash::RandomState,
        expire_ns: u64,
    ) -> Membership {
        Membership {
            shard,
            matcher: RuleMatcher::new(in_force.plan().clone()),
            of_rules: vec![MembersOfRule::default(); in_force.rules().len()],
            changed: Vec::new(),
            all: 0,
            in_force,
            // number 0 is nobody's
            entries: vec![MemberEntry::default()],
            entry_free: Vec::new(),
            entry_ids: HashMap::with_hasher(state.clone()),
            lanes: Vec::new(),
            lane_free: Vec::new(),
            lane_ids: HashMap::with_hasher(state.clone()),
            listed: Vec::new(),
            outbox: Outbox::new(shard, shared.hand_over().shards()),
            returned: None,
            exemplars: Reservoir::default(),
            sets: KnownSets::default(),
            top: Arc::default(),
            top_bytes: 0,
            is_short: false,
            summary: Vec::new(),
            now_ms: 0,
            expire_ms: expire_ns / 1_000_000,
            shared,
        }
    }

    /// A cut begins.
    pub(super) fn begin(&mut self, times: CutTimes) {
        self.now_ms = Liveness::at(times.mono_ns);
    }

    /// Parts whose takers have emptied them: their memory is used again. Up to `n` of them; `false` when there are no more.
    /// Before lanes are looked at at a cut.
    pub(super) fn take_back_some(&mut self, n: usize) -> bool {
        let returned = self.returned.take().or_else(|| self.shared.hand_over().empty(self.shard));
        let Some(mut packet) = returned else { return false };
        let left = packet.parts.len().saturating_sub(n);
        for LanePart { lane, generation, part } in packet.parts.drain(left..) {
            // what a part keeps is of its fold's kind: another fold's lane has no use for it
            if let Some(lane) = self.lanes.get_mut(lane as usize)
                && lane.generation == generation
                && lane.part.is_empty()
            {
                lane.part = part;
            }
        }
        if packet.parts.is_empty() {
            self.outbox.keep(packet);
        } else {
            self.returned = Some(packet);
        }
        true
    }

    /// The rules that may take series of this group.
    pub(super) fn candidates(&mut self, group: &Group) -> Candidates {
        self.matcher.of_metric(&seen(group))
    }

    /// Asks the rules about a newborn series.
    pub(super) fn link(
        &mut self,
        candidates: &Candidates,
        series: &Series,
        state: &ahash::RandomState,
        tally: &mut Tally,
    ) -> Member {
        let (found, hides) = self.ask(candidates, series, state, tally);
        let entry = if found.is_empty() { 0 } else { self.enter(found, hides) };
        Member { entry, ..Member::default() }
    }

    /// The folds that a series belongs to, each entered, and whether it is hidden.
    fn ask(
        &mut self,
        candidates: &Candidates,
        series: &Series,
        state: &ahash::RandomState,
        tally: &mut Tally,
    ) -> (Vec<FoundFold>, bool) {
        let mut found: Vec<FoundFold> = Vec::new();
        if candidates.is_empty() {
            return (found, false);
        }
        let group = &series.group;
        let (shared, in_force, sets) = (self.shared.clone(), self.in_force.clone(), &mut self.sets);
        let (of_rules, changed) = (&mut self.of_rules, &mut self.changed);
        let last_top = &mut self.top;
        let mut keep_top = |top: &[u8]| {
            if **last_top != *top {
                *last_top = top.into();
            }
            last_top.clone()
        };
        let mut is_refused = false;
        let passage = self.matcher.of_series(candidates, &seen(group), &series.attributes, state, &mut |linked| {
            let description = group.description();
            let description = description.as_deref().map_or("", |text| text);
            match shared.enter(&in_force, &linked, description, sets) {
                Ok((key, why)) => {
                    if let Some(why) = why {
                        tally.note(Note::RuleOverflowed, 1);
                        MembersOfRule::of(of_rules, changed, key.rule).over[usize::from(why != FoldRefusal::Rule)] += 1;
                    }
                    let top = linked.top.iter().map(|top| keep_top(top)).collect();
                    found.push((key, linked.distinct.into(), top));
                }
                Err(_) => is_refused = true,
            }
        });
        tally.note(Note::RuleRefused, u64::from(is_refused));
        self.is_short |= is_refused || found.iter().any(|(key, ..)| key.is_overflow);
        let hides = passage == Passage::Hidden && !is_refused && !found.is_empty();
        (found, hides)
    }

    /// Other rules are in force.
    pub(super) fn take_up(&mut self, in_force: Arc<RulesInForce>) {
        self.matcher = RuleMatcher::new(in_force.plan().clone());
        self.sets.clear(self.shared.folds().sets());
        self.of_rules.resize(in_force.rules().len(), MembersOfRule::default());
        self.changed.retain(|slot| (*slot as usize) < in_force.rules().len());
        self.in_force = in_force;
        self.is_short = false;
    }

    /// Some series found no room in the folds they belong to, since other rules came into force.
    pub(super) const fn is_short(&self) -> bool {
        self.is_short
    }

    /// It may be that rules would take the series, or others than do, if there was room.
    pub(super) fn has_no_room(&self, member: Member) -> bool {
        let is_overflow = |lane: &u32| self.lanes[*lane as usize].key.as_ref().is_none_or(|key| key.is_overflow);
        member.fold().is_none_or(|entry| self.entries[entry as usize].lanes.iter().any(is_overflow))
    }

    /// Lanes that there are.
    pub(super) fn lanes(&self) -> usize {
        self.lanes.len()
    }

    /// Behind an exchange: what parts of a lane keep for other outputs is forgotten. Before members give anything.
    pub(super) fn refit_lane(&mut self, lane: usize) {
        let lane = &mut self.lanes[lane];
        lane.is_joined = false;
        if let Some(key) = &lane.key {
            let (folds, _) = self.in_force.at(key.rule);
            if !matches!(folds.heritage(key.input), Heritage::Same) {
                lane.part = FoldPart::default();
            }
        }
    }

    /// Whether what would be dropped as it comes in has to be asked of the series of a group that are there already: of none,
    /// or each.
    pub(super) fn drops(&mut self, group: &Group) -> bool {
        self.in_force.plan().drops_by_name() && self.matcher.of_stream(&seen(group)) != StreamVerdict::Pass
    }

    /// Whether a series is hidden because it is dropped behind the door.
    pub(super) fn is_dropped(&self, member: Member) -> bool {
        member.fold().is_some_and(|entry| self.entries[entry as usize].lanes.is_empty())
    }

    /// Asks the rules again about a series. It leaves the folds that it is in no more, and enters others; what is `dropped`
    /// behind the door from now on is hidden, and in none.
    ///
    /// `touched_ns`: when it was touched last.
    pub(super) fn relink(
        &mut self,
        (candidates, drops): (&Candidates, bool),
        (series, member): (&Series, &mut Member),
        touched_ns: impl FnOnce() -> Option<u64>,
        state: &ahash::RandomState,
        tally: &mut Tally,
    ) {
        let before = member.take_fold();
        let is_dropped = drops
            && matches!(self.matcher.of_route(&seen(&series.group), &series.attributes), RouteVerdict::Discard(_));
        let (found, hides) = if is_dropped { (Vec::new(), true) } else { self.ask(candidates, series, state, tally) };
        member.entry = if found.is_empty() && !hides { 0 } else { self.enter(found, hides) };
        if before.is_none()
            && member.fold().is_some()
            && let Some(ns) = touched_ns()
        {
            member.liveness = Liveness::new(Liveness::at(ns));
        }
        if let Some(entry) = member.fold().filter(|entry| before != Some(*entry)) {
            self.join(entry, before);
        }
        if let Some(before) = before {
            self.leave(before, true);
        }
    }

    /// Owners hear which lanes have series that were there before the exchange, and not in the lane.
    fn join(&mut self, entry: u32, before: Option<u32>) {
        let known = before.map_or(&[][..], |before| &self.entries[before as usize].lanes);
        for lane in self.entries[entry as usize].lanes.iter().filter(|lane| !known.contains(lane)) {
            let at = &mut self.lanes[*lane as usize];
            if !std::mem::replace(&mut at.is_joined, true) {
                self.outbox.tell(at.owner, LaneEvent::Joined(*lane));
            }
        }
    }

    /// The entry of these folds, one member more in it. Each key comes entered.
    fn enter(&mut self, found: Vec<FoundFold>, hides: bool) -> u32 {
        let is_own = found.iter().any(|(_, distinct, top)| !distinct.is_empty() || !top.is_empty());
        let (mut lanes, mut own) = (Vec::with_capacity(found.len()), OwnKeys::default());
        for (key, distinct, top) in found {
            count_in(&mut self.of_rules, &mut self.changed, key.rule, 1);
            self.all += 1;
            key.add_member();
            lanes.push(self.lane(key));
            // the member and the one asked for last
            let is_new = |top: &&Arc<[u8]>| Arc::strong_count(top) <= 2;
            own.bytes += top.iter().filter(is_new).map(|top| top.len()).sum::<usize>();
            own.distinct.push(distinct);
            own.top.push(top);
        }
        let lanes: Box<[u32]> = lanes.into();
        if !is_own && let Some(entry) = self.entry_ids.get(&(lanes.clone(), hides)) {
            let entry = *entry;
            let initial = self.initial_of(&lanes);
            let at = &mut self.entries[entry as usize];
            (at.members, at.initial) = (at.members + 1, initial);
            return entry;
        }
        for lane in &lanes {
            self.lanes[*lane as usize].entries += 1;
        }
        self.top_bytes += own.bytes;
        let own = is_own.then(|| Box::new(own));
        let initial = self.initial_of(&lanes);
        let new = MemberEntry { lanes: lanes.clone(), members: 1, hides, initial, own };
        let entry = put(&mut self.entries, &mut self.entry_free, new);
        if !is_own {
            self.entry_ids.insert((lanes, hides), entry);
        }
        entry
    }

    /// How the first point of a cumulative counts: as the first rule has it that says so.
    fn initial_of(&self, lanes: &[u32]) -> InitialValue {
        let of_lane = |lane: &u32| {
            let key = self.lanes[*lane as usize].key.as_ref()?;
            let (folds, _) = self.in_force.at(key.rule);
            Some(folds.initial_value()).filter(|initial| *initial != InitialValue::Auto)
        };
        lanes.iter().find_map(of_lane).unwrap_or_default()
    }

    /// This shard's lane of a fold that it has just entered.
    fn lane(&mut self, key: Arc<FoldKey>) -> u32 {
        let address = Arc::as_ptr(&key) as usize;
        if let Some(lane) = self.lane_ids.get(&address) {
            // the lane is in it already
            self.shared.folds().leave(&key);
            return *lane;
        }
        let owner = self.shared.owner(key.hash());
        let lane = match self.lane_free.pop() {
            Some(lane) => lane,
            None => {
                self.lanes.push(Lane::default());
                self.lanes.len() as u32 - 1
            }
        };
        let at = &mut self.lanes[lane as usize];
        (at.key, at.owner, at.entries, at.is_joined) = (Some(key.clone()), owner, 0, false);
        self.lane_ids.insert(address, lane);
        self.outbox.tell(owner, LaneEvent::Opened(lane, key));
        lane
    }

    /// A member is no more.
    pub(super) fn release(&mut self, entry: u32) {
        self.leave(entry, false);
    }

    /// Nobody has an entry any more.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.len() == self.entry_free.len() + 1
    }

    fn leave(&mut self, entry: u32, is_by_exchange: bool) {
        let at = &mut self.entries[entry as usize];
        for lane in &at.lanes {
            if let Some(key) = &self.lanes[*lane as usize].key {
                count_in(&mut self.of_rules, &mut self.changed, key.rule, -1);
                self.all -= 1;
                key.remove_member();
            }
        }
        at.members -= 1;
        if at.members > 0 {
            return;
        }
        let MemberEntry { lanes, hides, own, .. } = std::mem::take(at);
        self.entry_free.push(entry);
        self.top_bytes -= own.as_ref().map_or(0, |own| own.bytes);
        for lane in &lanes {
            let at = &mut self.lanes[*lane as usize];
            at.entries -= 1;
            if at.entries == 0
                && let Some(key) = at.key.take()
            {
                (at.part, at.generation) = (FoldPart::default(), at.generation.wrapping_add(1));
                self.outbox.tell(at.owner, LaneEvent::Closed { lane: *lane, is_by_exchange });
                self.lane_ids.remove(&(Arc::as_ptr(&key) as usize));
                self.lane_free.push(*lane);
            }
        }
        if own.is_none() {
            self.entry_ids.remove(&(lanes, hides));
        }
    }

    /// How the first point of a member counts.
    #[inline]
    pub(super) fn initial(&self, member: Member) -> InitialValue {
        self.entries[member.entry as usize].initial
    }

    /// Whether rules ask for the smallest or the largest value of a gauge inside the interval.
    pub(super) fn asks_extremes(&self, member: Member) -> bool {
        let asks = |lane: &u32| {
            let key = self.lanes[*lane as usize].key.as_ref();
            key.is_some_and(|key| self.in_force.rules()[key.rule as usize].asks_extremes(key.input))
        };
        self.in_force.asks_extremes() && self.entries[member.entry as usize].lanes.iter().any(asks)
    }

    /// Whether the members of this entry leave themselves, too.
    #[inline]
    pub(super) fn hides(&self, entry: u32) -> bool {
        self.entries[entry as usize].hides
    }

    /// The rules, by place in the plan, whose outputs leave in the place of the members of this entry.
    pub(super) fn replaced_by(&self, entry: u32) -> impl Iterator<Item = u32> {
        let at = &self.entries[entry as usize];
        let lanes: &[u32] = if at.hides { &at.lanes } else { &[] };
        lanes.iter().filter_map(|lane| {
            let (folds, rule) = self.in_force.at(self.lanes[*lane as usize].key.as_ref()?.rule);
            rule.filter(|_| folds.aggregation().is_some_and(|says| !says.keeps_input))
        })
    }

    /// A member was merged, or was not touched: what it gives goes into the parts of its lanes.
    pub(super) fn give(&mut self, member: &mut Member, series: &Series, merged: MergedMember<'_>, cuts: &mut RuleCuts) {
        let is_touched = merged.point.is_some();
        if merged.points > 0 {
            member.liveness.touch(self.now_ms);
        }
        let entry = &self.entries[member.entry as usize];
        for (at, lane) in entry.lanes.iter().enumerate() {
            let lane_id = *lane;
            let lane = &mut self.lanes[lane_id as usize];
            let Some(key) = &lane.key else { continue };
            let folds = &self.in_force.rules()[key.rule as usize];
            let Some(spec) = folds.spec(key.input) else { continue };
            let is_asked = match spec.live() {
                LiveNeed::Touched => false,
                LiveNeed::AtRuleCuts => cuts.is_due(key.rule),
                LiveNeed::AtBaseCuts => true,
            };
            if !is_touched && !is_asked && merged.points == 0 {
                continue;
            }
            let is_live = is_there(series) && member.liveness.is_live(self.now_ms, folds.stale(), self.expire_ms);
            if !is_touched && !is_live && merged.points == 0 {
                continue;
            }
            let (distinct, top): (&[u64], &[Arc<[u8]>]) =
                entry.own.as_ref().map_or((&[], &[]), |own| (&own.distinct[at], &own.top[at]));
            let mut given = given(series, &merged, is_live, (distinct, top));
            if is_live && spec.asks_summaries() {
                given.summary = newest_summary(series, merged.slab, &mut self.summary);
            }
            lane.part.add(spec, &given, cuts.work(key.rule));
            if !lane.is_listed {
                lane.is_listed = true;
                self.listed.push(lane_id);
            }
        }
    }

    /// An exemplar of a member: the newest few of each fold leave with it.
    #[cold]
    pub(super) fn offer(&mut self, entry: u32, kept: KeptExemplar<'_>, tally: &mut Tally) {
        for lane in &self.entries[entry as usize].lanes {
            if !self.exemplars.offer(*lane, kept) {
                tally.note(Note::ExemplarsDropped, 1);
            }
        }
    }

    /// Hands over some parts; `false` when all are handed over.
    pub(super) fn send_some(&mut self, n: usize) -> bool {
        for _ in 0..n {
            let Some(id) = self.listed.pop() else {
                self.send();
                return false;
            };
            let lane = &mut self.lanes[id as usize];
            lane.is_listed = false;
            let part = LanePart { lane: id, generation: lane.generation, part: std::mem::take(&mut lane.part) };
            self.outbox.put(lane.owner, part);
        }
        true
    }

    fn send(&mut self) {
        let exemplars = (!self.exemplars.is_empty()).then(|| {
            let next = Reservoir::begin(0, &self.exemplars);
            Arc::new(std::mem::replace(&mut self.exemplars, next))
        });
        self.outbox.send(self.shared.hand_over(), exemplars.as_ref());
    }

    /// Bytes that members, entries and lanes take, and what rules made of resources, about.
    pub(super) fn bytes(&self) -> usize {
        let members = self.all * size_of::<Member>();
        let own = self.entries.len().saturating_sub(self.entry_ids.len()) * OWN_BYTES + self.top_bytes;
        let entries = self.entries.len() * ENTRY_BYTES + own;
        // a part's own memory is of the kind of its fold, and moves with it: the owner counts it
        members + entries + self.lanes.len() * LANE_BYTES + self.matcher.bytes()
    }

    /// Says how many members each rule has, of those that changed, and how many had no room: up to `n` of them; `false` when
    /// that is all.
    pub(super) fn add_some(&mut self, n: usize, noticed: &mut NoticedHere) -> bool {
        for _ in 0..n {
            let Some(slot) = self.changed.pop() else { return false };
            let of_rule = &mut self.of_rules[slot as usize];
            of_rule.is_changed = false;
            let [by_rule, by_all] = std::mem::take(&mut of_rule.over);
            let noticed = noticed.of(slot);
            noticed.members = of_rule.members;
            noticed.notes.over_series_limit += by_rule;
            noticed.notes.over_all_outputs += by_all;
        }
        true
    }
}

/// What is counted of a rule on this shard.
#[derive(Clone, Copy, Debug, Default)]
struct MembersOfRule {
    members: u64,
    /// Of them, those that went to its overflow since that was told: by its own limit, and by that of all outputs.
    over: [u64; 2],
    /// It is among those of which something else was told.
    is_changed: bool,
}

impl MembersOfRule {
    /// Of the rule at a slot, to be changed.
    fn of<'a>(all: &'a mut [MembersOfRule], changed: &mut Vec<u32>, slot: u32) -> &'a mut MembersOfRule {
        let of_rule = &mut all[slot as usize];
        if !std::mem::replace(&mut of_rule.is_changed, true) {
            changed.push(slot);
        }
        of_rule
    }
}

/// A rule has so many members more.
fn count_in(of_rules: &mut [MembersOfRule], changed: &mut Vec<u32>, slot: u32, more: i64) {
    let of_rule = MembersOfRule::of(of_rules, changed, slot);
    of_rule.members = of_rule.members.wrapping_add_signed(more);
}

/// It has a value, and did not end.
fn is_there(series: &Series) -> bool {
    series.newest().is_some() && !series.is_ended()
}

/// The newest point of a summary, as its owner keeps it.
fn newest_summary<'a>(series: &Series, slab: &SlabWriter, into: &'a mut Vec<u64>) -> Option<&'a [u64]> {
    let (line, newest) = (series.block().checked_sub(1)?, series.newest()?);
    let lines = slab.run(line, series.group.block_words());
    into.resize(summary::REGION, 0);
    summary::copy(&mut into.as_mut_slice(), &block::slot(lines, summary::REGION, newest));
    Some(into)
}

fn given<'a>(
    series: &'a Series,
    merged: &MergedMember<'a>,
    is_live: bool,
    (distinct, top): (&'a [u64], &'a [Arc<[u8]>]),
) -> Contribution<'a> {
    let group = &series.group;
    let is_number = matches!(group.kind, Kind::Sum | Kind::Gauge);
    let step = merged.point.map(|point| {
        let length = block::region_words(group.kind, group.buckets());
        // the total comes first
        let from = point.words as usize + length;
        merged.words.get(from..from + length).unwrap_or_default()
    });
    Contribution {
        // what stood as a level until deltas joined it counts with them from then on (S5)
        delta: merged.point.filter(|_| group.kind == Kind::Sum).and_then(|point| {
            let joins = series.has_delta() && !merged.had_delta && series.chain().is_some() && !group.monotonic;
            if joins { Some(point.total()) } else { point.step() }
        }),
        level: series.value().filter(|_| is_number && is_live),
        extremes: merged.extremes,
        summary: None,
        is_delta: series.has_delta(),
        region: step.and_then(|words| match group.kind {
            Kind::Histogram => Some(ContributedRegion::Explicit { bounds: &group.bounds, words }),
            Kind::ExponentialHistogram => Some(ContributedRegion::Exponential(words)),
            _ => None,
        }),
        points: merged.points,
        time_ns: merged.point.map_or_else(|| series.time(), |point| point.time),
        is_touched: merged.point.is_some(),
        is_live,
        distinct,
        top,
    }
}
