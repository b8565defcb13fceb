//! Files of settings: what is read as a tree is written out and reads as the same tree; what is refused has a place.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| catchment::config::tree::fuzz_tree(data));
