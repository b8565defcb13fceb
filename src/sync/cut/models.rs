//! Loom models of the cut: two shards that count points, a coordinator that skips whoever is late.

use super::*;
use crate::sync::atomic::AtomicU8;
use crate::sync::explore;
use loom::thread;
use std::sync::Arc;

/// Two shards with two banks each; a bank is one word, interval above and count below, as a cell's stamp.
struct Model {
    board: CutBoard,
    banks: [[AtomicU64; 2]; 2],
    /// What each shard handed over at its last fold: the cut, for a reader to know it by.
    handed: [AtomicU32; 2],
    /// What merges took, and how many merges ran: only sums after the threads are joined, so loom need not see them.
    emitted: core::sync::atomic::AtomicU64,
    lasts: core::sync::atomic::AtomicU32,
}

impl Model {
    fn new() -> Arc<Self> {
        Arc::new(Model {
            board: CutBoard::new(2),
            banks: std::array::from_fn(|_| std::array::from_fn(|_| AtomicU64::new(0))),
            handed: std::array::from_fn(|_| AtomicU32::new(0)),
            emitted: Default::default(),
            lasts: Default::default(),
        })
    }

    /// One point arrives at a shard: the writer resets the bank at its first touch in an interval.
    fn point(&self, shard: usize) {
        let view = self.board.view(shard);
        let bank = &self.banks[shard][view.open_bank];
        let word = bank.load(Ordering::Relaxed);
        let first = u64::from(view.open_interval) << 32;
        bank.store(if word >> 32 == first >> 32 { word + 1 } else { first + 1 }, Ordering::Relaxed);
    }

    /// One turn of a shard's loop without a request. Shard 0 owns the only series and merges both shards' banks.
    fn turn(&self, shard: usize) {
        match self.board.due(shard) {
            Due::Nothing => {}
            Due::Switch(cut) => {
                assert_eq!(cut.times.boundary_ns, u64::from(cut.number) * 10);
                if self.board.try_switch(shard, cut.number) == (Switch::Switched { last: true }) {
                    self.last();
                }
            }
            Due::Merge(cut) => {
                assert_eq!(cut.times.boundary_ns, u64::from(cut.number) * 10);
                if shard == 0 {
                    self.merge(cut.number);
                }
                self.fold(shard, cut.number);
            }
            Due::Settle(cut) => {
                self.take(cut.number);
                self.board.merge_done(shard, cut.number);
            }
        }
    }

    /// Hands over what the shard's members gave.
    fn fold(&self, shard: usize, number: u32) {
        self.handed[shard].store(number, Ordering::Relaxed);
        self.board.fold_done(shard, number);
    }

    /// Takes what all shards handed over: that of this cut, not one before it and not one after it.
    fn take(&self, number: u32) {
        for handed in &self.handed {
            assert_eq!(handed.load(Ordering::Relaxed), number, "what all shards gave at this cut");
        }
    }

    fn merge(&self, number: u32) {
        for shard in 0..2 {
            if let Some(closed) = self.board.closed(shard, number) {
                self.emit(self.banks[shard][closed.bank].load(Ordering::Relaxed), closed.interval);
            }
        }
    }

    fn emit(&self, word: u64, interval: u32) {
        if word >> 32 == u64::from(interval) {
            self.emitted.fetch_add(word & 0xFFFF_FFFF, core::sync::atomic::Ordering::Relaxed);
        }
    }

    fn last(&self) {
        self.lasts.fetch_add(1, core::sync::atomic::Ordering::Relaxed);
    }

    /// Shutdown, alone: ends the merge under way, cuts once more and merges that. All points are out then.
    fn shut_down(&self, cuts: u32) {
        let finish = || (0..2).for_each(|shard| self.turn(shard));
        for _ in 0..3 {
            finish();
        }
        let number = self.board.published();
        assert!(self.board.all_merged(number), "cut {number} is merged when every shard has turned");
        assert_eq!(self.lasts.load(core::sync::atomic::Ordering::Relaxed), number, "one last closer per cut");
        assert!(number <= cuts);
        assert_eq!(self.board.publish(number + 1, CutTimes::at(u64::from(number + 1) * 10)), Publish::Published);
        for _ in 0..3 {
            finish();
        }
        assert!(self.board.all_merged(number + 1));
    }
}

fn model(preemptions: usize, points: [u64; 2], cuts: u32, skip: bool) {
    explore(preemptions, move || {
        let model = Model::new();
        let shards: Vec<_> = (0..2)
            .map(|shard| {
                let model = model.clone();
                thread::spawn(move || {
                    for _ in 0..points[shard] {
                        model.point(shard);
                        model.turn(shard);
                    }
                })
            })
            .collect();
        let mut next = 1;
        for _ in 0..cuts {
            match model.board.publish(next, CutTimes::at(u64::from(next) * 10)) {
                Publish::Postponed => assert!(next > 1, "nothing to wait for before the first cut"),
                Publish::Published => next += 1,
            }
            if skip && next > 1 && model.board.skip_late(next - 1).last {
                model.last();
            }
        }
        shards.into_iter().for_each(|shard| shard.join().unwrap());
        model.shut_down(cuts);
        let emitted = model.emitted.load(core::sync::atomic::Ordering::Relaxed);
        assert_eq!(emitted, points[0] + points[1], "every point is in exactly one interval");
    });
}

#[test]
fn loom_cut_with_two_busy_shards_counts_each_point_once() {
    model(2, [2, 2], 1, false);
}

#[test]
fn loom_cut_with_a_late_shard_skips_it_and_counts_each_point_once() {
    model(2, [2, 2], 1, true);
}

#[test]
fn loom_cut_is_postponed_while_a_merge_runs() {
    model(2, [3, 1], 2, true);
}

/// The end of the process, as `runtime` has it: the phase is set before the last cut is published; a shard that switches
/// looks at it, and from then on refuses what comes. Whatever was accepted is out when the last cut is merged.
fn last_cut(preemptions: usize, ordinary_first: bool, look: fn(&AtomicU8) -> bool) {
    explore(preemptions, move || {
        let model = Model::new();
        let phase = Arc::new(AtomicU8::new(0));
        let shards: Vec<_> = (0..2)
            .map(|shard| {
                let (model, phase) = (model.clone(), phase.clone());
                thread::spawn(move || {
                    let (mut accepted, mut closed) = (0, false);
                    for _ in 0..2 {
                        if !closed {
                            model.point(shard);
                            accepted += 1;
                        }
                        let before = model.board.view(shard).number;
                        model.turn(shard);
                        closed |= model.board.view(shard).number > before && look(&phase);
                    }
                    (accepted, closed)
                })
            })
            .collect();
        let mut number = 0;
        if ordinary_first && model.board.publish(1, CutTimes::at(10)) == Publish::Published {
            number = 1;
        }
        phase.store(1, Ordering::Release);
        if model.board.publish(number + 1, CutTimes::at(u64::from(number + 1) * 10)) == Publish::Published {
            number += 1;
        }
        let ends: Vec<(u64, bool)> = shards.into_iter().map(|shard| shard.join().unwrap()).collect();
        let finish = || (0..2).for_each(|shard| model.turn(shard));
        (0..3).for_each(|_| finish());
        if number == u32::from(ordinary_first) {
            // it was postponed: the coordinator publishes it once the merge before is done
            assert_eq!(model.board.publish(number + 1, CutTimes::at(u64::from(number + 1) * 10)), Publish::Published);
            (0..3).for_each(|_| finish());
        } else {
            for (shard, (_, closed)) in ends.iter().enumerate() {
                let switched = model.board.view(shard).number;
                assert!(!closed || switched > 0, "only a switch closes a shard");
            }
        }
        let emitted = model.emitted.load(core::sync::atomic::Ordering::Relaxed);
        assert_eq!(
            emitted,
            ends.iter().map(|(accepted, _)| accepted).sum::<u64>(),
            "nothing stays behind the last cut"
        );
    });
}

#[test]
fn loom_cut_the_last_one_leaves_nothing_behind() {
    last_cut(2, false, |phase| phase.load(Ordering::Acquire) == 1);
}

#[test]
fn loom_cut_the_last_one_behind_an_ordinary_one_leaves_nothing_behind() {
    last_cut(2, true, |phase| phase.load(Ordering::Acquire) == 1);
}

/// The rig can fail: a shard that does not look at the phase takes points behind the last cut.
#[test]
#[should_panic(expected = "nothing stays behind the last cut")]
fn loom_cut_a_shard_that_goes_on_after_the_last_one_is_caught() {
    last_cut(2, false, |_| false);
}

/// The rig can fail: a merge that does not ask what was closed reads a bank that is being written.
#[test]
#[should_panic(expected = "every point is in exactly one interval")]
fn loom_cut_merging_a_skipped_shard_is_caught() {
    explore(2, || {
        let model = Model::new();
        let writer = {
            let model = model.clone();
            thread::spawn(move || {
                model.point(1);
                model.turn(1);
                model.point(1);
            })
        };
        model.board.publish(1, CutTimes::at(10));
        model.board.try_switch(0, 1);
        if model.board.skip_late(1).last {
            // Broken: takes the open bank of the shard that was skipped.
            model.emit(model.banks[1][0].load(Ordering::Relaxed), 1);
            model.fold(0, 1);
        }
        writer.join().unwrap();
        for shard in [1, 0, 1, 0] {
            model.turn(shard);
            model.turn(shard);
        }
        if model.board.publish(2, CutTimes::at(20)) == Publish::Published {
            for _ in 0..3 {
                (0..2).for_each(|shard| model.turn(shard));
            }
        }
        let emitted = model.emitted.load(core::sync::atomic::Ordering::Relaxed);
        assert_eq!(emitted, 2, "every point is in exactly one interval");
    });
}

/// Two cuts of two shards that have closed, each with both halves: what all handed over at a cut is taken at that cut.
/// `look`: whether a shard may settle.
fn two_halves(look: fn(&CutBoard, usize, u32) -> bool) {
    explore(2, move || {
        let model = Model::new();
        assert_eq!(model.board.publish(1, CutTimes::at(10)), Publish::Published);
        (0..2).for_each(|shard| {
            model.board.try_switch(shard, 1);
        });
        let other = {
            let model = model.clone();
            thread::spawn(move || {
                for _ in 0..2 {
                    model.turn(1);
                }
            })
        };
        model.turn(0);
        if look(&model.board, 0, 1) {
            model.take(1);
        }
        model.turn(0);
        other.join().unwrap();
        for _ in 0..2 {
            (0..2).for_each(|shard| model.turn(shard));
        }
        assert_eq!(model.board.publish(2, CutTimes::at(20)), Publish::Published);
        for _ in 0..3 {
            (0..2).for_each(|shard| model.turn(shard));
        }
        assert!(model.board.all_merged(2));
    });
}

#[test]
fn loom_cut_what_all_shards_folded_is_settled_at_the_same_cut() {
    two_halves(|board, _, number| board.all_folded(number));
}

/// The rig can fail: a shard that settles as soon as all have closed takes what others have not handed over yet.
#[test]
#[should_panic(expected = "what all shards gave at this cut")]
fn loom_cut_settling_when_all_have_closed_is_caught() {
    two_halves(|board, _, number| board.all_closed(number));
}

/// Two shards at work over two cuts: no shard hands over anything between a cut's last fold and its last settling.
#[test]
fn loom_cut_nothing_is_handed_over_while_others_settle() {
    explore(2, || {
        let model = Model::new();
        assert_eq!(model.board.publish(1, CutTimes::at(10)), Publish::Published);
        let other = {
            let model = model.clone();
            thread::spawn(move || {
                for _ in 0..4 {
                    model.turn(1);
                }
            })
        };
        (0..3).for_each(|_| model.turn(0));
        let published = model.board.publish(2, CutTimes::at(20)) == Publish::Published;
        (0..2).for_each(|_| model.turn(0));
        other.join().unwrap();
        for _ in 0..6 {
            (0..2).for_each(|shard| model.turn(shard));
        }
        assert!(model.board.all_merged(1 + u32::from(published)));
    });
}
