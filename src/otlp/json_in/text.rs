//! JSON text, token by token (RFC 8259), and what strings hold.
//!
//! Does not know fields. The text is UTF-8, which the caller has checked. Errors are words; where is `at`.

type Result<T> = std::result::Result<T, &'static str>;

/// The text and where reading is.
pub(super) struct Text<'t> {
    bytes: &'t [u8],
    at: usize,
}

/// What stands between quotes.
#[derive(Clone, Copy)]
pub(super) struct Raw<'t> {
    pub raw: &'t [u8],
    /// There is a backslash in it.
    pub escaped: bool,
}

/// A scalar: what is written, and whether it is in quotes.
#[derive(Clone, Copy)]
pub(super) struct Token<'t> {
    pub text: &'t [u8],
    pub quoted: bool,
}

const CUT: &str = "the text ends too early";

impl<'t> Text<'t> {
    pub(super) fn new(bytes: &'t [u8]) -> Text<'t> {
        Text { bytes, at: 0 }
    }

    /// The byte that is read next.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Skips white space.
    #[inline]
    pub(super) fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// Skips white space and takes this byte.
    #[inline]
    pub(super) fn expect(&mut self, byte: u8) -> Result<()> {
        self.space();
        match self.peek() {
            Some(found) if found == byte => {
                self.at += 1;
                Ok(())
            }
            Some(_) => Err(match byte {
                b'{' => "an object is expected",
                b'[' => "a list is expected",
                b':' => "a colon is expected",
                b'"' => "a string is expected",
                _ => "another character is expected",
            }),
            None => Err(CUT),
        }
    }

    /// Skips white space; takes this byte if it is there.
    #[inline]
    pub(super) fn is_next(&mut self, byte: u8) -> bool {
        self.space();
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Behind an element: whether another one follows, or the end came.
    #[inline]
    pub(super) fn more(&mut self, end: u8) -> Result<bool> {
        self.space();
        let more = match self.peek() {
            Some(b',') => true,
            Some(byte) if byte == end => false,
            Some(_) => return Err("a comma or the end is expected"),
            None => return Err(CUT),
        };
        self.at += 1;
        Ok(more)
    }

    /// Takes `null` if it is there.
    #[inline]
    pub(super) fn is_null(&mut self) -> Result<bool> {
        self.space();
        if self.peek() != Some(b'n') {
            return Ok(false);
        }
        self.literal(b"null").map(|()| true)
    }

    fn literal(&mut self, word: &[u8]) -> Result<()> {
        if !self.bytes[self.at..].starts_with(word) {
            return Err("true, false, null, a number or a string is expected");
        }
        self.at += word.len();
        Ok(())
    }

    /// A string, quotes taken off, escapes left as they are.
    #[inline]
    pub(super) fn string(&mut self) -> Result<Raw<'t>> {
        self.expect(b'"')?;
        let (start, mut escaped) = (self.at, false);
        loop {
            self.at += plain(&self.bytes[self.at..]);
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.at = (self.at + 2).min(self.bytes.len());
                }
                Some(_) => return Err("a control character in a string: write it as an escape"),
                None => return Err(CUT),
            }
        }
        let raw = &self.bytes[start..self.at];
        self.at += 1;
        Ok(Raw { raw, escaped })
    }

    /// A key, escapes resolved.
    #[inline]
    pub(super) fn key(&mut self) -> Result<std::borrow::Cow<'t, [u8]>> {
        let Raw { raw, escaped } = self.string()?;
        if !escaped {
            return Ok(raw.into());
        }
        let mut key = Vec::new();
        unescape(raw, &mut key)?;
        Ok(key.into())
    }

    /// A number, a truth value, or a string without escapes.
    #[inline]
    pub(super) fn token(&mut self) -> Result<Token<'t>> {
        self.space();
        if self.peek() == Some(b'"') {
            let Raw { raw, escaped } = self.string()?;
            return if escaped { Err("a number is expected") } else { Ok(Token { text: raw, quoted: true }) };
        }
        let start = self.at;
        let word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.');
        while self.peek().is_some_and(word) {
            self.at += 1;
        }
        match &self.bytes[start..self.at] {
            [] if self.peek().is_none() => Err(CUT),
            [] => Err("a number, a truth value or a string is expected"),
            text => Ok(Token { text, quoted: false }),
        }
    }

    /// Skips a string, whose escapes must be right all the same (J9).
    fn skip_string(&mut self) -> Result<()> {
        let Raw { raw, escaped } = self.string()?;
        if escaped { unescape(raw, &mut Vec::new()) } else { Ok(()) }
    }

    /// Skips a value of any kind, nested at most so deep. No stack is used: a bit a level says object or list.
    pub(super) fn skip(&mut self, depth_max: usize) -> Result<()> {
        debug_assert!(depth_max <= 128);
        let (mut objects, mut depth) = (0u128, 0);
        loop {
            self.space();
            match self.peek() {
                None => return Err(CUT),
                Some(b'"') => self.skip_string()?,
                Some(open @ (b'{' | b'[')) => {
                    if depth == depth_max {
                        return Err("nested too deep: 64 levels are taken");
                    }
                    self.at += 1;
                    let is_object = open == b'{';
                    if !self.is_next(if is_object { b'}' } else { b']' }) {
                        depth += 1;
                        objects = objects << 1 | u128::from(is_object);
                        if is_object {
                            self.skip_string()?;
                            self.expect(b':')?;
                        }
                        continue;
                    }
                }
                Some(b't') => self.literal(b"true")?,
                Some(b'f') => self.literal(b"false")?,
                Some(b'n') => self.literal(b"null")?,
                Some(_) => super::numbers::is_number(self.token()?.text).then_some(()).ok_or("no JSON value")?,
            }
            // behind a value: the next one, or the end of what holds it, and of what holds that
            loop {
                if depth == 0 {
                    return Ok(());
                }
                let is_object = objects & 1 == 1;
                if self.more(if is_object { b'}' } else { b']' })? {
                    if is_object {
                        self.space();
                        self.skip_string()?;
                        self.expect(b':')?;
                    }
                    break;
                }
                depth -= 1;
                objects >>= 1;
            }
        }
    }
}

/// Bytes before the first quote, backslash or control character: eight at a time.
#[inline]
fn plain(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let (chunks, rest) = bytes.as_chunks::<8>();
    for (i, chunk) in chunks.iter().enumerate() {
        let word = u64::from_le_bytes(*chunk);
        let zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
        // below 0x20: the subtraction borrows where the byte is smaller and has no high bit
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
        let found = zero(word ^ (ONES * u64::from(b'"'))) | zero(word ^ (ONES * u64::from(b'\\'))) | control;
        if found != 0 {
            // a borrow can mark a byte behind the first found, never one before it
            return i * 8 + found.trailing_zeros() as usize / 8;
        }
    }
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    chunks.len() * 8 + rest.iter().position(special).unwrap_or(rest.len())
}

/// Resolves escapes.
pub(super) fn unescape(raw: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let mut at = 0;
    while let Some(byte) = raw.get(at) {
        at += 1;
        if *byte != b'\\' {
            out.push(*byte);
            continue;
        }
        let escape = raw.get(at).ok_or("an escape is cut off")?;
        at += 1;
        out.push(match escape {
            b'"' | b'\\' | b'/' => *escape,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let first = four(raw, at)?;
                at += 4;
                let code = match first {
                    0xd800..0xdc00 => {
                        let second = match raw.get(at..at + 2) {
                            Some(b"\\u") => four(raw, at + 2)?,
                            _ => return Err("a lone surrogate in a string"),
                        };
                        if !(0xdc00..0xe000).contains(&second) {
                            return Err("a lone surrogate in a string");
                        }
                        at += 6;
                        0x10000 + ((first - 0xd800) << 10 | (second - 0xdc00))
                    }
                    code => code,
                };
                let character = char::from_u32(code).ok_or("a lone surrogate in a string")?;
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            _ => return Err("an escape that JSON does not have"),
        });
    }
    Ok(())
}

fn four(raw: &[u8], at: usize) -> Result<u32> {
    let digits = raw.get(at..at + 4).ok_or("an escape is cut off")?;
    digits.iter().try_fold(0, |code, digit| {
        let digit = char::from(*digit).to_digit(16).ok_or("an escape with a digit that is not hexadecimal")?;
        Ok(code << 4 | digit)
    })
}

/// base64, standard or URL-safe, with padding or without (J3).
pub(super) fn base64(raw: &[u8], out: &mut Vec<u8>) -> Result<()> {
    const BAD: &str = "bytes are base64";
    let padded = raw.iter().rev().take_while(|byte| **byte == b'=').count();
    let digits = &raw[..raw.len() - padded];
    if padded > 2 || padded > 0 && !raw.len().is_multiple_of(4) || digits.len() % 4 == 1 {
        return Err(BAD);
    }
    let (mut word, mut bits) = (0u32, 0);
    for byte in digits {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return Err(BAD),
        };
        word = word << 6 | u32::from(digit);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((word >> bits) as u8);
        }
    }
    Ok(())
}

/// An id in hexadecimal, either case, of so many bytes, or empty (J3).
pub(super) fn hex(raw: &[u8], bytes: usize, out: &mut Vec<u8>) -> Result<()> {
    const BAD: &str = "trace ids are 32 hexadecimal digits, span ids 16";
    if !raw.is_empty() && raw.len() != bytes * 2 {
        return Err(BAD);
    }
    for [high, low] in raw.as_chunks::<2>().0 {
        let digit = |byte: u8| char::from(byte).to_digit(16).ok_or(BAD);
        out.push((digit(*high)? << 4 | digit(*low)?) as u8);
    }
    Ok(())
}
