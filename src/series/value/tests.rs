//! The places of cells, and what a value shows to whom.

use super::*;

const fn cell(core: u16, line: u32) -> CellRef {
    CellRef { core, cumulative: false, line }
}

fn cells(series: &Series) -> (usize, Vec<CellRef>) {
    let mut cells = Vec::new();
    let places = series.each_cell(|cell| cells.push(cell));
    (places, cells)
}

#[test]
fn a_series_whose_dead_cell_was_replaced_does_not_die() {
    let series = lone();
    series.put_cell(cell(0, 1)).unwrap();
    series.put_cell(cell(1, 2)).unwrap();
    // the owner saw both dead; then core 1 came back
    series.put_cell(cell(1, 3)).unwrap();
    assert!(!series.die(&[cell(0, 1), cell(1, 2)], 2));
    assert_eq!(cells(&series), (2, vec![cell(1, 3)]));
    series.put_cell(cell(0, 4)).unwrap();
    assert_eq!(cells(&series), (2, vec![cell(0, 4), cell(1, 3)]), "the place that was buried is used again");
    assert!(series.die(&[cell(0, 4), cell(1, 3)], 2));
    assert_eq!(series.put_cell(cell(0, 5)), Err(Dead));
    assert_eq!(series.put_cell(cell(2, 5)), Err(Dead));
    assert_eq!(cells(&series), (2, vec![]));
}

#[test]
fn a_core_whose_place_is_buried_keeps_the_series_alive_at_its_end() {
    let series = lone();
    series.put_cell(cell(0, 1)).unwrap();
    assert!(series.bury(&[cell(0, 1)], 1));
    series.put_cell(cell(0, 2)).unwrap();
    assert!(!series.close(1));
    series.unbury(1);
    assert_eq!((cells(&series), series.cell_of(0, false)), ((2, vec![cell(0, 2)]), Some(cell(0, 2))));
    // both places are empty, and both may be used again
    series.mark_gone(cell(0, 2));
    series.put_cell(cell(0, 3)).unwrap();
    assert_eq!(cells(&series), (2, vec![cell(0, 3)]));
    assert!(series.die(&[cell(0, 3)], 2));
}

/// What is hidden is so from a cut on: who still reads the cut before sees its value.
#[test]
fn a_value_is_hidden_from_the_cut_on_that_hid_it() {
    let series = lone();
    series.put_value(1, Value::Int(5));
    series.put_hide(true);
    assert!(matches!(series.read(1), ReadValue::Found { .. }));
    series.put_value(2, Value::Int(6));
    assert!(matches!(series.read(1), ReadValue::Found { value: Value::Int(5), .. }));
    assert_eq!((series.read(2), series.value()), (ReadValue::Hidden, Some(Value::Int(6))));
    series.put_hide(false);
    series.put_value(3, Value::Int(7));
    assert_eq!(series.read(2), ReadValue::Hidden);
    assert!(matches!(series.read(3), ReadValue::Found { value: Value::Int(7), .. }));
}

/// What an output is made of stands where others have a chain, and is not there before it left.
#[test]
fn an_output_says_what_it_is_made_of_and_a_hidden_value_is_there_for_who_asks() {
    let series = lone();
    assert_eq!((series.made_of(), series.cuts()), (None, [0, 0]));
    for live in [2, u32::MAX] {
        let made = MadeOf { rule: 0, members: 3, live };
        series.put_made_of(made);
        assert_eq!(series.made_of(), Some(made));
    }
    series.put_hide(true);
    series.put_value(2, Value::Int(5));
    series.put_value(7, Value::Int(6));
    assert_eq!((series.cuts(), series.read(7)), ([7, 2], ReadValue::Hidden));
    assert!(matches!(series.read_hidden(7), ReadValue::Found { value: Value::Int(6), cut: 7, .. }));
    series.end_number(8);
    assert_eq!((series.read_hidden(8), series.read(8)), (ReadValue::Ended, ReadValue::Ended));
}

#[test]
fn an_empty_place_does_not_keep_a_series_alive() {
    let series = lone();
    series.put_cell(cell(0, 1)).unwrap();
    series.put_cell(CellRef { cumulative: true, ..cell(0, 2) }).unwrap();
    series.mark_gone(cell(0, 1));
    assert!(series.die(&[CellRef { cumulative: true, ..cell(0, 2) }], 2));
    let empty = lone();
    assert!(empty.die(&[], 0));
    assert_eq!(empty.put_cell(cell(0, 1)), Err(Dead));
}
