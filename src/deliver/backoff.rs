//! When to try again: exponential back-off with jitter, or what the server says, clamped (E1, E4).
//!
//! Does not know: clocks, requests. Chance is an argument.
//!
//! Invariants: a wait is never longer than ten times the longest back-off; without advice it lies anywhere up to the
//! exponential step (full jitter): many senders that failed together come back spread over all of it.

use crate::chance::Chance;
use std::time::Duration;

/// The wait before try number `tries + 1`, ns. A server's advice of zero is no advice: it would have us spin.
pub(super) fn wait_ns(
    tries: u32,
    advice: Option<Duration>,
    first: Duration,
    longest: Duration,
    chance: &mut Chance,
) -> u64 {
    let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let clamp = nanos(longest).saturating_mul(10);
    let factor = 1u64 << tries.saturating_sub(1).min(32);
    let step = nanos(first).saturating_mul(factor).min(nanos(longest));
    match advice {
        // never earlier than told; a little later, so that not all clients come back at once
        Some(advice) if !advice.is_zero() => {
            let told = nanos(advice);
            told.saturating_add(chance.up_to(nanos(first) / 2)).min(clamp)
        }
        _ => chance.up_to(step),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(500);
    const LONGEST: Duration = Duration::from_secs(30);

    /// E1: exponential, bounded, and all of the step is made use of.
    #[test]
    fn grows_with_full_jitter_to_the_longest() {
        for tries in 1..100 {
            let step = (500u64 << (tries - 1).min(20)).min(30_000) * 1_000_000;
            let mut in_quarters = [0; 4];
            for seed in 0..400 {
                let wait = wait_ns(tries, None, FIRST, LONGEST, &mut Chance::new(seed));
                assert!(wait <= step, "try {tries}: {wait}");
                in_quarters[(wait * 4 / step).min(3) as usize] += 1;
            }
            assert!(in_quarters.iter().all(|count| (60..140).contains(count)), "try {tries}: {in_quarters:?}");
        }
        let waits: std::collections::HashSet<u64> =
            (0..100).map(|seed| wait_ns(1, None, FIRST, LONGEST, &mut Chance::new(seed))).collect();
        assert!(waits.len() > 90, "jitter must tell clients apart");
    }

    /// E4: advice is a floor, clamped to ten times the longest back-off.
    #[test]
    fn advice_is_kept_and_clamped() {
        let mut chance = Chance::new(1);
        let mut wait = |advice| wait_ns(1, Some(Duration::from_secs(advice)), FIRST, LONGEST, &mut chance);
        assert!((7_000_000_000..=7_250_000_000).contains(&wait(7)));
        assert_eq!(wait(301), 300_000_000_000);
        assert_eq!(wait(u64::MAX), 300_000_000_000);
        assert!(wait(0) <= 500_000_000, "no advice");
    }
}
