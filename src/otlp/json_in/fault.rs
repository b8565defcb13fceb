//! What can be wrong with OTLP/JSON, and how that is said.
//!
//! Knows words; does not know how a text is read.

use crate::limits::{JSON_NUMBER_BYTES_MAX, WIRE_DEPTH_MAX};
use std::fmt;

/// What is wrong with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonFaultKind {
    /// It ends inside a value.
    Ended,
    /// It is not JSON; what is expected.
    Syntax(&'static str),
    /// A control character inside a string.
    Control,
    /// A string that is not UTF-8 (J9).
    NotUtf8,
    /// An escape that JSON does not have.
    BadEscape,
    /// Half of a surrogate pair (J9).
    LoneSurrogate,
    /// More than `limits::WIRE_DEPTH_MAX` (J9).
    TooDeep,
    /// A number of more than `limits::JSON_NUMBER_BYTES_MAX` bytes.
    LongNumber,
    /// A value of a kind that the field does not have; what it has.
    Kind(&'static str),
    /// An integer with a fraction (J6).
    NotWhole,
    /// A number that the field cannot hold.
    OutOfRange,
    /// Not so many hexadecimal digits (J3).
    NotHex(usize),
    /// Not base64.
    NotBase64,
    /// More bytes than the caller's limit.
    TooLarge,
    /// The budget did not grow.
    NoBudget,
}

/// A fault, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonFault {
    /// What is wrong.
    pub kind: JsonFaultKind,
    /// The last key that is known, or the message it would be in.
    pub field: &'static str,
    /// Byte of the text.
    pub at: usize,
}

impl fmt::Display for JsonFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("malformed OTLP/JSON: ")?;
        match self.kind {
            JsonFaultKind::Ended => f.write_str("it ends too early"),
            JsonFaultKind::Syntax(what) => f.write_str(what),
            JsonFaultKind::Control => f.write_str("a control character in a string must be escaped"),
            JsonFaultKind::NotUtf8 => f.write_str("a string is not UTF-8"),
            JsonFaultKind::BadEscape => f.write_str("an escape is none that JSON has"),
            JsonFaultKind::LoneSurrogate => f.write_str("half of a surrogate pair stands alone"),
            JsonFaultKind::TooDeep => write!(f, "nested deeper than {WIRE_DEPTH_MAX} levels"),
            JsonFaultKind::LongNumber => write!(f, "a number has more than {JSON_NUMBER_BYTES_MAX} bytes"),
            JsonFaultKind::Kind(what) => write!(f, "{what} is expected"),
            JsonFaultKind::NotWhole => f.write_str("an integer has a fraction"),
            JsonFaultKind::OutOfRange => f.write_str("a number is out of range"),
            JsonFaultKind::NotHex(bytes) => write!(f, "an id must be {} hexadecimal digits, or empty", 2 * bytes),
            JsonFaultKind::NotBase64 => f.write_str("bytes must be base64"),
            JsonFaultKind::TooLarge => f.write_str("it takes more bytes than the limit"),
            JsonFaultKind::NoBudget => f.write_str("the memory budget is spent"),
        }?;
        write!(f, ", at {} near byte {}", self.field, self.at)
    }
}

impl std::error::Error for JsonFault {}
