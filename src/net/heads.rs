//! HTTP/1.1 as it comes in, watched before hyper reads it: where messages begin and end must not be a matter of opinion.
//!
//! Does not know what is asked. hyper takes a request that has both Content-Length and Transfer-Encoding, or one length
//! twice, and lines that end with a bare LF; a proxy in front of us may read such a request otherwise, and a client could
//! hide a request from it (T29). hyper's headers do not show it any more, so the bytes are looked at.
//!
//! Refused: both lengths; either of them twice; a coding other than `chunked` alone; a length that is not plain digits;
//! a folded line; a line that does not end with CR LF, in heads, chunk sizes and trailers. A request line of more than
//! `limits::TARGET_BYTES_MAX` is refused, too: hyper would take it for a long head, which has another answer.
//!
//! Invariants:
//! 1. The fault is found at a byte that hyper needs to get on with the message: who puts `POISON` in place of it, and of
//!    all that follows, makes hyper refuse the message too, at once.
//! 2. What is not refused is framed as hyper frames it: a chunk size or a length that cannot be read is refused here.
//! 3. The verdict does not depend on how the bytes are cut.
//!
//! Bounds: `LINE_KEPT_BYTES` of the present line; the whole is some 100 bytes a connection.
//!
//! Source: RFC 9112, sections 2.2, 5.2, 6.3, 7.1, 11.2.

use crate::limits;

/// What hyper refuses wherever it reads a line. NUL is no byte of a head or of a chunk's size. In an extension and in a
/// trailer it is passed over, but no CR goes before it. hyper does not look at a head that came in pieces before an
/// empty line has come: hence the end.
pub const POISON: &[u8] = b"\0\r\0\r\n\r\n";
/// Bytes kept of a line: enough for every length and coding that is taken.
const LINE_KEPT_BYTES: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Before or in a request line.
    Request,
    /// Header lines.
    Fields,
    /// A body of a known length.
    Body { left: u64 },
    /// The line of a chunk's size.
    Size,
    /// A chunk.
    Chunk { left: u64 },
    /// The line end behind a chunk.
    ChunkEnd,
    /// Behind the last chunk.
    Trailers,
    /// Refused: nothing more is taken.
    Broken,
}

/// Lengths that a head gives.
#[derive(Clone, Copy, Default)]
struct Lengths {
    content: Option<u64>,
    chunked: bool,
}

/// Follows one connection.
pub struct HeadMeter {
    part: Part,
    lengths: Lengths,
    line: [u8; LINE_KEPT_BYTES],
    /// Bytes of the present line so far, those not kept included.
    line_bytes: usize,
    /// The byte before.
    last: u8,
    /// What is broken is a target without end.
    is_target_long: bool,
}

impl Default for HeadMeter {
    fn default() -> Self {
        HeadMeter {
            part: Part::Request,
            lengths: Lengths::default(),
            line: [0; LINE_KEPT_BYTES],
            line_bytes: 0,
            last: 0,
            is_target_long: false,
        }
    }
}

impl HeadMeter {
    /// Looks at the next bytes.
    ///
    /// # Errors
    /// Where the first byte lies that must not be passed on.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), usize> {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            match &mut self.part {
                Part::Body { left } | Part::Chunk { left } => {
                    let n = (*left).min(rest.len() as u64);
                    *left -= n;
                    at += n as usize;
                    if *left == 0 {
                        self.part = if matches!(self.part, Part::Body { .. }) { Part::Request } else { Part::ChunkEnd };
                    }
                }
                Part::Broken => return Err(at),
                _ => {
                    let end = rest.iter().position(|&byte| byte == b'\n');
                    if self.part == Part::Request {
                        let room = limits::TARGET_BYTES_MAX - self.line_bytes;
                        if end.unwrap_or(rest.len()) > room {
                            self.keep(&rest[..room]);
                            self.is_target_long = self.line.contains(&b' ');
                            self.part = Part::Broken;
                            return Err(at + room);
                        }
                    }
                    self.keep(&rest[..end.unwrap_or(rest.len())]);
                    let Some(end) = end else { return Ok(()) };
                    at += end;
                    match self.line() {
                        Some(part) => (self.part, self.line_bytes, self.last) = (part, 0, 0),
                        None => {
                            self.part = Part::Broken;
                            return Err(at);
                        }
                    }
                    at += 1;
                }
            }
        }
        Ok(())
    }

    /// Whether the fault is a target that is too long.
    pub fn is_target_long(&self) -> bool {
        self.is_target_long
    }

    fn keep(&mut self, bytes: &[u8]) {
        if let Some(room) = self.line.get_mut(self.line_bytes..) {
            let n = room.len().min(bytes.len());
            room[..n].copy_from_slice(&bytes[..n]);
        }
        self.line_bytes = self.line_bytes.saturating_add(bytes.len());
        self.last = bytes.last().copied().unwrap_or(self.last);
    }

    /// A line has ended; what comes next, or nothing if it must be refused.
    fn line(&mut self) -> Option<Part> {
        if self.last != b'\r' {
            return None;
        }
        let bytes = self.line_bytes - 1;
        let kept = &self.line[..bytes.min(LINE_KEPT_BYTES)];
        let is_whole = bytes <= LINE_KEPT_BYTES;
        match self.part {
            // blank lines before a request are skipped, as RFC 9112 (2.2) has it
            Part::Request if bytes == 0 => Some(Part::Request),
            Part::Request => {
                self.lengths = Lengths::default();
                Some(Part::Fields)
            }
            Part::Fields if bytes == 0 => Some(match self.lengths {
                Lengths { chunked: true, .. } => Part::Size,
                Lengths { content: Some(left @ 1..), .. } => Part::Body { left },
                _ => Part::Request,
            }),
            Part::Fields => self.lengths.field(kept, is_whole).then_some(Part::Fields),
            Part::Size => Some(match chunk_size(kept)? {
                0 => Part::Trailers,
                left => Part::Chunk { left },
            }),
            Part::ChunkEnd => (bytes == 0).then_some(Part::Size),
            Part::Trailers if bytes == 0 => Some(Part::Request),
            Part::Trailers => (!is_folded(kept)).then_some(Part::Trailers),
            Part::Body { .. } | Part::Chunk { .. } | Part::Broken => None,
        }
    }
}

impl Lengths {
    /// Takes a header line; `false` if it must be refused.
    fn field(&mut self, line: &[u8], is_whole: bool) -> bool {
        if is_folded(line) {
            return false;
        }
        let name_bytes = line.iter().position(|&byte| byte == b':').unwrap_or(line.len());
        let (name, value) = line.split_at(name_bytes);
        let is_content = name.eq_ignore_ascii_case(b"content-length");
        if !is_content && !name.eq_ignore_ascii_case(b"transfer-encoding") {
            return true;
        }
        if !is_whole || self.chunked || self.content.is_some() {
            return false;
        }
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if is_content {
            self.content = decimal(value);
            return self.content.is_some();
        }
        self.chunked = value.eq_ignore_ascii_case(b"chunked");
        self.chunked
    }
}

fn is_folded(line: &[u8]) -> bool {
    matches!(line.first(), Some(b' ' | b'\t'))
}

fn decimal(digits: &[u8]) -> Option<u64> {
    let is_plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    is_plain.then(|| std::str::from_utf8(digits).ok()?.parse().ok())?
}

/// The size of a chunk, extensions left aside.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
    let (digits, rest) = line.split_at(digits);
    if digits.is_empty() || !matches!(rest.first(), None | Some(b' ' | b'\t' | b';')) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the fault is, whatever the cuts (invariant 3); `None` if there is none.
    fn verdict(bytes: &[u8]) -> Option<usize> {
        let whole = HeadMeter::default().feed(bytes).err();
        for cut in 0..=bytes.len() {
            let mut meter = HeadMeter::default();
            let (a, b) = bytes.split_at(cut);
            let fault = meter.feed(a).err().or_else(|| meter.feed(b).err().map(|at| cut + at));
            assert_eq!(fault, whole, "cut at {cut}");
        }
        let mut meter = HeadMeter::default();
        let one_by_one = bytes.iter().position(|byte| meter.feed(&[*byte]).is_err());
        assert_eq!(one_by_one, whole);
        whole
    }

    /// T29: what is framed beyond doubt passes, one message after the other.
    #[test]
    fn plain_messages_pass() {
        let get = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
        let sized = "POST / HTTP/1.1\r\nContent-LENGTH:  11 \r\nhost: x\r\n\r\na\nb\r\n\r\n c: d";
        let empty = "\r\n\r\nPOST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n";
        let chunked = "POST / HTTP/1.1\r\ntransfer-encoding: Chunked\r\n\r\n3\r\na\nb\r\n0A ;x=y\r\n0123456789\r\n\
                       000\r\ntrailer: t\r\n\r\n";
        let long = format!("POST / HTTP/1.1\r\na: {}\r\ncontent-length: 2\r\n\r\n\n\n", "b".repeat(300));
        for message in [get, sized, empty, chunked, &long] {
            assert_eq!(verdict(message.as_bytes()), None, "{message}");
        }
        assert_eq!(verdict([get, sized, empty, chunked, &long, get].concat().as_bytes()), None);
    }

    /// T29: what two servers could read in two ways is found before its head is over.
    #[test]
    fn ambiguous_messages_are_refused() {
        let heads = [
            "content-length: 1\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding: chunked\r\ncontent-length: 1\r\n",
            "content-length: 1\r\nx: y\r\nContent-Length: 1\r\n",
            "content-length: 1\r\ncontent-length: 2\r\n",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding: gzip, chunked\r\n",
            "transfer-encoding: chunked, gzip\r\n",
            "transfer-encoding: identity\r\n",
            "transfer-encoding: \x0bchunked\r\n",
            "content-length: +1\r\n",
            "content-length: -1\r\n",
            "content-length: 1, 1\r\n",
            "content-length: 0x1\r\n",
            "content-length: \r\n",
            "content-length\r\n",
            "content-length: 18446744073709551616\r\n",
            "content-length:                                                                     1\r\n",
            "x: y\r\n z\r\n",
            "x: y\r\n\tz\r\n",
            "x: y\n",
            "x: y\n\r\n",
            "x: y\r\n\n",
            "content-length: 1\n",
        ];
        for head in heads {
            let message = format!("POST / HTTP/1.1\r\n{head}\r\nx");
            let at = verdict(message.as_bytes()).unwrap_or_else(|| panic!("{head:?}"));
            assert!(at < message.len() - 1, "{head:?}: before the head is over");
            assert_eq!(message.as_bytes()[at], b'\n');
        }
        assert!(verdict(b"POST / HTTP/1.1\nhost: x\r\n\r\n").is_some());
        assert!(verdict(b"\nPOST / HTTP/1.1\r\n\r\n").is_some());
    }

    /// A request line ends within its bytes, or is refused at the first one beyond; a long method is no long target.
    #[test]
    fn long_targets_are_refused() {
        let line = |bytes: usize| {
            let (start, end) = ("GET /", " HTTP/1.1\r");
            format!("{start}{}{end}\nhost: x\r\n\r\n", "x".repeat(bytes - start.len() - end.len()))
        };
        for (bytes, fault) in [
            (20, None),
            (limits::TARGET_BYTES_MAX, None),
            (limits::TARGET_BYTES_MAX + 1, Some(limits::TARGET_BYTES_MAX)),
            (100_000, Some(limits::TARGET_BYTES_MAX)),
        ] {
            for (before, piece) in [("", 1), ("", 7), ("", 200_000), ("GET / HTTP/1.1\r\n\r\n", 200_000)] {
                let mut meter = HeadMeter::default();
                let message = format!("{before}{}", line(bytes));
                let mut pieces = message.as_bytes().chunks(piece).enumerate();
                let found = pieces.find_map(|(index, part)| meter.feed(part).err().map(|at| index * piece + at));
                assert_eq!(found, fault.map(|at| at + before.len()), "{bytes} bytes in pieces of {piece}");
                assert_eq!(meter.is_target_long(), fault.is_some());
            }
        }
        let mut meter = HeadMeter::default();
        assert_eq!(meter.feed("x".repeat(100_000).as_bytes()), Err(limits::TARGET_BYTES_MAX));
        assert!(!meter.is_target_long());
    }

    #[test]
    fn ambiguous_chunks_are_refused() {
        for body in [
            "1\nx\r\n0\r\n\r\n",
            "1\r\nx\n0\r\n\r\n",
            "1\r\nxy\r\n0\r\n\r\n",
            "\r\n",
            "x\r\n",
            "-1\r\n",
            "0x1\r\n",
            "1g\r\n",
            "10000000000000000\r\n",
            "0\r\na: b\n\r\n",
            "0\r\n\n",
            "0\r\n a: b\r\n\r\n",
        ] {
            let message = format!("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n{body}");
            assert!(verdict(message.as_bytes()).is_some(), "{body:?}");
        }
    }

    /// What is broken stays broken.
    #[test]
    fn nothing_passes_behind_a_fault() {
        let mut meter = HeadMeter::default();
        assert_eq!(meter.feed(b"GET / HTTP/1.1\n"), Err(14));
        assert_eq!(meter.feed(b"GET / HTTP/1.1\r\n\r\n"), Err(0));
        assert_eq!(meter.feed(b""), Ok(()));
    }
}
