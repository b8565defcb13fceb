//! One non-blocking socket as `h2` (tokio's traits) and `hyper` (its own) want to see it.
//!
//! Does not know protocols beyond the first three bytes, and never blocks. A `Wire` is shared by the session, which
//! reads and writes through a `Transport`, and its owner, which tells it of readiness and time.
//!
//! Invariants:
//! 1. `readable` stays until the socket is empty: `WouldBlock`, or a read shorter than asked for with no end of stream
//!    announced (epoll(7), "Do I need to continuously read", 9).
//! 2. In one turn at most the granted bytes are read; what is left makes the wire *hungry* and its owner comes back.
//! 3. Small writes are corked until `flush_out`, so that all answers of one turn leave in one system call. At most
//!    `limits::CORK_BYTES` wait there; then a write goes to the socket or waits for it.
//! 4. After a flood nothing more is read.
//! 5. hyper gets no byte of a head, or of a chunk's frame, that `heads` refuses.
//!
//! Bounds: `limits::CORK_BYTES` a connection, given back when it is idle; one scratch buffer a shard.
//! Reading goes straight into the session's buffer (`sync::spare`); the scratch is for what is thrown away.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::frames::{Flood, FrameMeter};
use super::heads::{HeadMeter, POISON};
use super::network::{Readiness, Socket};
use crate::limits;
use crate::model::Peer;
use crate::sync::spare;

/// The read buffer that all wires of a shard share.
#[derive(Clone)]
pub struct ReadScratch(Rc<RefCell<Box<[u8]>>>);

impl Default for ReadScratch {
    fn default() -> Self {
        ReadScratch(Rc::new(RefCell::new(vec![0; limits::READ_SCRATCH_BYTES].into_boxed_slice())))
    }
}

/// What the first bytes of a connection say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sniffed {
    /// `PRI`: the client preface of HTTP/2.
    Http2,
    /// Anything else; HTTP/1.1 or rubbish.
    Http1,
    /// `P` or `PR`: not enough bytes yet.
    Unclear,
    /// Nothing came yet.
    Nothing,
    /// The peer has left.
    Closed,
}

/// What throwing bytes away came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discarded {
    /// The peer has finished or failed.
    End,
    /// Nothing more for now.
    Empty,
    /// The bound was reached.
    More,
}

/// One socket with its readiness.
pub struct Wire<S> {
    socket: S,
    peer: Peer,
    scratch: ReadScratch,
    readable: Cell<bool>,
    writable: Cell<bool>,
    end_announced: Cell<bool>,
    turn_left: Cell<usize>,
    hungry: Cell<bool>,
    now_ns: Cell<u64>,
    bytes_in: Cell<u64>,
    bytes_out: Cell<u64>,
    turn_out: Cell<usize>,
    out: RefCell<Vec<u8>>,
    write_blocked_since_ns: Cell<u64>,
    meter: RefCell<Option<Box<FrameMeter>>>,
    heads: RefCell<HeadMeter>,
    /// Bytes of `POISON` that hyper got; `None` while nothing was refused.
    poisoned: Cell<Option<usize>>,
    flood: Cell<Option<Flood>>,
}

impl<S: Socket> Wire<S> {
    /// Wraps a connected, non-blocking socket.
    pub fn new(socket: S, scratch: ReadScratch, peer: Peer) -> Self {
        Wire {
            socket,
            peer,
            scratch,
            readable: Cell::new(false),
            writable: Cell::new(true),
            end_announced: Cell::new(false),
            turn_left: Cell::new(0),
            hungry: Cell::new(false),
            now_ns: Cell::new(0),
            bytes_in: Cell::new(0),
            bytes_out: Cell::new(0),
            turn_out: Cell::new(0),
            out: RefCell::new(Vec::new()),
            write_blocked_since_ns: Cell::new(0),
            meter: RefCell::new(None),
            heads: RefCell::default(),
            poisoned: Cell::new(None),
            flood: Cell::new(None),
        }
    }

    /// Who is at the other end.
    pub const fn peer(&self) -> Peer {
        self.peer
    }

    /// The socket, so that its network watches it.
    pub fn socket_mut(&mut self) -> &mut S {
        &mut self.socket
    }

    /// Takes what one event says.
    pub fn on_event(&self, event: Readiness) {
        if event.ended {
            self.end_announced.set(true);
        }
        if event.readable {
            self.readable.set(true);
        }
        if event.writable {
            self.writable.set(true);
        }
    }

    /// Begins a turn of at most `bytes_max` read bytes.
    pub fn begin_turn(&self, bytes_max: usize, now_ns: u64) {
        self.turn_left.set(bytes_max);
        self.turn_out.set(0);
        self.hungry.set(false);
        self.now_ns.set(now_ns.max(1));
    }

    /// Whether the turn ended with something left to do.
    pub fn is_hungry(&self) -> bool {
        self.hungry.get()
    }

    /// Asks for another turn.
    pub fn set_hungry(&self) {
        self.hungry.set(true);
    }

    /// Bytes read so far.
    pub fn bytes_in(&self) -> u64 {
        self.bytes_in.get()
    }

    /// Bytes written so far, corked ones included.
    pub fn bytes_out(&self) -> u64 {
        self.bytes_out.get()
    }

    /// Bytes written in this turn.
    pub fn turn_out(&self) -> usize {
        self.turn_out.get()
    }

    /// The budget that incoming frames overdrew.
    pub fn flood(&self) -> Option<Flood> {
        self.flood.get()
    }

    /// Since when the peer takes nothing although something waits, nanoseconds.
    pub fn write_blocked_since_ns(&self) -> Option<u64> {
        let since = self.write_blocked_since_ns.get();
        (since != 0).then_some(since)
    }

    /// Since when an HTTP/2 header block is incomplete, nanoseconds.
    pub fn headers_since_ns(&self) -> Option<u64> {
        self.meter.borrow().as_ref().and_then(|meter| meter.headers_since_ns())
    }

    /// When the HTTP/2 frame that is still incomplete began, nanoseconds.
    pub(crate) fn frame_since_ns(&self) -> Option<u64> {
        self.meter.borrow().as_ref().and_then(|meter| meter.frame_since_ns())
    }

    /// Whether the HTTP/1.1 head that was refused last has a target that is too long.
    pub fn is_target_long(&self) -> bool {
        self.heads.borrow().is_target_long()
    }

    /// Looks at the first bytes without taking them.
    pub fn sniff(&self) -> Sniffed {
        let mut first = [0u8; 3];
        match self.socket.peek(&mut first) {
            Ok(0) => Sniffed::Closed,
            Ok(n) if first[..n] != b"PRI"[..n] => Sniffed::Http1,
            Ok(3) => {
                *self.meter.borrow_mut() = Some(Box::default());
                Sniffed::Http2
            }
            // more will not come
            Ok(_) if self.end_announced.get() => Sniffed::Closed,
            Ok(_) => Sniffed::Unclear,
            Err(fault) if is_retry(&fault) => Sniffed::Nothing,
            Err(_) => Sniffed::Closed,
        }
    }

    /// Reads and throws away at most `bytes_max`.
    pub fn discard(&self, bytes_max: usize) -> Discarded {
        let mut left = bytes_max;
        while left > 0 {
            let mut scratch = self.scratch.0.borrow_mut();
            let want = left.min(scratch.len());
            let mut buffer = tokio::io::ReadBuf::new(&mut scratch[..want]);
            match spare::into_tokio(&mut buffer, want, |spare| self.socket.receive(spare)) {
                Ok(0) => return Discarded::End,
                Ok(n) => left -= n,
                Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
                Err(fault) if fault.kind() == io::ErrorKind::WouldBlock => return Discarded::Empty,
                Err(_) => return Discarded::End,
            }
        }
        Discarded::More
    }

    /// Writes what is corked. `Ok(true)` when nothing is left.
    ///
    /// # Errors
    /// The socket's own; the connection is of no more use.
    pub fn flush_out(&self) -> io::Result<bool> {
        let mut out = self.out.borrow_mut();
        let mut sent = 0;
        while sent < out.len() {
            match self.write_now(&out[sent..]) {
                Poll::Ready(Ok(n)) => sent += n,
                Poll::Ready(Err(fault)) => return Err(fault),
                Poll::Pending => break,
            }
        }
        out.drain(..sent);
        if out.is_empty() && out.capacity() > limits::CORK_KEPT_BYTES {
            *out = Vec::new();
        }
        Ok(out.is_empty())
    }

    /// Lets `change` see what is corked, and write more.
    pub fn amend(&self, change: impl FnOnce(&mut Vec<u8>)) {
        let mut out = self.out.borrow_mut();
        let before = out.len();
        change(&mut out);
        self.bytes_out.set(self.bytes_out.get() + out.len().saturating_sub(before) as u64);
    }

    /// Whether the socket takes nothing for now.
    pub fn is_write_blocked(&self) -> bool {
        !self.writable.get()
    }

    /// Whether nothing waits to be written.
    pub fn is_flushed(&self) -> bool {
        self.out.borrow().is_empty()
    }

    /// Says to the peer that nothing more will come.
    pub fn shutdown_write(&self) {
        // A peer that is gone already is the usual failure, and the socket is closed soon after.
        let _ = self.socket.end_sending();
    }

    /// Reads once with `recv`, which is given the most it may take; the number of bytes, 0 at the end.
    fn read(&self, room: usize, mut recv: impl FnMut(usize) -> io::Result<usize>) -> Poll<io::Result<usize>> {
        if !self.readable.get() || self.flood.get().is_some() {
            return Poll::Pending;
        }
        if self.turn_left.get() == 0 {
            self.hungry.set(true);
            return Poll::Pending;
        }
        let want = room.min(self.turn_left.get());
        if want == 0 {
            return Poll::Ready(Ok(0));
        }
        let n = loop {
            match recv(want) {
                Ok(n) => break n,
                Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
                Err(fault) if fault.kind() == io::ErrorKind::WouldBlock => {
                    self.readable.set(false);
                    return Poll::Pending;
                }
                Err(fault) => return Poll::Ready(Err(fault)),
            }
        };
        if n > 0 && n < want && !self.end_announced.get() {
            self.readable.set(false);
        }
        self.turn_left.set(self.turn_left.get() - n);
        self.bytes_in.set(self.bytes_in.get() + n as u64);
        Poll::Ready(Ok(n))
    }

    /// Looks at the frames in what was read; `false` when it is a flood.
    fn meter(&self, bytes: &[u8]) -> bool {
        if let Some(meter) = self.meter.borrow_mut().as_mut()
            && let Err(flood) = meter.feed(bytes, self.now_ns.get())
        {
            self.flood.set(Some(flood));
            return false;
        }
        true
    }

    fn write(&self, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let waiting = self.out.borrow().len();
        let written = if waiting + bytes.len() <= limits::CORK_BYTES {
            self.out.borrow_mut().extend_from_slice(bytes);
            Poll::Ready(Ok(bytes.len()))
        } else {
            match self.flush_out() {
                Ok(true) => self.write_now(bytes),
                Ok(false) => Poll::Pending,
                Err(fault) => Poll::Ready(Err(fault)),
            }
        };
        if let Poll::Ready(Ok(n)) = written {
            self.bytes_out.set(self.bytes_out.get() + n as u64);
            self.turn_out.set(self.turn_out.get() + n);
        }
        written
    }

    fn write_now(&self, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if !self.writable.get() {
            return Poll::Pending;
        }
        loop {
            match self.socket.send(bytes) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(n) => {
                    self.write_blocked_since_ns.set(0);
                    return Poll::Ready(Ok(n));
                }
                Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
                Err(fault) if fault.kind() == io::ErrorKind::WouldBlock => {
                    self.writable.set(false);
                    if self.write_blocked_since_ns.get() == 0 {
                        self.write_blocked_since_ns.set(self.now_ns.get());
                    }
                    return Poll::Pending;
                }
                Err(fault) => return Poll::Ready(Err(fault)),
            }
        }
    }
}

fn is_retry(fault: &io::Error) -> bool {
    matches!(fault.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// The side of a `Wire` that a session owns.
pub struct Transport<S>(pub Rc<Wire<S>>);

impl<S: Socket> tokio::io::AsyncRead for Transport<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match self
            .0
            .read(buffer.remaining(), |max| spare::into_tokio(buffer, max, |spare| self.0.socket.receive(spare)))
        {
            Poll::Ready(Ok(_)) if self.0.meter(&buffer.filled()[before..]) => Poll::Ready(Ok(())),
            Poll::Ready(Ok(_)) => {
                // a flood: what came is not passed on, the session is closed
                buffer.set_filled(before);
                Poll::Pending
            }
            Poll::Ready(Err(fault)) => Poll::Ready(Err(fault)),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: Socket> tokio::io::AsyncWrite for Transport<S> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.write(bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        write_first(&self.0, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl<S: Socket> hyper::rt::Read for Transport<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut buffer: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let room = buffer.remaining();
        if let Some(given) = self.0.poisoned.get() {
            // behind the poison comes the end
            let rest = &POISON[given..];
            let rest = &rest[..rest.len().min(room)];
            buffer.put_slice(rest);
            self.0.poisoned.set(Some(given + rest.len()));
            return Poll::Ready(Ok(()));
        }
        let look = |bytes: &mut [u8]| match self.0.heads.borrow_mut().feed(bytes) {
            Ok(()) => bytes.len(),
            Err(at) => {
                // hyper refuses the message by itself here, with an answer in its place
                let room = &mut bytes[at..];
                let n = room.len().min(POISON.len());
                room[..n].copy_from_slice(&POISON[..n]);
                self.0.poisoned.set(Some(n));
                at + n
            }
        };
        self.0
            .read(room, |max| spare::into_hyper(&mut buffer, max, |spare| self.0.socket.receive(spare), look))
            .map_ok(drop)
    }
}

impl<S: Socket> hyper::rt::Write for Transport<S> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.write(bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        write_first(&self.0, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Writes slices one after the other until one is not taken whole: they mostly end in the cork anyway.
fn write_first<S: Socket>(wire: &Wire<S>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
    let mut total = 0;
    for slice in slices.iter().filter(|slice| !slice.is_empty()) {
        match wire.write(slice) {
            Poll::Ready(Ok(n)) => {
                total += n;
                if n < slice.len() {
                    break;
                }
            }
            Poll::Ready(Err(fault)) if total == 0 => return Poll::Ready(Err(fault)),
            Poll::Pending if total == 0 => return Poll::Pending,
            _ => break,
        }
    }
    Poll::Ready(Ok(total))
}
