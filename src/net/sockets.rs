//! The product's network: non-blocking TCP sockets, with `mio` to tell which of them are ready.
//!
//! Does not know what is served. Bounds: `limits::ACCEPT_BACKLOG` connections wait in the kernel.

use std::io::{self, Write};
use std::net::{IpAddr, Shutdown, SocketAddr};

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};

use super::network::{Network, Readiness, Socket};
use crate::limits;
use crate::sync::spare::Spare;

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

impl Network for Registry {
    type Listener = TcpListener;
    type Socket = TcpStream;

    fn watch_listener(&self, listener: &mut TcpListener, token: usize) -> io::Result<()> {
        self.register(listener, Token(token), Interest::READABLE)
    }

    fn watch(&self, socket: &mut TcpStream, token: usize) -> io::Result<()> {
        self.register(socket, Token(token), Interest::READABLE | Interest::WRITABLE)
    }

    fn accept(&self, listener: &TcpListener) -> io::Result<(TcpStream, IpAddr)> {
        let (socket, address) = listener.accept()?;
        // Nothing is lost without it but time.
        let _ = socket.set_nodelay(true);
        Ok((socket, address.ip()))
    }

    fn address(&self, listener: &TcpListener) -> io::Result<SocketAddr> {
        listener.local_addr()
    }
}

impl Socket for TcpStream {
    fn peek(&self, bytes: &mut [u8]) -> io::Result<usize> {
        TcpStream::peek(self, bytes)
    }

    #[inline]
    fn receive(&self, spare: &mut Spare<'_>) -> io::Result<()> {
        spare.receive(self)
    }

    #[inline]
    fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut socket = self;
        socket.write(bytes)
    }

    fn end_sending(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl From<&mio::event::Event> for Readiness {
    fn from(event: &mio::event::Event) -> Readiness {
        let ended = event.is_read_closed() || event.is_error();
        Readiness {
            token: event.token().0,
            readable: event.is_readable() || ended,
            writable: event.is_writable() || event.is_write_closed() || event.is_error(),
            ended,
        }
    }
}
