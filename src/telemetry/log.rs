//! The log: `tracing` to standard error, as text or JSON; never a line per point or request.

use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// A level, or `target=level`.
fn is_directive(directive: &str) -> bool {
    let (target, level) = directive.rsplit_once('=').unwrap_or(("all", directive));
    !target.is_empty() && LEVELS.iter().any(|word| word.eq_ignore_ascii_case(level))
}

/// Starts it. `filter` is a level or a list such as `catchment=debug`.
pub fn start(filter: &str, json: bool) -> Result<(), String> {
    let wrong = || {
        format!(
            "--log {filter}: give {}, or target=level, such as catchment=debug; several with commas between",
            LEVELS.join(", ")
        )
    };
    let targets: Targets = filter.parse().map_err(|_| wrong())?;
    // the library takes a lone word that is no level for a target, of which then everything is logged, and nothing else
    if !filter.split(',').all(is_directive) {
        return Err(wrong());
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directive_is_a_level_or_a_target_with_a_level() {
        for good in ["off", "ERROR", "warn", "catchment=debug", "catchment::deliver=trace", "h2=off"] {
            assert!(is_directive(good) && good.parse::<Targets>().is_ok(), "{good}");
        }
        for bad in ["", "bogus", "catchment", "=debug", "catchment=", "catchment=loud", "3", "warning"] {
            assert!(!is_directive(bad), "{bad}");
        }
    }
}
