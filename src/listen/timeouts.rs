//! When an HTTP/1.1 connection has taken too long: for a head, or with nothing at all.
//!
//! Does not know requests. Invariant: a head is being received from its first byte (or from the beginning of the
//! connection) until its request comes out of hyper. What a client has pipelined behind a body it has not finished
//! is seen late, and then falls under the idle timeout.

use std::time::Duration;

use crate::net::network::Socket;
use crate::net::wire::Wire;

/// The two times of one connection.
pub(super) struct Timeouts {
    head_since_ns: Option<u64>,
    idle_since_ns: u64,
    read_before: u64,
    written_before: u64,
}

impl Timeouts {
    /// A connection whose first head begins now.
    pub(super) fn new(now_ns: u64) -> Self {
        Timeouts { head_since_ns: Some(now_ns), idle_since_ns: now_ns, read_before: 0, written_before: 0 }
    }

    /// A head is whole.
    pub(super) fn on_request(&mut self) {
        self.head_since_ns = None;
    }

    /// A request is answered; bytes from here on are the next head.
    pub(super) fn on_answer<S: Socket>(&mut self, wire: &Wire<S>, now_ns: u64) {
        self.idle_since_ns = now_ns;
        self.read_before = wire.bytes_in();
    }

    /// Looks, between requests, whether a head has begun; answers that still flow out count as life.
    pub(super) fn note<S: Socket>(&mut self, wire: &Wire<S>, now_ns: u64) {
        if self.head_since_ns.is_none() && wire.bytes_in() > self.read_before {
            self.head_since_ns = Some(now_ns);
        }
        if wire.bytes_out() != self.written_before {
            self.written_before = wire.bytes_out();
            self.idle_since_ns = now_ns;
        }
    }

    /// Whether a head is being received.
    pub(super) fn is_head_begun(&self) -> bool {
        self.head_since_ns.is_some()
    }

    /// Whether it is over, between requests.
    pub(super) fn is_spent(&self, now_ns: u64, header_timeout: Duration, idle_timeout: Duration) -> bool {
        let (since_ns, limit) = match self.head_since_ns {
            Some(since_ns) => (since_ns, header_timeout),
            None => (self.idle_since_ns, idle_timeout),
        };
        now_ns.saturating_sub(since_ns) > limit.as_nanos() as u64
    }
}
