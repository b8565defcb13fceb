//! What a shard owns, in the order in which it is written: resource, scope, group, series.
//!
//! Knows where a series stands; does not know values. The owner alone changes it; a scrape reads the flat list of
//! groups and their series while it grows.
//!
//! Invariants
//! 1. The flat lists only grow; a list is replaced whole when more than half of it is dead or gone. A group without
//!    series leaves all lists, in constant time, and its scope and resource with their last group.
//! 2. Resources and scopes are told apart as groups tell them apart, by what they say in any order of attributes, and by
//!    schema URL; groups by their number. No bytes of theirs are hashed here: a resource may be half a MiB, and each of ten
//!    thousand metrics under it asks.

use super::members::Member;
use super::selecting::GroupSelection;
use super::series_list::{GroupSeries, OwnedSeries, SeriesReader, tombstone};
use crate::identity::Set;
use crate::places::{self, put};
use crate::rules::Candidates;
use crate::series::{Group, Series};
use crate::sync::append::{AppendVec, Appender};
use crate::sync::published::Published;
use hashbrown::{HashMap, HashTable};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Room that is kept for names when much more is no longer needed.
const NAMES_KEPT: usize = 1024;

/// A group as scrapes see it.
pub struct ListedGroup {
    gone: AtomicBool,
    /// None of its series is shown: outputs of rules are, in their place.
    hidden: AtomicBool,
    /// Its series on this shard; dead ones are marked.
    series: GroupSeries,
}

impl ListedGroup {
    /// Its series on this shard; dead ones are marked. Nothing if it is gone.
    pub fn load(&self) -> Option<SeriesReader> {
        let all = self.series.load();
        // behind the look at the series: who sees those of nobody, which came later, sees that, too
        (!self.is_gone()).then_some(all)
    }

    /// Nothing of it is left on this shard.
    pub fn is_gone(&self) -> bool {
        // ORDERING: a hint for scrapes: a group without series shows nothing either way
        self.gone.load(Relaxed)
    }

    /// None of its series is shown.
    pub fn is_hidden(&self) -> bool {
        // ORDERING: as in `is_gone`: hidden series show nothing either way
        self.hidden.load(Relaxed)
    }
}

/// All groups of one shard, read by any thread.
pub type GroupDirectory = Arc<Published<AppendVec<ListedGroup>>>;

/// A group in the list of its shard.
#[derive(Clone)]
pub struct ListedPlace {
    all: Arc<AppendVec<ListedGroup>>,
    at: usize,
}

impl ListedPlace {
    /// The one at a place, if the list is as long.
    pub fn of(all: &Arc<AppendVec<ListedGroup>>, at: usize) -> Option<ListedPlace> {
        (at < all.len()).then(|| ListedPlace { all: all.clone(), at })
    }

    /// Its series on this shard; nothing if it is gone.
    pub fn load(&self) -> Option<SeriesReader> {
        self.all.get(self.at)?.load()
    }
}

/// The place in the list of a group that is no more.
const NOT_LISTED: u32 = u32::MAX;

/// The owner's side of a group.
pub(super) struct OwnedGroup {
    /// Its place in the list that scrapes read.
    listed: u32,
    /// Its number.
    id: u32,
    series: OwnedSeries,
    dead: u32,
    resource: u32,
    scope: u32,
    /// Its place in its scope's list.
    place: u32,
    /// The description as it is for the cut being merged, so that sizes and bytes agree.
    description: Option<Arc<Box<str>>>,
    /// What rules and destinations know of it; nothing where there are no rules and nobody chooses.
    beside: Option<Box<GroupBeside>>,
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<OwnedGroup>() <= 56, "each of a million series may have one");

/// What says who is given the series of a group: the group, its series, and beside each its folds.
pub(super) type SelectedBy<'a> = (&'a Group, &'a OwnedSeries, &'a [Member]);

/// What rules and destinations know of a group.
#[derive(Default)]
struct GroupBeside {
    /// There are rules, or were: what follows is theirs.
    has_rules: bool,
    /// Number of the rules that were asked; 0: none yet.
    in_force: u32,
    /// The rules that may take its series.
    candidates: Candidates,
    /// Beside each series, which folds it is a member of; empty where there were no rules.
    members: Vec<Member>,
    /// Who is given its series; nothing where nobody chooses, or nobody was asked yet.
    selection: Option<Box<GroupSelection>>,
}

impl OwnedGroup {
    /// Beside each series, which folds it is a member of, empty where there are no rules; and who is given the series.
    pub(super) fn beside(&mut self) -> (&mut [Member], Option<&GroupSelection>) {
        match &mut self.beside {
            None => (&mut [], None),
            Some(beside) => (&mut beside.members, beside.selection.as_deref()),
        }
    }

    /// Who is given its series, if that was asked.
    pub(super) fn selection(&self) -> Option<&GroupSelection> {
        self.beside.as_ref()?.selection.as_deref()
    }

    fn rules_mut(&mut self) -> Option<&mut GroupBeside> {
        self.beside.as_deref_mut().filter(|beside| beside.has_rules)
    }

    /// What that is found by, and where it is kept.
    pub(super) fn selection_mut(&mut self) -> (SelectedBy<'_>, &mut Option<Box<GroupSelection>>) {
        let beside = self.beside.get_or_insert_default();
        ((self.series.group(), &self.series, &beside.members), &mut beside.selection)
    }

    /// Identity and texts.
    #[inline]
    pub(super) fn meta(&self) -> &Arc<Group> {
        self.series.group()
    }

    /// Its series, by place; dead ones are marked.
    #[inline]
    pub(super) const fn series(&self) -> &OwnedSeries {
        &self.series
    }

    /// `Metric.description` of the cut being merged.
    pub(super) fn description(&self) -> &str {
        self.description.as_deref().map_or("", |text| text)
    }
}

#[derive(Default)]
struct OwnedScope {
    groups: Vec<u32>,
    key: Option<(u32, Arc<Set>)>,
}

#[derive(Default)]
struct OwnedResource {
    scopes: Vec<OwnedScope>,
    /// Places of scopes without groups.
    scope_free: Vec<u32>,
    key: Option<Arc<Set>>,
    /// Groups under it.
    groups: usize,
}

/// Where a series stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TreePlace {
    pub resource: u32,
    pub scope: u32,
    /// Place of the group.
    pub group: u32,
}

/// All series that one shard owns.
pub(super) struct Tree {
    resources: Vec<OwnedResource>,
    resource_ids: HashMap<Arc<Set>, u32, ahash::RandomState>,
    scope_ids: HashMap<(u32, Arc<Set>), u32, ahash::RandomState>,
    state: ahash::RandomState,
    /// Places of groups, by their numbers.
    group_places: HashTable<u32>,
    groups: Vec<OwnedGroup>,
    group_free: Vec<u32>,
    /// What free places hold instead of their series.
    tombstone: Arc<Series>,
    resource_free: Vec<u32>,
    list: Appender<ListedGroup>,
    listed_gone: usize,
    directory: GroupDirectory,
    /// Entries of members that are no more.
    released: Vec<u32>,
    /// Series linked and alive.
    live: usize,
}

impl Tree {
    /// Empty, with keyed hashes, and the directory that scrapes read.
    pub(super) fn new(state: &ahash::RandomState) -> (Tree, GroupDirectory) {
        let (list, reader) = AppendVec::new();
        let directory = Arc::new(Published::new(reader));
        let tree = Tree {
            resources: Vec::new(),
            resource_ids: HashMap::with_hasher(state.clone()),
            scope_ids: HashMap::with_hasher(state.clone()),
            state: state.clone(),
            group_places: HashTable::new(),
            groups: Vec::new(),
            group_free: Vec::new(),
            tombstone: tombstone(Group::nobody(state)),
            resource_free: Vec::new(),
            list,
            listed_gone: 0,
            directory: directory.clone(),
            released: Vec::new(),
            live: 0,
        };
        (tree, directory)
    }

    /// Series linked and alive.
    pub(super) const fn live(&self) -> usize {
        self.live
    }

    /// The place of the group of this number.
    fn place_of(&self, id: u32) -> Option<u32> {
        self.group_places.find(self.state.hash_one(id), |at| self.groups[*at as usize].id == id).copied()
    }

    /// The group at a place.
    #[inline]
    pub(super) fn group(&self, place: u32) -> &OwnedGroup {
        &self.groups[place as usize]
    }

    /// The group at a place.
    #[inline]
    pub(super) fn group_mut(&mut self, place: u32) -> &mut OwnedGroup {
        &mut self.groups[place as usize]
    }

    /// Entries of members that are no more, since this was asked last.
    pub(super) fn released(&mut self) -> std::vec::Drain<'_, u32> {
        self.released.drain(..)
    }

    /// Places of the groups of a scope. `None`: there is no such resource; `Some(None)`: it has no such scope.
    pub(super) fn scope(&self, resource: usize, scope: usize) -> Option<Option<&[u32]>> {
        let scopes = &self.resources.get(resource)?.scopes;
        Some(scopes.get(scope).map(|scope| &*scope.groups))
    }

    /// The group's description from now on is the one it has now.
    pub(super) fn settle_description(&mut self, place: u32) {
        let owned = &mut self.groups[place as usize];
        owned.description = owned.meta().description();
    }

    /// The rules that may take series of a group, and the number of those that were asked, if any were.
    pub(super) fn asked(&self, group: u32) -> Option<(&Candidates, u32)> {
        let rules = self.groups[group as usize].beside.as_ref().filter(|beside| beside.has_rules)?;
        Some((&rules.candidates, rules.in_force))
    }

    /// The rules that may take series of a group are these, of the rules of this number.
    pub(super) fn put_candidates(&mut self, group: u32, candidates: Candidates, in_force: u32) {
        let owned = &mut self.groups[group as usize];
        let rules = owned.beside.get_or_insert_default();
        rules.has_rules = true;
        rules.members.resize(owned.series.len(), Member::default());
        (rules.candidates, rules.in_force) = (candidates, in_force);
    }

    /// Some series of a group is shown again.
    pub(super) fn show(&self, group: u32) {
        // ORDERING: see `is_hidden`
        if let Some(listed) = self.list.get(self.groups[group as usize].listed as usize) {
            listed.hidden.store(false, Relaxed);
        }
    }

    /// Links a newborn series into its group: the places of that, of its resource and its scope.
    pub(super) fn link(&mut self, series: Arc<Series>) -> TreePlace {
        let id = match self.place_of(series.group.id) {
            Some(id) => {
                self.push(id, series);
                id
            }
            None => self.add_group(series, false),
        };
        let owned = &mut self.groups[id as usize];
        if let Some(rules) = owned.rules_mut() {
            // there were rules, and none folds now
            rules.members.push(Member::default());
        }
        self.live += 1;
        TreePlace { resource: owned.resource, scope: owned.scope, group: id }
    }

    /// The rules that may take series of a group, if it is there and the rules of this number were asked.
    pub(super) fn candidates(&self, group: &Group, in_force: u32) -> Option<&Candidates> {
        let (candidates, asked) = self.asked(self.place_of(group.id)?)?;
        (asked == in_force).then_some(candidates)
    }

    /// Links a newborn series that rules have been asked about.
    pub(super) fn link_member(
        &mut self,
        series: Arc<Series>,
        member: Member,
        (candidates, in_force): (&Candidates, u32),
    ) {
        let hides = series.hides();
        let (id, there) = match self.place_of(series.group.id) {
            Some(id) => {
                let there = self.groups[id as usize].series.len();
                self.push(id, series);
                if !hides {
                    self.show(id);
                }
                (id, there)
            }
            None => (self.add_group(series, hides), 0),
        };
        let owned = &mut self.groups[id as usize];
        let rules = owned.beside.get_or_insert_default();
        if !rules.has_rules {
            (rules.has_rules, rules.candidates) = (true, candidates.clone());
            // of series that are there already nobody has asked yet
            rules.in_force = if there == 0 { in_force } else { 0 };
            rules.members.reserve_exact(there + 1);
            rules.members.resize(there, Member::default());
        }
        rules.members.push(member);
        self.live += 1;
    }

    /// One series more of a group.
    fn push(&mut self, group: u32, series: Arc<Series>) {
        let owned = &mut self.groups[group as usize];
        if let Some(listed) = self.list.get(owned.listed as usize) {
            owned.series.push(series, &listed.series);
        }
    }

    fn add_group(&mut self, first: Arc<Series>, hides: bool) -> u32 {
        let meta = &first.group.clone();
        let key = meta.resource_set.clone();
        let resource = match self.resource_ids.get(&key) {
            Some(id) => *id,
            None => {
                let new = OwnedResource { key: Some(key.clone()), ..OwnedResource::default() };
                let id = put(&mut self.resources, &mut self.resource_free, new);
                self.resource_ids.insert(key, id);
                id
            }
        };
        let OwnedResource { scopes, scope_free, .. } = &mut self.resources[resource as usize];
        let key = (resource, meta.scope_set.clone());
        let scope = match self.scope_ids.get(&key) {
            Some(id) => *id,
            None => {
                let id = put(scopes, scope_free, OwnedScope { groups: Vec::new(), key: Some(key.clone()) });
                self.scope_ids.insert(key, id);
                id
            }
        };
        let listed = self.list.push(ListedGroup {
            gone: AtomicBool::new(false),
            hidden: AtomicBool::new(hides),
            series: GroupSeries::new(first.clone()),
        });
        let description = meta.description();
        let resource_of = &mut self.resources[resource as usize];
        let siblings = &mut resource_of.scopes[scope as usize].groups;
        let owned = OwnedGroup {
            listed: listed as u32,
            id: meta.id,
            series: OwnedSeries::new(first),
            dead: 0,
            resource,
            scope,
            place: siblings.len() as u32,
            description,
            beside: None,
        };
        let id = put(&mut self.groups, &mut self.group_free, owned);
        siblings.push(id);
        resource_of.groups += 1;
        let (state, groups) = (&self.state, &self.groups);
        self.group_places.insert_unique(state.hash_one(meta.id), id, |at| state.hash_one(groups[*at as usize].id));
        id
    }

    /// A series of the group is dead. Before the series of a cut are walked only: places of groups and series change.
    pub(super) fn bury(&mut self, group: u32) {
        self.live -= 1;
        self.groups[group as usize].dead += 1;
        self.compact(group);
    }

    /// Replaces a list of series that is mostly dead, and takes a group without series out.
    fn compact(&mut self, group: u32) {
        let owned = &mut self.groups[group as usize];
        if owned.dead as usize == owned.series.len() {
            self.remove_group(group);
            return;
        }
        if owned.dead as usize * 2 <= owned.series.len() {
            return;
        }
        if let Some(rules) = &mut owned.beside {
            // places are others
            rules.selection = None;
            let (mut series, mut place) = (owned.series.iter(), 0);
            let released = &mut self.released;
            rules.members.retain_mut(|member| {
                let (is_dead, is_first) = (series.next().is_some_and(|series| series.is_dead()), place == 0);
                place += 1;
                if is_dead {
                    released.extend(std::mem::take(member).fold());
                }
                // the place of the first stays
                !is_dead || is_first
            });
        }
        if let Some(listed) = self.list.get(owned.listed as usize) {
            owned.series.thin_out(&listed.series);
        }
        owned.dead = u32::from(owned.series.get(0).is_some_and(|first| first.is_dead()));
    }

    /// After deaths: gives back what groups took that are no more. Before the series of a cut are walked only.
    pub(super) fn trim(&mut self) {
        places::trim(&mut self.groups, &mut self.group_free, |owned| owned.listed == NOT_LISTED);
        places::trim(&mut self.resources, &mut self.resource_free, |resource| resource.key.is_none());
        fn fit<K: Eq + std::hash::Hash, V>(map: &mut HashMap<K, V, ahash::RandomState>) {
            if map.capacity() > NAMES_KEPT && map.capacity() / 4 > map.len() {
                map.shrink_to(map.len() * 2);
            }
        }
        fit(&mut self.resource_ids);
        fit(&mut self.scope_ids);
        let (places, state, groups) = (&mut self.group_places, &self.state, &self.groups);
        if places.capacity() > NAMES_KEPT && places.capacity() / 4 > places.len() {
            places.shrink_to(places.len() * 2, |at| state.hash_one(groups[*at as usize].id));
        }
    }

    fn remove_group(&mut self, group: u32) {
        let owned = &mut self.groups[group as usize];
        let (resource, scope, place, id) = (owned.resource, owned.scope, owned.place, owned.id);
        if let Some(listed) = self.list.get(owned.listed as usize) {
            // ORDERING: see `is_gone`; before the series go, for `load`
            listed.gone.store(true, Relaxed);
            owned.series.clear(&listed.series, &self.tombstone);
        }
        owned.listed = NOT_LISTED;
        let members = owned.beside.take().map(|beside| beside.members).unwrap_or_default();
        self.released.extend(members.into_iter().filter_map(Member::fold));
        owned.dead = 0;
        owned.description = None;
        if let Ok(entry) = self.group_places.find_entry(self.state.hash_one(id), |at| *at == group) {
            entry.remove();
        }
        self.group_free.push(group);
        let at = &mut self.resources[resource as usize];
        let siblings = &mut at.scopes[scope as usize].groups;
        siblings.swap_remove(place as usize);
        if let Some(moved) = siblings.get(place as usize) {
            self.groups[*moved as usize].place = place;
        }
        if siblings.is_empty() {
            // a resource that lives on keeps no scopes of which nothing is left
            if let Some(key) = std::mem::take(&mut at.scopes[scope as usize]).key {
                self.scope_ids.remove(&key);
            }
            at.scope_free.push(scope);
        }
        at.groups -= 1;
        if at.groups == 0 {
            (at.scopes, at.scope_free) = (Vec::new(), Vec::new());
            if let Some(key) = at.key.take() {
                self.resource_ids.remove(&key);
            }
            self.resource_free.push(resource);
        }
        self.listed_gone += 1;
        if self.listed_gone * 2 > self.list.len() {
            self.renew_list();
        }
    }

    /// Makes the list again without groups that are gone. Who reads the one before sees what was there until now.
    fn renew_list(&mut self) {
        let (mut fresh, reader) = AppendVec::new();
        let mut places = vec![NOT_LISTED; self.list.len()];
        for (listed, place) in self.list.iter().zip(&mut places) {
            if let Some(all) = listed.load() {
                let hidden = AtomicBool::new(listed.is_hidden());
                *place = fresh.push(ListedGroup { gone: AtomicBool::new(false), hidden, series: all.into() }) as u32;
            }
        }
        for owned in self.groups.iter_mut().filter(|owned| owned.listed != NOT_LISTED) {
            owned.listed = places[owned.listed as usize];
        }
        self.list = fresh;
        self.listed_gone = 0;
        self.directory.store(reader);
    }
}

#[cfg(all(test, not(loom)))]
pub(super) mod tests {
    use super::*;
    use crate::identity::Parts;
    use crate::model::Kind;
    use crate::series::group::Entry;
    use crate::series::peers::Maker;
    use crate::series::registry::{Options as Limits, Registry};
    use crate::series::slab::SlabWriter;
    use crate::sync::thin::ThinBytes;

    /// Makes series; names tell groups apart.
    pub(in super::super) struct Nursery {
        registry: Registry,
        resource: Arc<Set>,
    }

    impl Nursery {
        pub(in super::super) fn new() -> Nursery {
            let limits = Limits { series_limit: 1_000, group_limit: 1_000, memory_limit: usize::MAX };
            let registry = Registry::new(limits, vec![SlabWriter::new().1]);
            let resource = Set::new(&[], b"r", "", registry.state());
            Nursery { registry, resource }
        }

        pub(in super::super) fn tree(&self) -> Tree {
            Tree::new(self.registry.state()).0
        }

        /// Adds a series; the place of its group.
        pub(in super::super) fn add(&self, tree: &mut Tree, scope: u32, name: u32) -> u32 {
            self.add_under(tree, &self.resource, scope, name)
        }

        fn add_under(&self, tree: &mut Tree, resource: &Arc<Set>, scope: u32, name: u32) -> u32 {
            let parts = Parts {
                resource,
                scope: &Set::new(&[], &scope.to_le_bytes(), "", self.registry.state()),
                name: &name.to_string(),
                unit: "",
                description: "",
                hints: crate::model::TypeHints::NONE,
                kind: Kind::Sum,
                monotonic: true,
                bounds: &[],
            };
            let group = self.registry.group(&parts, Entry::Limited, Maker { slot: 0, interval: 1 }).unwrap();
            tree.link(Arc::new(Series::new(self.registry.hash(&group, b""), group.clone(), ThinBytes::new(b""), 0)));
            tree.place_of(group.id).expect("linked")
        }
    }

    /// A resource that comes again, in other memory and in another order of its attributes, is the one that is there.
    #[test]
    fn a_resource_is_one_in_any_order_of_its_attributes() {
        let nursery = Nursery::new();
        let mut tree = nursery.tree();
        let resource = |run: &[u8]| Set::new(&[], run, "", nursery.registry.state());
        let at = [&b"\x0a\x01a\x0a\x01b"[..], b"\x0a\x01b\x0a\x01a", b"\x0a\x01a\x0a\x01b", b"\x0a\x01a\x0a\x01c"];
        let groups: Vec<_> =
            at.iter().zip(0..).map(|(run, name)| nursery.add_under(&mut tree, &resource(run), 0, name)).collect();
        let places: Vec<_> = groups.iter().map(|group| tree.group(*group).resource).collect();
        assert_eq!(places, [0, 0, 0, 1]);
        groups.iter().for_each(|group| tree.remove_group(*group));
        assert!(tree.resource_ids.is_empty() && tree.scope_ids.is_empty());
    }

    /// What is left is found at its place, and what is gone leaves nothing, in whatever order groups come and go.
    #[test]
    fn groups_and_scopes_that_go_leave_nothing() {
        let nursery = Nursery::new();
        let mut tree = nursery.tree();
        let add = |tree: &mut Tree, scope, name| nursery.add(tree, scope, name);
        let last = add(&mut tree, 0, 0);
        let mut there = Vec::new();
        for round in 1..500u32 {
            there.push(add(&mut tree, round % 100, round));
            if there.len() > 20 {
                let gone = there.swap_remove(round as usize * 7 % there.len());
                tree.remove_group(gone);
            }
            let resource = &tree.resources[0];
            assert_eq!(resource.groups, there.len() + 1);
            assert!(resource.scopes.len() <= 22, "{} scopes", resource.scopes.len());
            assert_eq!(tree.scope_ids.len(), resource.scopes.len() - resource.scope_free.len());
            for (at, scope) in resource.scopes.iter().enumerate() {
                for (place, group) in scope.groups.iter().enumerate() {
                    let owned = &tree.groups[*group as usize];
                    assert_eq!((owned.scope as usize, owned.place as usize), (at, place));
                }
            }
        }
        there.into_iter().chain([last]).for_each(|group| tree.remove_group(group));
        assert!(tree.resource_ids.is_empty() && tree.scope_ids.is_empty() && tree.group_places.is_empty());
        assert_eq!(tree.resource_free, [0]);
    }
}
