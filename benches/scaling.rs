//! Two shards against one, in memory: recorded requests into each core's own ingest, all cores on one registry.
//!
//! Prints points per second of one core and of two, each on a core of its own, and their ratio; the best of interleaved
//! rounds, since the machine is shared. Beside it the same ratio of plain arithmetic in processes that share nothing: what
//! the machine itself gives. No sockets, no cuts: what could make cores wait for each other here is the index, the
//! registry's counts and false sharing.
//!
//!     cargo bench --bench scaling

#[path = "../tests/common/mod.rs"]
#[allow(unused_imports)]
mod common;

use catchment::ingest::{Ingest, Options as IngestOptions};
use catchment::ledger::Tally;
use catchment::model::Input;
use catchment::series::registry::{Options as RegistryOptions, Registry};
use catchment::series::slab::SlabWriter;
use common::*;
use prost::Message;
use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::time::Instant;

const POINTS: usize = 1000;
const ROUNDS: usize = 9;

/// Requests of `POINTS` points over `series` series of the clients `from..from + clients`, 50 points a metric.
fn requests(from: usize, clients: usize, series: usize) -> Vec<Vec<u8>> {
    let client = |c: usize| {
        let metrics = (0..POINTS / 50)
            .map(|m| {
                let points = (0..50)
                    .map(|p| {
                        let s = (m * 50 + p) % series;
                        let (route, host) = (format!("route-{s:08}"), format!("host-{:06}", c * 20 + s / 50));
                        let pairs = [
                            ("http.route", route.as_str()),
                            ("host.name", host.as_str()),
                            ("cloud.availability_zone", "eu-central-1a"),
                            ("http.request.method", "GET"),
                            ("deployment.environment", "production"),
                        ];
                        number(&pairs, START, START + SECOND, int(3))
                    })
                    .collect();
                sum(&format!("metric.{}", if series < POINTS { m % (series / 50).max(1) } else { m }), 1, true, points)
            })
            .collect();
        request_of(&format!("svc-{c}"), metrics).encode_to_vec()
    };
    (from..from + clients).map(client).collect()
}

/// Points per second of all cores together, each sending its requests so many times.
fn run(bodies: &[Vec<Vec<u8>>], times: usize) -> f64 {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    let (writers, slabs): (Vec<_>, Vec<_>) = bodies.iter().map(|_| SlabWriter::new()).unzip();
    let options = RegistryOptions { series_limit: 4_000_000, group_limit: 100_000, memory_limit: usize::MAX };
    let registry = Arc::new(Registry::new(options, slabs));
    let barrier = Barrier::new(bodies.len());
    let threads = || {
        std::thread::scope(|scope| {
            let threads: Vec<_> = bodies
                .iter()
                .zip(writers)
                .enumerate()
                .map(|(i, (bodies, writer))| {
                    let (registry, barrier, core) = (registry.clone(), &barrier, cores.get(i).copied());
                    scope.spawn(move || {
                        core.map(core_affinity::set_for_current);
                        let mut ingest = Ingest::new(i, IngestOptions { started_ns: START }, registry, writer);
                        let mut tally = Tally::default();
                        let mut send = || {
                            for body in bodies {
                                let receipt = ingest.export(Input::OtlpGrpc, body, &mut tally).expect("well-formed");
                                assert_eq!((receipt.points, receipt.rejected), (POINTS as u64, 0));
                            }
                        };
                        send();
                        send();
                        barrier.wait();
                        let begun = Instant::now();
                        (0..times).for_each(|_| send());
                        begun.elapsed().as_secs_f64()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).fold(0.0, f64::max)
        })
    };
    let slowest = threads();
    (bodies.iter().map(Vec::len).sum::<usize>() * POINTS * times) as f64 / slowest
}

/// A second or so of arithmetic; seconds.
fn arithmetic() -> f64 {
    let begun = Instant::now();
    let mut state = black_box(1u64);
    for _ in 0..400_000_000u64 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
    }
    black_box(state);
    begun.elapsed().as_secs_f64()
}

/// Work done per second by `n` processes of arithmetic, each pinned to a core.
fn processes(n: usize) -> f64 {
    let me = std::env::current_exe().expect("this program");
    let children: Vec<_> = (0..n)
        .map(|i| {
            let mut command = std::process::Command::new(&me);
            command.args(["arithmetic", &i.to_string()]).stdout(std::process::Stdio::piped());
            command.spawn().expect("a process")
        })
        .collect();
    let seconds = children.into_iter().map(|child| {
        let output = child.wait_with_output().expect("its output").stdout;
        String::from_utf8_lossy(&output).trim().parse::<f64>().expect("seconds")
    });
    n as f64 / seconds.fold(0.0, f64::max)
}

fn report(name: &str, mut measure: impl FnMut(usize) -> f64, unit: &str) {
    let (mut one, mut two) = (0.0f64, 0.0f64);
    for _ in 0..ROUNDS {
        one = one.max(measure(1));
        two = two.max(measure(2));
    }
    println!("{name:<44} one {one:7.2} {unit}  two {two:7.2} {unit}  ratio {:.2}", two / one);
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    if let Some(at) = words.iter().position(|word| word == "arithmetic") {
        let core = words.get(at + 1).and_then(|word| word.parse::<usize>().ok()).unwrap_or(0);
        if let Some(id) = core_affinity::get_core_ids().unwrap_or_default().get(core) {
            core_affinity::set_for_current(*id);
        }
        println!("{}", arithmetic());
        return;
    }
    // the same load on one core, and shared out to two
    let load = requests(0, 100, POINTS);
    let shared = |n: usize| load.chunks(load.len() / n).map(<[_]>::to_vec).collect::<Vec<_>>();
    let few: Vec<Vec<Vec<u8>>> = (0..2).map(|_| requests(0, 1, 100)).collect();
    report("arithmetic in processes", processes, "runs/s");
    report("100 k series", |n| run(&shared(n), 20 * n) / 1e6, "M points/s");
    report("every point on the same 100 series", |n| run(&few[..n], 2_000) / 1e6, "M points/s");
    report("arithmetic in processes", processes, "runs/s");
}
