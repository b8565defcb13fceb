//! How far a reader is: all up to the cursor is done, and of the 64 records behind it those that a bit says.
//!
//! ```text
//!   NAME.cur   slot of 128 bytes at 0, another at 512, the reader's name at 1024: length u32, CRC-32C u32, text
//!   slot        0 4 mark CA 7C 43 55      4 4 CRC-32C from 8 on, begun with (log, reader, offset)
//!               8 8 generation            16 8 done: the cursor          24 8 points up to it
//!              32 8 next sequence then    40 8 points up to that         48 8 bits: done + 1, done + 2 …
//!              56 8 newest segment then   64 8 8 8 records, points dropped; how often points were unknown
//!              88 8 8 8 the same, lost   112 16 zeros                     all little endian, u64::MAX points are unknown
//! ```
//!
//! Invariants
//! 1. One slot is on the platter whatever a crash makes of the other: the slot that is written changes only once it is
//!    durable, and the newest generation that checks counts.
//! 2. `done` never falls.
//!
//! Knows slots and files; does not know what is done with a record.

use super::checksum::{BytesPlace, checksum, long, word};
use super::planted::{PlantedFault, is_planted};
use super::record::SEQUENCE_END;
use super::walk::twice;
use crate::disk::{DiskFolder, FolderFile};
use crate::limits::BUFFER_NAME_BYTES_MAX;
use std::collections::BTreeMap;
use std::io;

/// Bytes of a slot.
const SLOT_BYTES: usize = 128;
/// Where the two are: in sectors of their own.
const SLOTS_AT: [u64; 2] = [0, 512];
/// Where the name is.
const NAME_AT: u64 = 1_024;
const MARK: [u8; 4] = [0xCA, 0x7C, 0x43, 0x55];
/// Points that nobody can tell.
const UNKNOWN: u64 = u64::MAX;
/// Records behind the cursor that may be done before it: bits of a word. No more are given out at once.
pub const CURSOR_WINDOW: u64 = 64;

/// Records and points, counted over all lives of a reader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordTally {
    /// Records.
    pub records: u64,
    /// Points, as far as they are known.
    pub points: u64,
    /// How often nobody could tell the points.
    pub unknown: u64,
}

impl RecordTally {
    /// Adds so many records with so many points.
    pub(super) fn add(&mut self, records: u64, points: Option<u64>) {
        self.records = self.records.saturating_add(records);
        match points {
            Some(points) => self.points = self.points.saturating_add(points),
            None => self.unknown = self.unknown.saturating_add(1),
        }
    }
}

/// How far a reader is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CursorState {
    /// All up to this one are done.
    pub(super) done: u64,
    /// Points of all up to it, if anybody can tell.
    pub(super) points: Option<u64>,
    /// Of those behind it the ones that are done, with their points.
    pub(super) ahead: BTreeMap<u64, Option<u64>>,
    /// The log's next sequence, and the points before it.
    pub(super) next: u64,
    /// Points before that one.
    pub(super) next_points: Option<u64>,
    /// The newest segment.
    pub(super) segment: u64,
    /// Given up for want of room.
    pub(super) dropped: RecordTally,
    /// Not to be read.
    pub(super) lost: RecordTally,
}

impl CursorState {
    /// This record is done; `false` if it was before, or was never given out.
    pub(super) fn settle(&mut self, sequence: u64, points: Option<u64>) -> bool {
        let is_in = sequence > self.done && sequence - self.done <= CURSOR_WINDOW;
        if !is_in || self.ahead.contains_key(&sequence) {
            return false;
        }
        self.ahead.insert(sequence, points);
        self.move_up();
        true
    }

    /// All up to `to` is done, whatever it was; `points` are those up to it.
    pub(super) fn jump(&mut self, to: u64, points: Option<u64>) {
        if to > self.done {
            (self.done, self.points) = (to, points);
            self.ahead = self.ahead.split_off(&to.saturating_add(1));
            self.move_up();
        }
    }

    fn move_up(&mut self) {
        while let Some(points) = self.done.checked_add(1).and_then(|next| self.ahead.remove(&next)) {
            self.done += 1;
            self.points = self.points.zip(points).and_then(|(all, more)| all.checked_add(more));
        }
    }

    fn encode(&self, generation: u64, place: BytesPlace) -> [u8; SLOT_BYTES] {
        let bits = self.ahead.keys().fold(0, |bits, sequence| bits | 1 << (sequence - self.done - 1));
        let words = [
            generation,
            self.done,
            self.points.unwrap_or(UNKNOWN),
            self.next,
            self.next_points.unwrap_or(UNKNOWN),
            bits,
            self.segment,
            self.dropped.records,
            self.dropped.points,
            self.dropped.unknown,
            self.lost.records,
            self.lost.points,
            self.lost.unknown,
        ];
        let mut bytes = [0; SLOT_BYTES];
        bytes[..4].copy_from_slice(&MARK);
        for (word, at) in words.iter().zip((8..).step_by(8)) {
            bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
        }
        let checksum = place.checksum(&bytes[8..]);
        bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Generation and state of a slot; none where the bytes are no slot of that place.
    fn decode(bytes: &[u8; SLOT_BYTES], place: BytesPlace) -> Option<(u64, CursorState)> {
        if bytes[..4] != MARK || place.checksum(&bytes[8..]) != word(bytes, 4) {
            return None;
        }
        let at = |number: usize| long(bytes, 8 + 8 * number);
        let known = |points: u64| (points != UNKNOWN).then_some(points);
        let tally =
            |number: usize| RecordTally { records: at(number), points: at(number + 1), unknown: at(number + 2) };
        let done = at(1);
        let ahead = (1..=CURSOR_WINDOW).filter(|behind| at(5) >> (behind - 1) & 1 == 1);
        let mut state = CursorState {
            done,
            points: known(at(2)),
            ahead: ahead.filter_map(|behind| Some((done.checked_add(behind)?, None))).collect(),
            next: at(3),
            next_points: known(at(4)),
            segment: at(6),
            dropped: tally(7),
            lost: tally(10),
        };
        // numbers of ours are far from their end
        let is_ours = [1, 3, 6].into_iter().all(|number| at(number) < SEQUENCE_END) && at(1) < at(3);
        state.move_up();
        is_ours.then(|| (at(0), state))
    }
}

/// A cursor's file.
#[derive(Debug)]
pub(super) struct CursorFile {
    file: Box<dyn FolderFile>,
    stream: u64,
    /// What tells it from others of the log.
    reader: u64,
    /// The slot that is written, and what is written next.
    slot: usize,
    generation: u64,
    /// The slot that a start found, and its cursor, until it is known to be on the platter.
    unproven: Option<([u8; SLOT_BYTES], u64)>,
    /// What is to be written is not.
    is_unwritten: bool,
    /// The cursor that is on the platter.
    durable: u64,
}

/// What is found in a cursor's file.
#[derive(Debug)]
pub(super) struct FoundCursor {
    /// The file.
    pub(super) file: CursorFile,
    /// Whose it is; none where the name is damaged.
    pub(super) name: Option<String>,
    /// How far it is; none where no slot can be read.
    pub(super) state: Option<CursorState>,
    /// The other slot was written and cannot be read: a newer state may have been in it.
    pub(super) is_doubtful: bool,
}

impl CursorFile {
    /// Makes a cursor's file whole, with its name and its first slot, so that it is there from now on whatever happens.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn create(
        folder: &dyn DiskFolder,
        (stream, reader): (u64, u64),
        (file_name, name): (&str, &str),
        state: &CursorState,
    ) -> io::Result<CursorFile> {
        let beside = format!("{file_name}.new");
        match folder.unlink(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = folder.create(&beside)?;
        let mut text = (name.len() as u32).to_le_bytes().to_vec();
        text.extend_from_slice(&checksum(name.as_bytes()).to_le_bytes());
        text.extend_from_slice(name.as_bytes());
        file.write_at(NAME_AT, &text)?;
        let place = BytesPlace { stream, file: reader, at: SLOTS_AT[0] };
        file.write_at(SLOTS_AT[0], &state.encode(1, place))?;
        file.sync()?;
        folder.rename(&beside, file_name)?;
        folder.sync()?;
        let (slot, generation, durable) = (1, 2, state.done);
        Ok(CursorFile { file, stream, reader, slot, generation, unproven: None, is_unwritten: false, durable })
    }

    /// Reads one.
    ///
    /// # Errors
    /// The disk's, where the file cannot be opened.
    pub(super) fn open(folder: &dyn DiskFolder, stream: u64, reader: u64, file_name: &str) -> io::Result<FoundCursor> {
        let file = twice(|| folder.open(file_name))?;
        let mut is_doubtful = false;
        let slots = SLOTS_AT.map(|at| {
            let mut bytes = [0; SLOT_BYTES];
            let read = twice(|| file.read_at(at, &mut bytes)).ok().filter(|read| *read == SLOT_BYTES);
            let slot = read.and_then(|_| CursorState::decode(&bytes, BytesPlace { stream, file: reader, at }));
            is_doubtful |= slot.is_none() && (read.is_none() || bytes != [0; SLOT_BYTES]);
            slot.map(|(generation, state)| (generation, state, bytes))
        });
        let newest = (0..2).max_by_key(|slot| slots[*slot].as_ref().map(|(generation, ..)| *generation)).unwrap_or(0);
        let [first, second] = slots;
        let found = if newest == 0 { first } else { second };
        let name = read_name(&*file);
        let generation = found.as_ref().map_or(0, |(generation, ..)| *generation).saturating_add(1);
        let unproven = found.as_ref().map(|(_, state, bytes)| (*bytes, state.done));
        let slot = if found.is_some() { 1 - newest } else { newest };
        let file = CursorFile { file, stream, reader, slot, generation, unproven, is_unwritten: true, durable: 0 };
        Ok(FoundCursor { file, name, state: found.map(|(_, state, _)| state), is_doubtful })
    }

    /// Has the slot that a start found on the platter: the other one is written only then. It may be in the cache alone, and
    /// called clean there by a sync that failed: so it is written again, as it is, whereby nothing can be torn, and synced.
    fn prove(&mut self) -> io::Result<()> {
        if let Some((bytes, done)) = self.unproven {
            self.file.write_at(SLOTS_AT[1 - self.slot], &bytes)?;
            self.file.sync()?;
            (self.durable, self.unproven) = (done, None);
        }
        Ok(())
    }

    /// Writes a slot.
    ///
    /// # Errors
    /// The disk's: the next call writes what is so then.
    pub(super) fn write(&mut self, state: &CursorState) -> io::Result<()> {
        self.is_unwritten = true;
        self.prove()?;
        let at = SLOTS_AT[self.slot];
        let place = BytesPlace { stream: self.stream, file: self.reader, at };
        let bytes = state.encode(self.generation, place);
        self.generation = self.generation.saturating_add(1);
        if is_planted(PlantedFault::SlotsAlternate) {
            self.slot = 1 - self.slot;
        }
        self.file.write_at(at, &bytes)?;
        self.is_unwritten = false;
        Ok(())
    }

    /// Has a cursor of `through` or more on the platter.
    ///
    /// # Errors
    /// The disk's: nothing may be removed then that only this cursor says to be done.
    pub(super) fn make_durable(&mut self, state: &CursorState, through: u64) -> io::Result<()> {
        self.prove()?;
        if self.durable >= through {
            return Ok(());
        }
        // also after a sync that failed: what it called clean is written again before the next
        self.write(state)?;
        self.file.sync()?;
        self.durable = state.done;
        if !is_planted(PlantedFault::SlotsAlternate) {
            self.slot = 1 - self.slot;
        }
        Ok(())
    }

    /// Whether the file does not have what was to be written.
    pub(super) const fn is_unwritten(&self) -> bool {
        self.is_unwritten
    }
}

fn read_name(file: &dyn FolderFile) -> Option<String> {
    let mut head = [0; 8];
    twice(|| file.read_at(NAME_AT, &mut head)).ok().filter(|read| *read == 8)?;
    let bytes = word(&head, 0) as usize;
    let mut text = vec![0; Some(bytes).filter(|bytes| *bytes <= BUFFER_NAME_BYTES_MAX)?];
    twice(|| file.read_at(NAME_AT + 8, &mut text)).ok().filter(|read| *read == bytes)?;
    (checksum(&text) == word(&head, 4)).then(|| String::from_utf8(text).ok()).flatten()
}
