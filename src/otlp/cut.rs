//! What is long is cut: heads of resources, scopes and metrics of any size are read in steps, and what they say is brought
//! within the limits.
//!
//! Knows the messages above a metric's points and what of them identifies; does not know who keeps it, nor how long a step
//! may be. What is short is read in one go elsewhere (`request`, `attributes`), and means the same there.
//!
//! Invariants
//! 1. What a value hashes to depends on what it says and not on how it is encoded: fields that nobody knows, parts of a
//!    message, values that were overwritten and the order of a map change nothing.
//! 2. What comes out is within the limits, and the same set comes out of a second reading. Cut texts, values and sets end in the
//!    hash of all that they were, so that what differed still does.
//! 3. The hash is the same in every process.
//!
//! Bounds: a step takes the work it is given and at most one field or `limits::TEXT_STEP_BYTES` of a text more; a record of up to
//! `limits::RECORD_BYTES_WHOLE` is written in one go, and at the end `limits::RECORDS_BYTES_LATE` of short ones: those are not
//! written before it is known that they stay, because a record may have two bytes. Kept are `Limits::attributes`
//! records within the limits, and a frame for each of `limits::WIRE_DEPTH_MAX` levels.

use super::message::check_messages;
use super::minimal::put_key_value;
use crate::identity::attributes::{Limits, Records};
use crate::limits::{ATTRIBUTE_KEY_BYTES_MAX, RECORD_BYTES_WHOLE, RECORDS_BYTES_LATE, TEXT_STEP_BYTES, WIRE_DEPTH_MAX};
use crate::wire::{Fault, FaultKind, Field, Reader, WireType, check_utf8, put_bytes, varint_size};
use std::borrow::Cow;
use std::ops::Range;

/// The key under which a set that had too many attributes says how many were left out, and their hash.
pub const CUT_KEY: &str = "catchment.attributes.cut";

/// What a field takes, about, nanoseconds; an attribute of a set on top; and so many bytes of text a nanosecond (3.3 ns a
/// byte is what letters of three bytes take).
const FIELD_NS: u64 = 15;
const RECORD_NS: u64 = 150;
const TEXT_BYTES_PER_NS: usize = 1;

// ---- hashes ------------------------------------------------------------------------------------------------------------

const ODD: [u64; 4] = [0x9e37_79b9_7f4a_7c15, 0xc2b2_ae3d_27d4_eb4f, 0x1656_67b1_9e37_79f9, 0xd6e8_feb8_6659_fd93];

/// Both halves of the product.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// A hash with one thing more in it; the order counts.
#[inline]
fn mix(hash: u64, more: u64) -> u64 {
    fold(hash ^ more ^ ODD[1], ODD[0]) ^ more.rotate_left(32)
}

/// The hash of a text whose bytes come one after the other.
#[derive(Clone, Copy, Debug)]
struct TextHash([u64; 4]);

const BLOCK: usize = 32;

impl TextHash {
    const NEW: TextHash = TextHash(ODD);

    /// Whole blocks.
    #[inline]
    fn blocks(&mut self, bytes: &[u8]) {
        for block in bytes.chunks_exact(BLOCK) {
            for (i, lane) in self.0.iter_mut().enumerate() {
                let word = block[8 * i..].first_chunk::<8>().map_or(0, |word| u64::from_le_bytes(*word));
                *lane = fold(*lane ^ word, ODD[i]).wrapping_add(word);
            }
        }
    }

    /// With what is left, less than a block; the text has so many bytes.
    #[inline]
    fn end(mut self, rest: &[u8], length: usize) -> u64 {
        let mut block = [0; BLOCK];
        block[..rest.len()].copy_from_slice(rest);
        self.blocks(&block);
        self.0.iter().fold(length as u64, |hash, lane| mix(hash, *lane))
    }
}

fn hash_of(bytes: &[u8]) -> u64 {
    if bytes.is_empty() {
        return 0;
    }
    let whole = bytes.len() / BLOCK * BLOCK;
    let mut hash = TextHash::NEW;
    hash.blocks(&bytes[..whole]);
    hash.end(&bytes[whole..], bytes.len())
}

/// What a text or value that was cut ends in.
fn digits(hash: u64) -> String {
    format!("~{hash:016x}")
}

/// A text of at most `bytes_max`: cut, and ending in sixteen hexadecimal digits of its hash, if it is longer.
pub fn cut_text(text: &str, bytes_max: usize) -> Cow<'_, str> {
    if text.len() <= bytes_max {
        return text.into();
    }
    cut_to(text, bytes_max, hash_of(text.as_bytes())).into()
}

fn cut_to(text: &str, bytes_max: usize, hash: u64) -> String {
    let digits = digits(hash);
    let kept = &text[..text.floor_char_boundary(bytes_max - digits.len())];
    format!("{kept}{digits}")
}

/// As much of a text that was checked as is within `bytes_max`; the rest is not looked at.
pub fn head_of(text: &[u8], bytes_max: usize) -> &str {
    let head = &text[..text.len().min(bytes_max)];
    match std::str::from_utf8(head) {
        Ok(head) => head,
        Err(cut) => std::str::from_utf8(&head[..cut.valid_up_to()]).unwrap_or(""),
    }
}

// ---- values ------------------------------------------------------------------------------------------------------------

/// A text in the message: where it begins, its length and hash.
#[derive(Clone, Copy, Debug, Default)]
struct Text {
    from: usize,
    bytes: usize,
    hash: u64,
}

impl Text {
    fn of(self, message: &[u8]) -> &[u8] {
        &message[self.from..self.from + self.bytes]
    }

    /// What is kept of it.
    fn cut(self, message: &[u8], bytes_max: usize) -> Cow<'_, str> {
        let whole = self.of(message);
        if self.bytes <= bytes_max {
            return head_of(whole, bytes_max).into();
        }
        cut_to(head_of(whole, bytes_max), bytes_max, self.hash).into()
    }
}

/// What an AnyValue says so far, or the list inside of it: of its members the one that was set last.
#[derive(Clone, Copy, Debug, Default)]
struct Any {
    /// 0: none.
    member: u32,
    /// Of the member, or of the items of a list.
    hash: u64,
    /// Bytes of the member, or of the items of a list, in their one encoding.
    bytes: usize,
    items: u64,
    text: Text,
}

impl Any {
    fn scalar(member: u32, value: u64, bytes: usize) -> Any {
        Any { member, hash: value, bytes, ..Any::default() }
    }

    /// Its hash, and its bytes in its one encoding.
    fn end(&self) -> (u64, usize) {
        match self.member {
            0 => (0, 0),
            5 | 6 => (mix(mix(self.hash, self.items), 5 + u64::from(self.member)), field_bytes(self.bytes)),
            member => (mix(self.hash, u64::from(member)), self.bytes),
        }
    }
}

/// Bytes of a field of so many, with its key of one byte.
const fn field_bytes(bytes: usize) -> usize {
    1 + varint_size(bytes as u64) + bytes
}

/// What a level of the message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    /// ResourceMetrics, ScopeMetrics or Metric.
    Outer,
    /// Resource or InstrumentationScope.
    Head,
    Entity,
    KeyValue,
    Any,
    Array,
    Map,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    level: Level,
    from: usize,
    end: usize,
    /// Of a KeyValue.
    key: Text,
    has_value: bool,
    /// Of an AnyValue, of the value of a KeyValue, of a list.
    any: Any,
}

/// Which text is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Key,
    Value(u32),
    /// Name, version or schema URL.
    Name(usize),
    /// Nobody needs it.
    Other,
}

#[derive(Clone, Copy, Debug)]
struct Reading {
    role: Role,
    text: Text,
    /// As far as it was found valid, and as far as it was hashed.
    valid: usize,
    hashed: usize,
    hash: TextHash,
}

// ---- the reader --------------------------------------------------------------------------------------------------------

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    /// A ResourceMetrics, for its resource.
    Resource,
    /// A ScopeMetrics, for its scope.
    Scope,
    /// A Metric: its texts and metadata are checked, and nothing is kept.
    Metric,
    /// A Resource's or InstrumentationScope's message.
    Inner(u8),
    /// One KeyValue.
    Record,
}

/// The head of a resource or a scope, within the limits.
#[derive(Debug, Default)]
pub struct CutHead {
    /// The Resource or InstrumentationScope message.
    pub bytes: Vec<u8>,
    /// Where in it the attributes begin.
    run_from: usize,
    /// The schema URL.
    pub schema_url: Vec<u8>,
    /// Something was cut.
    pub is_cut: bool,
}

#[cfg(test)]
impl CutHead {
    fn run(&self) -> &[u8] {
        &self.bytes[self.run_from..]
    }
}

const NAME: usize = 0;
const VERSION: usize = 1;
const SCHEMA_URL: usize = 2;

/// Bytes of the message, or others.
#[derive(Debug)]
enum Bytes {
    There(Range<usize>),
    Own(Vec<u8>),
}

impl Bytes {
    fn of<'a>(&'a self, message: &'a [u8]) -> &'a [u8] {
        match self {
            Bytes::There(range) => &message[range.clone()],
            Bytes::Own(bytes) => bytes,
        }
    }
}

/// A KeyValue: as it comes, or as it leaves.
type Record = Bytes;

#[derive(Debug)]
struct Kept {
    key: Bytes,
    record: Record,
    hash: u64,
}

/// Reads a message in steps.
#[derive(Debug)]
pub struct Cutter {
    root: Root,
    limits: Limits,
    at: usize,
    stack: Vec<Frame>,
    reading: Option<Reading>,
    children: u64,
    texts: [Text; 3],
    /// Attributes so far.
    count: usize,
    /// Those that are kept, in no order, and their places by key.
    kept: Vec<Kept>,
    by_key: Vec<u32>,
    /// A record whose key stood twice.
    twice: Option<Record>,
    is_cut: bool,
    /// The attributes that are left out: how many, and the sum of their hashes.
    others: (u64, u64),
    /// Of `Root::Record`: it is over the limits.
    is_long: bool,
}

impl Cutter {
    /// Of a message of `bytes`.
    pub fn new(root: Root, bytes: usize, limits: Limits) -> Cutter {
        let mut cutter = Cutter {
            root,
            limits,
            at: 0,
            stack: Vec::with_capacity(8),
            reading: None,
            children: 0,
            texts: [Text::default(); 3],
            count: 0,
            kept: Vec::new(),
            by_key: Vec::new(),
            twice: None,
            is_cut: false,
            others: (0, 0),
            is_long: false,
        };
        let level = match root {
            Root::Resource | Root::Scope | Root::Metric => Level::Outer,
            Root::Inner(_) => Level::Head,
            Root::Record => Level::KeyValue,
        };
        cutter.push(level, bytes, Any::default());
        cutter
    }

    /// Reads on in the same message, with so much work left, nanoseconds; `true` at its end.
    pub fn advance(&mut self, message: &[u8], work_ns: &mut u64) -> Result<bool, Fault> {
        let done = self.steps(message, work_ns);
        done.map_err(|fault| match (self.root, self.stack.len()) {
            (Root::Resource, 2..) => fault.named("Resource"),
            (Root::Scope, 2..) => fault.named("InstrumentationScope"),
            (Root::Metric, 2..) => fault.named("Metric.metadata"),
            (Root::Metric, _) => fault.named("Metric"),
            _ => fault,
        })
    }

    fn steps(&mut self, message: &[u8], work_ns: &mut u64) -> Result<bool, Fault> {
        loop {
            if self.reading.is_some() {
                self.read_on(message, work_ns)?;
            } else {
                let Some(frame) = self.stack.last() else { return Ok(true) };
                if self.at == frame.end {
                    self.pop(message, work_ns)?;
                } else {
                    let before = self.at;
                    self.field(message)?;
                    // a long text is paid for as it is read
                    let bytes = if self.reading.is_some() { 0 } else { self.at - before };
                    *work_ns = work_ns.saturating_sub(FIELD_NS + (bytes / TEXT_BYTES_PER_NS) as u64);
                }
            }
            if *work_ns == 0 {
                return Ok(self.stack.is_empty());
            }
        }
    }

    fn push(&mut self, level: Level, bytes: usize, any: Any) {
        let (from, end) = (self.at, self.at + bytes);
        self.stack.push(Frame { level, from, end, key: Text::default(), has_value: false, any });
    }

    /// The next field of the level at hand.
    fn field(&mut self, message: &[u8]) -> Result<(), Fault> {
        // the level of the outermost message is 0, that of Resource 1, as for `schema::validate`
        let depth = self.stack.len() - usize::from(!matches!(self.root, Root::Inner(_) | Root::Record));
        let root = self.root;
        let Some(frame) = self.stack.last_mut() else { return Ok(()) };
        let mut reader = Reader::new(&message[self.at..frame.end]);
        let field = reader.field()?;
        let end = frame.end;
        match (frame.level, field.number) {
            (Level::Outer, 1) if root != Root::Metric => return self.enter(reader, end, field, Level::Head),
            (Level::Outer, 2) if root != Root::Metric => {
                reader.expect(field, WireType::Bytes)?;
                reader.bytes()?;
                self.children += 1;
                check_messages(self.children)?;
            }
            (Level::Outer, 3) if root != Root::Metric => return self.text(reader, end, field, Role::Name(SCHEMA_URL)),
            (Level::Outer, 1..=3) => return self.text(reader, end, field, Role::Other),
            (Level::Outer, 12) if root == Root::Metric => return self.enter(reader, end, field, Level::KeyValue),
            (Level::Head, number) if number == root.attributes() => {
                return self.enter(reader, end, field, Level::KeyValue);
            }
            (Level::Head, 1) => return self.text(reader, end, field, Role::Name(NAME)),
            (Level::Head, 2) if root.is_scope() => return self.text(reader, end, field, Role::Name(VERSION)),
            (Level::Head, 3) => return self.enter(reader, end, field, Level::Entity),
            (Level::Head, 2 | 4) if root.is_scope() == (field.number == 4) => {
                reader.expect(field, WireType::Varint)?;
                reader.varint()?;
            }
            (Level::Entity, 1..=4) => return self.text(reader, end, field, Role::Other),
            (Level::KeyValue, 1) => return self.text(reader, end, field, Role::Key),
            (Level::KeyValue, 2) => {
                frame.has_value = true;
                return self.enter(reader, end, field, Level::Any);
            }
            (Level::KeyValue, 3) => {
                reader.expect(field, WireType::Varint)?;
                reader.varint()?;
            }
            (Level::Any, 1 | 7) => return self.text(reader, end, field, Role::Value(field.number)),
            (Level::Any, number @ (2 | 3 | 8)) => {
                reader.expect(field, WireType::Varint)?;
                let value = reader.varint()?;
                frame.any = match number {
                    2 => Any::scalar(2, u64::from(value != 0), 2),
                    3 => Any::scalar(3, value, 1 + varint_size(value)),
                    // an index into a table that only profiles have (R21)
                    _ => Any::default(),
                };
            }
            (Level::Any, 4) => {
                reader.expect(field, WireType::Fixed64)?;
                frame.any = Any::scalar(4, reader.fixed64()?, 9);
            }
            (Level::Any, 5) => return self.enter(reader, end, field, Level::Array),
            (Level::Any, 6) => return self.enter(reader, end, field, Level::Map),
            (Level::Array, 1) => return self.enter(reader, end, field, Level::Any),
            (Level::Map, 1) => return self.enter(reader, end, field, Level::KeyValue),
            _ => reader.skip(field, depth)?,
        }
        self.at = end - reader.left();
        Ok(())
    }

    /// The message that a field is.
    fn enter(&mut self, mut reader: Reader<'_>, end: usize, field: Field, level: Level) -> Result<(), Fault> {
        reader.expect(field, WireType::Bytes)?;
        let bytes = reader.bytes()?.len();
        let begun = end - reader.left() - bytes;
        let depth = self.stack.len() + usize::from(matches!(self.root, Root::Inner(_) | Root::Record));
        if depth > WIRE_DEPTH_MAX {
            return Err(Fault { kind: FaultKind::TooDeep, field: "AnyValue", left: bytes });
        }
        let outer = self.stack.last().map_or(Any::default(), |frame| frame.any);
        let outer_is_value = self.stack.last().is_some_and(|frame| frame.level == Level::KeyValue);
        // parts of one message are one
        let any = match level {
            Level::Any if outer_is_value => outer,
            Level::Array | Level::Map if outer.member == field.number => outer,
            Level::Array | Level::Map => Any { member: field.number, ..Any::default() },
            _ => Any::default(),
        };
        self.at = begun;
        self.push(level, bytes, any);
        Ok(())
    }

    /// The text that a field is.
    fn text(&mut self, mut reader: Reader<'_>, end: usize, field: Field, role: Role) -> Result<(), Fault> {
        reader.expect(field, WireType::Bytes)?;
        let bytes = reader.bytes()?;
        let from = end - reader.left() - bytes.len();
        let mut text = Text { from, bytes: bytes.len(), hash: 0 };
        self.at = from + text.bytes;
        if text.bytes > TEXT_STEP_BYTES {
            self.reading = Some(Reading { role, text, valid: from, hashed: from, hash: TextHash::NEW });
            return Ok(());
        }
        if role != Role::Value(7) {
            check_utf8(bytes).map_err(|fault| name_of(role, fault))?;
        }
        text.hash = hash_of(bytes);
        self.has_read(role, text);
        Ok(())
    }

    /// Some more of a long text.
    #[cold]
    fn read_on(&mut self, message: &[u8], work_ns: &mut u64) -> Result<(), Fault> {
        let Some(reading) = &mut self.reading else { return Ok(()) };
        let end = reading.text.from + reading.text.bytes;
        let until = end.min(reading.valid + TEXT_STEP_BYTES);
        let bytes = &message[reading.valid..until];
        *work_ns = work_ns.saturating_sub((bytes.len() / TEXT_BYTES_PER_NS) as u64 + 1);
        let role = reading.role;
        reading.valid = match std::str::from_utf8(bytes) {
            _ if role == Role::Value(7) => until,
            Ok(_) => until,
            // a letter goes on in the next step
            Err(fault) if fault.error_len().is_none() && until < end => reading.valid + fault.valid_up_to(),
            Err(_) => return Err(name_of(role, Fault { kind: FaultKind::NotUtf8, field: "", left: bytes.len() })),
        };
        let whole = (reading.valid - reading.hashed) / BLOCK * BLOCK;
        reading.hash.blocks(&message[reading.hashed..reading.hashed + whole]);
        reading.hashed += whole;
        if reading.valid == end {
            let mut text = reading.text;
            text.hash = reading.hash.end(&message[reading.hashed..end], text.bytes);
            self.reading = None;
            self.has_read(role, text);
        }
        Ok(())
    }

    fn has_read(&mut self, role: Role, text: Text) {
        let Some(frame) = self.stack.last_mut() else { return };
        match role {
            Role::Key => frame.key = text,
            Role::Value(member) => {
                frame.any = Any { text, ..Any::scalar(member, text.hash, field_bytes(text.bytes)) };
            }
            Role::Name(which) => self.texts[which] = text,
            Role::Other => {}
        }
    }

    /// The level at hand is at its end.
    fn pop(&mut self, message: &[u8], work_ns: &mut u64) -> Result<(), Fault> {
        let Some(frame) = self.stack.pop() else { return Ok(()) };
        let Some(outer) = self.stack.last_mut() else {
            if self.root == Root::Record {
                self.is_long = self.is_over(&frame);
            }
            return Ok(());
        };
        match (frame.level, outer.level) {
            (Level::Any, Level::KeyValue) | (Level::Array | Level::Map, _) => outer.any = frame.any,
            (Level::Any, _) => {
                let (hash, bytes) = frame.any.end();
                outer.any.hash = mix(outer.any.hash, hash);
                outer.any.bytes += field_bytes(bytes);
                outer.any.items += 1;
            }
            (Level::KeyValue, Level::Map) => {
                let (hash, bytes) = pair(&frame);
                // whatever their order
                outer.any.hash = outer.any.hash.wrapping_add(hash);
                outer.any.bytes += field_bytes(bytes);
                outer.any.items += 1;
            }
            (Level::KeyValue, Level::Head) => {
                *work_ns = work_ns.saturating_sub(RECORD_NS);
                self.attribute(&frame, message)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn is_over(&self, record: &Frame) -> bool {
        record.key.bytes > ATTRIBUTE_KEY_BYTES_MAX || record.any.end().1 > self.limits.value_bytes
    }

    /// An attribute of the resource or scope.
    fn attribute(&mut self, record: &Frame, message: &[u8]) -> Result<(), Fault> {
        let key_byte = self.root.key_byte();
        let raw = &message[record.from..record.end];
        let is_long = self.is_over(record) || raw.len() > RECORD_BYTES_WHOLE;
        self.count += 1;
        self.is_cut |= is_long || self.count > self.limits.attributes;
        let (hash, _) = pair(record);
        let key = match record.key.cut(message, ATTRIBUTE_KEY_BYTES_MAX) {
            Cow::Owned(cut) => Bytes::Own(cut.into_bytes()),
            Cow::Borrowed(_) => Bytes::There(record.key.from..record.key.from + record.key.bytes),
        };
        let found = self.place_of(key.of(message), message);
        if found == Err(self.limits.attributes) {
            self.leave_out(hash);
            return Ok(());
        }
        let written = if is_long {
            let mut out = Vec::new();
            self.put_long(head_of(key.of(message), usize::MAX), record, message, &mut out)?;
            Bytes::Own(out)
        } else if raw.len() > RECORDS_BYTES_LATE / self.limits.attributes {
            let mut out = Vec::new();
            put_key_value(raw, key_byte, &mut out)?;
            Bytes::Own(out)
        } else {
            Bytes::There(record.from..record.end)
        };
        let new = Kept { key, record: written, hash };
        match found {
            Ok(at) => {
                let before = std::mem::replace(&mut self.kept[self.by_key[at] as usize], new);
                self.twice = Some(before.record);
            }
            Err(at) if self.kept.len() < self.limits.attributes => {
                self.by_key.insert(at, self.kept.len() as u32);
                self.kept.push(new);
            }
            // the last one leaves its place
            Err(at) => {
                let Some(place) = self.by_key.pop() else { return Ok(()) };
                self.by_key.insert(at, place);
                let before = std::mem::replace(&mut self.kept[place as usize], new);
                self.leave_out(before.hash);
            }
        }
        Ok(())
    }

    /// Where a key is among those that are kept, or belongs.
    fn place_of(&self, key: &[u8], message: &[u8]) -> Result<usize, usize> {
        self.by_key.binary_search_by(|place| self.kept[*place as usize].key.of(message).cmp(key))
    }

    const fn leave_out(&mut self, hash: u64) {
        self.others = (self.others.0 + 1, self.others.1.wrapping_add(hash));
    }

    /// A record over the limits: a long key or text is cut, another long value becomes a text that tells its size and hash.
    fn put_long(&self, key: &str, record: &Frame, message: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        let (limit, key_byte) = (self.limits.value_bytes, self.root.key_byte());
        let (hash, bytes) = record.any.end();
        let raw = &message[record.from..record.end];
        if record.any.member == 1 {
            put_text_attribute(key, &record.any.text.cut(message, limit - 4), key_byte, out);
        } else if bytes > limit || raw.len() > RECORD_BYTES_WHOLE {
            put_text_attribute(key, &format!("({bytes} bytes){}", digits(hash)), key_byte, out);
        } else {
            let (mut whole, mut short) = (Vec::new(), Vec::new());
            put_key_value(raw, key_byte, &mut whole)?;
            put_bytes(&mut short, 0x0a, key.as_bytes());
            if record.has_value {
                let value = Records::new(&whole).next().map_or(&[][..], |record| record.value());
                put_bytes(&mut short, 0x12, value);
            }
            put_bytes(out, key_byte, &short);
        }
        Ok(())
    }

    /// What was read, once it is at its end.
    pub fn end(mut self, message: &[u8]) -> Result<CutHead, Fault> {
        let [name, version, schema_url] = self.texts.map(|text| text.cut(message, self.limits.name_bytes));
        let mut head = CutHead::default();
        for (key, text) in [(0x0a, &name), (0x12, &version)] {
            if !text.is_empty() {
                put_bytes(&mut head.bytes, key, text.as_bytes());
            }
        }
        head.run_from = head.bytes.len();
        let (limits, key_byte) = (self.limits, self.root.key_byte());
        if self.others.0 > 0
            && let Some(place) = self.by_key.pop()
        {
            self.leave_out(self.kept[place as usize].hash);
        }
        // who reads it is to find that one stood twice
        let twice = self.twice.as_ref().filter(|_| !self.is_cut);
        let kept = self.by_key.iter().map(|place| &self.kept[*place as usize].record);
        for record in kept.chain(twice) {
            match record {
                Bytes::Own(written) => head.bytes.extend_from_slice(written),
                Bytes::There(_) => put_key_value(record.of(message), key_byte, &mut head.bytes)?,
            }
        }
        if self.others.0 > 0 {
            let said = format!("{}{}", self.others.0, digits(self.others.1));
            put_text_attribute(CUT_KEY, &said, key_byte, &mut head.bytes);
        }
        head.schema_url = schema_url.into_owned().into_bytes();
        head.is_cut = self.is_cut || self.texts.iter().any(|text| text.bytes > limits.name_bytes);
        Ok(head)
    }
}

impl Root {
    const fn is_scope(self) -> bool {
        matches!(self, Root::Scope | Root::Inner(3))
    }

    /// Field of the attributes of a Resource or InstrumentationScope.
    const fn attributes(self) -> u32 {
        if self.is_scope() { 3 } else { 1 }
    }

    const fn key_byte(self) -> u8 {
        (self.attributes() << 3 | 2) as u8
    }
}

/// Hash and bytes of a KeyValue.
fn pair(record: &Frame) -> (u64, usize) {
    let (hash, value) = record.any.end();
    let key = if record.key.bytes == 0 { 0 } else { field_bytes(record.key.bytes) };
    let value = if record.has_value { field_bytes(value) } else { 0 };
    (mix(mix(record.key.hash, hash), u64::from(record.has_value)), key + value)
}

#[cold]
fn name_of(role: Role, fault: Fault) -> Fault {
    if role == Role::Name(SCHEMA_URL) { fault.named("schema_url") } else { fault }
}

fn put_text_attribute(key: &str, text: &str, key_byte: u8, out: &mut Vec<u8>) {
    let (mut record, mut any) = (Vec::new(), Vec::new());
    put_bytes(&mut any, 0x0a, text.as_bytes());
    if !key.is_empty() {
        put_bytes(&mut record, 0x0a, key.as_bytes());
    }
    put_bytes(&mut record, 0x12, &any);
    put_bytes(out, key_byte, &record);
}

/// The attributes (field 1 or 3) of a Resource's or InstrumentationScope's message, within the limits: of a key that stands
/// twice the last record stays; of too many attributes those with the first keys stay, and one tells of the others.
pub fn cut_attributes(message: &[u8], field: u8, limits: Limits) -> Result<Vec<u8>, Fault> {
    let mut cutter = Cutter::new(Root::Inner(field), message.len(), limits);
    while !cutter.advance(message, &mut u64::MAX.clone())? {}
    let mut head = cutter.end(message)?;
    Ok(head.bytes.split_off(head.run_from))
}

/// Faults unless a KeyValue is well-formed; whether it is over the limits.
pub fn is_long(record: &[u8], limits: Limits) -> Result<bool, Fault> {
    let mut cutter = Cutter::new(Root::Record, record.len(), limits);
    while !cutter.advance(record, &mut u64::MAX.clone())? {}
    Ok(cutter.is_long)
}

#[cfg(test)]
mod tests;
