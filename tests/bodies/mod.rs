//! What a body costs: the rule of bounded work and memory, and bodies to hold it to.
//!
//! Knows how OTLP's messages nest; does not know what is right about them. A program is a few bytes; the body that it makes
//! repeats its pieces up to a size, because what costs too much costs it by repetition: parts of one message, unpacked
//! scalars, empty messages, resources, names, encodings.
//!
//! Time is the least of some runs by the clock of the wall, and the bound has a factor for the build: a test's or a fuzzer's
//! code is many times slower than what is shipped. So this finds what grows out of proportion; `tools/attack` holds the bare
//! figures against the release binary.

#![allow(dead_code, reason = "the test and the fuzzer each use a part")]

use super::common::{Rig, SECOND, START};
use catchment::ledger::Note;
use catchment::limits::{KIB, MIB, STAGE_SLICE_BYTES};
use catchment::otlp::json_in::{TranscodeProgress, Transcoder};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Time for each byte of a body.
pub const PER_BYTE: Duration = Duration::from_nanos(60);
/// Time for each series or group that is made, or refused by a limit.
pub const PER_BIRTH: Duration = Duration::from_micros(5);
/// Memory for each byte of a body, and what any request takes: a slice of points, in lists that grow by doubling.
const MEMORY_PER_BYTE: usize = 8;
const MEMORY_PER_REQUEST: usize = 2 * STAGE_SLICE_BYTES;
/// What a request takes that has nothing in it, and the noise of a shared machine.
const PER_REQUEST: Duration = Duration::from_millis(5);
/// Runs of a body that seems too slow.
const RUNS: usize = 6;
/// A series stays in the registry: it, its cell, its block, its route, its attributes beyond the hundred and fifty bytes that
/// are in its bytes anyway.
const SERIES_BYTES: usize = 2 * KIB;
/// A group, its stream, resource and scope stay likewise.
const GROUP_BYTES: usize = 4 * KIB;

/// The system's allocator, and what is held and was held most.
pub struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn more(bytes: usize) {
    let held = HELD.fetch_add(bytes, Relaxed) + bytes;
    PEAK.fetch_max(held, Relaxed);
}

// SAFETY: everything is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        more(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        more(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        more(size);
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// What a body cost, and what it may.
#[derive(Debug)]
pub struct Cost {
    pub bytes: usize,
    pub time: Duration,
    pub time_max: Duration,
    pub memory: usize,
    pub memory_max: usize,
    pub births: u64,
    pub refused: Option<String>,
}

impl Cost {
    pub fn is_within(&self) -> bool {
        self.time <= self.time_max && self.memory <= self.memory_max
    }
}

/// Sends a body to an empty aggregation, in a build that is `slower` times slower than what is shipped.
pub fn of(body: &[u8], slower: u32) -> Cost {
    least(body.len(), slower, |rig| rig.send_bytes(0, body).map(|receipt| receipt.rejected))
}

/// The same with a request in JSON.
pub fn of_json(text: &[u8], slower: u32) -> Cost {
    least(text.len(), slower, |rig| {
        let mut body = Vec::new();
        let mut transcoder = Transcoder::default();
        transcoder.begin();
        while transcoder
            .advance(text, &mut body, 64 * MIB, 256 * KIB, &mut |_| true)
            .map_err(|fault| fault.to_string())?
            == TranscodeProgress::More
        {}
        rig.send_bytes(0, &body).map(|receipt| receipt.rejected)
    })
}

fn least(bytes: usize, slower: u32, send: impl Fn(&mut Rig) -> Result<u64, String>) -> Cost {
    let mut cost = once(bytes, slower, &send);
    for _ in 1..RUNS {
        if cost.time <= cost.time_max {
            break;
        }
        cost.time = cost.time.min(once(bytes, slower, &send).time);
    }
    cost
}

fn once(bytes: usize, slower: u32, send: &impl Fn(&mut Rig) -> Result<u64, String>) -> Cost {
    let mut rig = Rig::with(1, 1_000_000, 300 * SECOND);
    // what the first request of all sets up
    let _ = rig.send_bytes(0, &[]);
    let held = HELD.load(Relaxed);
    PEAK.store(held, Relaxed);
    let begin = Instant::now();
    let answer = send(&mut rig);
    let time = begin.elapsed();
    let memory = PEAK.load(Relaxed) - held;
    let groups = rig.registry.group_count() as u64;
    let series = rig.tally.noted(Note::RouteMisses);
    let births = series + groups + *answer.as_ref().unwrap_or(&0);
    let stays = series as usize * SERIES_BYTES + groups as usize * GROUP_BYTES;
    Cost {
        bytes,
        time,
        time_max: slower * (PER_REQUEST + PER_BYTE * bytes as u32 + PER_BIRTH * births as u32),
        memory,
        memory_max: MEMORY_PER_REQUEST + MEMORY_PER_BYTE * bytes + stays,
        births,
        refused: answer.err(),
    }
}

/// In a text: replaced by another number at each repetition of the piece it is in.
const MARK: &[u8; 8] = b"@@@@@@@@";

/// Which message a level is of, and its fields: (number, what is in it).
type Fields = &'static [(u32, In)];

#[derive(Clone, Copy)]
enum In {
    /// A message with these fields.
    Of(Fields),
    /// A text with a mark.
    Text,
    Varint,
    Fixed,
    /// A run of fixed 64-bit numbers that rise.
    Packed,
}

use In::{Fixed, Of, Packed, Text, Varint};

const ANY_VALUE: Fields = &[(1, Text), (2, Varint), (3, Varint), (4, Fixed), (5, Of(LIST)), (6, Of(MAP)), (7, Text)];
const LIST: Fields = &[(1, Of(&[(1, Text), (3, Varint)]))];
const MAP: Fields = &[(1, Of(&[(1, Text), (2, Of(&[(1, Text)])), (15, Fixed)]))];
const KEY_VALUE: Fields = &[(1, Text), (2, Of(ANY_VALUE)), (15, Fixed)];
const EXEMPLAR: Fields = &[(7, Of(KEY_VALUE)), (2, Fixed), (3, Fixed), (6, Fixed), (4, Text), (5, Text)];
const NUMBER: Fields =
    &[(7, Of(KEY_VALUE)), (2, Fixed), (3, Fixed), (4, Fixed), (6, Fixed), (5, Of(EXEMPLAR)), (8, Varint), (15, Fixed)];
const HISTOGRAM: Fields = &[
    (9, Of(KEY_VALUE)),
    (2, Fixed),
    (3, Fixed),
    (4, Fixed),
    (5, Fixed),
    (6, Packed),
    (6, Fixed),
    (7, Packed),
    (7, Fixed),
    (8, Of(EXEMPLAR)),
    (10, Varint),
];
const BUCKETS: Fields = &[(1, Varint), (2, Varint), (2, Text)];
const EXPONENTIAL: Fields = &[
    (1, Of(KEY_VALUE)),
    (2, Fixed),
    (3, Fixed),
    (4, Fixed),
    (5, Fixed),
    (6, Varint),
    (7, Fixed),
    (8, Of(BUCKETS)),
    (9, Of(BUCKETS)),
    (11, Of(EXEMPLAR)),
];
const SUMMARY: Fields =
    &[(7, Of(KEY_VALUE)), (2, Fixed), (3, Fixed), (4, Fixed), (5, Fixed), (6, Of(&[(1, Fixed), (2, Fixed)]))];
const METRIC: Fields = &[
    (1, Text),
    (2, Text),
    (3, Text),
    (5, Of(&[(1, Of(NUMBER))])),
    (7, Of(&[(1, Of(NUMBER)), (2, Varint), (3, Varint)])),
    (9, Of(&[(1, Of(HISTOGRAM)), (2, Varint)])),
    (10, Of(&[(1, Of(EXPONENTIAL)), (2, Varint)])),
    (11, Of(&[(1, Of(SUMMARY))])),
    (12, Of(KEY_VALUE)),
];
const SCOPE: Fields = &[(1, Of(&[(1, Text), (2, Text), (3, Of(KEY_VALUE))])), (2, Of(METRIC)), (3, Text)];
const RESOURCE: Fields = &[(1, Of(&[(1, Of(KEY_VALUE)), (2, Varint)])), (2, Of(SCOPE)), (3, Text)];
const REQUEST: Fields = &[(1, Of(RESOURCE))];

/// How often a piece is there; what does not fit into the body is left out.
const TIMES: [usize; 8] = [1, 1, 2, 9, 130, 1_000, 20_000, 1_000_000];
/// Lengths of a text, its mark included.
const LENGTHS: [usize; 4] = [8, 8, 60, 5_000];

/// The body of a program, of at most `most` bytes: some pieces of each message, each repeated, outermost first.
pub fn body(program: &[u8], most: usize) -> Vec<u8> {
    let mut program = program.iter().copied();
    let mut count = 0;
    message(&mut program, REQUEST, most, &mut count)
}

fn message(program: &mut impl Iterator<Item = u8>, fields: Fields, most: usize, count: &mut u32) -> Vec<u8> {
    let mut out = Vec::new();
    // up to four pieces; a program that has ended leaves the rest empty
    for _ in 0..4 {
        let (Some(which), Some(how)) = (program.next(), program.next()) else { break };
        if which == 255 {
            break;
        }
        let (number, what) = fields[which as usize % fields.len()];
        let times = TIMES[usize::from(how & 7)];
        let room = (most - out.len()) / times.min(64);
        let piece = match what {
            Of(fields) => field(number, &message(program, fields, room.saturating_sub(6), count)),
            Text => {
                let mut text = vec![b'x'; LENGTHS[usize::from(how >> 3 & 3)].min(room)];
                if text.len() >= MARK.len() {
                    text[..MARK.len()].copy_from_slice(MARK);
                }
                field(number, &text)
            }
            Varint => {
                let mut varint = Vec::new();
                prost::encoding::encode_varint(u64::from(number) << 3, &mut varint);
                varint.push(how >> 3 & 3);
                varint
            }
            Fixed => {
                let mut fixed = Vec::new();
                prost::encoding::encode_varint(u64::from(number) << 3 | 1, &mut fixed);
                let times = [0, START + SECOND, START + 2 * SECOND, u64::from_le_bytes(*MARK)];
                fixed.extend_from_slice(&times[usize::from(how >> 3 & 3)].to_le_bytes());
                fixed
            }
            Packed => {
                let n = LENGTHS[usize::from(how >> 3 & 3)].min(room / 8);
                field(number, &(0..n).flat_map(|i| (i as f64).to_le_bytes()).collect::<Vec<u8>>())
            }
        };
        let marks: Vec<usize> = (0..piece.len().saturating_sub(7)).filter(|at| piece[*at..*at + 8] == *MARK).collect();
        for _ in 0..times {
            if out.len() + piece.len() > most {
                break;
            }
            let at = out.len();
            out.extend_from_slice(&piece);
            // the highest bit keeps the marks for the messages around
            if how & 0x80 == 0 && times > 1 {
                *count += 1;
                marks
                    .iter()
                    .for_each(|mark| out[at + mark..at + mark + 8].copy_from_slice(format!("{count:08x}").as_bytes()));
            }
        }
    }
    out
}

fn field(number: u32, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 8);
    prost::encoding::encode_varint(u64::from(number) << 3 | 2, &mut out);
    prost::encoding::encode_varint(bytes.len() as u64, &mut out);
    out.extend_from_slice(bytes);
    out
}
