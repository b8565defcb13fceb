//! What `--out` says, parsed once into a type that cannot be wrong.
//!
//! Does not know: sockets, names' addresses, queues. Pure text in, plain value out.
//!
//! Invariants:
//! 1. A `Destination` from `parse_out` can be delivered to without another check: host, port and path are well-formed.
//! 2. `name` holds neither query options nor credentials, nor a path, in which some vendors have tokens; a URL with
//!    credentials is refused, not stripped. No error repeats a path, credentials, or the value of an option that is not one
//!    of ours (T21).
//!
//! Bounds: queue between `QUEUE_BYTES_MIN` and `QUEUE_BYTES_MAX`; timeout between 100 ms and 5 min; `IN_FLIGHT_LIMIT`
//! requests in flight, `OUT_CONNECTIONS_MAX` connections.
//!
//! Source: OTLP specification 1.x, "OTLP/HTTP Request" and the exporter specification's "Endpoint URLs for OTLP/HTTP" (E15).

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::headers::{HeaderSources, Headers};
use super::tls::{self, Tls};
use crate::limits::{
    BATCH_BYTES_MAX, IN_FLIGHT_LIMIT, IN_FLIGHT_MAX, MIB, OUT_CONNECTIONS_MAX, QUEUE_BYTES_DEFAULT, REQUEST_TIMEOUT,
    TLS_SESSION_BYTES,
};
use crate::model::{SelectionNumber, Temporality};
use crate::nearest::nearest;
use crate::problem::{Flaw, Problem};
use crate::rules::Selection;
use crate::units::{Unread, count, duration, size};

/// Smallest `?queue=`: two of the largest batches, so that a full queue is never one batch alone.
pub(super) const QUEUE_BYTES_MIN: usize = 2 * BATCH_BYTES_MAX;
/// Largest `?queue=`.
pub(super) const QUEUE_BYTES_MAX: usize = 1024 * 1024 * MIB;
/// Shortest `?timeout=`.
pub(super) const TIMEOUT_MIN: Duration = Duration::from_millis(100);
/// Longest `?timeout=`.
pub(super) const TIMEOUT_MAX: Duration = Duration::from_secs(300);

/// What a request body is packed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// As it is.
    None,
    /// gzip, level 1: on the deliver thread, traded for bandwidth.
    Gzip,
    /// zstd, level 1: smaller than gzip at less time, where the destination takes it.
    Zstd,
}

/// In which order requests go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryOrder {
    /// Those of one cut at once, those of the next when all of these have an outcome: no series goes back in time.
    ByCut,
    /// As they come: one that is tried again comes behind others that are newer.
    None,
}

/// A network destination's address as the operator wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Host name or IP address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// TLS is spoken there.
    pub secure: bool,
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

    /// The `Host` of requests: a port that HTTP takes for granted is left out, as servers that tell hosts apart expect
    /// (RFC 9110 section 4.2.3).
    pub fn host_field(&self) -> String {
        let authority = self.authority();
        let granted = if self.secure { ":443" } else { ":80" };
        authority.strip_suffix(granted).unwrap_or(&authority).to_owned()
    }

    /// The address is this machine's own, as written (nothing is resolved).
    pub fn is_loopback(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost")
            || self.host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

/// Where requests go.
#[derive(Clone, PartialEq, Eq)]
pub enum DeliveryTarget {
    /// OTLP over gRPC.
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

/// A path that is not the default one may be a token (T21).
impl fmt::Debug for DeliveryTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeliveryTarget::OtlpGrpc(endpoint) => f.debug_tuple("OtlpGrpc").field(endpoint).finish(),
            DeliveryTarget::OtlpHttp { endpoint, path } => {
                let path = if path == DEFAULT_PATH { path } else { "/…" };
                f.debug_struct("OtlpHttp").field("endpoint", endpoint).field("path", &path).finish()
            }
            DeliveryTarget::Stdout => f.write_str("Stdout"),
            DeliveryTarget::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

impl DeliveryTarget {
    /// Where to connect, if anywhere.
    pub fn endpoint(&self) -> Option<&Endpoint> {
        match self {
            DeliveryTarget::OtlpGrpc(endpoint) | DeliveryTarget::OtlpHttp { endpoint, .. } => Some(endpoint),
            DeliveryTarget::Stdout | DeliveryTarget::File(_) => None,
        }
    }

    /// There is something to connect to.
    pub fn is_network(&self) -> bool {
        self.endpoint().is_some()
    }

    /// TLS is spoken there.
    pub fn is_secure(&self) -> bool {
        self.endpoint().is_some_and(|endpoint| endpoint.secure)
    }
}

/// Files that one destination names itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnAccess {
    /// `?ca=`
    pub ca: Option<PathBuf>,
    /// `?cert=`
    pub cert: Option<PathBuf>,
    /// `?key=`
    pub key: Option<PathBuf>,
    /// `?headers=`
    pub headers: Option<PathBuf>,
}

/// One `--out`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Label in metrics, ledger and log: the URL without its options, its path cut (`/…`) unless it is the default one.
    /// `name_apart` makes it unique. No secrets. With `?name=` what that says.
    pub name: String,
    /// Somebody chose the name.
    pub is_named: bool,
    /// Where requests go.
    pub target: DeliveryTarget,
    /// Asked for with `?temporality=`; `None` is the default of the program (cumulative).
    pub temporality: Option<Temporality>,
    /// `?compression=`. Default: gzip, but none to a loopback address, where bandwidth is free and CPU is not.
    pub compression: Compression,
    /// `?queue=`: accounted bytes of batches held in memory, those in flight included.
    pub queue_bytes: usize,
    /// `?timeout=`: time one request may take, connecting included.
    pub timeout: Duration,
    /// `?in-flight=`: requests under way at once (E10); `None` is `Options::in_flight`.
    pub in_flight: Option<usize>,
    /// `?order=`
    pub order: DeliveryOrder,
    /// `?connections=` of gRPC, over which requests are spread (E10). HTTP/1.1 has one for each request in flight.
    pub connections: usize,
    /// What of all that leaves it gets.
    pub selection: Selection,
    /// The number of that, as shards know it: destinations that choose alike have the same.
    pub selection_number: SelectionNumber,
    /// Files it names for itself.
    pub access: OwnAccess,
    /// Put in by `Access::apply`: sent with every request.
    pub headers: Headers,
    /// Put in by `Access::apply`: where these are read again.
    pub header_sources: HeaderSources,
    /// Put in by `Access::apply`; a secure endpoint cannot be served without it.
    pub tls: Option<Tls>,
}

impl Destination {
    /// Connections or files that it has open at once, at most.
    pub fn descriptors(&self) -> usize {
        match self.target {
            DeliveryTarget::OtlpHttp { .. } => self.in_flight.unwrap_or(IN_FLIGHT_MAX),
            DeliveryTarget::OtlpGrpc(_) => self.connections,
            DeliveryTarget::Stdout | DeliveryTarget::File(_) => 1,
        }
    }

    /// Whether the same connections serve both: they differ in nothing that is asked when one is made, or said on it.
    pub(super) fn has_way_of(&self, other: &Destination) -> bool {
        (&self.target, &self.headers, &self.tls, self.in_flight, self.connections)
            == (&other.target, &other.headers, &other.tls, other.in_flight, other.connections)
    }

    /// Bytes of memory it can take beyond `limits::DESTINATION_BYTES`.
    pub fn bytes_max(&self) -> usize {
        let in_flight = self.in_flight.unwrap_or(IN_FLIGHT_MAX);
        let sessions = if self.target.is_secure() { self.descriptors() * TLS_SESSION_BYTES } else { 0 };
        self.queue_bytes + in_flight.saturating_sub(IN_FLIGHT_MAX) * BATCH_BYTES_MAX + sessions
    }
}

const SCHEMES: &str =
    "otlp-grpc://HOST:PORT, otlp-http://HOST:PORT[/PATH], with TLS otlp-grpcs:// or otlp-https://, stdout or file:PATH";
/// Names of the options behind `?`, as they are listed to people.
pub const OPTIONS: &str =
    "name, temporality, compression, queue, timeout, in-flight, order, connections, headers, ca, cert, key";

/// Bytes of a destination's name that somebody chose.
const NAME_BYTES_MAX: usize = 64;

/// The setting that all this is about.
const KEY: &str = "out";

/// Parses one `--out`.
///
/// # Errors
/// What is wrong with it, what may be given, and the remedy.
pub fn parse_out(url: &str) -> Result<Destination, Problem> {
    refuse_credentials(url)?;
    let (address, query) = match url.split_once('?') {
        Some((address, query)) => (address, Some(query)),
        None => (url, None),
    };
    let (target, name) =
        parse_target(address).map_err(|problem| if url.contains('@') { credentials() } else { problem })?;
    let loopback = target.endpoint().is_none_or(Endpoint::is_loopback);
    let mut destination = Destination {
        name,
        is_named: false,
        target,
        temporality: None,
        compression: if loopback { Compression::None } else { Compression::Gzip },
        queue_bytes: QUEUE_BYTES_DEFAULT,
        timeout: REQUEST_TIMEOUT,
        in_flight: None,
        order: DeliveryOrder::ByCut,
        connections: 1,
        selection: Selection::default(),
        selection_number: SelectionNumber::FIRST,
        access: OwnAccess::default(),
        headers: Headers::default(),
        header_sources: HeaderSources::default(),
        tls: None,
    };
    // shown whole only if every option is one of ours: others may hold a token meant for the destination
    let is_ours = |option: &str| OPTIONS.split(", ").any(|name| Some(name) == option.split('=').next());
    let query = query.unwrap_or("");
    let options = Some(query).filter(|query| !query.is_empty() && query.split('&').all(is_ours));
    let shown = without_path(address) + &options.map(|query| format!("?{query}")).unwrap_or_default();
    let wrong = |flaw: Flaw| Problem::new(KEY, &shown, flaw);
    let mut seen: Vec<&str> = Vec::new();
    for option in query.split('&').filter(|option| !option.is_empty()) {
        let Some((key, value)) = option.split_once('=') else {
            let option = if is_ours(option) { option } else { "NAME" };
            return Err(wrong(Flaw::new("an option has no value").remedy(format!("write {option}=VALUE"))));
        };
        if seen.contains(&key) {
            return Err(wrong(Flaw::new(format!("option `{key}` stands twice")).remedy("keep one")));
        }
        seen.push(key);
        fits(&destination.target, key).map_err(wrong)?;
        set_option(&mut destination, key, value).map_err(wrong)?;
    }
    Ok(destination)
}

/// Path of OTLP/HTTP for a base endpoint; no secret.
pub(super) const DEFAULT_PATH: &str = "/v1/metrics";

/// An address as it may be shown: of a URL scheme, host and port, of a file all.
fn without_path(address: &str) -> String {
    let is_file = |scheme: &str| scheme == "file";
    let at = match address.split_once("://") {
        Some((scheme, _)) if is_file(scheme) => return address.to_owned(),
        Some((scheme, _)) => scheme.len() + "://".len(),
        None if address.starts_with(['/', '.']) || address.starts_with("file:") => return address.to_owned(),
        None => 0,
    };
    match address[at..].find(['/', '#']) {
        Some(path) if !["/", DEFAULT_PATH].contains(&&address[at + path..]) => format!("{}/…", &address[..at + path]),
        _ => address.to_owned(),
    }
}

/// Makes names unique: those that stand twice get `#2`, `#3` …, in the order in which they were given; chosen ones stay.
pub fn name_apart(destinations: &mut [Destination]) {
    for at in 0..destinations.len() {
        let own = &destinations[at];
        let is_taken = |name: &str| {
            let others = destinations.iter().enumerate().filter(|(other, _)| *other != at);
            others.into_iter().any(|(place, other)| (place < at || other.is_named) && other.name == name)
        };
        if !own.is_named && is_taken(&own.name) {
            let numbered = (2..).map(|n| format!("{}#{n}", own.name)).find(|name| !is_taken(name));
            destinations[at].name = numbered.expect("destinations are few");
        }
    }
}

/// `user:password@` in what should be a URL, wherever: refused before anything could repeat it.
fn refuse_credentials(url: &str) -> Result<(), Problem> {
    let Some((_, rest)) = url.split_once("://") else { return Ok(()) };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    if authority.contains('@') { Err(credentials()) } else { Ok(()) }
}

fn credentials() -> Problem {
    let remedy =
        "remove what stands before the @, and give them with --out-header authorization=@FILE or ?headers=FILE";
    Problem::bare(KEY, Flaw::new("credentials in a URL end up in logs and process lists").remedy(remedy))
}

/// Whether a target has use for this option.
fn fits(target: &DeliveryTarget, key: &str) -> Result<(), Flaw> {
    match key {
        "compression" | "timeout" | "in-flight" | "order" | "headers" if !target.is_network() => {
            Err(Flaw::new(format!("option `{key}` is for otlp-… destinations")).remedy("remove it"))
        }
        "ca" | "cert" | "key" if !target.is_secure() => {
            let remedy = "write otlp-grpcs:// or otlp-https://, or remove it";
            Err(Flaw::new(format!("option `{key}` is for TLS")).remedy(remedy))
        }
        "connections" if !matches!(target, DeliveryTarget::OtlpGrpc(_)) => {
            let remedy = "HTTP/1.1 has one for each request in flight, so write in-flight";
            Err(Flaw::new("option `connections` is for gRPC").remedy(remedy))
        }
        _ => Ok(()),
    }
}

/// A value that cannot be read, of an option.
fn unread(key: &str, Unread { given, fault, examples }: Unread) -> Flaw {
    Flaw::new(format!("{key}='{given}' {fault}")).allowed(format!("write {examples}"))
}

fn set_option(destination: &mut Destination, key: &str, value: &str) -> Result<(), Flaw> {
    let unknown = |remedy: &str| Flaw::new(format!("{key}=`{value}` is unknown")).remedy(remedy);
    let outside = |remedy: String| Flaw::new(format!("{key}=`{value}` is out of range")).remedy(remedy);
    match key {
        "temporality" => {
            destination.temporality = Some(match value {
                "delta" => Temporality::Delta,
                "cumulative" => Temporality::Cumulative,
                _ => return Err(unknown("write delta or cumulative")),
            });
        }
        "compression" => {
            destination.compression = match value {
                "gzip" => Compression::Gzip,
                "zstd" => Compression::Zstd,
                "none" => Compression::None,
                _ => return Err(unknown("write zstd, gzip or none")),
            };
        }
        "queue" => {
            let bytes = size(value).map_err(|why| unread(key, why))?;
            if !(QUEUE_BYTES_MIN..=QUEUE_BYTES_MAX).contains(&bytes) {
                return Err(outside(format!("write between {}MiB and 1024GiB", QUEUE_BYTES_MIN / MIB)));
            }
            destination.queue_bytes = bytes;
        }
        "timeout" => {
            let timeout = duration(value).map_err(|why| unread(key, why))?;
            if !(TIMEOUT_MIN..=TIMEOUT_MAX).contains(&timeout) {
                return Err(outside("write between 100ms and 5m".into()));
            }
            destination.timeout = timeout;
        }
        "name" => {
            let is_name = value.len() <= NAME_BYTES_MAX
                && value.starts_with(|c: char| c.is_ascii_alphanumeric())
                && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
            if !is_name {
                let remedy = format!("write 1 to {NAME_BYTES_MAX} letters, digits, `-`, `_` and `.`");
                return Err(Flaw::new(format!("name=`{value}` is no name")).remedy(remedy));
            }
            (destination.name, destination.is_named) = (value.to_owned(), true);
        }
        "in-flight" => destination.in_flight = Some(parse_count(key, value, IN_FLIGHT_LIMIT)?),
        "order" => {
            destination.order = match value {
                "cut" => DeliveryOrder::ByCut,
                "none" => DeliveryOrder::None,
                _ => return Err(unknown("write cut or none")),
            };
        }
        "connections" => destination.connections = parse_count(key, value, OUT_CONNECTIONS_MAX)?,
        "headers" => destination.access.headers = Some(parse_path(key, value)?),
        "ca" => destination.access.ca = Some(parse_path(key, value)?),
        "cert" => destination.access.cert = Some(parse_path(key, value)?),
        "key" => destination.access.key = Some(parse_path(key, value)?),
        // the value is not repeated: it could be a token meant for the destination
        _ => {
            let meant =
                nearest(key, OPTIONS.split(", ")).map(|name| format!("did you mean `{name}`? ")).unwrap_or_default();
            return Err(
                Flaw::new(format!("option `{key}` is unknown")).remedy(format!("{meant}the options are {OPTIONS}"))
            );
        }
    }
    Ok(())
}

fn parse_count(key: &str, value: &str, max: usize) -> Result<usize, Flaw> {
    let read = count(value).ok().filter(|read| (1..=max).contains(read));
    let flaw = || Flaw::new(format!("{key}=`{value}` is no number of them"));
    read.ok_or_else(|| flaw().remedy(format!("write a number from 1 to {max}")))
}

fn parse_path(key: &str, value: &str) -> Result<PathBuf, Flaw> {
    if value.is_empty() || value.contains('\0') {
        return Err(Flaw::new(format!("{key} has no path")).remedy(format!("write {key}=FILE")));
    }
    Ok(PathBuf::from(value))
}

fn parse_target(address: &str) -> Result<(DeliveryTarget, String), Problem> {
    if address == "stdout" {
        return Ok((DeliveryTarget::Stdout, "stdout".to_owned()));
    }
    if let Some(path) = address.strip_prefix("file:") {
        if path.is_empty() || path.contains('\0') {
            return Err(Problem::new(KEY, address, Flaw::new("file has no path").remedy("write file:PATH")));
        }
        return Ok((DeliveryTarget::File(PathBuf::from(path)), format!("file:{path}")));
    }
    let shown = without_path(address);
    let wrong = |flaw: Flaw| Problem::new(KEY, &shown, flaw);
    let (scheme, rest) = address.split_once("://").unwrap_or_default();
    // HTTP without TLS has a port of OTLP's own, with TLS the one of the web (E15: a URL is used as given)
    let (http, secure, default_port) = match scheme {
        "otlp-grpc" => (false, false, 4317),
        "otlp-grpcs" => (false, true, 4317),
        "otlp-http" => (true, false, 4318),
        "otlp-https" => (true, true, 443),
        "https" => return Err(wrong(Flaw::outside(format!("for OTLP over TLS write otlp-{shown}")))),
        _ => {
            let meant = meant(&shown).map(|meant| format!("did you mean {meant}? ")).unwrap_or_default();
            let flaw = Flaw::new(format!("`{shown}` is no destination"));
            return Err(wrong(flaw.remedy(format!("{meant}write {SCHEMES}"))));
        }
    };
    let (authority, path) = match rest.find(['/', '#']) {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let endpoint = parse_authority(authority, default_port, secure).map_err(wrong)?;
    if !http {
        if !(path.is_empty() || path == "/") {
            return Err(wrong(Flaw::new(format!("{scheme} takes no path")).remedy("remove it")));
        }
        let name = format!("{scheme}://{}", endpoint.authority());
        return Ok((DeliveryTarget::OtlpGrpc(endpoint), name));
    }
    // E15: a base endpoint appends v1/metrics; a URL with a path is used as given
    let path = if path.is_empty() || path == "/" { DEFAULT_PATH } else { path };
    if path.parse::<http::uri::PathAndQuery>().is_err() || path.contains('#') {
        return Err(wrong(Flaw::new("the path has characters that a URL cannot have").remedy("percent-encode them")));
    }
    let name = without_path(&format!("{scheme}://{}{path}", endpoint.authority()));
    Ok((DeliveryTarget::OtlpHttp { endpoint, path: path.to_owned() }, name))
}

/// What someone probably meant who wrote no scheme, or another one's.
fn meant(address: &str) -> Option<String> {
    if let Some((scheme, rest)) = address.split_once("://") {
        let scheme = match scheme {
            "http" | "otlp" if rest.split('/').next().is_some_and(|authority| !authority.ends_with(":4317")) => {
                "otlp-http"
            }
            "http" | "otlp" | "grpc" => "otlp-grpc",
            "grpcs" => "otlp-grpcs",
            "file" => return Some(format!("file:{rest}")),
            other => nearest(other, ["otlp-grpc", "otlp-grpcs", "otlp-http", "otlp-https"])?,
        };
        return Some(format!("{scheme}://{rest}"));
    }
    if address.starts_with(['/', '.']) {
        return Some(format!("file:{address}"));
    }
    if let Some(meant) = nearest(address, ["stdout"]) {
        return Some(meant.to_owned());
    }
    let authority = address.split('/').next().unwrap_or("");
    let (host, port) = authority.rsplit_once(':')?;
    let scheme = if port == "4317" { "otlp-grpc" } else { "otlp-http" };
    (!host.is_empty() && port.parse::<u16>().is_ok()).then(|| format!("{scheme}://{address}"))
}

fn parse_authority(authority: &str, default_port: u16, secure: bool) -> Result<Endpoint, Flaw> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let Some((host, after)) = rest.split_once(']') else {
            return Err(Flaw::new(format!("host `{authority}` has no closing bracket")).remedy("write [ADDRESS]:PORT"));
        };
        if host.parse::<std::net::Ipv6Addr>().is_err() {
            return Err(Flaw::new(format!("`{host}` is no IPv6 address")).remedy("write [ADDRESS]:PORT"));
        }
        match after.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if after.is_empty() => (host, None),
            None => return Err(Flaw::new(format!("`{after}` after the bracket")).remedy("write [ADDRESS]:PORT")),
        }
    } else {
        match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        }
    };
    if host.is_empty() || !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte)) {
        return Err(Flaw::new(format!("host `{host}` is no name and no address")).remedy("write HOST:PORT"));
    }
    let port = match port {
        None => default_port,
        Some(text) => match text.parse::<u16>() {
            Ok(port) if port > 0 && text.bytes().all(|byte| byte.is_ascii_digit()) => port,
            _ => return Err(Flaw::new(format!("port `{text}` is no port")).remedy("write a number from 1 to 65535")),
        },
    };
    if secure {
        tls::server_name(host)?;
    }
    let endpoint = Endpoint { host: host.to_owned(), port, secure };
    // what requests are made of (invariant 1)
    match endpoint.authority().parse::<http::uri::Authority>() {
        Ok(_) => Ok(endpoint),
        Err(_) => Err(Flaw::new(format!("host `{host}` is no name and no address")).remedy("write HOST:PORT")),
    }
}
