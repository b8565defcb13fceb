//! OTLP/JSON: what is accepted is a request, and its text reads as the same request again.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| catchment::otlp::json_in::fuzz_json(data));
