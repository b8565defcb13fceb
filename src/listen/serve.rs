//! A whole body in, an outcome out: unframe, inflate, make protobuf of JSON, hand to the intake.
//!
//! Does not know sessions.
//!
//! Invariants: 1. whatever was reserved for a body is released when its outcome stands, or it is abandoned; 2. in one
//! turn of the loop at most `limits::INFLATE_TURN_BYTES` are inflated, so a bomb delays others by a slice at a time.
//! Decoding is not cut: a request is applied whole or not at all, so a large one holds the loop for as long as it takes
//! (some 0.1 s for 60 MiB); `--max-body` bounds that.

use crate::limits;
use std::time::Duration;

use super::answer::{Dress, Fault, GrpcSuccess, Outcome, answer};
use super::head::{Take, Tongue};
use super::{Answer, Options, Stats};
use crate::clock::Now;
use crate::model::{Input, Intake, Refusal};
use crate::net::body::{BodyFault, Collect, Pool};
use crate::net::grpc;
use crate::net::inflate::{Coding, Inflate, InflateFault, Progress};
use crate::net::wake::Flag;
use crate::otlp::json_in::{self, read_json};

/// What the sessions of one shard share.
pub struct Shop {
    pub options: Options,
    pub pool: Pool,
    /// Kept to be used again.
    /// States that inflate, of gzip and of zstd.
    spares: [Option<Box<Inflating>>; 2],
    /// Bytes that may still be inflated in this turn of the loop.
    pub inflate_left: usize,
    /// A body of the connection at hand asks for another turn.
    pub is_unfinished: bool,
    pub stats: Stats,
    pub flag: Flag,
    pub success: GrpcSuccess,
}

impl Shop {
    pub fn new(options: Options) -> Self {
        Shop {
            options,
            pool: Pool::default(),
            spares: [None, None],
            inflate_left: 0,
            is_unfinished: false,
            stats: Stats::default(),
            flag: Flag::default(),
            success: GrpcSuccess::default(),
        }
    }
}

/// A compressed body on its way through the turns.
struct Inflating {
    coding: Coding,
    inflate: Inflate,
    plain: Vec<u8>,
    reserved: usize,
}

impl Inflating {
    /// A state and a buffer, both used before if there are such; `None` when the budget has no room for them.
    fn begin(coding: Coding, shop: &mut Shop, intake: &mut impl Intake) -> Option<Box<Self>> {
        let mut plain = shop.pool.take();
        let mut reserved = coding.state_bytes() + plain.capacity();
        if !intake.reserve(reserved) {
            plain = Vec::new();
            reserved = coding.state_bytes();
            if !intake.reserve(reserved) {
                return None;
            }
        }
        let spare = shop.spares.iter_mut().find_map(|spare| spare.take_if(|spare| spare.coding == coding));
        let mut work = match spare {
            Some(work) => work,
            None => match Inflate::new(coding) {
                Some(inflate) => Box::new(Inflating { coding, inflate, plain: Vec::new(), reserved: 0 }),
                None => {
                    intake.release(reserved);
                    return None;
                }
            },
        };
        work.inflate.begin();
        (work.plain, work.reserved) = (plain, reserved);
        Some(work)
    }
}

/// The body of one request, in the making.
#[derive(Default)]
pub struct Body {
    collect: Collect,
    inflating: Option<Box<Inflating>>,
}

impl Body {
    /// Bytes that came.
    pub fn received(&self) -> usize {
        self.collect.received()
    }

    /// Whether all of it came: it is being inflated.
    pub fn is_whole(&self) -> bool {
        self.inflating.is_some()
    }
}

/// What a session has at hand while it is driven.
pub struct Bench<'a, I> {
    pub shop: &'a mut Shop,
    pub intake: &'a mut I,
    pub now: Now,
}

impl<I: Intake> Bench<'_, I> {
    /// Takes a chunk of a body.
    pub fn collect(&mut self, tongue: Tongue, body: &mut Body, chunk: bytes::Bytes) -> Result<(), Fault> {
        let collect = &mut body.collect;
        let max_body = self.shop.options.max_body;
        let prefix = if tongue == Tongue::Grpc { grpc::PREFIX_BYTES } else { 0 };
        self.shop.stats.body_bytes += chunk.len() as u64;
        let intake = &mut *self.intake;
        match collect.push(chunk, max_body + prefix, &mut self.shop.pool, |bytes| intake.reserve(bytes)) {
            Err(BodyFault::TooLarge) => return Err(Fault::TooLarge { limit: max_body }),
            Err(BodyFault::NoBudget) => return Err(Fault::NoBudget),
            Ok(()) => {}
        }
        if tongue == Tongue::Grpc
            && let Some(prefix) = collect.first_five().and_then(grpc::prefix)
            && prefix.length as usize > max_body
        {
            return Err(Fault::TooLarge { limit: max_body });
        }
        Ok(())
    }

    /// Applies a whole body; `None` when it takes another turn.
    pub fn export(&mut self, tongue: Tongue, take: Take, state: &mut Body) -> Option<Outcome> {
        if !state.is_whole() && take.deadline_ns < self.now.mono_ns {
            return Some(Err(Fault::Deadline));
        }
        let collect = &state.collect;
        let (body, is_packed) = match tongue {
            Tongue::Http(_) => (collect.bytes(), take.coding != Coding::Identity && collect.received() > 0),
            Tongue::Grpc => match unframe(collect.bytes(), take.coding != Coding::Identity) {
                Ok(message) => message,
                Err(fault) => return Some(Err(fault)),
            },
        };
        if !is_packed {
            return Some(self.apply(tongue, body));
        }
        let limit = self.shop.options.max_body;
        let intake = &mut *self.intake;
        let mut work = match state.inflating.take() {
            Some(work) => work,
            None => match Inflating::begin(take.coding, self.shop, intake) {
                Some(work) => work,
                None => return Some(Err(Fault::NoBudget)),
            },
        };
        let Inflating { inflate, plain, reserved, .. } = &mut *work;
        let grow = |bytes| {
            let granted = intake.reserve(bytes);
            *reserved += if granted { bytes } else { 0 };
            granted
        };
        let slice = limits::INFLATE_SLICE_BYTES.min(self.shop.inflate_left);
        let before = plain.len();
        let progress = inflate.advance(body, plain, limit, slice, grow);
        self.shop.inflate_left = self.shop.inflate_left.saturating_sub(plain.len() - before);
        let outcome = match progress {
            Ok(Progress::More) => {
                self.shop.is_unfinished = true;
                state.inflating = Some(work);
                return None;
            }
            Ok(Progress::Done) => self.apply(tongue, plain),
            Err(InflateFault::TooLarge) => Err(Fault::TooLarge { limit }),
            Err(InflateFault::NoBudget) => Err(Fault::NoBudget),
            Err(InflateFault::Corrupt(what)) => Err(Fault::Inflate(what)),
        };
        state.inflating = Some(work);
        Some(outcome)
    }

    /// Applies a body that is no longer compressed. JSON becomes protobuf first, in a buffer that the budget knows of.
    fn apply(&mut self, tongue: Tongue, body: &[u8]) -> Outcome {
        self.shop.stats.decompressed_bytes += body.len() as u64;
        if tongue != Tongue::Http(Dress::Json) {
            return self.intake.export(tongue.input(), body, self.now).map_err(Fault::Refused);
        }
        let limit = self.shop.options.max_body;
        let mut wire = self.shop.pool.take();
        let mut reserved = wire.capacity();
        if !self.intake.reserve(reserved) {
            (wire, reserved) = (Vec::new(), 0);
        }
        let intake = &mut *self.intake;
        let read = read_json(body, &mut wire, limit, |bytes| {
            let granted = intake.reserve(bytes);
            reserved += if granted { bytes } else { 0 };
            granted
        });
        let outcome = match read {
            Ok(()) => intake.export(tongue.input(), &wire, self.now).map_err(Fault::Refused),
            Err(json_in::Fault::TooLarge) => Err(Fault::TooLarge { limit }),
            Err(json_in::Fault::NoBudget) => Err(Fault::NoBudget),
            Err(fault) => Err(Fault::Refused(Refusal::Malformed(fault.to_string()))),
        };
        intake.release(reserved);
        self.shop.pool.put(wire);
        outcome
    }

    /// Ends a body and counts its answer.
    pub fn finish(&mut self, input: Input, body: &mut Body, outcome: &Outcome) {
        self.release(body);
        self.count(input, answer(outcome));
    }

    /// Ends a body that nobody waits for any more.
    pub fn abandon(&mut self, input: Input, body: &mut Body) {
        self.release(body);
        self.count(input, Answer::Broken);
    }

    /// Counts an answer.
    pub fn count(&mut self, input: Input, answer: Answer) {
        self.shop.stats.requests[input as usize][answer as usize] += 1;
    }

    /// Why a body that is not whole should not be waited for any longer.
    pub fn overdue(&self, take: Take, started_ns: u64, body: &Body) -> Option<Fault> {
        if body.is_whole() {
            return None;
        }
        let elapsed = Duration::from_nanos(self.now.mono_ns.saturating_sub(started_ns));
        if take.deadline_ns < self.now.mono_ns {
            return Some(Fault::Deadline);
        }
        let due = elapsed.checked_sub(limits::BODY_GRACE)?.as_secs() * limits::BODY_BYTES_PER_SECOND_MIN;
        (elapsed > limits::BODY_GRACE && body.received() as u64 <= due).then_some(Fault::Slow)
    }

    fn release(&mut self, body: &mut Body) {
        let mut reserved = body.collect.finish(&mut self.shop.pool);
        if let Some(mut work) = body.inflating.take() {
            reserved += std::mem::take(&mut work.reserved);
            self.shop.pool.put(std::mem::take(&mut work.plain));
            let at = usize::from(work.coding == Coding::Zstd);
            self.shop.spares[at] = Some(work);
        }
        if reserved > 0 {
            self.intake.release(reserved);
        }
    }
}

/// The one message of a unary call, and whether it is compressed.
fn unframe(bytes: &[u8], may_be_packed: bool) -> Result<(&[u8], bool), Fault> {
    let Some((head, message)) = bytes.split_first_chunk() else {
        return Err(Fault::Framing("the call has no whole gRPC message"));
    };
    let prefix = grpc::prefix(*head).ok_or(Fault::Framing("the compressed flag is neither 0 nor 1"))?;
    if prefix.length as usize != message.len() {
        return Err(Fault::Framing("a unary call has one message, of the length that its prefix says"));
    }
    if prefix.compressed && !may_be_packed {
        return Err(Fault::Framing("the compressed flag is set but grpc-encoding is not"));
    }
    Ok((message, prefix.compressed))
}
