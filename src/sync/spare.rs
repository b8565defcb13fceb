//! Reading a socket straight into the spare part of a read buffer.
//!
//! Knows the two buffers that HTTP sessions hand to a transport; does not know sessions. It stands in this room
//! because handing out memory that is not initialised takes `unsafe`, and this room is where that is allowed. It saves
//! a copy of every byte that comes in: a sixth of the whole cost of a point, measured with 1000-point gRPC requests.
//!
//! Invariants
//! 1. Only bytes that were written are declared initialised: `Spare::filled` grows by what was put there, and by nothing
//!    else.
//! 2. Nothing that was initialised is made uninitialised: who fills a `Spare` writes bytes, and never reads or moves them.
//! 3. Only this file makes a `Spare`, and each lives for one call only: none can take another one's place.

use socket2::SockRef;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;

/// The spare part of a read buffer, while it is filled.
pub struct Spare<'a> {
    room: &'a mut [MaybeUninit<u8>],
    filled: usize,
}

impl Spare<'_> {
    /// Bytes that it has room for.
    pub fn remaining(&self) -> usize {
        self.room.len() - self.filled
    }

    /// Reads once from a socket.
    ///
    /// # Errors
    /// The OS's own; nothing was read then.
    #[inline]
    pub fn receive(&mut self, socket: &impl AsFd) -> io::Result<()> {
        self.filled += SockRef::from(socket).recv(&mut self.room[self.filled..])?;
        Ok(())
    }

    /// Takes a copy of as many of these bytes as it has room for; how many.
    pub fn put(&mut self, bytes: &[u8]) -> usize {
        let n = bytes.len().min(self.remaining());
        self.room[self.filled..self.filled + n].write_copy_of_slice(&bytes[..n]);
        self.filled += n;
        n
    }
}

/// Lets `fill` put at most `max` bytes into the spare part of tokio's buffer; returns how many it put there.
#[inline]
pub fn into_tokio(
    buffer: &mut tokio::io::ReadBuf<'_>,
    max: usize,
    fill: impl FnOnce(&mut Spare<'_>) -> io::Result<()>,
) -> io::Result<usize> {
    // SAFETY: invariant 2; whoever fills it gets it as memory that may be uninitialised
    let room = unsafe { buffer.unfilled_mut() };
    let want = room.len().min(max);
    let mut spare = Spare { room: &mut room[..want], filled: 0 };
    fill(&mut spare)?;
    let n = spare.filled;
    // SAFETY: invariants 1 and 3: the first `n` bytes of the spare part were written
    unsafe { buffer.assume_init(n) };
    buffer.advance(n);
    Ok(n)
}

/// Lets `fill` put at most `max` bytes into the spare part of hyper's buffer; returns how many it put there. `look` sees
/// and may change them, and says how many of them hyper gets.
#[inline]
pub fn into_hyper(
    buffer: &mut hyper::rt::ReadBufCursor<'_>,
    max: usize,
    fill: impl FnOnce(&mut Spare<'_>) -> io::Result<()>,
    look: impl FnOnce(&mut [u8]) -> usize,
) -> io::Result<usize> {
    // SAFETY: invariant 2: `fill` and `look` write bytes only
    let room = unsafe { buffer.as_mut() };
    let want = room.len().min(max);
    let mut spare = Spare { room: &mut room[..want], filled: 0 };
    fill(&mut spare)?;
    let n = spare.filled;
    // SAFETY: invariants 1 and 3: the first `n` bytes were written
    let passed = look(unsafe { room[..n].assume_init_mut() }).min(n);
    // SAFETY: invariant 1
    unsafe { buffer.advance(passed) };
    Ok(n)
}
