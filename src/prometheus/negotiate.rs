//! Which format a scraper gets: its `Accept` header weighed against what the page can write.
//!
//! Knows media types, their parameters and `q`; does not know how a format is written.
//!
//! - The clause with the highest `q` that names a format of ours wins; among equals the more exact one, then the first.
//!   A clause with `q=0`, or with a `q` that is no weight, is passed over.
//! - `application/openmetrics-text` without a version means 0.0.1, `text/plain` without one 0.0.4, as scrapers mean it.
//!   A version that we do not write is no match; parameters that we do not know are ignored.
//! - `escaping` counts for the clause it stands in. An unknown one is as if it were absent: `underscores`. `allow-utf-8`
//!   needs a format that can hold such names, which 0.0.4 and 0.0.1 cannot: `underscores` again.
//! - What nobody can be given gets text 0.0.4, which every scraper reads.
//!
//! Sources: Prometheus "Scrape protocol content negotiation" and "Escaping schemes"; RFC 9110, 12.4.2 and 12.5.1;
//! prometheus/common for what exporters do in practice (behaviour, not code).

use crate::prometheus::escape::Escaping;

/// A format of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text format 0.0.4.
    Text004,
    /// Prometheus text format 1.0.0: 0.0.4 with quoted names.
    Text100,
    /// OpenMetrics 0.0.1: written as 1.0.0 is, named as it was asked for.
    OpenMetrics001,
    /// OpenMetrics 1.0.0.
    OpenMetrics100,
    /// `io.prometheus.client.MetricFamily` messages, each behind its length.
    Protobuf,
}

impl Format {
    /// Written as OpenMetrics.
    pub const fn is_open_metrics(self) -> bool {
        matches!(self, Format::OpenMetrics001 | Format::OpenMetrics100)
    }

    const fn holds_utf8(self) -> bool {
        matches!(self, Format::Text100 | Format::OpenMetrics100 | Format::Protobuf)
    }
}

/// What a scraper gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// The format.
    pub format: Format,
    /// What becomes of characters that old readers do not take.
    pub escaping: Escaping,
}

/// The content type of each scheme in a format, in the order of `Escaping::ALL`.
macro_rules! content_types {
    ($start:literal) => {
        [
            concat!($start, "; escaping=underscores"),
            concat!($start, "; escaping=dots"),
            concat!($start, "; escaping=values"),
            concat!($start, "; escaping=allow-utf-8"),
        ]
    };
}

impl Negotiated {
    /// Text 0.0.4 with underscores: what those get who ask for nothing (X1).
    pub const DEFAULT: Negotiated = Negotiated { format: Format::Text004, escaping: Escaping::Underscores };

    /// The `Content-Type` of the answer.
    pub fn content_type(self) -> &'static str {
        let types = match self.format {
            Format::Text004 => content_types!("text/plain; version=0.0.4; charset=utf-8"),
            Format::Text100 => content_types!("text/plain; version=1.0.0; charset=utf-8"),
            Format::OpenMetrics001 => content_types!("application/openmetrics-text; version=0.0.1; charset=utf-8"),
            Format::OpenMetrics100 => content_types!("application/openmetrics-text; version=1.0.0; charset=utf-8"),
            Format::Protobuf => content_types!(
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            ),
        };
        types[self.escaping as usize]
    }
}

/// Chooses a format; `accept` is the header's text, its lines joined with commas, empty when there is none.
pub fn negotiate(accept: &str) -> Negotiated {
    let mut best: Option<((u16, u8), Negotiated)> = None;
    for clause in split(accept, ',') {
        let Some((weight, exactness, offer)) = read_clause(clause) else { continue };
        let rank = (weight, exactness);
        if weight > 0 && best.is_none_or(|(known, _)| rank > known) {
            best = Some((rank, offer));
        }
    }
    best.map_or(Negotiated::DEFAULT, |(_, offer)| offer)
}

/// Weight, exactness and what is meant by one media range; nothing if it names no format of ours.
fn read_clause(clause: &str) -> Option<(u16, u8, Negotiated)> {
    let mut parts = split(clause, ';');
    let range = parts.next()?.trim();
    let (kind, subtype) = range.split_once('/')?;
    let (mut weight, mut version, mut escaping) = (1000, None, None);
    let (mut proto, mut encoding) = (None, None);
    for part in parts {
        let Some((name, value)) = part.split_once('=') else { continue };
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().trim_matches('"'));
        match name.as_str() {
            "q" => weight = read_weight(value)?,
            "version" => version = Some(value),
            "escaping" => escaping = Escaping::from_word(value),
            "proto" => proto = Some(value),
            "encoding" => encoding = Some(value),
            _ => {}
        }
    }
    let (exactness, format) = match (kind.to_ascii_lowercase().as_str(), subtype.to_ascii_lowercase().as_str()) {
        ("*", "*") => (0, Format::Text004),
        ("text", "*") => (1, Format::Text004),
        ("application", "*") => (1, Format::OpenMetrics100),
        ("text", "plain") => match version {
            None | Some("0.0.4") => (2, Format::Text004),
            Some("1.0.0") => (2, Format::Text100),
            Some(_) => return None,
        },
        ("application", "openmetrics-text") => match version {
            None | Some("0.0.1") => (2, Format::OpenMetrics001),
            Some("1.0.0") => (2, Format::OpenMetrics100),
            Some(_) => return None,
        },
        ("application", "vnd.google.protobuf") => {
            let ours = proto == Some("io.prometheus.client.MetricFamily") && encoding == Some("delimited");
            ours.then_some((2, Format::Protobuf))?
        }
        _ => return None,
    };
    let escaping = escaping.filter(|&scheme| scheme != Escaping::AllowUtf8 || format.holds_utf8());
    Some((weight, exactness, Negotiated { format, escaping: escaping.unwrap_or_default() }))
}

/// A weight in thousandths: 0 to 1 with at most three decimals.
fn read_weight(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|b| b.is_ascii_digit()) || !matches!(whole, "0" | "1") {
        return None;
    }
    let thousandths: u16 = format!("{decimals:0<3}").parse().ok()?;
    let weight = whole.parse::<u16>().ok()? * 1000 + thousandths;
    (weight <= 1000).then_some(weight)
}

/// Splits at `at`, but not inside quotes.
fn split(text: &str, at: char) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let (mut quoted, mut escaped) = (false, false);
        let end = text.char_indices().find(|(_, c)| {
            let ends = *c == at && !quoted;
            quoted ^= *c == '"' && !escaped;
            escaped = quoted && *c == '\\' && !escaped;
            ends
        });
        rest = end.map(|(end, c)| &text[end + c.len_utf8()..]);
        Some(end.map_or(text, |(end, _)| &text[..end]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use Escaping::*;
    use Format::*;

    fn check(accept: &str, format: Format, escaping: Escaping) {
        assert_eq!(negotiate(accept), Negotiated { format, escaping }, "{accept:?}");
    }

    #[test]
    fn x1_no_accept_is_text_004_with_underscores() {
        check("", Text004, Underscores);
        check("*/*", Text004, Underscores);
        check("image/png", Text004, Underscores);
        check("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Text004, Underscores);
        assert_eq!(negotiate("").content_type(), "text/plain; version=0.0.4; charset=utf-8; escaping=underscores");
    }

    #[test]
    fn x2_what_prometheus_sends() {
        // 2.42 without and with native histograms
        let plain = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                     text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        check(plain, OpenMetrics100, Underscores);
        let native = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,\
                      application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,\
                      text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        check(native, Protobuf, Underscores);
        // 3.x
        let three = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                     application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,\
                     text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        check(three, OpenMetrics100, AllowUtf8);
        let three = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;\
                     escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                     text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        check(three, Protobuf, AllowUtf8);
    }

    #[test]
    fn x2_the_highest_weight_wins_then_the_more_exact_then_the_first() {
        check("text/plain;q=0.2, application/openmetrics-text;version=1.0.0;q=0.3", OpenMetrics100, Underscores);
        check("application/openmetrics-text;version=1.0.0;q=0.3, text/plain;q=0.31", Text004, Underscores);
        check("*/*, application/openmetrics-text;version=1.0.0", OpenMetrics100, Underscores);
        check("text/plain;version=1.0.0, application/openmetrics-text", Text100, Underscores);
        check("application/openmetrics-text, text/plain;version=1.0.0", OpenMetrics001, Underscores);
        check("application/*", OpenMetrics100, Underscores);
        check("text/*;escaping=dots", Text004, Dots);
        check("TEXT/Plain ; Version=\"1.0.0\" ; Q=1.000", Text100, Underscores);
        check("text/plain;version=0.0.4;,,;", Text004, Underscores);
    }

    #[test]
    fn x2_what_is_wrong_is_passed_over() {
        let open = "application/openmetrics-text;version=1.0.0";
        check(&format!("{open};q=0, text/plain;q=0.1"), Text004, Underscores);
        for bad in ["2", "-1", "1.1", "0.1234", "x", "", "1.001", "0x1", "NaN"] {
            check(&format!("{open};q={bad}, text/plain;version=1.0.0;q=0.1"), Text100, Underscores);
        }
        check("application/openmetrics-text;version=2.0.0, text/plain;version=1.0.0;q=0.1", Text100, Underscores);
        check("text/plain;version=0.0.5, application/openmetrics-text;q=0.1", OpenMetrics001, Underscores);
        let protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily";
        check(&format!("{protobuf};encoding=text, {open};q=0.1"), OpenMetrics100, Underscores);
        check(&format!("{protobuf}, {open};q=0.1"), OpenMetrics100, Underscores);
        check("application/vnd.google.protobuf;encoding=delimited;proto=other.Message", Text004, Underscores);
        check(&format!("a=\"{open}, {open}"), Text004, Underscores);
        check("\"", Text004, Underscores);
        check("é/ü;q=0.é", Text004, Underscores);
    }

    #[test]
    fn x2_x3_escaping_is_validated() {
        let open = "application/openmetrics-text;version=1.0.0";
        check(&format!("{open};escaping=allow-utf-8"), OpenMetrics100, AllowUtf8);
        check(&format!("{open};escaping=values"), OpenMetrics100, Values);
        check(&format!("{open};escaping=dots"), OpenMetrics100, Dots);
        check(&format!("{open};escaping=underscores"), OpenMetrics100, Underscores);
        check(&format!("{open};escaping=other"), OpenMetrics100, Underscores);
        check(&format!("{open};escaping=\"values\\r\\nx: y\""), OpenMetrics100, Underscores);
        check("text/plain;version=0.0.4;escaping=allow-utf-8", Text004, Underscores);
        check("application/openmetrics-text;version=0.0.1;escaping=allow-utf-8", OpenMetrics001, Underscores);
        check("text/plain;version=0.0.4;escaping=values", Text004, Values);
        check(&format!("image/png;escaping=dots, {open};q=0.5"), OpenMetrics100, Underscores);
        for escaping in Escaping::ALL {
            let content_type = Negotiated { format: Protobuf, escaping }.content_type();
            assert!(content_type.ends_with(&format!("; escaping={}", escaping.word())), "{content_type}");
            assert_eq!(negotiate(content_type), Negotiated { format: Protobuf, escaping });
        }
    }
}
