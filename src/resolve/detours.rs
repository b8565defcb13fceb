//! Routes that lead into no cell: what a rule drops by the attributes of its points.
//!
//! Knows which rule drops what a route brings, and when a route was last used; does not know rules, points, or what routes
//! are compared with (`routes`).
//!
//! A route to nowhere dies with no cell, so it has an age of its own: one that was not used since a sweep's beginning is
//! forgotten (`deaths`).
//!
//! Bounds: routes to nowhere and streams whose points are dropped take `limits::DISCARDED_PART` of a core's part of the memory
//! for series; what is beyond is not remembered, and asked about again. Their bytes are counted with those of other routes.

use super::routes::NONE;
use crate::places;

/// The bit of `Route::cell` that says that the route leads nowhere; the others are the number of its detour.
const DETOUR: u32 = 1 << 31;

/// The number of a detour that a route's cell stands for.
#[inline]
pub(super) const fn number_of(cell: u32) -> Option<u32> {
    if cell & DETOUR != 0 { Some(cell & !DETOUR) } else { None }
}

#[derive(Clone, Copy, Debug)]
struct Detour {
    /// The route, or `NONE` in a free place.
    route: u32,
    /// The rule that drops what it brings.
    rule: u32,
    /// The interval in which it was last used.
    used: u32,
}

/// Bytes of one, beside its route.
pub(super) const DETOUR_BYTES: usize = size_of::<Detour>();

/// All of a core.
#[derive(Debug, Default)]
pub(super) struct Detours {
    all: Vec<Detour>,
    free: Vec<u32>,
}

impl Detours {
    /// One more, whose route is not known yet; what stands in the route in place of a cell.
    pub(super) fn add(&mut self, rule: u32, interval: u32) -> u32 {
        let number = places::put(&mut self.all, &mut self.free, Detour { route: NONE, rule, used: interval });
        assert!(number < DETOUR, "2^31 routes to nowhere");
        DETOUR | number
    }

    /// Its route.
    pub(super) fn lead(&mut self, cell: u32, route: u32) {
        if let Some(number) = number_of(cell) {
            self.all[number as usize].route = route;
        }
    }

    /// The rule that drops what a route brings; it is used now.
    #[inline]
    pub(super) fn take(&mut self, number: u32, interval: u32) -> u32 {
        let detour = &mut self.all[number as usize];
        detour.used = interval;
        detour.rule
    }

    /// The route at place `number`, if there is one that was not used since the interval `before`: its place is free.
    pub(super) fn take_idle(&mut self, number: u32, before: u32) -> Option<u32> {
        let detour = self.all.get_mut(number as usize)?;
        if detour.route == NONE || detour.used >= before {
            return None;
        }
        self.free.push(number);
        Some(std::mem::replace(&mut detour.route, NONE))
    }

    /// Places, free ones included.
    pub(super) fn places(&self) -> u32 {
        self.all.len() as u32
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.all.len() - self.free.len()
    }

    /// After many have gone: gives back what they took.
    pub(super) fn trim(&mut self) {
        places::trim(&mut self.all, &mut self.free, |detour| detour.route == NONE);
    }
}
