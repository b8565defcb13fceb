//! Whether the user wants it to stop. Does not know what is measured.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Ctrl-C or SIGTERM.
#[derive(Clone)]
pub(super) struct Stop(Arc<AtomicBool>);

impl Stop {
    pub(super) fn register() -> Result<Stop, String> {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&stop)).map_err(|error| format!("signals: {error}"))?;
        }
        Ok(Stop(stop))
    }

    /// An error once the user has had enough.
    pub(super) fn check(&self) -> Result<(), String> {
        // ORDERING: a flag; publishes nothing
        if self.0.load(Relaxed) { Err("stopped; the children are gone, nothing was saved".into()) } else { Ok(()) }
    }
}
