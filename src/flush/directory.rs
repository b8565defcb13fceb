//! What a shard owns, in the order in which it is written: resource, scope, group, series.
//!
//! Knows where a series stands; does not know values. The owner alone changes it; a scrape reads the flat list of
//! groups and their series while it grows.
//!
//! Invariants
//! 1. The flat lists only grow; a list is replaced whole when more than half of it is dead or gone. A group without
//!    series leaves all lists, and its resource with its last group.
//! 2. Resources and scopes are told apart by their bytes and schema URL, groups by their number.

use super::Options;
use super::batch::{Batch, Point};
use super::exemplars::Gathering;
use super::expire::Ages;
use super::histograms::{Explicit, Exponentials};
use super::merge::{Cut, Link};
use crate::series::registry::Registry;
use crate::series::{Group as Meta, Series};
use crate::sync::append::{AppendVec, Appender};
use crate::sync::published::Published;
use hashbrown::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// A group as scrapes see it.
pub struct Group {
    /// Identity and texts.
    pub meta: Arc<Meta>,
    gone: AtomicBool,
    /// Its series on this shard; dead ones are marked.
    pub series: Published<AppendVec<Arc<Series>>>,
}

impl Group {
    /// Nothing of it is left on this shard.
    pub fn is_gone(&self) -> bool {
        // ORDERING: a hint for scrapes: a group without series shows nothing either way
        self.gone.load(Relaxed)
    }
}

/// All groups of one shard, read by any thread.
pub type Directory = Arc<Published<AppendVec<Arc<Group>>>>;

/// The owner's side of a group.
pub(super) struct Owned {
    pub listed: Arc<Group>,
    pub series: Appender<Arc<Series>>,
    pub dead: usize,
    resource: u32,
    scope: u32,
    /// The description as it is for the cut being merged, so that sizes and bytes agree.
    pub description: Arc<Box<str>>,
}

impl Owned {
    /// `Metric.description` of the cut being merged.
    pub fn description(&self) -> &str {
        &self.description
    }
}

#[derive(Default)]
pub(super) struct Scope {
    pub groups: Vec<u32>,
    key: Option<(u32, Bytes, Text)>,
}

#[derive(Default)]
pub(super) struct Resource {
    pub scopes: Vec<Scope>,
    key: Option<(Bytes, Text)>,
    /// Groups under it.
    groups: usize,
}

type Bytes = Arc<[u8]>;
type Text = Arc<str>;

/// One shard's side of all series it owns.
pub struct Owner {
    pub(super) shard: usize,
    pub(super) options: Options,
    pub(super) registry: Arc<Registry>,
    pub(super) resources: Vec<Resource>,
    resource_ids: HashMap<(Bytes, Text), u32, ahash::RandomState>,
    scope_ids: HashMap<(u32, Bytes, Text), u32, ahash::RandomState>,
    group_ids: HashMap<u32, u32, ahash::RandomState>,
    pub(super) groups: Vec<Owned>,
    group_free: Vec<u32>,
    resource_free: Vec<u32>,
    list: Appender<Arc<Group>>,
    listed_gone: usize,
    directory: Directory,
    pub(super) batch: Batch,
    pub(super) cut: Option<Cut>,
    /// Wall time at which the process started, or the earliest a window began since.
    pub(super) started: u64,
    pub(super) explicit: Explicit,
    pub(super) exponentials: Exponentials,
    /// Cumulative banks of the series being merged.
    pub(super) links: Vec<Link>,
    pub(super) words: Vec<u64>,
    /// The summary being merged.
    pub(super) summary: Vec<u64>,
    /// The end of the series being merged, if it ended.
    pub(super) end: Option<Point>,
    pub(super) exemplars: Gathering,
    pub(super) retiring: Vec<(u32, Arc<Series>)>,
    pub(super) ages: Ages,
    /// Series linked and alive.
    pub(super) live: usize,
}

impl Owner {
    /// For `shard`, and the directory that scrapes read.
    pub fn new(shard: usize, options: Options, registry: Arc<Registry>) -> (Owner, Directory) {
        let (list, reader) = AppendVec::new();
        let directory = Arc::new(Published::new(reader));
        let state = registry.state().clone();
        let owner = Owner {
            shard,
            options,
            registry,
            resources: Vec::new(),
            resource_ids: HashMap::with_hasher(state.clone()),
            scope_ids: HashMap::with_hasher(state.clone()),
            group_ids: HashMap::with_hasher(state),
            groups: Vec::new(),
            group_free: Vec::new(),
            resource_free: Vec::new(),
            list,
            listed_gone: 0,
            directory: directory.clone(),
            batch: Batch::default(),
            cut: None,
            started: options.started_ns,
            explicit: Explicit::default(),
            exponentials: Exponentials::default(),
            links: Vec::new(),
            words: Vec::new(),
            summary: Vec::new(),
            end: None,
            exemplars: Gathering::default(),
            retiring: Vec::new(),
            ages: Ages::new(options.expire_ns),
            live: 0,
        };
        (owner, directory)
    }

    /// Series linked and alive.
    pub const fn live(&self) -> usize {
        self.live
    }

    /// Links a newborn series into its group.
    pub(super) fn link(&mut self, series: Arc<Series>) {
        let id = match self.group_ids.get(&series.group.id) {
            Some(id) => *id,
            None => self.add_group(&series.group),
        };
        self.groups[id as usize].series.push(series);
        self.live += 1;
    }

    fn add_group(&mut self, meta: &Arc<Meta>) -> u32 {
        let key = (meta.resource.clone(), meta.resource_schema_url.clone());
        let resource = match self.resource_ids.get(&key) {
            Some(id) => *id,
            None => {
                let new = Resource { scopes: Vec::new(), key: Some(key.clone()), groups: 0 };
                let id = put(&mut self.resources, &mut self.resource_free, new);
                self.resource_ids.insert(key, id);
                id
            }
        };
        let scopes = &mut self.resources[resource as usize].scopes;
        let key = (resource, meta.scope.clone(), meta.scope_schema_url.clone());
        let scope = match self.scope_ids.get(&key) {
            Some(id) => *id,
            None => {
                scopes.push(Scope { groups: Vec::new(), key: Some(key.clone()) });
                self.scope_ids.insert(key, scopes.len() as u32 - 1);
                scopes.len() as u32 - 1
            }
        };
        let (series, reader) = AppendVec::new();
        let listed =
            Arc::new(Group { meta: meta.clone(), gone: AtomicBool::new(false), series: Published::new(reader) });
        self.list.push(listed.clone());
        let description = meta.description.load();
        let owned = Owned { listed, series, dead: 0, resource, scope, description };
        let id = put(&mut self.groups, &mut self.group_free, owned);
        self.resources[resource as usize].groups += 1;
        self.resources[resource as usize].scopes[scope as usize].groups.push(id);
        self.group_ids.insert(meta.id, id);
        id
    }

    /// Replaces a list of series that is mostly dead, and takes a group without series out. Before the series of a
    /// cut are walked only: places of groups and series change.
    pub(super) fn compact(&mut self, group: u32) {
        let owned = &mut self.groups[group as usize];
        if owned.dead == owned.series.len() {
            self.remove_group(group);
            return;
        }
        if owned.dead * 2 <= owned.series.len() {
            return;
        }
        let (mut fresh, reader) = AppendVec::new();
        owned.series.iter().filter(|series| !series.is_dead()).for_each(|series| {
            fresh.push(series.clone());
        });
        owned.series = fresh;
        owned.dead = 0;
        owned.listed.series.store(reader);
    }

    fn remove_group(&mut self, group: u32) {
        let owned = &mut self.groups[group as usize];
        // ORDERING: see `is_gone`
        owned.listed.gone.store(true, Relaxed);
        let (fresh, reader) = AppendVec::new();
        owned.series = fresh;
        owned.dead = 0;
        owned.listed.series.store(reader);
        let (resource, scope, id) = (owned.resource, owned.scope, owned.listed.meta.id);
        self.group_ids.remove(&id);
        self.group_free.push(group);
        let at = &mut self.resources[resource as usize];
        at.scopes[scope as usize].groups.retain(|other| *other != group);
        at.groups -= 1;
        if at.groups == 0 {
            // scopes go with their resource: a live resource keeps the few it has
            for scope in std::mem::take(&mut at.scopes) {
                if let Some(key) = scope.key {
                    self.scope_ids.remove(&key);
                }
            }
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

/// Puts `new` into a free place, or a new one; returns which.
fn put<T>(all: &mut Vec<T>, free: &mut Vec<u32>, new: T) -> u32 {
    match free.pop() {
        Some(id) => {
            all[id as usize] = new;
            id
        }
        None => {
            all.push(new);
            all.len() as u32 - 1
        }
    }
}
