//! What became of a request, and how that is said over HTTP and over gRPC.
//!
//! Pure: does not know sessions or sockets. Invariants: 1. every 4xx and 5xx over HTTP carries a `google.rpc.Status`
//! in the encoding of the request (R12); 2. a refusal that may be retried says when (R9, R10), one that may not says
//! nothing of the kind: RESOURCE_EXHAUSTED has no RetryInfo (R2); 3. messages are at most
//! `limits::ERROR_MESSAGE_BYTES_MAX` bytes, so that no answer comes near the limit of responses (R4).

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use prost::Message;

use super::status::{Detail, ExportResponse, PartialSuccess, Status, shrink};
use crate::limits;
use crate::model::{Answer, Receipt, Refusal};
use crate::net::grpc::{self, Code};
use crate::otlp::json_in;

/// Content type of gRPC answers.
pub(super) const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Content type of pages in words.
pub(super) const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("accept-encoding");
const ENCODINGS: HeaderValue = HeaderValue::from_static("identity,gzip,zstd");

/// Encoding of bodies over HTTP, as the request has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyFormat {
    /// `application/x-protobuf`
    Protobuf,
    /// `application/json`
    Json,
}

/// Why a request got no receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RequestFault {
    /// Another path.
    Path,
    /// Another HTTP method.
    Method,
    /// Another content type.
    MediaType,
    /// A body that is no OTLP/JSON.
    Json(json_in::JsonFault),
    /// Another `Content-Encoding` or `grpc-encoding`.
    Encoding,
    /// Another gRPC method.
    GrpcMethod,
    /// gRPC framing that is wrong.
    Framing(&'static str),
    /// More bytes than the limit, before or after decompression.
    TooLarge {
        /// The limit, bytes.
        limit: usize,
    },
    /// `Intake::reserve` said no.
    NoBudget,
    /// A head, or the frame of a chunk, that cannot be read, or could be read in two ways.
    Head(&'static str),
    /// A target of too many bytes.
    TargetTooLong,
    /// A head of too many bytes.
    HeadTooLarge,
    /// A compressed body that is broken.
    Inflate(&'static str),
    /// What the intake said.
    Refused(Refusal),
    /// `grpc-timeout` ran out before the body was whole.
    Deadline,
    /// It has been here before.
    Loop,
    /// The body came too slowly.
    Slow,
    /// The body came for too long.
    Long,
}

/// What became of a request.
pub(super) type RequestOutcome = Result<Receipt, RequestFault>;

/// How a fault is said.
struct FaultReply<'a> {
    http: StatusCode,
    code: Code,
    message: Cow<'a, str>,
    detail: Detail,
    answer: Answer,
}

impl RequestFault {
    fn reply(&self) -> FaultReply<'_> {
        use Answer as A;
        use StatusCode as S;
        let (http, code, answer, message) = match self {
            RequestFault::Path => {
                (S::NOT_FOUND, Code::NotFound, A::Unsupported, "only metrics are served here: POST /v1/metrics".into())
            }
            RequestFault::Method => {
                (S::METHOD_NOT_ALLOWED, Code::Unimplemented, A::Unsupported, "use the method POST".into())
            }
            RequestFault::MediaType => (
                S::UNSUPPORTED_MEDIA_TYPE,
                Code::InvalidArgument,
                A::Unsupported,
                "content type must be application/x-protobuf or application/json, or application/grpc over HTTP/2"
                    .into(),
            ),
            RequestFault::Json(fault) => {
                (S::BAD_REQUEST, Code::InvalidArgument, A::Malformed, fault.to_string().into())
            }
            RequestFault::Encoding => (
                S::UNSUPPORTED_MEDIA_TYPE,
                Code::Unimplemented,
                A::Unsupported,
                "encoding must be identity, gzip or zstd, once".into(),
            ),
            RequestFault::GrpcMethod => (
                S::NOT_FOUND,
                Code::Unimplemented,
                A::Unsupported,
                "only opentelemetry.proto.collector.metrics.v1.MetricsService/Export is served here".into(),
            ),
            RequestFault::Framing(what) => (S::BAD_REQUEST, Code::Internal, A::Malformed, (*what).into()),
            RequestFault::Head(what) => (S::BAD_REQUEST, Code::InvalidArgument, A::Malformed, (*what).into()),
            RequestFault::TargetTooLong => {
                (S::URI_TOO_LONG, Code::InvalidArgument, A::TooLarge, "the target of a request may have 8 KiB".into())
            }
            RequestFault::HeadTooLarge => (
                S::REQUEST_HEADER_FIELDS_TOO_LARGE,
                Code::ResourceExhausted,
                A::TooLarge,
                "the head of a request may have 16 KiB and 100 fields".into(),
            ),
            RequestFault::TooLarge { limit } => (
                S::PAYLOAD_TOO_LARGE,
                Code::ResourceExhausted,
                A::TooLarge,
                format!("request is larger than --max-body ({limit} bytes): send smaller batches or raise it").into(),
            ),
            RequestFault::NoBudget => (
                S::SERVICE_UNAVAILABLE,
                Code::Unavailable,
                A::Overloaded,
                "memory budget for request bodies is spent: retry, or raise --memory-limit".into(),
            ),
            RequestFault::Inflate(what) => (S::BAD_REQUEST, Code::InvalidArgument, A::Malformed, (*what).into()),
            RequestFault::Refused(Refusal::Malformed(what)) => {
                (S::BAD_REQUEST, Code::InvalidArgument, A::Malformed, what.as_str().into())
            }
            RequestFault::Refused(Refusal::Overloaded { why, .. }) => {
                (S::SERVICE_UNAVAILABLE, Code::Unavailable, A::Overloaded, why.as_str().into())
            }
            RequestFault::Deadline => (
                S::GATEWAY_TIMEOUT,
                Code::DeadlineExceeded,
                A::Timeout,
                "grpc-timeout ran out before the request was whole; nothing was applied".into(),
            ),
            RequestFault::Loop => (
                S::BAD_REQUEST,
                Code::FailedPrecondition,
                A::Unsupported,
                "a loop: what this instance sent has come back to it; one of the --out between the instances it came \
                 through must go"
                    .into(),
            ),
            RequestFault::Slow => (
                S::REQUEST_TIMEOUT,
                Code::DeadlineExceeded,
                A::Timeout,
                "the body came slower than 1024 bytes per second; nothing was applied".into(),
            ),
            RequestFault::Long => (
                S::REQUEST_TIMEOUT,
                Code::DeadlineExceeded,
                A::Timeout,
                "the body was not whole after 5 minutes; nothing was applied: send smaller batches".into(),
            ),
        };
        let detail = match self {
            RequestFault::NoBudget => Detail::Retry { after_ms: limits::BUDGET_RETRY_MS },
            RequestFault::Refused(Refusal::Overloaded { retry_after_ms, .. }) => {
                Detail::Retry { after_ms: *retry_after_ms }
            }
            RequestFault::Refused(Refusal::Malformed(_)) | RequestFault::Inflate(_) | RequestFault::Json(_) => {
                Detail::BadRequest
            }
            _ => Detail::None,
        };
        let message = match message {
            Cow::Borrowed(text) => shrink(text, limits::ERROR_MESSAGE_BYTES_MAX).into(),
            owned => owned,
        };
        FaultReply { http, code, message, detail, answer }
    }
}

impl RequestFault {
    /// What the client is told.
    pub(super) fn words(&self) -> String {
        self.reply().message.into_owned()
    }
}

/// The label of an outcome.
pub(super) fn answer(outcome: &RequestOutcome) -> Answer {
    match outcome {
        Ok(receipt) if is_partial(receipt) => Answer::Partial,
        Ok(_) => Answer::Ok,
        Err(fault) => fault.reply().answer,
    }
}

fn is_partial(receipt: &Receipt) -> bool {
    receipt.rejected > 0 || receipt.message.as_ref().is_some_and(|message| !message.is_empty())
}

/// What a receipt says beyond success (R7, R8).
fn partial(receipt: &Receipt) -> PartialSuccess {
    let message = receipt.message.as_deref().unwrap_or_default();
    PartialSuccess {
        rejected_data_points: i64::try_from(receipt.rejected).unwrap_or(i64::MAX),
        error_message: shrink(message, limits::ERROR_MESSAGE_BYTES_MAX).to_owned(),
    }
}

/// `ExportMetricsServiceResponse`, behind `prefix` spare bytes.
fn receipt_bytes(receipt: &Receipt, prefix: usize) -> Vec<u8> {
    let mut bytes = vec![0; prefix];
    // encoding into a Vec cannot run out of room
    let _ = ExportResponse { partial_success: Some(partial(receipt)) }.encode(&mut bytes);
    bytes
}

/// The answer over HTTP, either version.
pub(super) fn over_http(outcome: &RequestOutcome, format: BodyFormat) -> Response<Bytes> {
    let content_type = match format {
        BodyFormat::Protobuf => PROTOBUF,
        BodyFormat::Json => JSON,
    };
    let mut response = Response::new(Bytes::new());
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    match outcome {
        // R6: unset is 0 bytes, or an object without members
        Ok(receipt) => {
            *response.body_mut() = match (format, is_partial(receipt)) {
                (BodyFormat::Protobuf, false) => Bytes::new(),
                (BodyFormat::Protobuf, true) => receipt_bytes(receipt, 0).into(),
                (BodyFormat::Json, false) => Bytes::from_static(b"{}"),
                (BodyFormat::Json, true) => partial(receipt).to_json().into(),
            }
        }
        Err(fault) => {
            let reply = fault.reply();
            let status = Status::new(reply.code, &reply.message, reply.detail);
            *response.status_mut() = reply.http;
            *response.body_mut() = match format {
                BodyFormat::Protobuf => status.encode_to_vec().into(),
                BodyFormat::Json => status.to_json(reply.detail).into(),
            };
            if let Detail::Retry { after_ms } = reply.detail {
                response.headers_mut().insert(RETRY_AFTER, after_ms.div_ceil(1_000).max(1).into());
            }
            match fault {
                RequestFault::Method => drop(response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"))),
                RequestFault::Encoding => drop(response.headers_mut().insert(ACCEPT_ENCODING, ENCODINGS)),
                _ => {}
            }
        }
    }
    response
}

/// Type and content of the answer to a head that `hyper` refused with this status. Nobody knows what encoding the request
/// has, so it is protobuf.
pub(super) fn to_bad_head(status: u16) -> (HeaderValue, Bytes) {
    let fault = bad_head(status);
    let reply = fault.reply();
    (PROTOBUF, Status::new(reply.code, &reply.message, reply.detail).encode_to_vec().into())
}

/// The same for who reads pages: in words.
pub(super) fn page_to_bad_head(status: u16) -> (HeaderValue, Bytes) {
    (TEXT, format!("{}\n", bad_head(status).reply().message).into())
}

fn bad_head(status: u16) -> RequestFault {
    match status {
        414 => RequestFault::TargetTooLong,
        431 => RequestFault::HeadTooLarge,
        _ => RequestFault::Head("the head of the request is malformed, or could be read in two ways (RFC 9112)"),
    }
}

/// The message and trailers of a gRPC success.
pub(super) struct GrpcSuccess {
    trailers: HeaderMap,
}

impl Default for GrpcSuccess {
    fn default() -> Self {
        let mut trailers = HeaderMap::with_capacity(1);
        trailers.insert(GRPC_STATUS, HeaderValue::from_static("0"));
        GrpcSuccess { trailers }
    }
}

impl GrpcSuccess {
    /// The one message of the answer, with its prefix.
    pub(super) fn message(&self, receipt: &Receipt) -> Bytes {
        if !is_partial(receipt) {
            return Bytes::from_static(grpc::EMPTY_MESSAGE);
        }
        let mut bytes = receipt_bytes(receipt, grpc::PREFIX_BYTES);
        let length = (bytes.len() - grpc::PREFIX_BYTES) as u32;
        bytes[1..grpc::PREFIX_BYTES].copy_from_slice(&length.to_be_bytes());
        bytes.into()
    }

    /// `grpc-status: 0`
    pub(super) fn trailers(&self) -> HeaderMap {
        self.trailers.clone()
    }
}

/// A gRPC failure: headers that end the stream.
pub(super) fn trailers_only(fault: &RequestFault) -> HeaderMap {
    let reply = fault.reply();
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(CONTENT_TYPE, GRPC);
    headers.insert(GRPC_STATUS, (reply.code as u16).into());
    let message = shrink(&reply.message, limits::ERROR_MESSAGE_BYTES_MAX / 4);
    headers.extend(HeaderValue::try_from(grpc::percent_encode(message)).ok().map(|value| (GRPC_MESSAGE, value)));
    if reply.detail != Detail::None {
        let status = Status::new(reply.code, message, reply.detail);
        let value = HeaderValue::try_from(grpc::base64(&status.encode_to_vec())).ok();
        headers.extend(value.map(|value| (GRPC_DETAILS, value)));
    }
    if *fault == RequestFault::Encoding {
        headers.insert(GRPC_ACCEPT_ENCODING, ENCODINGS);
    }
    headers
}
