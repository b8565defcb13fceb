//! Where transcoded bytes go: a buffer that asks before it grows, and lengths that are put in afterwards.
//!
//! Does not know JSON. Invariant: `need` comes before every write, so that no write allocates by itself.

use super::fault::JsonFaultKind as K;
use crate::limits::GUNZIP_STEP_BYTES;
use crate::wire::varint_size;

pub(super) struct BoundedBuffer<'a> {
    pub(super) out: &'a mut Vec<u8>,
    pub(super) limit: usize,
    pub(super) grow: &'a mut dyn FnMut(usize) -> bool,
}

impl BoundedBuffer<'_> {
    /// Makes room for `bytes` more: the most that a value can take, so the limit may be felt that much early.
    #[inline]
    pub(super) fn need(&mut self, bytes: usize) -> Result<(), K> {
        if self.out.capacity() - self.out.len() < bytes { self.more(bytes) } else { Ok(()) }
    }

    #[cold]
    fn more(&mut self, bytes: usize) -> Result<(), K> {
        let (len, capacity) = (self.out.len(), self.out.capacity());
        if bytes > self.limit - len.min(self.limit) {
            return Err(K::TooLarge);
        }
        // doubled, as far as the limit lets it
        let doubled = capacity.max(GUNZIP_STEP_BYTES).min(self.limit.saturating_sub(capacity));
        let more = doubled.max(len + bytes - capacity);
        if !(self.grow)(more) {
            return Err(K::NoBudget);
        }
        self.out.reserve_exact(capacity + more - len);
        Ok(())
    }

    /// Leaves `width` bytes for a length.
    #[inline]
    pub(super) fn leave(&mut self, width: usize) {
        self.out.extend_from_slice(&[0; 10][..width]);
    }

    /// Puts the length of what lies from `start` on into the `width` bytes before it, which become as many as it takes;
    /// returns how many.
    #[inline]
    pub(super) fn close(&mut self, start: usize, width: usize) -> Result<usize, K> {
        let length = self.out.len() - start;
        let size = varint_size(length as u64);
        if size != width {
            self.shift(start, width, size)?;
        }
        let mut rest = length;
        for byte in &mut self.out[start - width..][..size] {
            *byte = rest as u8 | 0x80;
            rest >>= 7;
        }
        self.out[start - width + size - 1] &= 0x7f;
        Ok(size)
    }

    #[cold]
    fn shift(&mut self, start: usize, width: usize, size: usize) -> Result<(), K> {
        let len = self.out.len();
        if size > width {
            self.need(size - width)?;
            self.leave(size - width);
        }
        self.out.copy_within(start..len, start + size - width);
        self.out.truncate(len + size - width);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::put_bytes;

    /// Lengths of every width, whatever was left for them.
    #[test]
    fn lengths_are_minimal() {
        for length in [0, 1, 127, 128, 300, 16_383, 16_384, 40_000] {
            for width in 1..6 {
                let payload: Vec<u8> = (0..length).map(|i| i as u8).collect();
                let (mut out, mut granted) = (Vec::new(), 0);
                let mut grow = |bytes| {
                    granted += bytes;
                    true
                };
                let mut buffer = BoundedBuffer { out: &mut out, limit: 1 << 20, grow: &mut grow };
                buffer.need(1 + width + length).unwrap();
                buffer.out.push(0x0a);
                buffer.leave(width);
                buffer.out.extend_from_slice(&payload);
                let size = buffer.close(1 + width, width).unwrap();
                let mut expected = Vec::new();
                put_bytes(&mut expected, 0x0a, &payload);
                assert!(out == expected && size == out.len() - length - 1, "{length} {width}");
                assert!(out.capacity() <= granted);
            }
        }
    }
}
