//! One core's front end: a request, whole or in slices. Read all of it first, then apply it, and give others their turn in between.
//!
//! Knows what is kept of a request between two turns of the loop; does not know bytes (`walk`) nor cells (`commit`).
//!
//! ```text
//!   small:  read ─► apply                                                               (one go)
//!   large:  read a slice, drop it ─► … ─► end: it is sound ─► read a slice, apply it ─► … ─► answer
//! ```
//!
//! Invariants
//! 1. Nothing of a request is applied before all of it was found sound. What a slice stages refers to nothing outside of it,
//!    so cuts and other requests may come between two slices.
//! 2. At most one request in slices is being applied on a core; the others wait. Who began one must end it, even if nobody
//!    waits for the answer, or half a request stays.
//! 3. Each slice that is applied leaves the ledger balanced.
//!
//! Bounds: a slice is what `limits::EXPORT_SLICE_NS` says, by estimate, and at most `walk`'s chunk or one message more;
//! its points take `limits::STAGE_SLICE_BYTES`. A large request is read twice.

use super::commit::Commit;
use super::encoding::Otlp;
use super::exemplars::OpenExemplars;
use super::kept::KeptOpen;
use super::open::{Applying, OpenInterval};
use super::position::{Position, Walked};
use super::stage::{self, Longs, Slice, Stage, StagedNumber};
use super::walk::RequestWalk;
use crate::cells::sequences::Sequences;
use crate::identity::attributes::Limits;
use crate::ledger::{Note, Tally};
use crate::limits::STAGE_KEPT_BYTES_MAX;
use crate::model::{Kind, Origin, Receipt, Reject};
use crate::resolve::{Doorkeeper, GatePlan, Resolver};
use crate::series::registry::Registry;
use crate::series::slab::SlabWriter;
use crate::sync::counts::{CountWriter, Counts};
use crate::wire::Fault;
use bumpalo::Bump;
use std::sync::Arc;

/// What is kept of a request between two of its slices.
#[derive(Debug)]
pub struct Sliced {
    phase: Phase,
    at: Position,
    /// Counted while it is read first.
    messages: u64,
    receipt: Receipt,
    rejected: Vec<(Kind, Reject, u64, String)>,
    cut: Option<String>,
    /// Heads that are read in steps.
    longs: Longs,
    /// Time that its slices took, nanoseconds: for who measures.
    pub spent_ns: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It is read, and nothing of it applied.
    Reading,
    /// It is sound.
    Read,
    /// It is being applied.
    Applying,
}

impl Sliced {
    /// Something of it is applied: it must be brought to its end (invariant 2).
    pub fn is_applying(&self) -> bool {
        self.phase == Phase::Applying
    }
}

/// Options of one core's ingest.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Wall time at which the process started, nanoseconds.
    pub started_ns: u64,
    /// What texts and attributes may be.
    pub limits: Limits,
}

/// One core's side of the aggregation.
pub struct Ingest {
    options: Options,
    /// The latest time that a point may have, nanoseconds.
    latest: u64,
    /// How large slices are.
    slice: Slice,
    resolver: Resolver,
    open: OpenInterval,
    exemplars: OpenExemplars,
    sequences: KeptOpen<Sequences>,
    /// By number of what puts them aside, points.
    dropped: CountWriter,
    /// By which streams and routes were asked about.
    gate: GatePlan,
    arena: Bump,
    /// Room for the numbers of a request; empty between two.
    numbers: Vec<StagedNumber>,
    /// A request that came in slices is being applied.
    applying: bool,
}

impl Ingest {
    /// For `core`, whose slab this is. The first interval is number 1, bank 0.
    pub fn new(core: usize, options: Options, registry: Arc<Registry>, slab: SlabWriter) -> Ingest {
        Ingest {
            options,
            latest: u64::MAX,
            slice: Slice::default(),
            resolver: Resolver::new(core, registry, slab),
            open: OpenInterval::first(),
            exemplars: OpenExemplars::first(),
            sequences: KeptOpen::first(),
            dropped: Counts::new(0).0,
            gate: GatePlan::default(),
            arena: Bump::new(),
            numbers: Vec::new(),
            applying: false,
        }
    }

    /// `gate` says what becomes of streams and routes, before the first request; `dropped` counts points that it drops, by the
    /// number that it gives.
    #[must_use]
    pub fn ask(mut self, gate: Box<dyn Doorkeeper>, dropped: CountWriter) -> Ingest {
        self.resolver.ask(Some(gate), true);
        self.dropped = dropped;
        self
    }

    /// Rules say what becomes of streams and routes from now on, if there are some that concern them, and of several identical
    /// senders one counts: between two requests, or two slices of one. What was asked of the plan before is asked again when it next
    /// comes, if the answer may differ. Points that are put aside from now on, by the plan's numbers.
    pub fn take_up(&mut self, plan: &GatePlan) -> Arc<Counts> {
        let change = plan.change_from(&self.gate);
        let (writer, counts) = Counts::new(plan.numbers());
        if change.is_any() {
            self.resolver.ask(plan.doorkeeper(), change.resources);
        }
        (self.dropped, self.gate) = (writer, plan.clone());
        counts
    }

    /// Points may be dated up to `latest`, nanoseconds of the wall clock, from now on; before the first call whenever they
    /// like.
    pub const fn accept_until(&mut self, latest: u64) {
        self.latest = latest;
    }

    /// Requests are taken in slices of this size from now on.
    pub const fn slice_by(&mut self, slice: Slice) {
        self.slice = slice;
    }

    /// The slab, for the owner's own blocks (the owner of a shard runs on the same thread).
    pub fn slab_mut(&mut self) -> &mut SlabWriter {
        self.resolver.slab_mut()
    }

    /// The slab.
    pub fn slab(&self) -> &SlabWriter {
        self.resolver.slab()
    }

    /// Wall time at which the process started, nanoseconds.
    pub fn started_ns(&self) -> u64 {
        self.options.started_ns
    }

    /// Number and bank of the open interval.
    pub fn open(&self) -> (u32, usize) {
        (self.open.number(), self.open.bank())
    }

    /// Routes held.
    pub fn routes(&self) -> usize {
        self.resolver.routes()
    }

    /// How the resolver reads what comes.
    const fn encoding(&self) -> Otlp {
        Otlp(self.options.limits)
    }

    /// Switches to the other bank: the interval `number` is open from now on. Called between two requests, or two slices.
    /// Begins to put away what died.
    pub fn switch(&mut self, number: u32) {
        self.hand_over();
        self.exemplars.kept.begin(number);
        self.sequences.begin(number);
        self.open.switch(number);
        self.resolver.switch(number);
    }

    /// Hands over what is kept of the open interval beside the cells. Called before the board says that the interval is closed,
    /// and then either `switch` or `take_back` follows before the next request.
    pub fn hand_over(&mut self) {
        let (registry, core) = (self.resolver.registry(), self.resolver.core());
        if let Some(reservoir) = self.exemplars.kept.close() {
            registry.close_exemplars(core, reservoir);
        }
        if let Some(sequences) = self.sequences.close() {
            registry.close_sequences(core, sequences);
        }
    }

    /// The interval stays open after all, because this core was skipped: takes back what was handed over.
    pub fn take_back(&mut self) {
        let (registry, core) = (self.resolver.registry(), self.resolver.core());
        self.exemplars.kept.reopen(|| registry.exemplars(core));
        self.sequences.reopen(|| registry.sequences(core));
    }

    /// Goes on putting away what died; `true` when there is more to do in this interval.
    pub fn tidy(&mut self) -> bool {
        self.resolver.tidy()
    }

    /// Streams that have had no route for `intervals` intervals are freed from now on (`tidy`).
    pub fn sweep(&mut self, intervals: u32) {
        self.resolver.sweep(intervals);
    }

    /// Decodes, checks and applies one request. A fault refuses it whole.
    pub fn export(&mut self, origin: Origin, body: &[u8], tally: &mut Tally) -> Result<Receipt, Fault> {
        let mut part = None;
        loop {
            if let (Some(result), _) = self.export_part(origin, body, &mut part, tally) {
                return result;
            }
        }
    }

    /// Goes on with a request, whose `part` is nothing at first, by one slice. What became of it, once it is at its end, and
    /// about what the slice took, nanoseconds.
    pub fn export_part(
        &mut self,
        origin: Origin,
        body: &[u8],
        part: &mut Option<Box<Sliced>>,
        tally: &mut Tally,
    ) -> (Option<Result<Receipt, Fault>>, u64) {
        if let Some(part) = part
            && part.phase == Phase::Read
        {
            if self.applying {
                return (None, 0);
            }
            (self.applying, part.phase) = (true, Phase::Applying);
        }
        self.resolver.comes_from(origin.peer);
        let mut arena = std::mem::take(&mut self.arena);
        let done = self.slice(origin, body, part, &arena, tally);
        // what a large request took is not kept for the small ones behind it
        if arena.allocated_bytes() > STAGE_KEPT_BYTES_MAX {
            arena = Bump::new();
        }
        arena.reset();
        self.arena = arena;
        if self.numbers.capacity() * size_of::<StagedNumber>() > STAGE_KEPT_BYTES_MAX {
            self.numbers = Vec::new();
        }
        if done.0.is_some()
            && let Some(part) = part.take()
            && part.is_applying()
        {
            self.applying = false;
        }
        match &done.0 {
            Some(Ok(_)) => {
                tally.note(Note::Requests, 1);
                tally.note(Note::Bytes, body.len() as u64);
            }
            Some(Err(_)) => tally.note(Note::Malformed, 1),
            None => {}
        }
        done
    }

    /// Whether a request in slices is being applied.
    pub const fn is_applying(&self) -> bool {
        self.applying
    }

    fn slice(
        &mut self,
        origin: Origin,
        body: &[u8],
        part: &mut Option<Box<Sliced>>,
        arena: &Bump,
        tally: &mut Tally,
    ) -> (Option<Result<Receipt, Fault>>, u64) {
        let (mut at, messages) = part.as_ref().map_or((Position::START, 0), |part| (part.at, part.messages));
        let mut numbers = std::mem::take(&mut self.numbers);
        numbers.clear();
        let mut stage = Stage::new(arena, messages, self.options.limits, numbers);
        stage.is_dry = part.as_ref().is_some_and(|part| !part.is_applying());
        stage.is_sound = part.as_ref().is_some_and(|part| part.is_applying());
        stage.longs = part.as_mut().map(|part| std::mem::take(&mut part.longs)).unwrap_or_default();
        let mut walked =
            RequestWalk::new(&mut self.resolver, &mut stage, arena, self.latest, self.slice).walk(body, &mut at);
        // it is taken: whom it elects counts from here on
        if matches!(walked, Ok(Walked::All))
            && part.is_none()
            && !stage.elects.iter().all(|id| self.resolver.standby(*id).is_none())
        {
            // another core's replica was elected in between: what is staged is not what counts
            let mut numbers = std::mem::take(&mut stage.numbers);
            numbers.clear();
            stage = Stage::new(arena, messages, self.options.limits, numbers);
            (stage.is_sound, at) = (true, Position::START);
            walked =
                RequestWalk::new(&mut self.resolver, &mut stage, arena, self.latest, self.slice).walk(body, &mut at);
        }
        let longs = std::mem::take(&mut stage.longs);
        let cost_ns = stage.cost_ns();
        let done = match (walked, part.as_mut()) {
            (Err(fault), part) => {
                debug_assert!(part.is_none_or(|part| !part.is_applying()), "what was sound is sound: {fault}");
                Some(Err(fault))
            }
            (Ok(Walked::All), None) => Some(Ok(self.commit(origin, &mut stage, tally))),
            (Ok(Walked::Part), None) => {
                *part = Some(Box::new(Sliced {
                    phase: Phase::Reading,
                    at,
                    messages: stage.messages,
                    receipt: Receipt::default(),
                    rejected: Vec::new(),
                    cut: None,
                    longs,
                    spent_ns: 0,
                }));
                None
            }
            (Ok(walked), Some(part)) if part.phase == Phase::Applying => {
                let receipt = self.commit(origin, &mut stage, tally);
                part.add(receipt, &mut stage);
                (part.at, part.longs) = (at, longs);
                (walked == Walked::All).then(|| Ok(part.answer()))
            }
            (Ok(Walked::Part), Some(part)) => {
                (part.at, part.messages, part.longs) = (at, stage.messages, longs);
                None
            }
            (Ok(Walked::All), Some(part)) => {
                // its messages are counted, and within their limit
                (part.phase, part.at, part.messages) = (Phase::Read, Position::AGAIN, 0);
                None
            }
        };
        self.numbers = stage.numbers;
        (done, cost_ns)
    }

    fn commit(&mut self, origin: Origin, stage: &mut Stage<'_>, tally: &mut Tally) -> Receipt {
        let (encoding, sequences) = (self.encoding(), &mut self.sequences.all);
        let to = Applying { encoding, resolver: &mut self.resolver, sequences, tally };
        Commit::new(&mut self.open, &mut self.exemplars, &mut self.dropped, to).apply(origin, stage)
    }
}

impl Sliced {
    /// A slice was applied.
    fn add(&mut self, receipt: Receipt, stage: &mut Stage<'_>) {
        self.receipt.points += receipt.points;
        self.receipt.rejected += receipt.rejected;
        for (kind, reason, n, example) in std::mem::take(&mut stage.rejected) {
            match self.rejected.iter_mut().find(|(k, r, ..)| (*k, *r) == (kind, reason)) {
                Some((_, _, count, _)) => *count += n,
                None => self.rejected.push((kind, reason, n, example)),
            }
        }
        self.cut = self.cut.take().or(stage.pending.take_cut());
    }

    fn answer(&mut self) -> Receipt {
        let mut receipt = std::mem::take(&mut self.receipt);
        if receipt.rejected > 0 || self.cut.is_some() {
            receipt.message = Some(stage::message(&self.rejected, self.cut.as_deref()));
        }
        receipt
    }
}
