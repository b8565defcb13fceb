//! What the doors count. Does not know who shows it.

use crate::model::{Answer, Door};

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
