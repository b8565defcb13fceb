//! Loom models of the death of a series, in the product's own code: life cycle, list of cells, and index together.
//!
//! A cut is being merged: the owner has marked the series' one cell at the cut before and now decides about it. Meanwhile
//! the cell's core adds a point through its route, and another core one through the index. The slabs, and the loops of
//! `ingest` (first touch, in `open`), of `resolve` (cell in series, in `links`) and of `flush::retire` (decision), are written here
//! again; what they call is the product's.

use super::index::{IndexCursor, Leaf, Lookup, Trie};
use super::value::{CellRef, Dead, Series, lone};
use crate::cells::lifecycle::{RetireOutcome, State, Touch, finish_retire, state, touch};
use crate::cells::stamp::{interval_of, points_of, stamp};
use crate::sync::atomic::{AtomicU64, Ordering::Relaxed};
use crate::sync::explore;
use crate::sync::reclaim::Leak;
use loom::thread;
use std::sync::Arc;

/// The interval that is open.
const OPEN: u32 = 2;
/// Lines: the old cell's, and of each core those it takes new.
const LINES: usize = 5;

struct Model {
    index: Trie<Series, Leak>,
    states: [AtomicU64; LINES],
    /// Of the open bank; the closed one was merged before.
    stamps: [AtomicU64; LINES],
}

/// How a core gives a series a cell.
type Put = fn(&Series, CellRef) -> Result<(), Dead>;
/// How the owner ends a series.
type Die = fn(&Series, &[CellRef], usize) -> bool;

const fn cell(core: u16, line: u32) -> CellRef {
    CellRef { core, cumulative: false, line }
}

impl Model {
    fn new() -> (Arc<Model>, Arc<Series>) {
        let model = Model {
            index: Trie::new(),
            states: std::array::from_fn(|line| {
                AtomicU64::new(if line == 0 { State::Retiring } else { State::Live } as u64)
            }),
            stamps: std::array::from_fn(|_| AtomicU64::new(0)),
        };
        let (model, series) = (Arc::new(model), Arc::new(lone()));
        series.put_cell(cell(0, 0)).unwrap();
        assert!(matches!(
            model.index.get_or_insert(series.hash, |_| true, || Some(series.clone())),
            Lookup::Inserted(_)
        ));
        (model, series)
    }

    /// A point of a core, through its route if it has one.
    fn point(&self, core: u16, mut route: Option<u32>, put: Put) {
        let mut lines = 2 * u32::from(core) + 1..2 * u32::from(core) + 3;
        loop {
            let line = route.unwrap_or_else(|| self.resolve(core, &mut lines, put));
            let at = line as usize;
            if touch(&self.stamps[at], stamp(OPEN, 0), &self.states[at]) == Touch::Live {
                self.stamps[at].store(stamp(OPEN, 1), Relaxed);
                return;
            }
            self.stamps[at].store(0, Relaxed);
            route = None;
        }
    }

    /// The line of the core's cell in the series that the index leads to.
    fn resolve(&self, core: u16, lines: &mut impl Iterator<Item = u32>, put: Put) -> u32 {
        loop {
            let series = match self.index.get_or_insert(lone_hash(), |_| true, || Some(Arc::new(lone()))) {
                Lookup::Found(series) | Lookup::Inserted(series) => series,
                Lookup::Refused => unreachable!("nothing refuses"),
            };
            if let Some(there) = series.cell_of(core, false)
                && !there.is_gone()
                && state(&self.states[there.line as usize]) != State::Dead
            {
                return there.line;
            }
            let line = lines.next().expect("a series dies once in these models");
            if put(&series, cell(core, line)).is_ok() {
                return line;
            }
            self.index.remove(&series);
        }
    }

    /// The owner decides; whether the series died.
    fn decide(&self, series: &Arc<Series>, die: Die) -> bool {
        let mut touched = false;
        series.each_cell(|cell| touched |= interval_of(self.stamps[cell.line as usize].load(Relaxed)) == OPEN);
        let (mut dead, mut live) = (Vec::new(), 0);
        let places = series.each_cell(|cell| match finish_retire(&self.states[cell.line as usize], touched) {
            RetireOutcome::Dead => dead.push(cell),
            RetireOutcome::BackToLive => live += 1,
        });
        if live == 0 && die(series, &dead, places) {
            self.index.remove(series);
            return true;
        }
        dead.into_iter().for_each(|cell| series.mark_gone(cell));
        false
    }
}

fn lone_hash() -> u64 {
    1
}

/// What is left in the end: one series in the index, alive, with the points of all `cores`.
fn model(preemptions: usize, cores: &'static [u16], put: Put, die: Die) {
    let ends = Arc::new([const { core::sync::atomic::AtomicU64::new(0) }; 2]);
    let counted = ends.clone();
    explore(preemptions, move || {
        let (model, series) = Model::new();
        let writers: Vec<_> = cores
            .iter()
            .map(|core| {
                let model = model.clone();
                thread::spawn(move || model.point(*core, (*core == 0).then_some(0), put))
            })
            .collect();
        let died = model.decide(&series, die);
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        counted[usize::from(died)].fetch_add(1, core::sync::atomic::Ordering::Relaxed);
        let (mut linked, mut points, mut at) = (0, 0, IndexCursor::default());
        assert!(model.index.walk(&mut at, usize::MAX, |found| {
            linked += 1;
            assert_eq!(Arc::ptr_eq(found, &series), !died, "a series that died is not in the index, one that lives is");
            found.each_cell(|cell| {
                let at = cell.line as usize;
                assert_ne!(state(&model.states[at]), State::Dead, "nobody is left with a dead cell");
                points += points_of(model.stamps[at].load(Relaxed)) as usize;
            });
        }));
        assert_eq!((linked, points), (1, cores.len()), "one series has every point");
    });
    let [lived, died] = [0, 1].map(|at| ends[at].load(core::sync::atomic::Ordering::Relaxed));
    println!("the series lived in {lived} executions and died in {died}");
    assert!(lived > 0 && died > 0, "a model in which it does not go both ways shows nothing");
}

#[test]
fn loom_death_and_the_return_of_its_core() {
    model(3, &[0], Series::put_cell, Series::die);
}

#[test]
fn loom_death_and_a_birth_on_another_core() {
    model(3, &[1], Series::put_cell, Series::die);
}

#[test]
fn loom_death_a_return_and_a_birth() {
    model(2, &[0, 1], Series::put_cell, Series::die);
}

/// The rig can fail: an owner that closes the list without burying its places.
#[test]
#[should_panic(expected = "one series has every point")]
fn loom_death_without_burying_is_caught() {
    model(3, &[0], Series::put_cell, |series, _, seen| series.close(seen));
}

/// The rig can fail: a core that takes a buried place for the death of the series.
#[test]
#[should_panic(expected = "one that lives is")]
fn loom_death_told_by_a_buried_place_is_caught() {
    fn broken(series: &Series, cell: CellRef) -> Result<(), Dead> {
        if series.is_buried_for(cell) { Err(Dead) } else { series.put_cell(cell) }
    }
    model(2, &[0, 1], broken, Series::die);
}
