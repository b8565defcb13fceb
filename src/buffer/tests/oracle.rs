//! What must be in a log after a crash, what may be, and what must not: kept beside a run, without looking at the disk.

use super::super::{BufferLog, LogTaken, ReaderNumber};
use super::id_of;
use crate::disk::Crash;
use std::collections::{BTreeMap, BTreeSet};

/// A record that was appended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Appended {
    pub(super) id: u64,
    pub(super) points: u64,
    /// The life it is of: a later one's sync says nothing about it.
    pub(super) life: u64,
    /// It must be there after the process was killed, and after the power went.
    pub(super) is_sure: [bool; 2],
}

/// How far one reader is.
#[derive(Clone, Debug, Default)]
pub(super) struct ReaderOracle {
    /// Settled in any life.
    pub(super) settled: BTreeSet<u64>,
    /// Settled, and its cursor written without an error: none of them comes again after a kill.
    pub(super) written: BTreeSet<u64>,
    /// Given up for want of room, or told as lost.
    pub(super) dropped: BTreeSet<u64>,
    pub(super) lost: BTreeSet<u64>,
}

/// All that is known.
#[derive(Clone, Debug, Default)]
pub(super) struct Oracle {
    /// By sequence.
    pub(super) records: BTreeMap<u64, Appended>,
    /// Numbers of all bodies that were ever handed to the log.
    pub(super) tried: BTreeSet<u64>,
    /// Bodies that must not be seen after a kill, and after the power went.
    pub(super) banned: [BTreeSet<u64>; 2],
    /// Those of this life: a sync makes the *voids* durable that say so.
    pub(super) banned_now: BTreeSet<u64>,
    /// Sequences of which it is not clear what is there: a failed append, or what was void and may be back.
    pub(super) unclear: BTreeSet<u64>,
    pub(super) readers: Vec<ReaderOracle>,
    /// What is appended is synced.
    pub(super) is_disk: bool,
    /// A sync may have failed: what the cache calls clean may change.
    pub(super) is_split: bool,
}

/// What a crash image was found to have that is rare.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rare {
    pub(super) images: u64,
    pub(super) torn: u64,
    pub(super) lost: u64,
    pub(super) again: u64,
    pub(super) vanished: u64,
    pub(super) dropped: u64,
}

pub(super) const fn at(crash: Crash) -> usize {
    match crash {
        Crash::Killed => 0,
        Crash::PowerCut => 1,
    }
}

/// Drains a reader of a log that was opened after a crash, and compares. `before` and `after` are what is known before and
/// behind the operation in which it crashed.
pub(super) fn check(
    log: &mut BufferLog,
    reader: ReaderNumber,
    which: usize,
    crash: Crash,
    before: &Oracle,
    after: &Oracle,
    rare: &mut Rare,
) -> Result<(), String> {
    let (one, one_after) = (&before.readers[which], &after.readers[which]);
    let must = |sequence: &u64| {
        let record = before.records.get(sequence);
        record.is_some_and(|record| {
            let is_kept = after.records.get(sequence).is_some_and(|now| now.id == record.id);
            is_kept && record.is_sure[at(crash)]
        })
    };
    let (mut found, mut ids, mut lost, mut last) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new(), 0);
    loop {
        match log.take(reader, u64::MAX) {
            LogTaken::Record(taken) => {
                let (sequence, id) = (taken.head.sequence, id_of(&taken.body));
                if sequence <= last || !ids.insert(id) {
                    return Err(format!("record {sequence} ({id}) behind {last}, or twice"));
                }
                last = sequence;
                found.insert(sequence);
                let known = [before, after].into_iter().filter_map(|oracle| oracle.records.get(&sequence));
                let is_known =
                    known.clone().any(|record| record.id == id && record.points == u64::from(taken.head.points));
                let is_tried = after.tried.contains(&id) && (after.unclear.contains(&sequence) || known.count() == 0);
                if taken.body != super::body(id, taken.body.len()) || !is_known && !is_tried {
                    return Err(format!("record {sequence} has the body of {id}"));
                }
                // pages that a failed sync called clean may be gone after a kill: a void in them too
                let bans = if before.is_split && before.is_disk { 1 } else { at(crash) };
                if before.banned[bans].contains(&id) {
                    return Err(format!("record {sequence} ({id}) was void or given up"));
                }
                if crash == Crash::Killed && !before.is_split && !after.is_split && one.written.contains(&sequence) {
                    return Err(format!("record {sequence} was settled, and comes again after a kill"));
                }
                rare.again += u64::from(one.settled.contains(&sequence));
                log.settle(reader, sequence).map_err(|error| error.to_string())?;
            }
            LogTaken::Lost(range) => {
                let all: Vec<u64> = (range.from..=range.through).collect();
                rare.lost += 1;
                if let Some(sequence) = all.iter().find(|sequence| must(sequence)) {
                    return Err(format!("record {sequence} must be there, and {range:?}"));
                }
                let is_clear = all
                    .iter()
                    .all(|sequence| !after.unclear.contains(sequence) && after.records.contains_key(sequence));
                let points: u64 = all.iter().filter_map(|sequence| Some(after.records.get(sequence)?.points)).sum();
                let was_done = all.iter().any(|sequence| one_after.settled.contains(sequence));
                if is_clear && !was_done && range.points.is_some_and(|told| told != points) {
                    return Err(format!("{range:?}, and it is {points} points"));
                }
                lost.extend(all);
            }
            LogTaken::Waiting => return Err("it waits for what is settled".into()),
            LogTaken::End => break,
        }
    }
    let tally = log.readers()[which_number(reader)].clone();
    let (mut unsaid, mut unsaid_points) = (0, 0);
    for (sequence, record) in &before.records {
        let is_here = found.contains(sequence) || lost.contains(sequence);
        let was = |of: &dyn Fn(&ReaderOracle) -> &BTreeSet<u64>| {
            of(one).contains(sequence) || of(one_after).contains(sequence)
        };
        if is_here || was(&|one| &one.settled) || !after.records.contains_key(sequence) {
            continue;
        }
        if *sequence < log.next_sequence() && (was(&|one| &one.dropped) || was(&|one| &one.lost)) {
            (unsaid, unsaid_points) = (unsaid + 1, unsaid_points + record.points);
        } else if must(sequence) {
            return Err(format!("record {sequence} ({}) must be there", record.id));
        } else if *sequence < log.next_sequence() && !after.unclear.contains(sequence) {
            return Err(format!("record {sequence} ({}) is gone, and nothing says so", record.id));
        } else {
            rare.vanished += 1;
        }
    }
    let told = (tally.dropped.records + tally.lost.records, tally.dropped.points + tally.lost.points);
    let is_known = tally.dropped.unknown + tally.lost.unknown == 0;
    if unsaid > told.0 || is_known && unsaid_points > told.1 {
        return Err(format!(
            "{unsaid} records with {unsaid_points} points were given up, and its tallies say {told:?}"
        ));
    }
    rare.dropped += u64::from(unsaid > 0);
    Ok(())
}

/// Readers of a run are asked for in one order.
pub(super) fn which_number(reader: ReaderNumber) -> usize {
    reader.0
}
