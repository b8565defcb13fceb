//! Selectors of rules: many patterns at once mean what each means by itself, by another engine; what is refused has a place.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| catchment::rules::fuzz_selectors(data));
