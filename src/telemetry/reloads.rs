//! What the metrics say of reloads.
//!
//! Knows counts; does not know what was read. Pure.

use crate::prometheus::text::{MetricType, Writer};

/// What became of a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReloadResult {
    /// It is in force.
    Applied,
    /// What was read was wrong.
    Refused,
    /// It took too long.
    Late,
}

/// Reloads so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReloadFacts {
    /// By number of the result.
    counts: [u64; 3],
    is_successful: bool,
    /// When settings were last taken, wall clock, nanoseconds.
    successful_ns: u64,
}

impl ReloadFacts {
    /// None yet, in a process that began then.
    pub const fn begun(wall_ns: u64) -> ReloadFacts {
        ReloadFacts { counts: [0; 3], is_successful: true, successful_ns: wall_ns }
    }

    /// One more, at this wall time.
    pub const fn count(&mut self, result: ReloadResult, wall_ns: u64) {
        self.counts[result as usize] += 1;
        self.is_successful = matches!(result, ReloadResult::Applied);
        if self.is_successful {
            self.successful_ns = wall_ns;
        }
    }

    pub(super) fn put(&self, w: &mut Writer<'_>) {
        w.family(
            "catchment_config_last_reload_successful",
            "1, or 0 if the last settings that were read again are not in force",
            MetricType::Gauge,
        );
        w.sample("catchment_config_last_reload_successful", &[], u64::from(self.is_successful));
        w.family(
            "catchment_config_last_reload_success_timestamp_seconds",
            "When settings were last taken: at the start, or by a reload",
            MetricType::Gauge,
        );
        let seconds = self.successful_ns as f64 * 1e-9;
        w.sample("catchment_config_last_reload_success_timestamp_seconds", &[], seconds);
        w.family(
            "catchment_config_reloads_total",
            "Times that settings were read again, by result",
            MetricType::Counter,
        );
        for (result, count) in ["applied", "refused", "late"].iter().zip(self.counts) {
            w.sample("catchment_config_reloads_total", &[("result", result)], count);
        }
    }
}
