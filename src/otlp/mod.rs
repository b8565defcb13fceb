//! The OTLP formats.

pub mod json_out;
