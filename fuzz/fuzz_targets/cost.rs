//! Time and memory of any body are bounded by its bytes and what it makes: bodies of programs, whose pieces repeat.
#![no_main]

#[path = "../../tests/bodies/mod.rs"]
mod bodies;
#[path = "../../tests/common/mod.rs"]
mod common;

#[global_allocator]
static ALLOCATOR: bodies::Counting = bodies::Counting;

/// With coverage and sanitizer, and little optimisation.
const SLOWER: u32 = 100;

libfuzzer_sys::fuzz_target!(|program: &[u8]| {
    let cost = bodies::of(&bodies::body(program, 1 << 18), SLOWER);
    assert!(cost.is_within(), "{cost:?}");
});
