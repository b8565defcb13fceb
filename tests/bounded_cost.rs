//! For any body time and memory are bounded by its bytes and what it makes (`bodies`): bodies of shapes that once cost more,
//! and of many programs; the fuzzer tries others (`fuzz/fuzz_targets/cost.rs`).
//!
//! One test, so that nothing else allocates beside it.

mod bodies;
mod common;

#[global_allocator]
static ALLOCATOR: bodies::Counting = bodies::Counting;

/// How much slower a build for tests is; the time is by a shared machine's clock.
const SLOWER: u32 = if cfg!(debug_assertions) { 20 } else { 3 };
const BYTES: usize = 1 << 20;
/// Programs tried; `CATCHMENT_FULL=1`: a hundred times as many.
const PROGRAMS: u64 = 300;

/// Numbers that are the same at each run.
fn random(state: &mut u64) -> u8 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 56) as u8
}

/// Shapes by name. A piece is (place of its field in its message, how often by place in `bodies::TIMES`).
fn shapes() -> Vec<(&'static str, Vec<u8>)> {
    // a resource, a scope in it, and a metric there
    let metric = |rest: &[u8]| [&[0, 0, 1, 0, 1, 0], rest].concat();
    vec![
        ("empty resources", vec![0, 7]),
        ("empty scopes", vec![0, 0, 1, 7]),
        ("a resource in parts", vec![0, 0, 0, 7]),
        ("a resource in parts of an attribute", vec![0, 0, 0, 7, 0, 0, 0, 0]),
        ("a scope in parts", vec![0, 0, 1, 0, 0, 7]),
        ("empty metrics", vec![0, 0, 1, 0, 1, 7]),
        ("a name many times", metric(&[0, 7])),
        ("sums in parts", metric(&[0, 0, 4, 7])),
        ("empty points", metric(&[0, 0, 3, 0, 0, 7])),
        ("empty histograms", metric(&[0, 0, 5, 0, 0, 7])),
        ("empty exponential histograms", metric(&[0, 0, 6, 0, 0, 7])),
        ("empty summaries", metric(&[0, 0, 7, 0, 0, 7])),
        ("counts one by one", metric(&[0, 0, 5, 0, 0, 0, 6, 7])),
        ("bounds one by one", metric(&[0, 0, 5, 0, 0, 0, 8, 7])),
        ("buckets one by one", metric(&[0, 0, 6, 0, 0, 0, 7, 0, 1, 7])),
        ("quantiles", metric(&[0, 0, 7, 0, 0, 0, 5, 7])),
        ("exemplars", metric(&[0, 0, 3, 0, 0, 0, 5, 7])),
        ("attributes of one point", metric(&[0, 0, 3, 0, 0, 0, 0, 7, 0, 0])),
        ("names", vec![0, 0, 1, 0, 1, 7, 0, 0x80, 3, 0x80, 0, 0x80, 1, 0x10]),
    ]
}

#[test]
fn time_and_memory_are_bounded_by_bytes_and_births() {
    let programs = if std::env::var_os("CATCHMENT_FULL").is_some() { 100 * PROGRAMS } else { PROGRAMS };
    let (mut tried, mut large, mut taken, mut born, mut over) = (0, 0, 0, 0, Vec::new());
    let mut hold = |name: &str, cost: bodies::Cost| {
        tried += 1;
        large += u64::from(cost.bytes > BYTES / 2);
        taken += u64::from(cost.refused.is_none() && cost.bytes > 0);
        born += u64::from(cost.births > 100);
        if !cost.is_within() {
            over.push(format!("{name}: {cost:?}"));
        }
    };
    for (name, program) in shapes() {
        let body = bodies::body(&program, BYTES);
        assert!(body.len() > BYTES / 2, "{name}: {} bytes", body.len());
        hold(name, bodies::of(&body, SLOWER));
    }
    for key in ["resource", "scopeMetrics", "schemaUrl"] {
        let value = if key == "schemaUrl" {
            "\"x\""
        } else if key == "resource" {
            "{\"attributes\":[]}"
        } else {
            "[{}]"
        };
        let pairs = vec![format!("\"{key}\":{value}"); BYTES / (key.len() + value.len() + 4)].join(",");
        hold(key, bodies::of_json(format!("{{\"resourceMetrics\":[{{{pairs}}}]}}").as_bytes(), SLOWER));
    }
    let mut state = 1;
    for seed in 0..programs {
        let program: Vec<u8> = (0..24).map(|_| random(&mut state)).collect();
        hold(&format!("program {seed} {program:?}"), bodies::of(&bodies::body(&program, BYTES), SLOWER));
    }
    assert_eq!(tried, shapes().len() as u64 + 3 + programs);
    assert!(
        large > programs / 5 && taken > programs / 5 && born > 3,
        "{large} large, {taken} taken, {born} with births"
    );
    assert!(over.is_empty(), "{} of {tried} cost more than they may: {over:#?}", over.len());
}
