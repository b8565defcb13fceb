//! One example of each thing that is warned of: which metric of which service, and who sent it.
//!
//! Knows causes and texts; does not know who warns, or when. Shards write, the thread that warns reads and asks for the
//! next one.
//!
//! Progress: a shard never waits: it looks at a flag where a point was lost, and writes only while an example is wanted,
//! which is once for each warning; it leaves it where another thread has the text in hand. Bounds: a text for each cause,
//! with `SHOWN` characters of each name, or `WORDS_SHOWN` of an
//! answer.

use crate::ledger::Effect;
use crate::model::{Answer, Peer, Reject};
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// What an example is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Applied, but not with effect.
    Without(Effect),
    /// Rejected.
    Rejected(Reject),
    /// Added to an overflow series.
    Overflowed,
    /// Counts would have left 64 bits.
    CountOverflow,
    /// A request was not applied, and this was answered.
    Refused(Answer),
}

const CAUSES: usize = Effect::COUNT + Reject::COUNT + 2 + Answer::COUNT;

impl Cause {
    const fn number(self) -> usize {
        match self {
            Cause::Without(effect) => effect as usize,
            Cause::Rejected(reason) => Effect::COUNT + reason as usize,
            Cause::Overflowed => Effect::COUNT + Reject::COUNT,
            Cause::CountOverflow => Effect::COUNT + Reject::COUNT + 1,
            Cause::Refused(answer) => Effect::COUNT + Reject::COUNT + 2 + answer as usize,
        }
    }
}

struct Slot {
    wanted: AtomicBool,
    text: Mutex<String>,
}

/// The example of each cause.
pub struct Examples {
    slots: [Slot; CAUSES],
}

impl Default for Examples {
    fn default() -> Self {
        let slot = |_| Slot { wanted: AtomicBool::new(true), text: Mutex::default() };
        Examples { slots: std::array::from_fn(slot) }
    }
}

impl Examples {
    /// Keeps an example if one is wanted: a metric, the attributes of its resource, and the sender if it is known.
    #[inline]
    pub fn show(&self, cause: Cause, resource: &[u8], name: &[u8], peer: Peer) {
        // ORDERING: a hint; the text is behind the lock
        if self.slots[cause.number()].wanted.load(Relaxed) {
            self.put(cause, &example(resource, name), peer);
        }
    }

    /// Keeps what was answered to a request, if an example is wanted: the words are asked for then.
    #[inline]
    pub fn show_answer(&self, answer: Answer, peer: Peer, words: impl FnOnce() -> String) {
        // ORDERING: as in `show`
        if self.slots[Cause::Refused(answer).number()].wanted.load(Relaxed) {
            let words = words().chars().take(WORDS_SHOWN).flat_map(char::escape_debug).collect::<String>();
            self.put(Cause::Refused(answer), &words, peer);
        }
    }

    /// As `show`, in words that are there already.
    #[cold]
    pub fn put(&self, cause: Cause, of: &str, peer: Peer) {
        let slot = &self.slots[cause.number()];
        // ORDERING: as in `show`
        if !slot.wanted.load(Relaxed) {
            return;
        }
        let Ok(mut text) = slot.text.try_lock() else { return };
        text.clear();
        text.push_str(of);
        if peer.is_known() {
            let _ = write!(text, " from {peer}");
        }
        slot.wanted.store(false, Relaxed);
    }

    /// The example kept last, if there was one; from now on the next is wanted.
    pub fn take(&self, cause: Cause) -> String {
        let slot = &self.slots[cause.number()];
        let text = slot.text.lock().unwrap_or_else(PoisonError::into_inner);
        // ORDERING: as in `show`
        slot.wanted.store(true, Relaxed);
        text.clone()
    }
}

/// Characters of an answer that are shown.
const WORDS_SHOWN: usize = 256;

/// Characters of a name that are shown.
const SHOWN: usize = 64;

/// What a metric is called in an answer or a warning: its name and service, escaped, of bounded length.
pub fn example(resource: &[u8], name: &[u8]) -> String {
    fn shown(bytes: &[u8]) -> String {
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * SHOWN)]);
        let mut escaped = text.chars().take(SHOWN).flat_map(char::escape_debug).collect::<String>();
        if text.chars().nth(SHOWN).is_some() || bytes.len() > 4 * SHOWN {
            escaped.push('…');
        }
        escaped
    }
    let mut out = format!("metric \"{}\"", shown(name));
    let mut reader = crate::wire::Reader::new(resource);
    while let Ok(field) = reader.field() {
        if field.number != 1 {
            if reader.skip(field, 1).is_err() {
                break;
            }
            continue;
        }
        let Ok(bytes) = reader.bytes() else { break };
        let record = crate::identity::attributes::Record { bytes };
        if record.key() == b"service.name"
            && let Some(service) = record.text()
        {
            out.push_str(&format!(" of service \"{}\"", shown(service.as_bytes())));
            break;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> Peer {
        text.parse::<std::net::IpAddr>().unwrap().into()
    }

    #[test]
    fn the_first_example_is_kept_until_it_is_taken() {
        let (examples, cause) = (Examples::default(), Cause::Rejected(Reject::NoTime));
        assert_eq!(examples.take(cause), "");
        examples.show(cause, b"", b"a", peer("::ffff:192.0.2.1"));
        examples.show(cause, b"", b"b", Peer::default());
        examples.show(Cause::Without(Effect::Baseline), b"", b"c", Peer::default());
        assert_eq!(examples.take(cause), "metric \"a\" from 192.0.2.1");
        assert_eq!(examples.take(cause), "metric \"a\" from 192.0.2.1", "it stays one until there is another");
        examples.show(cause, b"", b"b\n", peer("2001:db8::1"));
        assert_eq!(examples.take(cause), "metric \"b\\n\" from 2001:db8::/64");
    }

    #[test]
    fn a_shard_does_not_wait_for_who_reads() {
        let (examples, cause) = (Examples::default(), Cause::Without(Effect::Superseded));
        let held = examples.slots[cause.number()].text.lock().unwrap();
        examples.show(cause, b"", b"a", Peer::default());
        drop(held);
        examples.show(cause, b"", b"b", Peer::default());
        assert_eq!(examples.take(cause), "metric \"b\"");
    }

    #[test]
    fn an_example_is_bounded_whatever_it_is_of() {
        let name = "\u{1}".repeat(10_000);
        let text = example(&[0x0a, 0xff, 0xff], name.as_bytes());
        assert!(text.len() < 16 * SHOWN && text.ends_with("…\""), "{text}");
    }
}
