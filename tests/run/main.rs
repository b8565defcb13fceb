//! The built binary, run as a process with real clients before it and receivers behind it.

#[path = "../binary/mod.rs"]
mod binary;
mod breaker;
mod cli;
#[path = "../common/mod.rs"]
mod common;
mod conflicts;
mod connections;
mod corpus;
mod dropped;
mod encodings;
mod exchange;
mod expiry;
mod extremes;
mod folds;
mod formats;
mod groups;
mod json;
mod kinds;
mod ledger;
mod load;
mod log;
mod loops;
mod malformed;
mod memory;
#[path = "../oracle/mod.rs"]
mod oracle;
mod order;
#[path = "../otlp_json_support/mod.rs"]
mod otlp_json_support;
mod outputs;
mod overflow;
mod pages;
mod plans;
#[path = "../recorded/mod.rs"]
mod recorded;
mod reload;
mod rules;
mod scrape;
mod secure;
mod settings;
mod shares;
mod signals;
mod slices;
mod start;
#[path = "../tls_support/mod.rs"]
mod tls_support;
mod totals;
mod tune;
mod views;
