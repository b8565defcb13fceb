//! Groups gathered into families: names, TYPE, HELP, and the label prefixes of resource and scope.
//!
//! Knows metas; does not read rows. Prefixes are kept once however many metrics share them.
//!
//! Invariant: what is gathered does not depend on the order in which groups come, so that a page is the same from
//! scrape to scrape and whatever the number of shards.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use crate::model::TypeHints;
use crate::prometheus::label_encoding::LabelEncoding;
use crate::prometheus::name::{Naming, metric_type};
use crate::prometheus::report::{Report, WarningReason};
use crate::prometheus::scope_join::Prefixes;
use crate::prometheus::source::{Meta, Source};
use crate::prometheus::target::{put_scope, target};
use crate::prometheus::text::MetricType;

/// What a gauge is said to be. Where two differ the lower one is right of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hint {
    /// Some sender says that nobody knows, or senders differ.
    Unknown,
    /// Nothing is said, or not of all.
    Gauge,
    Info,
    StateSet,
}

impl Hint {
    /// Of a metric of this TYPE; `None` if it is no gauge.
    fn of(hints: TypeHints, kind: MetricType) -> Option<Hint> {
        match hints {
            _ if kind != MetricType::Gauge => None,
            TypeHints::NONE => Some(Hint::Gauge),
            TypeHints::INFO => Some(Hint::Info),
            TypeHints::STATE_SET => Some(Hint::StateSet),
            _ => Some(Hint::Unknown),
        }
    }

    /// Of a family with members of both.
    fn and(self, other: Hint) -> Hint {
        if self == other { self } else { self.min(other).min(Hint::Gauge) }
    }
}

/// A group within its family.
pub(super) struct FamilyMember<G> {
    /// Place of its prefix.
    pub prefix: u32,
    pub kind: MetricType,
    pub group: G,
}

/// All groups of one Prometheus name.
pub(super) struct MetricFamily<G> {
    /// TYPE of the oldest member; members of others are left out. Once settled, a gauge may be `Unknown`.
    pub kind: MetricType,
    born_ns: u64,
    pub help: Arc<str>,
    /// As the name ends, if it does.
    pub unit: Option<Box<str>>,
    unit_of: Arc<str>,
    unit_conflict: bool,
    help_conflict: bool,
    type_conflict: bool,
    /// What the gauges among the members are said to be.
    hint: Option<Hint>,
    pub members: Vec<FamilyMember<G>>,
}

/// `target_info` of one job and instance.
pub(super) struct TargetInfo {
    pub resource: Arc<[u8]>,
    born_ns: u64,
}

/// Everything but the rows.
pub(super) struct Directory<G> {
    naming: Naming,
    encoding: LabelEncoding,
    /// Keyed hashes of all family names: whether a name is taken, in 8 bytes each.
    names: HashSet<u64, ahash::RandomState>,
    pub families: BTreeMap<Arc<str>, MetricFamily<G>>,
    /// By the text of job and instance.
    pub targets: BTreeMap<Box<[u8]>, TargetInfo>,
    /// Labels of job, instance and scope.
    pub prefixes: Vec<Arc<[u8]>>,
    prefix_places: Prefixes,
    /// The group before and its prefix: neighbours mostly share resource and scope.
    before: Option<(Meta, u32)>,
}

impl<G: Clone> Directory<G> {
    pub(super) fn new(keys: ahash::RandomState, naming: Naming, encoding: LabelEncoding) -> Self {
        Directory {
            naming,
            encoding,
            names: HashSet::with_hasher(keys.clone()),
            families: BTreeMap::new(),
            targets: BTreeMap::new(),
            prefixes: Vec::new(),
            prefix_places: HashMap::with_hasher(keys),
            before: None,
        }
    }

    /// Adds a group to its family.
    pub(super) fn add<S: Source<Group = G>>(&mut self, source: &S, group: G, report: &mut Report) {
        let meta = source.meta(&group);
        let kind = metric_type(meta.kind, meta.monotonic);
        let hint = Hint::of(meta.hints, kind);
        let name = match hint {
            Some(Hint::Info | Hint::StateSet) => {
                self.naming.labelled_name(&meta.name, &meta.unit, hint == Some(Hint::Info))
            }
            _ => self.naming.metric_name(&meta.name, &meta.unit, meta.kind, meta.monotonic),
        };
        let Some(name) = name else {
            report.warn(WarningReason::Unnameable, 1, &meta.name, &meta.name);
            return;
        };
        let prefix = self.prefix(meta, report);
        let description = meta.description.clone();
        let born_ns = meta.born_ns;
        let unit_of = meta.unit.clone();
        let member = FamilyMember { prefix, kind, group };
        // most groups of a family have the unit of the one before
        let unit = match self.families.get(name.as_str()) {
            Some(family) if family.unit_of == unit_of => None,
            _ => self.naming.unit(base_of(&name, kind), &unit_of).map(Box::from),
        };
        match self.families.get_mut(name.as_str()) {
            Some(family) => {
                family.hint = match (family.hint, hint) {
                    (Some(one), Some(other)) => Some(one.and(other)),
                    (one, other) => one.or(other),
                };
                family.add(member, description, born_ns, unit);
            }
            None => {
                self.names.insert(self.names.hasher().hash_one(name.as_str()));
                let family = MetricFamily {
                    kind,
                    born_ns,
                    help: description,
                    unit,
                    unit_of,
                    unit_conflict: false,
                    help_conflict: false,
                    type_conflict: false,
                    hint,
                    members: vec![member],
                };
                self.families.insert(name.into(), family);
            }
        }
    }

    /// The prefixes with their places, once all groups are added.
    pub(super) fn take_prefix_places(&mut self) -> Prefixes {
        let none = HashMap::with_hasher(self.prefix_places.hasher().clone());
        std::mem::replace(&mut self.prefix_places, none)
    }

    /// Which names are taken, once all groups are added.
    pub(super) fn take_names(&mut self) -> Names {
        let none = HashSet::with_hasher(self.names.hasher().clone());
        Names(std::mem::replace(&mut self.names, none))
    }

    /// The place of the labels that a group's rows share; registers its target on the way.
    fn prefix(&mut self, meta: &Meta, report: &mut Report) -> u32 {
        if let Some((before, prefix)) = &self.before
            && Arc::ptr_eq(&before.resource, &meta.resource)
            && Arc::ptr_eq(&before.scope, &meta.scope)
            && Arc::ptr_eq(&before.scope_schema_url, &meta.scope_schema_url)
        {
            return *prefix;
        }
        let target = target(&meta.resource, self.encoding);
        let mut labels = target.labels.clone();
        if target.named && target.others {
            self.add_target(target.labels.into(), meta, report);
        }
        put_scope(&mut labels, &meta.scope, &meta.scope_schema_url, self.naming, self.encoding);
        let prefix = match self.prefix_places.get(labels.as_slice()) {
            Some(&prefix) => prefix,
            None => {
                let prefix = u32::try_from(self.prefixes.len()).expect("fewer prefixes than groups");
                let labels: Arc<[u8]> = labels.into();
                self.prefixes.push(labels.clone());
                self.prefix_places.insert(labels, prefix);
                prefix
            }
        };
        self.before = Some((meta.clone(), prefix));
        prefix
    }

    fn add_target(&mut self, labels: Box<[u8]>, meta: &Meta, report: &mut Report) {
        let new = || TargetInfo { resource: meta.resource.clone(), born_ns: meta.born_ns };
        match self.targets.get_mut(&labels) {
            None => {
                self.targets.insert(labels, new());
            }
            Some(known) if known.resource == meta.resource => known.born_ns = known.born_ns.min(meta.born_ns),
            Some(known) => {
                report.warn(WarningReason::TargetConflict, 1, "target_info", &String::from_utf8_lossy(&labels));
                if (meta.born_ns, &meta.resource) < (known.born_ns, &known.resource) {
                    *known = new();
                }
            }
        }
    }
}

/// Which family names are taken.
pub(super) struct Names(HashSet<u64, ahash::RandomState>);

impl Names {
    pub(super) fn contains(&self, name: &str) -> bool {
        self.0.contains(&self.0.hasher().hash_one(name))
    }
}

/// A counter's name without `_total`; any other name as it is.
pub(super) fn base_of(name: &str, kind: MetricType) -> &str {
    match kind {
        MetricType::Counter => name.strip_suffix("_total").unwrap_or(name),
        _ => name,
    }
}

impl<G> MetricFamily<G> {
    fn add(&mut self, member: FamilyMember<G>, description: Arc<str>, born_ns: u64, unit: Option<Box<str>>) {
        if let Some(unit) = unit {
            self.unit_conflict |= self.unit.as_ref().is_some_and(|known| *known != unit);
            // the longer one says more, and does not depend on the order of groups
            if self.unit.as_ref().is_none_or(|known| (unit.len(), &unit) > (known.len(), known)) {
                self.unit = Some(unit);
            }
        }
        self.type_conflict |= member.kind != self.kind;
        if (born_ns, member.kind) < (self.born_ns, self.kind) {
            (self.born_ns, self.kind) = (born_ns, member.kind);
        }
        if description != self.help {
            self.help_conflict |= !description.is_empty() && !self.help.is_empty();
            let rank = |help: &Arc<str>| (help.len(), std::cmp::Reverse(help.clone()));
            if rank(&description) > rank(&self.help) {
                self.help = description;
            }
        }
        self.members.push(member);
    }

    /// Of a settled family: all of it is said to be this.
    pub(super) fn is_said(&self, hint: Hint) -> bool {
        self.kind == MetricType::Gauge && self.hint == Some(hint)
    }

    /// Leaves out members of another TYPE (X5) and brings those of one prefix together.
    pub(super) fn settle<S: Source<Group = G>>(&mut self, name: &str, source: &S, report: &mut Report) {
        if self.type_conflict {
            let mut dropped: Vec<&str> = Vec::new();
            for member in self.members.iter().filter(|member| member.kind != self.kind) {
                // the same metric comes once per shard and resource: it is one metric
                let metric = &source.meta(&member.group).name;
                report.warn(WarningReason::TypeConflict, u64::from(!dropped.contains(&&**metric)), name, metric);
                if dropped.len() < crate::limits::PAGE_WARNINGS_MAX {
                    dropped.push(metric);
                }
            }
            let kind = self.kind;
            self.members.retain(|member| member.kind == kind);
        }
        if self.hint == Some(Hint::Unknown) && self.kind == MetricType::Gauge {
            self.kind = MetricType::Unknown;
        }
        report.warn(WarningReason::HelpConflict, u64::from(self.help_conflict), name, "");
        report.warn(WarningReason::UnitConflict, u64::from(self.unit_conflict), name, "");
        // stable, so that rows come in the source's order
        self.members.sort_by_key(|member| member.prefix);
    }
}
