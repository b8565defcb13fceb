//! zstd frames into a byte budget, with one decoder that is used again and again.
//!
//! Does not know where bytes come from. Frames (RFC 8878) are read by the reference library; here is what it may cost: the
//! window is capped, frames are counted, and a call makes about as many bytes as it is allowed.
//!
//! Invariants: those of `members`.
//! Bounds: `limits::BODY_MEMBERS_MAX` frames a body; a window of `limits::ZSTD_WINDOW_LOG_MAX` bits, which is what the
//! RFC asks every decoder to take and nobody to exceed; `limits::ZSTD_STATE_BYTES` a decoder.

use super::members::{InflateFault, Members};
use crate::limits;
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

/// The decoder, and where it is in a body.
pub struct Unzstd {
    decoder: Decoder<'static>,
    /// Bytes of the input that are done.
    at: usize,
    /// Bytes of these since there was any output.
    quiet: usize,
    /// Frames begun.
    frames: usize,
    in_frame: bool,
}

impl Unzstd {
    /// A decoder; `None` when the system has no memory for it.
    pub fn new() -> Option<Unzstd> {
        let mut decoder = Decoder::new().ok()?;
        decoder.set_parameter(DParameter::WindowLogMax(limits::ZSTD_WINDOW_LOG_MAX)).ok()?;
        Some(Unzstd { decoder, at: 0, quiet: 0, frames: 0, in_frame: false })
    }

    /// Begins a body.
    pub fn begin(&mut self) {
        // a decoder that cannot begin again says so at the first step
        let _ = self.decoder.reinit();
        (self.at, self.quiet, self.frames, self.in_frame) = (0, 0, 0, false);
    }
}

impl Members for Unzstd {
    fn position(&self) -> usize {
        self.at
    }

    fn is_between(&self) -> bool {
        !self.in_frame
    }

    fn is_at_end(&self, input: &[u8]) -> bool {
        self.frames > 0 && self.at == input.len()
    }

    fn begin_member(&mut self, _: &[u8], _: usize) -> Result<(), InflateFault> {
        if self.frames == limits::BODY_MEMBERS_MAX {
            return Err(InflateFault::Corrupt("more than 1024 zstd frames"));
        }
        self.frames += 1;
        self.in_frame = true;
        Ok(())
    }

    fn step(&mut self, input: &[u8], output: &mut Vec<u8>) -> Result<(), InflateFault> {
        let before = output.len();
        output.resize(before + limits::GUNZIP_STEP_BYTES.min(output.capacity() - before), 0);
        let rest = &input[self.at..];
        let mut from = InBuffer::around(&rest[..rest.len().min(limits::INFLATE_INPUT_STEP_BYTES)]);
        let mut to = OutBuffer::around(&mut output[before..]);
        let result = self.decoder.run(&mut from, &mut to);
        let (taken, made) = (from.pos(), to.pos());
        self.at += taken;
        output.truncate(before + made);
        self.quiet = if made == 0 { self.quiet + taken } else { 0 };
        if self.quiet > limits::UNZSTD_QUIET_BYTES_MAX {
            return Err(InflateFault::Corrupt("more than 256 KiB of zstd blocks or frames with nothing in them"));
        }
        match result {
            Ok(0) => self.in_frame = false,
            Ok(_) if taken == 0 && made == 0 => return Err(InflateFault::Corrupt("zstd stream is cut off")),
            Ok(_) => {}
            Err(error) if error.to_string().contains("too much memory") => {
                return Err(InflateFault::Corrupt("zstd window is larger than 8 MiB: compress with a smaller one"));
            }
            Err(_) => return Err(InflateFault::Corrupt("invalid zstd stream")),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::members::{InflateProgress, advance};
    use super::*;
    use std::io::Write;

    fn pack(bytes: &[u8]) -> Vec<u8> {
        zstd::encode_all(bytes, 3).unwrap()
    }

    fn unpack(input: &[u8], limit: usize) -> Result<Vec<u8>, InflateFault> {
        let run = |state: &mut Unzstd, slice| {
            let mut output = Vec::new();
            state.begin();
            loop {
                match advance(state, input, &mut output, limit, slice, |_| true) {
                    Ok(InflateProgress::More) => {}
                    Ok(InflateProgress::Done) => break Ok(output),
                    Err(fault) => break Err(fault),
                }
            }
        };
        let mut state = Unzstd::new().unwrap();
        let whole = run(&mut state, usize::MAX);
        // in slices of any size it is the same, and with a decoder that was used before
        for slice in [1, 1000, usize::MAX] {
            assert!(run(&mut state, slice) == whole, "in slices of {slice}");
        }
        whole
    }

    /// R1: what was packed comes out, for all sizes around the steps, frames one after the other, skippable ones too.
    #[test]
    fn round_trips() {
        let step = limits::GUNZIP_STEP_BYTES;
        for size in [0, 1, 100, step - 1, step, step + 1, 300_000] {
            let body: Vec<u8> = (0..size).map(|i| (i * 7 % 251) as u8).collect();
            assert!(unpack(&pack(&body), size).unwrap() == body, "{size}");
            let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
            let twice = [pack(&body), skippable, pack(&body)].concat();
            assert!(unpack(&twice, 2 * size).unwrap() == body.repeat(2), "{size} twice");
        }
    }

    /// T5: a bomb stops at the limit, and before the budget is overdrawn; slices are short.
    #[test]
    fn bombs_stop_at_the_limit() {
        let bomb = pack(&vec![0; 10_000_000]);
        assert!(bomb.len() < 2_000, "{}", bomb.len());
        assert_eq!(unpack(&bomb, 9_999_999), Err(InflateFault::TooLarge));
        let (mut state, mut output, mut granted) = (Unzstd::new().unwrap(), Vec::new(), 0);
        let grow = |more: usize| {
            granted += more;
            granted <= 1_000_000
        };
        assert_eq!(
            advance(&mut state, &bomb, &mut output, usize::MAX - 1, usize::MAX, grow),
            Err(InflateFault::NoBudget)
        );
        assert!(output.len() <= 1_000_000);
        let (mut output, mut slices) = (Vec::new(), 0);
        state.begin();
        while advance(&mut state, &bomb, &mut output, 10_000_000, 100_000, |_| true).unwrap() == InflateProgress::More {
            slices += 1;
            assert!(output.len() <= slices * (100_000 + limits::GUNZIP_STEP_BYTES));
        }
        assert!(slices >= 50 && output.len() == 10_000_000, "{slices}");
    }

    /// T5: what cannot be compressed is read whole before it gives output; blocks and frames with nothing in them are work,
    /// and too many of them a fault.
    #[test]
    fn hollow_bodies_are_work() {
        let mut state = 1u64;
        let mut noise = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        };
        let body: Vec<u8> = (0..1_000_000).map(|_| noise()).collect();
        assert!(unpack(&pack(&body), body.len()).unwrap() == body);
        // a frame with a window of 1 MiB and raw blocks of no bytes, the last one the end
        let hollow =
            |blocks: usize| [&[0x28, 0xb5, 0x2f, 0xfd, 0, 80][..], &[0, 0, 0].repeat(blocks), &[1, 0, 0]].concat();
        assert_eq!(unpack(&hollow(1_000), 10).unwrap(), b"");
        let fault = InflateFault::Corrupt("more than 256 KiB of zstd blocks or frames with nothing in them");
        assert_eq!(unpack(&hollow(200_000), 10), Err(fault));
        let skipped = [&[0x50, 0x2a, 0x4d, 0x18, 0, 0, 0x10, 0][..], &[0; 1 << 20]].concat();
        assert_eq!(unpack(&[skipped, pack(b"a")].concat(), 10), Err(fault));
        let body = hollow(80_000);
        let (mut state, mut output, mut before) = (Unzstd::new().unwrap(), Vec::new(), 0);
        let slice = limits::INFLATE_SLICE_BYTES;
        while advance(&mut state, &body, &mut output, 1000, slice, |_| true).unwrap() == InflateProgress::More {
            assert!(state.at - before <= slice / limits::INFLATE_INPUT_WEIGHT + limits::INFLATE_INPUT_STEP_BYTES);
            before = state.at;
        }
        assert!(before > 0 && output.is_empty());
    }

    /// T5, T7: windows over the cap, frames without end, streams cut off, and bytes behind the last frame are faults.
    #[test]
    fn broken_and_hostile_bodies_are_faults() {
        let text = b"some text that is worth keeping, some text that is worth keeping";
        let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
        encoder.include_checksum(true).unwrap();
        encoder.write_all(text).unwrap();
        let whole = encoder.finish().unwrap();
        assert_eq!(unpack(&whole, 1000).unwrap(), text);
        for end in 0..whole.len() {
            assert!(unpack(&whole[..end], 1000).is_err(), "cut at {end}");
        }
        for at in 0..whole.len() {
            let mut broken = whole.clone();
            broken[at] ^= 0x10;
            if let Ok(bytes) = unpack(&broken, 1000) {
                assert_eq!(bytes, text, "byte {at}");
            }
        }
        assert!(unpack(&[whole.as_slice(), b"x"].concat(), 1000).is_err());
        let mut wide = zstd::Encoder::new(Vec::new(), 3).unwrap();
        wide.window_log(limits::ZSTD_WINDOW_LOG_MAX + 1).unwrap();
        wide.write_all(&vec![7; 9 << 20]).unwrap();
        let fault = unpack(&wide.finish().unwrap(), 16 << 20).unwrap_err();
        assert_eq!(fault, InflateFault::Corrupt("zstd window is larger than 8 MiB: compress with a smaller one"));
        let many = pack(b"").repeat(limits::BODY_MEMBERS_MAX);
        assert_eq!(unpack(&many, 1000).unwrap(), b"");
        let more = pack(b"").repeat(limits::BODY_MEMBERS_MAX + 1);
        assert_eq!(unpack(&more, 1000), Err(InflateFault::Corrupt("more than 1024 zstd frames")));
    }
}
