//! A run: operations by chance on a log over a simulated disk, over several lives, each operation's crash images checked.

use super::super::{AppendError, BufferLog, LogTaken, ReaderNumber};
use super::oracle::{Appended, Oracle, Rare, ReaderOracle, at, check};
use super::{STREAM, draw, options, record};
use crate::chance::Chance;
use crate::disk::{Crash, DiskFaults, DiskImage, SimulatedDisk};
use std::collections::BTreeSet;

/// Readers of the log.
const READERS: [&str; 2] = ["a", "b"];
const LIVES: u64 = 3;

/// How a run is.
#[derive(Clone, Copy, Debug)]
pub(super) struct RunPlan {
    pub(super) seed: u64,
    pub(super) is_disk: bool,
    pub(super) has_faults: bool,
    pub(super) operations: usize,
    /// One image in so many is tried.
    pub(super) one_in: u64,
}

struct Run {
    plan: RunPlan,
    chance: Chance,
    disk: SimulatedDisk,
    log: BufferLog,
    readers: Vec<ReaderNumber>,
    /// What is out, by reader.
    out: Vec<Vec<u64>>,
    oracle: Oracle,
    next_id: u64,
    /// Bodies of this life have larger numbers.
    first_id: u64,
    /// The record whose append failed: its number, points, size, and the sequence that it was tried with.
    failed: Option<(u64, u32, usize, u64)>,
    epoch: u64,
}

fn faults(plan: RunPlan) -> DiskFaults {
    match plan.has_faults {
        true => DiskFaults { full: 12, write: 25, sync: 5, names: 30, ..DiskFaults::default() },
        false => DiskFaults::default(),
    }
}

fn open(disk: &SimulatedDisk, plan: RunPlan, epoch: u64) -> Result<(BufferLog, Vec<ReaderNumber>, u64), String> {
    let opened = BufferLog::open(disk.root(), STREAM, options(1_500, plan.is_disk, epoch));
    let (mut log, report) = opened.map_err(|error| error.to_string())?;
    let readers: Result<Vec<_>, _> = READERS.iter().map(|name| log.reader(name)).collect();
    Ok((log, readers.map_err(|error| error.to_string())?, report.torn_bytes))
}

/// Runs; what was wrong, if anything was.
pub(super) fn run(plan: RunPlan, rare: &mut Rare) -> Result<(), String> {
    let mut chance = Chance::new(plan.seed);
    let disk = SimulatedDisk::new(draw(chance.fork()));
    let (log, readers, _) = open(&disk, plan, 1)?;
    let (is_disk, is_split) = (plan.is_disk, plan.has_faults);
    let readers_known = vec![ReaderOracle::default(); READERS.len()];
    let oracle = Oracle { readers: readers_known, is_disk, is_split, ..Oracle::default() };
    let out = vec![Vec::new(); READERS.len()];
    let mut run =
        Run { plan, chance, disk, log, readers, out, oracle, next_id: 1, first_id: 1, failed: None, epoch: 1 };
    for _ in 0..LIVES {
        let (image, before, after) = run.life(rare)?;
        run.die(&image, &before, &after)?;
    }
    Ok(())
}

impl Run {
    /// Operations, every one's images tried; one of them is how this life ends.
    fn life(&mut self, rare: &mut Rare) -> Result<(DiskImage, Oracle, Oracle), String> {
        self.disk.watch();
        self.disk.take_images();
        self.disk.set_faults(faults(self.plan));
        let mut end = None;
        for _ in 0..self.plan.operations {
            let before = self.oracle.clone();
            let what = self.operate()?;
            let images = self.disk.take_images();
            for image in images {
                if self.chance.one_in(self.plan.one_in) {
                    let crash = if self.chance.one_in(2) { Crash::Killed } else { Crash::PowerCut };
                    self.try_image(&image, crash, &before, rare)
                        .map_err(|error| format!("{what}, {crash:?}: {error}"))?;
                }
                // the last of them is likely to be late
                if end.is_none() || self.chance.one_in(2 * self.plan.operations as u64) {
                    end = Some((image, before.clone(), self.oracle.clone()));
                }
            }
        }
        let last = (self.disk.image(), self.oracle.clone(), self.oracle.clone());
        Ok(end.filter(|_| self.chance.one_in(2)).unwrap_or(last))
    }

    fn try_image(&mut self, image: &DiskImage, crash: Crash, before: &Oracle, rare: &mut Rare) -> Result<(), String> {
        rare.images += 1;
        let disk = image.restart(crash, draw(self.chance.fork()));
        let (mut log, readers, torn_bytes) = open(&disk, self.plan, self.epoch + 1)?;
        rare.torn += u64::from(torn_bytes > 0);
        for (which, reader) in readers.into_iter().enumerate() {
            check(&mut log, reader, which, crash, before, &self.oracle, rare)?;
        }
        // and it goes on: what is appended now is what comes next
        let next = log.next_sequence();
        let appended = log.append(&record(u64::MAX, 5, 8, "")).map_err(|error| error.to_string())?;
        if appended != next {
            return Err(format!("{appended} was appended, {next} was next"));
        }
        for number in 0..READERS.len() {
            match log.take(ReaderNumber(number), u64::MAX) {
                LogTaken::Record(taken) if taken.head.sequence == next && taken.tenant.is_empty() => {}
                other => return Err(format!("{next} was appended after the crash, and {other:?} came")),
            }
        }
        Ok(())
    }

    /// The process or the machine goes; another life begins on what is left.
    fn die(&mut self, image: &DiskImage, before: &Oracle, after: &Oracle) -> Result<(), String> {
        let crash = if self.chance.one_in(2) { Crash::Killed } else { Crash::PowerCut };
        self.disk = image.restart(crash, draw(self.chance.fork()));
        self.epoch += 1;
        (self.log, self.readers, _) = open(&self.disk, self.plan, self.epoch)?;
        let next = self.log.next_sequence();
        let mut oracle = after.clone();
        // what the operation did may be there or not
        let all: BTreeSet<u64> = before.records.keys().chain(after.records.keys()).copied().collect();
        for sequence in all {
            let (was, is) = (before.records.get(&sequence), after.records.get(&sequence));
            match (was, is) {
                (Some(was), Some(is)) if was.id == is.id => {
                    oracle.records.get_mut(&sequence).expect("it is there").is_sure = [was.is_sure[at(crash)]; 2];
                }
                _ => {
                    oracle.unclear.insert(sequence);
                    let record = is.or(was).expect("one of them");
                    oracle.records.insert(sequence, Appended { is_sure: [false; 2], ..*record });
                }
            }
        }
        // a kill does not make durable
        if crash == Crash::Killed {
            for (sequence, record) in &mut oracle.records {
                record.is_sure[1] = before.records.get(sequence).is_some_and(|was| was.is_sure[1]) && record.is_sure[0];
            }
        }
        if let Some((.., sequence)) = self.failed.take() {
            oracle.unclear.insert(sequence);
        }
        oracle.records.retain(|sequence, _| *sequence < next);
        oracle.unclear.retain(|sequence| *sequence < next);
        for sequence in 1..next {
            // an append that failed or was under way is there after all, or a void's own number
            if !oracle.records.contains_key(&sequence) {
                oracle.unclear.insert(sequence);
            }
        }
        oracle.banned_now.clear();
        self.first_id = self.next_id;
        oracle.banned = [before.banned[at(crash)].clone(), before.banned[1].clone()];
        for (one, was) in oracle.readers.iter_mut().zip(&before.readers) {
            one.written = match crash {
                Crash::Killed => was.written.clone(),
                Crash::PowerCut => BTreeSet::new(),
            };
            one.settled.extend(&was.settled);
            // what was given up may be there again, or not: the cursor says, and an older one may come back
            one.dropped.extend(&was.dropped);
            one.lost.extend(&was.lost);
        }
        for one in &mut oracle.readers {
            if crash == Crash::PowerCut || after.is_split {
                one.written = BTreeSet::new();
            }
        }
        self.oracle = oracle;
        self.out = vec![Vec::new(); READERS.len()];
        if self.chance.one_in(3) {
            self.void()?;
        }
        Ok(())
    }

    /// What no reader has seen is made void, from somewhere on.
    fn void(&mut self) -> Result<(), String> {
        let seen = self.oracle.readers.iter().flat_map(|one| one.settled.iter().chain(&one.dropped).chain(&one.lost));
        let from = seen.copied().max().unwrap_or(0);
        let next = self.log.next_sequence();
        let done = self.log.readers().iter().map(|reader| reader.done).max().unwrap_or(0);
        let from = from.max(done);
        if from + 1 >= next {
            return Ok(());
        }
        let boundary = from + self.chance.up_to(next - from - 1);
        self.log.void_behind(boundary).map_err(|error| error.to_string())?;
        for (sequence, record) in self.oracle.records.split_off(&(boundary + 1)) {
            self.oracle.banned[0].insert(record.id);
            self.oracle.banned_now.insert(record.id);
            self.oracle.unclear.insert(sequence);
        }
        self.oracle.unclear.extend(boundary + 1..self.log.next_sequence());
        Ok(())
    }

    fn operate(&mut self) -> Result<&'static str, String> {
        let which = self.chance.place(READERS.len());
        match self.chance.up_to(19) {
            0..=7 => {
                self.append();
                Ok("append")
            }
            8..=10 if self.plan.is_disk => {
                self.sync();
                Ok("sync")
            }
            8..=13 => self.take(which).map(|()| "take"),
            14..=17 => {
                self.settle(which);
                Ok("settle")
            }
            18 if self.chance.one_in(4) => {
                self.drop_some(which);
                Ok("drop")
            }
            _ => {
                // what is left is tried again
                let _ = self.log.trim();
                Ok("trim")
            }
        }
    }

    fn append(&mut self) {
        let again = self.failed.take().filter(|_| self.chance.one_in(2));
        let (id, points, bytes) = match again {
            Some((id, points, bytes, _)) => (id, points, bytes),
            None => {
                self.next_id += 1;
                let bytes = if self.chance.one_in(12) { 5_000 } else { self.chance.up_to(400) as usize };
                (self.next_id, self.chance.up_to(9) as u32, bytes)
            }
        };
        self.oracle.tried.insert(id);
        let next = self.log.next_sequence();
        match self.log.append(&record(id, points, bytes, "")) {
            Ok(sequence) => {
                // what was tried in vain before is void, whatever became of it
                let abandoned: Vec<u64> = self.abandoned(id);
                self.oracle.banned[0].extend(&abandoned);
                self.oracle.banned_now.extend(abandoned);
                self.oracle.unclear.extend(next..sequence);
                let is_sure = [!self.oracle.is_split || !self.plan.is_disk, false];
                self.oracle
                    .records
                    .insert(sequence, Appended { id, points: u64::from(points), life: self.epoch, is_sure });
            }
            Err(AppendError::Long(_)) => unreachable!("it is short"),
            Err(_) => {
                self.oracle.unclear.insert(self.log.next_sequence());
                self.failed = Some((id, points, bytes, self.log.next_sequence()));
            }
        }
    }

    /// Bodies that were tried and are in no record, but for this one.
    fn abandoned(&self, id: u64) -> Vec<u64> {
        let known: BTreeSet<u64> = self.oracle.records.values().map(|record| record.id).collect();
        let is_out = |tried: &&u64| **tried != id && !known.contains(tried) && !self.oracle.banned[0].contains(tried);
        // those of earlier lives may be there
        self.oracle.tried.iter().filter(is_out).filter(|tried| **tried > self.first_id).copied().collect()
    }

    fn sync(&mut self) {
        match self.log.sync() {
            Ok(durable) => {
                let new: Vec<u64> = self.oracle.records.range(..=durable).map(|(sequence, _)| *sequence).collect();
                for sequence in new {
                    let record = self.oracle.records.get_mut(&sequence).expect("it is there");
                    if record.life == self.epoch {
                        record.is_sure = [true; 2];
                    }
                }
                let durable = self.oracle.banned_now.clone();
                self.oracle.banned[1].extend(durable);
            }
            Err(_) => assert!(self.plan.has_faults),
        }
    }

    fn take(&mut self, which: usize) -> Result<(), String> {
        match self.log.take(self.readers[which], u64::MAX) {
            LogTaken::Record(taken) => {
                let (sequence, id) = (taken.head.sequence, super::id_of(&taken.body));
                match self.oracle.records.get(&sequence) {
                    Some(record) if record.id == id => {}
                    _ if self.oracle.unclear.contains(&sequence) && self.oracle.tried.contains(&id) => {}
                    other => return Err(format!("{sequence} is {other:?}, and {id} came")),
                }
                self.out[which].push(sequence);
            }
            LogTaken::Lost(lost) => {
                let one = &mut self.oracle.readers[which];
                one.lost.extend((lost.from..=lost.through).filter(|sequence| !one.settled.contains(sequence)));
                for (sequence, record) in self.oracle.records.range(lost.from..=lost.through) {
                    if record.is_sure == [true; 2] {
                        return Err(format!("{sequence} is durable, and {lost:?}"));
                    }
                }
            }
            LogTaken::Waiting | LogTaken::End => {}
        }
        Ok(())
    }

    fn settle(&mut self, which: usize) {
        if self.out[which].is_empty() {
            return;
        }
        let at = self.chance.place(self.out[which].len());
        let sequence = self.out[which].swap_remove(at);
        let settled = self.log.settle(self.readers[which], sequence);
        let one = &mut self.oracle.readers[which];
        match settled {
            Ok(true) => {
                one.settled.insert(sequence);
                one.written.insert(sequence);
            }
            Ok(false) => assert!(one.dropped.contains(&sequence), "{sequence} was out"),
            Err(_) => {
                one.settled.insert(sequence);
            }
        }
    }

    fn drop_some(&mut self, which: usize) {
        let dropped = match self.chance.one_in(2) {
            true => self.log.drop_oldest().0,
            false => {
                let (dropped, _) = self.log.drop_behind(self.readers[which], 2_000);
                dropped.into_iter().map(|dropped| (self.readers[which], dropped)).collect()
            }
        };
        for (reader, dropped) in dropped {
            let one = &mut self.oracle.readers[reader.0];
            one.dropped.extend((dropped.from..=dropped.through).filter(|sequence| !one.settled.contains(sequence)));
            self.out[reader.0].retain(|sequence| *sequence > dropped.through);
        }
    }
}
