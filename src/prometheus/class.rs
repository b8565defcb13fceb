//! One family's rows: scanned, fingerprinted, streamed or merged, class by class. See `page` for what a class is.
//!
//! Knows which rows may collide and what is written when; does not know other families.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::aggregate::explicit::HAS_SUM;
use crate::aggregate::exponential::Exponential;
use crate::aggregate::number;
use crate::prometheus::any::next_attribute;
use crate::prometheus::exemplar;
use crate::prometheus::gather::{FamilyMember, MetricFamily};
use crate::prometheus::histogram::{LineStyle, Lines};
use crate::prometheus::label_encoding::LabelEncoding;
use crate::prometheus::labels::Labels;
use crate::prometheus::merge::{MERGED_ROW_BYTES, MergedValue, Merger};
use crate::prometheus::message::{self, Annotations, Messages};
use crate::prometheus::name::{INFO, LabelPlace, Naming};
use crate::prometheus::negotiate::Format;
use crate::prometheus::report::{Report, WarningReason};
use crate::prometheus::scope_join::{OWN_PREFIX, Prefixes};
use crate::prometheus::source::{Meta, Overtaken, PageRow, Progress, Source};
use crate::prometheus::style::{Bounds, Style};
use crate::prometheus::text::{MetricType, Number, is_metric_name, put_family, put_head, put_number, put_seconds};
use crate::rows::RowValue;
use crate::wire::{Reader, put_bytes, put_varint};

/// What is at hand while writing: the chunk being filled, scratch space, the report.
pub(super) struct PageWriter {
    pub bounds: Bounds,
    pub style: Style,
    pub report: Report,
    pub out: Vec<u8>,
    prefixes: Vec<Arc<[u8]>>,
    /// The metrics of the `MetricFamily` being filled; protobuf only.
    pub metrics: Vec<u8>,
    pub metric: Vec<u8>,
    messages: Messages,
    keys: ahash::RandomState,
    labels: Labels,
    lines: Lines,
    scratch: Vec<u8>,
    values: ValueScratch,
}

impl PageWriter {
    pub(super) fn new(keys: ahash::RandomState, bounds: Bounds, style: Style) -> Self {
        PageWriter {
            bounds,
            style,
            report: Report::default(),
            out: Vec::with_capacity(bounds.chunk_bytes + bounds.chunk_bytes / 16),
            prefixes: Vec::new(),
            metrics: Vec::new(),
            metric: Vec::new(),
            messages: Messages::default(),
            labels: Labels::new(keys.clone(), style.naming, style.encoding()),
            keys,
            lines: Lines::default(),
            scratch: Vec::new(),
            values: ValueScratch::default(),
        }
    }

    /// All groups are gathered: these are their prefixes, by place, and their places.
    pub(super) fn know(&mut self, prefixes: Vec<Arc<[u8]>>, places: Prefixes) {
        self.prefixes = prefixes;
        self.labels.know(places);
    }

    pub(super) fn is_full(&self) -> bool {
        self.out.len() >= self.bounds.chunk_bytes
    }

    /// Adds `metric` to the message being filled.
    pub(super) fn put_metric(&mut self) {
        put_bytes(&mut self.metrics, message::METRIC, &self.metric);
    }

    /// Ends the message being filled, if there is one.
    pub(super) fn end_message(&mut self, name: &str, help: &str, kind: MetricType, unit: Option<&str>) {
        if self.metrics.is_empty() {
            return;
        }
        self.metric.clear();
        message::put_family(&mut self.metric, name, help, kind, unit);
        put_varint(&mut self.out, (self.metric.len() + self.metrics.len()) as u64);
        self.out.extend_from_slice(&self.metric);
        self.out.extend_from_slice(&self.metrics);
        self.metrics.clear();
    }
}

/// The family being written.
pub(super) struct OpenFamily<G> {
    title: Title,
    /// Members not begun, by descending prefix.
    members: Vec<FamilyMember<G>>,
    class: Option<Class<G>>,
}

struct Title {
    name: Arc<str>,
    kind: MetricType,
    help: Arc<str>,
    unit: Option<Box<str>>,
    quoted: bool,
    shown_as: OpenMetricsType,
    /// While it is not known whether OpenMetrics may have it as what it is told to be: the member and the source's
    /// cursor in it.
    check: Option<(usize, usize)>,
    /// The header is written with the first row: a family without rows is not shown.
    written: bool,
}

impl Title {
    /// What the family is called in its header.
    fn base(&self) -> &str {
        let suffix = match self.shown_as {
            OpenMetricsType::Counter => "_total",
            OpenMetricsType::Info => INFO,
            OpenMetricsType::Plain | OpenMetricsType::StateSet => "",
        };
        self.name.strip_suffix(suffix).unwrap_or(&self.name)
    }

    /// One step of finding out whether the family may be what it is told to be. Read and written is one cut, so that
    /// what is found holds.
    fn check<S: Source>(
        &mut self,
        members: &[FamilyMember<S::Group>],
        source: &S,
        writer: &PageWriter,
    ) -> Result<(), Overtaken> {
        let Some((member, cursor)) = &mut self.check else { return Ok(()) };
        let Some(FamilyMember { group, .. }) = members.get(*member) else {
            self.check = None;
            return Ok(());
        };
        let (mut left, mut fits) = (writer.bounds.rows_per_step, true);
        let progress = source.rows(group, cursor, &mut |row| {
            left -= 1;
            fits = self.shown_as.takes(&self.name, &row, writer.style.naming);
            if fits && left > 0 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        if !fits {
            (self.shown_as, self.check) = (OpenMetricsType::Plain, None);
        } else if progress == Progress::Done {
            self.check = Some((*member + 1, 0));
        }
        Ok(())
    }

    fn line_style(&self, open_metrics: bool) -> LineStyle<'_> {
        LineStyle { name: &self.name, quoted: self.quoted, is_summary: self.kind == MetricType::Summary, open_metrics }
    }
}

/// What OpenMetrics has a family as; other formats do not ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OpenMetricsType {
    /// Its TYPE, by its whole name; a counter as `unknown`.
    Plain,
    /// A counter, without `_total` in its name.
    Counter,
    /// Without `_info` in its name, if every value is 1.
    Info,
    /// If every value is 0 or 1, and every row has a label called like the family.
    StateSet,
}

impl OpenMetricsType {
    /// Whether a row may be in such a family.
    fn takes(self, name: &str, row: &PageRow<'_>, naming: Naming) -> bool {
        let value = match row.value {
            RowValue::Number(number::Value::Int(value)) => value as f64,
            RowValue::Number(number::Value::Double(value)) => value,
            // left out, whatever the family is
            _ => return true,
        };
        match self {
            OpenMetricsType::Plain | OpenMetricsType::Counter => true,
            OpenMetricsType::Info => value == 1.0,
            OpenMetricsType::StateSet => {
                let mut attributes = Reader::new(row.attributes);
                (value == 0.0 || value == 1.0)
                    && std::iter::from_fn(|| next_attribute(&mut attributes)).any(|attribute| {
                        !attribute.is_empty()
                            && std::str::from_utf8(attribute.key)
                                .is_ok_and(|key| naming.label_name(key, LabelPlace::Point(MetricType::Gauge)) == name)
                    })
            }
        }
    }
}

/// Groups whose rows can collide.
struct Class<G> {
    groups: Vec<G>,
    /// Labels of job, instance and scope.
    prefix: Arc<[u8]>,
    /// `family{prefix`, for rows of one line, and where its labels begin.
    head: Vec<u8>,
    labels_at: usize,
    mode: Mode,
    /// Bytes of labels fingerprinted.
    label_bytes: usize,
    /// The group being read and the source's cursor in it.
    at: usize,
    cursor: usize,
}

enum Mode {
    Scan,
    /// Of every row, in the order of the walk.
    Fingerprint(Vec<u64>),
    Stream,
    Merge {
        collisions: Collisions,
        first_pass: bool,
        merger: Merger,
        /// The row of the walk.
        row: usize,
    },
    /// Merged rows are being written, from `next` on.
    Drain {
        collisions: Collisions,
        merger: Merger,
        next: usize,
    },
}

/// Which rows share a fingerprint.
#[derive(Default)]
struct Collisions {
    /// Of every row, in the order of the walk: a row that this pass is not about is passed over without its labels.
    rows: Vec<u64>,
    /// Those that come more than once and are not written yet, ascending.
    doubles: Vec<u64>,
    /// How many of `doubles` a pass takes up; a guess from the labels' mean length.
    per_pass: usize,
}

impl<G: Clone> OpenFamily<G> {
    /// Begins a settled family. `shown_as`: what OpenMetrics may show it as; `Plain` elsewhere.
    pub(super) fn new(name: Arc<str>, family: MetricFamily<G>, shown_as: OpenMetricsType) -> Self {
        let MetricFamily { kind, help, unit, mut members, .. } = family;
        members.reverse();
        let quoted = !is_metric_name(&name);
        let check = matches!(shown_as, OpenMetricsType::Info | OpenMetricsType::StateSet).then_some((0, 0));
        OpenFamily {
            title: Title { name, kind, help, unit, quoted, shown_as, check, written: false },
            members,
            class: None,
        }
    }

    /// One step.
    pub(super) fn advance<S: Source<Group = G>>(
        &mut self,
        source: &S,
        writer: &mut PageWriter,
    ) -> Result<Progress, Overtaken> {
        let OpenFamily { title, members, class } = self;
        if writer.lines.pending() {
            let line_style = title.line_style(writer.style.format.is_open_metrics());
            writer.lines.put(&mut writer.out, line_style, writer.bounds.chunk_bytes);
            return Ok(Progress::More);
        }
        if title.check.is_some() {
            title.check(members, source, writer)?;
            return Ok(Progress::More);
        }
        match class {
            Some(open) => {
                if open.advance(source, writer, title)? == Progress::Done {
                    *class = None;
                }
                Ok(Progress::More)
            }
            None => {
                *class = next_class(members, source, writer, title);
                if class.is_some() {
                    return Ok(Progress::More);
                }
                writer.end_message(&title.name, &title.help, title.kind, title.unit.as_deref());
                Ok(Progress::Done)
            }
        }
    }
}

fn next_class<S: Source>(
    members: &mut Vec<FamilyMember<S::Group>>,
    source: &S,
    writer: &mut PageWriter,
    title: &Title,
) -> Option<Class<S::Group>> {
    let first = members.pop()?;
    let prefix = writer.prefixes[first.prefix as usize].clone();
    let mut one_metric = !source.meta(&first.group).may_repeat;
    let mut groups = vec![first.group];
    while let Some(next) = members.pop_if(|next| next.prefix == first.prefix) {
        one_metric = one_metric
            && !source.meta(&next.group).may_repeat
            && source.meta(&next.group).same_space(source.meta(&groups[0]));
        groups.push(next.group);
    }
    let mut head = Vec::new();
    if writer.style.encoding() == LabelEncoding::Text {
        put_head(&mut head, &title.name, "", title.quoted, &prefix);
    }
    let labels_at = head.len().saturating_sub(prefix.len() - usize::from(!title.quoted));
    writer.labels.begin_class(LabelPlace::Point(title.kind), source.meta(&groups[0]));
    let mode = if one_metric { Mode::Scan } else { Mode::Fingerprint(Vec::new()) };
    Some(Class { groups, prefix, head, labels_at, mode, label_bytes: 0, at: 0, cursor: 0 })
}

impl<G: Clone> Class<G> {
    fn advance<S: Source<Group = G>>(
        &mut self,
        source: &S,
        writer: &mut PageWriter,
        title: &mut Title,
    ) -> Result<Progress, Overtaken> {
        let Class { groups, prefix, head, labels_at, mode, label_bytes, at, cursor } = self;
        let labels_at = *labels_at;
        let limit = writer.bounds.rows_per_step;
        let mut walk = |visit: &mut dyn FnMut(&Meta, PageRow<'_>) -> ControlFlow<()>| {
            walk(groups, at, cursor, source, limit, visit)
        };
        let next_mode = match mode {
            Mode::Scan => {
                let labels = &mut writer.labels;
                let progress = walk(&mut |_, row| {
                    labels.scan(row.attributes);
                    if labels.ambiguous() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                })?;
                match progress {
                    _ if labels.ambiguous() => Mode::Fingerprint(Vec::new()),
                    Progress::Done => Mode::Stream,
                    Progress::More => return Ok(Progress::More),
                }
            }
            Mode::Fingerprint(fingerprints) => {
                let PageWriter { labels, scratch, keys, .. } = writer;
                let progress = walk(&mut |_, row| {
                    scratch.clear();
                    labels.put(scratch, row.attributes);
                    fingerprints.push(keys.hash_one(scratch.as_slice()));
                    *label_bytes += scratch.len();
                    ControlFlow::Continue(())
                })?;
                if progress == Progress::More {
                    return Ok(Progress::More);
                }
                let mean = *label_bytes / fingerprints.len().max(1) + MERGED_ROW_BYTES;
                let collisions =
                    Collisions::find(std::mem::take(fingerprints), (writer.bounds.merge_bytes / mean).max(1));
                if collisions.doubles.is_empty() {
                    Mode::Stream
                } else {
                    let merger = Merger::new(writer.bounds.merge_bytes);
                    Mode::Merge { collisions, first_pass: true, merger, row: 0 }
                }
            }
            Mode::Stream => {
                return walk(&mut |meta, row| {
                    let mut writer = RowWriter { writer, title, prefix, head, labels_at };
                    writer.row(meta, row)
                });
            }
            Mode::Merge { collisions, first_pass, merger, row: at_row } => {
                let pass = collisions.pass();
                let progress = walk(&mut |meta, row| {
                    let known = collisions.rows.get(*at_row).copied();
                    *at_row += 1;
                    // most rows of a later pass end here
                    if !*first_pass && known.is_some_and(|fingerprint| !pass.contains(&fingerprint)) {
                        return ControlFlow::Continue(());
                    }
                    if !fits(&row.value, title.kind) {
                        let cases = u64::from(*first_pass);
                        writer.report.warn(WarningReason::WrongKind, cases, &title.name, &meta.name);
                        return ControlFlow::Continue(());
                    }
                    let mut text = std::mem::take(&mut writer.scratch);
                    text.clear();
                    writer.labels.put(&mut text, row.attributes);
                    let fingerprint = known.unwrap_or_else(|| writer.keys.hash_one(text.as_slice()));
                    let mut flow = ControlFlow::Continue(());
                    if collisions.doubles.binary_search(&fingerprint).is_ok() {
                        if pass.contains(&fingerprint) {
                            merger.take(fingerprint, &text, meta.kind, meta.bounds.as_ref(), &row);
                        }
                    } else if *first_pass {
                        let mut writer = RowWriter { writer, title, prefix, head, labels_at };
                        flow = writer.row_with(|out, _| out.extend_from_slice(&text), meta, row);
                    }
                    writer.scratch = text;
                    flow
                })?;
                if progress == Progress::More {
                    return Ok(Progress::More);
                }
                let merger = std::mem::replace(merger, Merger::new(0));
                Mode::Drain { collisions: std::mem::take(collisions), merger, next: 0 }
            }
            Mode::Drain { collisions, merger, next } => {
                let Merger { rows, losses, .. } = merger;
                for row in rows.iter().skip(*next).take(limit) {
                    *next += 1;
                    let mut writer = RowWriter { writer, title, prefix, head, labels_at };
                    let annotations = Annotations { start_ns: row.start_ns, exemplars: &[] };
                    if writer
                        .put(|out, _| out.extend_from_slice(&row.labels), row.shown(losses), annotations)
                        .is_break()
                    {
                        return Ok(Progress::More);
                    }
                }
                if *next < rows.len() {
                    return Ok(Progress::More);
                }
                let losses = *losses;
                collisions.forget(merger);
                writer.report.warn(WarningReason::Merged, losses.merged, &title.name, "");
                writer.report.warn(WarningReason::BoundsConflict, losses.bounds, &title.name, "");
                writer.report.warn(WarningReason::CountOverflow, losses.overflow, &title.name, "");
                if collisions.doubles.is_empty() {
                    return Ok(Progress::Done);
                }
                let merger = Merger::new(writer.bounds.merge_bytes);
                Mode::Merge { collisions: std::mem::take(collisions), first_pass: false, merger, row: 0 }
            }
        };
        (*mode, *at, *cursor) = (next_mode, 0, 0);
        Ok(Progress::More)
    }
}

/// Visits at most `limit` rows of the class; `Done` when all were visited.
fn walk<S: Source>(
    groups: &[S::Group],
    at: &mut usize,
    cursor: &mut usize,
    source: &S,
    limit: usize,
    visit: &mut dyn FnMut(&Meta, PageRow<'_>) -> ControlFlow<()>,
) -> Result<Progress, Overtaken> {
    let Some(group) = groups.get(*at) else { return Ok(Progress::Done) };
    let meta = source.meta(group);
    let mut left = limit;
    let progress = source.rows(group, cursor, &mut |row| {
        left -= 1;
        let flow = visit(meta, row);
        if left == 0 { ControlFlow::Break(()) } else { flow }
    })?;
    if progress == Progress::Done {
        (*at, *cursor) = (*at + 1, 0);
    }
    Ok(if *at == groups.len() { Progress::Done } else { Progress::More })
}

impl Collisions {
    fn find(rows: Vec<u64>, per_pass: usize) -> Self {
        let mut sorted = rows.clone();
        sorted.sort_unstable();
        let mut doubles: Vec<u64> = sorted.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
        doubles.dedup();
        doubles.shrink_to_fit();
        Collisions { rows, doubles, per_pass }
    }

    /// The fingerprints that the next pass is about.
    fn pass(&self) -> std::ops::RangeInclusive<u64> {
        let first = self.doubles.first().expect("a pass begins only while doubles are left");
        let last = self.doubles.get(self.per_pass - 1).or(self.doubles.last()).expect("there is a first");
        *first..=*last
    }

    /// Drops what the merger holds. What it had no room for stays for the next pass.
    fn forget(&mut self, merger: &Merger) {
        let before = self.doubles.len();
        self.doubles.retain(|&fingerprint| !merger.holds(fingerprint));
        // rows of the wrong kind are nobody's, and must not keep the page turning
        if self.doubles.len() == before {
            let pass = self.pass();
            self.doubles.retain(|fingerprint| !pass.contains(fingerprint));
        }
    }
}

const fn fits(value: &RowValue<'_>, kind: MetricType) -> bool {
    matches!(
        (kind, value),
        (MetricType::Counter | MetricType::Gauge | MetricType::Unknown, RowValue::Number(_))
            | (MetricType::Histogram, RowValue::Histogram(_) | RowValue::Exponential(_))
            | (MetricType::Summary, RowValue::Summary(_))
    )
}

/// Memory for what a page reads out of a value's words.
#[derive(Default)]
struct ValueScratch {
    exponential: Exponential,
    quantiles: Vec<(f64, f64)>,
}

/// What a row's value shows; nothing of one that ended.
fn shown<'a>(value: RowValue<'a>, meta: &'a Meta, scratch: &'a mut ValueScratch) -> Option<MergedValue<'a>> {
    Some(match value {
        RowValue::Number(value) => MergedValue::Number(value.into()),
        RowValue::Histogram(region) => MergedValue::Histogram {
            bounds: meta.bounds.as_ref(),
            buckets: region.buckets(),
            count: region.count(),
            sum: region.sum(),
        },
        RowValue::Exponential(region) => {
            region.load_into(&mut scratch.exponential);
            MergedValue::Exponential(&scratch.exponential)
        }
        RowValue::Summary(region) => {
            scratch.quantiles.clear();
            scratch.quantiles.extend(region.quantiles());
            MergedValue::Summary { quantiles: &scratch.quantiles, count: region.count(), sum: region.sum() }
        }
        RowValue::Ended(_) => return None,
    })
}

/// Writes rows of one class.
struct RowWriter<'a> {
    writer: &'a mut PageWriter,
    title: &'a mut Title,
    prefix: &'a [u8],
    head: &'a [u8],
    labels_at: usize,
}

impl RowWriter<'_> {
    #[inline]
    fn row(&mut self, meta: &Meta, row: PageRow<'_>) -> ControlFlow<()> {
        if !fits(&row.value, self.title.kind) {
            self.writer.report.warn(WarningReason::WrongKind, 1, &self.title.name, &meta.name);
            return ControlFlow::Continue(());
        }
        self.row_with(|out, labels| labels.put(out, row.attributes), meta, row)
    }

    /// A row whose value fits, with labels that the caller puts.
    #[inline]
    fn row_with(
        &mut self,
        put_labels: impl FnOnce(&mut Vec<u8>, &mut Labels),
        meta: &Meta,
        row: PageRow<'_>,
    ) -> ControlFlow<()> {
        let exemplars = exemplar::exemplars_of(row.exemplars);
        let annotations = Annotations { start_ns: row.start_ns, exemplars: &exemplars };
        if let RowValue::Number(value) = row.value {
            return self.put(put_labels, MergedValue::Number(value.into()), annotations);
        }
        let mut scratch = std::mem::take(&mut self.writer.values);
        let flow = match shown(row.value, meta, &mut scratch) {
            Some(shown) => self.put(put_labels, shown, annotations),
            None => ControlFlow::Continue(()),
        };
        self.writer.values = scratch;
        flow
    }

    /// Writes one row; breaks when the chunk is full.
    #[inline]
    fn put(
        &mut self,
        put_labels: impl FnOnce(&mut Vec<u8>, &mut Labels),
        shown: MergedValue<'_>,
        annotations: Annotations<'_>,
    ) -> ControlFlow<()> {
        let shows = match self.writer.style.format {
            Format::Protobuf => self.put_message(put_labels, shown, annotations),
            format => {
                // in text a start is a series of its own, which not everyone wants to store
                let annotations =
                    if self.writer.style.created { annotations } else { Annotations { start_ns: 0, ..annotations } };
                self.put_text(put_labels, shown, annotations, format.is_open_metrics())
            }
        };
        match shows {
            Ok(()) => self.writer.report.series += 1,
            Err(reason) => self.writer.report.warn(reason, 1, &self.title.name, ""),
        }
        if self.writer.is_full() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    #[inline]
    fn put_text(
        &mut self,
        put_labels: impl FnOnce(&mut Vec<u8>, &mut Labels),
        shown: MergedValue<'_>,
        annotations: Annotations<'_>,
        open_metrics: bool,
    ) -> Result<(), WarningReason> {
        let is_counter = open_metrics && self.title.shown_as == OpenMetricsType::Counter;
        if is_counter && matches!(&shown, MergedValue::Number(number) if !is_count(number)) {
            return Err(WarningReason::NotACounter);
        }
        self.open_family(open_metrics);
        let PageWriter { out, labels, lines, bounds, style, .. } = &mut *self.writer;
        let title = &*self.title;
        if let MergedValue::Number(number) = shown {
            // rows that became one may have added up
            let is_flag = matches!(title.shown_as, OpenMetricsType::Info | OpenMetricsType::StateSet);
            let number = if is_flag { Number::Uint(u64::from(number.double() != 0.0)) } else { number };
            let start = out.len() + self.labels_at;
            out.extend_from_slice(self.head);
            let labels_at = out.len();
            put_labels(out, labels);
            // the first label of a name without quotes has no comma
            settle_prefix(out, start, labels_at, !title.quoted);
            let end = out.len();
            out.extend_from_slice(b"} ");
            put_number(out, number);
            if is_counter {
                if let Some(exemplar) = exemplar::newest(annotations.exemplars) {
                    exemplar.put_text(out, style.naming);
                }
                if annotations.start_ns > 0 {
                    out.push(b'\n');
                    put_head(out, title.base(), "_created", title.quoted, b"");
                    out.extend_from_within(start..end);
                    out.extend_from_slice(b"} ");
                    put_seconds(out, annotations.start_ns);
                }
            }
            out.push(b'\n');
            return Ok(());
        }
        let text = lines.labels();
        text.extend_from_slice(self.prefix);
        put_labels(text, labels);
        settle_prefix(text, 0, self.prefix.len(), false);
        match shown {
            MergedValue::Histogram { bounds, buckets, count, sum } => lines.histogram(bounds, buckets, count, sum),
            MergedValue::Exponential(value) => lines.histogram(None, &[], value.count, sum_of(value)),
            MergedValue::Summary { quantiles, count, sum } => lines.summary(quantiles, count, sum),
            MergedValue::Number(_) => unreachable!("written above"),
        }
        if open_metrics {
            lines.annotations(annotations, style.naming);
        }
        lines.put(out, title.line_style(open_metrics), bounds.chunk_bytes);
        Ok(())
    }

    fn put_message(
        &mut self,
        put_labels: impl FnOnce(&mut Vec<u8>, &mut Labels),
        shown: MergedValue<'_>,
        annotations: Annotations<'_>,
    ) -> Result<(), WarningReason> {
        let PageWriter { metric, labels, messages, style, .. } = &mut *self.writer;
        let (kind, naming) = (self.title.kind, style.naming);
        metric.clear();
        metric.extend_from_slice(self.prefix);
        put_labels(metric, labels);
        settle_prefix(metric, 0, self.prefix.len(), false);
        match shown {
            MergedValue::Number(number) => messages.put_number(metric, kind, number.double(), annotations, naming),
            MergedValue::Histogram { bounds, buckets, count, sum } => {
                messages.put_histogram(metric, (bounds, buckets), (count, sum), annotations, naming);
            }
            MergedValue::Exponential(value) => messages.put_native(metric, value, annotations, naming)?,
            MergedValue::Summary { quantiles, count, sum } => {
                messages.put_summary(metric, (count, sum), quantiles, annotations)
            }
        }
        self.writer.put_metric();
        if !self.title.written {
            self.title.written = true;
            self.writer.report.families += 1;
        }
        if self.writer.metrics.len() >= self.writer.bounds.chunk_bytes {
            let Title { name, help, kind, unit, .. } = &*self.title;
            self.writer.end_message(name, help, *kind, unit.as_deref());
        }
        Ok(())
    }

    #[inline]
    fn open_family(&mut self, open_metrics: bool) {
        if self.title.written {
            return;
        }
        self.title.written = true;
        self.writer.report.families += 1;
        let title = &*self.title;
        let words = match title.kind {
            MetricType::Gauge if title.shown_as == OpenMetricsType::Info => "info",
            MetricType::Gauge if title.shown_as == OpenMetricsType::StateSet => "stateset",
            MetricType::Counter if open_metrics && title.shown_as != OpenMetricsType::Counter => "unknown",
            MetricType::Unknown if open_metrics => "unknown",
            kind => kind.word(),
        };
        // neither infos nor state sets have a unit
        let unit = title
            .unit
            .as_deref()
            .filter(|_| !matches!(title.shown_as, OpenMetricsType::Info | OpenMetricsType::StateSet));
        put_family(&mut self.writer.out, title.base(), words, unit, &title.help, open_metrics);
    }
}

/// Takes the class's prefix, from `prefix_at` on, out again if the labels after it come with one of their own. `comma`:
/// without its comma.
#[inline]
fn settle_prefix(out: &mut Vec<u8>, prefix_at: usize, labels_at: usize, comma: bool) {
    if out.get(labels_at) == Some(&OWN_PREFIX) {
        out.drain(prefix_at..labels_at + 1 + usize::from(comma));
    }
}

fn sum_of(value: &Exponential) -> Option<f64> {
    (value.flags & HAS_SUM != 0).then_some(value.sum)
}

/// Whether OpenMetrics takes it as a counter's value.
fn is_count(number: &Number) -> bool {
    match *number {
        Number::Int(value) => value >= 0,
        Number::Uint(_) => true,
        Number::Wide(value) => value >= 0,
        Number::Double(value) => value >= 0.0,
    }
}
