//! A mio socket as the read and write types that `h2` and `hyper` ask for, the way to get one, and the names behind it.
//!
//! Does not know: protocols, retries, which destination it serves.
//!
//! Invariants:
//! 1. Readiness is edge-triggered: it is kept until the socket says `WouldBlock`.
//! 2. After `READ_TURN_BYTES` in one turn, or `WRITE_TURN_BYTES` out, a stream pretends to be blocked and asks for
//!    another turn, so that neither a flooding server (T19) nor a fast one keeps the loop.
//! 3. Name resolution blocks only its own helper thread, one per destination that has a name; old addresses are kept
//!    when it fails. Helper threads end when their destination does, or when the system's resolver returns.
//!
//! Bounds: `ADDRESSES_MAX` addresses per name; one question under way per name.

use std::cell::Cell;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crossbeam::queue::ArrayQueue;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use tokio::io::ReadBuf;

use super::destination::Endpoint;
use super::queue::PollBell;
use crate::limits::{KIB, READ_TURN_BYTES, WRITE_TURN_BYTES};

/// Addresses kept of one name.
const ADDRESSES_MAX: usize = 16;
/// A name is asked for again when a connection is made and the answer is older than this.
const NAME_FRESH: Duration = Duration::from_secs(30);
/// Scratch for reads into buffers that are not initialised.
const SCRATCH_BYTES: usize = 16 * KIB;

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
}

/// A connected (or connecting) socket.
pub(super) struct Stream {
    socket: TcpStream,
    ready: Rc<Ready>,
}

impl Stream {
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

impl tokio::io::AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let n = ready!(self.read(buf.initialize_unfilled()))?;
        buf.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl tokio::io::AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.write(|socket| socket.write(buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(|socket| socket.write_vectored(bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.socket.shutdown(std::net::Shutdown::Write))
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

impl hyper::rt::Write for Stream {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.write(|socket| socket.write(buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(|socket| socket.write_vectored(bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.socket.shutdown(std::net::Shutdown::Write))
    }
}

/// The addresses of one endpoint.
pub(super) struct Names {
    endpoint: Endpoint,
    addresses: Vec<SocketAddr>,
    /// Which address the next connection tries first.
    next: usize,
    resolver: Option<Resolver>,
}

struct Resolver {
    questions: mpsc::Sender<()>,
    answers: Arc<ArrayQueue<Result<Vec<SocketAddr>, String>>>,
    asked: bool,
    answered_ns: Option<u64>,
    error: Option<String>,
}

impl Names {
    /// Spawns the helper thread if the endpoint has a name; addresses need none.
    pub(super) fn new(endpoint: &Endpoint, bell: &Arc<PollBell>) -> io::Result<Self> {
        let mut names = Names { endpoint: endpoint.clone(), addresses: Vec::new(), next: 0, resolver: None };
        if let Ok(address) = endpoint.host.parse::<IpAddr>() {
            names.addresses.push(SocketAddr::new(address, endpoint.port));
            return Ok(names);
        }
        let (questions, asked) = mpsc::channel::<()>();
        let answers = Arc::new(ArrayQueue::new(1));
        let (host, port, bell, sink) = (endpoint.host.clone(), endpoint.port, bell.clone(), answers.clone());
        std::thread::Builder::new().name("resolve".into()).spawn(move || {
            while asked.recv().is_ok() {
                let answer = match (host.as_str(), port).to_socket_addrs() {
                    Ok(addresses) => Ok(addresses.take(ADDRESSES_MAX).collect()),
                    Err(error) => Err(error.to_string()),
                };
                sink.force_push(answer);
                bell.ring();
            }
        })?;
        names.resolver = Some(Resolver { questions, answers, asked: false, answered_ns: None, error: None });
        Ok(names)
    }

    /// The addresses to try, or that they are still asked for, or why there are none.
    fn get(&mut self, now_ns: u64) -> Poll<Result<&[SocketAddr], String>> {
        if let Some(resolver) = &mut self.resolver {
            if let Some(answer) = resolver.answers.pop() {
                resolver.asked = false;
                resolver.answered_ns = Some(now_ns);
                match answer {
                    Ok(addresses) if !addresses.is_empty() => {
                        self.addresses = addresses;
                        resolver.error = None;
                    }
                    Ok(_) => resolver.error = Some("the name has no address".to_owned()),
                    Err(error) => resolver.error = Some(error),
                }
                if self.addresses.is_empty() {
                    // told once; the next try asks again
                    resolver.answered_ns = None;
                    let error = resolver.error.take().unwrap_or_default();
                    return Poll::Ready(Err(format!("cannot resolve `{}`: {error}", self.endpoint.host)));
                }
            }
            let fresh = resolver.answered_ns.is_some_and(|at| now_ns.saturating_sub(at) < NAME_FRESH.as_nanos() as u64);
            if !fresh && !resolver.asked {
                // the helper lives as long as this sender
                resolver.asked = resolver.questions.send(()).is_ok();
            }
            if self.addresses.is_empty() {
                return Poll::Pending;
            }
        }
        Poll::Ready(Ok(&self.addresses))
    }
}

/// The way to a connected socket: resolve, connect, next address.
#[derive(Default)]
pub(super) struct Dial {
    connecting: Option<Stream>,
    tried: usize,
    last_error: String,
}

impl Dial {
    /// Goes on; `Ready` with a connected stream and its readiness, or with why no address answered.
    pub(super) fn poll(
        &mut self,
        names: &mut Names,
        registry: &Registry,
        token: Token,
        now_ns: u64,
    ) -> Poll<Result<(Stream, Rc<Ready>), String>> {
        loop {
            if let Some(stream) = self.connecting.take() {
                match connected(&stream) {
                    Poll::Pending => {
                        self.connecting = Some(stream);
                        return Poll::Pending;
                    }
                    Poll::Ready(Ok(())) => {
                        self.tried = 0;
                        let ready = stream.ready.clone();
                        return Poll::Ready(Ok((stream, ready)));
                    }
                    Poll::Ready(Err(error)) => self.fail(names, error),
                }
            }
            let next = names.next;
            let addresses = match ready!(names.get(now_ns)) {
                Ok(addresses) => addresses,
                Err(error) => return Poll::Ready(Err(error)),
            };
            if self.tried >= addresses.len() {
                self.tried = 0;
                return Poll::Ready(Err(std::mem::take(&mut self.last_error)));
            }
            let address = addresses[next % addresses.len()];
            match connect(address, registry, token) {
                Ok(stream) => self.connecting = Some(stream),
                Err(error) => self.fail(names, error),
            }
        }
    }

    fn fail(&mut self, names: &mut Names, error: io::Error) {
        self.last_error = format!("cannot connect to {}: {error}", names.endpoint.authority());
        self.tried += 1;
        names.next = names.next.wrapping_add(1);
    }

    /// Ends a try that took too long; the next one starts with the next address.
    pub(super) fn abandon(&mut self, names: &mut Names) {
        if self.connecting.take().is_some() {
            names.next = names.next.wrapping_add(1);
        }
        self.tried = 0;
    }

    /// The loop saw an event for the socket that is connecting.
    pub(super) fn on_event(&self, event: &mio::event::Event) {
        if let Some(stream) = &self.connecting {
            stream.ready.on_event(event);
        }
    }
}

fn connect(address: SocketAddr, registry: &Registry, token: Token) -> io::Result<Stream> {
    let mut socket = TcpStream::connect(address)?;
    registry.register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
    Ok(Stream { socket, ready: Rc::new(Ready::default()) })
}

fn connected(stream: &Stream) -> Poll<io::Result<()>> {
    if !stream.ready.write.get() {
        return Poll::Pending;
    }
    if let Some(error) = stream.socket.take_error()? {
        return Poll::Ready(Err(error));
    }
    match stream.socket.peer_addr() {
        Ok(_) => {
            stream.socket.set_nodelay(true)?;
            Poll::Ready(Ok(()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotConnected => {
            stream.ready.write.set(false);
            Poll::Pending
        }
        Err(error) => Poll::Ready(Err(error)),
    }
}
