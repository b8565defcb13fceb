//! What a series costs in memory, counted at the allocator: live bytes after births and cuts, by size of allocation.
//!
//! One test, so that nothing else allocates beside it. The figure that is promised is resident memory at a million
//! series; this holds the part of it that the code decides.

mod common;

use common::*;
use prost::Message;
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

const RESOURCES: usize = 100;
const METRICS: usize = 20;
const POINTS: usize = 50;

#[test]
fn a_number_series_of_five_attributes_takes_less_than_half_a_kilobyte() {
    let mut rig = Rig::new(1);
    let body = |r: usize| {
        let metrics = (0..METRICS)
            .map(|m| {
                let points = (0..POINTS)
                    .map(|p| {
                        let (route, host) = (format!("route-{:08}", m * POINTS + p), format!("host-{:08}", r * 50 + p));
                        let pairs = [
                            ("http.route", route.as_str()),
                            ("host.name", host.as_str()),
                            ("cloud.availability_zone", "eu-central-1a"),
                            ("http.request.method", "GET"),
                            ("deployment.environment", "production"),
                        ];
                        number(&pairs, START, START + 1, int(3))
                    })
                    .collect();
                sum(&format!("metric.{m}"), 1, true, points)
            })
            .collect();
        request_of(&format!("svc-{r}"), metrics).encode_to_vec()
    };
    let bodies: Vec<Vec<u8>> = (0..RESOURCES).map(body).collect();
    let before: Vec<i64> = LIVE.iter().map(|live| live.load(Relaxed)).collect();
    let bytes = BYTES.load(Relaxed);
    for round in 1..4 {
        for body in &bodies {
            rig.send_bytes(0, body).expect("well-formed");
        }
        drop(rig.cut(START + round * 10 * SECOND));
    }
    let series = (RESOURCES * METRICS * POINTS) as f64;
    assert_eq!(rig.registry.live(), series as usize);
    for (i, (now, before)) in LIVE.iter().zip(before).enumerate() {
        let n = (now.load(Relaxed) - before) as f64 / series;
        if n.abs() > 0.001 {
            println!("{:>4} to {:>4} bytes: {n:.3} a series", i * 16 - 15, i * 16);
        }
    }
    let each = (BYTES.load(Relaxed) - bytes) as f64 / series;
    println!("{each:.0} bytes a series; {} bytes of a point", bodies[0].len() / METRICS / POINTS);
    assert!(each < 512.0, "{each:.0} bytes a series");
}
