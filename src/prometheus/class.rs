//! One family's rows: scanned, fingerprinted, streamed or merged, class by class. See `page` for what a class is.
//!
//! Knows which rows may collide and what is written when; does not know other families.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::prometheus::gather::{Family, Member};
use crate::prometheus::histogram::Lines;
use crate::prometheus::labels::Labels;
use crate::prometheus::merge::{Merger, Shown};
use crate::prometheus::name::Place;
use crate::prometheus::page::Bounds;
use crate::prometheus::report::{Report, WarningReason};
use crate::prometheus::text::{Number, Type, Writer, put_number};
use crate::prometheus::{Meta, Overtaken, Progress, Row, Source, Value};

/// What is at hand while writing: the chunk being filled, scratch space, the report.
pub(super) struct Desk {
    pub bounds: Bounds,
    pub report: Report,
    pub out: Vec<u8>,
    pub prefixes: Vec<Arc<[u8]>>,
    keys: ahash::RandomState,
    labels: Labels,
    lines: Lines,
    scratch: Vec<u8>,
}

impl Desk {
    pub fn new(keys: ahash::RandomState, bounds: Bounds) -> Self {
        Desk {
            bounds,
            report: Report::default(),
            out: Vec::with_capacity(bounds.chunk_bytes + bounds.chunk_bytes / 16),
            prefixes: Vec::new(),
            labels: Labels::new(keys.clone()),
            keys,
            lines: Lines::default(),
            scratch: Vec::new(),
        }
    }

    pub fn is_full(&self) -> bool {
        self.out.len() >= self.bounds.chunk_bytes
    }
}

/// The family being written.
pub(super) struct Open<G> {
    title: Title,
    /// Members not begun, by descending prefix.
    members: Vec<Member<G>>,
    class: Option<Class<G>>,
}

struct Title {
    name: Arc<str>,
    kind: Type,
    help: Arc<str>,
    /// The header is written with the first row: a family without rows is not shown.
    written: bool,
}

/// Groups whose rows can collide.
struct Class<G> {
    groups: Vec<G>,
    /// Labels of job, instance and scope.
    prefix: Arc<[u8]>,
    /// `family{prefix`, for rows of one line.
    head: Vec<u8>,
    mode: Mode,
    /// The group being read and the source's cursor in it.
    at: usize,
    cursor: usize,
}

enum Mode {
    Scan,
    Fingerprint(Vec<u64>),
    Stream,
    /// `doubles` are the fingerprints that come more than once and are not written yet, ascending.
    Merge {
        doubles: Vec<u64>,
        first_pass: bool,
        merger: Merger,
    },
    /// Merged rows are being written, from `next` on.
    Drain {
        doubles: Vec<u64>,
        merger: Merger,
        next: usize,
    },
}

impl<G: Clone> Open<G> {
    /// Begins a settled family.
    pub fn new(name: Arc<str>, family: Family<G>) -> Self {
        let Family { kind, help, mut members, .. } = family;
        members.reverse();
        Open { title: Title { name, kind, help, written: false }, members, class: None }
    }

    /// One step.
    pub fn advance<S: Source<Group = G>>(&mut self, source: &S, desk: &mut Desk) -> Result<Progress, Overtaken> {
        let Open { title, members, class } = self;
        if desk.lines.pending() {
            let is_summary = title.kind == Type::Summary;
            desk.lines.put(&mut desk.out, &title.name, is_summary, desk.bounds.chunk_bytes);
            return Ok(Progress::More);
        }
        match class {
            Some(open) => {
                if open.advance(source, desk, title)? == Progress::Done {
                    *class = None;
                }
                Ok(Progress::More)
            }
            None => {
                *class = next_class(members, source, desk, title);
                Ok(if class.is_some() { Progress::More } else { Progress::Done })
            }
        }
    }
}

fn next_class<S: Source>(
    members: &mut Vec<Member<S::Group>>,
    source: &S,
    desk: &mut Desk,
    title: &Title,
) -> Option<Class<S::Group>> {
    let first = members.pop()?;
    let prefix = desk.prefixes[first.prefix as usize].clone();
    let mut one_metric = true;
    let mut groups = vec![first.group];
    while let Some(next) = members.pop_if(|next| next.prefix == first.prefix) {
        one_metric = one_metric && source.meta(&next.group).same_space(source.meta(&groups[0]));
        groups.push(next.group);
    }
    let head = [title.name.as_bytes(), b"{", &prefix].concat();
    desk.labels.begin(Place::Point(title.kind));
    let mode = if one_metric { Mode::Scan } else { Mode::Fingerprint(Vec::new()) };
    Some(Class { groups, prefix, head, mode, at: 0, cursor: 0 })
}

impl<G: Clone> Class<G> {
    fn advance<S: Source<Group = G>>(
        &mut self,
        source: &S,
        desk: &mut Desk,
        title: &mut Title,
    ) -> Result<Progress, Overtaken> {
        let Class { groups, prefix, head, mode, at, cursor } = self;
        let limit = desk.bounds.rows_per_step;
        let mut walk =
            |visit: &mut dyn FnMut(&Meta, Row<'_>) -> ControlFlow<()>| walk(groups, at, cursor, source, limit, visit);
        let next_mode = match mode {
            Mode::Scan => {
                let labels = &mut desk.labels;
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
                let Desk { labels, scratch, keys, .. } = desk;
                let progress = walk(&mut |_, row| {
                    scratch.clear();
                    labels.put(scratch, row.attributes);
                    fingerprints.push(keys.hash_one(scratch.as_slice()));
                    ControlFlow::Continue(())
                })?;
                match progress {
                    Progress::More => return Ok(Progress::More),
                    Progress::Done => match doubles(std::mem::take(fingerprints)) {
                        doubles if doubles.is_empty() => Mode::Stream,
                        doubles => {
                            Mode::Merge { doubles, first_pass: true, merger: Merger::new(desk.bounds.merge_bytes) }
                        }
                    },
                }
            }
            Mode::Stream => {
                return walk(&mut |meta, row| {
                    let mut writer = RowWriter { desk, title, prefix, head };
                    writer.row(meta, row)
                });
            }
            Mode::Merge { doubles, first_pass, merger } => {
                let progress = walk(&mut |meta, row| {
                    let mut text = std::mem::take(&mut desk.scratch);
                    text.clear();
                    desk.labels.put(&mut text, row.attributes);
                    let fingerprint = desk.keys.hash_one(text.as_slice());
                    let mut flow = ControlFlow::Continue(());
                    let fits = fits(&row.value, title.kind);
                    if !fits {
                        let cases = u64::from(*first_pass);
                        desk.report.warn(WarningReason::WrongKind, cases, &title.name, &meta.name);
                    } else if doubles.binary_search(&fingerprint).is_ok() {
                        merger.take(fingerprint, &text, meta.kind, meta.bounds.as_ref(), &row);
                    } else if *first_pass {
                        let shown = shown(&row.value, meta);
                        flow =
                            RowWriter { desk, title, prefix, head }.put(|out, _| out.extend_from_slice(&text), shown);
                    }
                    desk.scratch = text;
                    flow
                })?;
                match progress {
                    Progress::More => return Ok(Progress::More),
                    Progress::Done => {
                        let (doubles, merger) = (std::mem::take(doubles), std::mem::replace(merger, Merger::new(1)));
                        Mode::Drain { doubles, merger, next: 0 }
                    }
                }
            }
            Mode::Drain { doubles, merger, next } => {
                let Merger { rows, losses, .. } = merger;
                for row in rows.iter().skip(*next).take(limit) {
                    *next += 1;
                    let mut writer = RowWriter { desk, title, prefix, head };
                    if writer.put(|out, _| out.extend_from_slice(&row.labels), row.shown(losses)).is_break() {
                        return Ok(Progress::More);
                    }
                }
                if *next < rows.len() {
                    return Ok(Progress::More);
                }
                let losses = *losses;
                doubles.retain(|&fingerprint| !merger.holds(fingerprint));
                desk.report.warn(WarningReason::Merged, losses.merged, &title.name, "");
                desk.report.warn(WarningReason::BoundsConflict, losses.bounds, &title.name, "");
                desk.report.warn(WarningReason::CountOverflow, losses.overflow, &title.name, "");
                if doubles.is_empty() {
                    return Ok(Progress::Done);
                }
                let (doubles, merger) = (std::mem::take(doubles), Merger::new(desk.bounds.merge_bytes));
                Mode::Merge { doubles, first_pass: false, merger }
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
    visit: &mut dyn FnMut(&Meta, Row<'_>) -> ControlFlow<()>,
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

/// Those that come more than once, each once, ascending.
fn doubles(mut fingerprints: Vec<u64>) -> Vec<u64> {
    fingerprints.sort_unstable();
    let mut doubles: Vec<u64> = fingerprints.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
    doubles.dedup();
    doubles.shrink_to_fit();
    doubles
}

const fn fits(value: &Value<'_>, kind: Type) -> bool {
    matches!(
        (kind, value),
        (Type::Counter | Type::Gauge, Value::Int(_) | Value::Double(_))
            | (Type::Histogram, Value::Histogram { .. } | Value::Exponential { .. })
            | (Type::Summary, Value::Summary { .. })
    )
}

fn shown<'a>(value: &Value<'a>, meta: &'a Meta) -> Shown<'a> {
    match *value {
        Value::Int(value) => Shown::Number(Number::Int(value)),
        Value::Double(value) => Shown::Number(Number::Double(value)),
        Value::Histogram { count, sum, buckets } => {
            Shown::Histogram { bounds: meta.bounds.as_ref(), buckets, count, sum }
        }
        Value::Exponential { count, sum } => Shown::Histogram { bounds: None, buckets: &[], count, sum },
        Value::Summary { count, sum, quantiles } => Shown::Summary { quantiles, count, sum },
    }
}

/// Writes rows of one class.
struct RowWriter<'a> {
    desk: &'a mut Desk,
    title: &'a mut Title,
    prefix: &'a [u8],
    head: &'a [u8],
}

impl RowWriter<'_> {
    #[inline]
    fn row(&mut self, meta: &Meta, row: Row<'_>) -> ControlFlow<()> {
        if !fits(&row.value, self.title.kind) {
            self.desk.report.warn(WarningReason::WrongKind, 1, &self.title.name, &meta.name);
            return ControlFlow::Continue(());
        }
        self.put(|out, labels| labels.put(out, row.attributes), shown(&row.value, meta))
    }

    /// Writes one row; breaks when the chunk is full.
    #[inline]
    fn put(&mut self, put_labels: impl FnOnce(&mut Vec<u8>, &mut Labels), shown: Shown<'_>) -> ControlFlow<()> {
        let Desk { out, labels, lines, report, bounds, .. } = &mut *self.desk;
        report.series += 1;
        if !self.title.written {
            self.title.written = true;
            report.families += 1;
            Writer::new(out).family(&self.title.name, &self.title.help, self.title.kind);
        }
        if let Shown::Number(number) = shown {
            out.extend_from_slice(self.head);
            put_labels(out, labels);
            out.extend_from_slice(b"} ");
            put_number(out, number);
            out.push(b'\n');
        } else {
            let text = lines.labels();
            text.extend_from_slice(self.prefix);
            put_labels(text, labels);
            match shown {
                Shown::Histogram { bounds, buckets, count, sum } => lines.histogram(bounds, buckets, count, sum),
                Shown::Summary { quantiles, count, sum } => lines.summary(quantiles, count, sum),
                Shown::Number(_) => unreachable!("written above"),
            }
            lines.put(out, &self.title.name, self.title.kind == Type::Summary, bounds.chunk_bytes);
        }
        if out.len() >= bounds.chunk_bytes { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
