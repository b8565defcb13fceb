//! Operations on the index against a `HashMap`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| catchment::series::index::fuzz::fuzz_ops(data));
