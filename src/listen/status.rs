//! `google.rpc.Status`, the details in it, and the answer to an export, as protobuf and, for senders of JSON, as JSON.
//!
//! Does not know when which is sent. Sources: google/rpc/status.proto, error_details.proto; metrics_service.proto.

use crate::net::grpc::Code;

/// google.rpc.Status
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Status {
    #[prost(int32, tag = "1")]
    pub code: i32,
    #[prost(string, tag = "2")]
    pub message: String,
    #[prost(message, repeated, tag = "3")]
    pub details: Vec<Any>,
}

/// google.protobuf.Any
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Any {
    #[prost(string, tag = "1")]
    pub type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// google.rpc.BadRequest
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct BadRequest {
    #[prost(message, repeated, tag = "1")]
    pub field_violations: Vec<FieldViolation>,
}

/// google.rpc.BadRequest.FieldViolation
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct FieldViolation {
    #[prost(string, tag = "1")]
    pub field: String,
    #[prost(string, tag = "2")]
    pub description: String,
}

/// google.rpc.RetryInfo
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    pub retry_delay: Option<Duration>,
}

/// google.protobuf.Duration
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Duration {
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

/// opentelemetry.proto.collector.metrics.v1.ExportMetricsServiceResponse
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    pub partial_success: Option<PartialSuccess>,
}

/// opentelemetry.proto.collector.metrics.v1.ExportMetricsPartialSuccess
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PartialSuccess {
    #[prost(int64, tag = "1")]
    pub rejected_data_points: i64,
    #[prost(string, tag = "2")]
    pub error_message: String,
}

/// What stands in `Status.details`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detail {
    /// Nothing.
    None,
    /// BadRequest with the message as its one violation.
    BadRequest,
    /// RetryInfo with this delay.
    Retry {
        /// Milliseconds.
        after_ms: u64,
    },
}

impl Status {
    /// A status with at most one detail.
    pub(super) fn new(code: Code, message: &str, detail: Detail) -> Self {
        let details = match detail {
            Detail::None => Vec::new(),
            Detail::BadRequest => {
                let violation = FieldViolation { field: String::new(), description: message.to_owned() };
                vec![any("google.rpc.BadRequest", &BadRequest { field_violations: vec![violation] })]
            }
            Detail::Retry { after_ms } => {
                let delay =
                    Duration { seconds: (after_ms / 1_000) as i64, nanos: (after_ms % 1_000 * 1_000_000) as i32 };
                vec![any("google.rpc.RetryInfo", &RetryInfo { retry_delay: Some(delay) })]
            }
        };
        Status { code: code as i32, message: message.to_owned(), details }
    }

    /// The JSON form, with the detail it was made with.
    pub(super) fn to_json(&self, detail: Detail) -> String {
        let message = quoted(&self.message);
        let detail = match detail {
            Detail::None => String::new(),
            Detail::BadRequest => format!(
                r#","details":[{{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{{"description":{message}}}]}}]"#
            ),
            Detail::Retry { after_ms } => format!(
                r#","details":[{{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"{}.{:03}s"}}]"#,
                after_ms / 1_000,
                after_ms % 1_000
            ),
        };
        format!(r#"{{"code":{},"message":{message}{detail}}}"#, self.code)
    }
}

impl PartialSuccess {
    /// The answer that holds it, as JSON.
    pub(super) fn to_json(&self) -> String {
        let mut members = Vec::with_capacity(2);
        if self.rejected_data_points != 0 {
            members.push(format!(r#""rejectedDataPoints":"{}""#, self.rejected_data_points));
        }
        if !self.error_message.is_empty() {
            members.push(format!(r#""errorMessage":{}"#, quoted(&self.error_message)));
        }
        format!(r#"{{"partialSuccess":{{{}}}}}"#, members.join(","))
    }
}

/// A JSON string.
fn quoted(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    json.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => json.extend(['\\', letter]),
            '\0'..'\u{20}' => json.push_str(&format!("\\u{:04x}", u32::from(letter))),
            _ => json.push(letter),
        }
    }
    json.push('"');
    json
}

fn any(name: &str, message: &impl prost::Message) -> Any {
    Any { type_url: format!("type.googleapis.com/{name}"), value: message.encode_to_vec() }
}

/// Cuts `text` to at most `bytes_max` bytes, at a character.
pub(super) fn shrink(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R12: the JSON form is JSON whatever the message holds.
    #[test]
    fn json_is_escaped() {
        let status = Status::new(Code::InvalidArgument, "a \"b\" \\ \n \u{fc}", Detail::BadRequest);
        for detail in [Detail::None, Detail::BadRequest, Detail::Retry { after_ms: 1_050 }] {
            let parsed: serde_json::Value = serde_json::from_str(&status.to_json(detail)).unwrap();
            assert_eq!(parsed["message"], "a \"b\" \\ \n \u{fc}");
            assert_eq!(parsed["code"], 3);
            let first = &parsed["details"][0];
            match detail {
                Detail::None => assert!(first.is_null()),
                Detail::BadRequest => assert_eq!(first["fieldViolations"][0]["description"], parsed["message"]),
                Detail::Retry { .. } => assert_eq!(first["retryDelay"], "1.050s"),
            }
        }
    }

    /// R7, R8: 64-bit numbers are strings, what is unset is left out.
    #[test]
    fn partial_success_in_json() {
        for (rejected, message, expected) in [
            (3, "a \"b\"", r#"{"partialSuccess":{"rejectedDataPoints":"3","errorMessage":"a \"b\""}}"#),
            (0, "warning", r#"{"partialSuccess":{"errorMessage":"warning"}}"#),
            (7, "", r#"{"partialSuccess":{"rejectedDataPoints":"7"}}"#),
        ] {
            let partial = PartialSuccess { rejected_data_points: rejected, error_message: message.into() };
            assert_eq!(partial.to_json(), expected);
        }
    }

    /// R4: a message is shrunk at a character.
    #[test]
    fn messages_shrink() {
        assert_eq!(shrink("a\u{fc}b", 2), "a");
        assert_eq!(shrink("abc", 8), "abc");
    }
}
