//! What `--out` says, parsed once into a type that cannot be wrong.
//!
//! Does not know: sockets, names' addresses, queues. Pure text in, plain value out.
//!
//! Invariants:
//! 1. A `Destination` from `parse_out` can be delivered to without another check: host, port and path are well-formed.
//! 2. `name` holds neither query options nor credentials; a URL with credentials is refused, not stripped.
//!
//! Bounds: queue between `QUEUE_BYTES_MIN` and `QUEUE_BYTES_MAX`; timeout between 100 ms and 5 min.
//!
//! Source: OTLP specification 1.x, "OTLP/HTTP Request" and the exporter specification's "Endpoint URLs for OTLP/HTTP" (E15).

use std::path::PathBuf;
use std::time::Duration;

use crate::limits::{BATCH_BYTES_MAX, MIB, QUEUE_BYTES_DEFAULT, REQUEST_TIMEOUT};
use crate::model::Temporality;

/// Smallest `?queue=`: two of the largest batches, so that a full queue is never one batch alone.
pub const QUEUE_BYTES_MIN: usize = 2 * BATCH_BYTES_MAX;
/// Largest `?queue=`.
pub const QUEUE_BYTES_MAX: usize = 1024 * 1024 * MIB;
/// Shortest `?timeout=`.
pub const TIMEOUT_MIN: Duration = Duration::from_millis(100);
/// Longest `?timeout=`.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(300);

/// What a request body is packed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// As it is.
    None,
    /// gzip, level 1: on the deliver thread, traded for bandwidth.
    Gzip,
}

/// A network destination's address as the operator wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Host name or IP address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl Endpoint {
    /// `host:port` as it stands in a URL; IPv6 addresses in brackets.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// The address is this machine's own, as written (nothing is resolved).
    pub fn is_loopback(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost")
            || self.host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

/// Where requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// OTLP over gRPC, HTTP/2 without TLS.
    OtlpGrpc(Endpoint),
    /// OTLP over HTTP/1.1, protobuf, POST to `path` (with its leading slash).
    OtlpHttp {
        /// Where to connect.
        endpoint: Endpoint,
        /// Path of the request, `/v1/metrics` for a base endpoint.
        path: String,
    },
    /// One line of OTLP/JSON per request on standard output.
    Stdout,
    /// One line of OTLP/JSON per request, appended to a file.
    File(PathBuf),
}

/// One `--out`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Label in metrics, ledger and log: the URL without its options. `start` makes it unique. No secrets.
    pub name: String,
    /// Where requests go.
    pub target: Target,
    /// Asked for with `?temporality=`; `None` is the default of the program (cumulative).
    pub temporality: Option<Temporality>,
    /// `?compression=`. Default: gzip, but none to a loopback address, where bandwidth is free and CPU is not.
    pub compression: Compression,
    /// `?queue=`: accounted bytes of batches held in memory, those in flight included.
    pub queue_bytes: usize,
    /// `?timeout=`: time one request may take, connecting included.
    pub timeout: Duration,
}

const SCHEMES: &str = "otlp-grpc://HOST:PORT, otlp-http://HOST:PORT[/PATH], stdout or file:PATH";

/// Parses one `--out`.
///
/// # Errors
/// A sentence that names the option, the given value and the remedy.
pub fn parse_out(url: &str) -> Result<Destination, String> {
    let (address, query) = match url.split_once('?') {
        Some((address, query)) => (address, Some(query)),
        None => (url, None),
    };
    let (target, name) = parse_target(url, address)?;
    let network = matches!(target, Target::OtlpGrpc(_) | Target::OtlpHttp { .. });
    let loopback = match &target {
        Target::OtlpGrpc(endpoint) | Target::OtlpHttp { endpoint, .. } => endpoint.is_loopback(),
        Target::Stdout | Target::File(_) => true,
    };
    let mut destination = Destination {
        name,
        target,
        temporality: None,
        compression: if loopback { Compression::None } else { Compression::Gzip },
        queue_bytes: QUEUE_BYTES_DEFAULT,
        timeout: REQUEST_TIMEOUT,
    };
    let mut seen: Vec<&str> = Vec::new();
    for option in query.unwrap_or("").split('&').filter(|option| !option.is_empty()) {
        let Some((key, value)) = option.split_once('=') else {
            return Err(format!("--out {url}: option `{option}` has no value: write {option}=VALUE"));
        };
        if seen.contains(&key) {
            return Err(format!("--out {url}: option `{key}` stands twice: keep one"));
        }
        seen.push(key);
        if !network && (key == "compression" || key == "timeout") {
            return Err(format!("--out {url}: option `{key}` is for otlp-grpc and otlp-http: remove it"));
        }
        set_option(&mut destination, key, value).map_err(|error| format!("--out {url}: {error}"))?;
    }
    Ok(destination)
}

fn set_option(destination: &mut Destination, key: &str, value: &str) -> Result<(), String> {
    match key {
        "temporality" => {
            destination.temporality = Some(match value {
                "delta" => Temporality::Delta,
                "cumulative" => Temporality::Cumulative,
                _ => return Err(format!("temporality=`{value}` is unknown: write delta or cumulative")),
            });
        }
        "compression" => {
            destination.compression = match value {
                "gzip" => Compression::Gzip,
                "none" => Compression::None,
                _ => return Err(format!("compression=`{value}` is unknown: write gzip or none")),
            };
        }
        "queue" => {
            let bytes = parse_bytes(value).ok_or_else(|| {
                format!("queue=`{value}` is no size: write a whole number with B, KiB, MiB or GiB, as in 256MiB")
            })?;
            if !(QUEUE_BYTES_MIN..=QUEUE_BYTES_MAX).contains(&bytes) {
                return Err(format!(
                    "queue=`{value}` is out of range: write between {}MiB and 1024GiB",
                    QUEUE_BYTES_MIN / MIB
                ));
            }
            destination.queue_bytes = bytes;
        }
        "timeout" => {
            let timeout = parse_duration(value).ok_or_else(|| {
                format!("timeout=`{value}` is no time: write a whole number with ms, s or m, as in 10s")
            })?;
            if !(TIMEOUT_MIN..=TIMEOUT_MAX).contains(&timeout) {
                return Err(format!("timeout=`{value}` is out of range: write between 100ms and 5m"));
            }
            destination.timeout = timeout;
        }
        _ => {
            return Err(format!(
                "option `{key}` (given `{value}`) is unknown: the options are temporality, compression, queue, timeout"
            ));
        }
    }
    Ok(())
}

fn parse_target(url: &str, address: &str) -> Result<(Target, String), String> {
    if address == "stdout" {
        return Ok((Target::Stdout, "stdout".to_owned()));
    }
    if let Some(path) = address.strip_prefix("file:") {
        if path.is_empty() || path.contains('\0') {
            return Err(format!("--out {url}: file has no path: write file:PATH"));
        }
        return Ok((Target::File(PathBuf::from(path)), format!("file:{path}")));
    }
    let (http, rest) = if let Some(rest) = address.strip_prefix("otlp-grpc://") {
        (false, rest)
    } else if let Some(rest) = address.strip_prefix("otlp-http://") {
        (true, rest)
    } else if address.starts_with("https://")
        || address.starts_with("otlp-https://")
        || address.starts_with("otlp-grpcs://")
    {
        return Err(format!("--out {url}: TLS is not built in yet: send through a local proxy, or write {SCHEMES}"));
    } else {
        return Err(format!("--out {url}: `{address}` is no destination: write {SCHEMES}"));
    };
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    if authority.contains('@') {
        return Err(
            "--out: credentials in a URL end up in logs and process lists: remove what stands before the @".to_owned()
        );
    }
    let endpoint =
        parse_authority(authority, if http { 4318 } else { 4317 }).map_err(|error| format!("--out {url}: {error}"))?;
    if !http {
        if !(path.is_empty() || path == "/") {
            return Err(format!("--out {url}: otlp-grpc takes no path (given `{path}`): remove it"));
        }
        let name = format!("otlp-grpc://{}", endpoint.authority());
        return Ok((Target::OtlpGrpc(endpoint), name));
    }
    // E15: a base endpoint appends v1/metrics; a URL with a path is used as given
    let path = if path.is_empty() || path == "/" { "/v1/metrics" } else { path };
    if path.parse::<http::uri::PathAndQuery>().is_err() || path.contains('#') {
        return Err(format!("--out {url}: path `{path}` has characters that a URL cannot have: percent-encode them"));
    }
    let name = format!("otlp-http://{}{path}", endpoint.authority());
    Ok((Target::OtlpHttp { endpoint, path: path.to_owned() }, name))
}

fn parse_authority(authority: &str, default_port: u16) -> Result<Endpoint, String> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let Some((host, after)) = rest.split_once(']') else {
            return Err(format!("host `{authority}` has no closing bracket: write [ADDRESS]:PORT"));
        };
        if host.parse::<std::net::Ipv6Addr>().is_err() {
            return Err(format!("`{host}` is no IPv6 address: write [ADDRESS]:PORT"));
        }
        match after.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if after.is_empty() => (host, None),
            None => return Err(format!("`{after}` after the bracket: write [ADDRESS]:PORT")),
        }
    } else {
        match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        }
    };
    if host.is_empty() || !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte)) {
        return Err(format!("host `{host}` is no name and no address: write HOST:PORT"));
    }
    let port = match port {
        None => default_port,
        Some(text) => match text.parse::<u16>() {
            Ok(port) if port > 0 && text.bytes().all(|byte| byte.is_ascii_digit()) => port,
            _ => return Err(format!("port `{text}` is no port: write a number from 1 to 65535")),
        },
    };
    Ok(Endpoint { host: host.to_owned(), port })
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit))
}

fn parse_bytes(text: &str) -> Option<usize> {
    let (number, unit) = split_unit(text)?;
    let scale: u64 = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    usize::try_from(number.checked_mul(scale)?).ok()
}

fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text)?;
    let scale: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        _ => return None,
    };
    Some(Duration::from_millis(number.checked_mul(scale)?))
}
