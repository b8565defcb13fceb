//! What a shard owns, in the order in which it is written: resource, scope, group, series.
//!
//! Knows where a series stands; does not know values. The owner alone changes it; a scrape reads the flat list of
//! groups and their series while it grows.
//!
//! Invariants
//! 1. The flat lists only grow; a list of series is replaced whole when more than half of it is dead.
//! 2. Resources and scopes are told apart by their bytes and schema URL, groups by their number.

use super::Options;
use super::batch::Batch;
use super::expire::Ages;
use super::merge::Cut;
use crate::aggregate::exponential::Exponential;
use crate::series::registry::Registry;
use crate::series::{Group as Meta, Series};
use crate::sync::append::{AppendVec, Appender};
use crate::sync::published::Published;
use hashbrown::HashMap;
use std::sync::Arc;

/// A group as scrapes see it.
pub struct Group {
    /// Identity and texts.
    pub meta: Arc<Meta>,
    /// Its series on this shard; dead ones are marked.
    pub series: Published<AppendVec<Arc<Series>>>,
}

/// All groups of one shard, read by any thread.
pub type Directory = Arc<AppendVec<Arc<Group>>>;

/// The owner's side of a group.
pub(super) struct Owned {
    pub listed: Arc<Group>,
    pub series: Appender<Arc<Series>>,
    pub dead: usize,
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
}

#[derive(Default)]
pub(super) struct Resource {
    pub scopes: Vec<Scope>,
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
    list: Appender<Arc<Group>>,
    pub(super) batch: Batch,
    pub(super) cut: Option<Cut>,
    /// Boundary of the last cut that was merged; the first interval begins when the process does.
    pub(super) last_boundary: u64,
    pub(super) scratch: [Exponential; 5],
    pub(super) words: Vec<u64>,
    pub(super) retiring: Vec<(u32, Arc<Series>)>,
    pub(super) ages: Ages,
    /// Series linked and alive.
    pub(super) live: usize,
}

impl Owner {
    /// For `shard`, and the directory that scrapes read.
    pub fn new(shard: usize, options: Options, registry: Arc<Registry>) -> (Owner, Directory) {
        let (list, reader) = AppendVec::new();
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
            list,
            batch: Batch::default(),
            cut: None,
            last_boundary: options.started_ns,
            scratch: Default::default(),
            words: Vec::new(),
            retiring: Vec::new(),
            ages: Ages::new(options.expire_ns),
            live: 0,
        };
        (owner, reader)
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
        let resources = &mut self.resources;
        let resource =
            *self.resource_ids.entry((meta.resource.clone(), meta.resource_schema_url.clone())).or_insert_with(|| {
                resources.push(Resource::default());
                resources.len() as u32 - 1
            });
        let scopes = &mut self.resources[resource as usize].scopes;
        let key = (resource, meta.scope.clone(), meta.scope_schema_url.clone());
        let scope = *self.scope_ids.entry(key).or_insert_with(|| {
            scopes.push(Scope::default());
            scopes.len() as u32 - 1
        });
        let (series, reader) = AppendVec::new();
        let listed = Arc::new(Group { meta: meta.clone(), series: Published::new(reader) });
        self.list.push(listed.clone());
        let description = meta.description.load();
        self.groups.push(Owned { listed, series, dead: 0, description });
        let id = self.groups.len() as u32 - 1;
        self.resources[resource as usize].scopes[scope as usize].groups.push(id);
        self.group_ids.insert(meta.id, id);
        id
    }

    /// Replaces the lists that are mostly dead. Between cuts only.
    pub(super) fn compact(&mut self, group: u32) {
        let owned = &mut self.groups[group as usize];
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
}
