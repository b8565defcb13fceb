//! A request, whole or in slices: read all of it first, then apply it, and give others their turn in between.
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

use super::Ingest;
use super::stage::{self, Longs, Number, Stage};
use super::walk::{Place, Walked};
use crate::ledger::{Note, Tally};
use crate::limits::{EXPORT_SLICE_NS, KIB, STAGE_KEPT_BYTES_MAX};
use crate::model::{Kind, Origin, Receipt, Reject};
use crate::wire::Fault;
use bumpalo::Bump;

/// How large slices are.
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

/// What is kept of a request between two of its slices.
#[derive(Debug)]
pub struct Sliced {
    phase: Phase,
    at: Place,
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

impl Ingest {
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
        self.staged.clear();
        let done = self.slice(origin, body, part, &arena, tally);
        // what a large request took is not kept for the small ones behind it
        if arena.allocated_bytes() > STAGE_KEPT_BYTES_MAX {
            arena = Bump::new();
        }
        arena.reset();
        self.arena = arena;
        if self.staged.capacity() * size_of::<Number>() > STAGE_KEPT_BYTES_MAX {
            self.staged = Vec::new();
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
        let (mut at, messages) = part.as_ref().map_or((Place::START, 0), |part| (part.at, part.messages));
        let mut stage = Stage::new(arena, messages, self.options.limits);
        stage.is_dry = part.as_ref().is_some_and(|part| !part.is_applying());
        stage.longs = part.as_mut().map(|part| std::mem::take(&mut part.longs)).unwrap_or_default();
        let walked = self.walk(body, &mut at, arena, &mut stage);
        let longs = std::mem::take(&mut stage.longs);
        let cost_ns = stage.cost_ns(self.staged.len());
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
                part.add(receipt, stage);
                (part.at, part.longs) = (at, longs);
                (walked == Walked::All).then(|| Ok(part.answer()))
            }
            (Ok(Walked::Part), Some(part)) => {
                (part.at, part.messages, part.longs) = (at, stage.messages, longs);
                None
            }
            (Ok(Walked::All), Some(part)) => {
                // its messages are counted, and within their limit
                (part.phase, part.at, part.messages) = (Phase::Read, Place::AGAIN, 0);
                None
            }
        };
        (done, cost_ns)
    }
}

impl Sliced {
    /// A slice was applied.
    fn add(&mut self, receipt: Receipt, stage: Stage<'_>) {
        self.receipt.points += receipt.points;
        self.receipt.rejected += receipt.rejected;
        for (kind, reason, n, example) in stage.rejected {
            match self.rejected.iter_mut().find(|(k, r, ..)| (*k, *r) == (kind, reason)) {
                Some((_, _, count, _)) => *count += n,
                None => self.rejected.push((kind, reason, n, example)),
            }
        }
        self.cut = self.cut.take().or(stage.pending.into_cut());
    }

    fn answer(&mut self) -> Receipt {
        let mut receipt = std::mem::take(&mut self.receipt);
        if receipt.rejected > 0 || self.cut.is_some() {
            receipt.message = Some(stage::message(&self.rejected, self.cut.as_deref()));
        }
        receipt
    }
}
