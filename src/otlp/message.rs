//! A message by the fields of one number: walked, counted, joined.
//!
//! Knows wire fields and how many a message may have; does not know which message it is.

use crate::limits::{MESSAGE_BYTES_MAX, MESSAGE_FIELDS_MAX, REQUEST_MESSAGES_MAX};
use crate::wire::{Fault, FaultKind, Reader, WireType};
use bumpalo::Bump;

/// The parts of a message that stands as field `number` more than once, one after the other, which is how protobuf
/// merges them: copied once, whatever their number.
#[cold]
#[inline(never)]
pub(super) fn join<'a>(message: &'a [u8], number: u32, arena: &'a Bump) -> Result<&'a [u8], Fault> {
    let mut bytes = 0;
    each(message, number, |part| {
        bytes += part.len();
        Ok(())
    })?;
    let mut all = bumpalo::collections::Vec::with_capacity_in(bytes, arena);
    each(message, number, |part| {
        all.extend_from_slice(part);
        Ok(())
    })?;
    Ok(all.into_bump_slice())
}

/// Calls `visit` with each length-delimited field `number` of `message`; skips the rest.
#[inline]
pub fn each<'a>(message: &'a [u8], number: u32, visit: impl FnMut(&'a [u8]) -> Result<(), Fault>) -> Result<(), Fault> {
    Each::new(message, number, 0).within(message.len(), visit)
}

/// A walk over the length-delimited fields of one number of a message, which can be left and taken up again.
pub struct Each<'a> {
    reader: Reader<'a>,
    bytes: usize,
    number: u32,
    /// Most bytes of one.
    bytes_max: usize,
    /// Other fields.
    own: OwnFields,
}

impl<'a> Each<'a> {
    /// Over the fields `number` of `message` from byte `from` on, where a field begins.
    #[inline]
    pub fn new(message: &'a [u8], number: u32, from: usize) -> Each<'a> {
        let mut reader = Reader::new(message);
        reader.advance(from.min(message.len()));
        Each { reader, bytes: message.len(), number, bytes_max: usize::MAX, own: OwnFields::default() }
    }

    /// A longer one is a fault.
    #[inline]
    #[must_use]
    pub const fn up_to(mut self, bytes_max: usize) -> Each<'a> {
        self.bytes_max = bytes_max;
        self
    }

    /// The byte at which the next field begins.
    #[inline]
    pub const fn at(&self) -> usize {
        self.bytes - self.reader.left()
    }

    /// Nothing is left.
    #[inline]
    pub const fn is_over(&self) -> bool {
        self.reader.is_empty()
    }

    /// The next one; nothing at the end.
    #[inline]
    pub fn one(&mut self) -> Result<Option<&'a [u8]>, Fault> {
        let mut found = None;
        while found.is_none() && !self.reader.is_empty() {
            if let Some(bytes) = self.reader.short((self.number << 3 | 2) as u8) {
                return Ok(Some(bytes));
            }
            self.long(|bytes| {
                found = Some(bytes);
                Ok(())
            })?;
        }
        Ok(found)
    }

    /// Calls `visit` with each one that begins within the next `bytes`.
    #[inline]
    pub fn within(&mut self, bytes: usize, mut visit: impl FnMut(&'a [u8]) -> Result<(), Fault>) -> Result<(), Fault> {
        let end = self.reader.left().saturating_sub(bytes);
        let key = (self.number << 3 | 2) as u8;
        while self.reader.left() > end {
            if let Some(bytes) = self.reader.short(key) {
                visit(bytes)?;
                continue;
            }
            self.long(&mut visit)?;
        }
        Ok(())
    }

    /// The next field, whatever it is.
    #[inline]
    fn long(&mut self, mut visit: impl FnMut(&'a [u8]) -> Result<(), Fault>) -> Result<(), Fault> {
        let field = self.reader.field()?;
        if field.number == self.number {
            self.reader.expect(field, WireType::Bytes)?;
            let bytes = self.reader.bytes()?;
            if bytes.len() > self.bytes_max {
                return Err(Fault::new(FaultKind::TooLarge, self.reader.left()));
            }
            return visit(bytes);
        }
        // what the head scan has checked is not checked again
        self.reader.skip(field, 1)?;
        self.own.field()
    }
}

/// What a message has beside those under it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OwnFields {
    fields: usize,
    children: u64,
}

impl OwnFields {
    /// A field more; a fault past the limit.
    #[inline]
    pub(super) fn field(&mut self) -> Result<(), Fault> {
        self.fields += 1;
        if self.fields > MESSAGE_FIELDS_MAX {
            return Err(Fault::new(FaultKind::TooManyFields, 0));
        }
        Ok(())
    }

    /// A message under it, which a request may have so many of.
    #[inline]
    pub(super) fn child(&mut self) -> Result<(), Fault> {
        self.children += 1;
        check_messages(self.children)
    }
}

#[inline]
pub(super) fn check_bytes(bytes: usize) -> Result<(), Fault> {
    if bytes > MESSAGE_BYTES_MAX {
        return Err(Fault::new(FaultKind::TooLarge, 0));
    }
    Ok(())
}

#[inline]
pub(super) fn check_messages(messages: u64) -> Result<(), Fault> {
    if messages > REQUEST_MESSAGES_MAX {
        return Err(Fault::new(FaultKind::TooManyMessages, 0));
    }
    Ok(())
}
