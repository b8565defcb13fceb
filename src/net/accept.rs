//! Listeners that outlive a full file table.
//!
//! Does not know what is served. Invariants: 1. a listener stays ready until `accept` has said `WouldBlock`;
//! 2. when descriptors run out, the one held in reserve is spent to accept and close the connection at the head of the
//! queue, so that it does not wait for an answer that cannot come, and accepting pauses for `limits::ACCEPT_PAUSE_NS`.
//! Bounds: one reserve descriptor a shard.

use crate::limits;
use crate::model::Peer;
use std::fs::File;
use std::io;

use super::network::Network;

/// What one try to accept gave.
pub enum Accepted<S> {
    /// A connection.
    Socket(S, Peer),
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
    pub fn accept<N: Network>(&mut self, network: &N, listener: &N::Listener, now_ns: u64) -> Accepted<N::Socket> {
        for _ in 0..64 {
            match network.accept(listener) {
                Ok((socket, address)) => return Accepted::Socket(socket, address.into()),
                Err(fault) if fault.kind() == io::ErrorKind::WouldBlock => return Accepted::Nobody,
                Err(fault) if is_exhausted(&fault) => {
                    if self.0.take().is_some() {
                        drop(network.accept(listener));
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
