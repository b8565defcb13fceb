//! What the doors ask of a network: listeners, sockets that do not block, and word of which of them are ready.
//!
//! Does not know an operating system. The product's network is `sockets`; a test's may be memory, so that a whole run
//! goes on in one thread. What is generic over these is built for each network by itself: a call costs what it cost
//! without them.
//!
//! Invariants, which an implementation keeps:
//! 1. Nothing blocks: where there is nothing to take or no room, it is `WouldBlock`.
//! 2. Readiness is edge-triggered: of what was said to be ready nothing more is said until it has answered `WouldBlock`,
//!    or a read was shorter than what was asked for.

use std::io;
use std::net::{IpAddr, SocketAddr};

use crate::sync::spare::Spare;

/// Where connections come from.
pub trait Network {
    /// Takes connections in.
    type Listener;
    /// One connection.
    type Socket: Socket;

    /// Says from now on when there are connections to accept; events have this token.
    ///
    /// # Errors
    /// The network's own.
    fn watch_listener(&self, listener: &mut Self::Listener, token: usize) -> io::Result<()>;

    /// Says from now on when there is something to read, or room to write; events have this token.
    ///
    /// # Errors
    /// The network's own.
    fn watch(&self, socket: &mut Self::Socket, token: usize) -> io::Result<()>;

    /// The next connection and the address at its other end.
    ///
    /// # Errors
    /// `WouldBlock` when nobody waits; the network's own.
    fn accept(&self, listener: &Self::Listener) -> io::Result<(Self::Socket, IpAddr)>;

    /// Where a listener is.
    ///
    /// # Errors
    /// The network's own.
    fn address(&self, listener: &Self::Listener) -> io::Result<SocketAddr>;
}

/// One connection. It is closed when it is dropped.
pub trait Socket: 'static {
    /// Looks at the first bytes without taking them; 0 at the end.
    ///
    /// # Errors
    /// `WouldBlock` when nothing came; the network's own.
    fn peek(&self, bytes: &mut [u8]) -> io::Result<usize>;

    /// Reads once into `spare`; nothing at the end.
    ///
    /// # Errors
    /// As `peek`.
    fn receive(&self, spare: &mut Spare<'_>) -> io::Result<()>;

    /// Writes once; how many bytes were taken.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room; the network's own.
    fn send(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Says that nothing more will be sent.
    ///
    /// # Errors
    /// The network's own.
    fn end_sending(&self) -> io::Result<()>;
}

/// What an event says of a listener or a socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// Of which.
    pub token: usize,
    /// There may be something to read, or a connection to accept.
    pub readable: bool,
    /// There may be room to write.
    pub writable: bool,
    /// The other side sends nothing more, or the connection has failed.
    pub ended: bool,
}
