//! The judge and the generator of the OTLP/JSON tests.
#![allow(dead_code)]

pub mod judge;
pub mod random;
