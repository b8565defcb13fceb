//! What can be set of the doors. Does not know where it is set.

use std::time::Duration;

use crate::limits;
use crate::net::hops::Hops;

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
