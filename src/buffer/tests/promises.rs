//! What a log promises, one by one, without crashes.

use super::super::checksum::BytesPlace;
use super::super::planted::{PlantedFault, plant};
use super::super::record::{RecordHead, RecordKind};
use super::super::{AppendError, BufferError, BufferLog, CURSOR_WINDOW, LogTaken, LostRecords, NewRecord, RecordTally};
use super::{STREAM, content, draw, options, record, replace, segments};
use crate::chance::Chance;
use crate::disk::{Crash, DiskFaults, SimulatedDisk, SystemFolder};
use crate::limits::{BUFFER_RECORD_BYTES_MAX, BUFFER_TENANT_BYTES_MAX};
use bytes::Bytes;

fn disk() -> SimulatedDisk {
    SimulatedDisk::new(draw(Chance::new(1)))
}

fn open(disk: &SimulatedDisk, epoch: u64) -> BufferLog {
    BufferLog::open(disk.root(), STREAM, options(1_000, false, epoch)).unwrap().0
}

fn taken(log: &mut BufferLog, name: &str) -> Option<u64> {
    let reader = log.reader(name).unwrap();
    match log.take(reader, u64::MAX) {
        LogTaken::Record(record) => Some(record.head.sequence),
        LogTaken::End => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn records_come_back_as_they_were_to_each_reader_by_itself() {
    let disk = disk();
    let mut log = open(&disk, 1);
    let (a, b) = (log.reader("a").unwrap(), log.reader("b").unwrap());
    for id in 1..=20 {
        let tenant = if id % 2 == 0 { "" } else { "a tenant" };
        assert_eq!(log.append(&record(id, 3, 50, tenant)).unwrap(), id);
    }
    for id in 1..=20 {
        for reader in [a, b] {
            let LogTaken::Record(taken) = log.take(reader, u64::MAX) else { panic!("{id}") };
            let given = record(id, 3, 50, "");
            let head = RecordHead {
                packed: given.packed,
                shard: given.shard,
                points: given.points,
                cut: given.cut,
                number: given.number,
                at_ns: given.at_ns,
                payload_bytes: taken.head.payload_bytes,
                payload_checksum: taken.head.payload_checksum,
                ..RecordHead::bare(RecordKind::Batch, id, 3 * (id - 1), 1)
            };
            assert_eq!((taken.head, taken.body), (head, given.body));
            assert_eq!(taken.tenant, if id % 2 == 0 { "" } else { "a tenant" });
        }
        assert!(log.settle(a, id).unwrap());
    }
    assert_eq!((log.take(a, u64::MAX), log.take(b, 20)), (LogTaken::End, LogTaken::End));
    // nothing goes before both are through with it
    let before = segments(&*disk.root()).len();
    log.trim().unwrap();
    assert_eq!(segments(&*disk.root()).len(), before);
    for id in 1..=20 {
        assert!(log.settle(b, id).unwrap() && !log.settle(b, id).unwrap());
    }
    log.trim().unwrap();
    assert_eq!(segments(&*disk.root()).len(), 1, "the one that is written");
    // a reader that is new begins with what comes
    log.append(&record(21, 1, 8, "")).unwrap();
    let c = log.reader("c").unwrap();
    assert_eq!(log.take(c, u64::MAX), LogTaken::End);
    // another life
    drop(log);
    let mut log = open(&disk, 2);
    assert_eq!((taken(&mut log, "a"), taken(&mut log, "b"), taken(&mut log, "c")), (Some(21), Some(21), None));
    assert!(log.readers().iter().all(|reader| reader.is_asked_for && reader.lost == RecordTally::default()));
}

#[test]
fn records_are_settled_in_any_order_within_a_window_and_that_outlives_the_process() {
    let disk = disk();
    let mut log = open(&disk, 1);
    let a = log.reader("a").unwrap();
    for id in 1..=100 {
        log.append(&record(id, 1, 8, "")).unwrap();
    }
    for id in 1..=CURSOR_WINDOW {
        assert!(matches!(log.take(a, u64::MAX), LogTaken::Record(taken) if taken.head.sequence == id));
    }
    assert_eq!(log.take(a, u64::MAX), LogTaken::Waiting);
    for id in (2..=CURSOR_WINDOW).filter(|id| id % 3 != 0) {
        assert!(log.settle(a, id).unwrap());
    }
    assert_eq!(log.take(a, u64::MAX), LogTaken::Waiting, "the first one is out");
    drop(log);
    let mut log = open(&disk, 2);
    let a = log.reader("a").unwrap();
    let mut left = Vec::new();
    while let LogTaken::Record(taken) = log.take(a, u64::MAX) {
        left.push(taken.head.sequence);
        log.settle(a, taken.head.sequence).unwrap();
    }
    let expected: Vec<u64> = (1..=100).filter(|id| *id == 1 || id % 3 == 0 || *id > CURSOR_WINDOW).collect();
    assert_eq!(left, expected);
}

#[test]
fn what_is_given_up_is_counted_to_the_point_without_what_was_settled() {
    let disk = disk();
    let mut log = open(&disk, 1);
    let (a, b) = (log.reader("a").unwrap(), log.reader("b").unwrap());
    for id in 1..=40 {
        log.append(&record(id, id as u32, 100, "")).unwrap();
    }
    for id in 1..=3 {
        log.take(a, u64::MAX);
        if id != 2 {
            log.settle(a, id).unwrap();
        }
    }
    let (dropped, removed) = log.drop_oldest();
    removed.unwrap();
    let through = dropped[0].1.through;
    assert!(through > 3 && through < 20, "{dropped:?}");
    let points: u64 = (1..=through).sum();
    assert_eq!(dropped[0], (a, LostRecords { from: 2, through, records: through - 2, points: Some(points - 4) }));
    assert_eq!(dropped[1], (b, LostRecords { from: 1, through, records: through, points: Some(points) }));
    assert!(!log.settle(a, 2).unwrap(), "it was given up meanwhile");
    // one that hangs does not stop the others
    let (dropped, removed) = log.drop_behind(b, 2_000);
    removed.unwrap();
    let through_b = dropped.last().unwrap().through;
    assert!(log.readers()[1].bytes_behind <= 2_000 && log.readers()[0].bytes_behind > 2_000);
    let LogTaken::Record(next) = log.take(a, u64::MAX) else { panic!("nothing was lost of a") };
    assert_eq!(next.head.sequence, through + 1);
    assert!(matches!(log.take(b, u64::MAX), LogTaken::Record(taken) if taken.head.sequence == through_b + 1));
    let tally = log.readers()[1].dropped;
    assert_eq!(tally, RecordTally { records: through_b, points: (1..=through_b).sum(), unknown: 0 });
    drop(log);
    assert_eq!(open(&disk, 2).readers()[1].dropped, tally, "it outlives the process");
}

#[test]
fn what_is_void_is_given_to_nobody_in_this_life_and_the_next() {
    let disk = disk();
    let mut log = open(&disk, 1);
    log.reader("a").unwrap();
    log.reader("b").unwrap();
    for id in 1..=30 {
        log.append(&record(id, 2, 100, "")).unwrap();
    }
    drop(log);
    let mut log = open(&disk, 2);
    log.void_behind(12).unwrap();
    assert_eq!(log.append(&record(31, 2, 8, "")).unwrap(), 32, "the void has a number of its own");
    for name in ["a", "b"] {
        let reader = log.reader(name).unwrap();
        for expected in (1..=12).chain([32]) {
            let LogTaken::Record(taken) = log.take(reader, u64::MAX) else { panic!("{expected}") };
            assert_eq!((taken.head.sequence, taken.head.points_before), (expected, (expected.min(31) - 1) * 2));
            log.settle(reader, expected).unwrap();
        }
        assert_eq!(log.take(reader, u64::MAX), LogTaken::End);
        drop(log);
        log = open(&disk, 3);
    }
    log.trim().unwrap();
    assert!(segments(&*disk.root()).is_empty(), "voids are done like what they hide");
    assert_eq!(log.append(&record(33, 2, 8, "")).unwrap(), 33, "numbers go on");
}

#[test]
fn what_is_torn_at_the_end_never_counted() {
    let torn = || {
        let disk = disk();
        let mut log = open(&disk, 1);
        log.reader("a").unwrap();
        for id in 1..=4 {
            log.append(&record(id, 2, 100, "")).unwrap();
        }
        drop(log);
        let root = disk.root();
        let name = segments(&*root)[0].clone();
        let mut bytes = content(&*root, &name);
        let last = bytes.len() - 9;
        bytes[last] ^= 1;
        replace(&*root, &name, &bytes);
        let (mut log, report) = BufferLog::open(disk.root(), STREAM, options(1_000, false, 2)).unwrap();
        let a = log.reader("a").unwrap();
        let next = log.next_sequence();
        while let LogTaken::Record(taken) = log.take(a, u64::MAX) {
            log.settle(a, taken.head.sequence).unwrap();
        }
        (next, report.torn_bytes > 0, log.readers()[0].lost.records)
    };
    assert_eq!(torn(), (4, true, 0));
    plant(Some(PlantedFault::TornCounts));
    let planted = torn();
    plant(None);
    assert_eq!(planted, (5, false, 1));
}

#[test]
fn a_segment_that_is_damaged_is_put_aside_and_kept() {
    let disk = disk();
    let mut log = open(&disk, 1);
    let a = log.reader("a").unwrap();
    for id in 1..=20 {
        log.append(&record(id, 2, 100, "")).unwrap();
    }
    let root = disk.root();
    let name = segments(&*root)[0].clone();
    let mut bytes = content(&*root, &name);
    bytes[64 + 64 + 20] ^= 1;
    replace(&*root, &name, &bytes);
    assert_eq!(log.take(a, u64::MAX), LogTaken::Lost(LostRecords { from: 1, through: 1, records: 1, points: Some(2) }));
    while let LogTaken::Record(taken) = log.take(a, u64::MAX) {
        log.settle(a, taken.head.sequence).unwrap();
    }
    let bytes_before = log.bytes();
    log.trim().unwrap();
    let names: Vec<String> = root.list().unwrap().into_iter().map(|entry| entry.name).collect();
    assert!(names.contains(&name.replace(".seg", ".bad")), "{names:?}");
    assert!(log.bytes() < bytes_before && log.bytes() > bytes.len() as u64, "it counts to the limit");
    assert_eq!(log.readers()[0].lost, RecordTally { records: 1, points: 2, unknown: 0 });
    // where there is no room for it, it goes like the others
    let mut small = options(1_000, false, 2);
    small.bytes_max = 0;
    let other = self::disk();
    replace(&*other.root(), "0000000000000001.seg", &bytes);
    let (mut log, report) = BufferLog::open(other.root(), STREAM, small).unwrap();
    assert_eq!((report.segments, report.cursors_lost), (1, 0));
    log.reader("a").unwrap();
    log.trim().unwrap();
    assert!(segments(&*other.root()).is_empty());
}

#[test]
fn what_cannot_be_a_record_is_refused_and_a_newer_segment_is_left_alone() {
    let disk = disk();
    let mut log = open(&disk, 1);
    let long = NewRecord { body: Bytes::from(vec![0; BUFFER_RECORD_BYTES_MAX]), ..record(1, 1, 8, "") };
    assert!(matches!(log.append(&long), Err(AppendError::Long(_))));
    let tenant = "t".repeat(BUFFER_TENANT_BYTES_MAX);
    assert_eq!(log.append(&record(1, 1, 8, &tenant)).unwrap(), 1);
    assert!(matches!(log.append(&record(1, 1, 8, &(tenant + "t"))), Err(AppendError::Long(_))));
    assert!(matches!(log.reader(""), Err(BufferError::Name(_))));
    drop(log);
    let newer = RecordHead { cut: 2, ..RecordHead::bare(RecordKind::Open, 5, 5, 1) };
    let newer = newer.encode(BytesPlace { stream: STREAM, file: 9, at: 0 });
    replace(&*disk.root(), "0000000000000009.seg", &newer);
    let names = disk.root().list().unwrap();
    let refused = BufferLog::open(disk.root(), STREAM, options(1_000, false, 2)).unwrap_err();
    assert!(refused.to_string().contains("newer catchment (format 2)"), "{refused}");
    assert_eq!(disk.root().list().unwrap(), names);
}

#[test]
fn what_waits_for_a_sync_is_bounded_and_a_full_disk_is_said() {
    let disk = disk();
    let mut options = options(10_000, true, 1);
    options.writer.unsynced_bytes_max = 1_000;
    let (mut log, _) = BufferLog::open(disk.root(), STREAM, options).unwrap();
    let appended = (1..100).take_while(|id| log.append(&record(*id, 1, 100, "")).is_ok()).count() as u64;
    assert!((6..12).contains(&appended), "{appended}");
    assert!(matches!(log.append(&record(50, 1, 100, "")), Err(AppendError::Unsynced(_))));
    assert_eq!((log.sync().unwrap(), log.durable_sequence(), log.unsynced_bytes()), (appended, appended, 0));
    disk.set_room(0);
    assert!(matches!(log.append(&record(51, 1, 100, "")), Err(AppendError::Full(_))));
    disk.set_room(usize::MAX);
    assert_eq!(log.append(&record(51, 1, 100, "")).unwrap(), appended + 1, "the same record has the same number");
    // a disk that fails once costs a segment, and nothing else
    disk.set_faults(DiskFaults { sync: 1, ..DiskFaults::default() });
    assert!(log.sync().is_err());
    assert_eq!(log.durable_sequence(), appended);
    disk.set_faults(DiskFaults::default());
    assert_eq!(log.sync().unwrap(), appended + 1);
    let after = disk.image().restart(Crash::PowerCut, draw(Chance::new(2)));
    let (log, _) = BufferLog::open(after.root(), STREAM, options).unwrap();
    assert_eq!(log.next_sequence(), appended + 2);
}

#[test]
fn names_that_are_not_ours_are_told_and_left_alone() {
    let disk = disk();
    let root = disk.root();
    for name in ["notes.txt", "0000000000000001.SEG", "000000000000000g.seg", "1.seg"] {
        replace(&*root, name, b"mine");
    }
    root.make_folder("0000000000000002.seg").unwrap();
    let (mut log, report) = BufferLog::open(disk.root(), STREAM, options(1_000, false, 1)).unwrap();
    assert_eq!((report.foreign.len(), report.segments), (5, 0));
    log.reader("a").unwrap();
    log.append(&record(1, 1, 8, "")).unwrap();
    log.trim().unwrap();
    assert_eq!(content(&*root, "notes.txt"), b"mine");
}

#[test]
fn the_systems_disk_keeps_a_log_too() {
    let path = std::env::temp_dir().join(format!("catchment-buffer-{}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    for life in 1..=3 {
        let folder = Box::new(SystemFolder::open(&path).unwrap());
        let (mut log, report) = BufferLog::open(folder, STREAM, options(1_000, true, life)).unwrap();
        let a = log.reader("a").unwrap();
        for id in (life - 1) * 10 + 1..=life * 10 {
            assert_eq!(log.append(&record(id, 1, 200, "")).unwrap(), id);
        }
        assert_eq!(log.sync().unwrap(), life * 10);
        for id in (life - 1) * 10 + 1..=life * 10 {
            assert!(matches!(log.take(a, u64::MAX), LogTaken::Record(taken) if taken.head.sequence == id));
            log.settle(a, id).unwrap();
        }
        log.trim().unwrap();
        log.seal().unwrap();
        assert!(report.torn_bytes == 0 && report.unsealed == 0, "{report:?}");
    }
    std::fs::remove_dir_all(&path).unwrap();
}
