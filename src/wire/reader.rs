//! The reader. See the room's header for its invariants.

use crate::limits::{MESSAGE_BYTES_MAX, WIRE_DEPTH_MAX};

/// What is wrong with the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FaultKind {
    /// The message ends inside a field.
    Truncated = 0,
    /// A varint of more than ten bytes, or past 2^64.
    BadVarint,
    /// A key whose field number is 0 or past 2^29, or whose wire type does not exist.
    BadTag,
    /// A known field with a wire type it cannot have.
    WrongWireType,
    /// A string that is not UTF-8.
    NotUtf8,
    /// Nested deeper than `limits::WIRE_DEPTH_MAX`.
    TooDeep,
    /// A group that ends with another number, or an end without a start.
    BadGroup,
    /// A packed field whose length is no multiple of its element.
    BadPacked,
    /// More messages than `limits::REQUEST_MESSAGES_MAX`.
    TooManyMessages,
    /// What is read in one go has more than `limits::MESSAGE_BYTES_MAX`.
    TooLarge,
    /// More fields than `limits::MESSAGE_FIELDS_MAX` in one message.
    TooManyFields,
}

const _: () = assert!(crate::limits::REQUEST_MESSAGES_MAX == 1_000_000, "the words below say so");
const _: () = assert!(crate::limits::MESSAGE_BYTES_MAX == 1_536 * 1_024, "the words below say so");
const _: () = assert!(crate::limits::MESSAGE_FIELDS_MAX == 1_000_000, "the words below say so");

impl FaultKind {
    /// English for messages to clients.
    pub const fn word(self) -> &'static str {
        match self {
            FaultKind::Truncated => "the message ends inside a field",
            FaultKind::BadVarint => "a varint is longer than ten bytes",
            FaultKind::BadTag => "a field key is invalid",
            FaultKind::WrongWireType => "a field has the wrong wire type",
            FaultKind::NotUtf8 => "a string is not valid UTF-8",
            FaultKind::TooDeep => "nested deeper than 64 levels",
            FaultKind::BadGroup => "a group is not closed properly",
            FaultKind::BadPacked => "a packed field has a wrong length",
            FaultKind::TooLarge => {
                "more than 1.5 MiB in one point, in data that come in parts, or in a group: send less in it, and data in one part"
            }
            FaultKind::TooManyFields => {
                "more than 1000000 fields in one resource, scope or metric, not counting what is under it: send fewer in it"
            }
            FaultKind::TooManyMessages => {
                "more than 1000000 resources, scopes, metrics and points in one request: send it in several requests"
            }
        }
    }
}

/// A wire fault: what, and in which field of the message being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong.
    pub kind: FaultKind,
    /// The message and field that was being read, such as `NumberDataPoint.attributes`.
    pub field: &'static str,
    /// Bytes of the message that were left when it was found; the caller turns it into an offset.
    pub left: usize,
}

impl Fault {
    #[cold]
    #[inline(never)]
    pub(crate) fn new(kind: FaultKind, left: usize) -> Fault {
        Fault { kind, field: "", left }
    }

    /// Names the field, unless a deeper one is named already.
    #[must_use]
    #[cold]
    pub fn named(mut self, field: &'static str) -> Fault {
        if self.field.is_empty() {
            self.field = field;
        }
        self
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.field.is_empty() {
            f.write_str(self.kind.word())
        } else {
            write!(f, "{}: {}", self.field, self.kind.word())
        }
    }
}

/// The wire types that exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum WireType {
    /// Varint.
    Varint = 0,
    /// Eight bytes, little endian.
    Fixed64 = 1,
    /// Length and bytes.
    Bytes = 2,
    /// Start of a group.
    StartGroup = 3,
    /// End of a group.
    EndGroup = 4,
    /// Four bytes, little endian.
    Fixed32 = 5,
}

/// A field's number and wire type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Field number, 1 to 2^29 - 1.
    pub number: u32,
    /// Wire type.
    pub wire: WireType,
}

/// Walks one message's bytes.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

type Result<T> = std::result::Result<T, Fault>;

impl<'a> Reader<'a> {
    /// Reads `bytes` from the start.
    #[inline]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    /// Nothing left.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Bytes left.
    #[inline]
    pub const fn left(&self) -> usize {
        self.rest.len()
    }

    /// What is left.
    #[inline]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Skips `n` bytes that the caller knows are there.
    #[inline]
    pub fn advance(&mut self, n: usize) {
        self.rest = &self.rest[n..];
    }

    #[cold]
    #[inline(never)]
    fn fault(&self, kind: FaultKind) -> Fault {
        Fault::new(kind, self.rest.len())
    }

    /// One varint.
    #[inline]
    pub fn varint(&mut self) -> Result<u64> {
        match self.rest {
            [a, tail @ ..] if *a < 0x80 => {
                self.rest = tail;
                Ok(u64::from(*a))
            }
            [a, b, tail @ ..] if *b < 0x80 => {
                self.rest = tail;
                Ok(u64::from(*a & 0x7f) | u64::from(*b) << 7)
            }
            _ => self.varint_slow(),
        }
    }

    #[inline(never)]
    fn varint_slow(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for i in 0..10 {
            let Some(&byte) = self.rest.get(i) else { return Err(self.fault(FaultKind::Truncated)) };
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                if i == 9 && byte > 1 {
                    return Err(self.fault(FaultKind::BadVarint));
                }
                self.rest = &self.rest[i + 1..];
                return Ok(value);
            }
        }
        Err(self.fault(FaultKind::BadVarint))
    }

    /// One field key.
    #[inline]
    pub fn field(&mut self) -> Result<Field> {
        let key = self.varint()?;
        let wire = match key & 7 {
            0 => WireType::Varint,
            1 => WireType::Fixed64,
            2 => WireType::Bytes,
            3 => WireType::StartGroup,
            4 => WireType::EndGroup,
            5 => WireType::Fixed32,
            _ => return Err(self.fault(FaultKind::BadTag)),
        };
        if key > u64::from(u32::MAX) || key < 8 {
            return Err(self.fault(FaultKind::BadTag));
        }
        Ok(Field { number: (key >> 3) as u32, wire })
    }

    /// A length and that many bytes.
    #[inline]
    pub fn bytes(&mut self) -> Result<&'a [u8]> {
        let length = self.varint()?;
        if length > self.rest.len() as u64 {
            return Err(self.fault(FaultKind::Truncated));
        }
        let (head, tail) = self.rest.split_at(length as usize);
        self.rest = tail;
        Ok(head)
    }

    /// A length-delimited field with this one-byte key and a length of one or two bytes, if that comes next: the
    /// common case of `field` and `bytes`, in one step.
    #[inline]
    pub fn short(&mut self, key: u8) -> Option<&'a [u8]> {
        let [k, a, b] = self.rest.first_chunk::<3>()?;
        let (head, length) = match (*a, *b) {
            (a, _) if a < 0x80 => (2, a as usize),
            (a, b) if b < 0x80 => (3, a as usize & 0x7f | (b as usize) << 7),
            _ => return None,
        };
        if *k != key || length > self.rest.len() - head {
            return None;
        }
        let (field, rest) = self.rest[head..].split_at(length);
        self.rest = rest;
        Some(field)
    }

    /// Eight bytes.
    #[inline]
    pub fn fixed64(&mut self) -> Result<u64> {
        match self.rest.split_first_chunk::<8>() {
            Some((head, tail)) => {
                self.rest = tail;
                Ok(u64::from_le_bytes(*head))
            }
            None => Err(self.fault(FaultKind::Truncated)),
        }
    }

    /// Four bytes.
    #[inline]
    pub fn fixed32(&mut self) -> Result<u32> {
        match self.rest.split_first_chunk::<4>() {
            Some((head, tail)) => {
                self.rest = tail;
                Ok(u32::from_le_bytes(*head))
            }
            None => Err(self.fault(FaultKind::Truncated)),
        }
    }

    /// Faults unless the field has this wire type.
    #[inline]
    pub fn expect(&self, field: Field, wire: WireType) -> Result<()> {
        if field.wire == wire { Ok(()) } else { Err(self.fault(FaultKind::WrongWireType)) }
    }

    /// Skips the value of a field nobody knows, at nesting `depth`.
    #[inline]
    pub fn skip(&mut self, field: Field, depth: usize) -> Result<()> {
        match field.wire {
            WireType::Varint => self.varint().map(drop),
            WireType::Fixed64 => self.fixed64().map(drop),
            WireType::Bytes => self.bytes().map(drop),
            WireType::Fixed32 => self.fixed32().map(drop),
            WireType::StartGroup => self.skip_group(field.number, depth),
            WireType::EndGroup => Err(self.fault(FaultKind::BadGroup)),
        }
    }

    /// Skips a group without recursion: open group numbers live in a fixed stack.
    #[inline(never)]
    fn skip_group(&mut self, number: u32, depth: usize) -> Result<()> {
        let mut open = [0u32; WIRE_DEPTH_MAX];
        let room = WIRE_DEPTH_MAX.saturating_sub(depth);
        if room == 0 {
            return Err(self.fault(FaultKind::TooDeep));
        }
        open[0] = number;
        let mut level = 1;
        let from = self.left();
        while level > 0 {
            if from - self.left() > MESSAGE_BYTES_MAX {
                return Err(self.fault(FaultKind::TooLarge));
            }
            if self.is_empty() {
                return Err(self.fault(FaultKind::Truncated));
            }
            let field = self.field()?;
            match field.wire {
                WireType::StartGroup => {
                    if level >= room {
                        return Err(self.fault(FaultKind::TooDeep));
                    }
                    open[level] = field.number;
                    level += 1;
                }
                WireType::EndGroup => {
                    if open[level - 1] != field.number {
                        return Err(self.fault(FaultKind::BadGroup));
                    }
                    level -= 1;
                }
                _ => self.skip(field, depth + level)?,
            }
        }
        Ok(())
    }
}

/// Faults unless `bytes` is UTF-8.
#[inline]
pub fn check_utf8(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| Fault::new(FaultKind::NotUtf8, bytes.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r20_varints_up_to_ten_bytes() {
        let check = |bytes: &[u8], want: Option<u64>| {
            assert_eq!(Reader::new(bytes).varint().ok(), want, "{bytes:x?}");
        };
        check(&[0], Some(0));
        check(&[0x80, 0], Some(0));
        check(&[0xff, 0x7f], Some(16383));
        check(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0], Some(0));
        check(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], Some(u64::MAX));
        check(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2], None);
        check(&[0x80; 11], None);
        check(&[0x80], None);
        check(&[], None);
    }

    #[test]
    fn t8_groups_nest_to_the_limit_and_no_deeper() {
        let nest = |n: usize| {
            let mut bytes = vec![0x0b; n];
            bytes.extend(vec![0x0c; n]);
            let mut reader = Reader::new(&bytes);
            let field = reader.field()?;
            reader.skip(field, 0)
        };
        assert!(nest(WIRE_DEPTH_MAX).is_ok());
        assert_eq!(nest(WIRE_DEPTH_MAX + 1).unwrap_err().kind, FaultKind::TooDeep);
        assert_eq!(nest(1_000_000).unwrap_err().kind, FaultKind::TooDeep);
    }

    #[test]
    fn lengths_are_checked_before_use() {
        assert_eq!(Reader::new(&[0xff, 0xff, 0xff, 0xff, 0x0f, 1]).bytes().unwrap_err().kind, FaultKind::Truncated);
        assert_eq!(Reader::new(&[1]).bytes().unwrap_err().kind, FaultKind::Truncated);
        assert_eq!(Reader::new(&[0]).bytes().unwrap(), b"");
    }
}
