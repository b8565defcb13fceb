//! A whole body in, an outcome out: unframe, inflate, hand to the intake.
//!
//! Does not know sessions. Invariant: whatever was reserved for a body is released when its outcome stands.

use crate::limits;
use std::time::Duration;

use super::answer::{Fault, GrpcSuccess, Outcome, answer};
use super::head::{Take, Tongue};
use super::{Answer, Options, Stats};
use crate::clock::Now;
use crate::model::{Input, Intake};
use crate::net::body::{BodyFault, Collect, Pool};
use crate::net::grpc;
use crate::net::gunzip::{Gunzip, GunzipFault};
use crate::net::wake::Flag;

/// What the sessions of one shard share.
pub struct Shop {
    pub options: Options,
    pub pool: Pool,
    pub gunzip: Gunzip,
    pub stats: Stats,
    pub flag: Flag,
    pub success: GrpcSuccess,
}

impl Shop {
    pub fn new(options: Options) -> Self {
        Shop {
            options,
            pool: Pool::default(),
            gunzip: Gunzip::default(),
            stats: Stats::default(),
            flag: Flag::default(),
            success: GrpcSuccess::default(),
        }
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
    pub fn collect(&mut self, tongue: Tongue, collect: &mut Collect, chunk: bytes::Bytes) -> Result<(), Fault> {
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

    /// Applies a whole body.
    pub fn export(&mut self, tongue: Tongue, take: Take, collect: &mut Collect) -> Outcome {
        if take.deadline_ns < self.now.mono_ns {
            return Err(Fault::Deadline);
        }
        let (body, gzip) = match tongue {
            Tongue::Http(_) => (collect.bytes(), take.gzip && collect.received() > 0),
            Tongue::Grpc => unframe(collect.bytes(), take.gzip)?,
        };
        if !gzip {
            self.shop.stats.decompressed_bytes += body.len() as u64;
            return self.intake.export(tongue.input(), body, self.now).map_err(Fault::Refused);
        }
        let limit = self.shop.options.max_body;
        let intake = &mut *self.intake;
        let mut plain = self.shop.pool.take();
        if !intake.reserve(plain.capacity()) {
            plain = Vec::new();
        }
        let mut reserved = plain.capacity();
        let grow = |bytes| {
            let granted = intake.reserve(bytes);
            reserved += if granted { bytes } else { 0 };
            granted
        };
        let outcome = match self.shop.gunzip.inflate(body, &mut plain, limit, grow) {
            Ok(()) => {
                self.shop.stats.decompressed_bytes += plain.len() as u64;
                self.intake.export(tongue.input(), &plain, self.now).map_err(Fault::Refused)
            }
            Err(GunzipFault::TooLarge) => Err(Fault::TooLarge { limit }),
            Err(GunzipFault::NoBudget) => Err(Fault::NoBudget),
            Err(GunzipFault::Corrupt(what)) => Err(Fault::Gzip(what)),
        };
        self.intake.release(reserved);
        self.shop.pool.put(plain);
        outcome
    }

    /// Ends a body and counts its answer.
    pub fn finish(&mut self, input: Input, collect: &mut Collect, outcome: &Outcome) {
        self.release(collect);
        self.count(input, answer(outcome));
    }

    /// Ends a body that nobody waits for any more.
    pub fn abandon(&mut self, input: Input, collect: &mut Collect) {
        self.release(collect);
        self.count(input, Answer::Broken);
    }

    /// Counts an answer.
    pub fn count(&mut self, input: Input, answer: Answer) {
        self.shop.stats.requests[input as usize][answer as usize] += 1;
    }

    /// Why a body that is not whole should not be waited for any longer.
    pub fn overdue(&self, take: Take, started_ns: u64, received: usize) -> Option<Fault> {
        let elapsed = Duration::from_nanos(self.now.mono_ns.saturating_sub(started_ns));
        if take.deadline_ns < self.now.mono_ns {
            return Some(Fault::Deadline);
        }
        let due = elapsed.checked_sub(limits::BODY_GRACE)?.as_secs() * limits::BODY_BYTES_PER_SECOND_MIN;
        (elapsed > limits::BODY_GRACE && received as u64 <= due).then_some(Fault::Slow)
    }

    fn release(&mut self, collect: &mut Collect) {
        let reserved = collect.finish(&mut self.shop.pool);
        if reserved > 0 {
            self.intake.release(reserved);
        }
    }
}

/// The one message of a unary call, and whether it is compressed.
fn unframe(bytes: &[u8], gzip: bool) -> Result<(&[u8], bool), Fault> {
    let Some((head, message)) = bytes.split_first_chunk() else {
        return Err(Fault::Framing("the call has no whole gRPC message"));
    };
    let prefix = grpc::prefix(*head).ok_or(Fault::Framing("the compressed flag is neither 0 nor 1"))?;
    if prefix.length as usize != message.len() {
        return Err(Fault::Framing("a unary call has one message, of the length that its prefix says"));
    }
    if prefix.compressed && !gzip {
        return Err(Fault::Framing("the compressed flag is set but grpc-encoding is not"));
    }
    Ok((message, prefix.compressed))
}
