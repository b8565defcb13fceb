//! A whole protobuf request against prost: the same values, or both refuse.
#![no_main]

#[path = "../../tests/common/mod.rs"]
mod common;
#[path = "../../tests/oracle/mod.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracle::check::fuzz_request(data));
