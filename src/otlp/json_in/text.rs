//! A cursor over JSON text: white space, strings and their escapes, numbers, literals, values nobody wants (RFC 8259).
//!
//! Does not know messages. Invariants: 1. the cursor only moves forward, and never past the end; 2. a string that was
//! read is UTF-8, and so is what its escapes stand for; 3. nothing here recurses or allocates.

use super::fault::JsonFaultKind as K;
use crate::limits::{JSON_NUMBER_BYTES_MAX, WIRE_DEPTH_MAX};

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Where the next quote, backslash or control byte is, from `at` on; and whether a byte beyond ASCII lies before it.
/// The end of the text counts as one.
#[inline]
pub(super) fn stretch(bytes: &[u8], mut at: usize) -> (usize, bool) {
    let mut wide = 0;
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*chunk);
        // the lowest byte marked by each of the three is a true one: borrows only run upwards
        let zero = |word: u64| word.wrapping_sub(ONES) & !word;
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let stops = (zero(word ^ (ONES * 0x22)) | zero(word ^ (ONES * 0x5c)) | control) & HIGHS;
        if stops != 0 {
            let bits = stops.trailing_zeros() & !7;
            wide |= word & HIGHS & ((1 << bits) - 1);
            return (at + bits as usize / 8, wide != 0);
        }
        wide |= word & HIGHS;
        at += 8;
    }
    while let Some(byte) = bytes.get(at)
        && !matches!(byte, b'"' | b'\\' | 0..0x20)
    {
        wide |= u64::from(byte & 0x80);
        at += 1;
    }
    (at, wide != 0)
}

/// What stands between two quotes.
#[derive(Clone, Copy)]
pub(super) struct Raw<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) has_escapes: bool,
}

pub(super) struct Cursor<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Cursor<'a> {
    /// The next byte that is no white space, not taken.
    #[inline]
    pub(super) fn peek(&mut self) -> Option<u8> {
        while let Some(&byte) = self.bytes.get(self.at) {
            if byte > b' ' || !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Takes `byte`, behind white space.
    #[inline]
    pub(super) fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), K> {
        match self.peek() {
            Some(next) if next == byte => self.at += 1,
            Some(_) => return Err(K::Syntax(what)),
            None => return Err(K::Ended),
        }
        Ok(())
    }

    /// Takes `word` if it is next.
    pub(super) fn literal(&mut self, word: &[u8]) -> bool {
        let is_next = self.rest().starts_with(word);
        self.at += if is_next { word.len() } else { 0 };
        is_next
    }

    /// The string whose opening quote is next.
    #[inline]
    pub(super) fn string(&mut self) -> Result<Raw<'a>, K> {
        let begin = self.at + 1;
        let (mut end, mut wide) = stretch(self.bytes, begin);
        let mut has_escapes = false;
        loop {
            match self.bytes.get(end) {
                Some(b'"') => break,
                // what follows the backslash is judged by `unescape`
                Some(b'\\') => {
                    has_escapes = true;
                    let (next, more) = stretch(self.bytes, end + 2);
                    (end, wide) = (next, wide | more);
                }
                Some(_) => {
                    self.at = end;
                    return Err(K::Control);
                }
                None => {
                    self.at = self.bytes.len();
                    return Err(K::Ended);
                }
            }
        }
        let bytes = &self.bytes[begin..end];
        if wide && std::str::from_utf8(bytes).is_err() {
            return Err(K::NotUtf8);
        }
        self.at = end + 1;
        Ok(Raw { bytes, has_escapes })
    }

    /// A key and its colon.
    #[inline]
    pub(super) fn key(&mut self) -> Result<Raw<'a>, K> {
        match self.peek() {
            Some(b'"') => {}
            Some(_) => return Err(K::Syntax("a key in quotes is expected")),
            None => return Err(K::Ended),
        }
        let key = self.string()?;
        self.expect(b':', "a colon is expected")?;
        Ok(key)
    }

    /// A number, as it is spelt.
    pub(super) fn number(&mut self) -> Result<&'a [u8], K> {
        let end = number_end(self.bytes, self.at)?;
        let text = &self.bytes[self.at..end];
        self.at = end;
        Ok(text)
    }

    /// Passes a value of any kind, checked.
    pub(super) fn skip(&mut self) -> Result<(), K> {
        // a bit for each level begun here, 1 for an object
        let (mut kinds, mut depth) = (0u64, 0);
        loop {
            let begun = match self.peek() {
                Some(b'{') => Some((1, b'}')),
                Some(b'[') => Some((0, b']')),
                Some(_) => None,
                None => return Err(K::Ended),
            };
            if let Some((kind, end)) = begun {
                if depth >= WIRE_DEPTH_MAX {
                    return Err(K::TooDeep);
                }
                self.at += 1;
                if self.peek() == Some(end) {
                    self.at += 1;
                } else {
                    (kinds, depth) = (kinds << 1 | kind, depth + 1);
                    if kind == 1 {
                        self.skip_key()?;
                    }
                    continue;
                }
            } else {
                self.skip_scalar()?;
            }
            // behind a value
            loop {
                if depth == 0 {
                    return Ok(());
                }
                match self.peek() {
                    Some(b',') => {
                        self.at += 1;
                        if kinds & 1 == 1 {
                            self.skip_key()?;
                        }
                        break;
                    }
                    Some(end) if end == if kinds & 1 == 1 { b'}' } else { b']' } => {
                        self.at += 1;
                        (kinds, depth) = (kinds >> 1, depth - 1);
                    }
                    Some(_) => return Err(K::Syntax("a comma or the end of the value is expected")),
                    None => return Err(K::Ended),
                }
            }
        }
    }

    fn skip_key(&mut self) -> Result<(), K> {
        let key = self.key()?;
        if key.has_escapes { unescape(key.bytes, |_| ()) } else { Ok(()) }
    }

    fn skip_scalar(&mut self) -> Result<(), K> {
        match self.peek() {
            Some(b'"') => {
                let text = self.string()?;
                if text.has_escapes { unescape(text.bytes, |_| ()) } else { Ok(()) }
            }
            Some(b'-' | b'0'..=b'9') => self.number().map(drop),
            _ if self.literal(b"true") || self.literal(b"false") || self.literal(b"null") => Ok(()),
            _ => Err(K::Syntax("a value is expected")),
        }
    }
}

/// Gives what a string stands for to `put`, piece by piece.
pub(super) fn unescape(raw: &[u8], mut put: impl FnMut(&[u8])) -> Result<(), K> {
    let mut rest = raw;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        put(&rest[..at]);
        let (letter, after) = rest[at + 1..].split_first().ok_or(K::BadEscape)?;
        rest = after;
        let mut letters = [0; 4];
        let meant: &[u8] = match letter {
            b'"' => b"\"",
            b'\\' => b"\\",
            b'/' => b"/",
            b'b' => b"\x08",
            b'f' => b"\x0c",
            b'n' => b"\n",
            b'r' => b"\r",
            b't' => b"\t",
            b'u' => code_point(&mut rest)?.encode_utf8(&mut letters).as_bytes(),
            _ => return Err(K::BadEscape),
        };
        put(meant);
    }
    put(rest);
    Ok(())
}

/// What `\u` and its digits stand for, the second half of a pair included.
fn code_point(rest: &mut &[u8]) -> Result<char, K> {
    let high = unit(rest)?;
    let code = match high {
        0xd800..0xdc00 => {
            *rest = rest.strip_prefix(b"\\u").ok_or(K::LoneSurrogate)?;
            let low = unit(rest)?.checked_sub(0xdc00).filter(|low| *low < 0x400).ok_or(K::LoneSurrogate)?;
            0x10000 + ((high - 0xd800) << 10) + low
        }
        _ => high,
    };
    char::from_u32(code).ok_or(K::LoneSurrogate)
}

/// Four hexadecimal digits.
fn unit(rest: &mut &[u8]) -> Result<u32, K> {
    let (digits, after) = rest.split_first_chunk::<4>().ok_or(K::BadEscape)?;
    *rest = after;
    digits.iter().try_fold(0, |sum, digit| Some(sum << 4 | char::from(*digit).to_digit(16)?)).ok_or(K::BadEscape)
}

/// Where the number ends that begins at `at`.
pub(super) fn number_end(bytes: &[u8], at: usize) -> Result<usize, K> {
    let digits = |from: usize| {
        let rest = bytes.get(from..).unwrap_or_default();
        from + rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len())
    };
    let wrong = |at: usize| if at < bytes.len() { K::Syntax("a number is expected") } else { K::Ended };
    let begin = at + usize::from(bytes.get(at) == Some(&b'-'));
    let mut end = if bytes.get(begin) == Some(&b'0') { begin + 1 } else { digits(begin) };
    if end == begin {
        return Err(wrong(end));
    }
    if bytes.get(end) == Some(&b'.') {
        let from = end + 1;
        end = digits(from);
        if end == from {
            return Err(wrong(end));
        }
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let from = end + 1 + usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        end = digits(from);
        if end == from {
            return Err(wrong(end));
        }
    }
    if end - at > JSON_NUMBER_BYTES_MAX {
        return Err(K::LongNumber);
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Wherever the stop lies in its word, whatever lies around it.
    #[test]
    fn stretches_end_at_the_first_stop() {
        for length in 0..40 {
            for filler in [b'a', b' ', b'!', b'#', b'[', b']', 0x7f, 0x80, 0xff] {
                for stop in [b'"', b'\\', 0, 0x1f, b'\n'] {
                    for behind in [b'a', b'"', 0xff, 0x21, 0x23, 0x5d] {
                        let mut bytes = vec![filler; length];
                        bytes.push(stop);
                        bytes.resize(length + 12, behind);
                        let wide = filler >= 0x80 && length > 0;
                        assert_eq!(stretch(&bytes, 0), (length, wide), "{bytes:?}");
                    }
                }
                let bytes = vec![filler; length];
                assert_eq!(stretch(&bytes, 0), (length, filler >= 0x80 && length > 0));
            }
        }
    }

    #[test]
    fn numbers_end_where_the_grammar_ends() {
        for (text, end) in [("0", 1), ("-0", 2), ("01", 1), ("10.5e-3,", 7), ("1e5", 3), ("1E+5]", 4), ("7}", 1)] {
            assert_eq!(number_end(text.as_bytes(), 0), Ok(end), "{text}");
        }
        for text in ["", "-", ".5", "+1", "1.", "1.e5", "1e", "1e+", "--1", "x", "NaN"] {
            assert!(number_end(text.as_bytes(), 0).is_err(), "{text}");
        }
        let long = "1".repeat(JSON_NUMBER_BYTES_MAX + 1);
        assert_eq!(number_end(long.as_bytes(), 0), Err(K::LongNumber));
        assert_eq!(number_end(long.as_bytes(), 1), Ok(JSON_NUMBER_BYTES_MAX + 1));
    }
}
