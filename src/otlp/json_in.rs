//! OTLP/JSON in: text to protobuf bytes in one pass, without a tree.
//!
//! Does not know what the numbers mean, nor where the bytes go. What comes out is an `ExportMetricsServiceRequest` that the
//! walk of `points` and `ingest` reads as it reads one that came as protobuf: staging, rejecting and committing have one
//! rule, whatever the encoding. From the bytes to the cells is an eighth of the way of a sum (`benches/path`, JSON):
//! the detour costs little, and there is no second path.
//!
//! ```text
//!  text ─► cursor ─► stack of open objects and arrays ─► buffer: records, lengths put in when an object ends
//! ```
//!
//! Invariants
//! 1. Bytes come out in the order of the keys; lengths are minimal. A number point is the exception: start, time and value
//!    lie in front, zeros included, however the keys are ordered, because so `points::fixed_layout` knows it by its bytes.
//! 2. The same text always gives the same bytes, so a series is predicted by its bytes as with protobuf.
//! 3. A fault is the whole request's: the caller throws the bytes away.
//! 4. Nothing recurses. What is open lies on a stack, so the work can stop after any element and go on later.
//!
//! Rules (J1 to J9; protobuf "ProtoJSON Format", OTLP specification "JSON Protobuf Encoding")
//! - Keys are lowerCamelCase; any other key is unknown and its value passed, checked for being JSON.
//! - `null` is as if the key were not there; in a list it is a fault.
//! - A key that comes twice is what a field that comes twice is in protobuf: the last scalar wins, lists are joined,
//!   objects merged, and of the members of a oneof the last one counts.
//! - Integers and doubles may be numbers or strings, integers of any spelling that is whole; enums are integers only.
//! - Ids are 32 or 16 hexadecimal digits, or empty; other bytes are base64 of either alphabet, padded or not.
//!
//! Bounds: `limits::WIRE_DEPTH_MAX` objects, each with a list at most, and as many levels of what is passed;
//! `limits::JSON_NUMBER_BYTES_MAX`; the bytes made are bounded by the caller's limit and asked for before
//! they are taken. An object that needs a wider length than the last one at its depth is moved once: at most the depth
//! times the body, in steady state never.

mod buffer;
mod fault;
mod number;
mod text;
mod value;

use super::json_out::write_json;
use super::json_schema::{FieldKind, FieldSchema, FieldShape, KEY_VALUE, MessageSchema, NUMBER_DATA_POINT, REQUEST};
use super::points::FIXED;
use crate::limits::WIRE_DEPTH_MAX;
use JsonFaultKind as K;
use buffer::BoundedBuffer;
pub use fault::{JsonFault, JsonFaultKind};
use text::{Cursor, unescape};

/// How far transcoding came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TranscodeProgress {
    /// The request is whole.
    Done,
    /// The slice is over, the text is not.
    More,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Object,
    /// A list of messages.
    Messages,
    /// A list of texts, each a record.
    Texts,
    /// A list of numbers in one packed record.
    Packed,
}

/// An object or a list that is open.
#[derive(Clone, Copy)]
struct Frame {
    what: What,
    /// The object's, or that of the list's elements.
    message: &'static MessageSchema,
    /// The field that was read last, or whose list it is.
    field: &'static FieldSchema,
    /// Where the next key is looked for first: clients keep an order.
    next: u8,
    /// Nothing came yet.
    fresh: bool,
    /// Bytes left for the length.
    width: u8,
    /// Where what the length counts begins.
    start: usize,
    /// Fields that came.
    seen: u64,
}

/// What a number point has besides lists and flags.
#[derive(Clone, Copy, Default)]
struct Point {
    start: u64,
    time: u64,
    /// Key and bits.
    value: Option<(u8, u64)>,
}

/// Objects and lists that can be open at once.
const STACK_MAX: usize = 2 * WIRE_DEPTH_MAX;

/// A text on its way. Used again and again; remembers how wide lengths are.
pub struct Transcoder {
    stack: Vec<Frame>,
    /// Objects among them.
    objects: usize,
    point: Point,
    at: usize,
    is_begun: bool,
    /// The value at hand is that of a key that nobody knows.
    is_passing: bool,
    /// Bytes that a length took last, by depth.
    widths: [u8; STACK_MAX + 1],
}

impl Default for Transcoder {
    fn default() -> Self {
        let stack = Vec::with_capacity(STACK_MAX);
        let widths = [1; STACK_MAX + 1];
        Transcoder { stack, objects: 0, point: Point::default(), at: 0, is_begun: false, is_passing: false, widths }
    }
}

/// Appends the request that `text` is to `out`, in one go; see [`Transcoder::advance`].
///
/// # Errors
/// The first fault met; `out` then holds a part that means nothing.
pub fn read_json(
    text: &[u8],
    out: &mut Vec<u8>,
    limit: usize,
    mut grow: impl FnMut(usize) -> bool,
) -> Result<(), JsonFault> {
    Transcoder::default().advance(text, out, limit, usize::MAX, &mut grow).map(drop)
}

/// The body of the fuzz target `json`: no text panics, slices of any size give the same, and what is taken is a
/// well-formed request whose JSON means the same.
pub fn fuzz_json(data: &[u8]) {
    let mut bytes = Vec::new();
    let whole = read_json(data, &mut bytes, usize::MAX, |_| true);
    let (mut transcoder, mut sliced) = (Transcoder::default(), Vec::new());
    let slice = 1 + data.len() % 7;
    let result = loop {
        match transcoder.advance(data, &mut sliced, usize::MAX, slice, &mut |_| true) {
            Ok(TranscodeProgress::More) => {}
            Ok(TranscodeProgress::Done) => break Ok(()),
            Err(fault) => break Err(fault),
        }
    };
    assert_eq!(result, whole, "in slices of {slice}");
    if whole.is_err() {
        return;
    }
    assert_eq!(sliced, bytes, "in slices of {slice}");
    let again = |bytes: &[u8]| {
        let (mut text, mut out) = (Vec::new(), Vec::new());
        write_json(bytes, &mut text).expect("what was taken is well-formed");
        read_json(&text, &mut out, usize::MAX, |_| true).expect("what we write, we read");
        (text, out)
    };
    let (text, merged) = again(&bytes);
    let (same_text, same) = again(&merged);
    assert_eq!((text, merged), (same_text, same), "once keys that came twice are merged, nothing changes");
}

impl Transcoder {
    /// Begins a text.
    pub fn begin(&mut self) {
        self.stack.clear();
        (self.objects, self.at, self.is_begun, self.is_passing) = (0, 0, false, false);
    }

    /// Bytes of the text that were read.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Reads about `slice` bytes more of `text`, the same one each time, to the end of `out`. `out` holds at most `limit`
    /// bytes, and `grow` is asked for bytes before they are taken beyond its capacity.
    ///
    /// # Errors
    /// The first fault met; `out` then holds a part that means nothing.
    pub fn advance(
        &mut self,
        text: &[u8],
        out: &mut Vec<u8>,
        limit: usize,
        slice: usize,
        grow: &mut dyn FnMut(usize) -> bool,
    ) -> Result<TranscodeProgress, JsonFault> {
        let mut from = Cursor { bytes: text, at: self.at };
        let mut to = BoundedBuffer { out, limit, grow };
        let result = self.run(&mut from, &mut to, self.at.saturating_add(slice));
        self.at = from.at;
        let result = if to.out.len() > limit { Err(K::TooLarge) } else { result };
        result.map_err(|kind| JsonFault { kind, field: self.place(), at: from.at })
    }

    /// Where the text is, for a fault.
    fn place(&self) -> &'static str {
        match self.stack.last() {
            Some(frame) if (frame.fresh || self.is_passing) && frame.what == What::Object => frame.message.name,
            Some(frame) => frame.field.name,
            None => REQUEST.name,
        }
    }

    fn run(&mut self, from: &mut Cursor<'_>, to: &mut BoundedBuffer<'_>, until: usize) -> Result<TranscodeProgress, K> {
        if !self.is_begun {
            from.expect(b'{', "an object is expected")?;
            self.push(What::Object, &REQUEST, &REQUEST.fields[0], to.out.len());
            self.is_begun = true;
        }
        while from.at < until {
            let Some(frame) = self.stack.last_mut() else {
                return match from.peek() {
                    None => Ok(TranscodeProgress::Done),
                    Some(_) => Err(K::Syntax("nothing may follow the request")),
                };
            };
            let end = if frame.what == What::Object { b'}' } else { b']' };
            if has_next(frame, from, end)? {
                match frame.what {
                    What::Object => self.member(from, to)?,
                    What::Messages => self.messages(from, to, until)?,
                    What::Texts | What::Packed => self.elements(from, to, until)?,
                }
            } else {
                self.close(to)?;
            }
        }
        Ok(TranscodeProgress::More)
    }

    fn push(&mut self, what: What, message: &'static MessageSchema, field: &'static FieldSchema, start: usize) {
        let width = self.widths[self.stack.len()];
        self.objects += usize::from(what == What::Object);
        self.stack.push(Frame { what, message, field, next: 0, fresh: true, width, start, seen: 0 });
    }

    /// Begins a message, whose brace is next.
    fn open(
        &mut self,
        message: &'static MessageSchema,
        field: &'static FieldSchema,
        from: &mut Cursor<'_>,
        to: &mut BoundedBuffer<'_>,
    ) -> Result<(), K> {
        if from.peek() != Some(b'{') {
            return Err(K::Kind("an object"));
        }
        if self.objects >= WIRE_DEPTH_MAX {
            return Err(K::TooDeep);
        }
        from.at += 1;
        to.need(32 + FIXED)?;
        to.out.push(field.key());
        let width = self.widths[self.stack.len()];
        to.leave(width.into());
        let start = to.out.len();
        if std::ptr::eq(message, &NUMBER_DATA_POINT) {
            self.point = Point::default();
            to.out.extend_from_slice(&[0; FIXED]);
        }
        self.push(What::Object, message, &message.fields[0], start);
        Ok(())
    }

    /// Ends what is open innermost; its bracket has been taken.
    fn close(&mut self, to: &mut BoundedBuffer<'_>) -> Result<(), K> {
        let Some(frame) = self.stack.pop() else { return Ok(()) };
        self.objects -= usize::from(frame.what == What::Object);
        let (start, width) = (frame.start, usize::from(frame.width));
        match frame.what {
            What::Messages | What::Texts => return Ok(()),
            // the request itself has no length
            What::Object if self.stack.is_empty() => return Ok(()),
            What::Object if std::ptr::eq(frame.message, &NUMBER_DATA_POINT) => self.point.put(start, to.out),
            What::Packed if to.out.len() == start => {
                to.out.truncate(start - width - 1);
                return Ok(());
            }
            What::Object | What::Packed => {}
        }
        self.widths[self.stack.len()] = to.close(start, width)? as u8;
        Ok(())
    }

    /// A key and what follows it: a scalar at once, an object or a list is begun.
    fn member(&mut self, from: &mut Cursor<'_>, to: &mut BoundedBuffer<'_>) -> Result<(), K> {
        let Some(frame) = self.stack.last_mut() else { return Ok(()) };
        let key = from.key()?;
        let found = if key.has_escapes {
            let mut name = [0u8; 32];
            let mut length = 0;
            unescape(key.bytes, |part| {
                if let Some(room) = name.get_mut(length..length + part.len()) {
                    room.copy_from_slice(part);
                }
                length += part.len();
            })?;
            name.get(..length).and_then(|name| find(frame.message, name, frame.next.into()))
        } else {
            find(frame.message, key.bytes, frame.next.into())
        };
        let Some(at) = found else {
            self.is_passing = true;
            from.skip()?;
            self.is_passing = false;
            return Ok(());
        };
        let field = &frame.message.fields[at];
        (frame.field, frame.next) = (field, at as u8 + 1);
        match from.peek() {
            Some(b'n') if from.literal(b"null") => return Ok(()),
            Some(_) => {}
            None => return Err(K::Ended),
        }
        let is_first = frame.seen & (1 << at) == 0;
        frame.seen |= 1 << at;
        if field.shape == FieldShape::Repeated {
            return self.begin_list(field, from, to);
        }
        match field.kind {
            FieldKind::Message(message) => self.open(message, field, from, to),
            _ if std::ptr::eq(frame.message, &NUMBER_DATA_POINT) && field.number != 8 => {
                let bits = value::bits(field.kind, from, to)?;
                match field.number {
                    2 => self.point.start = bits,
                    3 => self.point.time = bits,
                    _ => self.point.value = Some((field.key(), bits)),
                }
                Ok(())
            }
            _ => value::put(field, is_first && field.shape == FieldShape::Plain, from, to),
        }
    }

    fn begin_list(
        &mut self,
        field: &'static FieldSchema,
        from: &mut Cursor<'_>,
        to: &mut BoundedBuffer<'_>,
    ) -> Result<(), K> {
        if from.peek() != Some(b'[') {
            return Err(K::Kind("a list"));
        }
        from.at += 1;
        let (what, message) = match field.kind {
            FieldKind::Message(message) => (What::Messages, message),
            FieldKind::Text => (What::Texts, &REQUEST),
            _ => (What::Packed, &REQUEST),
        };
        if what == What::Packed {
            to.need(16)?;
            to.out.push(field.packed_key());
            to.leave(self.widths[self.stack.len()].into());
        }
        self.push(what, message, field, to.out.len());
        Ok(())
    }

    /// Elements of a list of messages: attributes of the usual spelling as long as they come, any other is begun.
    fn messages(&mut self, from: &mut Cursor<'_>, to: &mut BoundedBuffer<'_>, until: usize) -> Result<(), K> {
        let Some(frame) = self.stack.last_mut() else { return Ok(()) };
        let (message, field) = (frame.message, frame.field);
        if std::ptr::eq(message, &KEY_VALUE) && self.objects + 2 <= WIRE_DEPTH_MAX {
            while value::pair(field.key(), from, to)? {
                if from.at >= until {
                    return Ok(());
                }
                if !has_next(frame, from, b']')? {
                    return self.close(to);
                }
            }
        }
        self.open(message, field, from, to)
    }

    /// Elements of a list of texts or numbers.
    fn elements(&mut self, from: &mut Cursor<'_>, to: &mut BoundedBuffer<'_>, until: usize) -> Result<(), K> {
        let Some(frame) = self.stack.last_mut() else { return Ok(()) };
        loop {
            match frame.what {
                What::Texts => value::put(frame.field, false, from, to)?,
                _ => value::put_packed(frame.field.kind, from, to)?,
            }
            if from.at >= until {
                return Ok(());
            }
            if !has_next(frame, from, b']')? {
                return self.close(to);
            }
        }
    }
}

/// Whether another member or element comes; takes the comma before it, or the end.
#[inline]
fn has_next(frame: &mut Frame, from: &mut Cursor<'_>, end: u8) -> Result<bool, K> {
    let is_fresh = std::mem::replace(&mut frame.fresh, false);
    match from.peek() {
        Some(b',') if !is_fresh => {
            from.at += 1;
            from.peek().ok_or(K::Ended)?;
        }
        Some(byte) if byte == end => {
            from.at += 1;
            return Ok(false);
        }
        Some(_) if is_fresh => {}
        Some(_) => return Err(K::Syntax("a comma or the end of the value is expected")),
        None => return Err(K::Ended),
    }
    Ok(true)
}

/// Where the field called `name` stands in the table, looked for from `from` on.
#[inline]
fn find(message: &'static MessageSchema, name: &[u8], from: usize) -> Option<usize> {
    let fields = message.fields;
    let from = from.min(fields.len());
    let is_it = |at: &usize| fields[*at].name.as_bytes() == name;
    (from..fields.len()).find(is_it).or_else(|| (0..from).find(is_it))
}

impl Point {
    /// Fills the bytes left at `start`. A point with a value has start and time there even when they are 0.
    fn put(&self, start: usize, out: &mut Vec<u8>) {
        if let Some((key, bits)) = self.value {
            let mut fixed = [0; FIXED];
            for (field, (key, bits)) in
                fixed.chunks_exact_mut(9).zip([(0x11, self.start), (0x19, self.time), (key, bits)])
            {
                field[0] = key;
                field[1..].copy_from_slice(&bits.to_le_bytes());
            }
            out[start..start + FIXED].copy_from_slice(&fixed);
            return;
        }
        let mut at = start;
        for (key, bits) in [(0x11, self.start), (0x19, self.time)] {
            if bits != 0 {
                out[at] = key;
                out[at + 1..at + 9].copy_from_slice(&bits.to_le_bytes());
                at += 9;
            }
        }
        out.drain(at..start + FIXED);
    }
}
