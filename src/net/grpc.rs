//! The words of gRPC over HTTP/2: the five-byte prefix, `grpc-timeout`, `grpc-message`, binary metadata.
//!
//! Pure text and bytes; does not know services or sessions. Source: grpc/doc/PROTOCOL-HTTP2.md.

use std::fmt::Write as _;

/// Bytes before each message: a flag and a big-endian length.
pub const PREFIX_BYTES: usize = 5;
/// An answer of zero bytes, with its prefix.
pub const EMPTY_MESSAGE: &[u8] = &[0; PREFIX_BYTES];

/// The codes that doors give (google.rpc.Code).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Code {
    Ok = 0,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
}

/// One message as it stands behind its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// Whether the message is compressed with `grpc-encoding`.
    pub compressed: bool,
    /// Bytes of the message.
    pub length: u32,
}

/// Reads the prefix, `None` when the flag is neither 0 nor 1.
pub fn prefix(bytes: [u8; PREFIX_BYTES]) -> Option<Prefix> {
    let [flag, length @ ..] = bytes;
    (flag <= 1).then_some(Prefix { compressed: flag == 1, length: u32::from_be_bytes(length) })
}

/// `grpc-timeout` in nanoseconds: up to eight digits and a unit of `HMSmun`. `None` when it is not that.
pub fn timeout_ns(word: &[u8]) -> Option<u64> {
    let (unit, digits) = word.split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    let unit_ns: u64 = match unit {
        b'H' => 3_600_000_000_000,
        b'M' => 60_000_000_000,
        b'S' => 1_000_000_000,
        b'm' => 1_000_000,
        b'u' => 1_000,
        b'n' => 1,
        _ => return None,
    };
    Some(value.saturating_mul(unit_ns))
}

/// `grpc-message`: all but printable ASCII, and the percent sign, as `%XX`.
pub fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' => encoded.push_str("%25"),
            b' '..=b'~' => encoded.push(char::from(byte)),
            // writing into a String cannot fail
            _ => drop(write!(encoded, "%{byte:02X}")),
        }
    }
    encoded
}

/// Binary metadata (`…-bin`): base64 without padding.
pub fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let mut bits = 0u32;
        for index in 0..3 {
            bits = bits << 8 | u32::from(group.get(index).copied().unwrap_or(0));
        }
        for index in 0..=group.len() {
            encoded.push(char::from(ALPHABET[(bits >> (18 - 6 * index)) as usize & 63]));
        }
    }
    encoded
}

/// Whether a content type is gRPC with protobuf messages: `application/grpc`, `application/grpc+proto`, parameters
/// and case tolerated.
pub fn is_grpc(content_type: &[u8]) -> bool {
    let word = media_type(content_type);
    word.eq_ignore_ascii_case(b"application/grpc") || word.eq_ignore_ascii_case(b"application/grpc+proto")
}

/// A content type without its parameters.
pub fn media_type(content_type: &[u8]) -> &[u8] {
    let end = content_type.iter().position(|&byte| byte == b';').unwrap_or(content_type.len());
    content_type[..end].trim_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R25: units, their limits, and what is no timeout.
    #[test]
    fn timeouts() {
        let table: [(&[u8], Option<u64>); 10] = [
            (b"1H", Some(3_600_000_000_000)),
            (b"2M", Some(120_000_000_000)),
            (b"3S", Some(3_000_000_000)),
            (b"99999999m", Some(99_999_999_000_000)),
            (b"7u", Some(7_000)),
            (b"0n", Some(0)),
            (b"100000000n", None),
            (b"S", None),
            (b"1s", None),
            (b"-1S", None),
        ];
        for (word, expected) in table {
            assert_eq!(timeout_ns(word), expected, "{word:?}");
        }
    }

    /// R25: grpc-message is printable ASCII whatever the text.
    #[test]
    fn messages_are_percent_encoded() {
        assert_eq!(percent_encode("100% of \u{fc}\n"), "100%25 of %C3%BC%0A");
    }

    #[test]
    fn base64_has_no_padding() {
        for (bytes, expected) in [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg")] {
            assert_eq!(base64(bytes.as_bytes()), expected);
        }
    }

    /// R13, R15: parameters and case are tolerated, other codecs are not.
    #[test]
    fn content_types() {
        for word in ["application/grpc", "Application/GRPC+proto; a=b", "application/grpc;x"] {
            assert!(is_grpc(word.as_bytes()), "{word}");
        }
        for word in ["application/grpc+json", "application/grpc-web", "application/grpcx", "application/x-protobuf", ""]
        {
            assert!(!is_grpc(word.as_bytes()), "{word}");
        }
    }
}
