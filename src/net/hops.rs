//! Which instances a request came through, so that instances that send to each other in a circle notice it.
//!
//! Each instance has a random id. Every request that it sends names this id and those in the requests that it got lately.
//! A request that names the receiver's own id would come in again and again, as new points, and is refused.
//!
//! Does not know requests beyond this header. Bounds: `limits::HOPS_MAX` ids besides the own one; where more instances send
//! to this one, those heard last. A proxy between two instances must hand the header on. Nothing else depends on ids being
//! secret: a client that sends a false one has its own requests refused, or those of the instance that hands it on.

use crate::limits::{HOPS_KEPT_MIN, HOPS_MAX};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Name of the header: ids of 16 hexadecimal digits, separated by commas.
pub const NAME: HeaderName = HeaderName::from_static("catchment-hops");
const DIGITS: usize = 16;

/// The id of this instance, and those it has heard of.
#[derive(Debug)]
pub struct Hops {
    own: u64,
    kept_ns: u64,
    /// Id, 0 for none, and when it was last heard, monotonic nanoseconds. Two shards that write the same place at once may
    /// lose one of two, which the next request brings again.
    heard: [(AtomicU64, AtomicU64); HOPS_MAX],
}

impl PartialEq for Hops {
    fn eq(&self, other: &Self) -> bool {
        self.own == other.own
    }
}

impl Eq for Hops {}

impl Hops {
    /// An instance of that id (should be random) which cuts that often: what came in leaves within an interval.
    pub fn new(id: u64, interval: Duration) -> Hops {
        let kept = HOPS_KEPT_MIN.max(interval.saturating_mul(2));
        Hops { own: id.max(1), kept_ns: u64::try_from(kept.as_nanos()).unwrap_or(u64::MAX), heard: Default::default() }
    }

    /// Reads the head of a request: `false` if it has been here before. Others' ids are noted.
    pub fn enter(&self, headers: &HeaderMap, now_ns: u64) -> bool {
        let ids = || {
            let lines = headers.get_all(&NAME).iter().filter_map(|value| value.to_str().ok());
            let is_id = |word: &&str| word.len() == DIGITS && word.bytes().all(|byte| byte.is_ascii_hexdigit());
            let words = lines.flat_map(|line| line.split(',')).map(str::trim).filter(is_id).take(HOPS_MAX + 1);
            words.filter_map(|word| u64::from_str_radix(word, 16).ok()).filter(|&id| id != 0)
        };
        if ids().any(|id| id == self.own) {
            return false;
        }
        ids().for_each(|id| self.note(id, now_ns));
        true
    }

    fn note(&self, id: u64, now_ns: u64) {
        // ORDERING: Relaxed: each word stands for itself
        let known = self.heard.iter().find(|(other, _)| other.load(Relaxed) == id);
        let oldest = || self.heard.iter().min_by_key(|(_, at)| at.load(Relaxed));
        if let Some((other, at)) = known.or_else(oldest) {
            other.store(id, Relaxed);
            at.store(now_ns, Relaxed);
        }
    }

    /// What a request that leaves now says.
    pub fn value(&self, now_ns: u64) -> HeaderValue {
        let mut text = format!("{:016x}", self.own);
        for (id, at) in &self.heard {
            // ORDERING: as in `note`
            let (id, at) = (id.load(Relaxed), at.load(Relaxed));
            if id != 0 && now_ns.saturating_sub(at) <= self.kept_ns {
                text.push_str(&format!(",{id:016x}"));
            }
        }
        HeaderValue::try_from(text).expect("hexadecimal digits and commas")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[HeaderValue]) -> HeaderMap {
        values.iter().map(|value| (NAME, value.clone())).collect()
    }

    #[test]
    fn a_circle_is_noticed_and_a_chain_passes() {
        let [edge, gateway, top] = [1, 2, u64::MAX].map(|id| Hops::new(id, Duration::ZERO));
        assert!(edge.enter(&HeaderMap::new(), 1), "a client's own");
        assert_eq!(edge.value(1), "0000000000000001");
        assert!(gateway.enter(&headers(&[edge.value(1)]), 5));
        assert!(top.enter(&headers(&[gateway.value(6)]), 7));
        assert!(!edge.enter(&headers(&[top.value(8)]), 9), "through two others");
        assert!(!gateway.enter(&headers(&[gateway.value(8)]), 9), "straight back");
        // ids of a request that was refused are not noted: what leaves here may still pass
        assert!(top.enter(&headers(&[gateway.value(9)]), 9));
        // and is forgotten in the end
        let late = 5 + HOPS_KEPT_MIN.as_nanos() as u64;
        assert_eq!(gateway.value(late), "0000000000000002,0000000000000001");
        assert_eq!(gateway.value(late + 1), "0000000000000002");
        let slow = Hops::new(3, HOPS_KEPT_MIN);
        assert!(slow.enter(&headers(&[edge.value(1)]), 5));
        assert_eq!(slow.value(late + 1), "0000000000000003,0000000000000001");
    }

    #[test]
    fn the_ids_heard_last_are_kept_and_rubbish_is_not() {
        let hops = Hops::new(1, Duration::ZERO);
        for id in 2..100u64 {
            assert!(hops.enter(&headers(&[Hops::new(id, Duration::ZERO).value(0)]), id));
        }
        let value = hops.value(100);
        let text = value.to_str().unwrap();
        assert_eq!(text.split(',').count(), HOPS_MAX + 1);
        assert!((100 - HOPS_MAX as u64..100).all(|id| text.contains(&format!("{id:016x}"))), "{text}");
        for rubbish in ["", ",,", "1", "000000000000000g", "0000000000000000", "00000000000000001", "+000000000000001"]
        {
            let hops = Hops::new(1, Duration::ZERO);
            assert!(hops.enter(&headers(&[HeaderValue::from_static(rubbish)]), 1));
            assert_eq!(hops.value(1), "0000000000000001", "{rubbish:?}");
        }
    }
}
