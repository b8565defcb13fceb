//! `catchment load`: a load generator one can trust, against this or any other OTLP server.
//!
//! Knows OTLP as its documents have it; does not know the server: neither its encoder and decoders nor its sessions and
//! its ledger, so that neither side can vouch for the other. Varints, protobuf, JSON, HPACK, frames and messages are
//! written a second time here. Shared is only the ground (`limits`, `units`, `files`, `log`): words of flags, files and
//! lines for people, none of which an OTLP byte passes. `tests/house.rs` holds both, and that no file here needs one that
//! needs it.
//!
//! ```text
//!  options ─► payload ─────────► send ─► socket           built before the first byte leaves; one thread, non-blocking
//!  (preset)     │ expected, series │ tally, latencies
//!               ▼                  ▼
//!             verify ◄── sink    report ─► mod: the subcommand
//!
//!  bytes  frames  hpack  messages  words                  what both the generator and the sink stand on
//! ```
//!
//! | folder | job |
//! |---|---|
//! | `payload` | what is sent, and exact totals of it |
//! | `send` | how it is sent, and what came of it |
//! | `sink` | `catchment sink`: the counting backend, one thread a connection |
//! | `verify` | `catchment load --verify`: the real server between the two, series against totals |
//!
//! Invariants: 1. payloads are built before the first byte is sent, and only fixed-width fields change after;
//! 2. same seed, same bytes; 3. expected totals are exact, and a run that was not acknowledged whole says so;
//! 4. the run says what limited it.

mod bytes;
mod frames;
mod hpack;
pub mod messages;
mod options;
mod payload;
mod preset;
mod report;
mod send;
mod sink;
mod verify;
mod words;

#[cfg(test)]
mod tests;

pub use options::{Options, traffic};
pub use payload::{Compression, Encoding, Expected, GRPC_PREFIX_BYTES, MetricTotal, Mix, Order, Plan, SeriesTotals};
pub use payload::{Settings, Shape};
pub use preset::Preset;
pub use report::{Outcome, live_line, terminal_line};
pub use send::{Endpoint, Latencies, Limit, Pace, Scheme, Settled, Tally};
pub use sink::{Exponential, Held, Sink, SinkOptions, Totals, sink_command};
pub use verify::{Difference, Verified};
pub use words::decimal;

use send::{Clock, Sender};
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Builds the payloads and sends them; `tick` is called about once a second. The calling thread is pinned if asked.
pub fn send(options: &Options, stop: &AtomicBool, tick: impl FnMut(&Tally, Option<f64>)) -> Result<Outcome, String> {
    send_prepared(prepare(options)?, stop, tick)
}

/// What is known to be right before anything starts. An error is one of usage.
struct Prepared {
    settled: Settled,
    clock: Clock,
    plan: Plan,
}

fn prepare(options: &Options) -> Result<Prepared, String> {
    let settled = options.settle()?;
    if let Some(cpu) = options.cpu
        && (cpu >= crate::limits::CPUS_MAX || !core_affinity::set_for_current(core_affinity::CoreId { id: cpu }))
    {
        return Err(format!("--cpu {cpu}: cannot pin to that core"));
    }
    let clock = Clock::start();
    let plan =
        Plan::new(settled.settings.clone(), clock.wall_start_ns()).map_err(|problem| options.explained(problem))?;
    Ok(Prepared { settled, clock, plan })
}

fn send_prepared(
    Prepared { settled, clock, plan }: Prepared,
    stop: &AtomicBool,
    tick: impl FnMut(&Tally, Option<f64>),
) -> Result<Outcome, String> {
    let (connections, pace) = (settled.connections, settled.pace.clone());
    let sender = Sender::new(settled, plan, clock)?;
    if sender.connections() < connections {
        tracing::warn!(
            connections = sender.connections(),
            "fewer requests than connections, and kinds whose order matters: the rest stay closed"
        );
    }
    let (tally, plan) = sender.run(stop, tick)?;
    let limit = tally.limit(pace.mean_rate(tally.elapsed_ns));
    let (expected, series) = plan.into_totals();
    Ok(Outcome { tally, expected, limit, series, verified: None })
}

/// Sends as [`send`] does, and checks what reached a sink. Errors say what did not start.
pub fn send_verified(
    options: &Options,
    stop: &AtomicBool,
    tick: impl FnMut(&Tally, Option<f64>),
) -> Result<Outcome, String> {
    let send = |options: &Options| {
        let mut outcome = send(options, stop, tick)?;
        let series = outcome.series.take();
        Ok((outcome, series))
    };
    let (outcome, verified) = verify::verified(options, stop, send)?;
    Ok(Outcome { verified: Some(verified), ..outcome })
}

/// The subcommand: live line on standard error, summary or JSON on standard output. Ctrl-C, SIGTERM
/// and SIGHUP end the run early, and with --verify the balance is drawn all the same.
/// The exit code is 0, or 2 after a word on standard error if the options contradict, or 3 if nothing was sent, not every point was acknowledged or, with `--verify`, the balance does not close.
pub fn command(options: &Options) -> Result<u8, String> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).map_err(|error| format!("signals: {error}"))?;
    }
    let terminal = std::io::stderr().is_terminal();
    let mut before = Tally::default();
    let tick = |tally: &Tally, progress: Option<f64>| {
        if before.warms_up && !tally.warms_up {
            before = Tally::default();
        }
        let step_ns = tally.elapsed_ns - before.elapsed_ns;
        let line = match terminal {
            true => terminal_line(&before, tally, step_ns, progress, columns()),
            false => live_line(&before, tally, step_ns, progress),
        };
        before = tally.clone();
        // A line that cannot be shown is no reason to stop the run.
        let _ =
            if terminal { write!(std::io::stderr(), "\r\x1b[2K{line}") } else { writeln!(std::io::stderr(), "{line}") };
    };
    let refused = |problem: String| {
        crate::log::tell(format_args!("catchment: {problem}"));
        Ok(crate::USAGE)
    };
    let outcome = if options.verify {
        match send_verified(options, &stop, tick) {
            Ok(outcome) => outcome,
            // Contradictions in the traffic are found once the sink and the server are there: that they end is no failure.
            Err(problem) => match prepare(options) {
                Err(contradiction) => return refused(contradiction),
                Ok(_) => return Err(problem),
            },
        }
    } else {
        match prepare(options) {
            Ok(prepared) => send_prepared(prepared, &stop, tick)?,
            Err(problem) => return refused(problem),
        }
    };
    if terminal {
        let _ = write!(std::io::stderr(), "\r\x1b[2K");
    }
    if options.json {
        // the summary has them, too
        outcome.complaints().iter().for_each(|complaint| crate::log::tell(format_args!("catchment: {complaint}")));
    }
    let text = if options.json { outcome.json() + "\n" } else { outcome.summary() };
    std::io::stdout().write_all(text.as_bytes()).map_err(|error| format!("standard output: {error}"))?;
    Ok(if outcome.is_exact() { crate::SUCCESS } else { crate::INCOMPLETE })
}

/// Columns of the terminal, as it is now; 80 where it does not say.
fn columns() -> usize {
    rustix::termios::tcgetwinsize(std::io::stderr()).map_or(80, |size| size.ws_col.into())
}
