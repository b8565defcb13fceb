//! Tests of whole pages, with a strict parser and a source in memory.
mod by_hand;
mod clashes;
mod client_model;
mod fake;
mod formats;
mod open_metrics;
mod pages;
mod parse;
mod round_trip;
mod scope_joins;

pub(super) use fake::{records, resource, scope};
