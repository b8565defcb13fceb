//! Loom models of expiry in two cuts: `cells::lifecycle` and `sync::cut` as the product runs them, one key, one writer, one
//! owner.
//!
//! The writer's shard adds points through a route it caches; the owner coordinates, merges, retires and unlinks.
//! The index is one word here: which series the key leads to. The writer may be skipped at any cut.

use crate::cells::lifecycle::{RetireOutcome, State, Touch, begin_retire, finish_retire, state, touch};
use crate::cells::stamp::{interval_of, points_of, stamp};
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::sync::cut::{CutBoard, CutTimes, Publish};
use crate::sync::explore;
use loom::thread;
use std::sync::Arc;

/// Series that the key can lead to, one after the other.
const SERIES: usize = 2;
/// The key leads nowhere.
const NOWHERE: usize = SERIES;

struct Series {
    state: AtomicU64,
    stamps: [AtomicU64; 2],
}

struct Model {
    board: CutBoard,
    series: [Series; SERIES],
    index: AtomicUsize,
}

/// How a writer asks whether a series lives: the product's `touch`, or a broken one.
type Ask = fn(&AtomicU64, u64, &AtomicU64) -> Touch;

impl Model {
    fn new() -> Arc<Self> {
        Arc::new(Model {
            board: CutBoard::new(1),
            series: std::array::from_fn(|_| Series {
                state: AtomicU64::new(State::Live as u64),
                stamps: std::array::from_fn(|_| AtomicU64::new(0)),
            }),
            index: AtomicUsize::new(0),
        })
    }

    /// Adds a point to the series the writer's route leads to, or to the next one if that is dead.
    fn point(&self, writer: &mut Writer, ask: Ask) {
        let view = self.board.view(0);
        loop {
            let series = &self.series[writer.route];
            let bank = &series.stamps[view.open_bank];
            if interval_of(writer.stamp) != view.open_interval {
                let fresh = stamp(view.open_interval, 0);
                if ask(bank, fresh, &series.state) == Touch::Dead {
                    writer.route = self.resolve(writer.route);
                    continue;
                }
                writer.stamp = fresh;
            }
            writer.stamp += 1;
            bank.store(writer.stamp, Ordering::Relaxed);
            return;
        }
    }

    /// Unlinks a dead series, if the owner has not yet, and inserts the next.
    fn resolve(&self, dead: usize) -> usize {
        assert!(dead + 1 < SERIES, "a series dies once in these models");
        let _ = self.index.compare_exchange(dead, NOWHERE, Ordering::AcqRel, Ordering::Acquire);
        match self.index.compare_exchange(NOWHERE, dead + 1, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => dead + 1,
            Err(found) => found,
        }
    }

    fn turn(&self) {
        let number = self.board.published();
        if self.board.view(0).number < number {
            self.board.try_switch(0, number);
        }
    }
}

/// What the writer keeps on its own core.
#[derive(Default)]
struct Writer {
    route: usize,
    /// What it last wrote into the open bank: nobody else writes there, so it need not look.
    stamp: u64,
}

/// The owner's side, and what it has merged.
struct Owner {
    model: Arc<Model>,
    emitted: u64,
    retiring: bool,
    unlinked: bool,
}

impl Owner {
    /// One cut: publish, skip whoever is late, merge, take one step of expiry.
    fn cut(&mut self, number: u32) {
        let model = self.model.clone();
        let board = &model.board;
        assert_eq!(board.publish(number, CutTimes::at(u64::from(number))), Publish::Published);
        board.skip_late(number);
        // The writer may have switched without having counted it yet.
        while !board.all_closed(number) {
            thread::yield_now();
        }
        let touched = self.merge();
        self.expire(touched);
        // The writer owns nothing: its merge is done here, so that it only has to switch.
        assert!(board.fold_done(0, number) && board.merge_done(0, number));
    }

    /// Merges what the writer closed; whether the first series was touched (invariant 2 of `lifecycle`).
    fn merge(&mut self) -> bool {
        let view = self.model.board.view(0);
        let mut touched = false;
        for (at, series) in self.model.series.iter().enumerate() {
            if at == 0 && self.unlinked {
                continue;
            }
            if let Some(closed) = view.closed {
                let word = series.stamps[closed.bank].load(Ordering::Relaxed);
                if interval_of(word) == closed.interval {
                    self.emitted += points_of(word);
                    touched |= at == 0;
                }
            }
            if at == 0 {
                let word = series.stamps[view.open_bank].load(Ordering::Relaxed);
                touched |= interval_of(word) == view.open_interval;
            }
        }
        touched
    }

    /// Every series that was not touched is idle enough here.
    fn expire(&mut self, touched: bool) {
        let series = &self.model.series[0];
        if self.retiring {
            self.retiring = false;
            if finish_retire(&series.state, touched) == RetireOutcome::Dead {
                let index = &self.model.index;
                let _ = index.compare_exchange(0, NOWHERE, Ordering::AcqRel, Ordering::Acquire);
                self.unlinked = true;
            }
        } else if !self.unlinked && !touched {
            self.retiring = begin_retire(&series.state);
        }
    }
}

/// `turns` of the writer: `true` adds a point, `false` is a turn of its loop without a request.
fn model(turns: &'static [bool], cuts: u32, ask: Ask, expect: fn(&Owner)) {
    let died = Arc::new([const { core::sync::atomic::AtomicU64::new(0) }; 2]);
    let counted = died.clone();
    explore(2, move || {
        let model = Model::new();
        let writer = {
            let model = model.clone();
            thread::spawn(move || {
                let mut state = Writer::default();
                for point in turns {
                    if *point {
                        model.point(&mut state, ask);
                    }
                    model.turn();
                }
            })
        };
        let mut owner = Owner { model, emitted: 0, retiring: false, unlinked: false };
        for number in 1..=cuts {
            owner.cut(number);
        }
        writer.join().unwrap();
        expect(&owner);
        let (dead, leads_to) =
            (state(&owner.model.series[0].state) == State::Dead, owner.model.index.load(Ordering::Acquire));
        assert_eq!(dead, leads_to != 0, "the key leads to a series that takes points, or nowhere");
        assert_eq!(dead, owner.unlinked);
        counted[usize::from(dead)].fetch_add(1, core::sync::atomic::Ordering::Relaxed);
        // Shutdown: one more cut that the writer's shard is in time for.
        let board = &owner.model.board;
        assert_eq!(board.publish(cuts + 1, CutTimes::at(0)), Publish::Published);
        board.try_switch(0, cuts + 1);
        owner.merge();
        let sent = turns.iter().filter(|point| **point).count() as u64;
        assert_eq!(owner.emitted, sent, "no point is lost and none counted twice");
    });
    let [lived, died] = [0, 1].map(|at| died[at].load(core::sync::atomic::Ordering::Relaxed));
    println!("the series lived in {lived} executions and died in {died}");
    assert!(died > 0, "a model in which nothing dies shows nothing");
}

#[test]
fn loom_expiry_loses_no_point_around_two_cuts() {
    model(&[true, true], 2, touch, |_| {});
}

#[test]
fn loom_expiry_loses_no_point_around_three_cuts() {
    model(&[true, false, true], 3, touch, |_| {});
}

#[test]
fn loom_expiry_takes_an_idle_series() {
    model(&[false], 2, touch, |owner| assert!(owner.unlinked, "nobody touched it"));
}

/// The rig can fail: asking before stamping lets a point into a series that dies in between.
#[test]
#[should_panic(expected = "no point is lost and none counted twice")]
fn loom_expiry_asking_before_stamping_is_caught() {
    fn broken(stamp: &AtomicU64, word: u64, life: &AtomicU64) -> Touch {
        let dead = state(life) == State::Dead;
        stamp.store(word, Ordering::Relaxed);
        if dead { Touch::Dead } else { Touch::Live }
    }
    model(&[true, true], 2, broken, |_| {});
}

/// The rig can fail: without the fence, writer and owner can miss each other's store.
#[test]
#[should_panic(expected = "no point is lost and none counted twice")]
fn loom_expiry_without_the_fence_is_caught() {
    fn broken(stamp: &AtomicU64, word: u64, life: &AtomicU64) -> Touch {
        stamp.store(word, Ordering::Relaxed);
        if state(life) == State::Dead { Touch::Dead } else { Touch::Live }
    }
    model(&[true, true], 2, broken, |_| {});
}
