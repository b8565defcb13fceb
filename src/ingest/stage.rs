//! What a request leaves behind while it is being checked: nothing of it is applied before all of it is well-formed.
//!
//! Knows points and why they were rejected; does not know cells.

use crate::examples::example;
use crate::identity::attributes::Limits;
use crate::limits::{EXPORT_SLICE_NS, KIB, REQUEST_MESSAGES_MAX, STAGE_SLICE_BYTES};
use crate::model::{Discard, Kind, Reject};
use crate::otlp::cut::{CutHead, Cutter};
use crate::otlp::points::{ExponentialPoint, HistogramPoint};
use crate::otlp::summaries::SummaryPoint;
use crate::resolve::{About, Pending, PointTarget, RouteLookup};
use crate::wire::{Fault, FaultKind};
use bumpalo::Bump;
use bumpalo::collections::Vec as ArenaVec;

/// A number on its way to its cell. Points are applied in the order in which they came.
#[derive(Clone, Copy, Debug)]
pub(super) struct StagedNumber {
    /// Its route, or its birth.
    pub route: u32,
    /// Mode and flags.
    pub flags: u32,
    /// Bits of the value.
    pub value: u64,
    /// `start_time_unix_nano`
    pub start: u64,
    /// `time_unix_nano`
    pub time: u64,
}

/// A point whose route is looked up.
#[derive(Clone, Copy)]
pub(super) struct Unrouted<'a, P> {
    /// As it is staged.
    pub point: P,
    /// Its message.
    pub message: &'a [u8],
    /// Its attributes were found by a walk, and are not only what would be them if they were known.
    pub walked: bool,
}

/// Points on their way through a look-up.
pub(super) type Room<'a, P> = &'a mut [RouteLookup<'a, Unrouted<'a, P>>];

/// How large slices of a request are.
#[derive(Clone, Copy, Debug)]
pub struct Slice {
    /// What they take, by estimate, nanoseconds.
    pub cost_ns: u64,
    /// Bytes of points that are read between two looks at that.
    pub chunk_bytes: usize,
}

impl Default for Slice {
    /// A chunk has a hundred points as they are sent; the smallest ones that can be series of their own are some 700.
    fn default() -> Slice {
        Slice { cost_ns: EXPORT_SLICE_NS, chunk_bytes: 16 * KIB }
    }
}

/// `StagedNumber.flags`: the value is a double.
pub(super) const DOUBLE: u32 = 1;
/// `StagedNumber.flags`: the point has no recorded value.
pub(super) const NO_VALUE: u32 = 2;
/// `StagedNumber.flags`: a gauge.
pub(super) const GAUGE: u32 = 4;
/// `StagedNumber.flags`: a cumulative sum.
pub(super) const CUMULATIVE: u32 = 8;
/// `StagedNumber.flags`: monotonic.
pub(super) const MONOTONIC: u32 = 16;

/// `StagedNumber.flags`: it has no route yet; `route` is the place in `Stage.pending`.
pub(super) const BIRTH: u32 = 32;

/// `StagedNumber.flags`: it has exemplars; the message is in `Stage.exemplars`.
pub(super) const EXEMPLARS: u32 = 64;

/// Field number of `exemplars` in a NumberDataPoint.
pub(super) const NUMBER_EXEMPLARS: u32 = 5;

/// What reading and applying takes, about, nanoseconds: a resource, a scope or a metric whose stream is known.
const HEAD_NS: u64 = 200;
/// A number whose route was predicted.
const NUMBER_NS: u64 = 100;
/// A histogram of few buckets; what more of them take goes by their bytes.
const HISTOGRAM_NS: u64 = 300;
/// An exponential histogram: all its buckets are read and written.
const EXPONENTIAL_NS: u64 = 1_500;
/// A summary.
const SUMMARY_NS: u64 = 400;
/// On top: a point that is looked up,
const LOOKUP_NS: u64 = 400;
/// one whose series is new,
const BIRTH_NS: u64 = 1_500;
/// one whose metric is new,
const STREAM_NS: u64 = 3_000;
/// and each byte that is walked over,
const BYTE_NS: u64 = 1;
/// attributes that are put into their one encoding so many times as much.
const CODED: usize = 8;

/// A resource, a scope or a metric that is read in steps.
#[derive(Debug)]
pub(super) enum Long {
    /// Not to its end yet.
    Reading(Box<Cutter>),
    /// What it says, within the limits.
    Read(CutHead),
}

/// Those at hand, by level.
pub(super) type Longs = [Option<Long>; 3];

/// Entries of `Stage.discarded` among which one is looked for.
const DISCARDED_LOOK: usize = 8;

/// Which list points were put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    /// `Stage.numbers`
    Numbers,
    /// `Stage.histograms`
    Histograms,
    /// `Stage.exponentials`
    Exponentials,
    /// `Stage.summaries`
    Summaries,
}

impl List {
    /// How many there are.
    pub(super) const COUNT: usize = 4;
}

/// One request, or a slice of it, under examination.
pub(super) struct Stage<'a> {
    /// What texts and attributes may be.
    pub limits: Limits,
    /// Routes to be made.
    pub(super) pending: Pending<'a>,
    /// Room for points on their way through a look-up, one metric after the other.
    pub(super) number_room: Room<'a, StagedNumber>,
    pub(super) histogram_room: Room<'a, HistogramPoint<'a>>,
    pub(super) exponential_room: Room<'a, ExponentialPoint<'a>>,
    pub(super) summary_room: Room<'a, SummaryPoint<'a>>,
    /// Streams whose description is longer than any before, or whose type nobody knows, as was not said before.
    pub(super) descriptions: ArenaVec<'a, (u32, About<'a>)>,
    /// Numbers in their order.
    pub(super) numbers: Vec<StagedNumber>,
    /// Numbers with exemplars: place in `numbers`, rising, and the point's message.
    pub exemplars: ArenaVec<'a, (u32, &'a [u8])>,
    /// Histograms in their order.
    pub(super) histograms: ArenaVec<'a, (PointTarget, HistogramPoint<'a>)>,
    /// Exponential histograms in their order.
    pub(super) exponentials: ArenaVec<'a, (PointTarget, ExponentialPoint<'a>)>,
    /// Summaries in their order.
    pub(super) summaries: ArenaVec<'a, (PointTarget, SummaryPoint<'a>)>,
    /// The order of the lists' points among each other: up to which place of which list, one after the other.
    pub runs: ArenaVec<'a, (List, usize)>,
    /// Resources, scopes, metrics and points so far.
    pub messages: u64,
    /// Heads of resources, scopes and metrics in this slice.
    heads: u64,
    /// What points in this slice took that were read and not staged.
    unstaged_ns: u64,
    /// What was read so far of the resource, scope and metric at hand, if they are long.
    pub(super) longs: Longs,
    /// Nothing of this slice will be applied: what need not be staged is not.
    pub is_dry: bool,
    /// The request is known to be well-formed: it is taken.
    pub is_sound: bool,
    /// Bytes of the body read in this slice.
    pub walked: usize,
    /// Bytes of attributes that were put into their one encoding.
    pub coded: usize,
    /// Bytes of the arena that were there before, and that parts of one message took which were joined: there is no less for
    /// a smaller slice.
    pub joined: usize,
    /// Points by kind.
    pub points: [u64; 5],
    /// Rejected points by kind and reason, and what the first one was of; small and mostly empty.
    pub rejected: Vec<(Kind, Reject, u64, String)>,
    /// Discarded points by kind, reason and number of the rule, each at least once; mostly empty, and no more than metrics and
    /// points of the slice.
    pub(super) discarded: Vec<(Kind, Discard, u32, u64)>,
    /// Resources that were read as elected ones of several replicas.
    pub(super) elects: ArenaVec<'a, u32>,
    /// Resource and name of the metric being walked.
    pub current: (&'a [u8], &'a [u8]),
    /// Points looked up.
    pub lookups: u64,
    /// Points predicted.
    pub predicted: u64,
    /// Histogram sums that were dropped.
    pub sums_dropped: u64,
}

impl<'a> Stage<'a> {
    /// Nothing yet, of a request of which so many messages were counted before; numbers are put into `numbers`, which is empty.
    pub(super) fn new(arena: &'a Bump, messages: u64, limits: Limits, numbers: Vec<StagedNumber>) -> Stage<'a> {
        Stage {
            limits,
            pending: Pending::new(arena),
            number_room: &mut [],
            histogram_room: &mut [],
            exponential_room: &mut [],
            summary_room: &mut [],
            descriptions: ArenaVec::new_in(arena),
            numbers,
            exemplars: ArenaVec::new_in(arena),
            histograms: ArenaVec::new_in(arena),
            exponentials: ArenaVec::new_in(arena),
            summaries: ArenaVec::new_in(arena),
            runs: ArenaVec::new_in(arena),
            messages,
            heads: 0,
            unstaged_ns: 0,
            longs: Longs::default(),
            is_dry: false,
            is_sound: false,
            walked: 0,
            coded: 0,
            joined: arena.allocated_bytes(),
            points: [0; 5],
            rejected: Vec::new(),
            discarded: Vec::new(),
            elects: ArenaVec::new_in(arena),
            current: (&[], &[]),
            lookups: 0,
            predicted: 0,
            sums_dropped: 0,
        }
    }

    /// Points staged.
    #[inline]
    pub(super) fn staged(&self) -> usize {
        self.numbers.len() + self.histograms.len() + self.exponentials.len() + self.summaries.len()
    }

    /// Whether enough is staged for one go.
    #[inline]
    pub(super) fn is_full(&self, slice: Slice, arena: &Bump) -> bool {
        let cost_ns = self.cost_ns();
        // never before something was done: each slice comes further
        cost_ns >= slice.cost_ns || cost_ns > 0 && arena.allocated_bytes() > self.joined + STAGE_SLICE_BYTES
    }

    /// About what this slice costs to read and to apply, nanoseconds.
    #[inline]
    pub(super) fn cost_ns(&self) -> u64 {
        let others = self.unstaged_ns
            + self.histograms.len() as u64 * HISTOGRAM_NS
            + self.exponentials.len() as u64 * EXPONENTIAL_NS
            + self.summaries.len() as u64 * SUMMARY_NS;
        let found = self.lookups * LOOKUP_NS
            + self.pending.births() as u64 * BIRTH_NS
            + self.pending.streams() as u64 * STREAM_NS
            + (self.walked + self.coded * CODED) as u64 * BYTE_NS;
        self.heads * HEAD_NS + self.numbers.len() as u64 * NUMBER_NS + others + found
    }

    /// Work of so many nanoseconds was done on heads.
    #[inline]
    pub(super) const fn work(&mut self, ns: u64) {
        self.unstaged_ns += ns;
    }

    /// A point was read that is not staged.
    #[inline]
    pub(super) const fn pass(&mut self) {
        self.unstaged_ns += NUMBER_NS;
    }

    /// Stages a histogram's point.
    #[inline]
    pub(super) fn add_histogram(&mut self, target: PointTarget, point: HistogramPoint<'a>) {
        if self.is_dry { self.pass() } else { self.histograms.push((target, point)) }
    }

    /// Stages an exponential histogram's point.
    #[inline]
    pub(super) fn add_exponential(&mut self, target: PointTarget, point: ExponentialPoint<'a>) {
        if self.is_dry { self.pass() } else { self.exponentials.push((target, point)) }
    }

    /// Stages a summary's point.
    #[inline]
    pub(super) fn add_summary(&mut self, target: PointTarget, point: SummaryPoint<'a>) {
        if self.is_dry { self.pass() } else { self.summaries.push((target, point)) }
    }

    /// A resource, a scope or a metric more.
    #[inline]
    pub(super) fn count_head(&mut self) -> Result<(), Fault> {
        self.heads += 1;
        self.count(1)
    }

    /// So many messages more; a fault past the limit of a request.
    #[inline]
    pub(super) fn count(&mut self, messages: u64) -> Result<(), Fault> {
        self.messages += messages;
        if self.messages > REQUEST_MESSAGES_MAX {
            return Err(Fault::new(FaultKind::TooManyMessages, 0));
        }
        Ok(())
    }

    /// The points of a metric of this kind were staged: they are the next ones of the request.
    pub(super) fn ran(&mut self, kind: Kind) {
        let (list, to) = match kind {
            Kind::Gauge | Kind::Sum => (List::Numbers, self.numbers.len()),
            Kind::Histogram => (List::Histograms, self.histograms.len()),
            Kind::ExponentialHistogram => (List::Exponentials, self.exponentials.len()),
            Kind::Summary => (List::Summaries, self.summaries.len()),
        };
        match self.runs.last_mut() {
            Some((last, end)) if *last == list => *end = to,
            _ => self.runs.push((list, to)),
        }
    }

    /// So many numbers come, as they were counted. Room is made once, and not by doubling: clearing pages twice would cost
    /// more than the points.
    pub(super) fn reserve_numbers(&mut self, points: usize) {
        self.numbers.reserve(points.min((EXPORT_SLICE_NS / NUMBER_NS) as usize));
    }

    /// Stages a number's point, whose exemplars, if it has any, are in its message.
    #[inline(always)]
    pub(super) fn add_number(&mut self, target: PointTarget, point: StagedNumber, message: &'a [u8]) {
        if point.flags & EXEMPLARS != 0 {
            self.exemplars.push((self.numbers.len() as u32, message));
        }
        let (route, birth) = match target {
            PointTarget::Route(route) => (route, 0),
            PointTarget::Birth(birth) => (birth, BIRTH),
        };
        self.numbers.push(StagedNumber { route, flags: point.flags | birth, ..point });
    }

    /// Counts points that the rule of this number drops. Metrics of one rule mostly come one after the other; where those of
    /// thousands come by turns, an entry is added rather than looked for among all.
    #[inline]
    pub(super) fn discard(&mut self, kind: Kind, why: Discard, rule: u32, n: u64) {
        let same = |of: &&mut (Kind, Discard, u32, u64)| (of.0, of.1, of.2) == (kind, why, rule);
        match self.discarded.iter_mut().rev().take(DISCARDED_LOOK).find(same) {
            Some((.., count)) => *count += n,
            None => self.discarded.push((kind, why, rule, n)),
        }
    }

    /// Counts rejected points of the metric being walked.
    #[cold]
    pub(super) fn reject(&mut self, kind: Kind, reason: Reject, n: u64) {
        let ((resource, name), limits) = (self.current, self.limits);
        let allowed = || match reason {
            Reject::TooManyAttributes => format!(", {} are allowed", limits.attributes),
            Reject::LongName => format!(", {} bytes are allowed", limits.name_bytes),
            Reject::LongAttribute => format!(", {} bytes of a value are allowed", limits.value_bytes),
            _ => String::new(),
        };
        self.reject_as(kind, reason, n, || example(resource, name) + &allowed());
    }

    /// Counts rejected points; `example` says what they are of.
    #[cold]
    pub(super) fn reject_as(&mut self, kind: Kind, reason: Reject, n: u64, example: impl FnOnce() -> String) {
        if n == 0 {
            return;
        }
        self.unstaged_ns += n * NUMBER_NS;
        match self.rejected.iter_mut().find(|(k, r, ..)| (*k, *r) == (kind, reason)) {
            Some((_, _, count, _)) => *count += n,
            None => self.rejected.push((kind, reason, n, example())),
        }
    }
}

/// What a client is told: how many of what, why, and what to do.
pub(super) fn message(rejected: &[(Kind, Reject, u64, String)], cut: Option<&str>) -> String {
    let mut out = String::new();
    for (kind, reason, n, example) in rejected.iter().take(8) {
        if !out.is_empty() {
            out.push_str("; ");
        }
        out.push_str(&format!("{n} {} point(s): {} (first: {example})", kind.word(), reason.help()));
    }
    if let Some(cut) = cut {
        let break_before = if out.is_empty() { "" } else { "; " };
        out.push_str(&format!("{break_before}texts over the limits were cut: {cut}"));
    }
    out
}
