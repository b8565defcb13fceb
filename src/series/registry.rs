//! What all cores share: the tries, the groups, the slabs, and the queues of news between cores.
//!
//! Knows who owns a hash; does not know requests or destinations. The only allocation and contention here is at the
//! birth and death of a series.
//!
//! Invariants
//! 1. A series belongs to the shard that `owner` names for its hash, for as long as the process runs.
//! 2. `live` counts the series that were let in under the limit, each exactly once between birth and death.
//! 3. A group is in the index as long as a stream feeds it or a series of it lives: streams go when other rules call them something
//!    else, and what has its old name again is the series that is there.
//! 4. `owed` has the bytes of each series' block from birth on, until its owner takes the block or the series dies: what
//!    a burst of births will take at the cut counts at once.

use super::election_index::ElectionIndex;
use super::elections::Election;
use super::exemplars::{LastShown, Reservoir};
use super::group::{Entry, Family, Group};
use super::index::{Leaf, Lookup, Trie};
use super::names::{self, GroupNames, Name};
use super::peers::{Maker, Peers, SharedKind, Shares};
use super::slab::{LINE_WORDS, Slab, SlabWriter};
use super::value::{ReadValue, Series};
use crate::cells::sequences::Sequences;
use crate::examples::Examples;
use crate::identity::{Parts, attributes};
use crate::limits::OVERFLOW_KEY_BYTES_MAX;
use crate::model::Kind;
use crate::sync::published::Published;
use crate::sync::thin::ThinBytes;
use crossbeam::queue::SegQueue;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::Relaxed};

impl Leaf for Series {
    fn hash(&self) -> u64 {
        self.hash
    }
}

impl Leaf for Group {
    fn hash(&self) -> u64 {
        self.hash
    }
}

impl Leaf for Family {
    fn hash(&self) -> u64 {
        self.hash
    }
}

/// Limits of the registry.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Live series over all shards (`--series-limit`).
    pub series_limit: usize,
    /// Groups over all shards (`--group-limit`).
    pub group_limit: usize,
    /// Bytes of series, cells and routes over all shards.
    pub memory_limit: usize,
}

/// Bytes a live series takes beside its cells and the routes to them: identity, attributes, index. Measured at five attributes of a
/// hundred and fifty bytes (see the README's numbers); longer attributes are covered by the rest of the budget.
pub const SERIES_BYTES: usize = 302;
/// Bytes of attributes that are among them.
const ATTRIBUTES_INCLUDED: usize = 150;

/// What longer attributes of a series take; what its routes hold is counted with them.
const fn long_bytes(attributes: usize) -> usize {
    attributes.saturating_sub(ATTRIBUTES_INCLUDED)
}

/// Bytes of a group's texts, resource and scope included, up to which it is let in beyond the memory limit, so that its
/// deltas have an overflow series and their totals stay true.
const LONG_KEY: usize = 512;
/// The part of the memory limit that such groups may take beyond it.
const BEYOND: usize = 16;

/// Bytes a group takes beside its texts: itself, its place in the index and in its owner's lists, which may be half empty.
/// Held by `tests/memory.rs`: what is counted is no less than what is allocated.
const GROUP_BYTES: usize = 296;

/// Bytes that lists and tables may take for a series when they double, at its birth, at a cut or when it ends.
const SERIES_TO_COME: usize = 64;
/// And for a group.
const GROUP_TO_COME: usize = 256;

/// Bytes of a family of histograms.
const FAMILY_BYTES: usize = 128;

/// What a group takes, bounds, description and family included. Resource and scope are counted by the cores that hold them,
/// its name by the entry that all of its metric share; an overflow group has one of its own.
fn group_bytes(group: &Group) -> usize {
    let name = if group.entry == Entry::Limited { 0 } else { group.metric.bytes() };
    GROUP_BYTES + name + group.bounds_bytes() + group.described() + FAMILY_BYTES * usize::from(group.buckets() > 1)
}

fn block_bytes(group: &Group) -> usize {
    SlabWriter::lines_of(group.block_words()) * LINE_WORDS * 8
}

/// A cell that its core may free once no route of it points there.
#[derive(Clone, Copy, Debug)]
pub struct DeadCell {
    /// First line in the core's slab.
    pub line: u32,
    /// Words.
    pub words: u32,
}

/// Tries to find a group that is not just leaving; each means that another thread took one out.
const TRIES: usize = 64;

/// Why a series could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// `series_limit`
    Series,
    /// `group_limit`
    Groups,
    /// `memory_limit`
    Memory,
    /// `--peer-share`
    Share,
}

/// The hash of the identity of a series: of its group, and of the set of its attributes (`attributes::hash`).
#[inline]
pub fn identity_hash(group: &Group, set: u64, state: &ahash::RandomState) -> u64 {
    state.hash_one((group.hash, set))
}

/// Which of so many shards owns `hash`: its high bits choose.
#[inline]
pub fn owner_of(hash: u64, shards: usize) -> usize {
    ((u128::from(hash) * shards as u128) >> 64) as usize
}

/// Shared by all cores.
pub struct Registry {
    options: Options,
    /// What all that is born may take, bytes.
    memory_limit: AtomicUsize,
    state: ahash::RandomState,
    tries: Box<[Trie<Series>]>,
    groups: Trie<Group>,
    /// Of histograms with bounds: a point that has none, as it has no value, may mean one of these.
    families: Trie<Family>,
    group_ids: AtomicU32,
    group_count: AtomicUsize,
    names: GroupNames,
    peers: Peers,
    live: AtomicUsize,
    owed: AtomicUsize,
    /// The system has no memory: nothing is let in.
    short: AtomicBool,
    /// Bytes of groups, and of attributes longer than most.
    texts: AtomicUsize,
    /// By core, bytes of its routes and contexts.
    held: Box<[AtomicUsize]>,
    /// By shard, bytes of rules' members and outputs.
    ruled: Box<[AtomicUsize]>,
    slabs: Box<[Slab]>,
    births: Box<[SegQueue<Arc<Series>>]>,
    deaths: Box<[SegQueue<DeadCell>]>,
    /// By core, what it closed last.
    exemplars: Box<[Published<Reservoir>]>,
    sequences: Box<[Published<Sequences>]>,
    /// Some rule asks for the extremes of gauges inside an interval.
    extremes: AtomicBool,
    /// By core, gauges whose cells there have no line for them yet.
    asking: Box<[SegQueue<Arc<Series>>]>,
    /// By owner, what its last cuts show.
    shown: Box<[Published<LastShown>]>,
    examples: Arc<Examples>,
    elections: ElectionIndex,
}

impl Registry {
    /// For as many cores as there are slabs; each core owns one trie.
    pub fn new(options: Options, slabs: Vec<Slab>) -> Registry {
        Registry::with_state(options, slabs, ahash::RandomState::new())
    }

    /// With a hash key that is known, so that counts of instructions can be repeated. A server takes `new`: an attacker
    /// must not know the key.
    pub fn with_state(options: Options, slabs: Vec<Slab>, state: ahash::RandomState) -> Registry {
        let n = slabs.len();
        assert!(n > 0, "at least one core");
        Registry {
            options,
            memory_limit: AtomicUsize::new(options.memory_limit),
            state,
            tries: (0..n).map(|_| Trie::new()).collect(),
            groups: Trie::new(),
            families: Trie::new(),
            group_ids: AtomicU32::new(0),
            group_count: AtomicUsize::new(0),
            names: GroupNames::new(),
            peers: Peers::new(Shares::default()),
            live: AtomicUsize::new(0),
            owed: AtomicUsize::new(0),
            short: AtomicBool::new(false),
            texts: AtomicUsize::new(0),
            held: (0..n).map(|_| AtomicUsize::new(0)).collect(),
            ruled: (0..n).map(|_| AtomicUsize::new(0)).collect(),
            slabs: slabs.into(),
            births: (0..n).map(|_| SegQueue::new()).collect(),
            deaths: (0..n).map(|_| SegQueue::new()).collect(),
            exemplars: (0..n).map(|_| Published::new(Arc::default())).collect(),
            sequences: (0..n).map(|_| Published::new(Arc::default())).collect(),
            extremes: AtomicBool::new(false),
            asking: (0..n).map(|_| SegQueue::new()).collect(),
            shown: (0..n).map(|_| Published::new(Arc::default())).collect(),
            examples: Arc::default(),
            elections: ElectionIndex::new(),
        }
    }

    /// The election under this keyed hash, if somebody has it.
    pub fn find_election(&self, of: u64) -> Option<Arc<Election>> {
        self.elections.find(of)
    }

    /// The election under this hash: those of who has one are one, as long as somebody has it.
    ///
    /// # Errors
    /// It is new, and there is no room.
    pub fn election(&self, of: u64) -> Result<Arc<Election>, Full> {
        self.elections.find_or_make(of, || !self.is_spent()).ok_or(Full::Memory)
    }

    /// With these shares of peers, before anything is in it.
    pub fn share_by(mut self, shares: Shares) -> Registry {
        self.peers = Peers::new(shares);
        self
    }

    /// The process's hash key.
    pub fn state(&self) -> &ahash::RandomState {
        &self.state
    }

    /// Examples of points that were lost, over all cores.
    #[inline]
    pub fn examples(&self) -> &Arc<Examples> {
        &self.examples
    }

    /// Number of cores.
    pub fn cores(&self) -> usize {
        self.slabs.len()
    }

    /// The shard that owns `hash`: its high bits choose.
    #[inline]
    pub fn owner(&self, hash: u64) -> usize {
        owner_of(hash, self.tries.len())
    }

    /// The slab of `core`, to read.
    #[inline]
    pub fn slab(&self, core: usize) -> &Slab {
        &self.slabs[core]
    }

    /// The trie of shard `owner`.
    pub fn trie(&self, owner: usize) -> &Trie<Series> {
        &self.tries[owner]
    }

    /// Live series that count towards the limit.
    pub fn live(&self) -> usize {
        // ORDERING: a count for reports and limits, publishes nothing
        self.live.load(Relaxed)
    }

    /// Groups.
    pub fn group_count(&self) -> usize {
        // ORDERING: as above
        self.group_count.load(Relaxed)
    }

    /// The most groups that there may be.
    pub fn group_limit(&self) -> usize {
        self.options.group_limit
    }

    /// What all that is born may take, bytes.
    pub fn memory_limit(&self) -> usize {
        // ORDERING: Relaxed: a limit, publishes nothing
        self.memory_limit.load(Relaxed)
    }

    /// Sets that: other parts of the process take more, or less.
    pub fn set_memory_limit(&self, bytes: usize) {
        // ORDERING: as above
        self.memory_limit.store(bytes, Relaxed);
    }

    /// Overflow groups that keep their metric's name.
    pub fn overflow_group_count(&self) -> usize {
        self.names.kept()
    }

    /// Whether an overflow group may keep the name of a metric like this.
    pub fn may_keep_name(&self, name: &str, unit: &str, kind: Kind, monotonic: bool) -> bool {
        self.names.may_keep(names::hash_of(name, unit, kind, monotonic, &self.state))
    }

    /// The group of these parts, made by `maker` if `entry` lets it in, for one stream more; `leave` when the stream is
    /// gone.
    pub fn group(&self, parts: &Parts<'_>, entry: Entry, maker: Maker) -> Result<Arc<Group>, Full> {
        let hash = parts.hash(&self.state);
        for _ in 0..TRIES {
            let group = self.find_group(hash, parts, entry, maker)?;
            if self.enter(&group) {
                self.describe(&group, parts.description);
                group.hint(parts.hints);
                return Ok(group);
            }
            // gone and not yet out of the index: help, then look again
            self.remove_group(&group);
        }
        Err(Full::Groups)
    }

    /// A stream that feeds the group came with this description: a longer one is kept, as long as there is memory for it.
    pub fn describe(&self, group: &Group, description: &str) {
        if description.len() > group.described() && !self.is_spent() {
            // ORDERING: a limit, publishes nothing
            self.texts.fetch_add(group.describe(description), Relaxed);
        }
    }

    fn find_group(&self, hash: u64, parts: &Parts<'_>, entry: Entry, maker: Maker) -> Result<Arc<Group>, Full> {
        let (mut made, mut full) = (None, Full::Groups);
        let found = self.groups.get_or_insert(
            hash,
            |group| group.is(parts),
            || {
                let name = match self.admit_group(parts, entry, maker) {
                    Ok(name) => name,
                    Err(reason) => {
                        full = reason;
                        return None;
                    }
                };
                let (id, entered) = (self.group_ids.fetch_add(1, Relaxed), (entry, maker.slot));
                let group = Arc::new(match name {
                    Some(name) => Group::named(hash, id, entered, parts, name.share(parts.name, parts.unit)),
                    None => Group::new(hash, id, entered, parts),
                });
                // before anyone can see it, and so take it away
                self.texts.fetch_add(group_bytes(&group), Relaxed);
                made = Some(group.clone());
                Some(group)
            },
        );
        match (found, made) {
            (Lookup::Found(group), made) => {
                if let Some(made) = made {
                    // another core inserted it between: ours was never seen
                    self.count_out(&made);
                }
                Ok(group)
            }
            (Lookup::Inserted(group), _) => Ok(group),
            (Lookup::Refused, _) => Err(full),
        }
    }

    /// Counts a group in, if it may be: under its name, if it is one under the limits. Those for what the limits keep out are
    /// outside them: there are few of them, and their keys are short.
    fn admit_group(&self, parts: &Parts<'_>, entry: Entry, maker: Maker) -> Result<Option<Arc<Name>>, Full> {
        let name = names::name_of(parts, &self.state);
        match entry {
            Entry::Limited => {}
            Entry::Named if parts.bytes() <= OVERFLOW_KEY_BYTES_MAX && self.names.keep(name) => return Ok(None),
            Entry::Named => return Err(Full::Groups),
            Entry::Last => return Ok(None),
        }
        if !self.peers.may(SharedKind::Groups, maker, self.group_count()) {
            return Err(Full::Share);
        }
        let (limit, bytes) = (self.memory_limit(), self.bytes());
        let sets = [parts.resource, parts.scope].map(|set| set.run.len() + set.schema_url.len());
        let texts = parts.bytes() + sets[0] + sets[1] + parts.description.len();
        let is_spent = bytes >= limit && (texts > LONG_KEY || bytes - limit >= limit / BEYOND);
        if is_spent || self.is_short() {
            self.refuse_memory(maker);
            return Err(Full::Memory);
        }
        // ORDERING: a limit; the few that race past it are counted back
        let has_room = self.group_count.fetch_add(1, Relaxed) < self.options.group_limit;
        let entered = has_room.then(|| self.names.enter(name, (parts.name, parts.unit))).flatten();
        let Some((name, bytes)) = entered else {
            self.group_count.fetch_sub(1, Relaxed);
            self.peers.refuse(SharedKind::Groups, maker, self.group_count());
            return Err(Full::Groups);
        };
        self.texts.fetch_add(bytes, Relaxed);
        self.peers.add(SharedKind::Groups, maker.slot);
        Ok(Some(name))
    }

    /// The memory limit keeps out what `maker` would make; series and groups both take of it.
    fn refuse_memory(&self, maker: Maker) {
        self.peers.refuse(SharedKind::Series, maker, self.live());
        self.peers.refuse(SharedKind::Groups, maker, self.group_count());
    }

    /// A group that was counted in is no more, or was never seen.
    fn count_out(&self, group: &Group) {
        // ORDERING: counts, publish nothing
        match group.entry {
            Entry::Limited => {
                let bytes = self.names.leave(names::name_of_group(group, &self.state));
                self.texts.fetch_sub(bytes, Relaxed);
                self.peers.remove(SharedKind::Groups, group.maker);
                self.group_count.fetch_sub(1, Relaxed);
            }
            Entry::Named => self.names.drop_kept(names::name_of_group(group, &self.state)),
            Entry::Last => {}
        }
        self.texts.fetch_sub(group_bytes(group), Relaxed);
    }

    /// One stream more feeds the group, which becomes the newest of its family; `false` if it is gone.
    pub fn enter(&self, group: &Arc<Group>) -> bool {
        if !group.enter() {
            return false;
        }
        // behind `enter`: while the caller's stream is there, `leave` does not pass the family by
        if let Some(hash) = group.family(&self.state) {
            let make = || Some(Arc::new(Family { hash, newest: Published::new(group.clone()) }));
            if let Lookup::Found(family) = self.families.get_or_insert(hash, |_| true, make) {
                family.newest.store(group.clone());
            }
        }
        true
    }

    /// The group of the series that a histogram's point without a value and without bounds means, where `parts` are those of a
    /// group without bounds: of those with bounds the one that a stream fed last, if it has a series of these attributes
    /// and the group of `parts` has none with a value. `set` is the hash of the attributes (`attributes::hash`).
    pub fn with_bounds(&self, parts: &Parts<'_>, set: u64, run: &[u8]) -> Option<Arc<Group>> {
        let hash = parts.hash(&self.state);
        let family = self.families.get(hash, |_| true)?;
        if let Some(without) = self.groups.get(hash, |group| group.is(parts))
            && let Some(series) = self.known(&without, set, run)
            && matches!(series.read(u32::MAX), ReadValue::Found { .. } | ReadValue::Hidden)
        {
            return None;
        }
        let group = family.newest.load();
        (group.is_with_bounds(parts) && self.known(&group, set, run).is_some()).then_some(group)
    }

    fn known(&self, group: &Arc<Group>, set: u64, run: &[u8]) -> Option<Arc<Series>> {
        let hash = self.hash_of(group, set);
        self.tries[self.owner(hash)]
            .get(hash, |series| Arc::ptr_eq(&series.group, group) && attributes::same(&series.attributes, run))
    }

    /// A stream that fed the group is gone, or a series of it.
    pub fn leave(&self, group: &Arc<Group>) {
        if group.leave() {
            if let Some(hash) = group.family(&self.state)
                && let Some(family) = self.families.get(hash, |_| true)
                && Arc::ptr_eq(&family.newest.load(), group)
            {
                // a group that comes in between is not found by its family until a stream enters it again
                self.families.remove(&family);
            }
            self.remove_group(group);
        }
    }

    fn remove_group(&self, group: &Arc<Group>) {
        if self.groups.remove(group) {
            self.count_out(group);
        }
    }

    /// Bytes that series, cells, blocks and texts take, as far as they are accounted for.
    pub fn bytes(&self) -> usize {
        // ORDERING: as in `live`
        let held = self.held.iter().chain(&self.ruled).map(|held| held.load(Relaxed)).sum::<usize>();
        let owed = self.owed.load(Relaxed) + self.texts.load(Relaxed) + held + self.elections.bytes();
        self.live() * SERIES_BYTES + self.slabs.iter().map(Slab::bytes).sum::<usize>() + owed
    }

    /// The routes and contexts of `core` take so many bytes.
    pub fn hold(&self, core: usize, bytes: usize) {
        // ORDERING: a limit, publishes nothing
        self.held[core].store(bytes, Relaxed);
    }

    /// What rules keep on a shard takes so many bytes, as of its last cut.
    pub fn hold_rules(&self, shard: usize, bytes: usize) {
        // ORDERING: as in `hold`
        self.ruled[shard].store(bytes, Relaxed);
    }

    /// Whether `memory_limit` is spent, or the system's memory.
    pub fn is_spent(&self) -> bool {
        self.is_short() || self.bytes() >= self.memory_limit()
    }

    /// Bytes that what is there may take at the next cut: blocks, and lists and tables that double.
    pub(crate) fn to_come(&self) -> usize {
        // ORDERING: as in `live`
        self.owed.load(Relaxed) + self.live() * SERIES_TO_COME + self.group_count() * GROUP_TO_COME
    }

    /// The system has no memory, or has some again: until then nothing is let in.
    pub(crate) fn be_short(&self, short: bool) {
        // mostly nothing changes, and the line stays with all who read it
        if self.is_short() != short {
            // ORDERING: as in `live`
            self.short.store(short, Relaxed);
        }
    }

    fn is_short(&self) -> bool {
        // ORDERING: as in `live`
        self.short.load(Relaxed)
    }

    /// The owner takes the block of a series of this group from its slab, or the series dies without one.
    pub fn settle_block(&self, group: &Group) {
        // ORDERING: a limit, publishes nothing
        self.owed.fetch_sub(block_bytes(group), Relaxed);
    }

    /// The series with this identity, made by `maker` if it is new, and whether it was. `limited` series count towards the
    /// limit.
    pub fn series(
        &self,
        group: &Arc<Group>,
        hash: u64,
        run: &ThinBytes,
        limited: bool,
        maker: Maker,
    ) -> Result<(Arc<Series>, bool), Full> {
        let owner = self.owner(hash);
        let mut counted = false;
        let (mut full, mut made) = (Full::Series, false);
        let found = self.tries[owner].get_or_insert(
            hash,
            |series| Arc::ptr_eq(&series.group, group) && attributes::same(&series.attributes, run),
            || {
                if limited && let Err(reason) = self.admit_series(maker) {
                    full = reason;
                    return None;
                }
                counted = limited;
                made = true;
                self.texts.fetch_add(long_bytes(run.len()), Relaxed);
                Some(Arc::new(Series::new(hash, group.clone(), run.clone(), maker.slot)))
            },
        );
        match found {
            Lookup::Found(series) => {
                if counted {
                    // another core inserted it between: ours was never seen
                    self.live.fetch_sub(1, Relaxed);
                    self.peers.remove(SharedKind::Series, maker.slot);
                }
                if made {
                    self.texts.fetch_sub(long_bytes(run.len()), Relaxed);
                }
                Ok((series, false))
            }
            Lookup::Inserted(series) => {
                // ORDERING: as in `settle_block`, whose caller hears of the series through the queue of births
                self.owed.fetch_add(block_bytes(group), Relaxed);
                let is_there = group.enter();
                debug_assert!(is_there, "a stream of the caller's feeds it");
                self.births[owner].push(series.clone());
                Ok((series, true))
            }
            Lookup::Refused => Err(full),
        }
    }

    /// Counts a series in, if it may be.
    fn admit_series(&self, maker: Maker) -> Result<(), Full> {
        if !self.peers.may(SharedKind::Series, maker, self.live()) {
            return Err(Full::Share);
        }
        if self.is_spent() {
            self.refuse_memory(maker);
            return Err(Full::Memory);
        }
        // ORDERING: a limit, publishes nothing
        if self.live.fetch_add(1, Relaxed) >= self.options.series_limit {
            self.live.fetch_sub(1, Relaxed);
            self.peers.refuse(SharedKind::Series, maker, self.live());
            return Err(Full::Series);
        }
        self.peers.add(SharedKind::Series, maker.slot);
        Ok(())
    }

    /// Brings the places of series that are about to be looked for into the cache.
    pub fn warm(&self, hashes: &[u64]) {
        Trie::warm(&self.tries, hashes.iter().map(|hash| (self.owner(*hash), *hash)));
    }

    /// The identity hash of a set of attributes in a group.
    pub fn hash(&self, group: &Group, run: &[u8]) -> u64 {
        self.hash_of(group, attributes::hash(run, &self.state))
    }

    /// The same, where the set's own hash is known.
    pub fn hash_of(&self, group: &Group, set: u64) -> u64 {
        identity_hash(group, set, &self.state)
    }

    /// The series with the identity of this one, which is none of the registry's own, if there is one.
    pub fn like(&self, series: &Series) -> Option<Arc<Series>> {
        let is_like = |own: &Series| own.is_like(series);
        self.tries[self.owner(series.hash)].get(series.hash, is_like)
    }

    /// A series born for shard `owner` that it has not linked yet.
    pub fn next_birth(&self, owner: usize) -> Option<Arc<Series>> {
        self.births[owner].pop()
    }

    /// Takes a dead series out of the index.
    pub fn remove(&self, series: &Arc<Series>, limited: bool) {
        if !self.tries[self.owner(series.hash)].remove(series) {
            return;
        }
        // ORDERING: as in `series`
        self.texts.fetch_sub(long_bytes(series.attributes.len()), Relaxed);
        if limited {
            self.live.fetch_sub(1, Relaxed);
            self.peers.remove(SharedKind::Series, series.maker());
        }
        self.leave(&series.group);
    }

    /// The exemplars that `core` closed last; those of a cut if they are of the interval that the cut closed.
    pub fn exemplars(&self, core: usize) -> Arc<Reservoir> {
        self.exemplars[core].load()
    }

    /// Hands over what `core` keeps of an interval, before the board says that the interval is closed.
    pub fn close_exemplars(&self, core: usize, reservoir: Arc<Reservoir>) {
        self.exemplars[core].store(reservoir);
    }

    /// What `core` closed last of cumulative streams that began again within one interval; as `exemplars`.
    pub fn sequences(&self, core: usize) -> Arc<Sequences> {
        self.sequences[core].load()
    }

    /// Hands them over; as `close_exemplars`.
    pub fn close_sequences(&self, core: usize, sequences: Arc<Sequences>) {
        self.sequences[core].store(sequences);
    }

    /// The exemplars that series of `owner` show at its last cuts. Any thread; whoever reads a cut takes `LastShown::of` it
    /// when it begins, and keeps it.
    pub fn shown_exemplars(&self, owner: usize) -> Arc<LastShown> {
        self.shown[owner].load()
    }

    /// What `owner`'s last cuts show. Owner only.
    pub fn show_exemplars(&self, owner: usize, last: Arc<LastShown>) {
        self.shown[owner].store(last);
    }

    /// Whether some rule asks for the extremes of gauges inside an interval.
    pub fn keeps_extremes(&self) -> bool {
        // ORDERING: a hint: cells that are made without them are asked for (`ask_extremes`)
        self.extremes.load(Relaxed)
    }

    /// Some rule does, or none.
    pub fn keep_extremes(&self, keeps: bool) {
        // ORDERING: as above
        self.extremes.store(keeps, Relaxed);
    }

    /// Asks a core for the extremes of a gauge that it feeds.
    pub fn ask_extremes(&self, core: usize, series: Arc<Series>) {
        self.asking[core].push(series);
    }

    /// Whether `core` is asked for those of some gauge.
    pub fn is_asking(&self, core: usize) -> bool {
        !self.asking[core].is_empty()
    }

    /// The next gauge of which `core` is asked for them.
    pub fn next_asking(&self, core: usize) -> Option<Arc<Series>> {
        self.asking[core].pop()
    }

    /// Tells `core` that a cell of its slab is dead.
    pub fn bury(&self, core: usize, cell: DeadCell) {
        self.deaths[core].push(cell);
    }

    /// The next dead cell of `core`.
    pub fn next_death(&self, core: usize) -> Option<DeadCell> {
        self.deaths[core].pop()
    }
}
