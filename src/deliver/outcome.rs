//! What an answer means: delivered, retry, or never again. The rules E2 to E6, pure.
//!
//! Does not know: connections, clocks (the wall clock is an argument), queues.
//!
//! Invariants:
//! 1. A partial success is delivered, never retried (E5).
//! 2. Only statuses listed in E2 and E3 are retried, and those that say that credentials are not taken: a token that ran out
//!    loses nothing.
//!
//! Bounds: `DETAILS_BYTES_MAX` of `grpc-status-details-bin`; a gzip answer inflates to `RESPONSE_BYTES_MAX`, an error
//! body to `ERROR_BODY_BYTES_MAX` (E8).
//!
//! Sources: OTLP specification 1.x (failures, throttling), gRPC "HTTP/2 transport mapping", RFC 9110 section 5.6.7 and 10.2.3.

use std::borrow::Cow;
use std::io::Read as _;
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use prost::Message;

use super::destination::DEFAULT_PATH;
use super::why::Why;
use crate::limits::{ERROR_BODY_BYTES_MAX, RESPONSE_BYTES_MAX};

/// Bytes of `grpc-status-details-bin` that are looked at.
pub(super) const DETAILS_BYTES_MAX: usize = ERROR_BODY_BYTES_MAX;

/// The message of a success whose body is something else; the status alone decides (THREATS, faults of backends).
pub(super) const UNREADABLE: &str = "the answer is no ExportMetricsServiceResponse; its status says success";

/// How one try ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The destination took it, or all but `rejected` points of it.
    Delivered { rejected: u64, message: String },
    /// Never retried.
    Refused(Why),
    /// The credentials are not taken: data waits for others (a deliberate deviation from E3).
    Unauthorized(Why),
    /// Too large for the destination (413): smaller requests may pass.
    TooLarge(String),
    /// An answer that asks for a retry, perhaps with its own delay.
    Retry { what: String, after: Option<Duration> },
    /// The request was sent, or may have been, and no answer came.
    Disconnected(Why),
    /// The request was not sent.
    Unconnected(Why),
    /// The answer was over the limit.
    ResponseTooLarge,
}

#[derive(Clone, PartialEq, Message)]
struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

#[derive(Clone, PartialEq, Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected_data_points: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

/// google.rpc.Status
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// google.rpc.RetryInfo
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<ProtoDuration>,
}

#[derive(Clone, PartialEq, Message)]
struct ProtoDuration {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

impl Outcome {
    /// Somebody is there and has decided about the request; everything else is tried again.
    pub(super) fn is_answer(&self) -> bool {
        match self {
            Outcome::Delivered { .. } | Outcome::Refused(_) | Outcome::TooLarge(_) | Outcome::ResponseTooLarge => true,
            Outcome::Retry { .. } | Outcome::Unauthorized(_) => false,
            Outcome::Disconnected(_) | Outcome::Unconnected(_) => false,
        }
    }

    /// A server may repeat the path that was asked for, and that may be a secret.
    pub(super) fn without(mut self, path: &str) -> Outcome {
        let words = match &mut self {
            Outcome::Delivered { message, .. } => message,
            Outcome::Retry { what, .. } | Outcome::TooLarge(what) => what,
            Outcome::Refused(why) | Outcome::Unauthorized(why) => &mut why.what,
            _ => return self,
        };
        if path.len() > 1 && path != DEFAULT_PATH && words.contains(path) {
            *words = words.replace(path, "/…");
        }
        self
    }
}

/// A success body. One that cannot be decoded still means success: the status said so.
fn success(body: &[u8]) -> Outcome {
    let Ok(response) = ExportResponse::decode(body) else {
        return Outcome::Delivered { rejected: 0, message: UNREADABLE.to_owned() };
    };
    let partial = response.partial_success.unwrap_or_default();
    Outcome::Delivered {
        rejected: u64::try_from(partial.rejected_data_points).unwrap_or(0),
        message: partial.error_message,
    }
}

/// A body as it was before it was packed, at most `limit` bytes and one. None is asked for, yet a server may gzip all
/// the same; other encodings and broken gzip give `None`.
fn unpacked<'a>(encoding: Option<&http::HeaderValue>, body: &'a [u8], limit: usize) -> Option<Cow<'a, [u8]>> {
    match encoding.map(|value| value.as_bytes()) {
        None | Some(b"" | b"identity") => Some(Cow::Borrowed(body)),
        Some(b"gzip" | b"x-gzip") => {
            let mut out = Vec::new();
            let mut inflate = flate2::read::GzDecoder::new(body).take(limit as u64 + 1);
            inflate.read_to_end(&mut out).ok()?;
            Some(Cow::Owned(out))
        }
        Some(_) => None,
    }
}

fn http_success(headers: &HeaderMap, body: &[u8]) -> Outcome {
    if body.is_empty() {
        return success(body);
    }
    let is_protobuf = |value: &str| value.trim_start().to_ascii_lowercase().starts_with("application/x-protobuf");
    let kind = headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let encoding = headers.get(http::header::CONTENT_ENCODING);
    match unpacked(encoding, body, RESPONSE_BYTES_MAX) {
        Some(body) if body.len() > RESPONSE_BYTES_MAX => Outcome::ResponseTooLarge,
        Some(body) if kind.is_some_and(is_protobuf) => success(&body),
        _ => Outcome::Delivered { rejected: 0, message: UNREADABLE.to_owned() },
    }
}

/// What an HTTP answer means (E3 to E6, T20).
pub(super) fn http(status: StatusCode, headers: &HeaderMap, body: &[u8], wall_ns: u64) -> Outcome {
    if status.is_success() {
        return http_success(headers, body);
    }
    let body = unpacked(headers.get(http::header::CONTENT_ENCODING), body, ERROR_BODY_BYTES_MAX).unwrap_or_default();
    let what = match Status::decode(&body[..body.len().min(ERROR_BODY_BYTES_MAX)]) {
        Ok(decoded) if !decoded.message.is_empty() => format!("HTTP {}: {}", status.as_u16(), decoded.message),
        _ => format!("HTTP {status}"),
    };
    let refused = |what, remedy| Outcome::Refused(Why { what, remedy: Some(remedy) });
    match status.as_u16() {
        429 | 502 | 503 | 504 => {
            let after = headers
                .get(http::header::RETRY_AFTER)
                .and_then(|value| value.to_str().ok())
                .and_then(|value| retry_after(value, wall_ns));
            Outcome::Retry { what, after }
        }
        413 => Outcome::TooLarge(what),
        401 | 403 => unauthorized(what),
        404 | 405 => refused(what, "check the path of the URL; without one it is /v1/metrics"),
        300..=399 => refused(format!("{what}: redirects are not followed"), "give the address it redirects to"),
        _ => Outcome::Refused(what.into()),
    }
}

fn unauthorized(what: String) -> Outcome {
    let remedy = "give credentials that the destination takes, with --out-header NAME=@FILE or ?headers=FILE: these files are \
                  read again before each try; the data is kept";
    Outcome::Unauthorized(Why { what, remedy: Some(remedy) })
}

fn grpc_success(message: &[u8], encoding: Option<&http::HeaderValue>) -> Outcome {
    match unpacked(encoding, message, RESPONSE_BYTES_MAX) {
        Some(message) if message.len() > RESPONSE_BYTES_MAX => Outcome::ResponseTooLarge,
        Some(message) => success(&message),
        None => Outcome::Delivered { rejected: 0, message: UNREADABLE.to_owned() },
    }
}

/// What a gRPC answer means (E2, E4 to E6): `trailers` holds `grpc-status`, `message` the response message if one came,
/// `encoding` what it is packed with.
pub(super) fn grpc(
    http_status: StatusCode,
    trailers: &HeaderMap,
    message: &[u8],
    encoding: Option<&http::HeaderValue>,
) -> Outcome {
    let code =
        trailers.get("grpc-status").and_then(|value| value.to_str().ok()).and_then(|value| value.parse::<u32>().ok());
    let Some(code) = code else {
        let what = format!("HTTP {http_status} without grpc-status: is this a gRPC port?");
        // the mapping of gRPC's http-grpc-status-mapping.md: these four become UNAVAILABLE, the next two
        // UNAUTHENTICATED and PERMISSION_DENIED
        return match http_status.as_u16() {
            429 | 502 | 503 | 504 => Outcome::Retry { what, after: None },
            401 | 403 => unauthorized(what),
            _ => Outcome::Refused(what.into()),
        };
    };
    if code == 0 {
        return grpc_success(message, encoding);
    }
    let text = trailers.get("grpc-message").map(|value| percent_decode(value.as_bytes())).unwrap_or_default();
    let what = format!("gRPC {} ({code}): {text}", code_word(code));
    let after = trailers
        .get("grpc-status-details-bin")
        .filter(|value| value.len() <= DETAILS_BYTES_MAX)
        .and_then(|value| retry_info(value.as_bytes()));
    match code {
        // CANCELLED, DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE, UNAVAILABLE, DATA_LOSS
        1 | 4 | 10 | 11 | 14 | 15 => Outcome::Retry { what, after },
        // RESOURCE_EXHAUSTED only when the server says when
        8 if after.is_some() => Outcome::Retry { what, after },
        // PERMISSION_DENIED, UNAUTHENTICATED
        7 | 16 => unauthorized(what),
        _ => Outcome::Refused(what.into()),
    }
}

fn code_word(code: u32) -> &'static str {
    const WORDS: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    WORDS.get(code as usize).copied().unwrap_or("unknown code")
}

fn percent_decode(text: &[u8]) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let hex = (text[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        out.push(hex.unwrap_or(text[at]));
        at += if hex.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The `RetryInfo.retry_delay` of a base64 google.rpc.Status; a negative delay counts as none given.
fn retry_info(details: &[u8]) -> Option<Duration> {
    let status = Status::decode(base64(details)?.as_slice()).ok()?;
    let any = status.details.iter().find(|any| any.type_url.rsplit('/').next() == Some("google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(any.value.as_slice()).ok()?.retry_delay.unwrap_or_default();
    Some(Duration::new(u64::try_from(delay.seconds).ok()?, u32::try_from(delay.nanos).ok()?.min(999_999_999)))
}

fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 3);
    let (mut bits, mut held) = (0u32, 0u32);
    for &byte in text.iter().filter(|byte| **byte != b'=') {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(digit);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    Some(out)
}

/// `Retry-After`: seconds, or an HTTP-date, which counts from `wall_ns`; a date in the past is zero (E4).
fn retry_after(value: &str, wall_ns: u64) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let at = http_date(value)?;
    Some(Duration::from_secs(at).saturating_sub(Duration::from_nanos(wall_ns)))
}

/// Seconds since 1970 of an HTTP-date in any of its three forms (RFC 9110 section 5.6.7).
fn http_date(value: &str) -> Option<u64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let words: Vec<&str> = value.split([' ', ',', '-']).filter(|word| !word.is_empty()).take(8).collect();
    // IMF-fixdate: Sun 06 Nov 1994 08:49:37 GMT; RFC 850: Sunday 06 Nov 94 …; asctime: Sun Nov 6 08:49:37 1994
    let (day, month, year, time) = match words[..] {
        [_, day, month, year, time, "GMT"] => (day, month, year, time),
        [_, month, day, time, year] => (day, month, year, time),
        _ => return None,
    };
    let month = 1 + MONTHS.iter().position(|name| *name == month)? as i64;
    let day: i64 = day.parse().ok().filter(|day| (1..=31).contains(day))?;
    let year: i64 = match (year.len(), year.parse::<i64>().ok()?) {
        (2, year) if year < 70 => 2000 + year,
        (2, year) => 1900 + year,
        (_, year) => year,
    };
    let mut clock = [0i64; 3];
    let mut parts = time.split(':');
    for (unit, max) in clock.iter_mut().zip([23, 59, 60]) {
        *unit = parts.next()?.parse().ok().filter(|unit| (0..=max).contains(unit))?;
    }
    if parts.next().is_some() || !(1970..=9999).contains(&year) {
        return None;
    }
    // days from civil (Howard Hinnant): March-based years put the leap day last
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    u64::try_from(days * 86_400 + clock[0] * 3_600 + clock[1] * 60 + clock[2]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(key, value)| (key.parse::<http::HeaderName>().unwrap(), value.parse().unwrap())).collect()
    }

    /// E4: seconds and all forms of HTTP-date.
    #[test]
    fn retry_after_is_seconds_or_a_date() {
        const AT: u64 = 784_111_777; // RFC 9110's example
        for (value, expected) in [
            ("120", Some(120)),
            ("0", Some(0)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(7)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(7)),
            ("Sun Nov  6 08:49:37 1994", Some(7)),
            ("Sun, 06 Nov 1994 08:49:20 GMT", Some(0)),
            ("-1", None),
            ("soon", None),
            ("", None),
            ("Sun, 06 Foo 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 08:99:37 GMT", None),
        ] {
            assert_eq!(retry_after(value, (AT - 7) * 1_000_000_000), expected.map(Duration::from_secs), "{value}");
        }
        assert_eq!(http_date("Thu, 29 Feb 2024 00:00:00 GMT"), Some(1_709_164_800));
    }

    fn details(seconds: i64, nanos: i32) -> String {
        let info = RetryInfo { retry_delay: Some(ProtoDuration { seconds, nanos }) };
        let any = Any { type_url: "type.googleapis.com/google.rpc.RetryInfo".into(), value: info.encode_to_vec() };
        let status = Status { code: 8, message: String::new(), details: vec![any] }.encode_to_vec();
        const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut out = String::new();
        for chunk in status.chunks(3) {
            let bits = chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
            for digit in 0..=chunk.len() {
                out.push(DIGITS[(bits >> (18 - 6 * digit)) as usize & 63] as char);
            }
        }
        out
    }

    /// E2: exactly the listed codes are retried; RESOURCE_EXHAUSTED only with RetryInfo, whose delay is kept (E4).
    #[test]
    fn grpc_codes() {
        for code in 0..=17u32 {
            let value = code.to_string();
            let plain = grpc(StatusCode::OK, &headers(&[("grpc-status", &value)]), &[], None);
            let expected = [1, 4, 10, 11, 14, 15].contains(&code);
            assert_eq!(matches!(plain, Outcome::Retry { after: None, .. }), expected, "{code}");
            assert_eq!(matches!(plain, Outcome::Delivered { .. }), code == 0);
            assert_eq!(matches!(plain, Outcome::Unauthorized(_)), [7, 16].contains(&code), "{code}");
            let told = headers(&[("grpc-status", &value), ("grpc-status-details-bin", &details(2, 500_000_000))]);
            let told = grpc(StatusCode::OK, &told, &[], None);
            let retried =
                matches!(told, Outcome::Retry { after: Some(after), .. } if after == Duration::from_millis(2_500));
            assert_eq!(retried, expected || code == 8, "{code}");
        }
        assert!(matches!(grpc(StatusCode::BAD_GATEWAY, &HeaderMap::new(), &[], None), Outcome::Retry { .. }));
        for status in [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN] {
            assert!(matches!(grpc(status, &HeaderMap::new(), &[], None), Outcome::Unauthorized(_)));
        }
        assert!(matches!(grpc(StatusCode::NOT_FOUND, &HeaderMap::new(), &[], None), Outcome::Refused(_)));
        let negative = headers(&[("grpc-status", "8"), ("grpc-status-details-bin", &details(-2, 0))]);
        assert!(matches!(grpc(StatusCode::OK, &negative, &[], None), Outcome::Refused(_)));
    }

    /// E3, E6, T20: of all HTTP statuses only 429, 502, 503 and 504 are retried; redirects are not followed. What credentials
    /// are to blame for waits for others.
    #[test]
    fn http_statuses() {
        for code in 200..=599 {
            let outcome = http(StatusCode::from_u16(code).unwrap(), &HeaderMap::new(), &[], 0);
            match code {
                200..=299 => assert!(matches!(outcome, Outcome::Delivered { rejected: 0, .. })),
                429 | 502 | 503 | 504 => assert!(matches!(outcome, Outcome::Retry { after: None, .. })),
                413 => assert!(matches!(outcome, Outcome::TooLarge(_))),
                401 | 403 => assert!(matches!(outcome, Outcome::Unauthorized(_))),
                _ => assert!(matches!(outcome, Outcome::Refused(_))),
            }
        }
    }

    /// E5: what a partial success says; a body that is no response is still a success; a negative count is none.
    #[test]
    fn partial_success() {
        let protobuf = headers(&[("content-type", "application/x-protobuf")]);
        let body = |rejected| {
            let partial = PartialSuccess { rejected_data_points: rejected, error_message: "late".into() };
            ExportResponse { partial_success: Some(partial) }.encode_to_vec()
        };
        let outcome = http(StatusCode::OK, &protobuf, &body(3), 0);
        assert_eq!(outcome, Outcome::Delivered { rejected: 3, message: "late".into() });
        assert!(matches!(http(StatusCode::OK, &protobuf, &body(-1), 0), Outcome::Delivered { rejected: 0, .. }));
        assert!(matches!(http(StatusCode::OK, &protobuf, b"\xff", 0), Outcome::Delivered { rejected: 0, .. }));
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        use std::io::Write as _;
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packed.write_all(bytes).unwrap();
        packed.finish().unwrap()
    }

    /// E8, T19: an answer that is gzipped all the same is read; one that inflates past 4 MiB is too large, whatever its
    /// size on the wire; an error body is looked at up to 64 KiB; one that is no gzip changes nothing.
    #[test]
    fn e8_the_limit_holds_after_decompression() {
        let packed = |kind| headers(&[("content-type", kind), ("content-encoding", "gzip")]);
        let partial = PartialSuccess { rejected_data_points: 3, error_message: "late".into() };
        let body = ExportResponse { partial_success: Some(partial) }.encode_to_vec();
        let late = Outcome::Delivered { rejected: 3, message: "late".into() };
        assert_eq!(http(StatusCode::OK, &packed("application/x-protobuf"), &gzip(&body), 0), late);
        let bomb = gzip(&vec![0; RESPONSE_BYTES_MAX + 1]);
        assert!(bomb.len() < 64 * 1024);
        for kind in ["application/x-protobuf", "text/html"] {
            assert_eq!(http(StatusCode::OK, &packed(kind), &bomb, 0), Outcome::ResponseTooLarge);
        }
        let status = Status { code: 3, message: "no".into(), details: vec![] }.encode_to_vec();
        let said = http(StatusCode::BAD_REQUEST, &packed("application/x-protobuf"), &gzip(&status), 0);
        assert_eq!(said, Outcome::Refused("HTTP 400: no".to_owned().into()));
        assert!(matches!(http(StatusCode::BAD_REQUEST, &packed("a/b"), &bomb, 0), Outcome::Refused(_)));
        for broken in [b"not gzip".as_slice(), &gzip(&body)[..12]] {
            let unread = Outcome::Delivered { rejected: 0, message: UNREADABLE.into() };
            assert_eq!(http(StatusCode::OK, &packed("application/x-protobuf"), broken, 0), unread);
        }
        let encoding = "gzip".parse().unwrap();
        let ok = headers(&[("grpc-status", "0")]);
        assert_eq!(grpc(StatusCode::OK, &ok, &gzip(&body), Some(&encoding)), late);
        assert_eq!(grpc(StatusCode::OK, &ok, &bomb, Some(&encoding)), Outcome::ResponseTooLarge);
    }

    #[test]
    fn messages_are_percent_decoded() {
        assert_eq!(percent_decode(b"a%20b%C3%A9%zz%"), "a b\u{e9}%zz%");
    }
}
