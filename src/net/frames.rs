//! Counts the nine-byte heads of incoming HTTP/2 frames by type and second, and names the flood when one is over.
//!
//! Does not interpret payloads, keeps none of them, and corrects nothing: `h2` checks the protocol. It stands in front
//! of `h2` because that limits neither PING nor SETTINGS nor RST_STREAM rates (THREATS T1, T3).
//!
//! Invariants:
//! 1. `feed` sees every byte of the connection once and in order, from the client preface on.
//! 2. Budgets are per second of the monotonic clock. PING and WINDOW_UPDATE are allowed beyond them as calls come in:
//!    grpc-go measures the path with a PING after each answer, and gRPC's own servers forgive that too.
//!
//! 3. A call is a HEADERS frame on a stream above all before it; others are trailers, and count as control frames.
//!
//! Bounds: 64 bytes a connection; a few nanoseconds a frame.

use crate::limits;

const SECOND_NS: u64 = 1_000_000_000;
const PREFACE_BYTES: u8 = 24;
const HEAD_BYTES: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;

const FLAG_END_STREAM: u8 = 1;
const FLAG_ACK: u8 = 1;
const FLAG_END_HEADERS: u8 = 4;
const FLAG_PADDED: u8 = 8;

/// Which budget was overdrawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Flood {
    Ping = 0,
    Settings,
    Reset,
    EmptyData,
    Other,
}

impl Flood {
    /// The label value in logs and metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Flood::Ping => "ping_flood",
            Flood::Settings => "settings_flood",
            Flood::Reset => "reset_flood",
            Flood::EmptyData => "empty_data_flood",
            Flood::Other => "control_frame_flood",
        }
    }
}

/// The state of one connection.
#[derive(Debug)]
pub struct FrameMeter {
    preface_left: u8,
    head: [u8; HEAD_BYTES],
    have: u8,
    payload_left: u32,
    /// Whether the frame being read ends a header block when its payload is over.
    ends_headers: bool,
    /// When the header block being received began; 0 when there is none.
    headers_since_ns: u64,
    /// When the frame being received began; 0 when there is none.
    frame_since_ns: u64,
    second: u64,
    calls: u32,
    /// The highest stream that a call was begun on.
    last_stream: u32,
    pings: u32,
    settings: u32,
    resets: u32,
    empty: u32,
    other: u32,
    resets_in_life: u32,
}

impl Default for FrameMeter {
    fn default() -> Self {
        FrameMeter {
            preface_left: PREFACE_BYTES,
            head: [0; HEAD_BYTES],
            have: 0,
            payload_left: 0,
            ends_headers: false,
            headers_since_ns: 0,
            frame_since_ns: 0,
            second: 0,
            calls: 0,
            last_stream: 0,
            pings: 0,
            settings: 0,
            resets: 0,
            empty: 0,
            other: 0,
            resets_in_life: 0,
        }
    }
}

impl FrameMeter {
    /// Takes the next bytes of the connection.
    ///
    /// # Errors
    /// The flood that begins in these bytes; none of them should be handed on.
    pub fn feed(&mut self, mut bytes: &[u8], now_ns: u64) -> Result<(), Flood> {
        if now_ns / SECOND_NS != self.second {
            self.second = now_ns / SECOND_NS;
            (self.calls, self.pings, self.settings, self.resets, self.empty, self.other) = (0, 0, 0, 0, 0, 0);
        }
        if self.preface_left > 0 {
            let skip = bytes.len().min(self.preface_left as usize);
            self.preface_left -= skip as u8;
            bytes = &bytes[skip..];
        }
        while !bytes.is_empty() {
            if self.payload_left > 0 {
                let skip = bytes.len().min(self.payload_left as usize);
                self.payload_left -= skip as u32;
                bytes = &bytes[skip..];
                if self.payload_left == 0 {
                    self.end_frame();
                }
                continue;
            }
            let have = self.have as usize;
            if have == 0 {
                self.frame_since_ns = now_ns.max(1);
            }
            let take = bytes.len().min(HEAD_BYTES - have);
            self.head[have..have + take].copy_from_slice(&bytes[..take]);
            self.have += take as u8;
            bytes = &bytes[take..];
            if self.have as usize == HEAD_BYTES {
                self.have = 0;
                self.begin_frame(now_ns)?;
            }
        }
        Ok(())
    }

    /// When the header block that is still incomplete began, nanoseconds; `None` when there is none.
    pub fn headers_since_ns(&self) -> Option<u64> {
        (self.headers_since_ns != 0).then_some(self.headers_since_ns)
    }

    /// When the frame that is still incomplete began, nanoseconds; `None` when there is none.
    pub(crate) fn frame_since_ns(&self) -> Option<u64> {
        (self.frame_since_ns != 0).then_some(self.frame_since_ns)
    }

    fn begin_frame(&mut self, now_ns: u64) -> Result<(), Flood> {
        let length = u32::from_be_bytes([0, self.head[0], self.head[1], self.head[2]]);
        let (kind, flags) = (self.head[3], self.head[4]);
        self.payload_left = length;
        self.ends_headers = false;
        match kind {
            DATA => {
                let empty = length == 0 || (flags & FLAG_PADDED != 0 && length == 1);
                if empty && flags & FLAG_END_STREAM == 0 {
                    self.empty += 1;
                    check(self.empty, limits::HTTP2_EMPTY_DATA_PER_SECOND_MAX, Flood::EmptyData)?;
                }
            }
            HEADERS => {
                let stream = u32::from_be_bytes([self.head[5] & 0x7f, self.head[6], self.head[7], self.head[8]]);
                if stream > self.last_stream {
                    self.last_stream = stream;
                    self.calls += 1;
                } else {
                    // trailers, or a flood: no call
                    self.count_other()?;
                }
                self.headers_since_ns = now_ns.max(1);
                self.ends_headers = flags & FLAG_END_HEADERS != 0;
            }
            CONTINUATION => self.ends_headers = flags & FLAG_END_HEADERS != 0,
            RST_STREAM => {
                self.resets += 1;
                self.resets_in_life += 1;
                check(self.resets, limits::HTTP2_RESET_PER_SECOND_MAX, Flood::Reset)?;
                check(self.resets_in_life, limits::HTTP2_RESETS_IN_LIFE_MAX, Flood::Reset)?;
            }
            SETTINGS => {
                self.settings += 1;
                check(self.settings, limits::HTTP2_SETTINGS_PER_SECOND_MAX, Flood::Settings)?;
            }
            PING if flags & FLAG_ACK != 0 => self.count_other()?,
            PING => {
                self.pings += 1;
                check(self.pings, limits::HTTP2_PING_PER_SECOND_MAX.saturating_add(self.calls), Flood::Ping)?;
            }
            _ => self.count_other()?,
        }
        if length == 0 {
            self.end_frame();
        }
        Ok(())
    }

    fn count_other(&mut self) -> Result<(), Flood> {
        self.other += 1;
        check(self.other, limits::HTTP2_OTHER_PER_SECOND_MAX.saturating_add(self.calls.saturating_mul(8)), Flood::Other)
    }

    fn end_frame(&mut self) {
        self.frame_since_ns = 0;
        if self.ends_headers {
            self.headers_since_ns = 0;
        }
    }
}

fn check(count: u32, max: u32, flood: Flood) -> Result<(), Flood> {
    if count > max { Err(flood) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        frame_on(1, kind, flags, payload)
    }

    fn frame_on(stream: u32, kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        bytes.extend_from_slice(&[kind, flags]);
        bytes.extend_from_slice(&stream.to_be_bytes());
        bytes.extend_from_slice(payload);
        bytes
    }

    fn started() -> FrameMeter {
        let mut meter = FrameMeter::default();
        meter.feed(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 1).unwrap();
        meter
    }

    /// T1, T3: the first frame over each budget is named, the last within it is not, however the bytes are cut.
    #[test]
    fn floods_are_named_at_their_budget() {
        let table = [
            (frame(PING, 0, &[0; 8]), limits::HTTP2_PING_PER_SECOND_MAX, Flood::Ping),
            (frame(SETTINGS, 0, &[]), limits::HTTP2_SETTINGS_PER_SECOND_MAX, Flood::Settings),
            (frame(RST_STREAM, 0, &[0; 4]), limits::HTTP2_RESET_PER_SECOND_MAX, Flood::Reset),
            (frame(DATA, 0, &[]), limits::HTTP2_EMPTY_DATA_PER_SECOND_MAX, Flood::EmptyData),
            (frame(8, 0, &[0; 4]), limits::HTTP2_OTHER_PER_SECOND_MAX, Flood::Other),
        ];
        for (bytes, budget, flood) in table {
            for piece in [1, 5, 4096] {
                let mut meter = started();
                let within = bytes.repeat(budget as usize);
                for part in within.chunks(piece) {
                    assert_eq!(meter.feed(part, 1), Ok(()), "{flood:?} within its budget");
                }
                assert_eq!(meter.feed(&bytes, 1), Err(flood));
                let mut meter = started();
                meter.feed(&within, 1).unwrap();
                assert_eq!(meter.feed(&bytes, SECOND_NS + 1), Ok(()), "{flood:?}: a new second, a new budget");
            }
        }
    }

    /// A PING for each call is how grpc-go measures the path: allowed at any rate.
    #[test]
    fn a_ping_for_each_call_is_no_flood() {
        let mut meter = started();
        for call in 0..10_000 {
            meter.feed(&frame_on(2 * call + 1, HEADERS, FLAG_END_HEADERS, &[0; 30]), 1).unwrap();
            assert_eq!(meter.feed(&frame(PING, 0, &[0; 8]), 1), Ok(()));
        }
    }

    /// HEADERS on a stream that is known are trailers: one for each call is fine, more are a flood and earn no PING.
    #[test]
    fn headers_on_a_known_stream_are_no_calls() {
        let mut meter = started();
        for call in 0..10_000 {
            for _ in 0..2 {
                meter.feed(&frame_on(2 * call + 1, HEADERS, FLAG_END_HEADERS, &[0; 30]), 1).unwrap();
            }
        }
        let mut meter = started();
        let again = frame(HEADERS, FLAG_END_HEADERS, &[0; 30]);
        let fed = (0..2_000).position(|_| meter.feed(&again, 1).is_err());
        assert_eq!(fed, Some(1 + limits::HTTP2_OTHER_PER_SECOND_MAX as usize + 8));
        let mut meter = started();
        meter.feed(&again.repeat(500), 1).unwrap();
        let pings = frame(PING, 0, &[0; 8]).repeat(limits::HTTP2_PING_PER_SECOND_MAX as usize + 2);
        assert_eq!(meter.feed(&pings, 1), Err(Flood::Ping));
    }

    /// T12: a header block that does not end is visible with its beginning.
    #[test]
    fn an_unfinished_header_block_is_seen() {
        let mut meter = started();
        meter.feed(&frame(HEADERS, 0, &[0; 3]), 7).unwrap();
        meter.feed(&frame(CONTINUATION, 0, &[0; 3]), 9).unwrap();
        assert_eq!(meter.headers_since_ns(), Some(7));
        meter.feed(&frame(CONTINUATION, FLAG_END_HEADERS, &[]), 9).unwrap();
        assert_eq!(meter.headers_since_ns(), None);
        let whole = frame(HEADERS, FLAG_END_HEADERS, &[0; 30]);
        meter.feed(&whole[..20], 11).unwrap();
        assert_eq!(meter.headers_since_ns(), Some(11));
        meter.feed(&whole[20..], 12).unwrap();
        assert_eq!(meter.headers_since_ns(), None);
    }

    /// T12: nor is any other frame that does not end waited for without end; the next one's time is its own.
    #[test]
    fn an_unfinished_frame_is_seen() {
        let mut meter = started();
        assert_eq!(meter.frame_since_ns(), None);
        for (kind, payload) in [(SETTINGS, &[][..]), (PING, &[0; 8]), (DATA, &[0; 100])] {
            let whole = frame(kind, 0, payload);
            for at in 1..whole.len() {
                meter.feed(&whole[..at], 7).unwrap();
                assert_eq!(meter.frame_since_ns(), Some(7), "{kind} {at}");
                meter.feed(&whole[at..], 9).unwrap();
                assert_eq!(meter.frame_since_ns(), None, "{kind} {at}");
                meter = started();
            }
        }
        meter.feed(&[frame(DATA, 0, &[0; 100]), vec![0]].concat(), 7).unwrap();
        assert_eq!(meter.frame_since_ns(), Some(7));
    }
}
