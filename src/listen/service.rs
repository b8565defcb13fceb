//! A whole body in, an outcome out: unframe, inflate, transcode JSON, hand to the intake.
//!
//! Does not know sessions.
//!
//! Invariants: 1. whatever was reserved for a body is released when its outcome stands, or it is abandoned; 2. in one
//! turn of the loop at most `limits::INFLATE_TURN_BYTES` are inflated or read as JSON, so a bomb delays others by a slice
//! at a time; likewise a request of very many points, which the intake takes in slices (`limits::EXPORT_SLICE_NS`); and
//! of very many calls, read, begun or ended, some are left to the next turn (`limits::CALLS_SLICE_NS`);
//! 3. a body whose points are being applied is brought to its end, even if its connection is gone: a request is applied whole
//! or not at all.

use crate::limits;
use std::sync::Arc;
use std::time::Duration;

use super::answer::{BodyFormat, GrpcSuccess, RequestFault, RequestOutcome, answer};
use super::head::{BodyTerms, Protocol};
use super::intake::{Exported, Intake};
use super::options::Options;
use super::stats::Stats;
use crate::clock::Now;
use crate::examples::Examples;
use crate::ingest::Sliced;
use crate::model::{Answer, Door, Origin, Peer, Tenant};
use crate::net::body::{BodyFault, Collect, Pool};
use crate::net::grpc;
use crate::net::inflate::{Coding, Inflate};
use crate::net::members::{InflateFault, InflateProgress, work};
use crate::net::wake::Flag;
use crate::otlp::json_in::{self, JsonFaultKind, Transcoder};

/// What the sessions of one shard share.
pub(super) struct Service {
    pub options: Options,
    pub pool: Pool,
    /// States that inflate, of gzip and of zstd, kept to be used again.
    spares: [Option<Box<Inflating>>; 2],
    /// A state that transcodes, kept to be used again.
    spare_transcoding: Option<Box<Transcoding>>,
    /// Bytes that may still be inflated or transcoded in this turn of the loop.
    pub inflate_left: usize,
    /// Work on requests that may still be done in this turn of the loop, by the intake's estimate, nanoseconds.
    pub export_left_ns: u64,
    /// Reading, and beginning and ending calls, that may still be done in this turn of the loop, by estimate, nanoseconds.
    pub calls_left_ns: u64,
    /// A request whose connection went while it was being applied. The intake applies one at a time.
    orphan: Option<Orphan>,
    /// A body of the connection at hand asks for another turn.
    pub is_unfinished: bool,
    pub stats: Stats,
    pub flag: Flag,
    pub success: GrpcSuccess,
    /// Where an example of what was refused is kept.
    pub examples: Option<Arc<Examples>>,
}

impl Service {
    pub(super) fn new(options: Options) -> Self {
        Service {
            options,
            pool: Pool::default(),
            spares: [None, None],
            spare_transcoding: None,
            inflate_left: 0,
            export_left_ns: 0,
            calls_left_ns: 0,
            orphan: None,
            is_unfinished: false,
            stats: Stats::default(),
            flag: Flag::default(),
            success: GrpcSuccess::default(),
            examples: None,
        }
    }

    /// Notes work with calls.
    fn spend(&mut self, ns: u64) {
        self.calls_left_ns = self.calls_left_ns.saturating_sub(ns);
    }

    /// Whether this turn of the loop has time for another connection.
    pub(super) const fn has_time(&self) -> bool {
        self.export_left_ns > 0 && self.calls_left_ns > 0
    }

    /// Whether a request without a connection is still being applied.
    pub(super) const fn has_orphan(&self) -> bool {
        self.orphan.is_some()
    }
}

/// A request that nobody waits for.
struct Orphan {
    protocol: Protocol,
    terms: BodyTerms,
    body: RequestBody,
}

/// A compressed body on its way through the turns.
struct Inflating {
    coding: Coding,
    inflate: Inflate,
    plain: Vec<u8>,
    reserved: usize,
    is_done: bool,
}

impl Inflating {
    /// A state and a buffer, both used before if there are such; `None` when the budget has no room for them.
    fn begin(coding: Coding, peer: Peer, service: &mut Service, intake: &mut impl Intake) -> Option<Box<Self>> {
        let (plain, reserved) = buffer(coding.state_bytes(), peer, service, intake)?;
        let spare = service.spares.iter_mut().find_map(|spare| spare.take_if(|spare| spare.coding == coding));
        let mut work = match spare {
            Some(work) => work,
            None => match Inflate::new(coding) {
                Some(inflate) => {
                    Box::new(Inflating { coding, inflate, plain: Vec::new(), reserved: 0, is_done: false })
                }
                None => {
                    intake.release(peer, reserved);
                    return None;
                }
            },
        };
        work.inflate.begin();
        (work.plain, work.reserved, work.is_done) = (plain, reserved, false);
        Some(work)
    }
}

/// A buffer, used before if there is one that the budget has room for, and what was reserved for it and a state.
fn buffer(state_bytes: usize, peer: Peer, service: &mut Service, intake: &mut impl Intake) -> Option<(Vec<u8>, usize)> {
    let used = service.pool.take();
    let reserved = state_bytes + used.capacity();
    if intake.reserve(peer, reserved) {
        return Some((used, reserved));
    }
    intake.reserve(peer, state_bytes).then_some((Vec::new(), state_bytes))
}

/// A JSON body on its way to protobuf.
#[derive(Default)]
struct Transcoding {
    transcoder: Transcoder,
    protobuf: Vec<u8>,
    reserved: usize,
}

impl Transcoding {
    /// As `Inflating::begin`; the state is small and a shard's own.
    fn begin(peer: Peer, service: &mut Service, intake: &mut impl Intake) -> Option<Box<Self>> {
        let (protobuf, reserved) = buffer(0, peer, service, intake)?;
        let mut work = service.spare_transcoding.take().unwrap_or_default();
        work.transcoder.begin();
        (work.protobuf, work.reserved) = (protobuf, reserved);
        Some(work)
    }
}

/// The body of one request, in the making.
#[derive(Default)]
pub(super) struct RequestBody {
    peer: Peer,
    collect: Collect,
    inflating: Option<Box<Inflating>>,
    transcoding: Option<Box<Transcoding>>,
    /// The intake takes it in slices.
    sliced: Option<Box<Sliced>>,
    /// It came when this turn's work was done.
    is_put_off: bool,
    /// Reserved for the call itself.
    call_bytes: usize,
    /// When the present window began, and what had come by then; `None` while in the first.
    window: Option<(u64, usize)>,
}

impl RequestBody {
    /// Nothing yet of a request of this peer.
    pub(super) fn of(peer: Peer) -> RequestBody {
        RequestBody { peer, ..RequestBody::default() }
    }

    /// Bytes that came.
    pub(super) fn received(&self) -> usize {
        self.collect.received()
    }

    /// Whether all of it came: it is being inflated, transcoded or applied.
    pub(super) fn is_whole(&self) -> bool {
        self.inflating.is_some() || self.transcoding.is_some() || self.sliced.is_some() || self.is_put_off
    }

    fn is_applying(&self) -> bool {
        self.sliced.as_ref().is_some_and(|part| part.is_applying())
    }
}

/// What a session has at hand while it is driven.
pub(super) struct Serving<'a, I> {
    pub service: &'a mut Service,
    pub intake: &'a mut I,
    pub now: Now,
    /// Whose connection is driven.
    pub peer: Peer,
}

impl<I: Intake> Serving<'_, I> {
    /// Takes a chunk of a body.
    pub(super) fn collect(
        &mut self,
        protocol: Protocol,
        body: &mut RequestBody,
        chunk: bytes::Bytes,
    ) -> Result<(), RequestFault> {
        let (collect, peer) = (&mut body.collect, body.peer);
        let max_body = self.service.options.max_body;
        let prefix = if protocol == Protocol::Grpc { grpc::PREFIX_BYTES } else { 0 };
        self.service.stats.body_bytes += chunk.len() as u64;
        self.service.spend(chunk.len() as u64 * limits::READ_NS_PER_KIB / limits::KIB as u64);
        let intake = &mut *self.intake;
        match collect.push(chunk, max_body + prefix, &mut self.service.pool, |bytes| intake.reserve(peer, bytes)) {
            Err(BodyFault::TooLarge) => return Err(RequestFault::TooLarge { limit: max_body }),
            Err(BodyFault::NoBudget) => return Err(RequestFault::NoBudget),
            Ok(()) => {}
        }
        if protocol == Protocol::Grpc
            && let Some(prefix) = collect.first_five().and_then(grpc::prefix)
            && prefix.length as usize > max_body
        {
            return Err(RequestFault::TooLarge { limit: max_body });
        }
        Ok(())
    }

    /// Puts a call whose body is waited for on the account.
    pub(super) fn wait_for(&mut self, body: &mut RequestBody) -> Result<(), RequestFault> {
        if !self.intake.reserve(body.peer, limits::CALL_BYTES) {
            return Err(RequestFault::NoBudget);
        }
        body.call_bytes = limits::CALL_BYTES;
        self.service.spend(limits::CALL_NS);
        Ok(())
    }

    /// Applies a whole body; `None` when it takes another turn.
    pub(super) fn export(
        &mut self,
        protocol: Protocol,
        terms: BodyTerms,
        state: &mut RequestBody,
    ) -> Option<RequestOutcome> {
        if !state.is_whole() && terms.deadline_ns < self.now.mono_ns {
            return Some(Err(RequestFault::Deadline));
        }
        if self.service.export_left_ns == 0 {
            state.is_put_off = true;
            self.service.is_unfinished = true;
            return None;
        }
        let collect = &state.collect;
        let (body, is_packed) = match protocol {
            Protocol::Http(_) => (collect.bytes(), terms.coding != Coding::Identity && collect.received() > 0),
            Protocol::Grpc => match unframe(collect.bytes(), terms.coding != Coding::Identity) {
                Ok(message) => message,
                Err(fault) => return Some(Err(fault)),
            },
        };
        let plain = if is_packed {
            match self.inflate(body, (terms.coding, state.peer), &mut state.inflating) {
                Ok(InflateProgress::Done) => state.inflating.as_ref().map_or(&[][..], |work| &work.plain),
                Ok(InflateProgress::More) => return None,
                Err(fault) => return Some(Err(fault)),
            }
        } else {
            body
        };
        let message = if protocol == Protocol::Http(BodyFormat::Json) {
            match self.transcode(plain, state.peer, &mut state.transcoding) {
                Ok(InflateProgress::Done) => state.transcoding.as_ref().map_or(&[][..], |work| &work.protobuf),
                Ok(InflateProgress::More) => return None,
                Err(fault) => return Some(Err(fault)),
            }
        } else {
            plain
        };
        let origin = Origin { door: protocol.door(), peer: state.peer, tenant: Tenant::DEFAULT };
        let Exported { end, cost_ns } = self.intake.export(origin, message, &mut state.sliced, self.now);
        self.service.export_left_ns = self.service.export_left_ns.saturating_sub(cost_ns);
        match end {
            Some(end) => {
                self.service.stats.decompressed_bytes += plain.len() as u64;
                Some(end.map_err(RequestFault::Refused))
            }
            None => {
                self.service.is_unfinished = true;
                None
            }
        }
    }

    /// Goes on inflating `body`.
    fn inflate(
        &mut self,
        body: &[u8],
        (coding, peer): (Coding, Peer),
        state: &mut Option<Box<Inflating>>,
    ) -> Result<InflateProgress, RequestFault> {
        let begun = match state.take() {
            Some(work) => work,
            None => Inflating::begin(coding, peer, self.service, self.intake).ok_or(RequestFault::NoBudget)?,
        };
        let Inflating { inflate, plain, reserved, is_done, .. } = &mut **state.insert(begun);
        if *is_done {
            return Ok(InflateProgress::Done);
        }
        let grow = |bytes| {
            let granted = self.intake.reserve(peer, bytes);
            *reserved += if granted { bytes } else { 0 };
            granted
        };
        let limit = self.service.options.max_body;
        let slice = limits::INFLATE_SLICE_BYTES.min(self.service.inflate_left);
        let (taken, made) = (inflate.position(), plain.len());
        let progress = inflate.advance(body, plain, limit, slice, grow);
        let done = work(inflate.position() - taken, plain.len() - made);
        self.service.inflate_left = self.service.inflate_left.saturating_sub(done);
        match progress {
            Ok(progress) => {
                *is_done = progress == InflateProgress::Done;
                self.service.is_unfinished |= !*is_done;
                Ok(progress)
            }
            Err(InflateFault::TooLarge) => Err(RequestFault::TooLarge { limit }),
            Err(InflateFault::NoBudget) => Err(RequestFault::NoBudget),
            Err(InflateFault::Corrupt(what)) => Err(RequestFault::Inflate(what)),
        }
    }

    /// Goes on transcoding `text`.
    fn transcode(
        &mut self,
        text: &[u8],
        peer: Peer,
        state: &mut Option<Box<Transcoding>>,
    ) -> Result<InflateProgress, RequestFault> {
        let begun = match state.take() {
            Some(work) => work,
            None => Transcoding::begin(peer, self.service, self.intake).ok_or(RequestFault::NoBudget)?,
        };
        let Transcoding { transcoder, protobuf, reserved } = &mut **state.insert(begun);
        let mut grow = |bytes| {
            let granted = self.intake.reserve(peer, bytes);
            *reserved += if granted { bytes } else { 0 };
            granted
        };
        let limit = self.service.options.max_body;
        let slice = limits::INFLATE_SLICE_BYTES.min(self.service.inflate_left);
        let before = transcoder.position();
        let progress = transcoder.advance(text, protobuf, limit, slice, &mut grow);
        self.service.inflate_left = self.service.inflate_left.saturating_sub(transcoder.position() - before);
        match progress {
            Ok(json_in::TranscodeProgress::Done) => Ok(InflateProgress::Done),
            Ok(json_in::TranscodeProgress::More) => {
                self.service.is_unfinished = true;
                Ok(InflateProgress::More)
            }
            Err(fault) => Err(match fault.kind {
                JsonFaultKind::TooLarge => RequestFault::TooLarge { limit },
                JsonFaultKind::NoBudget => RequestFault::NoBudget,
                _ => RequestFault::Json(fault),
            }),
        }
    }

    /// Ends a body and counts its answer.
    pub(super) fn finish(&mut self, door: Door, body: &mut RequestBody, outcome: &RequestOutcome) {
        self.release(body);
        self.service.spend(limits::CALL_NS);
        let answer = answer(outcome);
        self.count(door, answer);
        if let (Some(examples), Err(fault)) = (&self.service.examples, outcome) {
            examples.show_answer(answer, body.peer, || fault.words());
        }
    }

    /// Ends a body that nobody waits for any more; one that is being applied goes on without its connection.
    pub(super) fn abandon(&mut self, protocol: Protocol, terms: BodyTerms, body: &mut RequestBody) {
        if body.is_applying() {
            debug_assert!(self.service.orphan.is_none(), "one at a time is applied");
            self.service.orphan = Some(Orphan { protocol, terms, body: std::mem::take(body) });
        } else {
            self.release(body);
        }
        self.service.spend(limits::CALL_NS);
        self.count(protocol.door(), Answer::Broken);
    }

    /// Goes on with a request without a connection, by one slice.
    pub(super) fn end_orphan(&mut self) {
        let Some(mut orphan) = self.service.orphan.take() else { return };
        self.service.export_left_ns = limits::EXPORT_SLICE_NS;
        match self.export(orphan.protocol, orphan.terms, &mut orphan.body) {
            Some(_) => self.release(&mut orphan.body),
            None => self.service.orphan = Some(orphan),
        }
    }

    /// Counts an answer.
    pub(super) fn count(&mut self, door: Door, answer: Answer) {
        self.service.stats.requests[door as usize][answer as usize] += 1;
    }

    /// Whether bodies of a peer have to give way to others.
    pub(super) fn gives_way(&self, peer: Peer) -> bool {
        self.intake.gives_way(peer)
    }

    /// How fast a body comes, bytes a second; nothing for one that is whole.
    pub(super) fn pace(&self, body: &RequestBody, started_ns: u64) -> Option<u64> {
        if body.is_whole() {
            return None;
        }
        let elapsed_ms = self.now.mono_ns.saturating_sub(started_ns) / 1_000_000 + 1;
        Some((body.received() as u64).saturating_mul(1_000) / elapsed_ms)
    }

    /// Why a body that is not whole should not be waited for any longer.
    pub(super) fn overdue(
        &mut self,
        terms: BodyTerms,
        started_ns: u64,
        body: &mut RequestBody,
    ) -> Option<RequestFault> {
        self.service.spend(limits::LOOK_NS);
        if body.is_whole() {
            return None;
        }
        if terms.deadline_ns < self.now.mono_ns {
            return Some(RequestFault::Deadline);
        }
        if self.now.mono_ns.saturating_sub(started_ns) > limits::BODY_TIME_MAX.as_nanos() as u64 {
            return Some(RequestFault::Long);
        }
        let received = body.received();
        let window_bytes = limits::BODY_GRACE.as_secs() * limits::BODY_BYTES_PER_SECOND_MIN;
        let (since_ns, base) = body.window.unwrap_or((started_ns, 0));
        let elapsed = Duration::from_nanos(self.now.mono_ns.saturating_sub(since_ns));
        let over = elapsed.checked_sub(limits::BODY_GRACE).filter(|over| !over.is_zero())?;
        let came = (received - base) as u64;
        if came >= window_bytes {
            body.window = Some((self.now.mono_ns, received));
            return None;
        }
        // only the first window may begin as slowly as it likes
        let is_slow = body.window.is_some() || came <= over.as_secs() * limits::BODY_BYTES_PER_SECOND_MIN;
        is_slow.then_some(RequestFault::Slow)
    }

    fn release(&mut self, body: &mut RequestBody) {
        debug_assert!(!body.is_applying(), "invariant 3");
        (body.sliced, body.is_put_off) = (None, false);
        let mut reserved = body.collect.finish(&mut self.service.pool) + std::mem::take(&mut body.call_bytes);
        if let Some(mut work) = body.inflating.take() {
            reserved += std::mem::take(&mut work.reserved);
            self.service.pool.put(std::mem::take(&mut work.plain));
            let at = usize::from(work.coding == Coding::Zstd);
            self.service.spares[at] = Some(work);
        }
        if let Some(mut work) = body.transcoding.take() {
            reserved += std::mem::take(&mut work.reserved);
            self.service.pool.put(std::mem::take(&mut work.protobuf));
            self.service.spare_transcoding = Some(work);
        }
        if reserved > 0 {
            self.intake.release(body.peer, reserved);
        }
    }
}

/// The one message of a unary call, and whether it is compressed.
fn unframe(bytes: &[u8], may_be_packed: bool) -> Result<(&[u8], bool), RequestFault> {
    let Some((head, message)) = bytes.split_first_chunk() else {
        return Err(RequestFault::Framing("the call has no whole gRPC message"));
    };
    let prefix = grpc::prefix(*head).ok_or(RequestFault::Framing("the compressed flag is neither 0 nor 1"))?;
    if prefix.length as usize != message.len() {
        return Err(RequestFault::Framing("a unary call has one message, of the length that its prefix says"));
    }
    if prefix.compressed && !may_be_packed {
        return Err(RequestFault::Framing("the compressed flag is set but grpc-encoding is not"));
    }
    Ok((message, prefix.compressed))
}
