//! What a shard's loop and doors look like from outside: a row of words, published whole after every turn.

use crate::listen::{Answer, Stats};
use crate::model::Door;
use crate::sync::row::{CounterRow, RowWriter};
use std::sync::Arc;

/// Buckets of a time histogram: bucket `i` holds up to 2^i µs.
pub const BUCKETS: usize = 24;
const HISTOGRAM: usize = BUCKETS + 2;
const DOORS: usize = 12 + Door::COUNT * Answer::COUNT + 4;
const TURNS: usize = DOORS;
const REQUESTS: usize = TURNS + HISTOGRAM;
const EXTRA: usize = REQUESTS + HISTOGRAM;
/// Words of a row.
pub const WORDS: usize = EXTRA + 2;

/// The shard's side.
pub struct ShardStats {
    words: [u64; WORDS],
    row: RowWriter<WORDS>,
}

fn bucket(ns: u64) -> usize {
    let us = ns.div_ceil(1000).max(1);
    ((64 - (us - 1).leading_zeros()) as usize).min(BUCKETS - 1)
}

impl ShardStats {
    /// Nothing yet, and the row it is published in.
    pub fn new() -> (ShardStats, Arc<CounterRow<WORDS>>) {
        let (row, reader) = CounterRow::new();
        (ShardStats { words: [0; WORDS], row }, reader)
    }

    fn time(&mut self, at: usize, ns: u64) {
        self.words[at + bucket(ns)] += 1;
        self.words[at + BUCKETS] += 1;
        self.words[at + BUCKETS + 1] += ns;
    }

    /// A turn of the loop took so long.
    pub fn turn(&mut self, ns: u64) {
        self.time(TURNS, ns);
    }

    /// A request took so long from body to answer.
    #[inline]
    pub fn request(&mut self, ns: u64) {
        self.time(REQUESTS, ns);
    }

    /// Series alive on this shard.
    pub fn live(&mut self, series: u64) {
        self.words[EXTRA] = series;
    }

    /// Publishes the row.
    pub fn publish(&mut self, stats: &Stats, routes: u64) {
        let c = &stats.connections;
        let head = [c.open, c.accepted, c.refused, c.accept_pauses, c.timed_out, c.wire_bytes_in, c.wire_bytes_out];
        self.words[..7].copy_from_slice(&head);
        self.words[7..12].copy_from_slice(&c.floods);
        for (i, requests) in stats.requests.iter().enumerate() {
            let at = 12 + i * Answer::COUNT;
            self.words[at..at + Answer::COUNT].copy_from_slice(requests);
        }
        let tail = [stats.streams, stats.body_bytes, stats.decompressed_bytes, stats.protocol_errors];
        self.words[DOORS - 4..DOORS].copy_from_slice(&tail);
        self.words[EXTRA + 1] = routes;
        self.row.publish(&self.words);
    }
}

/// A shard as it was when its row was read.
pub struct ShardSnapshot {
    words: [u64; WORDS],
}

impl ShardSnapshot {
    /// Reads a row.
    pub fn read(row: &CounterRow<WORDS>) -> ShardSnapshot {
        ShardSnapshot { words: row.read() }
    }

    /// Connections: open, accepted, refused, accept pauses, timed out, bytes in, bytes out.
    pub fn connections(&self) -> &[u64] {
        &self.words[..7]
    }

    /// Connections closed for want of a place.
    pub const fn refused(&self) -> u64 {
        self.words[2]
    }

    /// Times accepting paused for want of descriptors.
    pub const fn paused(&self) -> u64 {
        self.words[3]
    }

    /// Connections closed for floods.
    pub fn floods(&self) -> u64 {
        self.words[7..12].iter().sum()
    }

    /// Requests of one door with one answer.
    pub fn requests(&self, door: Door, answer: Answer) -> u64 {
        self.words[12 + door as usize * Answer::COUNT + answer as usize]
    }

    /// Requests with one answer.
    pub fn answered(&self, answer: Answer) -> u64 {
        Door::ALL.iter().map(|door| self.requests(*door, answer)).sum()
    }

    /// Streams, body bytes, decompressed bytes, protocol errors.
    pub fn bodies(&self) -> &[u64] {
        &self.words[DOORS - 4..DOORS]
    }

    /// Buckets, count and nanoseconds of turns of the loop.
    pub fn turns(&self) -> (&[u64], u64, u64) {
        self.histogram(TURNS)
    }

    /// Buckets, count and nanoseconds of requests.
    pub fn request_times(&self) -> (&[u64], u64, u64) {
        self.histogram(REQUESTS)
    }

    fn histogram(&self, at: usize) -> (&[u64], u64, u64) {
        (&self.words[at..at + BUCKETS], self.words[at + BUCKETS], self.words[at + BUCKETS + 1])
    }

    /// Series alive on the shard.
    pub const fn live(&self) -> u64 {
        self.words[EXTRA]
    }

    /// Routes of the shard.
    pub const fn routes(&self) -> u64 {
        self.words[EXTRA + 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_falls_into_the_bucket_that_holds_it() {
        for (ns, want) in [(0, 0), (1000, 0), (1001, 1), (2000, 1), (2001, 2), (1_000_000, 10), (u64::MAX, BUCKETS - 1)]
        {
            assert_eq!(bucket(ns), want, "{ns}");
        }
    }
}
