//! How two cores compare with one: the same fixed work on each, alone and together, interleaved; beside it two processes
//! of one shard each, which share nothing but the machine, and two
//! of plain arithmetic, which say what the machine itself gives for a second core.

use super::Stop;
use super::child::{Child, Folder};
use super::machine;
use super::memory::{self, Job};
use super::options::Plan;
use super::report::{human, median};
use serde_json::json;
use std::fmt::Write;
use std::time::{Duration, Instant};

/// Measures, and says it in words.
pub fn measure(plan: &Plan, folder: &Folder, stop: &Stop) -> Result<String, String> {
    let [a, b, ..] = plan.cores[..] else { return Err("--scaling needs two cores".into()) };
    let capture = memory::recording(plan, folder, stop)?;
    let mut ratios: [Vec<f64>; 4] = Default::default();
    let mut rates: [Vec<(f64, f64)>; 4] = Default::default();
    for number in 1..=plan.rounds {
        // own: each shard its half of the series; same: both shards all of them
        for (row, parts) in [(0, 2), (1, 1)] {
            let start = |cores: &[usize], first| {
                let job = Job { capture: &capture, cores, parts, first, duration: plan.duration };
                memory::start(&job, &plan.cores)
            };
            let rate = |child| memory::answer(child, plan.duration, stop).map(|measured| measured.points_per_s);
            let run = |cores: &[usize], first| rate(start(cores, first)?);
            let (one, other, both) = (run(&[a], 0)?, run(&[b], 1)?, run(&[a, b], 0)?);
            ratios[row].push(both / ((one + other) / 2.0));
            rates[row].push(((one + other) / 2.0, both));
            if row == 0 {
                // the same, but nothing is shared but the machine's memory
                let (first, second) = (start(&[a], 0)?, start(&[b], 1)?);
                let both = rate(first)? + rate(second)?;
                ratios[2].push(both / ((one + other) / 2.0));
                rates[2].push(((one + other) / 2.0, both));
            }
        }
        let (one, other) = (spin(&[a], plan, stop)?[0], spin(&[b], plan, stop)?[0]);
        let both: f64 = spin(&[a, b], plan, stop)?.iter().sum();
        ratios[3].push(both / ((one + other) / 2.0));
        rates[3].push(((one + other) / 2.0, both));
        eprintln!("round {number} of {}", plan.rounds);
    }
    let mut out = format!("two cores against one, in memory, no sockets; {}\n", plan.traffic());
    let names = [
        "each shard its own series",
        "both shards the same series",
        "two processes, a shard each",
        "two processes of arithmetic",
    ];
    for ((name, ratios), rates) in names.iter().zip(&ratios).zip(&rates) {
        let one = median(rates.iter().map(|rate| rate.0));
        let both = median(rates.iter().map(|rate| rate.1));
        let (low, high) = (ratios.iter().copied().fold(f64::MAX, f64::min), ratios.iter().copied().fold(0.0, f64::max));
        let _ = writeln!(
            out,
            "  {name:<30} {:>9}/s alone {:>9}/s together   × {:.2} ({low:.2} to {high:.2})",
            human(one),
            human(both),
            median(ratios.iter().copied())
        );
    }
    Ok(out)
}

/// Steps per second of one process on each core, at the same time.
fn spin(cores: &[usize], plan: &Plan, stop: &Stop) -> Result<Vec<f64>, String> {
    let start = |core: &usize| {
        let work = json!({ "cores": [core], "ms": plan.duration.as_millis() as u64 }).to_string();
        Child::start("the arithmetic", &["tune".to_owned(), "--worker".into(), work], &[*core])
    };
    let children = cores.iter().map(start).collect::<Result<Vec<_>, _>>()?;
    let rate = |child: Child| {
        let answer = child.answer(plan.duration, stop)?;
        answer["steps_per_s"].as_f64().ok_or_else(|| "the arithmetic did not say its rate".to_owned())
    };
    children.into_iter().map(rate).collect()
}

/// Multiplies and adds in registers; steps per second.
pub fn arithmetic(cores: &[usize], duration: Duration) -> Result<f64, String> {
    machine::confine(cores)?;
    const CHUNK: u64 = 1 << 20;
    let (begun, mut state, mut steps) = (Instant::now(), 1_u64, 0);
    while begun.elapsed() < duration {
        for _ in 0..CHUNK {
            state = std::hint::black_box(state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407));
        }
        steps += CHUNK;
    }
    Ok(steps as f64 / begun.elapsed().as_secs_f64())
}
