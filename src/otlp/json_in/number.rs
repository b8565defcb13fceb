//! Numbers as ProtoJSON spells them: what digits stand for, exactly.
//!
//! Does not know where the text lies. Integers may be written `1.0` or `1e3` as long as they are whole (J6); doubles are
//! rounded to the nearest, as the protobuf mapping and every reader of JSON has it (J7).

use super::fault::JsonFaultKind as K;

/// The digits at the front, nineteen of them at most, and how many there are.
#[inline]
pub(super) fn digits(bytes: &[u8]) -> (u64, usize) {
    let (mut value, mut count) = (0u64, 0);
    while count <= 8
        && let Some(eight) = bytes.get(count..).and_then(|rest| rest.first_chunk::<8>())
        && let Some(eight) = eight_digits(u64::from_le_bytes(*eight))
    {
        (value, count) = (value * 100_000_000 + eight, count + 8);
    }
    while count < 19
        && let Some(digit) = bytes.get(count).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10)
    {
        (value, count) = (value * 10 + u64::from(digit), count + 1);
    }
    (value, count)
}

/// Eight digits, the first one in the lowest byte: neighbours are joined to pairs, pairs to fours, fours to eights.
#[inline]
fn eight_digits(word: u64) -> Option<u64> {
    const HIGH: u64 = 0xf0f0_f0f0_f0f0_f0f0;
    const ZEROS: u64 = 0x3030_3030_3030_3030;
    if word & HIGH != ZEROS || word.wrapping_add(0x0606_0606_0606_0606) & HIGH != ZEROS {
        return None;
    }
    let ones = word & !HIGH;
    let twos = (ones.wrapping_mul(10 << 8 | 1) >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = (twos.wrapping_mul(100 << 16 | 1) >> 16) & 0x0000_ffff_0000_ffff;
    Some(fours.wrapping_mul(10_000 << 32 | 1) >> 32)
}

/// The whole number that `text`, a JSON number, stands for.
pub(super) fn integer(text: &[u8]) -> Result<i128, K> {
    let (negative, text) = text.strip_prefix(b"-").map_or((false, text), |rest| (true, rest));
    let mut exponent = 0i64;
    let mut mantissa = text;
    if let Some(at) = text.iter().position(|byte| byte | 0x20 == b'e') {
        mantissa = &text[..at];
        let (sign, digits) = match &text[at + 1..] {
            [b'-', digits @ ..] => (-1, digits),
            [b'+', digits @ ..] => (1, digits),
            digits => (1, digits),
        };
        let size =
            digits.iter().fold(0i64, |sum, digit| sum.saturating_mul(10).saturating_add(i64::from(digit - b'0')));
        exponent = sign * size.min(1 << 40);
    }
    let (mut value, mut significant, mut zeros) = (0i128, 0, 0i64);
    let mut is_fraction = false;
    for &byte in mantissa {
        if byte == b'.' {
            is_fraction = true;
            continue;
        }
        exponent -= i64::from(is_fraction);
        if byte == b'0' {
            zeros += i64::from(significant > 0);
            continue;
        }
        // beyond twenty-five digits only their number matters
        significant += zeros + 1;
        if significant <= 25 {
            value = value * 10i128.pow(zeros as u32 + 1) + i128::from(byte - b'0');
        }
        zeros = 0;
    }
    exponent += zeros;
    if significant == 0 {
        return Ok(0);
    }
    if exponent < 0 {
        return Err(K::NotWhole);
    }
    if significant + exponent > 20 {
        return Err(K::OutOfRange);
    }
    value *= 10i128.pow(exponent as u32);
    Ok(if negative { -value } else { value })
}

const POWERS: [f64; 16] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// The double nearest to `text`, a JSON number.
pub(super) fn double(text: &[u8]) -> Result<f64, K> {
    let (negative, rest) = text.strip_prefix(b"-").map_or((false, text), |rest| (true, rest));
    if rest.len() <= 16 {
        // at most fifteen digits, so both are exact and one division rounds once
        let (whole, count) = digits(rest);
        let found = match &rest[count..] {
            [] if count <= 15 => Some((whole, 0)),
            [b'.', fraction @ ..] => {
                let (value, places) = digits(fraction);
                (places == fraction.len()).then(|| (whole * 10u64.pow(places as u32) + value, places))
            }
            _ => None,
        };
        if let Some((value, places)) = found {
            let size = value as f64 / POWERS[places];
            return Ok(if negative { -size } else { size });
        }
    }
    // a JSON number is spelt as Rust's are
    let value: f64 = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(K::OutOfRange)?;
    if value.is_finite() { Ok(value) } else { Err(K::OutOfRange) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// J6: whole numbers however they are spelt; the rest is refused.
    #[test]
    fn j6_integers() {
        let many_zeros = format!("1{}e-300", "0".repeat(300));
        let small = format!("0.{}5e301", "0".repeat(300));
        for (text, expected) in [
            ("0", Ok(0)),
            ("-0", Ok(0)),
            ("0.000e99999999999999999999", Ok(0)),
            ("12", Ok(12)),
            ("1.0", Ok(1)),
            ("-1e3", Ok(-1000)),
            ("1E+3", Ok(1000)),
            ("12.50e1", Ok(125)),
            ("100e-2", Ok(1)),
            ("9223372036854775807", Ok(i64::MAX as i128)),
            ("-9223372036854775808", Ok(i64::MIN as i128)),
            ("18446744073709551615", Ok(u64::MAX as i128)),
            ("18446744073709551615.000", Ok(u64::MAX as i128)),
            (&many_zeros, Ok(1)),
            (&small, Ok(5)),
            ("1.5", Err(K::NotWhole)),
            ("1e-1", Err(K::NotWhole)),
            ("0.1", Err(K::NotWhole)),
            ("123456789012345678901234567890.5", Err(K::NotWhole)),
            ("1e-99999999999999999999", Err(K::NotWhole)),
            ("1e21", Err(K::OutOfRange)),
            ("1e99999999999999999999", Err(K::OutOfRange)),
            ("123456789012345678901234567890", Err(K::OutOfRange)),
        ] {
            assert_eq!(integer(text.as_bytes()), expected, "{text}");
        }
    }

    /// J7: the same double as Rust's own reader, by the short way and by the long one.
    #[test]
    fn j7_doubles() {
        let mut seed = 1u64;
        let mut next = || {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            seed >> 16
        };
        for _ in 0..20_000 {
            let (whole, fraction) = (next() >> (next() % 40), next() >> (next() % 40));
            for text in [
                format!("{whole}"),
                format!("-{whole}.{fraction}"),
                format!("0.{fraction:020}"),
                format!("{whole}.{fraction}e{}", next() % 600),
                format!("{:?}", f64::from_bits(next() << 16 | next())),
            ] {
                if number_grammar(&text) {
                    let want: f64 = text.parse().unwrap();
                    let got = double(text.as_bytes());
                    match want.is_finite() {
                        true => assert_eq!(got.unwrap().to_bits(), want.to_bits(), "{text}"),
                        false => assert_eq!(got, Err(K::OutOfRange), "{text}"),
                    }
                }
            }
        }
        assert_eq!(double(b"-0").unwrap().to_bits(), (-0.0f64).to_bits());
        assert_eq!(double(b"1e400"), Err(K::OutOfRange));
    }

    fn number_grammar(text: &str) -> bool {
        super::super::text::number_end(text.as_bytes(), 0) == Ok(text.len())
    }

    #[test]
    fn digits_stop_after_nineteen() {
        for length in 0..30 {
            let text: String = (0..length).map(|i| char::from(b'1' + i as u8 % 9)).collect();
            let taken = &text[..length.min(19)];
            assert_eq!(digits(text.as_bytes()), (taken.parse().unwrap_or(0), taken.len()));
            assert_eq!(digits(format!("{taken}:").as_bytes()), (taken.parse().unwrap_or(0), taken.len()));
            assert_eq!(digits(format!("{taken}/").as_bytes()), (taken.parse().unwrap_or(0), taken.len()));
        }
    }
}
