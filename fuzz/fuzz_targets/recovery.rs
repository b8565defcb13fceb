//! A log on disk whose files are damaged: nothing panics, no wrong payload is given out, and it goes on.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| catchment::buffer::fuzz_recovery(data));
