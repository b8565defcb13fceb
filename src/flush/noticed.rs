//! What one shard noticed of the rules, and how others see it: in pieces, of which those that changed are copied.
//!
//! Knows slots of rules; does not know what is noticed of them. A cut in which little happened copies little, however many
//! rules there are.
//!
//! Bounds: as many pieces as there are slots, divided by `PIECE`.

use crate::fold::Notes;
use std::sync::Arc;

/// Slots of a piece.
const PIECE: usize = 32;

/// What was noticed of a rule.
#[derive(Clone, Debug, Default)]
pub struct FoldsNoticed {
    /// Live series that it takes.
    pub members: u64,
    /// What its folds noticed.
    pub notes: Notes,
}

#[derive(Clone, Debug)]
struct Piece([FoldsNoticed; PIECE]);

/// What was noticed until some cut, by slot.
#[derive(Clone, Debug, Default)]
pub(super) struct NoticedThere {
    pieces: Box<[Arc<Piece>]>,
    slots: usize,
}

impl NoticedThere {
    /// By slot.
    pub(super) fn iter(&self) -> impl Iterator<Item = &FoldsNoticed> {
        self.pieces.iter().flat_map(|piece| &piece.0).take(self.slots)
    }
}

/// The same, as it goes on.
#[derive(Debug, Default)]
pub(super) struct NoticedHere {
    pieces: Vec<Arc<Piece>>,
    slots: usize,
}

impl NoticedHere {
    /// There are so many slots.
    pub(super) fn resize(&mut self, slots: usize) {
        self.slots = slots;
        // those of which nothing was noticed are one
        let piece = Arc::new(Piece(std::array::from_fn(|_| FoldsNoticed::default())));
        self.pieces.resize(slots.div_ceil(PIECE), piece);
    }

    /// What was noticed of a slot, to be changed: readers see it once it is published.
    pub(super) fn of(&mut self, slot: u32) -> &mut FoldsNoticed {
        &mut Arc::make_mut(&mut self.pieces[slot as usize / PIECE]).0[slot as usize % PIECE]
    }

    /// As readers see it from here on.
    pub(super) fn published(&self) -> NoticedThere {
        NoticedThere { pieces: self.pieces.as_slice().into(), slots: self.slots }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_did_not_change_is_not_copied_and_what_was_published_stays() {
        let mut here = NoticedHere::default();
        here.resize(10_000);
        here.of(77).members = 1;
        let first = here.published();
        here.of(77).members = 2;
        here.of(9_999).members = 3;
        let second = here.published();
        let members = |there: &NoticedThere| -> Vec<(usize, u64)> {
            let all = there.iter().map(|noticed| noticed.members).enumerate();
            all.filter(|(_, members)| *members > 0).collect()
        };
        assert_eq!(members(&first), [(77, 1)]);
        assert_eq!(members(&second), [(77, 2), (9_999, 3)]);
        let shared = first.pieces.iter().zip(&second.pieces).filter(|(a, b)| Arc::ptr_eq(a, b)).count();
        assert_eq!(shared, 10_000usize.div_ceil(PIECE) - 2);
        here.resize(50);
        assert_eq!((here.published().iter().count(), second.iter().count()), (50, 10_000));
    }
}
