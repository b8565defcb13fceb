//! `catchment load`: a load generator one can trust, against this or any other OTLP server.
//!
//! Stands alone: shares no code with the server, its encoder or its ledger, so that neither can vouch for itself.
//!
//! ```text
//!  options ─► payload (shape, random) ─► sender ─► outbox ─► socket        one thread, non-blocking, writev
//!                │ patch per send          │  ▲
//!                ▼                         ▼  │ answers
//!             expected                http2 / http1 / raw (flight)         bytes in, bytes out
//!                        report ◄── tally, latency
//!
//!  sink (sink_session) ─► totals        `catchment sink`: the counting backend, one thread a connection
//! ```
//!
//! Invariants: 1. payloads are built before the first byte is sent, and only fixed-width fields change after;
//! 2. same seed, same bytes; 3. expected totals are exact, and a run that was not acknowledged whole says so;
//! 4. the run says what limited it.

mod builder;
mod expected;
mod flight;
mod hpack;
mod http1;
mod http2;
mod latency;
pub mod messages;
mod options;
mod outbox;
mod patcher;
mod payload;
mod random;
mod report;
mod sender;
mod shape;
mod sink;
mod sink_session;
mod totals;

#[cfg(test)]
mod tests;

pub use expected::{Expected, MetricTotal, decimal};
pub use latency::Latencies;
pub use options::{Compression, Endpoint, Options, Scheme};
pub use payload::{GRPC_PREFIX_BYTES, Order, Plan, Settings};
pub use report::{Limit, Outcome, Tally, live_line};
pub use shape::{Mix, Shape};
pub use sink::{Sink, SinkOptions, sink_command};
pub use totals::{Exponential, Held, Totals};

use sender::{Clock, Sender};
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Builds the payloads and sends them; `tick` is called about once a second. The calling thread is pinned if asked.
pub fn send(options: &Options, stop: &AtomicBool, tick: impl FnMut(&Tally, Option<f64>)) -> Result<Outcome, String> {
    if let Some(cpu) = options.cpu
        && !core_affinity::set_for_current(core_affinity::CoreId { id: cpu })
    {
        return Err(format!("--cpu {cpu}: cannot pin to that core"));
    }
    if options.rate.is_some_and(|rate| !rate.is_finite() || rate <= 0.0) {
        return Err("--rate must be more than 0 points per second".into());
    }
    let clock = Clock::start();
    let plan = Plan::new(options.settings(), clock.wall_start_ns())?;
    let sender = Sender::new(options, plan, clock)?;
    if sender.connections() < options.connections {
        tracing::warn!(
            connections = sender.connections(),
            "fewer requests than connections, and kinds whose order matters: the rest stay closed"
        );
    }
    let (tally, plan) = sender.run(stop, tick)?;
    let limit = tally.limit(options.rate);
    Ok(Outcome { tally, expected: plan.expected().clone(), limit })
}

/// The subcommand: live line on standard error, summary or JSON on standard output. Ctrl-C ends the run early.
/// The exit code is 0, or 3 if not every point was acknowledged.
pub fn command(options: &Options) -> Result<u8, String> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).map_err(|error| format!("signals: {error}"))?;
    }
    let terminal = std::io::stderr().is_terminal();
    let mut before = Tally::default();
    let outcome = send(options, &stop, |tally, progress| {
        let line = live_line(&before, tally, tally.elapsed_ns - before.elapsed_ns, progress);
        before = tally.clone();
        // A line that cannot be shown is no reason to stop the run.
        let _ =
            if terminal { write!(std::io::stderr(), "\r\x1b[2K{line}") } else { writeln!(std::io::stderr(), "{line}") };
    })?;
    if terminal {
        eprint!("\r\x1b[2K");
    }
    let text = if options.json { outcome.json() + "\n" } else { outcome.summary() };
    std::io::stdout().write_all(text.as_bytes()).map_err(|error| format!("standard output: {error}"))?;
    Ok(if outcome.tally.is_exact() { 0 } else { 3 })
}
