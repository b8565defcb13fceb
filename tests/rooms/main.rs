//! The rooms without sockets, alone and together in one thread: decode, aggregation, cuts, rows, formats.

mod aggregate;
mod bounded;
#[path = "../common/mod.rs"]
mod common;
mod conflicts;
mod corpus;
mod decode;
mod dropped;
mod effects;
mod ended;
mod exchange;
mod exemplars;
mod extremes;
mod flushed;
mod folds;
mod fuzz_corpora;
mod gate;
mod golden;
mod histograms;
mod ledger_page;
mod limits;
mod lives;
mod model;
#[path = "../oracle/mod.rs"]
mod oracle;
mod otlp_json_in;
mod otlp_json_lines;
mod otlp_json_out;
#[path = "../otlp_json_support/mod.rs"]
mod otlp_json_support;
mod overflow;
mod passing;
#[path = "../recorded/mod.rs"]
mod recorded;
mod relabelled;
mod replicas;
#[path = "../requests/mod.rs"]
mod requests;
mod shares;
mod slices;
mod summaries;
mod views;
mod writers;
