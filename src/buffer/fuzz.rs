//! A body for fuzzing recovery: a log whose files are damaged as the bytes say.
//!
//! Knows what was appended; does not know what the damage means. Nothing panics, no payload is given out but one that was
//! appended with its sequence, each once and in order, and the log goes on.

use super::log::{BufferLog, LogOptions, LogTaken};
use super::record::RecordKind;
use super::writer::{NewRecord, WriterOptions};
use crate::disk::{DiskFolder, SimulatedDisk};
use bytes::Bytes;

const STREAM: u64 = 7;
const RECORDS: u64 = 20;
/// Damages of one input.
const DAMAGES_MAX: usize = 32;
/// Bytes of a file that an input makes.
const FILE_BYTES_MAX: usize = 1 << 16;

const fn options(epoch: u64) -> LogOptions {
    let writer = WriterOptions { segment_bytes: 900, keeps_unsynced: false, unsynced_bytes_max: 1 << 20, epoch };
    LogOptions { writer, bytes_max: 1 << 16 }
}

fn body(sequence: u64) -> Bytes {
    (0..8 + sequence * 5 % 90).map(|at| (sequence * 31 + at) as u8).collect()
}

fn append(log: &mut BufferLog, sequence: u64) -> u64 {
    let (kind, body) = (RecordKind::Batch, body(sequence));
    let new = NewRecord { kind, packed: 0, shard: 0, points: 2, cut: 0, number: 0, at_ns: 0, tenant: "t", body };
    log.append(&new).expect("this disk has no faults")
}

fn content(folder: &dyn DiskFolder, name: &str) -> Vec<u8> {
    let file = folder.open(name).expect("it was listed");
    let mut bytes = vec![0; file.bytes().expect("no faults") as usize];
    file.read_at(0, &mut bytes).expect("no faults");
    bytes
}

fn replace(folder: &dyn DiskFolder, name: &str, bytes: &[u8]) {
    let _ = folder.unlink(name);
    let mut file = folder.create(name).expect("the name is free");
    file.write_at(0, &bytes[..bytes.len().min(FILE_BYTES_MAX)]).expect("no faults");
}

/// Two lives of a log: one sealed segment after the other, the last without a seal, a void, and a reader in the middle.
fn lived() -> Box<dyn DiskFolder> {
    let disk = SimulatedDisk::new(Box::new(|_| 0));
    let open = |epoch| BufferLog::open(disk.root(), STREAM, options(epoch)).expect("it is whole").0;
    let mut log = open(1);
    let reader = log.reader("a").expect("no faults");
    (1..=10).for_each(|sequence| assert_eq!(append(&mut log, sequence), sequence));
    drop(log);
    let mut log = open(2);
    log.void_behind(8).expect("no faults");
    (12..=RECORDS).for_each(|sequence| assert_eq!(append(&mut log, sequence), sequence));
    for _ in 0..3 {
        if let LogTaken::Record(taken) = log.take(reader, u64::MAX)
            && taken.head.sequence != 2
        {
            log.settle(reader, taken.head.sequence).expect("no faults");
        }
    }
    disk.root()
}

fn damage(folder: &dyn DiskFolder, data: &[u8]) {
    let mut left = data;
    for _ in 0..DAMAGES_MAX {
        let Some(([what, which, at_low, at_high, value], rest)) = left.split_first_chunk() else { return };
        left = rest;
        let names: Vec<String> = folder.list().expect("no faults").into_iter().map(|entry| entry.name).collect();
        let Some(name) = names.get(usize::from(*which) % names.len().max(1)) else { return };
        let mut bytes = content(folder, name);
        let at = usize::from(u16::from_le_bytes([*at_low, *at_high])) % (bytes.len() + 1);
        let segment = format!("{:016x}.seg", value % 8);
        match what % 8 {
            0 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= value),
            1 => bytes.iter_mut().skip(at).take(8 * usize::from(*value)).for_each(|byte| *byte = 0),
            2 => bytes.truncate(at),
            3 => bytes.resize(bytes.len() + usize::from(*value), 0),
            4 => bytes.iter_mut().skip(at).zip(rest).for_each(|(byte, new)| *byte = *new),
            5 => replace(folder, &segment, &bytes),
            6 => replace(folder, &segment, rest),
            _ => {
                folder.unlink(name).expect("it was listed");
                continue;
            }
        }
        replace(folder, name, &bytes);
    }
}

/// Damages a log as `data` says, and starts on it.
///
/// # Panics
/// Where what it gives out is wrong, or it does not go on.
#[doc(hidden)]
pub fn fuzz_recovery(data: &[u8]) {
    let folder = lived();
    damage(&*folder, data);
    let Ok((mut log, _)) = BufferLog::open(folder, STREAM, options(3)) else { return };
    let Ok(reader) = log.reader("a") else { return };
    let (first_new, mut last) = (log.next_sequence(), 0);
    for _ in 0..2 * RECORDS {
        match log.take(reader, u64::MAX) {
            LogTaken::Record(taken) => {
                let sequence = taken.head.sequence;
                assert!(sequence > last && sequence <= RECORDS, "{sequence} behind {last}");
                assert_eq!((taken.body, &*taken.tenant), (body(sequence), "t"), "{sequence}");
                last = sequence;
                log.settle(reader, sequence).expect("no faults");
            }
            LogTaken::Lost(lost) => assert!(lost.from <= lost.through && lost.through < first_new, "{lost:?}"),
            LogTaken::Waiting => panic!("nothing is out"),
            LogTaken::End => break,
        }
    }
    assert_eq!(log.take(reader, u64::MAX), LogTaken::End);
    log.trim().expect("no faults");
    // and it goes on
    assert_eq!(append(&mut log, first_new), first_new);
    assert!(matches!(log.take(reader, u64::MAX), LogTaken::Record(taken) if taken.head.sequence == first_new));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Chance;

    #[test]
    fn what_is_random_is_recovered() {
        fuzz_recovery(b"");
        let mut chance = Chance::new(5);
        for _ in 0..3_000 {
            let bytes = chance.up_to(120);
            let data: Vec<u8> = (0..bytes).map(|_| chance.any() as u8).collect();
            fuzz_recovery(&data);
        }
    }
}
