//! One request on its way, and what became of it.
//!
//! Deliberately does not know how the bytes travelled.

use crate::load::messages::{ExportMetricsServiceResponse, Status};
use prost::Message;

/// Bytes read of a body that is plain text.
const TEXT_BYTES_MAX: usize = 1_024;

/// A request that was begun and not yet answered.
#[derive(Debug, Default)]
pub(crate) struct Flight {
    /// HTTP/2 stream; 0 elsewhere.
    pub stream: u32,
    /// Which request of the plan.
    pub request: usize,
    /// Its points.
    pub points: u64,
    /// When it was due (or begun, without a rate), monotonic nanoseconds of the run.
    pub due_ns: u64,
    /// What the server still takes on this stream.
    pub(crate) window: i64,
    /// Status of the HTTP response.
    pub(crate) http_status: u32,
    /// Status of the gRPC call, once known.
    pub(crate) grpc_status: Option<u32>,
    /// The server's own words, where it refused.
    pub(crate) said: String,
    /// The response's message.
    pub(crate) body: Vec<u8>,
}

/// What the server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Success; so many points were rejected singly.
    Accepted {
        /// `partial_success.rejected_data_points`.
        rejected: u64,
    },
    /// The whole request was refused: a status in words.
    Refused(String),
    /// What came is no answer that an OTLP server gives: the wrong port, or the wrong protocol.
    Strange(String),
}

/// An answered request.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The request.
    pub flight: Flight,
    /// What became of it.
    pub verdict: Verdict,
}

/// Whether a refusal with this status of HTTP comes from something that knows no OTLP, at least not here.
pub(crate) fn is_strange(status: u32) -> bool {
    matches!(status, 0..400 | 404 | 405)
}

/// The message of a google.rpc.Status, in either encoding; else the body as text, as a proxy has it.
pub(crate) fn message(body: &[u8]) -> String {
    let json = serde_json::from_slice::<serde_json::Value>(body).ok();
    let json = json.and_then(|status| Some(status["message"].as_str()?.to_owned()));
    let message = json.or_else(|| Status::decode(body).ok().map(|status| status.message));
    let text = || String::from_utf8_lossy(&body[..body.len().min(TEXT_BYTES_MAX)]).into_owned();
    message.filter(|message| !message.is_empty()).unwrap_or_else(text)
}

/// What stands in `grpc-message`: bytes, of which some are percent-encoded.
pub(crate) fn percent_decoded(value: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((&byte, after)) = rest.split_first() {
        let digits =
            after.get(..2).filter(|two| byte == b'%' && two[0] != b'+').and_then(|two| std::str::from_utf8(two).ok());
        let decoded = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(decoded.unwrap_or(byte));
        rest = if decoded.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads an `ExportMetricsServiceResponse`, and why it rejected what it did. A success with a body that cannot be read is
/// no success.
pub(crate) fn accepted(body: &[u8], said: &mut String) -> Verdict {
    if body.is_empty() {
        return Verdict::Accepted { rejected: 0 };
    }
    match ExportMetricsServiceResponse::decode(body) {
        Ok(response) => {
            let partial = response.partial_success.unwrap_or_default();
            *said = partial.error_message;
            Verdict::Accepted { rejected: partial.rejected_data_points.max(0) as u64 }
        }
        Err(_) => Verdict::Strange("unreadable response".into()),
    }
}

/// Reads the same as JSON: 64-bit integers are strings or numbers.
pub(crate) fn accepted_json(body: &[u8], said: &mut String) -> Verdict {
    if body.is_empty() {
        return Verdict::Accepted { rejected: 0 };
    }
    let Ok(response) = serde_json::from_slice::<serde_json::Value>(body) else {
        return Verdict::Strange("unreadable response".into());
    };
    let partial = &response["partialSuccess"];
    *said = partial["errorMessage"].as_str().unwrap_or_default().to_owned();
    let rejected = match &partial["rejectedDataPoints"] {
        serde_json::Value::String(text) => text.parse().ok(),
        other => other.as_u64(),
    };
    Verdict::Accepted { rejected: rejected.unwrap_or(0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_in_json_are_read() {
        let rejected = |rejected| Verdict::Accepted { rejected };
        for (body, want) in [
            ("", rejected(0)),
            ("{}", rejected(0)),
            ("{\"partialSuccess\":{\"rejectedDataPoints\":\"7\"}}", rejected(7)),
            ("{\"partialSuccess\":{\"rejectedDataPoints\":7,\"errorMessage\":\"x\"}}", rejected(7)),
            ("<html>", Verdict::Strange("unreadable response".into())),
        ] {
            let mut said = String::new();
            assert_eq!(accepted_json(body.as_bytes(), &mut said), want, "{body}");
            assert_eq!(said, if body.contains("errorMessage") { "x" } else { "" }, "{body}");
        }
    }

    #[test]
    fn the_words_of_a_refusal_are_read() {
        let status = Status { code: 8, message: "series limit".into() }.encode_to_vec();
        for (body, want) in [
            (&status[..], "series limit"),
            (b"{\"code\":8,\"message\":\"series limit\"}", "series limit"),
            (b"<html>too large</html>", "<html>too large</html>"),
            (b"\xff", "\u{fffd}"),
            (b"", ""),
        ] {
            assert_eq!(message(body), want, "{body:?}");
        }
        assert_eq!(message(&[b'x'; 100_000]).len(), TEXT_BYTES_MAX);
        for (value, want) in [("100%25 %e2%82%ac", "100% \u{20ac}"), ("5% off%2", "5% off%2"), ("%%+1", "%%+1")] {
            assert_eq!(percent_decoded(value.as_bytes()), want);
        }
    }
}
