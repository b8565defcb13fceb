//! A round over sockets: the real server on the first cores, the generator on the others.
//!
//! One generator process for each core it has, at most one a shard. Deltas are of the same series, as replicas behind one
//! name would send them; other kinds have resources of their own. For a capture the replayer takes their place.

use super::child::{Child, Folder};
use super::options::TunePlan;
use super::report::Round;
use super::seen::ClientsSeen;
use super::server::{INTERVAL, server_arguments};
use super::stop::Stop;
use super::{machine, replay};
use crate::limits::TUNE_CONNECTIONS_PER_SHARD;
use std::time::Duration;

/// Starts a server, warms it up, measures.
pub(super) fn round(plan: &TunePlan, folder: &Folder, shards: usize, stop: &Stop) -> Result<Round, String> {
    let (own, others) = plan.cores.split_at(shards);
    let generators = &others[..others.len().min(shards)];
    let ports = folder.path("ports");
    let more = ["--interval".into(), format!("{}ms", INTERVAL.as_millis())].into();
    let mut server = Child::start("the server", &server_arguments(shards, &ports, more), own)?;
    let addresses = server.ports(&ports, stop)?;
    let address = |door: &str| addresses[door].as_str().unwrap_or_default().to_owned();
    let used = || machine::cpu_seconds(server.id()).ok_or("the server's CPU time cannot be read".to_owned());
    let (seen, cpu);
    if let Some(capture) = &plan.capture {
        let clients = replay::Clients::new(capture, generators, shards * TUNE_CONNECTIONS_PER_SHARD)?;
        clients.run(&address("otlp_http"), Duration::ZERO, stop)?;
        let before = used()?;
        seen = clients.run(&address("otlp_http"), plan.duration, stop)?;
        cpu = used()? - before;
    } else {
        let endpoint = format!("grpc://{}", address("otlp_grpc"));
        load(plan, &endpoint, generators, shards, &["--exports".into(), "2".into()], stop)?;
        let before = used()?;
        let time = ["--duration".into(), format!("{}ms", plan.duration.as_millis())];
        seen = load(plan, &endpoint, generators, shards, &time, stop)?;
        cpu = used()? - before;
    }
    let rss_bytes = machine::resident(server.id()).unwrap_or(0);
    server.terminate(stop)?;
    // of this server; the next one writes its own
    let _ = std::fs::remove_file(&ports);
    Ok(Round {
        shards,
        points_per_s: seen.points_per_s,
        cpu_s_per_million_points: cpu * 1e6 / seen.acknowledged.max(1) as f64,
        p99_us: Some(seen.p99_us),
        rss_bytes,
        generator_limited: seen.generator_limited,
    })
}

fn load(
    plan: &TunePlan,
    endpoint: &str,
    cores: &[usize],
    shards: usize,
    more: &[String],
    stop: &Stop,
) -> Result<ClientsSeen, String> {
    let connections = (shards * TUNE_CONNECTIONS_PER_SHARD).div_ceil(cores.len());
    let start = |(number, core): (usize, &usize)| {
        let mut arguments: Vec<String> = ["load", "--json", "--endpoint", endpoint].map(String::from).into();
        arguments.extend(["--connections".into(), connections.to_string(), "--cpu".into(), core.to_string()]);
        arguments.extend(plan.load_flags(number, cores.len())?);
        arguments.extend_from_slice(more);
        Child::start("the generator", &arguments, &[*core])
    };
    let children = cores.iter().enumerate().map(start).collect::<Result<Vec<_>, _>>()?;
    let mut seen = ClientsSeen { acknowledged: 0, points_per_s: 0.0, p99_us: 0.0, generator_limited: true };
    for child in children {
        seen.add(&child.answer(plan.duration, stop)?)?;
    }
    Ok(seen)
}
