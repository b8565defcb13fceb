//! Documents of rules: what is refused has a place, and what is taken is printed as a document that says the same.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| catchment::config::fuzz_document(data));
