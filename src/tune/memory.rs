//! The source without sockets: recorded requests into `Ingest` on as many threads as shards.
//!
//! Each round is a process of its own (`worker`), so that memory and CPU time are that round's alone. A shard gets every
//! n-th request, as if clients were spread evenly.

use super::child::{Child, Folder};
use super::options::TunePlan;
use super::report::Round;
use super::server::server_arguments;
use super::stop::Stop;
use super::worker::Measured;
use crate::capture;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a round's process is asked to do.
pub(super) struct ReplayJob<'a> {
    pub capture: &'a Path,
    /// The core of each shard.
    pub cores: &'a [usize],
    /// Requests are dealt to so many parts; shard i takes part `first` + i. 1: every shard takes all of them.
    pub parts: usize,
    pub first: usize,
    pub duration: Duration,
}

/// Requests to replay: those of `--capture`, or a recording of the generator's, made over the real door, in a file of this
/// name.
pub(super) fn recording(plan: &TunePlan, folder: &Folder, name: &str, stop: &Stop) -> Result<PathBuf, String> {
    if let Some(path) = &plan.capture {
        return Ok(path.clone());
    }
    let (path, ports) = (folder.path(name), folder.path(&format!("{name}-ports")));
    let flags = ["--capture-limit", "4GiB", "--interval", "10s"].map(String::from).into_iter();
    let more = flags.chain(["--capture".into(), path.display().to_string()]).collect();
    let mut server = Child::start("the server that records", &server_arguments(1, &ports, more), &plan.cores)?;
    let addresses = server.ports(&ports, stop)?;
    let endpoint = format!("grpc://{}", addresses["otlp_grpc"].as_str().unwrap_or_default());
    let mut load: Vec<String> =
        ["load", "--json", "--exports", "1", "--in-flight", "1", "--endpoint"].map(String::from).into();
    load.push(endpoint);
    load.extend(plan.load_flags(0, 1)?);
    let sent = Child::start("the generator", &load, &plan.cores)?.answer(Duration::from_secs(60), stop)?;
    server.terminate(stop)?;
    let recorded = capture::read(&path)?.requests.len() as u64;
    if Some(recorded) != sent["sent_requests"].as_u64() {
        return Err(format!(
            "recorded {recorded} requests, but sent were {}: please report this",
            sent["sent_requests"]
        ));
    }
    Ok(path)
}

/// One round of so many shards.
pub(super) fn round(plan: &TunePlan, capture: &Path, shards: usize, stop: &Stop) -> Result<Round, String> {
    // more shards than cores take turns on them
    let cores: Vec<usize> = (0..shards).map(|shard| plan.cores[shard % plan.cores.len()]).collect();
    let job = ReplayJob { capture, cores: &cores, parts: shards, first: 0, duration: plan.duration };
    let measured = run(&job, &plan.cores, stop)?;
    Ok(Round {
        shards,
        points_per_s: measured.points_per_s,
        cpu_s_per_million_points: measured.cpu_s_per_million_points,
        p99_us: None,
        rss_bytes: measured.rss_bytes,
        generator_limited: false,
    })
}

/// Runs a job in a child.
pub(super) fn run(job: &ReplayJob<'_>, cores: &[usize], stop: &Stop) -> Result<Measured, String> {
    answer(start(job, cores)?, job.duration, stop)
}

/// Starts a job in a child.
pub(super) fn start(job: &ReplayJob<'_>, cores: &[usize]) -> Result<Child, String> {
    let work = json!({ "capture": job.capture, "cores": job.cores, "parts": job.parts, "first": job.first,
        "ms": job.duration.as_millis() as u64 });
    Child::start("the replay", &["tune".to_owned(), "--worker".into(), work.to_string()], cores)
}

/// Waits for what it measured.
pub(super) fn answer(child: Child, duration: Duration, stop: &Stop) -> Result<Measured, String> {
    let answer = child.answer(duration, stop)?;
    let number = |key: &str| answer[key].as_f64().ok_or_else(|| format!("the replay did not say {key}"));
    Ok(Measured {
        points_per_s: number("points_per_s")?,
        cpu_s_per_million_points: number("cpu_s_per_million_points")?,
        rss_bytes: number("rss_bytes")? as u64,
    })
}
