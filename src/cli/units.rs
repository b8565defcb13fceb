//! Durations and sizes as people write them.

use std::time::Duration;

/// `250ms`, `10s`, `5m`, `1h`; units can be joined (`1m30s`).
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("'{text}' is no duration; write 250ms, 10s, 5m or 1h");
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let value: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let unit = match &rest[..letters] {
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(wrong()),
        };
        rest = &rest[letters..];
        total += Duration::try_from_secs_f64(value * unit).map_err(|_| wrong())?;
    }
    Ok(total)
}

/// `65536`, `64KiB`, `64MiB`, `2GiB`; `K`, `M`, `G` mean the same.
pub fn size(text: &str) -> Result<usize, String> {
    let wrong = || format!("'{text}' is no size; write 65536, 64KiB, 64MiB or 2GiB");
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let value: usize = text[..digits].parse().map_err(|_| wrong())?;
    let unit: usize = match text[digits..].trim() {
        "" | "B" => 1,
        "K" | "KiB" => 1 << 10,
        "M" | "MiB" => 1 << 20,
        "G" | "GiB" => 1 << 30,
        "T" | "TiB" => 1 << 40,
        _ => return Err(wrong()),
    };
    value.checked_mul(unit).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_read_or_refused_with_words() {
        let check = |text, want: Option<Duration>| assert_eq!(duration(text).ok(), want, "{text}");
        check("10s", Some(Duration::from_secs(10)));
        check("250ms", Some(Duration::from_millis(250)));
        check("1m30s", Some(Duration::from_secs(90)));
        check("1.5h", Some(Duration::from_secs(5400)));
        for bad in ["", "10", "s", "10x", "-1s", "1e400s", "10 s 5"] {
            check(bad, None);
        }
        assert_eq!(size("64MiB"), Ok(64 << 20));
        assert_eq!(size("1024"), Ok(1024));
        for bad in ["", "MiB", "1XB", "99999999999999999999", "9999999999TiB"] {
            assert!(size(bad).unwrap_err().contains("64MiB"), "{bad}");
        }
    }
}
