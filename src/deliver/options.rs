//! How delivery behaves, for all destinations.
//!
//! Does not know: destinations, threads.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::clock::Clock;
use crate::disk::{Disk, SYSTEM};
use crate::limits::{BACKOFF_FIRST, BACKOFF_MAX, IN_FLIGHT_LIMIT, IN_FLIGHT_MAX};
use crate::net::hops::Hops;

/// `User-Agent` of every request (E13).
pub(super) const USER_AGENT_VALUE: &str = concat!("catchment/", env!("CARGO_PKG_VERSION"));

/// Requests in flight that there may be to one destination.
pub(super) const IN_FLIGHT_RANGE: RangeInclusive<usize> = 1..=IN_FLIGHT_LIMIT;

/// How the room behaves, for all destinations.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// First wait between tries (`limits::BACKOFF_FIRST`); tests make it short.
    pub backoff_first: Duration,
    /// Longest wait between tries; server advice is clamped to ten times this.
    pub backoff_max: Duration,
    /// Requests in flight to a destination that does not say otherwise, 1 to 64.
    pub in_flight: usize,
    /// Reads both clocks; the room never asks the OS itself.
    pub clock: &'static dyn Clock,
    /// Where `file:` destinations write.
    pub disk: &'static dyn Disk,
    /// Seed of the jitter; should differ between processes.
    pub seed: u64,
    /// Every core has a shard: delivery works in short pieces (`pace`).
    pub cores_are_shared: bool,
    /// Names this instance, and those it heard of, in every request.
    pub hops: Option<&'static Hops>,
}

impl Options {
    /// The defaults of `limits`, with the clock and the seed of the caller.
    pub fn new(clock: &'static dyn Clock, seed: u64) -> Self {
        Options {
            backoff_first: BACKOFF_FIRST,
            backoff_max: BACKOFF_MAX,
            in_flight: IN_FLIGHT_MAX,
            clock,
            disk: &SYSTEM,
            seed,
            cores_are_shared: false,
            hops: None,
        }
    }
}
