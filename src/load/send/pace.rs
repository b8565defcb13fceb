//! When the next request is due: a rate, its ramp, and a time that is always an argument.
//!
//! Deliberately does not know clocks. Latency counts from the due time, so what a slow answer holds up is not left out
//! (no coordinated omission).
//! Invariant: the due time of a request follows from the points before it alone, never from when anything was sent.

use std::time::Duration;

/// See the module.
#[derive(Clone, Debug)]
pub struct Pace {
    /// Points per nanosecond; none: as fast as it goes.
    rate: Option<f64>,
    /// How long the rate rises.
    ramp_ns: f64,
    begin_ns: f64,
    /// Points taken so far.
    points: f64,
}

impl Pace {
    /// `rate` in points per second, reached after `ramp`.
    pub fn new(rate: Option<f64>, ramp: Option<Duration>) -> Pace {
        let ramp_ns = ramp.map_or(0.0, |ramp| ramp.as_nanos() as f64);
        Pace { rate: rate.map(|rate| rate / 1e9), ramp_ns, begin_ns: 0.0, points: 0.0 }
    }

    /// The run begins now.
    pub fn begin(&mut self, now_ns: u64) {
        self.begin_ns = now_ns as f64;
    }

    /// Takes the next request, of so many points: when it was due, or, if it is not yet, when it will be.
    pub fn take(&mut self, now_ns: u64, points: u32) -> Result<u64, u64> {
        let Some(rate) = self.rate else { return Ok(now_ns) };
        // Rising evenly, r·t²/2T points are due by t, and r·T/2 by the end of the ramp.
        let in_ramp = rate * self.ramp_ns / 2.0;
        let after_ns = if self.points < in_ramp {
            (2.0 * self.points * self.ramp_ns / rate).sqrt()
        } else {
            self.points / rate + self.ramp_ns / 2.0
        };
        let due_ns = (self.begin_ns + after_ns) as u64;
        if now_ns < due_ns {
            return Err(due_ns);
        }
        self.points += f64::from(points);
        Ok(due_ns)
    }

    /// The rate that holds over a run of so long, points per second: lower than what was asked for by the ramp.
    pub fn mean_rate(&self, elapsed_ns: u64) -> Option<f64> {
        let rate = self.rate?;
        let elapsed = elapsed_ns.max(1) as f64;
        let points = if elapsed < self.ramp_ns {
            rate * elapsed * elapsed / (2.0 * self.ramp_ns)
        } else {
            rate * (elapsed - self.ramp_ns / 2.0)
        };
        Some(points / elapsed * 1e9)
    }
}

#[cfg(test)]
mod tests {
    use super::super::latency::Latencies;
    use super::*;

    const MS: u64 = 1_000_000;

    /// Given a clock that only moves when told, requests are due at the rate, whenever they are sent.
    #[test]
    fn requests_are_due_at_the_rate_on_a_scripted_clock() {
        let mut pace = Pace::new(Some(1_000.0), None);
        pace.begin(5 * MS);
        assert_eq!(pace.take(5 * MS, 10), Ok(5 * MS));
        assert_eq!(pace.take(5 * MS, 10), Err(15 * MS));
        assert_eq!(pace.take(15 * MS - 1, 10), Err(15 * MS));
        // Nobody looked for a second: everything that was due is due at its own time, not now.
        for number in 1..=100 {
            assert_eq!(pace.take(1_015 * MS, 10), Ok((5 + 10 * number) * MS), "request {number}");
        }
        assert_eq!(pace.take(1_014 * MS, 10), Err(1_015 * MS));
    }

    /// A server that answers nothing for a second shows in half of the latencies, and not in one.
    #[test]
    fn a_stall_shows_in_every_latency_that_was_due_in_it() {
        let mut pace = Pace::new(Some(1_000.0), None);
        pace.begin(0);
        let mut latencies = Latencies::default();
        for step in 0..100 {
            let due_ns = pace.take(step * 10 * MS, 10).unwrap();
            latencies.record(step * 10 * MS + MS - due_ns);
        }
        let stall_end_ns = 2_000 * MS;
        while let Ok(due_ns) = pace.take(stall_end_ns - 1, 10) {
            latencies.record(stall_end_ns + MS - due_ns);
        }
        assert_eq!(latencies.count(), 200);
        let (p50, p75) = (latencies.quantile_ns(0.5), latencies.quantile_ns(0.75));
        assert!(p50 <= MS + MS / 32, "{p50}");
        assert!((500 * MS..530 * MS).contains(&p75), "{p75}");
        assert_eq!(latencies.max_ns(), 1_001 * MS);
    }

    #[test]
    fn a_ramp_rises_evenly_and_then_holds() {
        let mut pace = Pace::new(Some(1_000.0), Some(Duration::from_secs(10)));
        pace.begin(0);
        let mut due = Vec::new();
        while let Ok(due_ns) = pace.take(20_000 * MS, 1) {
            due.push(due_ns);
        }
        let by = |ms: u64| due.iter().filter(|&&due_ns| due_ns < ms * MS).count() as i64;
        // r·t²/2T = 1000·25/20 at 5 s, half of it all at the end of the ramp, then a point a millisecond.
        for (ms, points) in [(1_000, 50), (5_000, 1_250), (10_000, 5_000), (15_000, 10_000), (20_000, 15_000)] {
            assert!((by(ms) - points).abs() <= 1, "{ms} ms: {} of {points}", by(ms));
        }
        assert!(due.windows(2).all(|pair| pair[0] <= pair[1]));
        assert_eq!(pace.mean_rate(10_000 * MS).unwrap().round(), 500.0);
        assert_eq!(pace.mean_rate(20_000 * MS).unwrap().round(), 750.0);
        assert_eq!(pace.mean_rate(5_000 * MS).unwrap().round(), 250.0);
    }

    #[test]
    fn without_a_rate_everything_is_due_now() {
        let mut pace = Pace::new(None, None);
        pace.begin(7);
        assert_eq!((pace.take(9, 1), pace.take(9, 1), pace.mean_rate(5)), (Ok(9), Ok(9), None));
    }
}
