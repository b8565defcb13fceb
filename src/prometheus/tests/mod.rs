//! Tests of whole pages, with a strict parser and a source in memory.
mod fake;
mod pages;
mod parse;
mod round_trip;

pub(super) use fake::{records, resource, scope};
