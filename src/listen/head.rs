//! What the head of a request asks for, or why it is refused before a byte of its body is taken.
//!
//! Headers in, verdict out; only `net::hops` remembers where a request came from. Does not know sessions.
//!
//! Source: OTLP specification, "OTLP/HTTP Request" and "OTLP/gRPC"; lines R13, R14, R15, R25.

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, Method};

use super::answer::{BodyFormat, RequestFault};
use super::options::Options;
use crate::clock::Now;
use crate::model::Door;
use crate::net::grpc;
use crate::net::inflate::Coding;

/// The one gRPC method.
pub(super) const GRPC_PATH: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

/// How to speak to the client of this request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// Trailers.
    Grpc,
    /// Status codes and bodies.
    Http(BodyFormat),
}

impl Protocol {
    /// The door that the request is counted for.
    pub(super) fn door(self) -> Door {
        match self {
            Protocol::Grpc => Door::OtlpGrpc,
            Protocol::Http(_) => Door::OtlpHttp,
        }
    }
}

/// How the body of a request is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BodyTerms {
    /// What the body, or the message behind the gRPC prefix, is encoded with.
    pub coding: Coding,
    /// Monotonic nanoseconds by which the body has to be whole; `u64::MAX` for none.
    pub deadline_ns: u64,
}

/// Reads a head. `can_trail` says whether the session can send trailers (HTTP/2).
pub(super) fn read_head(
    method: &Method,
    path: &str,
    headers: &HeaderMap,
    can_trail: bool,
    options: &Options,
    now: Now,
) -> (Protocol, Result<BodyTerms, RequestFault>) {
    let content_type = headers.get(CONTENT_TYPE).map(|value| value.as_bytes()).unwrap_or_default();
    // where a request came from is noted only if nothing else is wrong with it
    let enter = |terms: BodyTerms| match options.hops {
        Some(hops) if !hops.enter(headers, now.mono_ns) => Err(RequestFault::Loop),
        _ => Ok(terms),
    };
    if can_trail && grpc::is_grpc(content_type) {
        if method != Method::POST {
            return (Protocol::Http(BodyFormat::Protobuf), Err(RequestFault::Method));
        }
        return (Protocol::Grpc, read_grpc_head(path, headers, options, now).and_then(enter));
    }
    let media_type = grpc::media_type(content_type);
    let is_json = media_type.eq_ignore_ascii_case(b"application/json");
    let format = if is_json { BodyFormat::Json } else { BodyFormat::Protobuf };
    let verdict = if path == GRPC_PATH {
        Err(RequestFault::MediaType)
    } else if path != options.http_path {
        Err(RequestFault::Path)
    } else if method != Method::POST {
        Err(RequestFault::Method)
    } else if !is_json && !media_type.eq_ignore_ascii_case(b"application/x-protobuf") {
        Err(RequestFault::MediaType)
    } else if declared(headers) > options.max_body as u64 {
        Err(RequestFault::TooLarge { limit: options.max_body })
    } else {
        encoding(headers, CONTENT_ENCODING.as_str()).map(|coding| BodyTerms { coding, deadline_ns: u64::MAX })
    };
    (Protocol::Http(format), verdict.and_then(enter))
}

fn read_grpc_head(path: &str, headers: &HeaderMap, options: &Options, now: Now) -> Result<BodyTerms, RequestFault> {
    if path != GRPC_PATH {
        return Err(RequestFault::GrpcMethod);
    }
    if declared(headers) > (options.max_body + grpc::PREFIX_BYTES) as u64 {
        return Err(RequestFault::TooLarge { limit: options.max_body });
    }
    let coding = encoding(headers, "grpc-encoding")?;
    let deadline_ns = match headers.get("grpc-timeout") {
        None => u64::MAX,
        Some(value) => {
            let timeout =
                grpc::timeout_ns(value.as_bytes()).ok_or(RequestFault::Framing("grpc-timeout is malformed"))?;
            now.mono_ns.saturating_add(timeout)
        }
    };
    Ok(BodyTerms { coding, deadline_ns })
}

/// Content-Length, 0 when there is none. The sessions check that it is a number and true.
fn declared(headers: &HeaderMap) -> u64 {
    headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or(0)
}

/// What the named header says; identity, empty and absent are no encoding.
fn encoding(headers: &HeaderMap, name: &str) -> Result<Coding, RequestFault> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(Coding::Identity) };
    if values.next().is_some() {
        return Err(RequestFault::Encoding);
    }
    let word = value.as_bytes().trim_ascii();
    // RFC 9110, 8.4.1.3: the two are the same
    if word.eq_ignore_ascii_case(b"gzip") || word.eq_ignore_ascii_case(b"x-gzip") {
        Ok(Coding::Gzip)
    } else if word.eq_ignore_ascii_case(b"zstd") {
        Ok(Coding::Zstd)
    } else if word.is_empty() || word.eq_ignore_ascii_case(b"identity") {
        Ok(Coding::Identity)
    } else {
        Err(RequestFault::Encoding)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::hops::{self, Hops};
    use http::{HeaderName, HeaderValue};
    use std::time::Duration;

    fn verdict(
        method: &str,
        path: &str,
        headers: &[(&'static str, &'static str)],
        can_trail: bool,
    ) -> (Protocol, Result<BodyTerms, RequestFault>) {
        let map: HeaderMap = headers
            .iter()
            .map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        read_head(&method.parse().unwrap(), path, &map, can_trail, &Options::default(), Now::at(1_000))
    }

    const TERMS: BodyTerms = BodyTerms { coding: Coding::Identity, deadline_ns: u64::MAX };
    const HTTP: Protocol = Protocol::Http(BodyFormat::Protobuf);
    const JSON: Protocol = Protocol::Http(BodyFormat::Json);

    /// R13, R14, R15 over HTTP.
    #[test]
    fn http_heads() {
        let proto = ("content-type", "application/x-protobuf");
        let table: [(&str, &str, &[(&str, &str)], (Protocol, Result<BodyTerms, RequestFault>)); 18] = [
            ("POST", "/v1/metrics", &[proto], (HTTP, Ok(TERMS))),
            ("POST", "/v1/metrics", &[("content-type", "Application/X-Protobuf; charset=utf-8")], (HTTP, Ok(TERMS))),
            (
                "POST",
                "/v1/metrics",
                &[proto, ("content-encoding", "GZIP")],
                (HTTP, Ok(BodyTerms { coding: Coding::Gzip, ..TERMS })),
            ),
            ("POST", "/v1/metrics", &[proto, ("content-encoding", "identity")], (HTTP, Ok(TERMS))),
            ("POST", "/v1/metrics", &[proto, ("content-encoding", "gzip, gzip")], (HTTP, Err(RequestFault::Encoding))),
            (
                "POST",
                "/v1/metrics",
                &[proto, ("content-encoding", "zstd")],
                (HTTP, Ok(BodyTerms { coding: Coding::Zstd, ..TERMS })),
            ),
            ("POST", "/v1/metrics", &[proto, ("content-encoding", "zstd, gzip")], (HTTP, Err(RequestFault::Encoding))),
            ("POST", "/v1/metrics", &[proto, ("content-encoding", "br")], (HTTP, Err(RequestFault::Encoding))),
            ("POST", "/v1/metrics", &[], (HTTP, Err(RequestFault::MediaType))),
            ("POST", "/v1/metrics", &[("content-type", "text/plain")], (HTTP, Err(RequestFault::MediaType))),
            ("POST", "/v1/metrics", &[("content-type", "application/json")], (JSON, Ok(TERMS))),
            (
                "POST",
                "/v1/metrics",
                &[("content-type", "Application/JSON;charset=UTF-8"), ("content-encoding", "zstd")],
                (JSON, Ok(BodyTerms { coding: Coding::Zstd, ..TERMS })),
            ),
            (
                "POST",
                "/v1/metrics",
                &[("content-type", "application/json"), ("content-encoding", "br")],
                (JSON, Err(RequestFault::Encoding)),
            ),
            ("GET", "/v1/metrics", &[proto], (HTTP, Err(RequestFault::Method))),
            ("POST", "/v1/traces", &[proto], (HTTP, Err(RequestFault::Path))),
            ("POST", "/v1/logs", &[("content-type", "application/json")], (JSON, Err(RequestFault::Path))),
            ("POST", GRPC_PATH, &[proto], (HTTP, Err(RequestFault::MediaType))),
            (
                "POST",
                "/v1/metrics",
                &[proto, ("content-length", "67108865")],
                (HTTP, Err(RequestFault::TooLarge { limit: 64 << 20 })),
            ),
        ];
        for (method, path, headers, expected) in table {
            assert_eq!(verdict(method, path, headers, true), expected, "{method} {path} {headers:?}");
            assert_eq!(verdict(method, path, headers, false), expected, "{method} {path} {headers:?}");
        }
    }

    /// What has been here before is refused, in either protocol; what is refused for something else is not noted.
    #[test]
    fn what_comes_back_is_refused() {
        let hops: &'static Hops = Box::leak(Box::new(Hops::new(1, Duration::ZERO)));
        let options = Options { hops: Some(hops), ..Options::default() };
        let read_head = |path: &str, content_type: &'static str, id: u64| {
            let from = Hops::new(id, Duration::ZERO).value(0);
            let map =
                [(CONTENT_TYPE, HeaderValue::from_static(content_type)), (hops::NAME, from)].into_iter().collect();
            read_head(&Method::POST, path, &map, true, &options, Now::at(1_000)).1
        };
        for (path, content_type) in [(GRPC_PATH, "application/grpc"), ("/v1/metrics", "application/x-protobuf")] {
            assert_eq!(read_head(path, content_type, 1), Err(RequestFault::Loop));
            assert!(read_head("/none", content_type, 2).is_err());
            assert_eq!(hops.value(1_000), "0000000000000001");
        }
        for (path, content_type) in [(GRPC_PATH, "application/grpc"), ("/v1/metrics", "application/x-protobuf")] {
            assert_eq!(read_head(path, content_type, 2), Ok(TERMS));
            assert_eq!(hops.value(1_000), "0000000000000001,0000000000000002");
        }
    }

    /// R14, R15, R25 over gRPC.
    #[test]
    fn grpc_heads() {
        let grpc = ("content-type", "application/grpc");
        let table: [(&str, &str, &[(&str, &str)], (Protocol, Result<BodyTerms, RequestFault>)); 8] = [
            ("POST", GRPC_PATH, &[grpc], (Protocol::Grpc, Ok(TERMS))),
            (
                "POST",
                GRPC_PATH,
                &[grpc, ("grpc-encoding", "gzip")],
                (Protocol::Grpc, Ok(BodyTerms { coding: Coding::Gzip, ..TERMS })),
            ),
            (
                "POST",
                GRPC_PATH,
                &[grpc, ("grpc-encoding", "zstd")],
                (Protocol::Grpc, Ok(BodyTerms { coding: Coding::Zstd, ..TERMS })),
            ),
            ("POST", GRPC_PATH, &[grpc, ("grpc-encoding", "snappy")], (Protocol::Grpc, Err(RequestFault::Encoding))),
            (
                "POST",
                GRPC_PATH,
                &[grpc, ("grpc-timeout", "1u")],
                (Protocol::Grpc, Ok(BodyTerms { deadline_ns: 2_000, ..TERMS })),
            ),
            (
                "POST",
                GRPC_PATH,
                &[grpc, ("grpc-timeout", "soon")],
                (Protocol::Grpc, Err(RequestFault::Framing("grpc-timeout is malformed"))),
            ),
            ("POST", "/a.b/C", &[grpc], (Protocol::Grpc, Err(RequestFault::GrpcMethod))),
            ("GET", GRPC_PATH, &[grpc], (HTTP, Err(RequestFault::Method))),
        ];
        for (method, path, headers, expected) in table {
            assert_eq!(verdict(method, path, headers, true), expected, "{method} {path} {headers:?}");
        }
        assert_eq!(verdict("POST", GRPC_PATH, &[grpc], false), (HTTP, Err(RequestFault::MediaType)));
    }
}
