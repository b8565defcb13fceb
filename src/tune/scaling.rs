//! `tune --scaling`: what a second core adds, in memory. The same fixed work on each of two cores, alone and together,
//! interleaved: what could make cores wait for each other is the index, the registry's counts and false sharing.
//!
//! Beside it, what the machine itself gives for a second core: two processes of one shard each, which share its memory
//! alone, and two of plain arithmetic, which share nothing.

use super::child::{Child, Folder};
use super::memory::{self, ReplayJob};
use super::options::TunePlan;
use super::report::{human, median};
use super::stop::Stop;
use crate::capture;
use serde_json::json;
use std::fmt::Write;
use std::path::Path;

/// Series that both shards hit with every request, where they hit the same.
const HOT_SERIES: usize = 100;

/// Measures, and says it in words.
pub(super) fn measure(plan: &TunePlan, folder: &Folder, stop: &Stop) -> Result<String, String> {
    let [a, b, ..] = plan.cores[..] else { return Err("--scaling needs two cores".into()) };
    let whole = memory::recording(plan, folder, "whole", stop)?;
    if capture::read(&whole)?.requests.len() < 2 {
        return Err(
            "--scaling: one request cannot be dealt to two shards: give more --series, or a longer capture".into()
        );
    }
    let mut hot = plan.clone();
    (hot.capture, hot.preset, hot.series) = (None, None, Some(HOT_SERIES));
    let hot = memory::recording(&hot, folder, "hot", stop)?;
    let start = |capture: &Path, parts, cores: &[usize], first| {
        memory::start(&ReplayJob { capture, cores, parts, first, duration: plan.duration }, &plan.cores)
    };
    let rate = |child| memory::answer(child, plan.duration, stop).map(|measured| measured.points_per_s);
    // rates of each round: the mean of either core alone, and both together
    let shards = |capture: &Path, parts| {
        let run = |cores: &[usize], first| rate(start(capture, parts, cores, first)?);
        Ok::<_, String>((f64::midpoint(run(&[a], 0)?, run(&[b], 1)?), run(&[a, b], 0)?))
    };
    let mut rows: [Vec<(f64, f64)>; 4] = Default::default();
    for number in 1..=plan.rounds {
        let own = shards(&whole, 2)?;
        let (first, second) = (start(&whole, 2, &[a], 0)?, start(&whole, 2, &[b], 1)?);
        let apart = (own.0, rate(first)? + rate(second)?);
        let same = shards(&hot, 1)?;
        let alone = f64::midpoint(spin(&[a], plan, stop)?, spin(&[b], plan, stop)?);
        let arithmetic = (alone, spin(&[a, b], plan, stop)?);
        rows.iter_mut().zip([own, same, apart, arithmetic]).for_each(|(row, rates)| row.push(rates));
        crate::log::tell(format_args!("round {number} of {}", plan.rounds));
    }
    let mut out = format!("two cores against one, in memory, no sockets; {}\n", plan.traffic());
    let same = format!("both shards the same {HOT_SERIES} series");
    let names = ["each shard its own series", &same, "two processes, a shard each", "two processes of arithmetic"];
    for (name, rates) in names.iter().zip(&rows) {
        let ratios = || rates.iter().map(|(alone, both)| both / alone);
        let _ = writeln!(
            out,
            "  {name:<31} {:>9}/s alone {:>9}/s together   × {:.2} ({:.2} to {:.2})",
            human(median(rates.iter().map(|rate| rate.0))),
            human(median(rates.iter().map(|rate| rate.1))),
            median(ratios()),
            ratios().fold(f64::MAX, f64::min),
            ratios().fold(0.0, f64::max),
        );
    }
    Ok(out)
}

/// Steps per second of one process on each core at the same time, added up.
fn spin(cores: &[usize], plan: &TunePlan, stop: &Stop) -> Result<f64, String> {
    let start = |core: &usize| {
        let work = json!({ "cores": [core], "ms": plan.duration.as_millis() as u64 }).to_string();
        Child::start("the arithmetic", &["tune".to_owned(), "--worker".into(), work], &[*core])
    };
    let children = cores.iter().map(start).collect::<Result<Vec<_>, _>>()?;
    let rate = |child: Child| {
        let answer = child.answer(plan.duration, stop)?;
        answer["steps_per_s"].as_f64().ok_or_else(|| "the arithmetic did not say its rate".to_owned())
    };
    children.into_iter().map(rate).sum()
}
