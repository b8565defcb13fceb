//! Places in a vector, found by number and used again: what is free at its end goes.
//!
//! Knows which numbers are free; does not know what stands there.
//!
//! Bounds: a vector that grew past `TRIM_AT` places keeps no more than four times those up to its last one in use, once
//! `trim` was called.

/// Fewer places than this are not worth a look.
const TRIM_AT: usize = 1024;

/// Puts `new` into a free place, or a new one; returns which.
pub(crate) fn put<T>(all: &mut Vec<T>, free: &mut Vec<u32>, new: T) -> u32 {
    match free.pop() {
        Some(id) => {
            all[id as usize] = new;
            id
        }
        None => {
            all.push(new);
            all.len() as u32 - 1
        }
    }
}

/// After many have gone: forgets free places behind the last one in use, and gives the memory back; the lowest are used
/// next. Takes a walk over what is free, where three of four places are.
pub(crate) fn trim<T>(all: &mut Vec<T>, free: &mut Vec<u32>, is_free: impl Fn(&T) -> bool) {
    if all.len() < TRIM_AT || free.len() < all.len() / 4 * 3 {
        return;
    }
    let used = all.iter().rposition(|one| !is_free(one)).map_or(0, |last| last + 1);
    all.truncate(used);
    free.retain(|id| (*id as usize) < used);
    free.sort_unstable_by(|a, b| b.cmp(a));
    if all.capacity() / 4 > used {
        all.shrink_to(used * 2);
    }
    if free.capacity() / 4 > free.len() {
        free.shrink_to(free.len() * 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_free_at_the_end_goes_and_the_rest_keeps_its_numbers() {
        for stays in [vec![], vec![0], vec![3, 70], vec![3, 5_000]] {
            let (mut all, mut free) = (Vec::new(), Vec::new());
            for n in 0..10_000 {
                assert_eq!(put(&mut all, &mut free, Some(n)), n);
            }
            for n in (0..10_000).filter(|n| !stays.contains(n)) {
                all[n as usize] = None;
                free.push(n);
            }
            trim(&mut all, &mut free, Option::is_none);
            let used = stays.last().map_or(0, |last| *last as usize + 1);
            assert_eq!((all.len(), free.len()), (used, used - stays.len()), "{stays:?}");
            assert!(all.capacity() <= 4 * used.max(1) && free.capacity() <= 4 * used.max(1), "{stays:?}");
            assert!(stays.iter().all(|n| all[*n as usize] == Some(*n)));
            let lowest = (0..).find(|n| !stays.contains(n));
            assert_eq!(Some(put(&mut all, &mut free, Some(7))), lowest);
        }
    }

    #[test]
    fn few_places_and_places_in_use_stay() {
        let (mut all, mut free): (Vec<u32>, Vec<u32>) = ((0..2_000).collect(), (0..1_000).rev().collect());
        trim(&mut all, &mut free, |n| *n >= 1_000);
        assert_eq!((all.len(), free.len()), (2_000, 1_000));
        let (mut all, mut free): (Vec<u32>, Vec<u32>) = ((0..1_000).collect(), (0..1_000).collect());
        trim(&mut all, &mut free, |_| true);
        assert_eq!((all.len(), free.len()), (1_000, 1_000));
    }
}
