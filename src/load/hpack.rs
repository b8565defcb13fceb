//! HPACK (RFC 7541), the reading half: header blocks of the other side, dynamic table and Huffman code included.
//!
//! Deliberately does not know frames or what headers mean; what this room sends are literals, and one block that repeats.
//! Invariants: 1. the dynamic table never exceeds [`TABLE_BYTES`]; 2. hostile blocks give an error, never a panic.
//! Bounds: table 4,096 bytes (RFC 7541 section 4.1 counts 32 more for each entry), strings 64 KiB.

use std::collections::VecDeque;

/// Bytes of the dynamic table, the protocol's default.
pub(crate) const TABLE_BYTES: usize = 4_096;
const STRING_BYTES_MAX: usize = 64 * 1024;
const ENTRY_OVERHEAD_BYTES: usize = 32;

/// Code lengths of all symbols (RFC 7541 appendix B) as characters from `<` = 0; the code is canonical, so lengths
/// are all there is to know. The last one is the end-of-string symbol.
const HUFFMAN_LENGTHS: &[u8; 257] = b"ISXXXXXXXTZXXZXXXXXXXXZXXXXXXXXXBFFHIBDGFFDGDBBBAAABBBBBBBCDKBHFIBCCCCCCCCCCCCC\
CCCCCCCCCDCDIOIJBKABABABBBACCBBBABCBAABCCCCCKGJIXPRPPRRRSRSSSSSTSTTRSTSSSSQRSRSSTRQPRRSSQSRRTQRSSQQRQSRSSPRRRSRRSVVPORSRU\
VVVWWVTUOQVWWVWTQQVVXWWWPTPQRQQSRRUUTTVSVWVVWWWWWXWWWWWVZ";
const LENGTH_MAX: usize = 30;

/// A decoder's state for one direction of one connection.
pub(crate) struct Decoder {
    dynamic: VecDeque<(Vec<u8>, Vec<u8>)>,
    dynamic_bytes: usize,
    limit_bytes: usize,
    /// By length: first code, index of its symbol in `symbols`.
    first: [(u32, usize); LENGTH_MAX + 2],
    symbols: Vec<u16>,
}

impl Default for Decoder {
    fn default() -> Self {
        let mut symbols: Vec<u16> = (0..257).collect();
        let length = |symbol: u16| usize::from(HUFFMAN_LENGTHS[usize::from(symbol)] - b'<');
        symbols.sort_by_key(|&symbol| (length(symbol), symbol));
        let mut first = [(0, 0); LENGTH_MAX + 2];
        let (mut code, mut index) = (0_u32, 0);
        for (bits, slot) in first.iter_mut().enumerate() {
            code <<= 1;
            *slot = (code, index);
            let of_this = symbols[index..].iter().take_while(|&&symbol| length(symbol) == bits).count();
            code += of_this as u32;
            index += of_this;
        }
        Decoder { dynamic: VecDeque::new(), dynamic_bytes: 0, limit_bytes: TABLE_BYTES, first, symbols }
    }
}

impl Decoder {
    /// Reads one whole header block and shows each field.
    pub(crate) fn decode(&mut self, mut block: &[u8], mut field: impl FnMut(&[u8], &[u8])) -> Result<(), &'static str> {
        while let Some(&byte) = block.first() {
            if byte & 0x80 != 0 {
                let index = integer(&mut block, 7)?;
                let (name, value) = self.entry(index)?;
                field(name, value);
            } else if byte & 0xe0 == 0x20 {
                let limit = integer(&mut block, 5)?;
                if limit > TABLE_BYTES {
                    return Err("HPACK table size above what was allowed");
                }
                self.limit_bytes = limit;
                self.evict(0);
            } else {
                let keep = byte & 0x40 != 0;
                let index = integer(&mut block, if keep { 6 } else { 4 })?;
                let name = if index == 0 { self.string(&mut block)? } else { self.entry(index)?.0.to_vec() };
                let value = self.string(&mut block)?;
                field(&name, &value);
                if keep {
                    self.keep(name, value);
                }
            }
        }
        Ok(())
    }

    fn entry(&self, index: usize) -> Result<(&[u8], &[u8]), &'static str> {
        if let Some((name, value)) = index.checked_sub(1).and_then(|index| STATIC.get(index)) {
            return Ok((name.as_bytes(), value.as_bytes()));
        }
        let entry = index.checked_sub(STATIC.len() + 1).and_then(|index| self.dynamic.get(index));
        entry.map(|(name, value)| (&name[..], &value[..])).ok_or("HPACK index outside the tables")
    }

    fn keep(&mut self, name: Vec<u8>, value: Vec<u8>) {
        let bytes = name.len() + value.len() + ENTRY_OVERHEAD_BYTES;
        self.evict(bytes);
        if bytes <= self.limit_bytes {
            self.dynamic_bytes += bytes;
            self.dynamic.push_front((name, value));
        }
    }

    /// Makes room for `bytes`.
    fn evict(&mut self, bytes: usize) {
        while self.dynamic_bytes + bytes > self.limit_bytes {
            let Some((name, value)) = self.dynamic.pop_back() else { return };
            self.dynamic_bytes -= name.len() + value.len() + ENTRY_OVERHEAD_BYTES;
        }
    }

    fn string(&self, block: &mut &[u8]) -> Result<Vec<u8>, &'static str> {
        let huffman = block.first().ok_or("HPACK string is missing")? & 0x80 != 0;
        let bytes = integer(block, 7)?;
        if bytes > STRING_BYTES_MAX || bytes > block.len() {
            return Err("HPACK string is longer than its block");
        }
        let (string, rest) = block.split_at(bytes);
        *block = rest;
        if huffman { self.huffman(string) } else { Ok(string.to_vec()) }
    }

    fn huffman(&self, bytes: &[u8]) -> Result<Vec<u8>, &'static str> {
        let mut out = Vec::with_capacity(bytes.len() * 8 / 5);
        let (mut code, mut bits) = (0_u32, 0);
        for bit in bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| u32::from(byte >> bit & 1))) {
            code = code << 1 | bit;
            bits += 1;
            if bits > LENGTH_MAX {
                return Err("HPACK Huffman code is not in the table");
            }
            let (first, index) = self.first[bits];
            let (_, next_index) = self.first[bits + 1];
            let at = index + code.wrapping_sub(first) as usize;
            if code >= first && at < next_index {
                let symbol = self.symbols[at];
                out.push(u8::try_from(symbol).map_err(|_| "HPACK string holds the end symbol")?);
                (code, bits) = (0, 0);
            }
        }
        if bits > 7 || code != (1 << bits) - 1 { Err("HPACK string is padded wrongly") } else { Ok(out) }
    }
}

/// An integer with a prefix of `bits` bits (RFC 7541 section 5.1).
fn integer(block: &mut &[u8], bits: u32) -> Result<usize, &'static str> {
    let (&byte, mut rest) = block.split_first().ok_or("HPACK integer is missing")?;
    let mask = (1_usize << bits) - 1;
    let mut value = usize::from(byte) & mask;
    if value == mask {
        for shift in 0.. {
            if shift > 3 {
                return Err("HPACK integer is too large");
            }
            let (&more, after) = rest.split_first().ok_or("HPACK integer is cut off")?;
            rest = after;
            value += usize::from(more & 127) << (7 * shift);
            if more & 128 == 0 {
                break;
            }
        }
    }
    *block = rest;
    Ok(value)
}

/// The header block of calls that all have the same fields, as SDKs send it: whole the first time, for the server's
/// table, and from then on a byte a field (RFC 7541 sections 6.1 and 6.2.1).
pub(crate) struct Repeated {
    fields: Vec<(&'static str, String)>,
    /// Bytes that the fields take in the server's table.
    table_bytes: usize,
    entered: bool,
    refused: bool,
    block: Vec<u8>,
}

impl Repeated {
    /// A block of these fields, at most 64.
    pub(crate) fn new(fields: Vec<(&'static str, String)>) -> Repeated {
        assert!(fields.len() <= 64, "an index takes one byte");
        let table_bytes = fields.iter().map(|(name, value)| name.len() + value.len() + ENTRY_OVERHEAD_BYTES).sum();
        Repeated { fields, table_bytes, entered: false, refused: false, block: Vec::new() }
    }

    /// The server keeps a table of so many bytes.
    pub(crate) fn table(&mut self, bytes: usize) {
        if bytes < self.table_bytes && !self.refused {
            // the table is given up: emptied with the next block, and never used again (section 6.3)
            (self.refused, self.entered) = (true, false);
            self.block = vec![0x20];
            self.put(0x00);
        }
    }

    /// The block of the next call.
    pub(crate) fn next(&mut self) -> &[u8] {
        match (self.refused, self.entered) {
            (true, true) => {
                self.block.clear();
                self.put(0x00);
            }
            (true, false) => self.entered = true,
            (false, false) => {
                self.entered = true;
                self.put(0x40);
                return &self.block;
            }
            (false, true) if self.block.len() != self.fields.len() => {
                // the last field that went in is the first of the table, which begins behind 61 fixed ones
                self.block = (0..self.fields.len()).rev().map(|at| 0x80 | (62 + at) as u8).collect();
            }
            (false, true) => {}
        }
        &self.block
    }

    fn put(&mut self, kind: u8) {
        for (name, value) in &self.fields {
            field(&mut self.block, kind, name, value);
        }
    }
}

/// Appends a literal field without indexing and without Huffman coding: what every decoder must take.
pub(crate) fn literal(out: &mut Vec<u8>, name: &str, value: &str) {
    field(out, 0x00, name, value);
}

/// A literal with a new name: `kind` 0x00 leaves the table alone, 0x40 enters it.
fn field(out: &mut Vec<u8>, kind: u8, name: &str, value: &str) {
    out.push(kind);
    for string in [name, value] {
        // Lengths from 127 on need a second byte and more (RFC 7541 section 5.1).
        if string.len() < 127 {
            out.push(string.len() as u8);
        } else {
            out.push(127);
            super::bytes::varint(out, string.len() as u64 - 127);
        }
        out.extend_from_slice(string.as_bytes());
    }
}

/// RFC 7541 appendix A.
#[rustfmt::skip]
const STATIC: [(&str, &str); 61] = [
    (":authority", ""), (":method", "GET"), (":method", "POST"), (":path", "/"), (":path", "/index.html"),
    (":scheme", "http"), (":scheme", "https"), (":status", "200"), (":status", "204"), (":status", "206"),
    (":status", "304"), (":status", "400"), (":status", "404"), (":status", "500"), ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"), ("accept-language", ""), ("accept-ranges", ""), ("accept", ""),
    ("access-control-allow-origin", ""), ("age", ""), ("allow", ""), ("authorization", ""), ("cache-control", ""),
    ("content-disposition", ""), ("content-encoding", ""), ("content-language", ""), ("content-length", ""),
    ("content-location", ""), ("content-range", ""), ("content-type", ""), ("cookie", ""), ("date", ""), ("etag", ""),
    ("expect", ""), ("expires", ""), ("from", ""), ("host", ""), ("if-match", ""), ("if-modified-since", ""),
    ("if-none-match", ""), ("if-range", ""), ("if-unmodified-since", ""), ("last-modified", ""), ("link", ""),
    ("location", ""), ("max-forwards", ""), ("proxy-authenticate", ""), ("proxy-authorization", ""), ("range", ""),
    ("referer", ""), ("refresh", ""), ("retry-after", ""), ("server", ""), ("set-cookie", ""),
    ("strict-transport-security", ""), ("transfer-encoding", ""), ("user-agent", ""), ("vary", ""), ("via", ""),
    ("www-authenticate", ""),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(decoder: &mut Decoder, hex: &str) -> Result<Vec<String>, &'static str> {
        let hex: Vec<char> = hex.chars().filter(|c| !c.is_whitespace()).collect();
        let block: Vec<u8> =
            hex.chunks(2).map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap()).collect();
        let mut out = Vec::new();
        decoder.decode(&block, |name, value| {
            out.push(format!("{}: {}", String::from_utf8_lossy(name), String::from_utf8_lossy(value)));
        })?;
        Ok(out)
    }

    #[test]
    fn examples_of_rfc_7541_c4() {
        let mut decoder = Decoder::default();
        let first = fields(&mut decoder, "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff").unwrap();
        assert_eq!(first, [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"]);
        let second = fields(&mut decoder, "8286 84be 5886 a8eb 1064 9cbf").unwrap();
        assert_eq!(second[3..], [":authority: www.example.com", "cache-control: no-cache"]);
        let third = fields(&mut decoder, "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf").unwrap();
        assert_eq!(third[3..], [":authority: www.example.com", "custom-key: custom-value"]);
    }

    #[test]
    fn literals_come_back() {
        let mut block = Vec::new();
        let long = "x".repeat(300);
        literal(&mut block, "grpc-status", "0");
        literal(&mut block, "long", &long);
        let mut seen = Vec::new();
        let keep = |name: &[u8], value: &[u8]| seen.push((name.to_vec(), value.to_vec()));
        Decoder::default().decode(&block, keep).unwrap();
        assert_eq!(seen, [(b"grpc-status".to_vec(), b"0".to_vec()), (b"long".to_vec(), long.into_bytes())]);
    }

    #[test]
    fn a_repeated_block_shrinks_to_a_byte_a_field_unless_the_table_is_too_small() {
        let all = [(":method", "POST"), (":path", "/here"), ("te", "trailers")];
        let owned = || all.iter().map(|(name, value)| (*name, value.to_string())).collect();
        let wanted: Vec<String> = all.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let read = |decoder: &mut Decoder, block: &[u8]| {
            let hex: String = block.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(fields(decoder, &hex).unwrap(), wanted);
            block.len()
        };
        let (mut block, mut decoder) = (Repeated::new(owned()), Decoder::default());
        let whole = read(&mut decoder, block.next());
        assert!(whole > 30);
        assert_eq!([read(&mut decoder, block.next()), read(&mut decoder, block.next())], [3, 3]);
        // the server gives its table up while we use it
        block.table(64);
        assert_eq!(read(&mut decoder, block.next()), whole + 1);
        assert_eq!(read(&mut decoder, block.next()), whole);
        let (mut small, mut decoder) = (Repeated::new(owned()), Decoder::default());
        small.table(100);
        assert_eq!([read(&mut decoder, small.next()), read(&mut decoder, small.next())], [whole + 1, whole]);
    }

    #[test]
    fn hostile_blocks_are_errors() {
        for bad in ["80", "ff", "ffffffffff7f", "c0", "00", "0005", "3fe2ff03", "0081ff81ff", "008400000000"] {
            assert!(fields(&mut Decoder::default(), bad).is_err(), "{bad}");
        }
    }
}
