//! gzip members into a byte budget, with one inflate state that is used again and again.
//!
//! Does not know where bytes come from. The gzip frame (RFC 1952) is read here and the deflate stream inside by
//! `flate2`: its gzip decoder would build a new state of some 50 KiB for each body.
//!
//! Invariants: 1. the output never grows past `limit + 1` bytes, nor past what `grow` granted; 2. `grow` is asked
//! before the output grows, not after.
//! Bounds: `limits::GZIP_MEMBERS_MAX` members a body; one state a shard.

use crate::limits;
use flate2::{Crc, Decompress, FlushDecompress, Status};

/// Why a body could not be inflated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GunzipFault {
    /// Not gzip, broken, or cut off.
    Corrupt(&'static str),
    /// More than the limit comes out.
    TooLarge,
    /// The budget did not grow.
    NoBudget,
}

/// The inflate state.
pub struct Gunzip(Decompress);

impl Default for Gunzip {
    fn default() -> Self {
        Gunzip(Decompress::new(false))
    }
}

impl Gunzip {
    /// Inflates `input` to the end of `output`, which is empty before. `grow` is asked for each step of capacity.
    ///
    /// # Errors
    /// See [`GunzipFault`]; `output` then holds a part that means nothing.
    pub fn inflate(
        &mut self,
        mut input: &[u8],
        output: &mut Vec<u8>,
        limit: usize,
        mut grow: impl FnMut(usize) -> bool,
    ) -> Result<(), GunzipFault> {
        for _ in 0..limits::GZIP_MEMBERS_MAX {
            let head = head_bytes(input)?;
            input = self.member(&input[head..], output, limit, &mut grow)?;
            if input.is_empty() {
                return Ok(());
            }
        }
        Err(GunzipFault::Corrupt("more than 1024 gzip members"))
    }

    /// One deflate stream and its trailer; gives what follows.
    fn member<'a>(
        &mut self,
        mut input: &'a [u8],
        output: &mut Vec<u8>,
        limit: usize,
        grow: &mut impl FnMut(usize) -> bool,
    ) -> Result<&'a [u8], GunzipFault> {
        self.0.reset(false);
        let start = output.len();
        loop {
            if output.len() > limit {
                return Err(GunzipFault::TooLarge);
            }
            if output.len() == output.capacity() {
                let more = limits::GUNZIP_STEP_BYTES.max(output.len()).min(limit + 1 - output.len());
                if !grow(more) {
                    return Err(GunzipFault::NoBudget);
                }
                output.reserve_exact(more);
            }
            let (in_before, out_before) = (self.0.total_in(), output.len());
            let status = self
                .0
                .decompress_vec(input, output, FlushDecompress::None)
                .map_err(|_| GunzipFault::Corrupt("invalid deflate stream"))?;
            let taken = (self.0.total_in() - in_before) as usize;
            input = &input[taken..];
            match status {
                Status::StreamEnd => break,
                _ if taken == 0 && output.len() == out_before && output.len() < output.capacity() => {
                    return Err(GunzipFault::Corrupt("gzip stream is cut off"));
                }
                _ => {}
            }
        }
        if output.len() > limit {
            return Err(GunzipFault::TooLarge);
        }
        let (trailer, rest) = input.split_at_checked(8).ok_or(GunzipFault::Corrupt("gzip trailer is cut off"))?;
        let mut crc = Crc::new();
        crc.update(&output[start..]);
        let expected = [crc.sum().to_le_bytes(), ((output.len() - start) as u32).to_le_bytes()].concat();
        if trailer != expected {
            return Err(GunzipFault::Corrupt("gzip checksum does not match"));
        }
        Ok(rest)
    }
}

/// Bytes of the header of one member (RFC 1952, 2.3).
fn head_bytes(input: &[u8]) -> Result<usize, GunzipFault> {
    const CUT: GunzipFault = GunzipFault::Corrupt("gzip header is cut off");
    let [id1, id2, method, flags, ..] = *input else { return Err(CUT) };
    if (id1, id2, method) != (0x1f, 0x8b, 8) || flags & 0xe0 != 0 {
        return Err(GunzipFault::Corrupt("not a gzip header"));
    }
    let mut at = 10;
    if flags & 4 != 0 {
        let length = input.get(at..at + 2).ok_or(CUT)?;
        at += 2 + usize::from(u16::from_le_bytes([length[0], length[1]]));
    }
    for flag in [8, 16] {
        if flags & flag != 0 {
            at += input.get(at..).and_then(|text| text.iter().position(|&byte| byte == 0)).ok_or(CUT)? + 1;
        }
    }
    if flags & 2 != 0 {
        at += 2;
    }
    if at > input.len() { Err(CUT) } else { Ok(at) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, GzBuilder, write::GzEncoder};
    use std::io::Write;

    fn zip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn unzip(input: &[u8], limit: usize) -> Result<Vec<u8>, GunzipFault> {
        let mut output = Vec::new();
        Gunzip::default().inflate(input, &mut output, limit, |_| true).map(|()| output)
    }

    /// R1: what was zipped comes out, for all sizes around the steps, members one after the other.
    #[test]
    fn round_trips() {
        let mut state = Gunzip::default();
        for size in [
            0,
            1,
            100,
            limits::GUNZIP_STEP_BYTES - 1,
            limits::GUNZIP_STEP_BYTES,
            limits::GUNZIP_STEP_BYTES + 1,
            300_000,
        ] {
            let body: Vec<u8> = (0..size).map(|i| (i * 7 % 251) as u8).collect();
            let mut output = Vec::new();
            state.inflate(&zip(&body), &mut output, size, |_| true).unwrap();
            assert!(output == body, "{size}");
            let twice = [zip(&body), zip(&body)].concat();
            assert!(unzip(&twice, 2 * size).unwrap() == body.repeat(2), "{size} twice");
        }
        let mut named =
            GzBuilder::new().filename("n").comment("c").extra(vec![1, 2, 3]).write(Vec::new(), Compression::fast());
        named.write_all(b"abc").unwrap();
        assert_eq!(unzip(&named.finish().unwrap(), 3).unwrap(), b"abc");
    }

    /// T5: a bomb stops at the limit, and before the budget is overdrawn.
    #[test]
    fn bombs_stop_at_the_limit() {
        let bomb = zip(&vec![0; 10_000_000]);
        assert_eq!(unzip(&bomb, 9_999_999), Err(GunzipFault::TooLarge));
        let mut output = Vec::new();
        let mut granted = 0;
        let grow = |more: usize| {
            granted += more;
            granted <= 1_000_000
        };
        assert_eq!(Gunzip::default().inflate(&bomb, &mut output, usize::MAX - 1, grow), Err(GunzipFault::NoBudget));
        assert!(output.len() <= 1_000_000);
    }

    /// Every prefix of a body, and every flipped byte that matters, is a fault, never a panic and never a success with other bytes.
    #[test]
    fn broken_bodies_are_faults() {
        let whole = zip(b"some text that is worth keeping, some text that is worth keeping");
        for end in 0..whole.len() {
            assert!(unzip(&whole[..end], 1000).is_err(), "cut at {end}");
        }
        for at in 0..whole.len() {
            let mut broken = whole.clone();
            broken[at] ^= 0x10;
            if let Ok(bytes) = unzip(&broken, 1000) {
                assert_eq!(bytes, b"some text that is worth keeping, some text that is worth keeping", "byte {at}");
            }
        }
        let trailing = [whole.as_slice(), b"x"].concat();
        assert!(unzip(&trailing, 1000).is_err());
    }
}
