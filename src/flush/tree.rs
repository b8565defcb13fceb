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
use crate::identity::Set;
use crate::places::{self, put};
use crate::rules::Candidates;
use crate::series::{Group, Series};
use crate::sync::append::{AppendVec, Appender};
use crate::sync::published::Published;
use hashbrown::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Room that is kept for names when much more is no longer needed.
const NAMES_KEPT: usize = 1024;

/// A group as scrapes see it.
pub struct ListedGroup {
    /// Identity and texts.
    pub meta: Arc<Group>,
    gone: AtomicBool,
    /// None of its series is shown: outputs of rules are, in their place.
    hidden: AtomicBool,
    /// Its series on this shard; dead ones are marked.
    pub series: Published<AppendVec<Arc<Series>>>,
}

impl ListedGroup {
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
pub type GroupDirectory = Arc<Published<AppendVec<Arc<ListedGroup>>>>;

/// The owner's side of a group.
pub(super) struct OwnedGroup {
    listed: Arc<ListedGroup>,
    series: Appender<Arc<Series>>,
    dead: u32,
    resource: u32,
    scope: u32,
    /// Its place in its scope's list.
    place: u32,
    /// The description as it is for the cut being merged, so that sizes and bytes agree.
    description: Option<Arc<Box<str>>>,
    /// What rules know of it; nothing where there are none.
    rules: Option<Box<GroupRules>>,
    /// Who is given its series; nothing where nobody chooses, or nobody was asked yet.
    selection: Option<Box<GroupSelection>>,
}

/// What says who is given the series of a group: the group, its series, and beside each its folds.
pub(super) type SelectedBy<'a> = (&'a Group, &'a Appender<Arc<Series>>, &'a [Member]);

/// What rules know of a group.
#[derive(Default)]
struct GroupRules {
    /// Beside each series, which folds it is a member of.
    members: Vec<Member>,
    /// The rules that may take its series.
    candidates: Candidates,
    /// Number of the rules that were asked; 0: none yet.
    in_force: u32,
}

impl OwnedGroup {
    /// Beside each series, which folds it is a member of, empty where there are no rules; and who is given the series.
    pub(super) fn beside(&mut self) -> (&mut [Member], Option<&GroupSelection>) {
        let members: &mut [Member] = self.rules.as_mut().map_or(&mut [], |rules| &mut rules.members);
        (members, self.selection.as_deref())
    }

    /// Who is given its series, if that was asked.
    pub(super) fn selection(&self) -> Option<&GroupSelection> {
        self.selection.as_deref()
    }

    /// What that is found by, and where it is kept.
    pub(super) fn selection_mut(&mut self) -> (SelectedBy<'_>, &mut Option<Box<GroupSelection>>) {
        let members: &[Member] = self.rules.as_ref().map_or(&[], |rules| &rules.members);
        ((&self.listed.meta, &self.series, members), &mut self.selection)
    }

    /// Identity and texts.
    #[inline]
    pub(super) fn meta(&self) -> &Arc<Group> {
        &self.listed.meta
    }

    /// Its series, by place; dead ones are marked.
    #[inline]
    pub(super) fn series(&self) -> &Appender<Arc<Series>> {
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
    group_ids: HashMap<u32, u32, ahash::RandomState>,
    groups: Vec<OwnedGroup>,
    group_free: Vec<u32>,
    /// What free places hold instead of their group.
    nobody: Arc<ListedGroup>,
    resource_free: Vec<u32>,
    list: Appender<Arc<ListedGroup>>,
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
        let nobody = Arc::new(ListedGroup {
            meta: Group::nobody(state),
            gone: AtomicBool::new(true),
            hidden: AtomicBool::new(true),
            series: Published::new(AppendVec::new().1),
        });
        let tree = Tree {
            resources: Vec::new(),
            resource_ids: HashMap::with_hasher(state.clone()),
            scope_ids: HashMap::with_hasher(state.clone()),
            group_ids: HashMap::with_hasher(state.clone()),
            groups: Vec::new(),
            group_free: Vec::new(),
            nobody,
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
        owned.description = owned.listed.meta.description();
    }

    /// The rules that may take series of a group, and the number of those that were asked, if any were.
    pub(super) fn asked(&self, group: u32) -> Option<(&Candidates, u32)> {
        self.groups[group as usize].rules.as_ref().map(|rules| (&rules.candidates, rules.in_force))
    }

    /// The rules that may take series of a group are these, of the rules of this number.
    pub(super) fn put_candidates(&mut self, group: u32, candidates: Candidates, in_force: u32) {
        let owned = &mut self.groups[group as usize];
        let rules = owned.rules.get_or_insert_default();
        rules.members.resize(owned.series.len(), Member::default());
        (rules.candidates, rules.in_force) = (candidates, in_force);
    }

    /// Some series of a group is shown again.
    pub(super) fn show(&self, group: u32) {
        // ORDERING: see `is_hidden`
        self.groups[group as usize].listed.hidden.store(false, Relaxed);
    }

    /// Links a newborn series into its group: the places of that, of its resource and its scope.
    pub(super) fn link(&mut self, series: Arc<Series>) -> TreePlace {
        let id = match self.group_ids.get(&series.group.id) {
            Some(id) => *id,
            None => self.add_group(&series.group, false),
        };
        let owned = &mut self.groups[id as usize];
        owned.series.push(series);
        if let Some(rules) = &mut owned.rules {
            // there were rules, and none folds now
            rules.members.push(Member::default());
        }
        self.live += 1;
        TreePlace { resource: owned.resource, scope: owned.scope, group: id }
    }

    /// The rules that may take series of a group, if it is there and the rules of this number were asked.
    pub(super) fn candidates(&self, group: &Group, in_force: u32) -> Option<&Candidates> {
        let (candidates, asked) = self.asked(*self.group_ids.get(&group.id)?)?;
        (asked == in_force).then_some(candidates)
    }

    /// Links a newborn series that rules have been asked about.
    pub(super) fn link_member(
        &mut self,
        series: Arc<Series>,
        member: Member,
        (candidates, in_force): (&Candidates, u32),
    ) {
        let (hides, group) = (series.hides(), series.group.clone());
        let id = match self.group_ids.get(&group.id) {
            Some(id) => *id,
            None => self.add_group(&group, hides),
        };
        let owned = &mut self.groups[id as usize];
        if !hides && owned.listed.is_hidden() {
            // ORDERING: see `is_hidden`
            owned.listed.hidden.store(false, Relaxed);
        }
        let there = owned.series.len();
        let rules = owned.rules.get_or_insert_with(|| {
            // of series that are there already nobody has asked yet
            let in_force = if there == 0 { in_force } else { 0 };
            let mut members = Vec::with_capacity(there + 1);
            members.resize(there, Member::default());
            Box::new(GroupRules { members, candidates: candidates.clone(), in_force })
        });
        rules.members.push(member);
        owned.series.push(series);
        self.live += 1;
    }

    fn add_group(&mut self, meta: &Arc<Group>, hides: bool) -> u32 {
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
        let (series, reader) = AppendVec::new();
        let listed = Arc::new(ListedGroup {
            meta: meta.clone(),
            gone: AtomicBool::new(false),
            hidden: AtomicBool::new(hides),
            series: Published::new(reader),
        });
        self.list.push(listed.clone());
        let description = meta.description();
        let resource_of = &mut self.resources[resource as usize];
        let siblings = &mut resource_of.scopes[scope as usize].groups;
        let owned = OwnedGroup {
            listed,
            series,
            dead: 0,
            resource,
            scope,
            place: siblings.len() as u32,
            description,
            rules: None,
            selection: None,
        };
        let id = put(&mut self.groups, &mut self.group_free, owned);
        siblings.push(id);
        resource_of.groups += 1;
        self.group_ids.insert(meta.id, id);
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
        let (mut fresh, reader) = AppendVec::new();
        let mut rules = owned.rules.take();
        let members = rules.as_mut().map(|rules| std::mem::take(&mut rules.members)).unwrap_or_default();
        let (mut members, mut kept, released) = (members.into_iter(), Vec::new(), &mut self.released);
        for series in owned.series.iter() {
            match (series.is_dead(), members.next()) {
                (true, member) => released.extend(member.and_then(Member::fold)),
                (false, member) => {
                    fresh.push(series.clone());
                    kept.extend(member);
                }
            }
        }
        if let Some(rules) = &mut rules {
            rules.members = kept;
        }
        owned.rules = rules;
        // places are others
        owned.selection = None;
        owned.series = fresh;
        owned.dead = 0;
        owned.listed.series.store(reader);
    }

    /// After deaths: gives back what groups took that are no more. Before the series of a cut are walked only.
    pub(super) fn trim(&mut self) {
        places::trim(&mut self.groups, &mut self.group_free, |owned| owned.listed.is_gone());
        places::trim(&mut self.resources, &mut self.resource_free, |resource| resource.key.is_none());
        fn fit<K: Eq + std::hash::Hash, V>(map: &mut HashMap<K, V, ahash::RandomState>) {
            if map.capacity() > NAMES_KEPT && map.capacity() / 4 > map.len() {
                map.shrink_to(map.len() * 2);
            }
        }
        fit(&mut self.resource_ids);
        fit(&mut self.scope_ids);
        fit(&mut self.group_ids);
    }

    fn remove_group(&mut self, group: u32) {
        let owned = &mut self.groups[group as usize];
        // ORDERING: see `is_gone`
        owned.listed.gone.store(true, Relaxed);
        owned.selection = None;
        let members = owned.rules.take().map(|rules| rules.members).unwrap_or_default();
        self.released.extend(members.into_iter().filter_map(Member::fold));
        let (fresh, reader) = AppendVec::new();
        owned.series = fresh;
        owned.dead = 0;
        owned.listed.series.store(reader);
        let (resource, scope, place, id) = (owned.resource, owned.scope, owned.place, owned.listed.meta.id);
        owned.listed = self.nobody.clone();
        owned.description = None;
        self.group_ids.remove(&id);
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
            let (mut fresh, reader) = AppendVec::new();
            self.list.iter().filter(|listed| !listed.is_gone()).for_each(|listed| {
                fresh.push(listed.clone());
            });
            self.list = fresh;
            self.listed_gone = 0;
            self.directory.store(reader);
        }
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
            tree.group_ids[&group.id]
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
        assert!(tree.resource_ids.is_empty() && tree.scope_ids.is_empty() && tree.group_ids.is_empty());
        assert_eq!(tree.resource_free, [0]);
    }
}
