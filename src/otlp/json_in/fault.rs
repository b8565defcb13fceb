//! What can be wrong with OTLP/JSON, and how that is said.
//!
//! Knows words; does not know how a text is read.

use crate::limits::{JSON_NUMBER_BYTES_MAX, WIRE_DEPTH_MAX};
use std::fmt;

/// What is wrong with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
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
pub struct Fault {
    /// What is wrong.
    pub kind: FaultKind,
    /// The last key that is known, or the message it would be in.
    pub field: &'static str,
    /// Byte of the text.
    pub at: usize,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("malformed OTLP/JSON: ")?;
        match self.kind {
            FaultKind::Ended => f.write_str("it ends too early"),
            FaultKind::Syntax(what) => f.write_str(what),
            FaultKind::Control => f.write_str("a control character in a string must be escaped"),
            FaultKind::NotUtf8 => f.write_str("a string is not UTF-8"),
            FaultKind::BadEscape => f.write_str("an escape is none that JSON has"),
            FaultKind::LoneSurrogate => f.write_str("half of a surrogate pair stands alone"),
            FaultKind::TooDeep => write!(f, "nested deeper than {WIRE_DEPTH_MAX} levels"),
            FaultKind::LongNumber => write!(f, "a number has more than {JSON_NUMBER_BYTES_MAX} bytes"),
            FaultKind::Kind(what) => write!(f, "{what} is expected"),
            FaultKind::NotWhole => f.write_str("an integer has a fraction"),
            FaultKind::OutOfRange => f.write_str("a number is out of range"),
            FaultKind::NotHex(bytes) => write!(f, "an id must be {} hexadecimal digits, or empty", 2 * bytes),
            FaultKind::NotBase64 => f.write_str("bytes must be base64"),
            FaultKind::TooLarge => f.write_str("it takes more bytes than the limit"),
            FaultKind::NoBudget => f.write_str("the memory budget is spent"),
        }?;
        write!(f, ", at {} near byte {}", self.field, self.at)
    }
}

impl std::error::Error for Fault {}
