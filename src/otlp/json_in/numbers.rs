//! Numbers and truth values of JSON, as ProtoJSON takes them (J4 to J7).
//!
//! Exact: an integer may be written with a fraction of zeros or an exponent, and is refused if it is none or out of
//! range; nothing goes through a double on the way to an integer.

use super::text::Token;

type Result<T> = std::result::Result<T, &'static str>;

const NOT_INTEGER: &str = "an integer is expected";
const RANGE: &str = "a number out of range";

/// Digits of an integer's exponent that mean something.
const EXPONENT_MAX: i64 = 100_000_000;

/// Whether this is a number as RFC 8259 writes it.
pub(super) fn is_number(text: &[u8]) -> bool {
    split(text).is_some()
}

struct Parts<'t> {
    negative: bool,
    whole: &'t [u8],
    fraction: &'t [u8],
    exponent: &'t [u8],
}

fn split(text: &[u8]) -> Option<Parts<'_>> {
    let negative = text.first() == Some(&b'-');
    let text = &text[usize::from(negative)..];
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (whole, rest) = text.split_at(digits(text));
    if whole.is_empty() || whole.len() > 1 && whole[0] == b'0' {
        return None;
    }
    let (fraction, rest) = match rest {
        [b'.', rest @ ..] => {
            let (fraction, rest) = rest.split_at(digits(rest));
            if fraction.is_empty() {
                return None;
            }
            (fraction, rest)
        }
        rest => (&[][..], rest),
    };
    let exponent = match rest {
        [] => &[][..],
        [b'e' | b'E', exponent @ ..] => {
            let unsigned = exponent.strip_prefix(b"-").or_else(|| exponent.strip_prefix(b"+")).unwrap_or(exponent);
            if unsigned.is_empty() || digits(unsigned) != unsigned.len() {
                return None;
            }
            exponent
        }
        _ => return None,
    };
    Some(Parts { negative, whole, fraction, exponent })
}

/// `true` or `false`.
pub(super) fn truth(token: Token<'_>) -> Result<bool> {
    match (token.text, token.quoted) {
        (b"true", false) => Ok(true),
        (b"false", false) => Ok(false),
        _ => Err("true or false is expected"),
    }
}

/// An integer of at most `max`.
#[inline]
pub(super) fn unsigned(token: Token<'_>, max: u64) -> Result<u64> {
    match integer(token.text)? {
        (true, magnitude) if magnitude > 0 => Err(RANGE),
        (_, magnitude) if magnitude > max => Err(RANGE),
        (_, magnitude) => Ok(magnitude),
    }
}

/// An integer from `min` to `max`.
#[inline]
pub(super) fn signed(token: Token<'_>, min: i64, max: i64) -> Result<i64> {
    let (negative, magnitude) = integer(token.text)?;
    let value = i128::from(magnitude) * if negative { -1 } else { 1 };
    i64::try_from(value).ok().filter(|value| (min..=max).contains(value)).ok_or(RANGE)
}

/// Sign and magnitude.
#[inline]
fn integer(text: &[u8]) -> Result<(bool, u64)> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    // what is nearly always written: up to nineteen digits and nothing else
    if (1..=19).contains(&digits.len()) && (digits[0] != b'0' || digits.len() == 1) {
        let mut magnitude = 0u64;
        if digits.iter().all(|byte| {
            magnitude = magnitude.wrapping_mul(10).wrapping_add(u64::from(byte.wrapping_sub(b'0')));
            byte.is_ascii_digit()
        }) {
            return Ok((negative, magnitude));
        }
    }
    any_integer(text)
}

#[cold]
fn any_integer(text: &[u8]) -> Result<(bool, u64)> {
    let Parts { negative, whole, fraction, exponent } = split(text).ok_or(NOT_INTEGER)?;
    let mut scale = 0i64;
    for byte in exponent.iter().filter(|byte| byte.is_ascii_digit()) {
        scale = (scale * 10 + i64::from(byte - b'0')).min(EXPONENT_MAX);
    }
    if exponent.first() == Some(&b'-') {
        scale = -scale;
    }
    // digits and where the point stands among them
    let point = whole.len() as i64 + scale;
    let (mut magnitude, mut count) = (0u64, 0i64);
    for byte in whole.iter().chain(fraction) {
        let digit = u64::from(byte - b'0');
        if count < point {
            magnitude = magnitude.checked_mul(10).and_then(|m| m.checked_add(digit)).ok_or(RANGE)?;
        } else if digit != 0 {
            return Err(NOT_INTEGER);
        }
        count += 1;
    }
    // zeros that the exponent adds
    while count < point && magnitude != 0 {
        magnitude = magnitude.checked_mul(10).ok_or(RANGE)?;
        count += 1;
    }
    Ok((negative, magnitude))
}

/// A double, or one of the words for what JSON has no number for (J7).
pub(super) fn double(token: Token<'_>) -> Result<f64> {
    match (token.text, token.quoted) {
        (b"NaN", true) => return Ok(f64::NAN),
        (b"Infinity", true) => return Ok(f64::INFINITY),
        (b"-Infinity", true) => return Ok(f64::NEG_INFINITY),
        _ => {}
    }
    if !is_number(token.text) {
        return Err("a number is expected");
    }
    let value = std::str::from_utf8(token.text).ok().and_then(|text| text.parse::<f64>().ok());
    value.filter(|value| value.is_finite()).ok_or(RANGE)
}
