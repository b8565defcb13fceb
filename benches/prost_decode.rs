//! The other yardstick: what `prost` alone costs to decode the same points with the system's allocator.
//!
//! Prints CPU seconds per million points for 1000-point requests of delta sums with five string attributes.

#[path = "../tests/common/mod.rs"]
#[allow(unused_imports)]
mod common;

use common::*;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::Message;
use std::hint::black_box;

fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0)
}

fn main() {
    const REQUESTS: usize = 100;
    let bodies: Vec<Vec<u8>> = (0..REQUESTS).map(|r| fleet_body(r, 20, 50)).collect();
    let bytes: usize = bodies.iter().map(Vec::len).sum();
    let mut points = 0;
    for round in 0..30 {
        let begun = cpu_ns();
        for body in &bodies {
            let request = ExportMetricsServiceRequest::decode(&**body).expect("ours");
            points += black_box(request.resource_metrics.len());
        }
        if round % 10 == 9 {
            let spent = (cpu_ns() - begun) as f64 * 1e-9;
            let per_million = spent / (REQUESTS as f64 * 1000.0) * 1e6;
            println!("prost decode: {per_million:.3} CPU-s per million points of {} bytes", bytes / REQUESTS / 1000);
        }
    }
    assert_eq!(points, 30 * REQUESTS);
}
