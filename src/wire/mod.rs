//! Protobuf's wire format: varints, tags, a reader that can only move inside its slice, and writers.
//!
//! Knows the encoding (protobuf "Encoding" specification); knows no message. What it accepts and refuses is what
//! `prost` accepts and refuses, except that groups nest to `limits::WIRE_DEPTH_MAX` only.
//!
//! Invariants
//! 1. A reader never yields a byte outside its slice, and never allocates.
//! 2. A length is compared with what is there before it is used.
//! 3. Every loop consumes at least one byte a turn.

mod reader;
mod writer;

pub use reader::{Fault, FaultKind, Field, Reader, WireType, check_utf8};
pub use writer::*;
