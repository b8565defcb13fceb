//! Reads OTLP/JSON into a protobuf `ExportMetricsServiceRequest`: one pass over the text, no tree.
//!
//! Does not know: what the numbers mean, where the text comes from. What comes out goes the way of every protobuf
//! request, so that staging, rejecting and committing are the same for both; the same series gives the same bytes at
//! every export, which is what its routes are found by.
//!
//! Invariants:
//! 1. Same text, same bytes. What is accepted here is a well-formed request, as long as no string in it is over 4 GiB.
//! 2. `out` never grows past `limit` bytes, nor past what `grow` granted before it grew.
//! 3. Lists are concatenated, messages merged, and of scalars and members of a oneof the last one wins, as in protobuf
//!    (J8). A scalar that holds the default is left out, unless one came before it.
//!
//! Lengths come before what they measure: a place for one is left as wide as the last one at that depth was, and the
//! message is moved by a byte where it was wrong, once a message at most.
//!
//! Bounds: nesting `WIRE_DEPTH_MAX`; the stack is that of as many calls; unknown values are skipped without one.
//! Everything is linear in the text but for those moves, which are at most the depth times the bytes.
//!
//! Sources: OTLP specification "JSON Protobuf Encoding"; protobuf "ProtoJSON Format"; RFC 8259 (J1 to J9).

use super::json_schema::{EIGHT, Field, Kind, LENGTH, Message, REQUEST, Shape, VARINT};
use crate::limits::WIRE_DEPTH_MAX;
use crate::wire::{put_varint, varint_size, zigzag};
use std::fmt;

mod numbers;
mod text;

use text::Text;

/// Why a text is not a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// What is wrong, the field it is wrong in, and at which byte.
    Malformed {
        /// In words.
        what: &'static str,
        /// As JSON names it; the message's name where it is no field's.
        field: &'static str,
        /// Byte of the text.
        offset: usize,
    },
    /// The request would be larger than the limit.
    TooLarge,
    /// The budget did not grow.
    NoBudget,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Malformed { what, field, offset } => {
                write!(f, "malformed OTLP/JSON at byte {offset}: {what} (in `{field}`)")
            }
            Fault::TooLarge => f.write_str("the request is too large"),
            Fault::NoBudget => f.write_str("no memory is left for the request"),
        }
    }
}

type Result<T> = std::result::Result<T, Fault>;

/// Bytes by which `out` grows at first; it doubles.
const STEP_BYTES: usize = 64 * 1024;

/// Appends the request that `text` is to `out`. `grow` is asked for each step of capacity.
///
/// # Errors
/// See [`Fault`]; `out` then holds a part that means nothing.
pub fn read_json(text: &[u8], out: &mut Vec<u8>, limit: usize, grow: impl FnMut(usize) -> bool) -> Result<()> {
    let fail = |what, offset| Fault::Malformed { what, field: REQUEST.name, offset };
    if let Err(error) = std::str::from_utf8(text) {
        return Err(fail("bytes that are not UTF-8", error.valid_up_to()));
    }
    let mut reader =
        Reader { text: Text::new(text), out, limit, grow, widths: [1; WIRE_DEPTH_MAX + 1], field: REQUEST.name };
    reader.message(&REQUEST, 0)?;
    reader.text.space();
    if reader.text.peek().is_some() {
        return Err(reader.malformed("something behind the request"));
    }
    Ok(())
}

/// Fuzzing: what is accepted is a request, whose text reads as the same request again. Panics where it does not.
#[doc(hidden)]
pub fn fuzz_json(data: &[u8]) {
    let read = |text: &[u8]| {
        let mut out = Vec::new();
        read_json(text, &mut out, 1 << 20, |_| true).map(|()| out)
    };
    let write = |bytes: &[u8]| {
        let mut text = Vec::new();
        super::json_out::write_json(bytes, &mut text).expect("what is accepted is a request");
        text
    };
    if let Ok(bytes) = read(data) {
        let text = write(&bytes);
        match read(&text) {
            Ok(again) => assert_eq!(write(&again), text, "its text reads as the same request"),
            // what is written may be longer than what was read
            Err(fault) => assert_eq!(fault, Fault::TooLarge),
        }
    }
}

struct Reader<'t, 'o, G> {
    text: Text<'t>,
    out: &'o mut Vec<u8>,
    limit: usize,
    grow: G,
    /// Bytes that the last length took, by depth.
    widths: [usize; WIRE_DEPTH_MAX + 1],
    field: &'static str,
}

impl<G: FnMut(usize) -> bool> Reader<'_, '_, G> {
    #[cold]
    fn malformed(&self, what: &'static str) -> Fault {
        Fault::Malformed { what, field: self.field, offset: self.text.at() }
    }

    /// Makes room for so many bytes more.
    #[inline]
    fn room(&mut self, bytes: usize) -> Result<()> {
        if self.out.capacity() - self.out.len() >= bytes && self.out.len() + bytes <= self.limit {
            return Ok(());
        }
        self.make_room(bytes)
    }

    #[cold]
    fn make_room(&mut self, bytes: usize) -> Result<()> {
        if self.out.len() + bytes > self.limit {
            return Err(Fault::TooLarge);
        }
        let more = STEP_BYTES.max(self.out.capacity()).max(bytes);
        if !(self.grow)(more) {
            return Err(Fault::NoBudget);
        }
        self.out.reserve_exact(self.out.capacity() - self.out.len() + more);
        Ok(())
    }

    /// One object, its fields as records.
    fn message(&mut self, message: &'static Message, depth: usize) -> Result<()> {
        if depth > WIRE_DEPTH_MAX {
            return Err(self.malformed("nested too deep: 64 levels are taken"));
        }
        self.text.expect(b'{').map_err(|what| self.malformed(what))?;
        // which scalars were written: a default behind one must be written too
        let (mut written, mut next) = (0u64, 0);
        if self.text.is_next(b'}') {
            return Ok(());
        }
        loop {
            let found = {
                let key = self.text.key().map_err(|what| self.malformed(what))?;
                find(message, &key, next)
            };
            self.text.expect(b':').map_err(|what| self.malformed(what))?;
            match found {
                Some(at) => {
                    next = at + 1;
                    let field = &message.fields[at];
                    let outer = std::mem::replace(&mut self.field, field.name);
                    self.value(field, &mut written, at, depth)?;
                    self.field = outer;
                }
                None => self.text.skip(WIRE_DEPTH_MAX).map_err(|what| self.malformed(what))?,
            }
            if !self.text.more(b'}').map_err(|what| self.malformed(what))? {
                return Ok(());
            }
        }
    }

    fn value(&mut self, field: &'static Field, written: &mut u64, at: usize, depth: usize) -> Result<()> {
        // null is the default, whatever the field (J8)
        if self.text.is_null().map_err(|what| self.malformed(what))? {
            return Ok(());
        }
        if field.shape == Shape::Repeated {
            return self.list(field, depth);
        }
        match field.kind {
            Kind::Message(inner) => self.nested(field, inner, depth),
            Kind::Text | Kind::Base64 | Kind::Hex => {
                let keep = field.shape != Shape::Plain || *written & 1 << at != 0;
                *written |= 1 << at;
                self.string(field, keep)
            }
            _ => {
                let bits = self.scalar(field)?;
                if bits == 0 && field.shape == Shape::Plain && *written & 1 << at == 0 {
                    return Ok(());
                }
                *written |= 1 << at;
                self.room(16)?;
                put_varint(self.out, u64::from(field.number << 3 | u32::from(field.kind.wire())));
                self.put_scalar(field.kind, bits);
                Ok(())
            }
        }
    }

    /// A record of another message.
    fn nested(&mut self, field: &Field, inner: &'static Message, depth: usize) -> Result<()> {
        let start = self.open(field, depth)?;
        self.message(inner, depth + 1)?;
        self.close(start, depth)
    }

    /// Key and a place for the length; where the content begins.
    fn open(&mut self, field: &Field, depth: usize) -> Result<usize> {
        let width = self.widths[depth];
        self.room(5 + width)?;
        put_varint(self.out, u64::from(field.number << 3 | u32::from(LENGTH)));
        self.out.resize(self.out.len() + width, 0);
        Ok(self.out.len())
    }

    /// Puts the length of what came since into its place.
    fn close(&mut self, start: usize, depth: usize) -> Result<()> {
        // what lies inside is deeper: the width at this depth is that of `open`
        let (end, width) = (self.out.len(), self.widths[depth]);
        let length = (end - start) as u64;
        let needs = varint_size(length);
        if needs > width {
            self.room(needs - width)?;
            self.out.resize(end + needs - width, 0);
            self.out.copy_within(start..end, start + needs - width);
        } else if needs < width {
            self.out.copy_within(start..end, start + needs - width);
            self.out.truncate(end + needs - width);
        }
        self.widths[depth] = needs;
        let mut left = length;
        for (i, place) in self.out[start - width..][..needs].iter_mut().enumerate() {
            *place = left as u8 & 0x7f | if i + 1 < needs { 0x80 } else { 0 };
            left >>= 7;
        }
        Ok(())
    }

    /// A list: a record for each message or string, one packed record for scalars.
    fn list(&mut self, field: &'static Field, depth: usize) -> Result<()> {
        self.text.expect(b'[').map_err(|what| self.malformed(what))?;
        if self.text.is_next(b']') {
            return Ok(());
        }
        let packed = match field.kind {
            Kind::Message(_) | Kind::Text | Kind::Base64 | Kind::Hex => None,
            _ => Some(self.open(field, depth)?),
        };
        loop {
            match field.kind {
                Kind::Message(inner) => self.nested(field, inner, depth)?,
                Kind::Text | Kind::Base64 | Kind::Hex => self.string(field, true)?,
                kind => {
                    let bits = self.scalar(field)?;
                    self.room(10)?;
                    self.put_scalar(kind, bits);
                }
            }
            if !self.text.more(b']').map_err(|what| self.malformed(what))? {
                break;
            }
        }
        packed.map_or(Ok(()), |start| self.close(start, depth))
    }

    /// A record of a string; an empty one only if `keep`.
    fn string(&mut self, field: &Field, keep: bool) -> Result<()> {
        let string = self.text.string().map_err(|what| self.malformed(what))?;
        let start = self.out.len();
        // what comes out is never longer than what is written
        self.room(16 + string.raw.len())?;
        put_varint(self.out, u64::from(field.number << 3 | u32::from(LENGTH)));
        match field.kind {
            Kind::Text if !string.escaped => {
                put_varint(self.out, string.raw.len() as u64);
                self.out.extend_from_slice(string.raw);
            }
            kind => {
                let mut bytes = Vec::new();
                let done = match kind {
                    Kind::Text => text::unescape(string.raw, &mut bytes),
                    Kind::Base64 => text::base64(string.raw, &mut bytes),
                    _ => text::hex(string.raw, if field.name == "traceId" { 16 } else { 8 }, &mut bytes),
                };
                done.map_err(|what| self.malformed(what))?;
                put_varint(self.out, bytes.len() as u64);
                self.out.extend_from_slice(&bytes);
            }
        }
        if string.raw.is_empty() && !keep {
            self.out.truncate(start);
        }
        Ok(())
    }

    /// A number or a truth value as the bits of its record.
    fn scalar(&mut self, field: &Field) -> Result<u64> {
        let token = self.text.token().map_err(|what| self.malformed(what))?;
        let signed = |min, max| numbers::signed(token, min, max);
        let bits = match field.kind {
            Kind::Bool => numbers::truth(token).map(u64::from),
            Kind::Double => numbers::double(token).map(f64::to_bits),
            Kind::Uint64 | Kind::Fixed64 => numbers::unsigned(token, u64::MAX),
            Kind::Int64 | Kind::Sfixed64 => signed(i64::MIN, i64::MAX).map(|value| value as u64),
            Kind::Uint32 => numbers::unsigned(token, u64::from(u32::MAX)),
            // enums are numbers, never names (J4)
            Kind::Int32 if token.quoted => Err("an enum is a number here, never a name or a string"),
            Kind::Int32 | Kind::Absent => signed(i64::from(i32::MIN), i64::from(i32::MAX)).map(|value| value as u64),
            Kind::Sint32 => signed(i64::from(i32::MIN), i64::from(i32::MAX)).map(|value| zigzag(value as i32)),
            Kind::Message(_) | Kind::Text | Kind::Base64 | Kind::Hex => Err("not a scalar"),
        };
        bits.map_err(|what| self.malformed(what))
    }

    /// What stands behind the key of a scalar, or in a packed record.
    #[inline]
    fn put_scalar(&mut self, kind: Kind, bits: u64) {
        match kind.wire() {
            EIGHT => self.out.extend_from_slice(&bits.to_le_bytes()),
            wire => {
                debug_assert_eq!(wire, VARINT);
                put_varint(self.out, bits);
            }
        }
    }
}

/// The field of this name; keys most often come in the order of the last message, so the search begins behind the last.
#[inline]
fn find(message: &Message, key: &[u8], next: usize) -> Option<usize> {
    let fields = message.fields;
    let is = |at: &usize| fields[*at].name.as_bytes() == key;
    (next..fields.len()).chain(0..next.min(fields.len())).find(is)
}
