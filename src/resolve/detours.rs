//! Routes that lead into no cell of their own: what a rule drops by the attributes of its points, and what a rule scales, which
//! goes on by the route of the series that it is of.
//!
//! Knows what becomes of what a route brings, and when a route to nowhere was last used; does not know rules, points, or what
//! routes are compared with (`routes`).
//!
//! A route to nowhere dies with no cell, so it has an age of its own: one that was not used since a sweep's beginning is
//! forgotten (`deaths`). A route that goes on dies with the cell that it ends in (`links`).
//!
//! Bounds: routes to nowhere and streams whose points are dropped take `limits::DISCARDED_PART` of a core's part of the memory
//! for series; what is beyond is not remembered, and asked about again. Routes that go on are among those of their cell. The
//! bytes of all are counted with those of other routes.

use super::routes::NONE;
use crate::places;

/// The bit of `Route::cell` that says that the route is a detour; the others are the detour's number.
const DETOUR: u32 = 1 << 31;

/// The number of a detour that a route's cell stands for.
#[inline]
pub(super) const fn number_of(cell: u32) -> Option<u32> {
    if cell & DETOUR != 0 { Some(cell & !DETOUR) } else { None }
}

/// What becomes of what a route brings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Detour {
    /// The rule of this number drops it.
    Nowhere(u32),
    /// It goes on by the route `to`, its values multiplied.
    Scaled {
        /// A route that leads to a cell.
        to: u32,
        /// What values are multiplied by.
        by: f64,
    },
}

#[derive(Clone, Copy, Debug)]
struct Place {
    /// The route, or `NONE` in a free place.
    route: u32,
    /// The interval in which it was last used.
    used: u32,
    detour: Detour,
}

/// Bytes of one, beside its route.
pub(super) const DETOUR_BYTES: usize = size_of::<Place>();

/// All of a core.
#[derive(Debug, Default)]
pub(super) struct Detours {
    all: Vec<Place>,
    free: Vec<u32>,
}

impl Detours {
    /// One more, whose route is not known yet; what stands in the route in place of a cell.
    pub(super) fn add(&mut self, detour: Detour, interval: u32) -> u32 {
        let number = places::put(&mut self.all, &mut self.free, Place { route: NONE, used: interval, detour });
        assert!(number < DETOUR, "2^31 detours");
        DETOUR | number
    }

    /// Its route.
    pub(super) fn lead(&mut self, cell: u32, route: u32) {
        if let Some(number) = number_of(cell) {
            self.all[number as usize].route = route;
        }
    }

    /// What becomes of what a route brings; it is used now.
    #[inline]
    pub(super) fn take(&mut self, number: u32, interval: u32) -> Detour {
        let place = &mut self.all[number as usize];
        place.used = interval;
        place.detour
    }

    /// What becomes of what a route brings.
    pub(super) fn at(&self, number: u32) -> Detour {
        self.all[number as usize].detour
    }

    /// The route at place `number`, if it leads nowhere and was not used since the interval `before`.
    pub(super) fn idle(&self, number: u32, before: u32) -> Option<u32> {
        let place = self.all.get(number as usize)?;
        let is_idle = place.route != NONE && place.used < before && matches!(place.detour, Detour::Nowhere(_));
        is_idle.then_some(place.route)
    }

    /// Its route is no more; whether it led nowhere.
    pub(super) fn remove(&mut self, number: u32) -> bool {
        let place = &mut self.all[number as usize];
        place.route = NONE;
        self.free.push(number);
        matches!(place.detour, Detour::Nowhere(_))
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
        places::trim(&mut self.all, &mut self.free, |place| place.route == NONE);
    }
}
