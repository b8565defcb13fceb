//! One request on its way, and what became of it.
//!
//! Deliberately does not know how the bytes travelled.

use super::messages::ExportMetricsServiceResponse;
use prost::Message;

/// A request that was begun and not yet answered.
#[derive(Debug, Default)]
pub struct Flight {
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
    /// The response's message.
    pub(crate) body: Vec<u8>,
}

/// What the server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Success; so many points were rejected singly.
    Accepted {
        /// `partial_success.rejected_data_points`.
        rejected: u64,
    },
    /// The whole request was refused: a status in words.
    Refused(String),
}

/// An answered request.
#[derive(Debug)]
pub struct Answer {
    /// The request.
    pub flight: Flight,
    /// What became of it.
    pub verdict: Verdict,
}

/// Reads an `ExportMetricsServiceResponse`. A success with a body that cannot be read is no success.
pub fn accepted(body: &[u8]) -> Verdict {
    if body.is_empty() {
        return Verdict::Accepted { rejected: 0 };
    }
    match ExportMetricsServiceResponse::decode(body) {
        Ok(response) => {
            let rejected = response.partial_success.map_or(0, |partial| partial.rejected_data_points.max(0) as u64);
            Verdict::Accepted { rejected }
        }
        Err(_) => Verdict::Refused("unreadable response".into()),
    }
}

/// Reads the same as JSON: 64-bit integers are strings or numbers.
pub fn accepted_json(body: &[u8]) -> Verdict {
    if body.is_empty() {
        return Verdict::Accepted { rejected: 0 };
    }
    let Ok(response) = serde_json::from_slice::<serde_json::Value>(body) else {
        return Verdict::Refused("unreadable response".into());
    };
    let rejected = &response["partialSuccess"]["rejectedDataPoints"];
    let rejected = match rejected {
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
            ("<html>", Verdict::Refused("unreadable response".into())),
        ] {
            assert_eq!(accepted_json(body.as_bytes()), want, "{body}");
        }
    }
}
