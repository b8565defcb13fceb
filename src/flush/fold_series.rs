//! The series that leave of a fold, found by output and variant.
//!
//! Knows numbers of outputs, bytes that tell variants apart, and places; does not know what stands there (`outputs`).
//!
//! Few are looked through; a thousand of `topk` are found by their hash.

use hashbrown::HashTable;

/// The place of an output that the rule has no more.
const GONE: u32 = u32::MAX;

/// Up to so many are looked through.
const FEW: usize = 8;

/// Which of a fold's series.
#[derive(Debug)]
pub(super) struct FoldSeries {
    /// Place among the outputs of the rule, or `GONE`.
    output: u32,
    /// Bounds, or the attributes of a top group, as bytes; empty for an output's only series.
    variant: Box<[u8]>,
    /// Where it stands.
    place: u32,
}

impl FoldSeries {
    /// The rule has its output no more.
    pub(super) const fn is_gone(&self) -> bool {
        self.output == GONE
    }

    /// Its output may have others.
    pub(super) fn is_variant(&self) -> bool {
        !self.variant.is_empty()
    }

    /// Where it stands.
    pub(super) const fn place(&self) -> u32 {
        self.place
    }
}

/// All series of a fold.
#[derive(Debug, Default)]
pub(super) struct SeriesOfFold {
    all: Vec<FoldSeries>,
    /// Places in `all`, by hash; nothing while they are few.
    index: Option<Box<HashTable<u32>>>,
}

impl SeriesOfFold {
    /// How many there are.
    pub(super) const fn len(&self) -> usize {
        self.all.len()
    }

    /// All of them.
    pub(super) fn iter(&self) -> std::slice::Iter<'_, FoldSeries> {
        self.all.iter()
    }

    /// Where the series of an output and a variant stands, if there is one.
    pub(super) fn find(&mut self, output: u32, variant: &[u8], state: &ahash::RandomState) -> Option<u32> {
        let is_it = |one: &FoldSeries| one.output == output && *one.variant == *variant;
        if self.all.len() <= FEW {
            return self.all.iter().find(|one| is_it(one)).map(|one| one.place);
        }
        let all = &self.all;
        let hash_of = |one: &FoldSeries| state.hash_one((one.output, &*one.variant));
        let index = self.index.get_or_insert_with(|| {
            let mut index = HashTable::with_capacity(all.len());
            for (one, at) in all.iter().zip(0..) {
                index.insert_unique(hash_of(one), at, |at: &u32| hash_of(&all[*at as usize]));
            }
            Box::new(index)
        });
        let found = index.find(state.hash_one((output, variant)), |at| is_it(&all[*at as usize]))?;
        Some(all[*found as usize].place)
    }

    /// One more, which was not there.
    pub(super) fn push(&mut self, output: u32, variant: &[u8], place: u32, state: &ahash::RandomState) {
        let at = self.all.len() as u32;
        self.all.push(FoldSeries { output, variant: variant.into(), place });
        if let Some(index) = &mut self.index {
            let all = &self.all;
            let hash_of = |at: &u32| state.hash_one((all[*at as usize].output, &*all[*at as usize].variant));
            index.insert_unique(hash_of(&at), at, hash_of);
        }
    }

    /// The rule's outputs are others: where each of them was is said by `place`, if it is there still.
    pub(super) fn move_to(&mut self, place: impl Fn(usize) -> Option<usize>) {
        self.index = None;
        for one in self.all.iter_mut().filter(|one| one.output != GONE) {
            one.output = place(one.output as usize).map_or(GONE, |place| place as u32);
        }
    }

    /// Takes those out that are over.
    pub(super) fn take_over(&mut self, is_over: impl Fn(&FoldSeries) -> bool) -> Vec<FoldSeries> {
        if !self.all.iter().any(&is_over) {
            return Vec::new();
        }
        self.index = None;
        let (gone, kept) = std::mem::take(&mut self.all).into_iter().partition(is_over);
        self.all = kept;
        gone
    }

    /// Takes all out.
    pub(super) fn take_all(&mut self) -> Vec<FoldSeries> {
        self.index = None;
        std::mem::take(&mut self.all)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Whether there are few or many, whatever happened between, each is found, and what is gone is not.
    #[test]
    fn series_are_found_by_output_and_variant() {
        for count in [3, FEW as u32, 1_000] {
            let state = ahash::RandomState::new();
            let (mut series, variant) = (SeriesOfFold::default(), |n: u32| (n / 2).to_le_bytes());
            let check = |series: &mut SeriesOfFold, is_there: &dyn Fn(u32) -> bool| {
                for n in 0..count {
                    let found = series.find(n % 2, &variant(n), &state);
                    assert_eq!(found, is_there(n).then_some(n + 7), "{n} of {count}");
                }
                assert_eq!(series.find(2, &variant(0), &state), None);
            };
            for n in 0..count {
                assert_eq!(series.find(n % 2, &variant(n), &state), None);
                series.push(n % 2, &variant(n), n + 7, &state);
            }
            check(&mut series, &|_| true);
            let over = series.take_over(|one| one.place % 3 == 0);
            assert_eq!(over.len() + series.len(), count as usize);
            check(&mut series, &|n| (n + 7) % 3 != 0);
            // the second output is the first now, and the first is no more
            series.move_to(|output| output.checked_sub(1));
            for n in 0..count {
                let found = series.find(0, &variant(n), &state);
                let second = n / 2 * 2 + 1;
                assert_eq!(found, (second < count && (second + 7) % 3 != 0).then_some(second + 7), "{n} of {count}");
            }
            assert!(series.iter().any(FoldSeries::is_gone));
            assert_eq!(series.take_all().len() + over.len(), count as usize);
            assert_eq!(series.find(0, &variant(0), &state), None);
        }
    }
}
