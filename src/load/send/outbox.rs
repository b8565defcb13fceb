//! What waits to be written to one connection: slices of payloads and of small frames, handed to `writev` as they lie.
//!
//! Deliberately does not know protocols. The payload is never copied.
//! Invariants: 1. bytes leave in the order they were queued; 2. `queued[request]` is the number of queued slices that
//! still point into that request's payload: it may be patched only at 0.
//! Bounds: [`SLICES_MAX`] slices in one `writev`; the sender stops queueing at [`QUEUE_BYTES`].

use crate::load::payload::Plan;
use std::collections::VecDeque;
use std::io::{self, IoSlice, Write};

/// Slices handed to one `writev`.
const SLICES_MAX: usize = 64;
/// The sender queues no further request once so many bytes wait.
pub(crate) const QUEUE_BYTES: usize = 256 * 1024;
const SCRATCH: u32 = u32::MAX;

struct Slice {
    source: u32,
    from: u32,
    to: u32,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Outbox {
    scratch: Vec<u8>,
    slices: VecDeque<Slice>,
    bytes: usize,
}

impl Outbox {
    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Queues small bytes, which are copied. `write` appends to the given buffer.
    pub(crate) fn small(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let from = self.scratch.len() as u32;
        write(&mut self.scratch);
        let to = self.scratch.len() as u32;
        self.bytes += (to - from) as usize;
        match self.slices.back_mut() {
            Some(last) if last.source == SCRATCH && last.to == from => last.to = to,
            _ if to > from => self.slices.push_back(Slice { source: SCRATCH, from, to }),
            _ => {}
        }
    }

    /// Queues `from..to` of the payload of `request`.
    pub(crate) fn payload(&mut self, request: usize, from: usize, to: usize, queued: &mut [u32]) {
        queued[request] += 1;
        self.bytes += to - from;
        self.slices.push_back(Slice { source: request as u32, from: from as u32, to: to as u32 });
    }

    /// Forgets everything, for a connection that was lost.
    pub(crate) fn clear(&mut self, queued: &mut [u32]) {
        for slice in self.slices.drain(..).filter(|slice| slice.source != SCRATCH) {
            queued[slice.source as usize] -= 1;
        }
        self.scratch.clear();
        self.bytes = 0;
    }

    /// Writes until nothing waits (`true`) or the socket takes no more (`false`); adds what was written to `written`.
    pub(crate) fn flush(
        &mut self,
        socket: &mut impl Write,
        plan: &Plan,
        queued: &mut [u32],
        written: &mut u64,
    ) -> io::Result<bool> {
        while self.bytes > 0 {
            let mut views = [IoSlice::new(&[]); SLICES_MAX];
            let mut count = 0;
            let mut offered = 0;
            for (view, slice) in views.iter_mut().zip(&self.slices) {
                let source = if slice.source == SCRATCH { &self.scratch } else { plan.payload(slice.source as usize) };
                *view = IoSlice::new(&source[slice.from as usize..slice.to as usize]);
                offered += view.len();
                count += 1;
            }
            let taken = match socket.write_vectored(&views[..count]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(taken) => taken,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            *written += taken as u64;
            self.consume(taken, queued);
            if taken < offered {
                // A short write fills the socket; the next edge tells when there is room (epoll(7)).
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn consume(&mut self, mut taken: usize, queued: &mut [u32]) {
        self.bytes -= taken;
        while taken > 0 {
            let slice = self.slices.front_mut().expect("no more is written than was queued");
            let length = (slice.to - slice.from) as usize;
            if taken < length {
                slice.from += taken as u32;
                return;
            }
            taken -= length;
            if slice.source != SCRATCH {
                queued[slice.source as usize] -= 1;
            }
            self.slices.pop_front();
        }
        if self.slices.is_empty() {
            self.scratch.clear();
        }
    }
}
