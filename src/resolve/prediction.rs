//! What comes next in a stream, if the order of the last export holds.
//!
//! Knows routes and their order; does not know points. Everything here is a hint: the bytes are compared.
//!
//! Routes that come next are looked up some places ahead, so that their bytes are in the cache when they are compared. This
//! hides the latency of memory; it does not make fewer lines to fetch. Once series were born one by one, what comes next
//! lies anywhere, and a point takes five to six lines: the order, the route, three of its bytes, the cell.
//!
//! Bounds: `FAR` routes ahead. The lead grows by two routes a step at most, so that nothing waits for it.
//!
//! Evidence: on the machine of the README one core fetches such a line every 9 to 10 ns, if it was asked for sixteen places
//! before, with small pages as with huge ones. That is some 50 ns a point, of 80 in all for a point whose neighbours lie in
//! order. Renumbering routes in the order of their points, with copies of their bytes, was tried as a prototype: it was no
//! faster (0.148 to 0.205 CPU-s a million points with it, 0.148 to 0.17 without), and took far more memory.

use super::routes::{NONE, Routes};

/// Where a walk is in a stream's order, and the routes that come next if the order holds.
pub(crate) struct Prediction {
    stream: Option<u32>,
    /// The route of the point before.
    last: u32,
    /// The route that probably comes now.
    guess: u32,
    /// The route behind `guess` is worth a try.
    may_skip: bool,
    /// Routes from `guess` on, as far as they are known: places `at` to `end`, in a ring.
    ring: [u32; RING],
    at: usize,
    end: usize,
    /// The first place whose route's bytes are not yet on their way.
    near: usize,
}

/// Places ahead of the comparison at which a route is asked for, and its bytes. By profile, at 100 k series that lie all over
/// memory after churn, half of all time is waiting for them without. Other distances were not tried.
const FAR: usize = 12;
const NEAR: usize = 6;
/// Places of the ring.
const RING: usize = 16;
const _: () = assert!(NEAR < FAR && FAR < RING);
/// Bytes of attributes that a point is taken to have where nobody knows better, for looking ahead.
pub(crate) const EXPECTED_BYTES: usize = 160;

impl Prediction {
    /// Of no stream.
    pub(crate) fn none() -> Prediction {
        Prediction::new(None, NONE)
    }

    /// At the beginning of `stream`, whose order begins with `first`.
    pub(super) fn new(stream: Option<u32>, first: u32) -> Prediction {
        let mut ring = [NONE; RING];
        ring[0] = first;
        Prediction { stream, last: NONE, guess: first, may_skip: true, ring, at: 0, end: 1, near: 0 }
    }

    /// The stream, if it is known.
    #[inline]
    pub(crate) const fn stream(&self) -> Option<u32> {
        self.stream
    }

    /// The route that probably comes now.
    #[inline]
    pub(crate) const fn guess(&self) -> u32 {
        self.guess
    }

    /// The route of the point before.
    #[inline]
    pub(crate) const fn last(&self) -> u32 {
        self.last
    }

    /// A point came that is new: what follows it most often came in its place, or before.
    pub(crate) const fn came_new(&mut self) {
        self.may_skip = true;
    }

    /// Whether the route behind the guess is to be tried now. It is tried once between two right guesses, and behind a point
    /// that is new.
    #[inline]
    pub(super) const fn takes_skip(&mut self) -> bool {
        std::mem::replace(&mut self.may_skip, false)
    }

    /// The guess was right; `length` bytes are compared at a route, about.
    #[inline]
    pub(super) fn step(&mut self, routes: &Routes, length: usize) {
        let route = self.guess;
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

    /// `route` came, which was not the guess; `next` came behind it last time.
    #[inline]
    pub(super) fn turn(&mut self, route: u32, next: u32) {
        self.last = route;
        self.guess = next;
        self.ring[self.at % RING] = next;
        self.end = self.at + 1;
        self.near = self.at;
    }

    /// The route after the guess came: what was looked ahead at lies behind it.
    #[inline]
    pub(super) fn skip(&mut self, skipped: u32, routes: &Routes) {
        if self.at + 2 < self.end {
            self.last = skipped;
            self.at += 2;
            self.near = self.near.max(self.at);
            self.guess = self.ring[self.at % RING];
        } else {
            self.turn(skipped, routes.next(skipped));
        }
    }

    #[inline]
    fn look_ahead(&mut self, routes: &Routes, length: usize) {
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
