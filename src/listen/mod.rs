//! The doors: sockets on one side, whole request bodies and short answers on the other.
//!
//! Does not know metrics: what a body means is asked of [`Intake`], synchronously, on the shard's own
//! thread. Starts no threads and asks no clock; the shard's loop calls in with events and `Now`.
//!
//! ```text
//!  doors    one per shard: OTLP over gRPC and HTTP, both protocols on every port
//!  floor    what all doors share: listeners, connections, turns, timers, draining
//!  session  first bytes → HTTP/1.1 or HTTP/2
//!  http1    OTLP over HTTP/1.1
//!  http2    gRPC and OTLP over HTTP/2
//!  head     what a request's head asks for, or why it is refused
//!  serve    a whole body → intake → outcome
//!  intake   who takes bodies, in slices where they are large
//!  answer   an outcome → status, headers, body, trailers
//!  status   google.rpc.Status and the details in it
//!  patience head and idle times of an HTTP/1.1 connection
//!  pages    GET pages for the admin and scrape doors
//! ```
//!
//! Rules of the house (P):
//! 1. A call whose `grpc-timeout` ran out before its body was whole is *not* applied, and answered DEADLINE_EXCEEDED.
//!    A body that is whole is applied and answered whatever the time.
//! 2. A body never waits for budget: it grows its reservation or is refused retryably.
//! 3. Answers are never compressed: all are short.
//! 4. A connection that breaks off takes its unfinished calls along, but for the one that is being applied: that is brought
//!    to its end.

mod answer;
mod doors;
mod floor;
mod head;
mod http1;
mod http2;
mod intake;
pub mod pages;
mod patience;
mod serve;
mod session;
mod status;

use std::time::Duration;

pub use crate::model::Answer;
pub use crate::net::sockets::bind;
use crate::{limits, model::Door, net::hops::Hops};
pub use doors::Doors;
pub use intake::{Exported, Intake};

/// What a user can set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Bytes of one request, before and after decompression.
    pub max_body: usize,
    /// Connections open at once on this shard: its share of the process's limit.
    pub connections_max: usize,
    /// Path of OTLP over HTTP.
    pub http_path: String,
    /// First byte to end of a request's head.
    pub header_timeout: Duration,
    /// Time a connection may stay without a request.
    pub idle_timeout: Duration,
    /// Notices requests that have been here before.
    pub hops: Option<&'static Hops>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            max_body: limits::MAX_BODY_BYTES_DEFAULT,
            connections_max: limits::CONNECTIONS_DEFAULT,
            http_path: "/v1/metrics".to_owned(),
            header_timeout: limits::HEADER_TIMEOUT,
            idle_timeout: limits::IDLE_TIMEOUT,
            hops: None,
        }
    }
}

/// Connections of one set of listeners, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionStats {
    /// Open now, closing ones included.
    pub open: u64,
    /// Accepted and served.
    pub accepted: u64,
    /// Closed over the limit: newcomers, and those that made room for one.
    pub refused: u64,
    /// Times accepting paused because descriptors ran out.
    pub accept_pauses: u64,
    /// Closed by a timeout of ours.
    pub timed_out: u64,
    /// Closed because of a flood, by `net::frames::Flood`.
    pub floods: [u64; 5],
    /// Bytes read from sockets.
    pub wire_bytes_in: u64,
    /// Bytes written to sockets.
    pub wire_bytes_out: u64,
}

/// What one shard's doors have seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections and bytes.
    pub connections: ConnectionStats,
    /// Requests by door and answer.
    pub requests: [[u64; Answer::COUNT]; Door::COUNT],
    /// HTTP/2 streams opened.
    pub streams: u64,
    /// Bytes of bodies as they came, gRPC prefixes included.
    pub body_bytes: u64,
    /// Bytes handed to the intake.
    pub decompressed_bytes: u64,
    /// Connections ended by a fault of the protocol.
    pub protocol_errors: u64,
}

impl Stats {
    /// Requests of one door with one answer.
    pub fn requests(&self, door: Door, answer: Answer) -> u64 {
        self.requests[door as usize][answer as usize]
    }
}
