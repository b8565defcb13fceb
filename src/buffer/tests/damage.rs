//! Every bit of a segment flipped, and folders damaged in every way: never a wrong payload, and what is lost is said.

use super::super::planted::{PlantedFault, plant};
use super::super::{BufferLog, LogTaken};
use super::{STREAM, body, content, count, draw, id_of, options, record, replace, segments};
use crate::chance::Chance;
use crate::disk::{DiskFolder, SimulatedDisk};

/// Records of the log that is damaged.
const RECORDS: u64 = 24;
/// Damaged folders of a plain test run; `DAMAGED_FOLDERS` says otherwise.
const FOLDERS: u64 = 2_000;

fn points(id: u64) -> u32 {
    id as u32 % 5 + 1
}

/// A log of several segments, all sealed, and a reader that has had nothing.
fn log(stream: u64, first_id: u64) -> Box<dyn DiskFolder> {
    let disk = SimulatedDisk::new(draw(Chance::new(stream)));
    let (mut log, _) = BufferLog::open(disk.root(), stream, options(900, false, 1)).unwrap();
    log.reader("a").unwrap();
    for id in first_id..first_id + RECORDS {
        log.append(&record(id, points(id), 8 + id as usize % 90, "t")).unwrap();
    }
    log.seal().unwrap();
    disk.root()
}

/// What a reader gets: bodies' numbers by sequence, lost records and points, and whether some points are unknown.
#[derive(Debug, Default, PartialEq)]
struct Drained {
    found: Vec<(u64, u64)>,
    lost: (u64, u64),
    unknown: u64,
}

fn drain(folder: Box<dyn DiskFolder>) -> Result<Drained, String> {
    let (mut log, _) = BufferLog::open(folder, STREAM, options(900, false, 2)).map_err(|error| error.to_string())?;
    let reader = log.reader("a").map_err(|error| error.to_string())?;
    let mut drained = Drained::default();
    loop {
        match log.take(reader, u64::MAX) {
            LogTaken::Record(record) => {
                let id = id_of(&record.body);
                if record.body != body(id, record.body.len()) || record.tenant != "t" {
                    return Err(format!("a wrong payload for {}", record.head.sequence));
                }
                drained.found.push((record.head.sequence, id));
                log.settle(reader, record.head.sequence).unwrap();
            }
            LogTaken::Lost(lost) => {
                drained.lost.0 += lost.records;
                drained.lost.1 += lost.points.unwrap_or(0);
                drained.unknown += u64::from(lost.points.is_none());
            }
            LogTaken::Waiting => return Err("it waits".into()),
            LogTaken::End => break,
        }
    }
    log.trim().map_err(|error| error.to_string())?;
    // and it goes on
    let next = log.append(&record(9_999, 1, 8, "")).map_err(|error| error.to_string())?;
    match log.take(reader, u64::MAX) {
        LogTaken::Record(record) if record.head.sequence == next => Ok(drained),
        other => Err(format!("{next} was appended, and {other:?} came")),
    }
}

/// Flips every bit of all segments, one at a time.
fn flip_all() -> Result<(), String> {
    let folder = log(STREAM, 1);
    let names = segments(&*folder);
    assert!(names.len() >= 3, "{names:?}");
    let mut was_lost = 0;
    for name in &names {
        let whole = content(&*folder, name);
        // a fresh folder each time: draining moves the cursor
        for bit in 0..whole.len() * 8 {
            let folder = log(STREAM, 1);
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            replace(&*folder, name, &flipped);
            let drained = drain(folder).map_err(|error| format!("{name}, bit {bit}: {error}"))?;
            let all: u64 = (1..=RECORDS).map(|id| u64::from(points(id))).sum();
            let found: u64 = drained.found.iter().map(|(_, id)| u64::from(points(*id))).sum();
            let is_exact = drained.unknown == 0 && found + drained.lost.1 == all;
            let count = drained.found.len() as u64;
            if drained.lost.0 > 1 || count + drained.lost.0 != RECORDS || !is_exact {
                return Err(format!("{name}, bit {bit}: {drained:?}"));
            }
            was_lost += drained.lost.0;
        }
    }
    assert!(was_lost > 1_000, "{was_lost}");
    Ok(())
}

#[test]
fn a_bit_that_is_flipped_costs_one_record_at_most_and_the_points_are_exact() {
    flip_all().unwrap();
}

#[test]
fn faults_that_are_planted_are_found_by_flipped_bits() {
    for fault in [PlantedFault::LengthUnchecked, PlantedFault::PayloadUnchecked, PlantedFault::NoResync] {
        plant(Some(fault));
        let found = flip_all();
        plant(None);
        println!("{fault:?}: {found:?}");
        assert!(found.is_err(), "{fault:?} is not found");
    }
}

/// Damages a folder: files cut, overwritten, exchanged, copied, taken from another log, taken away, and new ones.
fn damage(folder: &dyn DiskFolder, other: &dyn DiskFolder, chance: &mut Chance) {
    for _ in 0..=chance.up_to(2) {
        let names: Vec<String> = folder.list().unwrap().into_iter().map(|entry| entry.name).collect();
        let Some(name) = (!names.is_empty()).then(|| names[chance.place(names.len())].clone()) else { return };
        let mut bytes = content(folder, &name);
        let segment = format!("{:016x}.seg", chance.up_to(9));
        match chance.up_to(8) {
            0 => bytes.truncate(chance.up_to(bytes.len() as u64) as usize),
            1 if !bytes.is_empty() => {
                let from = chance.place(bytes.len());
                let to = (from + 1 + chance.up_to(600) as usize).min(bytes.len());
                bytes[from..to].fill(if chance.one_in(2) { 0 } else { 0xFF });
            }
            2 if !bytes.is_empty() => {
                for _ in 0..=chance.up_to(20) {
                    let at = chance.place(bytes.len());
                    bytes[at] = chance.any() as u8;
                }
            }
            3 => {
                // exchanged
                let with = names[chance.place(names.len())].clone();
                let theirs = content(folder, &with);
                replace(folder, &with, &bytes);
                bytes = theirs;
            }
            4 => replace(folder, &segment, &bytes),
            5 => {
                // another log's segment, in the place of one of this
                let theirs = segments(other);
                let theirs = content(other, &theirs[chance.place(theirs.len())]);
                replace(folder, if chance.one_in(2) { &name } else { &segment }, &theirs);
                continue;
            }
            6 => {
                folder.unlink(&name).unwrap();
                continue;
            }
            7 => {
                let garbage: Vec<u8> = (0..chance.up_to(2_000)).map(|_| chance.any() as u8).collect();
                replace(folder, &segment, &garbage);
            }
            _ => bytes.extend((0..chance.up_to(300)).map(|_| 0)),
        }
        replace(folder, &name, &bytes);
    }
}

/// So many damaged folders: what is found is what was appended, each once, in order.
fn damage_all(folders: u64) -> Result<(), String> {
    let (mut chance, mut lost) = (Chance::new(3), 0);
    for number in 0..folders {
        let (folder, other) = (log(STREAM, 1), log(STREAM + 1, 500));
        damage(&*folder, &*other, &mut chance);
        let drained = drain(folder).map_err(|error| format!("folder {number}: {error}"))?;
        let is_ours = |(sequence, id): &(u64, u64)| sequence == id;
        if !drained.found.iter().all(is_ours) || !drained.found.windows(2).all(|pair| pair[0].0 < pair[1].0) {
            return Err(format!("folder {number}: {drained:?}"));
        }
        lost += u64::from(drained.lost.0 > 0);
    }
    assert!(lost > folders / 10, "{lost}");
    Ok(())
}

#[test]
fn a_damaged_folder_is_opened_and_gives_no_wrong_payload() {
    damage_all(count("DAMAGED_FOLDERS", FOLDERS)).unwrap();
}

#[test]
fn checksums_without_their_place_are_found_by_damaged_folders() {
    plant(Some(PlantedFault::NoSalt));
    let found = damage_all(FOLDERS);
    plant(None);
    println!("{found:?}");
    assert!(found.is_err());
}
