//! The proof of the buffer: crash images of every operation, every bit flipped, folders damaged, and faults planted that each
//! of these must find.

mod crashes;
mod damage;
mod oracle;
mod promises;
mod runs;

use super::{LogOptions, NewRecord, RecordKind, WriterOptions};
use crate::chance::Chance;
use crate::disk::{DiskDraw, DiskFolder};
use bytes::Bytes;

/// What tells the logs of tests apart.
const STREAM: u64 = 7;

/// A source of chance for a disk.
fn draw(mut chance: Chance) -> DiskDraw {
    Box::new(move |most| chance.up_to(most))
}

fn options(segment_bytes: u64, keeps_unsynced: bool, epoch: u64) -> LogOptions {
    let writer = WriterOptions { segment_bytes, keeps_unsynced, unsynced_bytes_max: 1 << 20, epoch };
    LogOptions { writer, bytes_max: 1 << 20 }
}

/// A record with a body of its own: its number, then bytes that hold marks of heads.
fn record(id: u64, points: u32, body_bytes: usize, tenant: &str) -> NewRecord<'_> {
    let body = body(id, body_bytes);
    let (shard, cut, number) = (id as u16 % 3, id as u32 / 4, id as u32);
    NewRecord { kind: RecordKind::Batch, packed: 1, shard, points, cut, number, at_ns: id, tenant, body }
}

fn body(id: u64, bytes: usize) -> Bytes {
    let mut body = id.to_le_bytes().to_vec();
    for at in body.len()..bytes.max(8) {
        body.push(if at % 16 < 4 { [0xCA, 0x7C, 0x4E, 0x52][at % 4] } else { (id as usize + at) as u8 });
    }
    Bytes::from(body)
}

/// The number in a body.
fn id_of(body: &[u8]) -> u64 {
    u64::from_le_bytes(body[..8].try_into().unwrap())
}

/// A file of a folder, whole.
fn content(folder: &dyn DiskFolder, name: &str) -> Vec<u8> {
    let file = folder.open(name).unwrap();
    let mut bytes = vec![0; file.bytes().unwrap() as usize];
    assert_eq!(file.read_at(0, &mut bytes).unwrap(), bytes.len());
    bytes
}

/// A file with other bytes in its place.
fn replace(folder: &dyn DiskFolder, name: &str, bytes: &[u8]) {
    let _ = folder.unlink(name);
    folder.create(name).unwrap().write_at(0, bytes).unwrap();
}

/// Names of the segments in a folder.
fn segments(folder: &dyn DiskFolder) -> Vec<String> {
    let names = folder.list().unwrap().into_iter().map(|entry| entry.name);
    names.filter(|name| name.ends_with(".seg")).collect()
}

/// What an environment variable raises a count to.
fn count(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}
