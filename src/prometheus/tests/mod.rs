//! Tests of whole pages, with a strict parser and a source in memory.
mod by_hand;
mod clashes;
mod client_model;
mod fake;
mod formats;
mod joints;
mod open_metrics;
mod pages;
mod parse;
mod round_trip;

pub(super) use fake::{records, resource, scope};
