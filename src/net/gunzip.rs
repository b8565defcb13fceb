//! gzip members into a byte budget, with one inflate state that is used again and again.
//!
//! Does not know where bytes come from. The gzip frame (RFC 1952) is read here and the deflate stream inside by
//! `flate2`: its gzip decoder would build a new state of some 50 KiB for each body.
//!
//! Invariants: those of `members`.
//! Bounds: `limits::BODY_MEMBERS_MAX` members a body; a state for each body that takes more than one turn, and one kept to use again.

use super::members::{InflateFault, Members};
use crate::limits;
use flate2::{Crc, Decompress, FlushDecompress, Status};

/// The member at hand.
struct Member {
    /// Where its output begins.
    start: usize,
    crc: Crc,
}

/// The inflate state, and where it is in a body.
pub struct Gunzip {
    inflate: Decompress,
    /// Bytes of the input that are done.
    at: usize,
    /// Bytes of these since there was any output.
    quiet: usize,
    /// Members begun.
    members: usize,
    member: Option<Member>,
}

impl Default for Gunzip {
    fn default() -> Self {
        Gunzip { inflate: Decompress::new(false), at: 0, quiet: 0, members: 0, member: None }
    }
}

impl Gunzip {
    /// Begins a body.
    pub fn begin(&mut self) {
        (self.at, self.quiet, self.members, self.member) = (0, 0, 0, None);
    }
}

impl Members for Gunzip {
    fn position(&self) -> usize {
        self.at
    }

    fn is_between(&self) -> bool {
        self.member.is_none()
    }

    fn is_at_end(&self, input: &[u8]) -> bool {
        self.members > 0 && self.at == input.len()
    }

    fn begin_member(&mut self, input: &[u8], start: usize) -> Result<(), InflateFault> {
        if self.members == limits::BODY_MEMBERS_MAX {
            return Err(InflateFault::Corrupt("more than 1024 gzip members"));
        }
        self.at += head_bytes(&input[self.at..])?;
        self.members += 1;
        self.inflate.reset(false);
        self.member = Some(Member { start, crc: Crc::new() });
        Ok(())
    }

    fn step(&mut self, input: &[u8], output: &mut Vec<u8>) -> Result<(), InflateFault> {
        let Some(member) = &mut self.member else { return Ok(()) };
        let before = output.len();
        // zeroed first, as safe code must: a step stays in the cache, and inflating costs twenty times as much
        output.resize(before + limits::GUNZIP_STEP_BYTES.min(output.capacity() - before), 0);
        let (in_before, out_before) = (self.inflate.total_in(), self.inflate.total_out());
        let rest = &input[self.at..];
        let status = self
            .inflate
            .decompress(
                &rest[..rest.len().min(limits::INFLATE_INPUT_STEP_BYTES)],
                &mut output[before..],
                FlushDecompress::None,
            )
            .map_err(|_| InflateFault::Corrupt("invalid deflate stream"))?;
        let taken = (self.inflate.total_in() - in_before) as usize;
        let made = (self.inflate.total_out() - out_before) as usize;
        self.at += taken;
        self.quiet = if made == 0 { self.quiet + taken } else { 0 };
        if self.quiet > limits::GUNZIP_QUIET_BYTES_MAX {
            return Err(InflateFault::Corrupt("more than 64 KiB of deflate blocks with nothing in them"));
        }
        output.truncate(before + made);
        member.crc.update(&output[before..]);
        if status != Status::StreamEnd {
            return if taken == 0 && made == 0 { Err(InflateFault::Corrupt("gzip stream is cut off")) } else { Ok(()) };
        }
        let trailer = input[self.at..].first_chunk::<8>().ok_or(InflateFault::Corrupt("gzip trailer is cut off"))?;
        let expected = [member.crc.sum().to_le_bytes(), ((output.len() - member.start) as u32).to_le_bytes()].concat();
        if trailer[..] != expected {
            return Err(InflateFault::Corrupt("gzip checksum does not match"));
        }
        self.at += trailer.len();
        self.member = None;
        Ok(())
    }
}

/// Bytes of the header of one member (RFC 1952, 2.3).
fn head_bytes(input: &[u8]) -> Result<usize, InflateFault> {
    const CUT: InflateFault = InflateFault::Corrupt("gzip header is cut off");
    let [id1, id2, method, flags, ..] = *input else { return Err(CUT) };
    if (id1, id2, method) != (0x1f, 0x8b, 8) || flags & 0xe0 != 0 {
        return Err(InflateFault::Corrupt("not a gzip header"));
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
    use super::super::members::{InflateProgress, advance};
    use super::*;
    use flate2::{Compression, GzBuilder, write::GzEncoder};
    use std::io::Write;

    fn zip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn unzip(input: &[u8], limit: usize) -> Result<Vec<u8>, InflateFault> {
        let mut output = Vec::new();
        let whole = inflate(&mut Gunzip::default(), input, &mut output, limit, |_| true).map(|()| output);
        // in slices of any size it is the same
        for slice in [1, 1000] {
            let (mut state, mut output) = (Gunzip::default(), Vec::new());
            let sliced = loop {
                match advance(&mut state, input, &mut output, limit, slice, |_| true) {
                    Ok(InflateProgress::More) => {}
                    Ok(InflateProgress::Done) => break Ok(output),
                    Err(fault) => break Err(fault),
                }
            };
            assert!(sliced == whole, "in slices of {slice}");
        }
        whole
    }

    fn inflate(
        state: &mut Gunzip,
        input: &[u8],
        output: &mut Vec<u8>,
        limit: usize,
        grow: impl FnMut(usize) -> bool,
    ) -> Result<(), InflateFault> {
        state.begin();
        advance(state, input, output, limit, usize::MAX, grow)
            .map(|progress| assert_eq!(progress, InflateProgress::Done))
    }

    /// A slice ends near its size, whatever the input.
    #[test]
    fn slices_are_short() {
        let bomb = zip(&vec![0; 10_000_000]);
        let (mut state, mut output, mut slices) = (Gunzip::default(), Vec::new(), 0);
        while advance(&mut state, &bomb, &mut output, 10_000_000, 100_000, |_| true).unwrap() == InflateProgress::More {
            slices += 1;
            assert!(output.len() <= slices * (100_000 + limits::GUNZIP_STEP_BYTES));
        }
        assert!(slices >= 50 && output.len() == 10_000_000, "{slices}");
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
            inflate(&mut state, &zip(&body), &mut output, size, |_| true).unwrap();
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
        assert_eq!(unzip(&bomb, 9_999_999), Err(InflateFault::TooLarge));
        let mut output = Vec::new();
        let mut granted = 0;
        let grow = |more: usize| {
            granted += more;
            granted <= 1_000_000
        };
        assert_eq!(
            inflate(&mut Gunzip::default(), &bomb, &mut output, usize::MAX - 1, grow),
            Err(InflateFault::NoBudget)
        );
        assert!(output.len() <= 1_000_000);
    }

    /// A member whose deflate stream has `blocks` stored blocks with nothing in them before each of `letters`.
    fn hollow(blocks: usize, letters: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
        for letter in letters {
            bytes.extend([0, 0, 0, 0xff, 0xff].repeat(blocks));
            bytes.extend([0, 1, 0, 0xfe, 0xff, *letter]);
        }
        bytes.extend([1, 0, 0, 0xff, 0xff]);
        let mut crc = Crc::new();
        crc.update(letters);
        bytes.extend([crc.sum().to_le_bytes(), (letters.len() as u32).to_le_bytes()].concat());
        bytes
    }

    /// T5: blocks with nothing in them are work, and too many of them a fault.
    #[test]
    fn hollow_bodies_are_work() {
        assert_eq!(unzip(&hollow(10, b"abc"), 3).unwrap(), b"abc");
        let fault = InflateFault::Corrupt("more than 64 KiB of deflate blocks with nothing in them");
        assert_eq!(unzip(&hollow(100_000, b"a"), 3), Err(fault));
        assert_eq!(unzip(&[zip(b"a"), hollow(100_000, b"a")].concat(), 3), Err(fault));
        // an attacker who knows the limit stays below it: then it takes its turns
        let body = hollow(10_000, &[b'x'; 40]);
        let (mut state, mut output, mut before) = (Gunzip::default(), Vec::new(), 0);
        let slice = limits::INFLATE_SLICE_BYTES;
        while advance(&mut state, &body, &mut output, 1000, slice, |_| true).unwrap() == InflateProgress::More {
            assert!(state.at - before <= slice / limits::INFLATE_INPUT_WEIGHT + limits::INFLATE_INPUT_STEP_BYTES);
            before = state.at;
        }
        assert_eq!(output, [b'x'; 40]);
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
