//! A network in memory: listeners, sockets and events without an operating system, for runs in one thread.
//!
//! What happens is decided by who calls, in the order in which they call, so that the same calls give the same run. Time
//! does not pass here. Each direction of a connection holds at most so many bytes as the network was made with, which is
//! how a peer that does not read is played.
#![allow(dead_code)]

use catchment::net::network::{Network, Readiness, Socket};
use catchment::sync::spare::Spare;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, ErrorKind::WouldBlock};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// One direction of a connection.
#[derive(Default)]
struct Pipe {
    bytes: VecDeque<u8>,
    /// Who writes has said that nothing more comes, or is gone.
    is_ended: bool,
    /// Who reads is gone.
    is_deaf: bool,
}

/// A connection, seen from both sides.
#[derive(Default)]
struct Connection {
    /// From the client to the server.
    up: RefCell<Pipe>,
    /// From the server to the client.
    down: RefCell<Pipe>,
    /// The server's token.
    token: Cell<Option<usize>>,
    /// Something happened that the server's token has to be told.
    is_news: Cell<bool>,
}

/// Connections that wait at one address.
struct Waiting {
    address: SocketAddr,
    queue: VecDeque<(Rc<Connection>, IpAddr)>,
    token: Option<usize>,
    is_news: bool,
}

struct State {
    pipe_bytes_max: usize,
    listeners: Vec<Rc<RefCell<Waiting>>>,
    watched: Vec<Rc<Connection>>,
}

/// The network; clones are the same one.
#[derive(Clone)]
pub struct MemoryNetwork(Rc<RefCell<State>>);

impl MemoryNetwork {
    /// A network whose connections hold so many bytes in each direction.
    pub fn new(pipe_bytes_max: usize) -> MemoryNetwork {
        MemoryNetwork(Rc::new(RefCell::new(State { pipe_bytes_max, listeners: Vec::new(), watched: Vec::new() })))
    }

    /// Listens at an address.
    pub fn listen(&self, address: &str) -> MemoryListener {
        let address = address.parse().expect("an address");
        let waiting = Waiting { address, queue: VecDeque::new(), token: None, is_news: false };
        let waiting = Rc::new(RefCell::new(waiting));
        self.0.borrow_mut().listeners.push(Rc::clone(&waiting));
        MemoryListener(waiting)
    }

    /// Connects `peer` to the listener at an address; it waits there until it is accepted.
    pub fn connect(&self, address: &str, peer: &str) -> MemoryClient {
        let address: SocketAddr = address.parse().expect("an address");
        let state = self.0.borrow();
        let listener = state.listeners.iter().find(|waiting| waiting.borrow().address == address);
        let mut waiting = listener.expect("somebody listens there").borrow_mut();
        let connection = Rc::new(Connection::default());
        waiting.queue.push_back((Rc::clone(&connection), peer.parse().expect("an address")));
        waiting.is_news = true;
        MemoryClient { connection, pipe_bytes_max: state.pipe_bytes_max }
    }

    /// What happened since the last call, in the order in which listeners and connections were watched.
    pub fn events(&self) -> Vec<Readiness> {
        let mut state = self.0.borrow_mut();
        // a connection that both sides have left is held by this list alone
        state.watched.retain(|connection| Rc::strong_count(connection) > 1);
        let mut events = Vec::new();
        for waiting in &state.listeners {
            let mut waiting = waiting.borrow_mut();
            if let Some(token) = waiting.token
                && std::mem::take(&mut waiting.is_news)
            {
                events.push(Readiness { token, readable: true, ..Readiness::default() });
            }
        }
        for connection in &state.watched {
            if let Some(token) = connection.token.get()
                && connection.is_news.take()
            {
                let (up, down) = (connection.up.borrow(), connection.down.borrow());
                let readable = !up.bytes.is_empty() || up.is_ended;
                let writable = down.bytes.len() < state.pipe_bytes_max || down.is_deaf;
                events.push(Readiness { token, readable, writable, ended: up.is_ended });
            }
        }
        events
    }
}

impl Network for MemoryNetwork {
    type Listener = MemoryListener;
    type Socket = MemorySocket;

    fn watch_listener(&self, listener: &mut MemoryListener, token: usize) -> io::Result<()> {
        listener.0.borrow_mut().token = Some(token);
        Ok(())
    }

    fn watch(&self, socket: &mut MemorySocket, token: usize) -> io::Result<()> {
        let connection = &socket.connection;
        connection.token.set(Some(token));
        // as with epoll: what is ready already is told first
        connection.is_news.set(true);
        self.0.borrow_mut().watched.push(Rc::clone(connection));
        Ok(())
    }

    fn accept(&self, listener: &MemoryListener) -> io::Result<(MemorySocket, IpAddr)> {
        let (connection, peer) = listener.0.borrow_mut().queue.pop_front().ok_or(WouldBlock)?;
        Ok((MemorySocket { connection, pipe_bytes_max: self.0.borrow().pipe_bytes_max }, peer))
    }

    fn address(&self, listener: &MemoryListener) -> io::Result<SocketAddr> {
        Ok(listener.0.borrow().address)
    }
}

/// A listener. When it is dropped, those that wait are cut off.
pub struct MemoryListener(Rc<RefCell<Waiting>>);

impl Drop for MemoryListener {
    fn drop(&mut self) {
        let mut waiting = self.0.borrow_mut();
        waiting.token = None;
        for (connection, _) in waiting.queue.drain(..) {
            connection.up.borrow_mut().is_deaf = true;
            connection.down.borrow_mut().is_ended = true;
        }
    }
}

fn read(pipe: &mut Pipe, take: impl FnOnce(&[u8]) -> usize) -> io::Result<usize> {
    match (pipe.bytes.is_empty(), pipe.is_ended) {
        (true, true) => Ok(0),
        (true, false) => Err(WouldBlock.into()),
        (false, _) => Ok(take(pipe.bytes.make_contiguous())),
    }
}

fn write(pipe: &mut Pipe, bytes: &[u8], bytes_max: usize) -> io::Result<usize> {
    if pipe.is_deaf {
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    let n = bytes.len().min(bytes_max - pipe.bytes.len());
    if n == 0 && !bytes.is_empty() {
        return Err(WouldBlock.into());
    }
    pipe.bytes.extend(&bytes[..n]);
    Ok(n)
}

/// The server's side of a connection.
pub struct MemorySocket {
    connection: Rc<Connection>,
    pipe_bytes_max: usize,
}

impl Socket for MemorySocket {
    fn peek(&self, bytes: &mut [u8]) -> io::Result<usize> {
        read(&mut self.connection.up.borrow_mut(), |there| {
            let n = there.len().min(bytes.len());
            bytes[..n].copy_from_slice(&there[..n]);
            n
        })
    }

    fn receive(&self, spare: &mut Spare<'_>) -> io::Result<()> {
        let mut up = self.connection.up.borrow_mut();
        let n = read(&mut up, |there| spare.put(there))?;
        up.bytes.drain(..n);
        Ok(())
    }

    fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        write(&mut self.connection.down.borrow_mut(), bytes, self.pipe_bytes_max)
    }

    fn end_sending(&self) -> io::Result<()> {
        self.connection.down.borrow_mut().is_ended = true;
        Ok(())
    }
}

impl Drop for MemorySocket {
    fn drop(&mut self) {
        self.connection.token.set(None);
        self.connection.up.borrow_mut().is_deaf = true;
        self.connection.down.borrow_mut().is_ended = true;
    }
}

/// The client's side of a connection.
pub struct MemoryClient {
    connection: Rc<Connection>,
    pipe_bytes_max: usize,
}

impl MemoryClient {
    /// Writes as many bytes as there is room for.
    ///
    /// # Errors
    /// `WouldBlock` when there is none; `BrokenPipe` when the server is gone.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = write(&mut self.connection.up.borrow_mut(), bytes, self.pipe_bytes_max)?;
        self.connection.is_news.set(true);
        Ok(n)
    }

    /// Reads what is there, at most so many bytes; none at the end.
    ///
    /// # Errors
    /// `WouldBlock` when nothing came.
    pub fn read(&mut self, bytes_max: usize) -> io::Result<Vec<u8>> {
        let mut down = self.connection.down.borrow_mut();
        let n = read(&mut down, |there| there.len().min(bytes_max))?;
        self.connection.is_news.set(true);
        Ok(down.bytes.drain(..n).collect())
    }

    /// Says that nothing more comes.
    pub fn end_sending(&mut self) {
        self.connection.up.borrow_mut().is_ended = true;
        self.connection.is_news.set(true);
    }
}

impl Drop for MemoryClient {
    fn drop(&mut self) {
        self.end_sending();
        self.connection.down.borrow_mut().is_deaf = true;
    }
}

fn or_pending<T>(result: io::Result<T>) -> Poll<io::Result<T>> {
    match result {
        Err(fault) if fault.kind() == WouldBlock => Poll::Pending,
        result => Poll::Ready(result),
    }
}

/// No waker is kept: who drives a client polls it again after each turn of the server.
impl tokio::io::AsyncRead for MemoryClient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        or_pending(self.read(buffer.remaining())).map_ok(|bytes| buffer.put_slice(&bytes))
    }
}

impl tokio::io::AsyncWrite for MemoryClient {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        or_pending(self.write(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.end_sending();
        Poll::Ready(Ok(()))
    }
}

/// Polls a future once, with a waker that does nothing.
pub fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}
