//! A mio socket, with or without TLS on it, as the read and write types that `h2` and `hyper` ask for.
//!
//! Does not know: protocols above, addresses, which destination it serves.
//!
//! ```text
//!  h2, hyper ─► Stream ─► TlsSession (rustls: records) ─► Wire (socket, readiness, one turn's share)
//!                  └────────── without TLS ───────────►
//! ```
//!
//! Invariants:
//! 1. Readiness is edge-triggered: it is kept until the socket says `WouldBlock`.
//! 2. After `READ_TURN_BYTES` in one turn, or `WRITE_TURN_BYTES` out, a stream pretends to be blocked and asks for
//!    another turn, so that neither a flooding server (T19) nor a fast one keeps the loop. Until a stream is handed over
//!    its budget is never renewed: a handshake of more bytes than that does not come to its end.
//! 3. A session takes more to send only after what it has was written: it holds one buffer of records at most.
//!
//! Progress: never blocks, registers no waker: the deliver thread polls again when the socket has an event.

use std::cell::Cell;
use std::io::{self, Read as _, Write as _};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use mio::net::TcpStream;
use tokio::io::ReadBuf;

use super::tls::{self, Tls};
use super::why::Why;
use crate::limits::{KIB, READ_TURN_BYTES, WRITE_TURN_BYTES};

/// Scratch for reads into buffers that are not initialised.
const SCRATCH_BYTES: usize = 16 * KIB;

const OTHER_PROTOCOL_REMEDY: &str = "check that the destination runs, and the port: OTLP/gRPC, OTLP/HTTP and each with TLS \
                                     (otlp-grpcs://, otlp-https://) are told apart in --out; the data is kept";

/// A socket's readiness, shared between the stream inside a connection and the loop that sees events.
#[derive(Default)]
pub(super) struct Ready {
    read: Cell<bool>,
    write: Cell<bool>,
    turn_bytes: Cell<usize>,
    turn_written: Cell<usize>,
    starved: Cell<bool>,
    /// Bytes read since connecting; tells a silent peer from a slow one.
    pub(super) read_bytes: Cell<u64>,
    /// What to do about the error that TLS ended with: `h2` and `hyper` keep an error's words alone.
    pub(super) remedy: Cell<Option<&'static str>>,
}

impl Ready {
    /// The loop saw an event for this socket.
    pub(super) fn on_event(&self, event: &mio::event::Event) {
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            self.read.set(true);
        }
        if event.is_writable() || event.is_write_closed() || event.is_error() {
            self.write.set(true);
        }
    }

    /// A new turn begins; true if the last one ended for want of budget.
    pub(super) fn new_turn(&self) -> bool {
        self.turn_bytes.set(0);
        self.turn_written.set(0);
        self.starved.replace(false)
    }

    /// The stream has more to read or write, but its turn is over.
    pub(super) fn is_starved(&self) -> bool {
        self.starved.get()
    }

    /// `what` with what to do about it, if TLS, or the silence of the other side, tells.
    pub(super) fn why(&self, what: String) -> Why {
        let silent = (self.read_bytes.get() == 0).then_some(OTHER_PROTOCOL_REMEDY);
        Why { what, remedy: self.remedy.get().or(silent) }
    }

    /// The same where what came is not the protocol that was spoken.
    pub(super) fn why_foreign(&self, what: String) -> Why {
        Why { what, remedy: self.remedy.get().or(Some(OTHER_PROTOCOL_REMEDY)) }
    }
}

/// The socket.
struct Wire {
    socket: TcpStream,
    ready: Rc<Ready>,
}

impl Wire {
    fn read(&mut self, into: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            if !self.ready.read.get() {
                return Poll::Pending;
            }
            if self.ready.turn_bytes.get() >= READ_TURN_BYTES {
                self.ready.starved.set(true);
                return Poll::Pending;
            }
            match self.socket.read(into) {
                Ok(n) => {
                    self.ready.turn_bytes.set(self.ready.turn_bytes.get() + n);
                    self.ready.read_bytes.set(self.ready.read_bytes.get() + n as u64);
                    return Poll::Ready(Ok(n));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.ready.read.set(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn write(&mut self, mut call: impl FnMut(&mut TcpStream) -> io::Result<usize>) -> Poll<io::Result<usize>> {
        loop {
            if !self.ready.write.get() {
                return Poll::Pending;
            }
            if self.ready.turn_written.get() >= WRITE_TURN_BYTES {
                self.ready.starved.set(true);
                return Poll::Pending;
            }
            match call(&mut self.socket) {
                Ok(n) => {
                    self.ready.turn_written.set(self.ready.turn_written.get() + n);
                    return Poll::Ready(Ok(n));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.ready.write.set(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

/// The socket as rustls reads and writes it: `Pending` is `WouldBlock`.
struct Blocking<'a>(&'a mut Wire);

fn or_would_block(poll: Poll<io::Result<usize>>) -> io::Result<usize> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl io::Read for Blocking<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        or_would_block(self.0.read(into))
    }
}

impl io::Write for Blocking<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        or_would_block(self.0.write(|socket| socket.write(bytes)))
    }

    fn write_vectored(&mut self, bytes: &[io::IoSlice<'_>]) -> io::Result<usize> {
        or_would_block(self.0.write(|socket| socket.write_vectored(bytes)))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `WouldBlock` as `Pending`.
fn or_pending<T>(result: io::Result<T>) -> Poll<io::Result<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        result => Poll::Ready(result),
    }
}

/// TLS on a wire.
struct TlsSession {
    tls: Box<rustls::ClientConnection>,
    authority: String,
    /// How it was begun.
    config: Tls,
    /// The server has said something in the protocol above.
    was_heard: bool,
}

impl TlsSession {
    /// Writes all records there are.
    fn flush(&mut self, wire: &mut Wire) -> Poll<io::Result<()>> {
        while self.tls.wants_write() {
            match ready!(or_pending(self.tls.write_tls(&mut Blocking(wire)))) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(error) => {
                    // a server that refuses us closes at once; why it did may have come before
                    if let Poll::Ready(Err(told)) = self.fill(wire) {
                        return Poll::Ready(Err(told));
                    }
                    return Poll::Ready(Err(error));
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Takes in records, one read of the socket; the number of bytes read.
    fn fill(&mut self, wire: &mut Wire) -> Poll<io::Result<usize>> {
        let n = ready!(or_pending(self.tls.read_tls(&mut Blocking(wire))))?;
        if let Err(error) = self.tls.process_new_packets() {
            // the alert for the other side, if the socket takes it
            let _ = self.tls.write_tls(&mut Blocking(wire));
            let why = tls::why(&error, &self.authority);
            wire.ready.remedy.set(why.remedy);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, why.what)));
        }
        Poll::Ready(Ok(n))
    }

    fn read(&mut self, wire: &mut Wire, into: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            match or_pending(self.tls.reader().read(into)) {
                Poll::Pending => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.cut_off(wire, error))),
                Poll::Ready(Ok(n)) => {
                    self.was_heard |= n > 0;
                    return Poll::Ready(Ok(n));
                }
            }
            // what the protocol itself has to say
            if let Poll::Ready(Err(error)) = self.flush(wire) {
                return Poll::Ready(Err(self.cut_off(wire, error)));
            }
            match ready!(self.fill(wire)) {
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(self.cut_off(wire, error))),
            }
        }
    }

    fn write(
        &mut self,
        wire: &mut Wire,
        mut call: impl FnMut(&mut dyn io::Write) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        if let Err(error) = ready!(self.flush(wire)) {
            return Poll::Ready(Err(self.cut_off(wire, error)));
        }
        let n = call(&mut self.tls.writer())?;
        match self.flush(wire) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(self.cut_off(wire, error))),
            _ => Poll::Ready(Ok(n)),
        }
    }

    /// An end without an alert, in words; a server that never said anything may have had a reason.
    fn cut_off(&self, wire: &Wire, error: io::Error) -> io::Error {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        if !matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof) {
            return error;
        }
        if !self.was_heard && wire.ready.remedy.get().is_none() {
            wire.ready.remedy.set(Some(self.config.silence_remedy()));
        }
        io::Error::new(
            error.kind(),
            format!("{} cut off the connection, which TLS does not end like this", self.authority),
        )
    }

    fn handshake(&mut self, wire: &mut Wire) -> Poll<Result<(), Why>> {
        loop {
            let moved = match self.flush(wire) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if !self.tls.is_handshaking() => return Poll::Ready(self.agreed()),
                Poll::Ready(Ok(())) => ready!(self.fill(wire)),
                Poll::Ready(Err(error)) => Err(error),
            };
            let error = match moved {
                Ok(0) => io::ErrorKind::UnexpectedEof.into(),
                Ok(_) => continue,
                Err(error) => error,
            };
            return Poll::Ready(Err(match wire.ready.remedy.get() {
                Some(_) => wire.ready.why(error.to_string()),
                None => tls::broken_off(&error, &self.authority),
            }));
        }
    }

    /// HTTP/2 is spoken only where it was agreed on.
    fn agreed(&self) -> Result<(), Why> {
        if self.config.needs_http2() && self.tls.alpn_protocol() != Some(b"h2") {
            return Err(tls::no_http2(&self.authority));
        }
        Ok(())
    }
}

/// A connected (or connecting) socket.
pub(super) struct Stream {
    wire: Wire,
    session: Option<TlsSession>,
}

impl Stream {
    pub(super) fn new(socket: TcpStream) -> Self {
        Stream { wire: Wire { socket, ready: Rc::new(Ready::default()) }, session: None }
    }

    /// Its readiness, for the loop.
    pub(super) fn ready(&self) -> &Rc<Ready> {
        &self.wire.ready
    }

    /// TLS is spoken from now on.
    pub(super) fn begin_tls(&mut self, tls: &Tls, host: &str, authority: String) -> Result<(), String> {
        let session = Box::new(tls.session(host)?);
        self.session = Some(TlsSession { tls: session, authority, config: tls.clone(), was_heard: false });
        Ok(())
    }

    /// TLS has begun.
    pub(super) fn is_secure(&self) -> bool {
        self.session.is_some()
    }

    /// Goes on with the handshake of TLS; at once over without it.
    pub(super) fn poll_handshake(&mut self) -> Poll<Result<(), Why>> {
        match &mut self.session {
            Some(session) => session.handshake(&mut self.wire),
            None => Poll::Ready(Ok(())),
        }
    }

    /// Whether the socket has connected.
    pub(super) fn poll_connected(&self) -> Poll<io::Result<()>> {
        let Wire { socket, ready } = &self.wire;
        if !ready.write.get() {
            return Poll::Pending;
        }
        if let Some(error) = socket.take_error()? {
            return Poll::Ready(Err(error));
        }
        match socket.peer_addr() {
            Ok(_) => {
                socket.set_nodelay(true)?;
                Poll::Ready(Ok(()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                ready.write.set(false);
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn read(&mut self, into: &mut [u8]) -> Poll<io::Result<usize>> {
        match &mut self.session {
            Some(session) => session.read(&mut self.wire, into),
            None => self.wire.read(into),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.session {
            Some(session) => session.write(&mut self.wire, |writer| writer.write(bytes)),
            None => self.wire.write(|socket| socket.write(bytes)),
        }
    }

    fn write_vectored(&mut self, bytes: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match &mut self.session {
            Some(session) => session.write(&mut self.wire, |writer| writer.write_vectored(bytes)),
            None => self.wire.write(|socket| socket.write_vectored(bytes)),
        }
    }

    fn flush(&mut self) -> Poll<io::Result<()>> {
        match &mut self.session {
            Some(session) => session.flush(&mut self.wire),
            None => Poll::Ready(Ok(())),
        }
    }

    fn shutdown(&mut self) -> Poll<io::Result<()>> {
        if let Some(session) = &mut self.session {
            session.tls.send_close_notify();
            ready!(session.flush(&mut self.wire))?;
        }
        Poll::Ready(self.wire.socket.shutdown(std::net::Shutdown::Write))
    }
}

impl tokio::io::AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let n = ready!(self.read(buf.initialize_unfilled()))?;
        buf.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl hyper::rt::Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut buf: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut scratch = [0; SCRATCH_BYTES];
        let room = buf.remaining().min(SCRATCH_BYTES);
        let n = ready!(self.read(&mut scratch[..room]))?;
        buf.put_slice(&scratch[..n]);
        Poll::Ready(Ok(()))
    }
}

/// The two traits have the same methods.
macro_rules! writes {
    ($($of:tt)*) => {
        impl $($of)* for Stream {
            fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
                self.write(buf)
            }

            fn poll_write_vectored(
                mut self: Pin<&mut Self>,
                _: &mut Context<'_>,
                bufs: &[io::IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                self.write_vectored(bufs)
            }

            fn is_write_vectored(&self) -> bool {
                true
            }

            fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.flush()
            }

            fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.shutdown()
            }
        }
    };
}

writes!(tokio::io::AsyncWrite);
writes!(hyper::rt::Write);
