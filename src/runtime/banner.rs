//! The first lines a user sees: what listens where, where results go, limits in force, what to try next.

use super::memory::Memory;
use crate::config::{DoorAddresses, Plan};
use crate::log;
use crate::log::quoted;
use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tracing::Level;

/// Says it; in JSON as an event with a field for each number.
pub(super) fn say(plan: &Plan, addresses: &DoorAddresses, memory: &Memory, shrunk: &[String], pinned: bool) {
    if log::is_json() {
        log::say(Level::INFO, &"listening", &fields(plan, addresses, memory, shrunk, pinned));
    } else {
        log::say(Level::INFO, &banner(plan, addresses, memory, shrunk, pinned).trim_end(), "");
    }
}

/// The same as fields of an object, each behind a comma.
fn fields(plan: &Plan, addresses: &DoorAddresses, memory: &Memory, shrunk: &[String], pinned: bool) -> String {
    let mut out = format!(",\"version\":{}", quoted(crate::VERSION));
    let doors = [
        ("otlp_grpc", addresses.otlp_grpc),
        ("otlp_http", addresses.otlp_http),
        ("prometheus", addresses.prometheus),
        ("admin", addresses.admin),
    ];
    for (name, address) in doors {
        let address = address.map_or("null".into(), |address| quoted(&address.to_string()));
        let _ = write!(out, ",\"{name}\":{address}");
    }
    let outs = plan.outs.iter().map(|out| {
        let temporality = format!("{:?}", out.temporality.unwrap_or(plan.temporality)).to_lowercase();
        format!("{{\"name\":{},\"temporality\":\"{temporality}\"}}", quoted(&out.name))
    });
    let _ = write!(out, ",\"destinations\":[{}]", outs.collect::<Vec<_>>().join(","));
    let numbers = [
        ("shards", plan.shards as u128),
        ("connections", plan.connections as u128),
        ("interval_ms", plan.interval.as_millis()),
        ("series_limit", plan.series_limit as u128),
        ("group_limit", memory.groups_max as u128),
        ("memory_limit_bytes", memory.limit as u128),
        ("memory_series_bytes", memory.series as u128),
        ("memory_bodies_bytes", memory.bodies as u128),
        ("max_body_bytes", plan.max_body as u128),
        ("expire_ms", plan.expire.as_millis()),
        ("shutdown_timeout_ms", plan.shutdown_timeout.as_millis()),
    ];
    for (name, number) in numbers {
        let _ = write!(out, ",\"{name}\":{number}");
    }
    let shrunk: Vec<String> = shrunk.iter().map(|words| quoted(words)).collect();
    let _ = write!(out, ",\"pinned\":{pinned},\"smaller_than_by_default\":[{}]", shrunk.join(","));
    out
}

/// The banner of `catchment run`.
fn banner(plan: &Plan, addresses: &DoorAddresses, memory: &Memory, shrunk: &[String], pinned: bool) -> String {
    let mut out = String::new();
    let show = |address: Option<SocketAddr>| address.map_or("off".to_string(), |a| a.to_string());
    let _ = writeln!(out, "catchment {}", crate::VERSION);
    let _ = writeln!(
        out,
        "  in      OTLP/gRPC {}   OTLP/HTTP {}   (either takes both; {} connections)",
        show(addresses.otlp_grpc),
        show(addresses.otlp_http),
        plan.connections
    );
    let page = addresses.prometheus.map_or("no scrape page".into(), |a| format!("http://{a}/metrics to scrape"));
    let mut outs = page;
    for destination in &plan.outs {
        let temporality = destination.temporality.unwrap_or(plan.temporality);
        let _ = write!(outs, ", {} ({})", destination.name, format!("{temporality:?}").to_lowercase());
    }
    let _ = writeln!(out, "  out     {outs}   every {:?}", plan.interval);
    let _ = writeln!(
        out,
        "  shards  {} ({})   admin {}",
        plan.shards,
        if pinned { "each pinned to a core" } else { "not pinned" },
        addresses.admin.map_or("off".into(), |a| format!("http://{a}/ledger, /metrics, /readyz"))
    );
    let _ = writeln!(
        out,
        "  limits  {} series, {} groups, {} memory ({} for series, {} for request bodies), {} a request, idle series {:?}",
        plan.series_limit,
        memory.groups_max,
        show_size(memory.limit),
        show_size(memory.series),
        show_size(memory.bodies),
        show_size(plan.max_body),
        plan.expire
    );
    for shrunk in shrunk {
        let _ = writeln!(out, "          smaller than by default, {shrunk}");
    }
    for (i, line) in commands(!plan.outs.is_empty(), addresses).iter().enumerate() {
        let _ = writeln!(out, "  {}     {line}", if i == 0 { "try" } else { "   " });
    }
    let stop = match plan.shutdown_timeout {
        Duration::ZERO => "what is left is not waited for".to_string(),
        timeout => format!("what is left is delivered first, for up to {timeout:?}; another one ends the wait"),
    };
    let _ = writeln!(out, "  stop    Ctrl-C or SIGTERM: {stop}");
    out
}

/// What can be tried. No load where results go on to a backend: that would be false data in real series.
fn commands(pushes: bool, addresses: &DoorAddresses) -> Vec<String> {
    let (grpc, http) = (addresses.otlp_grpc.map(reached), addresses.otlp_http.map(reached));
    let door = grpc.map(|a| format!("grpc://{a}")).or(http.map(|a| format!("http://{a}"))).filter(|_| !pushes);
    let load = door.map(|door| format!("catchment load --endpoint {door} --duration 10s"));
    let page = addresses.prometheus.map(|a| format!("curl {}/metrics", reached(a)));
    let ledger = addresses.admin.filter(|_| pushes).map(|a| format!("curl {}/ledger", reached(a)));
    load.into_iter().chain(page).chain(ledger).collect()
}

/// An address to connect to: a door on every interface is reached by loopback, too.
fn reached(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    address
}

/// A size as people read it.
pub(crate) fn show_size(bytes: usize) -> String {
    for (unit, name) in [(1usize << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
        if bytes >= unit {
            let value = bytes as f64 / unit as f64;
            return if value.fract() < 0.05 { format!("{value:.0} {name}") } else { format!("{value:.1} {name}") };
        }
    }
    format!("{bytes} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_is_offered_only_where_nothing_is_pushed_and_at_an_address_that_can_be_reached() {
        let at = |text: &str| Some(text.parse().unwrap());
        let all = DoorAddresses {
            otlp_grpc: at("0.0.0.0:1"),
            otlp_http: at("[::]:2"),
            prometheus: at("10.1.1.1:3"),
            admin: at("0.0.0.0:4"),
        };
        let load = "catchment load --endpoint grpc://127.0.0.1:1 --duration 10s";
        assert_eq!(commands(false, &all), [load, "curl 10.1.1.1:3/metrics"]);
        assert_eq!(commands(true, &all), ["curl 10.1.1.1:3/metrics", "curl 127.0.0.1:4/ledger"]);
        let http = DoorAddresses { otlp_http: all.otlp_http, ..DoorAddresses::default() };
        assert_eq!(commands(false, &http), ["catchment load --endpoint http://[::1]:2 --duration 10s"]);
        assert!(commands(true, &http).is_empty());
    }

    #[test]
    fn sizes_are_readable() {
        assert_eq!(show_size(64 << 20), "64 MiB");
        assert_eq!(show_size(1536), "1.5 KiB");
        assert_eq!(show_size(7), "7 B");
    }
}
