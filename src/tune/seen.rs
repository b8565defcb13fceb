//! What clients saw of a round over sockets. Does not know how they sent.

use serde_json::Value;

/// What the clients of a round saw.
pub(super) struct ClientsSeen {
    pub acknowledged: u64,
    pub points_per_s: f64,
    pub p99_us: f64,
    pub generator_limited: bool,
}

impl ClientsSeen {
    /// Adds what one generator says; latency is that of the slowest one.
    pub(super) fn add(&mut self, answer: &Value) -> Result<(), String> {
        let number =
            |value: &Value, what: &str| value.as_f64().ok_or_else(|| format!("the generator did not say {what}"));
        self.acknowledged += number(&answer["acknowledged_points"], "acknowledged_points")? as u64;
        self.points_per_s += number(&answer["points_per_s"], "points_per_s")?;
        self.p99_us = self.p99_us.max(number(&answer["latency_us"]["p99"], "latency_us.p99")?);
        self.generator_limited &= answer["limited_by"] == "generator";
        Ok(())
    }
}
