//! Crashes on purpose, soon: shows that the rig can fail. A run of it that ends well is a fault of the rig.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| assert!(!data.starts_with(b"coal"), "the canary is dead, as it should be"));
