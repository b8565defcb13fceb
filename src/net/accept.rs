//! Listeners: bound without blocking, and alive after the file table was full.
//!
//! Does not know what is served. Invariants: 1. a listener stays ready until `accept` has said `WouldBlock`;
//! 2. when descriptors run out, the one held in reserve is spent to accept and close the connection at the head of the
//! queue, so that it does not wait for an answer that cannot come, and accepting pauses for `limits::ACCEPT_PAUSE_NS`.
//! Bounds: `limits::ACCEPT_BACKLOG` connections wait in the kernel; one reserve descriptor a shard.

use crate::limits;
use crate::model::Peer;
use std::fs::File;
use std::io;
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};

/// Binds a listener, non-blocking, with `SO_REUSEADDR`, and `SO_REUSEPORT` when several shards share the address.
///
/// # Errors
/// The OS's own: address in use, not permitted, not available.
pub fn bind(address: SocketAddr, reuse_port: bool) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(address),
        socket2::Type::STREAM,
        Some(socket2::Protocol::TCP),
    )?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    if reuse_port {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(limits::ACCEPT_BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// What one try to accept gave.
pub enum Accepted {
    /// A connection, non-blocking, with `TCP_NODELAY`.
    Stream(TcpStream, Peer),
    /// Nobody waits.
    Nobody,
    /// The file table is full; come back at this time.
    Pause {
        /// Monotonic nanoseconds.
        until_ns: u64,
    },
}

/// The spare descriptor of a shard.
pub struct Reserve(Option<File>);

impl Reserve {
    /// Takes one descriptor aside.
    ///
    /// # Errors
    /// The OS's own, when there is none left already.
    pub fn new() -> io::Result<Self> {
        Ok(Reserve(Some(File::open("/dev/null")?)))
    }

    /// Accepts one connection.
    pub fn accept(&mut self, listener: &TcpListener, now_ns: u64) -> Accepted {
        for _ in 0..64 {
            match listener.accept() {
                Ok((stream, address)) => {
                    // Nothing is lost without it but time.
                    let _ = stream.set_nodelay(true);
                    return Accepted::Stream(stream, address.ip().into());
                }
                Err(fault) if fault.kind() == io::ErrorKind::WouldBlock => return Accepted::Nobody,
                Err(fault) if is_exhausted(&fault) => {
                    if self.0.take().is_some() {
                        drop(listener.accept());
                    }
                    self.0 = File::open("/dev/null").ok();
                    return Accepted::Pause { until_ns: now_ns + limits::ACCEPT_PAUSE_NS };
                }
                // The peer gave up while it waited, or a signal came: the next one may be well.
                Err(_) => {}
            }
        }
        Accepted::Pause { until_ns: now_ns + limits::ACCEPT_PAUSE_NS }
    }
}

fn is_exhausted(fault: &io::Error) -> bool {
    matches!(fault.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}
