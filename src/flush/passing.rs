//! Destinations that are given something else from a cut on: for whom that ends which they had.
//!
//! Knows which selection each destination had and has; does not know what a selection means, or who rows are handed to.
//!
//! With an exchange of rules, what destinations choose is exchanged, too. At its first cut each series and output is asked who
//! had it and who has it. Who has it no more is told of one end. Where all destinations with one selection had one and the same
//! before, that end is handed out with what this selection is given; else each destination that had it is told by itself, in a
//! view of its own (`SelectionNumber::of_destination`), so that nobody hears of the end of what he never had.
//!
//! Bounds: a set of selections, and one of destinations, for each end; both are one word of it.

use crate::limits::DESTINATIONS_MAX;
use crate::model::SelectionNumber;
use crate::rules::SelectionSet;

/// What a destination that there is had before an exchange, and has from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Its selection before; nothing: it is new.
    pub before: Option<SelectionNumber>,
    /// Its selection from then on.
    pub now: SelectionNumber,
}

/// Who is told of an end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct EndsFor(u32);

const _: () = assert!(2 * DESTINATIONS_MAX <= u32::BITS as usize, "selections and destinations");

impl EndsFor {
    /// Nobody.
    pub(super) const NOBODY: EndsFor = EndsFor(0);
    /// Whoever is given anything, where nobody chooses.
    pub(super) const ALL: EndsFor = EndsFor(1);

    /// Nobody is told.
    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// As a word, and back.
    pub(super) const fn word(self) -> u64 {
        self.0 as u64
    }

    /// See `word`.
    pub(super) const fn of(word: u64) -> EndsFor {
        EndsFor(word as u32)
    }

    /// Whether those with this selection are told, or the destination with this view of its own.
    pub(super) const fn has(self, number: SelectionNumber) -> bool {
        self.0 >> number.get() & 1 == 1
    }

    fn add(&mut self, number: SelectionNumber) {
        self.0 |= 1 << number.get();
    }
}

/// See the file's head.
#[derive(Debug)]
pub(super) struct Passing {
    /// Tells the selections before from others; 0: nobody chose.
    before: u32,
    /// It is an exchange, and not only series that are hidden later.
    is_exchange: bool,
    /// By selection, the one that all who have it had.
    alike: [Option<SelectionNumber>; DESTINATIONS_MAX],
    /// Destinations by themselves: number, what it had, what it has.
    alone: Vec<(usize, SelectionNumber, SelectionNumber)>,
}

impl Passing {
    /// From the selections of this generation to others.
    pub(super) fn new(passed: &[Passed], before: u32) -> Passing {
        let mut passing = Passing { before, is_exchange: true, alike: [None; DESTINATIONS_MAX], alone: Vec::new() };
        for (number, alike) in (0..).zip(&mut passing.alike) {
            let number = SelectionNumber::new(number);
            let mut all = passed.iter().enumerate().filter(|(_, one)| one.now == number);
            let Some((_, first)) = all.clone().next() else { continue };
            if all.clone().all(|(_, one)| one.before == first.before) {
                *alike = first.before;
            } else {
                passing.alone.extend(all.by_ref().filter_map(|(d, one)| Some((d, one.before?, one.now))));
            }
        }
        passing
    }

    /// Each keeps what it has of the selections of this generation.
    pub(super) fn same(generation: u32) -> Passing {
        let number = |at| Some(SelectionNumber::new(at as u8));
        Passing { before: generation, is_exchange: false, alike: std::array::from_fn(number), alone: Vec::new() }
    }

    /// See the field.
    pub(super) const fn before(&self) -> u32 {
        self.before
    }

    /// See the field.
    pub(super) const fn is_exchange(&self) -> bool {
        self.is_exchange
    }

    /// Some are told by themselves.
    pub(super) fn has_alone(&self) -> bool {
        !self.alone.is_empty()
    }

    /// For whom that ends which these selections had before, and those have.
    pub(super) fn ends(&self, had: SelectionSet, has: SelectionSet) -> EndsFor {
        let mut ends = EndsFor::NOBODY;
        if had.is_empty() {
            return ends;
        }
        for (now, before) in (0..).map(SelectionNumber::new).zip(self.alike) {
            if before.is_some_and(|before| had.has(before)) && !has.has(now) {
                ends.add(now);
            }
        }
        for (d, before, now) in &self.alone {
            if had.has(*before) && !has.has(*now) {
                ends.add(SelectionNumber::of_destination(*d));
            }
        }
        ends
    }

    /// The selections of which all had what those before had.
    pub(super) fn carried(&self, had: SelectionSet) -> SelectionSet {
        let mut carried = SelectionSet::NONE;
        for (now, before) in (0..).map(SelectionNumber::new).zip(self.alike) {
            if before.is_some_and(|before| had.has(before)) {
                carried = carried.or(SelectionSet::one(now));
            }
        }
        carried
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// What destinations had and have; who had and has a series; the selections and the destinations that are told.
    fn check(passed: &[(Option<u8>, u8)], had: &[u8], has: &[u8], selections: &[u8], destinations: &[u8]) {
        let of = |(before, now): &(Option<u8>, u8)| Passed {
            before: before.map(SelectionNumber::new),
            now: SelectionNumber::new(*now),
        };
        let passing = Passing::new(&passed.iter().map(of).collect::<Vec<_>>(), 1);
        let set = |numbers: &[u8]| {
            numbers.iter().fold(SelectionSet::NONE, |set, at| set.or(SelectionSet::one(SelectionNumber::new(*at))))
        };
        let ends = passing.ends(set(had), set(has));
        let told: Vec<u8> = (0..32).filter(|at| ends.has(SelectionNumber::new(*at))).collect();
        let want: Vec<u8> = selections.iter().copied().chain(destinations.iter().map(|d| 16 + d)).collect();
        assert_eq!(told, want, "{passed:?} {had:?} {has:?}");
    }

    #[test]
    fn who_had_something_and_has_it_no_more_is_told_and_nobody_else() {
        let same = [(Some(0), 0), (Some(1), 1)];
        check(&same, &[0, 1], &[0], &[1], &[]);
        check(&same, &[1], &[0], &[1], &[]);
        check(&same, &[0, 1], &[0, 1], &[], &[]);
        // numbers are others, and mean the same
        check(&[(Some(0), 1), (Some(1), 0)], &[0], &[1], &[], &[]);
        check(&[(Some(0), 1), (Some(1), 0)], &[0], &[0], &[1], &[]);
        // both choose alike from now on: one of the two had it
        check(&[(Some(0), 0), (Some(1), 0)], &[0], &[], &[], &[0]);
        check(&[(Some(0), 0), (Some(1), 0)], &[0, 1], &[], &[], &[0, 1]);
        // one that comes had nothing
        check(&[(Some(0), 0), (None, 0)], &[0], &[], &[], &[0]);
        check(&[(None, 0)], &[0], &[], &[], &[]);
    }
}
