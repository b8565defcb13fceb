//! Sizes, times and counts as people write them: one grammar and one wording for flags, variables and `?options`.
//!
//! Pure text in, numbers out; knows no flag and no limit. Numbers are read exactly, never by way of a double, but for
//! [`decimal`].
//!
//! ```text
//! number  = digits [ "." digits ] [ "e" [ "+" | "-" ] digits ]    "_" between two digits is for the eye
//! time    = number ( "us" | "ms" | "s" | "m" | "h" ) …            1m30s
//! size    = number [ "B" | ( "K" | "M" | "G" | "T" ) [ "B" | "iB" ] ]   in any case; all of them powers of 1024
//! count   = number [ "k" | "M" | "G" ]                            in any case; powers of 1000; a whole number in the end
//! ```

use std::fmt;
use std::time::Duration;

/// A text that cannot be read as what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unread {
    /// The text.
    pub given: String,
    /// What is wrong, behind it: `is no size`.
    pub fault: &'static str,
    /// What can be written.
    pub examples: &'static str,
}

impl Unread {
    fn new(given: &str, fault: &'static str, examples: &'static str) -> Unread {
        Unread { given: given.to_owned(), fault, examples }
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Unread { given, fault, examples } = self;
        write!(f, "'{given}' {fault}; write {examples}")
    }
}

impl std::error::Error for Unread {}

/// A number at the start of a text: its digits, the power of ten they are multiplied by, and what follows.
fn number(text: &str) -> Option<(u128, i32, &str)> {
    let bytes = text.as_bytes();
    let (mut value, mut power, mut at) = (0u128, 0i32, 0);
    let mut in_fraction = false;
    loop {
        let digit_before = at > 0 && bytes[at - 1].is_ascii_digit();
        let digit_behind = bytes.get(at + 1).is_some_and(u8::is_ascii_digit);
        match bytes.get(at) {
            Some(digit) if digit.is_ascii_digit() => {
                value = value.checked_mul(10)?.checked_add(u128::from(digit - b'0'))?;
                power -= i32::from(in_fraction);
            }
            Some(b'.') if !in_fraction && digit_before && digit_behind => in_fraction = true,
            Some(b'_') if digit_before && digit_behind => {}
            Some(b'.' | b'_') => return None,
            _ => break,
        }
        at += 1;
    }
    if at == 0 {
        return None;
    }
    let rest = &text[at..];
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        let sign = usize::from(exponent.starts_with(['+', '-']));
        let end = exponent[sign..].find(|c: char| !c.is_ascii_digit()).map_or(exponent.len(), |end| sign + end);
        power = power.checked_add(exponent[..end].parse().ok()?)?;
        return Some((value, power, &exponent[end..]));
    }
    Some((value, power, rest))
}

/// `value × 10^power × unit`, and whether nothing was cut off to make it whole.
fn scaled(value: u128, power: i32, unit: u64) -> Option<(u64, bool)> {
    let value = value.checked_mul(unit.into())?;
    let ten = |power: u32| 10u128.checked_pow(power);
    let (whole, rest) = match u32::try_from(power) {
        Ok(_) if value == 0 => (0, 0),
        Ok(power) => (value.checked_mul(ten(power)?)?, 0),
        Err(_) => {
            let by = ten(power.unsigned_abs())?;
            (value / by, value % by)
        }
    };
    Some((whole.try_into().ok()?, rest == 0))
}

/// `250ms`, `10s`, `5m`, `1h`; units can be joined (`1m30s`).
///
/// # Errors
/// The text, and what can be written.
pub(crate) fn duration(text: &str) -> Result<Duration, Unread> {
    let read = || {
        let mut rest = text.trim();
        let mut total = 0u64;
        loop {
            let (value, power, behind) = number(rest)?;
            let behind = behind.trim_start();
            let letters = behind.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(behind.len());
            let unit = match &behind[..letters] {
                "us" => 1_000,
                "ms" => 1_000_000,
                "s" => 1_000_000_000,
                "m" => 60_000_000_000,
                "h" => 3_600_000_000_000,
                _ => return None,
            };
            rest = behind[letters..].trim_start();
            total = total.checked_add(scaled(value, power, unit)?.0)?;
            if rest.is_empty() {
                return Some(Duration::from_nanos(total));
            }
        }
    };
    read().ok_or_else(|| Unread::new(text, "is no duration", "250ms, 10s, 5m or 1h"))
}

/// A time as [`duration`] reads it, in its largest units: `30s`, `1m30s`, `100ms`.
pub(crate) fn show_duration(time: Duration) -> String {
    const UNITS: [(&str, u128); 6] = [
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("us", 1_000),
        ("ns", 1),
    ];
    let mut left = time.as_nanos();
    let mut out = String::new();
    for (unit, size) in UNITS {
        if left >= size {
            out.push_str(&format!("{}{unit}", left / size));
            left %= size;
        }
    }
    if out.is_empty() { "0s".to_owned() } else { out }
}

/// `65536`, `64KiB`, `64MB`, `2g`: K, M, G and T are powers of 1024, with or without `B` or `iB`.
///
/// # Errors
/// The text, and what can be written.
pub(crate) fn size(text: &str) -> Result<usize, Unread> {
    let read = || {
        let (value, power, unit) = number(text.trim())?;
        let unit = unit.trim_start().to_ascii_lowercase();
        let letter = unit.strip_suffix("ib").filter(|letter| !letter.is_empty());
        let unit = match letter.or(unit.strip_suffix('b')).unwrap_or(&unit) {
            "" => 1,
            "k" => 1 << 10,
            "m" => 1 << 20,
            "g" => 1 << 30,
            "t" => 1 << 40,
            _ => return None,
        };
        let (bytes, exact) = scaled(value, power, unit)?;
        usize::try_from(bytes).ok().filter(|_| exact || unit > 1)
    };
    read().ok_or_else(|| Unread::new(text, "is no size", "65536, 64KiB, 64MiB or 2GiB"))
}

/// `50%`, more than 0 and at most 100, as a part of `whole`; `None` where there is no `%`.
pub(crate) fn part_of(text: &str, whole: usize) -> Option<Result<usize, Unread>> {
    let percent = text.trim().strip_suffix('%')?;
    let read = || match number(percent)? {
        (value, power, "") => {
            let (part, _) = scaled(value.checked_mul(whole as u128)?, power.checked_sub(2)?, 1)?;
            usize::try_from(part).ok().filter(|part| (1..=whole).contains(part))
        }
        _ => None,
    };
    Some(read().ok_or_else(|| Unread::new(text, "is no part of the memory", "1% to 100%")))
}

fn unit_of_count(unit: &str) -> Option<u64> {
    Some(match unit {
        "" => 1,
        "k" | "K" => 1_000,
        "m" | "M" => 1_000_000,
        "g" | "G" => 1_000_000_000,
        _ => return None,
    })
}

/// `1000000`, `1_000_000`, `1M`, `1e6`: a whole number.
///
/// # Errors
/// The text, and what can be written.
pub(crate) fn count<T: TryFrom<u64>>(text: &str) -> Result<T, Unread> {
    let read = || {
        let (value, power, unit) = number(text.trim())?;
        let (count, exact) = scaled(value, power, unit_of_count(unit.trim_start())?)?;
        T::try_from(count).ok().filter(|_| exact)
    };
    read().ok_or_else(|| Unread::new(text, "is no number of them", "1000, 10k, 1M or 1e6"))
}

/// A [`count`] that is not 0.
///
/// # Errors
/// The text, and what can be written.
pub(crate) fn positive(text: &str) -> Result<u64, Unread> {
    match count(text)? {
        0 => Err(Unread::new(text, "is too few", "1 or more")),
        count => Ok(count),
    }
}

/// What [`count`] reads, and fractions: `0.25`, `1.5k`.
///
/// # Errors
/// The text, and what can be written.
pub(crate) fn decimal(text: &str) -> Result<f64, Unread> {
    let read = || {
        let trimmed = text.trim();
        let (_, _, unit) = number(trimmed)?;
        let digits = trimmed[..trimmed.len() - unit.len()].replace('_', "");
        let value = digits.parse::<f64>().ok()? * unit_of_count(unit.trim_start())? as f64;
        value.is_finite().then_some(value)
    };
    read().ok_or_else(|| Unread::new(text, "is no number", "1000, 0.25, 10k, 1M or 1e6"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_or_refused_with_words() {
        for (text, want) in [
            ("10s", Duration::from_secs(10)),
            ("250ms", Duration::from_millis(250)),
            ("15us", Duration::from_micros(15)),
            ("1m30s", Duration::from_secs(90)),
            ("1.5h", Duration::from_secs(5400)),
            ("0.1s", Duration::from_millis(100)),
            ("1_000ms", Duration::from_secs(1)),
            ("0s", Duration::ZERO),
            ("0h0m", Duration::ZERO),
        ] {
            assert_eq!(duration(text), Ok(want), "{text}");
        }
        for bad in ["", "10", "s", "10x", "-1s", "-5s", "1e400s", "10 s 5", "1.s", "1..2s", "1.2.3s", "99999999999h"] {
            assert_eq!(
                duration(bad).unwrap_err().to_string(),
                format!("'{bad}' is no duration; write 250ms, 10s, 5m or 1h")
            );
        }
    }

    #[test]
    fn durations_are_shown_as_they_are_read() {
        for text in ["0s", "30s", "1m", "1m30s", "1h", "2h5m", "100ms", "1s500ms", "15us"] {
            assert_eq!(show_duration(duration(text).unwrap()), text);
        }
        assert_eq!(show_duration(Duration::from_secs(300)), "5m");
    }

    #[test]
    fn sizes_are_read_in_every_dialect_or_refused_with_words() {
        for (bytes, texts) in [
            (1024, &["1024", "1024B", "1k", "1K", "1KB", "1KiB", "1kib", "1_024", "1.024e3"][..]),
            (64 << 20, &["64MiB", "64mb", "64M", "64 MiB", "65536K", "0.0625G"]),
            (1 << 30, &["1G", "1GB", "1gib", "1024MB"]),
            (107_374_182, &["0.1GiB"]),
            (0, &["0", "0TiB", "0e30"]),
        ] {
            texts.iter().for_each(|text| assert_eq!(size(text), Ok(bytes), "{text}"));
        }
        for bad in ["", "MiB", "1XB", "1.5", "1iB", "1bb", "99999999999999999999", "9999999999TiB", "50%", "1__0", "_1"]
        {
            assert_eq!(
                size(bad).unwrap_err().to_string(),
                format!("'{bad}' is no size; write 65536, 64KiB, 64MiB or 2GiB")
            );
        }
    }

    #[test]
    fn parts_of_a_whole_are_percent() {
        assert_eq!(part_of("50%", 1000), Some(Ok(500)));
        assert_eq!(part_of("12.5%", usize::MAX / 8), Some(Ok(usize::MAX / 64)));
        assert_eq!(part_of("100%", 7), Some(Ok(7)));
        assert_eq!(part_of("50", 1000), None);
        for bad in ["%", "0%", "101%", "1M%", "-1%", "half%"] {
            assert!(part_of(bad, 1000).unwrap().unwrap_err().to_string().contains("1% to 100%"), "{bad}");
        }
    }

    #[test]
    fn counts_are_read_exactly_or_refused_with_words() {
        for (wanted, texts) in [
            (1_000_000, &["1000000", "1_000_000", "1M", "1m", "1e6", "1E6", "1e+6", "1000k", "0.001G"][..]),
            (1_500, &["1.5k", "1500", "150e1", "15000e-1"]),
            (u64::MAX, &["18446744073709551615"]),
            (0, &["0", "0k"]),
        ] {
            texts.iter().for_each(|text| assert_eq!(count(text), Ok(wanted), "{text}"));
        }
        for bad in ["", "many", "-1", "1.5", "1MiB", "1e", "1e99", "1e-1", "18446744073709551616", "0x10", "1e+-2"] {
            let why = count::<u64>(bad).unwrap_err().to_string();
            assert_eq!(why, format!("'{bad}' is no number of them; write 1000, 10k, 1M or 1e6"));
        }
        assert!(count::<u32>("5G").is_err() && count::<u32>("4G").is_ok());
        assert!(positive("0").unwrap_err().to_string().contains("1 or more"));
        assert_eq!(positive("2k"), Ok(2_000));
    }

    #[test]
    fn decimals_have_fractions() {
        for (text, want) in [("0.01", 0.01), ("0.3", 0.3), ("1M", 1e6), ("2_000.5", 2000.5), ("1e-3", 1e-3), ("3", 3.0)]
        {
            assert_eq!(decimal(text), Ok(want), "{text}");
        }
        for bad in ["", "inf", "NaN", "-1", "1e999", "x"] {
            assert!(decimal(bad).unwrap_err().to_string().contains("is no number"), "{bad}");
        }
    }
}
