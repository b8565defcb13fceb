//! Loom models of a series' cells and values, in the product's own code: cells are added, replaced, buried and closed
//! by several cores at once, and a scrape reads what the owner writes.

use super::value::{CellRef, ReadValue, Series, lone};
use crate::aggregate::number::Value;
use crate::sync::atomic::{AtomicU64, Ordering::Relaxed};
use crate::sync::explore;
use loom::thread;
use std::sync::Arc;

fn series() -> Arc<Series> {
    Arc::new(lone())
}

fn cell(core: u16, line: u32) -> CellRef {
    CellRef { core, cumulative: false, line }
}

/// Two cores add their first cells while the owner closes the list: either the list is closed with exactly the cells
/// that the owner counted, or it is not; and whoever sees a cell sees its words.
fn cells_against_closing(preemptions: usize, close: fn(&Series, usize) -> bool) {
    explore(preemptions, move || {
        let series = series();
        let words: Arc<[AtomicU64; 2]> = Arc::new(std::array::from_fn(|_| AtomicU64::new(0)));
        let cores: Vec<_> = (0..2u16)
            .map(|core| {
                let (series, words) = (series.clone(), words.clone());
                thread::spawn(move || {
                    words[core as usize].store(7, Relaxed);
                    series.add_cell(cell(core, u32::from(core))).is_ok()
                })
            })
            .collect();
        let look = |at: CellRef| assert_eq!(words[at.core as usize].load(Relaxed), 7, "its words come with the cell");
        let counted = series.each_cell(look);
        let closed = close(&series, counted);
        let added = cores.into_iter().map(|core| core.join().unwrap()).filter(|added| *added).count();
        let there = series.each_cell(look);
        assert_eq!(there, added, "a cell is in the list exactly if its core was told so");
        if closed {
            assert_eq!(there, counted, "a closed list has the cells that were counted");
            assert!(series.add_cell(cell(5, 5)).is_err(), "and takes no more");
        } else {
            assert!(there > counted, "it is not closed because another cell came");
        }
    });
}

#[test]
fn loom_cells_are_added_or_the_list_is_closed() {
    cells_against_closing(3, Series::close);
}

/// The rig can fail: an owner that closes whatever place is last takes a cell that it has not counted.
#[test]
#[should_panic(expected = "a closed list has the cells that were counted")]
fn loom_cells_closing_without_having_counted_is_caught() {
    cells_against_closing(3, |series, _| (0..3).any(|places| series.close(places)));
}

/// A core puts a new cell in the place of its dead one while the owner takes that away: the new one stays.
fn replaced_while_taken(preemptions: usize, bury: fn(&Series, CellRef)) {
    explore(preemptions, move || {
        let series = series();
        series.add_cell(cell(0, 1)).unwrap();
        let core = {
            let series = series.clone();
            thread::spawn(move || {
                let there = series.cell_of(0, false).expect("a place once taken stays");
                assert!(there == cell(0, 1) || there.is_gone());
                series.put_cell(cell(0, 2)).unwrap();
            })
        };
        bury(&series, cell(0, 1));
        core.join().unwrap();
        assert_eq!(series.cell_of(0, false), Some(cell(0, 2)), "the new cell stays");
    });
}

#[test]
fn loom_cells_replaced_while_the_old_one_is_taken_away_stay() {
    replaced_while_taken(3, Series::mark_gone);
}

/// The rig can fail: taking away whatever stands there.
#[test]
#[should_panic(expected = "the new cell stays")]
fn loom_cells_taken_blindly_are_lost_and_that_is_caught() {
    replaced_while_taken(3, Series::take_blindly);
}

/// The owner writes the values of four cuts; a scrape of a cut gets that cut's value, an older one, or is overtaken.
#[test]
fn loom_values_a_scrape_reads_one_cut_or_is_overtaken() {
    explore(3, || {
        let series = series();
        let owner = {
            let series = series.clone();
            thread::spawn(move || {
                for cut in 1..=3 {
                    series.put_value(cut, Value::Int(i64::from(cut) * 10));
                }
            })
        };
        match series.read(2) {
            ReadValue::Found { value, slot, cut } => {
                assert!((1..=2).contains(&cut));
                assert_eq!(value, Value::Int(i64::from(cut) * 10), "the value is that of its cut");
                assert!(slot < 2);
            }
            ReadValue::NotYet | ReadValue::Overtaken => {}
            ReadValue::Ended | ReadValue::Hidden => panic!("nobody ended or hid it"),
        }
        owner.join().unwrap();
        assert_eq!(
            series.read(3),
            ReadValue::Found { value: Value::Int(30), slot: 0, cut: 3 },
            "and the newest is there in the end"
        );
        assert!(matches!(series.read(2), ReadValue::Found { cut: 2, .. }), "with the one before it");
        assert_eq!(series.read(1), ReadValue::Overtaken);
    });
}

/// Words beside the slot, as a histogram's block: `still` says afterwards whether they were of one cut.
fn block(preemptions: usize, still: fn(&Series, usize, u32) -> bool) {
    explore(preemptions, move || {
        let series = series();
        let words: Arc<[[AtomicU64; 2]; 2]> =
            Arc::new(std::array::from_fn(|_| std::array::from_fn(|_| AtomicU64::new(0))));
        let owner = {
            let (series, words) = (series.clone(), words.clone());
            let write = move |cut: u32| {
                series.with_slot(cut, |_, slot| {
                    words[slot].iter().for_each(|word| word.store(u64::from(cut), Relaxed));
                });
            };
            write(1);
            thread::spawn(move || (2..=3).for_each(write))
        };
        if let ReadValue::Found { slot, cut, .. } = series.read(1) {
            let read = [0, 1].map(|i| words[slot][i].load(Relaxed));
            if still(&series, slot, cut) {
                assert_eq!(read, [u64::from(cut); 2], "the words are of one cut");
            }
        }
        owner.join().unwrap();
    });
}

#[test]
fn loom_values_words_that_are_still_of_a_cut_are_of_that_cut() {
    block(3, Series::still);
}

/// The rig can fail: a scrape that does not ask afterwards.
#[test]
#[should_panic(expected = "the words are of one cut")]
fn loom_values_words_that_nobody_asked_about_are_caught() {
    block(3, |_, _, _| true);
}
