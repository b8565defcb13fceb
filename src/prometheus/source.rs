//! What a page reads: groups and rows of one cut, in slices.
//!
//! Knows what a scrape needs to know of a series; does not know where it comes from (`runtime::scrape` has the index), nor
//! formats. Attributes, resources and scopes are protobuf as it came.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::model::{Kind, TypeHints};
use crate::rows::Row;

/// What is the same for all rows of a group. The same metric may come once per shard, with disjoint series unless one
/// `may_repeat`.
#[derive(Clone, Debug)]
pub struct Meta {
    /// The `Resource` message (OTLP 1.x, resource.proto), as it came; valid protobuf and UTF-8.
    pub resource: Arc<[u8]>,
    /// `ResourceMetrics.schema_url`.
    pub resource_schema_url: Arc<str>,
    /// The `InstrumentationScope` message (OTLP 1.x, common.proto), as it came; valid protobuf and UTF-8.
    pub scope: Arc<[u8]>,
    /// `ScopeMetrics.schema_url`.
    pub scope_schema_url: Arc<str>,
    /// `Metric.name`.
    pub name: Arc<str>,
    /// `Metric.unit`, UCUM.
    pub unit: Arc<str>,
    /// `Metric.description`.
    pub description: Arc<str>,
    /// The data kind.
    pub kind: Kind,
    /// What `metadata` says under `prometheus.type`; heard where the kind is shown as a gauge.
    pub hints: TypeHints,
    /// `Sum.is_monotonic`.
    pub monotonic: bool,
    /// `explicit_bounds` of an explicit histogram, strictly ascending.
    pub bounds: Option<Arc<[f64]>>,
    /// Its rows may have attributes that others of its metric have as well: outputs of rules.
    pub may_repeat: bool,
    /// When the group was first seen, wall clock; the older metric wins a TYPE conflict. 0 if not known.
    pub born_ns: u64,
}

impl Meta {
    /// Whether series of both are shown_as apart by their attributes alone.
    pub(super) fn same_space(&self, other: &Meta) -> bool {
        let bounds = |m: &Meta| m.bounds.as_ref().map(|b| b.iter().map(|f| f.to_bits()).collect::<Vec<_>>());
        self.resource == other.resource
            && self.resource_schema_url == other.resource_schema_url
            && self.scope == other.scope
            && self.scope_schema_url == other.scope_schema_url
            && self.name == other.name
            && self.unit == other.unit
            && self.kind == other.kind
            && self.monotonic == other.monotonic
            && bounds(self) == bounds(other)
    }
}

/// One series at the cut being read, in the cumulative view, and the cut that changed it last. What ended is left out.
#[derive(Clone, Copy, Debug)]
pub struct PageRow<'a> {
    /// The row; its attributes are valid protobuf and UTF-8, each key once.
    pub row: Row<'a>,
    /// The cut that changed it last.
    pub cut: u32,
}

impl<'a> std::ops::Deref for PageRow<'a> {
    type Target = Row<'a>;

    #[inline]
    fn deref(&self) -> &Row<'a> {
        &self.row
    }
}

/// A newer cut overtook this scrape: what it reads is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overtaken;

/// Whether a group has more rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The visitor broke off, or the source did, to bound its own work: call again with the same cursor.
    More,
    /// All rows were visited.
    Done,
}

/// One cut of the index, readable in slices.
///
/// Until `Overtaken`, every walk over a group yields the same rows in the same order: those of the cut.
pub trait Source {
    /// A cheap handle of a group.
    type Group: Clone;

    /// All groups over all shards.
    fn groups(&self) -> Vec<Self::Group>;

    /// What is the same for all rows of the group.
    fn meta<'a>(&self, group: &'a Self::Group) -> &'a Meta;

    /// Visits rows from `cursor` on (0 is the start; what else it holds is the source's own affair) until `visit` breaks;
    /// then `cursor` stands behind the row it broke at.
    fn rows(
        &self,
        group: &Self::Group,
        cursor: &mut usize,
        visit: &mut dyn FnMut(PageRow<'_>) -> ControlFlow<()>,
    ) -> Result<Progress, Overtaken>;
}
