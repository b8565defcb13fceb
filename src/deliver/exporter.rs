//! What a protocol gives the deliver thread: take a call, be polled, say how it ended.
//!
//! Does not know: which protocol, queues, retries.

use std::task::Context;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use mio::{Registry, Token};

use super::headers::Headers;
use super::outcome::Outcome;
use super::stats::Stats;
use super::why::Why;
use crate::clock::Now;
use crate::net::hops::{self, Hops};

/// One try of one request.
#[derive(Clone)]
pub(super) struct Job {
    /// The body as it goes out; the same bytes at every try (E7).
    pub(super) body: Bytes,
    /// What `body` is packed with, as both protocols call it.
    pub(super) encoding: Option<&'static str>,
    /// Time this try may take; told to gRPC servers.
    pub(super) timeout: Duration,
}

/// The slot of a call and how it ended.
pub(super) type Done = (usize, Outcome);

/// How far a call had come.
pub(super) enum Cancelled {
    /// Its request may have been sent.
    Sent,
    /// It had no connection, and this is what that waited for, if it is known.
    Unsent(Option<Why>),
}

/// What an exporter is given for one turn.
pub(super) struct Turn<'a> {
    pub(super) registry: &'a Registry,
    /// Token of the destination's first connection.
    pub(super) first_token: usize,
    pub(super) now: Now,
    pub(super) stats: &'a Stats,
    pub(super) hops: Option<&'static Hops>,
}

impl Turn<'_> {
    /// The header that says through whom a request came, if this instance has an id.
    pub(super) fn hops(&self) -> Option<(HeaderName, HeaderValue)> {
        self.hops.map(|hops| (hops::NAME, hops.value(self.now.mono_ns)))
    }

    /// The token of connection `at` of this destination.
    pub(super) fn token(&self, at: usize) -> Token {
        Token(self.first_token + at)
    }
}

/// A protocol over its connections.
pub(super) trait Exporter {
    /// Starts a call in a free slot.
    fn start(&mut self, slot: usize, job: Job);
    /// Requests have these headers from now on.
    fn put_headers(&mut self, headers: &Headers);
    /// Ends the call in `slot` without an outcome.
    fn cancel(&mut self, slot: usize) -> Cancelled;
    /// The loop saw an event for a connection.
    fn on_event(&mut self, connection: usize, event: &mio::event::Event);
    /// Moves everything that can move.
    fn poll(&mut self, cx: &mut Context<'_>, turn: &Turn<'_>, done: &mut Vec<Done>);
    /// Gives every connection its read budget again.
    fn new_turn(&mut self);
    /// A connection stopped reading for want of budget: another turn is due.
    fn is_starved(&self) -> bool;
    /// When a turn is due without an event, ns.
    fn next_ns(&self) -> Option<u64>;
}
