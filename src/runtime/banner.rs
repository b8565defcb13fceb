//! The first lines a user sees: what listens where, where results go, limits in force, what to try next.

use super::bind::Addresses;
use super::{Memory, Plan};
use std::fmt::Write;
use std::net::SocketAddr;

/// The banner of `catchment run`.
pub fn banner(plan: &Plan, addresses: &Addresses, memory: &Memory, pinned: bool) -> String {
    let mut out = String::new();
    let show = |address: Option<SocketAddr>| address.map_or("off".to_string(), |a| a.to_string());
    let _ = writeln!(out, "catchment {}", crate::VERSION);
    let _ = writeln!(
        out,
        "  in      OTLP/gRPC {}   OTLP/HTTP {}   (either door takes both)",
        show(addresses.otlp_grpc),
        show(addresses.otlp_http)
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
        "  limits  {} series, {} memory ({} for series, {} for request bodies), {} a request, idle series {:?}",
        plan.series_limit,
        show_size(memory.limit),
        show_size(memory.series),
        show_size(memory.bodies),
        show_size(plan.max_body),
        plan.expire
    );
    let target =
        addresses.otlp_grpc.map(|a| format!("grpc://{a}")).or(addresses.otlp_http.map(|a| format!("http://{a}")));
    let _ = writeln!(out, "  try     catchment load --endpoint {} --duration 10s", target.unwrap_or_default());
    if let Some(page) = addresses.prometheus {
        let _ = writeln!(out, "          curl {page}/metrics");
    }
    out
}

/// A size as people read it.
fn show_size(bytes: usize) -> String {
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
    fn sizes_are_readable() {
        assert_eq!(show_size(64 << 20), "64 MiB");
        assert_eq!(show_size(1536), "1.5 KiB");
        assert_eq!(show_size(7), "7 B");
    }
}
