//! The log: `tracing` to standard error, as text or JSON; never a line per point or request.

use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

/// Starts it. `filter` is a level or a list such as `catchment=debug`.
pub fn start(filter: &str, json: bool) -> Result<(), String> {
    let wrong =
        |_| format!("--log {filter}: give error, warn, info, debug, trace, or a filter such as catchment=debug");
    let targets: Targets = filter.parse().map_err(wrong)?;
    let registry = tracing_subscriber::registry().with(targets);
    let result = if json {
        registry.with(tracing_subscriber::fmt::layer().json().with_writer(std::io::stderr)).try_init()
    } else {
        let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
        registry
            .with(tracing_subscriber::fmt::layer().with_ansi(ansi).with_target(false).with_writer(std::io::stderr))
            .try_init()
    };
    result.map_err(|error| format!("the log cannot start: {error}"))
}
