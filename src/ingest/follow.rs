//! Where the walk is in a stream's order, and what comes next if the order holds: known some routes ahead, so that their
//! bytes are in the cache when they are compared.
//!
//! Knows routes and their order; does not know points. Everything here is a hint: the bytes are compared.
//!
//! Bounds: `FAR` routes ahead; two more a step, so that the lead grows but nothing waits for it.
//!
//! Evidence: looking ahead hides latency, not the number of lines. Once all series have been born one by one, what comes
//! next lies anywhere: five to six lines a point by the layout (the order, the route, three of its bytes, the cell). One core
//! of the machine of the README fetches such a line every 9 to 10 ns where it is asked for sixteen places ahead, with small
//! pages and with huge ones (a loop that does nothing else, over 100 MB): some 50 ns a point, where one in order costs 80 in
//! all. Tried as a prototype and not kept: giving the routes of a request new numbers in the order of their points, with
//! copies of their bytes, whenever a fifth of them do not lie so. No timed run was faster (0.148 to 0.17 CPU-s a million
//! points without, 0.148 to 0.205 with), and memory grew by far; the copies were never given back, so this says little of
//! what a finished one would do. The cells, which other cores read, stayed where they were.

use super::routes::{NONE, Routes};

/// Where the walk is in a stream's order, and the routes that come next if the order holds.
pub(super) struct Follow {
    pub(super) stream: Option<u32>,
    pub(super) last: u32,
    pub(super) guess: u32,
    pub(super) may_skip: bool,
    /// Routes from `guess` on, as far as they are known: places `at` to `end`, in a ring.
    pub(super) ring: [u32; RING],
    pub(super) at: usize,
    pub(super) end: usize,
    /// The first place whose route's bytes are not yet on their way.
    pub(super) near: usize,
}

/// Routes on their way into the cache before their bytes are asked for, and those whose bytes are on their way before
/// they are compared. By profile, at 100 k series that lie all over memory after churn, half of all time is waiting for
/// them without. Other distances were not tried.
pub(super) const FAR: usize = 12;
pub(super) const NEAR: usize = 6;
/// Places of the ring.
pub(super) const RING: usize = 16;
const _: () = assert!(NEAR < FAR && FAR < RING);
/// Bytes of attributes that a histogram's points are taken to have, for looking ahead.
pub(super) const EXPECTED_BYTES: usize = 160;

impl Follow {
    pub(super) fn new(stream: Option<u32>, first: u32) -> Follow {
        let mut ring = [NONE; RING];
        ring[0] = first;
        Follow { stream, last: NONE, guess: first, may_skip: true, ring, at: 0, end: 1, near: 0 }
    }

    /// The guess was right; `length` bytes are compared at a route, about.
    #[inline]
    pub(super) fn step(&mut self, route: u32, routes: &Routes, length: usize) {
        self.last = route;
        self.may_skip = true;
        if !routes.are_many() {
            self.guess = routes.next(route);
            self.ring[self.at % RING] = self.guess;
            return;
        }
        self.at += 1;
        if self.at == self.end {
            self.ring[self.at % RING] = routes.next(route);
            self.end += 1;
        }
        self.guess = self.ring[self.at % RING];
        self.look_ahead(routes, length);
    }

    /// `guess` is no longer what was looked ahead from.
    #[inline]
    pub(super) fn turn(&mut self, guess: u32) {
        self.guess = guess;
        self.ring[self.at % RING] = guess;
        self.end = self.at + 1;
        self.near = self.at;
    }

    /// The route after the guess came: what was looked ahead at lies behind it.
    #[inline]
    pub(super) fn skip(&mut self, skipped: u32, routes: &Routes) {
        self.last = skipped;
        if self.at + 2 < self.end {
            self.at += 2;
            self.near = self.near.max(self.at);
            self.guess = self.ring[self.at % RING];
        } else {
            self.turn(routes.next(skipped));
        }
    }

    /// Two routes at most, so that the lead grows but nothing waits for it.
    #[inline]
    pub(super) fn look_ahead(&mut self, routes: &Routes, length: usize) {
        for _ in 0..2 {
            if self.end - self.at > FAR {
                break;
            }
            let id = routes.next(self.ring[(self.end - 1) % RING]);
            if id == NONE {
                break;
            }
            routes.prefetch(id);
            self.ring[self.end % RING] = id;
            self.end += 1;
        }
        for _ in 0..2 {
            if self.near >= self.end || self.near > self.at + NEAR {
                break;
            }
            if let Some(route) = routes.get(self.ring[self.near % RING]) {
                route.bytes.prefetch(length);
            }
            self.near += 1;
        }
    }
}
