//! Chunks of a body into one slice; the buffers for it are used again.
//!
//! Does not know what the bytes mean. A body of one chunk stays where it lies; the second chunk moves both into a
//! buffer from the pool.
//!
//! Invariants: 1. `reserved` says what was granted for this body and is given back once, by who ends it;
//! 2. never more than `limit` bytes are held; 3. what is declared is not trusted: the buffer grows by doubling with
//! the bytes that came.
//! Bounds: `limits::BODY_BUFFERS_KEPT_MAX` buffers of `limits::BODY_BUFFER_KEPT_BYTES_MAX` a shard wait in the pool.

use bytes::Bytes;

use crate::limits;

/// Buffers that wait to be used again.
#[derive(Default)]
pub struct Pool(Vec<Vec<u8>>);

impl Pool {
    /// An empty buffer, used before or new.
    pub fn take(&mut self) -> Vec<u8> {
        self.0.pop().unwrap_or_default()
    }

    /// Takes a buffer back.
    pub fn put(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() > 0
            && buffer.capacity() <= limits::BODY_BUFFER_KEPT_BYTES_MAX
            && self.0.len() < limits::BODY_BUFFERS_KEPT_MAX
        {
            buffer.clear();
            self.0.push(buffer);
        }
    }
}

/// Why a chunk was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFault {
    /// More bytes than the limit.
    TooLarge,
    /// The budget did not grow.
    NoBudget,
}

/// A body in the making.
#[derive(Default)]
pub struct Collect {
    one: Bytes,
    many: Vec<u8>,
    received: usize,
    reserved: usize,
}

impl Collect {
    /// Takes the next chunk; `reserve` is asked before anything grows.
    ///
    /// # Errors
    /// See [`BodyFault`]; the chunk is gone then, and the body of no more use.
    pub fn push(
        &mut self,
        chunk: Bytes,
        limit: usize,
        pool: &mut Pool,
        mut reserve: impl FnMut(usize) -> bool,
    ) -> Result<(), BodyFault> {
        if chunk.is_empty() {
            return Ok(());
        }
        let received = self.received + chunk.len();
        if received > limit {
            return Err(BodyFault::TooLarge);
        }
        if self.received == 0 {
            if !reserve(chunk.len()) {
                return Err(BodyFault::NoBudget);
            }
            self.reserved = chunk.len();
            self.one = chunk;
        } else {
            if self.many.capacity() == 0 {
                self.many = pool.take();
            }
            let mut room = self.many.capacity();
            if received > room {
                room = received.max(2 * self.received).max(limits::BODY_FIRST_BYTES.min(limit)).min(limit);
            }
            if room > self.reserved {
                if !reserve(room - self.reserved) {
                    return Err(BodyFault::NoBudget);
                }
                self.reserved = room;
            }
            if self.many.try_reserve_exact(room - self.many.len()).is_err() {
                return Err(BodyFault::NoBudget);
            }
            self.many.extend_from_slice(&self.one);
            self.one = Bytes::new();
            self.many.extend_from_slice(&chunk);
        }
        self.received = received;
        Ok(())
    }

    /// Bytes so far.
    pub fn received(&self) -> usize {
        self.received
    }

    /// The first five bytes, once they are there.
    pub fn first_five(&self) -> Option<[u8; 5]> {
        self.bytes().first_chunk().copied()
    }

    /// All bytes so far.
    pub fn bytes(&self) -> &[u8] {
        if self.many.is_empty() { &self.one } else { &self.many }
    }

    /// Ends the body; gives the bytes of budget to release.
    #[must_use = "the budget has to be given back"]
    pub fn finish(&mut self, pool: &mut Pool) -> usize {
        self.one = Bytes::new();
        pool.put(std::mem::take(&mut self.many));
        self.received = 0;
        std::mem::take(&mut self.reserved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever the cuts: the same bytes, reserved at least as many, and all of it given back.
    #[test]
    fn chunks_become_one_slice() {
        let body: Vec<u8> = (0..300_000u32).map(|i| i as u8).collect();
        let mut pool = Pool::default();
        for piece in [7_000, 65_536, 150_000, 299_999, 300_000] {
            let (mut collect, mut held) = (Collect::default(), 0);
            for chunk in body.chunks(piece) {
                collect
                    .push(Bytes::copy_from_slice(chunk), body.len(), &mut pool, |n| {
                        held += n;
                        true
                    })
                    .unwrap();
                assert!(held >= collect.received());
            }
            assert!(collect.bytes() == body, "{piece}");
            assert!(held <= 2 * body.len());
            assert_eq!(collect.finish(&mut pool), held);
        }
    }

    #[test]
    fn limits_hold() {
        let mut pool = Pool::default();
        let mut collect = Collect::default();
        collect.push(Bytes::from_static(b"12345"), 6, &mut pool, |_| true).unwrap();
        assert_eq!(collect.push(Bytes::from_static(b"67"), 6, &mut pool, |_| true), Err(BodyFault::TooLarge));
        let mut collect = Collect::default();
        collect.push(Bytes::from_static(b"12345"), 100, &mut pool, |_| true).unwrap();
        assert_eq!(collect.push(Bytes::from_static(b"67"), 100, &mut pool, |_| false), Err(BodyFault::NoBudget));
        assert_eq!(collect.finish(&mut pool), 5);
    }
}
