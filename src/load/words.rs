//! Numbers and texts as JSON has them.
//!
//! Knows characters; does not know what is said.

/// Units of 2^-10 as an exact decimal.
pub fn decimal(units: i128) -> String {
    let (whole, rest) = (units.unsigned_abs() >> 10, units.unsigned_abs() & 1023);
    let sign = if units < 0 { "-" } else { "" };
    if rest == 0 {
        return format!("{sign}{whole}");
    }
    let fraction = format!("{:010}", rest * 9_765_625);
    format!("{sign}{whole}.{}", fraction.trim_end_matches('0'))
}

/// A JSON string.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if (c as u32) < 0x20 => out += &format!("\\u{:04x}", c as u32),
            c => out.push(c),
        }
    }
    out + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact() {
        for (units, text) in
            [(0, "0"), (1024, "1"), (1, "0.0009765625"), (-512, "-0.5"), (1536, "1.5"), (-(3 << 10), "-3")]
        {
            assert_eq!(decimal(units), text);
        }
    }
}
