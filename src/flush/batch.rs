//! A batch: the points of one outgoing request, staged, measured, then written once.
//!
//! Knows `ExportMetricsServiceRequest` and its parts (OTLP 1.x, metrics.proto); does not know where it goes. Attribute
//! bytes are copied as they came, already encoded.
//!
//! Invariants
//! 1. The size of every message is known before its first byte is written, so lengths are minimal and right.
//! 2. No empty resource, scope or metric is written (E12).

use super::directory::{Owned, Owner};
use crate::aggregate::explicit::{self, COUNT, FLAGS, HAS_MAX, HAS_MIN, HAS_SUM, MAX, MIN, SUM};
use crate::aggregate::exponential as exp;
use crate::aggregate::number::Value;
use crate::aggregate::summary;
use crate::limits::{BATCH_BYTES_MAX, BATCH_POINTS_MAX};
use crate::model::{Kind, Temporality};
use crate::otlp::points::NO_RECORDED_VALUE;
use crate::wire::{field_size, put_bytes, put_fixed64, put_header, put_uint, put_varint, varint_size, zigzag};

/// The temporality a destination wants (`?temporality=`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View(pub Temporality);

/// A staged point: both views of one series' value at a cut.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Point {
    /// Place in its group's list.
    pub series: u32,
    /// Where its histogram regions begin in `Owner::words`: cumulative, then delta.
    pub words: u32,
    /// Where its exemplars are (`exemplars::Gathering`); 0: nowhere.
    pub exemplars: u32,
    /// Point time.
    pub time: u64,
    /// Start of the cumulative view.
    pub start: u64,
    /// Bits of the cumulative value (or the gauge).
    pub value: u64,
    /// Bits of the delta value.
    pub delta: u64,
    /// `value` is a double.
    pub double: bool,
    /// `delta` is a double.
    pub delta_double: bool,
    /// There is a delta.
    pub has_delta: bool,
    /// No recorded value: the series ended (M7).
    pub ended: bool,
}

impl Point {
    /// A number.
    pub(super) fn number(value: Value, delta: Option<Value>) -> Point {
        Point {
            value: value.bits(),
            double: value.is_double(),
            delta: delta.map_or(0, Value::bits),
            delta_double: delta.is_some_and(Value::is_double),
            has_delta: delta.is_some(),
            ..Point::default()
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Section {
    resource: u32,
    scope: u32,
    group: u32,
    from: u32,
    to: u32,
    /// Bytes of the points with their keys and lengths.
    points_size: usize,
    /// Bytes of the metric message.
    metric_size: usize,
}

/// The staged points of one request.
#[derive(Default)]
pub(super) struct Batch {
    sections: Vec<Section>,
    points: Vec<Point>,
    sizes: Vec<u32>,
    bytes: usize,
}

impl Batch {
    /// Points from now on belong to this group.
    pub(super) fn enter(&mut self, resource: u32, scope: u32, group: u32) {
        let at = self.points.len() as u32;
        match self.sections.last_mut() {
            Some(last) if last.group == group => return,
            Some(last) if last.from == last.to => self.sections.truncate(self.sections.len() - 1),
            _ => {}
        }
        self.sections.push(Section { resource, scope, group, from: at, to: at, points_size: 0, metric_size: 0 });
    }

    /// Adds a point to the group entered last.
    pub(super) fn push(&mut self, point: Point, attributes: usize) {
        self.points.push(point);
        self.bytes += attributes + 40;
        if let Some(last) = self.sections.last_mut() {
            last.to += 1;
        }
    }

    /// The point added next has exemplars of so many bytes.
    pub(super) fn add_bytes(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    /// No points.
    pub(super) fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// As large as a request may be.
    pub(super) fn full(&self) -> bool {
        self.points.len() >= BATCH_POINTS_MAX || self.bytes >= BATCH_BYTES_MAX
    }

    /// Forgets everything, keeping the memory.
    pub(super) fn clear(&mut self) {
        self.sections.clear();
        self.points.clear();
        self.bytes = 0;
    }

    /// The request in one view, and its points; nothing if the view has none of them.
    pub(super) fn encode(&mut self, view: View, owner: &Owner, from: u64, to: u64) -> Option<(Vec<u8>, u64)> {
        self.measure(view, owner);
        let mut out = Vec::new();
        let mut points = 0;
        let mut at = 0;
        // first the sizes of all resources, so that the whole is written into one allocation
        let total = self.resources_size(owner);
        out.reserve_exact(total);
        while at < self.sections.len() {
            let resource = self.sections[at].resource;
            let end = self.run_end(at, |s| s.resource == resource);
            points += self.put_resource(&mut out, owner, at..end, view, from, to);
            at = end;
        }
        debug_assert_eq!(out.len(), total, "invariant 1");
        (points > 0).then_some((out, points))
    }

    fn run_end(&self, from: usize, same: impl Fn(&Section) -> bool) -> usize {
        self.sections[from..].iter().position(|s| !same(s)).map_or(self.sections.len(), |n| from + n)
    }

    /// Sizes of points and metrics.
    fn measure(&mut self, view: View, owner: &Owner) {
        self.sizes.clear();
        for section in &mut self.sections {
            let owned = &owner.groups[section.group as usize];
            let cumulative = is_cumulative(view, owned);
            section.points_size = 0;
            for point in &self.points[section.from as usize..section.to as usize] {
                let size = match owned.series.get(point.series as usize) {
                    Some(series) if cumulative || point.has_delta => {
                        let exemplars =
                            if point.exemplars == 0 { 0 } else { owner.exemplars.fields(point.exemplars).len() };
                        point_size(owned, point, cumulative, &owner.words) + series.attributes.len() + exemplars
                    }
                    _ => 0,
                };
                self.sizes.push(size as u32);
                if size > 0 {
                    section.points_size += field_size(size);
                }
            }
            section.metric_size = if section.points_size == 0 { 0 } else { metric_size(owned, section.points_size) };
        }
    }

    fn scope_size(&self, owner: &Owner, range: std::ops::Range<usize>) -> usize {
        let metrics: usize =
            self.sections[range.clone()].iter().filter(|s| s.metric_size > 0).map(|s| field_size(s.metric_size)).sum();
        if metrics == 0 {
            return 0;
        }
        let meta = &owner.groups[self.sections[range.start].group as usize].listed.meta;
        optional(meta.scope.len()) + metrics + optional(meta.scope_schema_url.len())
    }

    fn scopes(&self, range: std::ops::Range<usize>, mut visit: impl FnMut(std::ops::Range<usize>)) {
        let mut at = range.start;
        while at < range.end {
            let scope = self.sections[at].scope;
            let end = self.run_end(at, |s| s.scope == scope).min(range.end);
            visit(at..end);
            at = end;
        }
    }

    fn resource_size(&self, owner: &Owner, range: std::ops::Range<usize>) -> usize {
        let mut scopes = 0;
        self.scopes(range.clone(), |scope| {
            let size = self.scope_size(owner, scope);
            scopes += if size > 0 { field_size(size) } else { 0 };
        });
        if scopes == 0 {
            return 0;
        }
        let meta = &owner.groups[self.sections[range.start].group as usize].listed.meta;
        optional(meta.resource.len()) + scopes + optional(meta.resource_schema_url.len())
    }

    fn resources_size(&self, owner: &Owner) -> usize {
        let (mut at, mut total) = (0, 0);
        while at < self.sections.len() {
            let resource = self.sections[at].resource;
            let end = self.run_end(at, |s| s.resource == resource);
            let size = self.resource_size(owner, at..end);
            total += if size > 0 { field_size(size) } else { 0 };
            at = end;
        }
        total
    }

    fn put_resource(
        &self,
        out: &mut Vec<u8>,
        owner: &Owner,
        range: std::ops::Range<usize>,
        view: View,
        from: u64,
        to: u64,
    ) -> u64 {
        let size = self.resource_size(owner, range.clone());
        if size == 0 {
            return 0;
        }
        let meta = &owner.groups[self.sections[range.start].group as usize].listed.meta;
        put_header(out, 0x0a, size);
        if !meta.resource.is_empty() {
            put_bytes(out, 0x0a, &meta.resource);
        }
        let mut points = 0;
        self.scopes(range, |scope| {
            let size = self.scope_size(owner, scope.clone());
            if size == 0 {
                return;
            }
            let meta = &owner.groups[self.sections[scope.start].group as usize].listed.meta;
            put_header(out, 0x12, size);
            if !meta.scope.is_empty() {
                put_bytes(out, 0x0a, &meta.scope);
            }
            for section in &self.sections[scope] {
                if section.metric_size > 0 {
                    points += self.put_metric(out, owner, section, view, from, to);
                }
            }
            if !meta.scope_schema_url.is_empty() {
                put_bytes(out, 0x1a, meta.scope_schema_url.as_bytes());
            }
        });
        if !meta.resource_schema_url.is_empty() {
            put_bytes(out, 0x1a, meta.resource_schema_url.as_bytes());
        }
        points
    }

    fn put_metric(&self, out: &mut Vec<u8>, owner: &Owner, section: &Section, view: View, from: u64, to: u64) -> u64 {
        let owned = &owner.groups[section.group as usize];
        let meta = &owned.listed.meta;
        put_header(out, 0x12, section.metric_size);
        put_bytes(out, 0x0a, meta.name.as_bytes());
        let description = owned.description();
        if !description.is_empty() {
            put_bytes(out, 0x12, description.as_bytes());
        }
        if !meta.unit.is_empty() {
            put_bytes(out, 0x1a, meta.unit.as_bytes());
        }
        let cumulative = is_cumulative(view, owned);
        put_header(out, data_key(meta.kind), data_size(owned, section.points_size));
        let mut points = 0;
        for at in section.from..section.to {
            let size = self.sizes[at as usize] as usize;
            let point = &self.points[at as usize];
            if size == 0 {
                continue;
            }
            put_header(out, 0x0a, size);
            if let Some(series) = owned.series.get(point.series as usize) {
                put_point(out, owned, point, &series.attributes, cumulative, &owner.words, (from, to));
                if point.exemplars != 0 {
                    out.extend_from_slice(owner.exemplars.fields(point.exemplars));
                }
            }
            points += 1;
        }
        if has_temporality(meta.kind) {
            put_uint(out, 0x10, if cumulative { 2 } else { 1 });
        }
        if meta.kind == Kind::Sum && meta.monotonic {
            put_uint(out, 0x18, 1);
        }
        points
    }
}

/// Bytes that a point of this kind takes beside its attributes and one value, about: counts and bounds, packed counts, which
/// are mostly few and small, quantiles.
pub(super) const fn more(kind: Kind, buckets: u32) -> usize {
    match kind {
        Kind::Gauge | Kind::Sum => 0,
        Kind::Histogram => 40 + 16 * buckets as usize,
        Kind::ExponentialHistogram => 2 * exp::REGION,
        Kind::Summary => 10 * (summary::REGION - summary::HEAD),
    }
}

/// Gauges and summaries have none.
const fn has_temporality(kind: Kind) -> bool {
    !matches!(kind, Kind::Gauge | Kind::Summary)
}

/// Non-monotonic sums always leave cumulative (metric exporters' specification).
fn is_cumulative(view: View, owned: &Owned) -> bool {
    let meta = &owned.listed.meta;
    view.0 == Temporality::Cumulative || !has_temporality(meta.kind) || meta.kind == Kind::Sum && !meta.monotonic
}

const fn optional(length: usize) -> usize {
    if length == 0 { 0 } else { field_size(length) }
}

const fn data_key(kind: Kind) -> u8 {
    match kind {
        Kind::Gauge => 0x2a,
        Kind::Sum => 0x3a,
        Kind::Histogram => 0x4a,
        Kind::ExponentialHistogram => 0x52,
        Kind::Summary => 0x5a,
    }
}

fn data_size(owned: &Owned, points: usize) -> usize {
    let meta = &owned.listed.meta;
    points
        + if has_temporality(meta.kind) { 2 } else { 0 }
        + if meta.kind == Kind::Sum && meta.monotonic { 2 } else { 0 }
}

fn metric_size(owned: &Owned, points: usize) -> usize {
    let meta = &owned.listed.meta;
    field_size(meta.name.len())
        + optional(owned.description().len())
        + optional(meta.unit.len())
        + field_size(data_size(owned, points))
}

/// Bytes of a point without its attributes and exemplars.
#[inline]
fn point_size(owned: &Owned, point: &Point, cumulative: bool, words: &[u64]) -> usize {
    let start = if cumulative && point.start == 0 { 0 } else { 9 };
    match owned.listed.meta.kind {
        Kind::Gauge | Kind::Sum if !point.ended => start + 18,
        _ => start + other_size(owned, point, cumulative, words),
    }
}

/// Of what is no number with a value, without its start.
#[inline(never)]
fn other_size(owned: &Owned, point: &Point, cumulative: bool, words: &[u64]) -> usize {
    match owned.listed.meta.kind {
        Kind::Gauge | Kind::Sum => ended_size(owned),
        kind if point.ended && kind != Kind::Summary => ended_size(owned),
        Kind::Summary => {
            let region = summary_region(point, words);
            let flags = if point.ended { 2 } else { 0 };
            9 + flags
                + fixed_size(region[summary::COUNT])
                + fixed_size(region[summary::SUM])
                + quantiles(region).map(|pair| field_size(quantile_size(pair))).sum::<usize>()
        }
        Kind::Histogram => {
            let region = region(owned, point, cumulative, words);
            let buckets = region.len() - explicit::HEAD;
            9 + count_size(region) + extras(region[FLAGS]) + field_size(8 * buckets) + optional(8 * (buckets - 1))
        }
        Kind::ExponentialHistogram => {
            let region = region(owned, point, cumulative, words);
            let scale = zigzag(region[exp::SCALE] as i32);
            9 + count_size(region)
                + extras(region[FLAGS])
                + if scale == 0 { 0 } else { 1 + varint_size(scale) }
                + if region[exp::ZERO_COUNT] == 0 { 0 } else { 9 }
                + side_field(exp::side(region, 0))
                + side_field(exp::side(region, 1))
                + if region[exp::ZERO_THRESHOLD] == 0 { 0 } else { 9 }
        }
    }
}

/// Bytes of a point without a recorded value, without start and attributes: time, flags, and of an explicit histogram
/// its bounds with empty buckets.
fn ended_size(owned: &Owned) -> usize {
    let meta = &owned.listed.meta;
    let bounds = meta.bounds.len();
    11 + if meta.kind == Kind::Histogram && bounds > 0 {
        field_size(8 * bounds) + field_size(8 * (bounds + 1))
    } else {
        0
    }
}

const fn fixed_size(bits: u64) -> usize {
    if bits == 0 { 0 } else { 9 }
}

fn summary_region<'a>(point: &Point, words: &'a [u64]) -> &'a [u64] {
    let at = point.words as usize;
    &words[at..at + summary::REGION]
}

/// Bits of each quantile and its value.
fn quantiles(region: &[u64]) -> impl Iterator<Item = &[u64]> {
    region[summary::HEAD..summary::used(&region)].chunks_exact(2)
}

fn quantile_size(pair: &[u64]) -> usize {
    pair.iter().map(|bits| fixed_size(*bits)).sum()
}

const fn count_size(region: &[u64]) -> usize {
    if region[COUNT] == 0 { 0 } else { 9 }
}

const fn extras(flags: u64) -> usize {
    9 * (flags & (HAS_SUM | HAS_MIN | HAS_MAX)).count_ones() as usize
}

fn region<'a>(owned: &Owned, point: &Point, cumulative: bool, words: &'a [u64]) -> &'a [u64] {
    let length = match owned.listed.meta.kind {
        Kind::Histogram => explicit::HEAD + owned.listed.meta.buckets() as usize,
        _ => exp::REGION,
    };
    let at = point.words as usize + if cumulative { 0 } else { length };
    &words[at..at + length]
}

fn side_size((offset, counts): (i32, &[u64])) -> usize {
    if counts.is_empty() {
        return 0;
    }
    let packed: usize = counts.iter().map(|count| varint_size(*count)).sum();
    let offset = zigzag(offset);
    (if offset == 0 { 0 } else { 1 + varint_size(offset) }) + field_size(packed)
}

fn side_field(side: (i32, &[u64])) -> usize {
    optional(side_size(side))
}

#[inline]
fn put_point(
    out: &mut Vec<u8>,
    owned: &Owned,
    point: &Point,
    attributes: &[u8],
    cumulative: bool,
    words: &[u64],
    (from, to): (u64, u64),
) {
    let (start, time) = if cumulative { (point.start, point.time) } else { (from, to) };
    let kind = owned.listed.meta.kind;
    if kind == Kind::ExponentialHistogram {
        out.extend_from_slice(attributes);
    }
    if !cumulative || start != 0 {
        put_fixed64(out, 0x11, start);
    }
    put_fixed64(out, 0x19, time);
    match kind {
        Kind::Gauge | Kind::Sum if !point.ended => {
            let (bits, double) =
                if cumulative { (point.value, point.double) } else { (point.delta, point.delta_double) };
            put_fixed64(out, if double { 0x21 } else { 0x31 }, bits);
            out.extend_from_slice(attributes);
        }
        _ => put_other(out, owned, point, attributes, cumulative, words),
    }
}

/// What follows start and time in what is no number with a value.
#[inline(never)]
fn put_other(out: &mut Vec<u8>, owned: &Owned, point: &Point, attributes: &[u8], cumulative: bool, words: &[u64]) {
    match owned.listed.meta.kind {
        kind @ (Kind::Gauge | Kind::Sum) => put_ended(out, owned, attributes, kind),
        kind if point.ended && kind != Kind::Summary => put_ended(out, owned, attributes, kind),
        Kind::Summary => {
            let region = summary_region(point, words);
            for (key, bits) in [(0x21, region[summary::COUNT]), (0x29, region[summary::SUM])] {
                if bits != 0 {
                    put_fixed64(out, key, bits);
                }
            }
            for pair in quantiles(region) {
                put_header(out, 0x32, quantile_size(pair));
                for (key, bits) in [(0x09, pair[0]), (0x11, pair[1])] {
                    if bits != 0 {
                        put_fixed64(out, key, bits);
                    }
                }
            }
            out.extend_from_slice(attributes);
            if point.ended {
                put_uint(out, 0x40, NO_RECORDED_VALUE.into());
            }
        }
        Kind::Histogram => {
            let region = region(owned, point, cumulative, words);
            if region[COUNT] != 0 {
                put_fixed64(out, 0x21, region[COUNT]);
            }
            if region[FLAGS] & HAS_SUM != 0 {
                put_fixed64(out, 0x29, region[SUM]);
            }
            let counts = &region[explicit::HEAD..];
            put_header(out, 0x32, 8 * counts.len());
            counts.iter().for_each(|count| out.extend_from_slice(&count.to_le_bytes()));
            let bounds = &owned.listed.meta.bounds;
            if !bounds.is_empty() {
                put_header(out, 0x3a, 8 * bounds.len());
                bounds.iter().for_each(|bound| out.extend_from_slice(&bound.to_bits().to_le_bytes()));
            }
            out.extend_from_slice(attributes);
            put_extremes(out, region, 0x59, 0x61);
        }
        Kind::ExponentialHistogram => {
            let region = region(owned, point, cumulative, words);
            if region[COUNT] != 0 {
                put_fixed64(out, 0x21, region[COUNT]);
            }
            if region[FLAGS] & HAS_SUM != 0 {
                put_fixed64(out, 0x29, region[SUM]);
            }
            let scale = zigzag(region[exp::SCALE] as i32);
            if scale != 0 {
                put_uint(out, 0x30, scale);
            }
            if region[exp::ZERO_COUNT] != 0 {
                put_fixed64(out, 0x39, region[exp::ZERO_COUNT]);
            }
            put_side(out, 0x42, exp::side(region, 0));
            put_side(out, 0x4a, exp::side(region, 1));
            put_extremes(out, region, 0x61, 0x69);
            if region[exp::ZERO_THRESHOLD] != 0 {
                put_fixed64(out, 0x71, region[exp::ZERO_THRESHOLD]);
            }
        }
    }
}

/// What follows start and time in a point without a recorded value.
fn put_ended(out: &mut Vec<u8>, owned: &Owned, attributes: &[u8], kind: Kind) {
    let bounds = &owned.listed.meta.bounds;
    if kind == Kind::Histogram && !bounds.is_empty() {
        put_header(out, 0x32, 8 * (bounds.len() + 1));
        out.resize(out.len() + 8 * (bounds.len() + 1), 0);
        put_header(out, 0x3a, 8 * bounds.len());
        bounds.iter().for_each(|bound| out.extend_from_slice(&bound.to_bits().to_le_bytes()));
    }
    // an exponential histogram's attributes stand before its start
    if kind != Kind::ExponentialHistogram {
        out.extend_from_slice(attributes);
    }
    let flags_key = if matches!(kind, Kind::Gauge | Kind::Sum) { 0x40 } else { 0x50 };
    put_uint(out, flags_key, NO_RECORDED_VALUE.into());
}

fn put_extremes(out: &mut Vec<u8>, region: &[u64], min_key: u8, max_key: u8) {
    if region[FLAGS] & HAS_MIN != 0 {
        put_fixed64(out, min_key, region[MIN]);
    }
    if region[FLAGS] & HAS_MAX != 0 {
        put_fixed64(out, max_key, region[MAX]);
    }
}

fn put_side(out: &mut Vec<u8>, key: u8, (offset, counts): (i32, &[u64])) {
    if counts.is_empty() {
        return;
    }
    put_header(out, key, side_size((offset, counts)));
    let zigzagged = zigzag(offset);
    if zigzagged != 0 {
        put_uint(out, 0x08, zigzagged);
    }
    let packed: usize = counts.iter().map(|count| varint_size(*count)).sum();
    put_header(out, 0x12, packed);
    counts.iter().for_each(|count| put_varint(out, *count));
}
