//! What a series costs in memory, counted at the allocator: live bytes after births and cuts, by size of allocation.
//!
//! One test, so that nothing else allocates beside it. The figure that is promised is resident memory at a million
//! series; this holds the part of it that the code decides.

mod common;

use catchment::flush::{GroupBytes, MEMBER_BYTES, series_bytes};
use catchment::model::{Kind, Temporality};
use catchment::rules::{Action, Aggregation, Grouping, InputKind, KeyPattern, Output, OutputSpec, Rule, Selector};
use common::*;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

struct Counting;

/// Live allocations by size in steps of 16 bytes; the last takes all larger ones.
static LIVE: [AtomicI64; 64] = [const { AtomicI64::new(0) }; 64];
static BYTES: AtomicI64 = AtomicI64::new(0);

fn count(size: usize, by: i64) {
    LIVE[(size.div_ceil(16)).min(63)].fetch_add(by, Relaxed);
    BYTES.fetch_add(by * size as i64, Relaxed);
}

// SAFETY: everything is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Resources, metrics of each and points of each, and the bytes that a series may take, its part of resource and metric
/// included.
const SHAPES: [(usize, usize, usize, f64); 2] = [(100, 20, 50, 512.0), (1_000, 120, 1, 815.0)];

#[test]
fn a_number_series_of_five_attributes_takes_less_than_half_a_kilobyte_and_with_its_own_metric_less_than_a_whole_one() {
    SHAPES.into_iter().for_each(check);
    rules_take_what_is_said_of_them();
}

/// Resources, metrics of each, and points of each.
const MEMBERS: [usize; 3] = [5, 10, 200];

/// Bytes that are allocated for so many series of which a rule makes groups by `keys`, cuts included.
fn with_rule(keys: &[&str], outputs: &[(Output, u64)]) -> f64 {
    let spec = |(output, steps): &(Output, u64)| OutputSpec {
        output: output.clone(),
        window_ns: steps * 10 * SECOND,
        name: "{name}".into(),
        text: "x".into(),
    };
    let keys = keys.iter().map(|key| KeyPattern { text: (*key).into(), place: None });
    let aggregation = Aggregation {
        outputs: InputKind::ALL.map(|_| outputs.iter().map(spec).collect()),
        ..Aggregation::new(Grouping::By(keys.collect()), 10 * SECOND)
    };
    let rule = Rule {
        name: "r".into(),
        was: None,
        selector: Selector::default(),
        except: None,
        action: Action::Aggregate(Box::new(aggregation)),
        goes_on: false,
    };
    let mut rig = Rig::with(1, 1_000_000, 600 * SECOND).ruled(vec![rule], 1_000_000);
    let [resources, metrics, points] = MEMBERS;
    let bodies: Vec<Vec<u8>> = (0..resources).map(|r| fleet_body(r, metrics, points)).collect();
    let before = BYTES.load(Relaxed);
    let cuts = if outputs.iter().any(|(output, _)| *output == Output::Rate) { 40 } else { 4 };
    for round in 1..cuts {
        // most of the life of a window nobody sends
        for body in bodies.iter().filter(|_| !(4..=37).contains(&round)) {
            rig.send_bytes(0, body).expect("well-formed");
        }
        drop(rig.cut(START + round * 10 * SECOND));
    }
    (BYTES.load(Relaxed) - before) as f64
}

/// `catchment check` and `plan` say what members, outputs and windows take: within a fifth of what the allocator sees.
fn rules_take_what_is_said_of_them() {
    let series = MEMBERS.iter().product::<usize>() as f64;
    let near = |what: &str, measured: f64, said: usize| {
        println!("{what}: {measured:.0} bytes measured, {said} said");
        let is_near = (measured - said as f64).abs() <= 0.2 * measured;
        assert!(is_near, "{what}: {measured:.0} bytes measured, {said} said");
    };
    let same = [(Output::Same, 1)];
    // of each metric one group
    let few = with_rule(&[], &same);
    near("a member", few / series, series_bytes(Kind::Sum, Temporality::Delta, 0) + MEMBER_BYTES);
    // each series is a group of its own
    let keys = ["http.route", "host.name"];
    let said = |outputs: &[(Output, u64)]| {
        let spec = |(output, steps): &(Output, u64)| OutputSpec {
            output: output.clone(),
            window_ns: steps * 10 * SECOND,
            name: "{name}".into(),
            text: "x".into(),
        };
        let aggregation = Aggregation {
            outputs: InputKind::ALL.map(|_| outputs.iter().map(spec).collect()),
            ..Aggregation::new(Grouping::All, 10 * SECOND)
        };
        GroupBytes::of(&aggregation, InputKind::Counter).expect("it takes counters")
    };
    let many = with_rule(&keys, &same);
    near("an output", (many - few) / series, said(&same).on(1));
    let rate = |steps| [(Output::Rate, steps)];
    let (short, long) = (with_rule(&keys, &rate(1)), with_rule(&keys, &rate(30)));
    near("a window of 30 steps", (long - short) / series, said(&rate(30)).window);
}

fn check((resources, metrics, points, most): (usize, usize, usize, f64)) {
    let mut rig = Rig::limited(
        1,
        catchment::series::registry::Options {
            series_limit: 1_000_000,
            group_limit: 1_000_000,
            memory_limit: usize::MAX,
        },
        600 * SECOND,
    );
    let bodies: Vec<Vec<u8>> = (0..resources).map(|r| fleet_body(r, metrics, points)).collect();
    let before: Vec<i64> = LIVE.iter().map(|live| live.load(Relaxed)).collect();
    let bytes = BYTES.load(Relaxed);
    for round in 1..4 {
        for body in &bodies {
            rig.send_bytes(0, body).expect("well-formed");
        }
        drop(rig.cut(START + round * 10 * SECOND));
    }
    let series = (resources * metrics * points) as f64;
    assert_eq!(rig.registry.live(), series as usize);
    for (i, (now, before)) in LIVE.iter().zip(before).enumerate() {
        let n = (now.load(Relaxed) - before) as f64 / series;
        if n.abs() > 0.001 {
            println!("{:>4} to {:>4} bytes: {n:.3} a series", i * 16 - 15, i * 16);
        }
    }
    let each = (BYTES.load(Relaxed) - bytes) as f64 / series;
    let counted = rig.registry.bytes() as f64 / series;
    println!("{each:.0} bytes a series, {counted:.0} counted; {} bytes of a point", bodies[0].len() / metrics / points);
    assert!(each < most, "{each:.0} bytes a series");
    assert!(counted >= each, "{counted:.0} bytes counted");
}
