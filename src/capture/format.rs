//! The file of a capture, written and read.
//!
//! ```text
//!   file    "CATCHCAP" | version u32 = 1 | record …
//!   record  length u32 | CRC-32 u32 | at u64 | door u8 | body, `length` bytes          all little endian
//! ```
//!
//! `body` is the request as the shard applied it: after decompression, without gRPC's prefix. `at` is nanoseconds since
//! the process started, `door` the number of its `Door`. The CRC-32 (that of gzip) covers at, door and body. Records of
//! several shards lie in the order in which they were queued.
//!
//! Invariant: the reader believes no length before it has seen that so many bytes are there, and no record whose CRC is
//! wrong.

use crate::limits::{CAPTURE_FILE_BYTES_MAX, CAPTURE_LIMIT_MIN};
use crate::model::Door;
use crate::problem::{Flaw, Problem};
use std::path::Path;

const MAGIC: [u8; 8] = *b"CATCHCAP";
const VERSION: u32 = 1;
/// Bytes before the first record.
pub const FILE_HEAD_BYTES: usize = 12;
/// Bytes of a record beside its body.
pub const RECORD_HEAD_BYTES: usize = 17;

const _: () = assert!(CAPTURE_LIMIT_MIN > FILE_HEAD_BYTES + RECORD_HEAD_BYTES);

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The door it came by.
    pub door: Door,
    /// Nanoseconds since the recording process started.
    pub at_ns: u64,
    /// The request, not compressed.
    pub body: Vec<u8>,
}

impl Recorded {
    /// Bytes in the file.
    pub const fn bytes(&self) -> usize {
        RECORD_HEAD_BYTES + self.body.len()
    }

    fn crc(&self) -> u32 {
        let mut crc = flate2::Crc::new();
        crc.update(&self.at_ns.to_le_bytes());
        crc.update(&[self.door as u8]);
        crc.update(&self.body);
        crc.sum()
    }

    /// What stands before the body.
    pub(super) fn head(&self) -> [u8; RECORD_HEAD_BYTES] {
        let mut head = [0; RECORD_HEAD_BYTES];
        head[..4].copy_from_slice(&(self.body.len() as u32).to_le_bytes());
        head[4..8].copy_from_slice(&self.crc().to_le_bytes());
        head[8..16].copy_from_slice(&self.at_ns.to_le_bytes());
        head[16] = self.door as u8;
        head
    }
}

/// What stands before the first record.
pub(super) fn file_head() -> [u8; FILE_HEAD_BYTES] {
    let mut head = [0; FILE_HEAD_BYTES];
    head[..8].copy_from_slice(&MAGIC);
    head[8..].copy_from_slice(&VERSION.to_le_bytes());
    head
}

/// A whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capture {
    /// Its requests.
    pub requests: Vec<Recorded>,
    /// Offset of a last record that is not whole: the recording process was killed. What came before it is sound.
    pub torn_at: Option<usize>,
}

/// Reads a file; errors say what is wrong, where, and what to do.
pub fn read(path: &Path) -> Result<Capture, String> {
    read_named(path).map_err(|problem| problem.to_string())
}

/// The same of a file that a user names: one without a request is an error, too.
///
/// # Errors
/// What is wrong with the flag.
pub fn read_asked(path: &Path) -> Result<Capture, Problem> {
    let capture = read_named(path)?;
    if capture.requests.is_empty() {
        return Err(problem(path, "there is no request in it"));
    }
    Ok(capture)
}

fn problem(path: &Path, why: impl Into<String>) -> Problem {
    Problem::new("capture", path.display().to_string(), Flaw::new(why))
}

fn read_named(path: &Path) -> Result<Capture, Problem> {
    let unread = |error| problem(path, crate::files::unread(&error));
    let length = std::fs::metadata(path).map_err(unread)?.len();
    if length > CAPTURE_FILE_BYTES_MAX {
        return Err(problem(path, format!("{length} bytes are more than {CAPTURE_FILE_BYTES_MAX}; record less of it")));
    }
    let bytes = std::fs::read(path).map_err(unread)?;
    parse(&bytes).map_err(|why| problem(path, why))
}

/// Reads what a file holds.
pub fn parse(bytes: &[u8]) -> Result<Capture, String> {
    let Some((head, mut rest)) = bytes.split_first_chunk::<FILE_HEAD_BYTES>() else {
        return Err(format!(
            "{} bytes are too few for a capture; record one with catchment run --capture",
            bytes.len()
        ));
    };
    if head[..8] != MAGIC {
        return Err(
            "this is no capture: it does not begin with CATCHCAP; record one with catchment run --capture".into()
        );
    }
    if head[8..] != VERSION.to_le_bytes() {
        return Err("this capture is of another version; record it again with this catchment".into());
    }
    let mut capture = Capture::default();
    while !rest.is_empty() {
        let at = bytes.len() - rest.len();
        let Some((head, tail)) = rest.split_first_chunk::<RECORD_HEAD_BYTES>() else {
            capture.torn_at = Some(at);
            break;
        };
        let word = |from: usize| u32::from_le_bytes([head[from], head[from + 1], head[from + 2], head[from + 3]]);
        let length = word(0) as usize;
        let door = Door::ALL.into_iter().find(|door| *door as u8 == head[16]);
        let door = door.ok_or_else(|| format!("record at byte {at}: door {} does not exist", head[16]))?;
        let Some((body, tail)) = tail.split_at_checked(length) else {
            capture.torn_at = Some(at);
            break;
        };
        let at_ns = u64::from(word(8)) | u64::from(word(12)) << 32;
        let recorded = Recorded { door, at_ns, body: body.to_vec() };
        if recorded.crc() != word(4) {
            return Err(format!("record at byte {at}: its CRC does not fit, the file is damaged; record it again"));
        }
        capture.requests.push(recorded);
        rest = tail;
    }
    Ok(capture)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<Recorded> {
        let one = |door, at_ns, body: &[u8]| Recorded { door, at_ns, body: body.to_vec() };
        vec![one(Door::OtlpGrpc, 7, b"abc"), one(Door::OtlpHttp, u64::MAX, b""), one(Door::OtlpGrpc, 9, &[0; 999])]
    }

    fn file(requests: &[Recorded]) -> Vec<u8> {
        let mut bytes = file_head().to_vec();
        for request in requests {
            bytes.extend(request.head());
            bytes.extend(&request.body);
        }
        bytes
    }

    /// What is written is read, and a file cut anywhere gives its whole records and says where it is torn.
    #[test]
    fn a_capture_survives_the_file_and_a_torn_end_keeps_what_is_whole() {
        let (all, whole) = (sample(), file(&sample()));
        assert_eq!(parse(&whole).unwrap(), Capture { requests: all.clone(), torn_at: None });
        let mut ends = vec![FILE_HEAD_BYTES];
        all.iter().for_each(|request| ends.push(ends[ends.len() - 1] + request.bytes()));
        for cut in FILE_HEAD_BYTES..whole.len() {
            let got = parse(&whole[..cut]).unwrap();
            let kept = ends.iter().filter(|end| **end <= cut).count() - 1;
            assert_eq!(got.requests, all[..kept], "cut at {cut}");
            assert_eq!(got.torn_at, (ends[kept] != cut).then_some(ends[kept]), "cut at {cut}");
        }
    }

    /// A hostile file is an error with words or a torn end; never a panic, never an allocation of what it claims.
    #[test]
    fn a_hostile_capture_is_refused_with_words() {
        let whole = file(&sample());
        for cut in 0..FILE_HEAD_BYTES {
            assert!(parse(&whole[..cut]).unwrap_err().contains("too few"), "{cut}");
        }
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut bad = whole.clone();
                bad[at] ^= 1 << bit;
                // a changed length may make the end look torn; nothing else goes unnoticed
                match parse(&bad) {
                    Ok(capture) => assert!(capture.torn_at.is_some() && capture.requests.len() < 3, "byte {at}"),
                    Err(words) => assert!(words.contains("capture") || words.contains("record at byte"), "{words}"),
                }
            }
        }
        let mut huge = file_head().to_vec();
        huge.extend([0xff; RECORD_HEAD_BYTES - 1]);
        huge.push(0);
        assert_eq!(parse(&huge).unwrap().torn_at, Some(FILE_HEAD_BYTES), "4 GiB that are not there");
    }
}
