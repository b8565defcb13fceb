//! A run as it is to be sent, and where to.
//!
//! Knows addresses and limits of a run; does not know flags or sockets.

use super::pace::Pace;
use crate::load::payload::{Encoding, Settings};
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

/// A run as settled: presets and defaults filled in.
#[derive(Clone, Debug)]
pub struct Settled {
    /// Where to send.
    pub endpoint: Endpoint,
    /// What to send.
    pub settings: Settings,
    /// Connections, at least one.
    pub connections: usize,
    /// Requests in flight on each, at least one.
    pub in_flight: usize,
    /// When.
    pub pace: Pace,
    /// How long; at least one of these three is there.
    pub duration: Option<Duration>,
    /// How many requests.
    pub requests: Option<u64>,
    /// How many passes.
    pub exports: Option<u64>,
    /// Passes before all that, not measured.
    pub warm_up: u64,
    /// How long the last answers are waited for.
    pub drain: Duration,
}

/// The protocol of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// OTLP/gRPC over cleartext HTTP/2.
    Grpc,
    /// OTLP/HTTP over HTTP/1.1.
    Http,
    /// Bytes without a protocol.
    Raw,
}

/// A parsed `--endpoint`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// How to speak.
    pub scheme: Scheme,
    /// `HOST:PORT` as given.
    pub authority: String,
    /// Path of the POST.
    pub path: String,
}

impl Endpoint {
    /// The door of a server on this machine that runs with its defaults.
    pub(crate) fn local(encoding: Encoding) -> Endpoint {
        let (scheme, port) = if encoding == Encoding::Json { (Scheme::Http, 4318) } else { (Scheme::Grpc, 4317) };
        Endpoint { scheme, authority: format!("127.0.0.1:{port}"), path: "/v1/metrics".into() }
    }

    /// The first address of the host.
    pub fn resolve(&self) -> Result<SocketAddr, String> {
        let found = self.authority.to_socket_addrs().map_err(|error| format!("{}: {error}", self.authority))?;
        found.into_iter().next().ok_or_else(|| format!("{}: no address", self.authority))
    }
}

impl std::str::FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| {
                let scheme = if text.contains(":4318") { "http" } else { "grpc" };
                format!("{text:?} has no scheme: did you mean {scheme}://{text}? write grpc://HOST:PORT or http://HOST:PORT[/path]")
            })?;
        let (scheme, port) = match scheme {
            // as `--out` of the server calls them, too
            "grpc" | "otlp-grpc" => (Scheme::Grpc, "4317"),
            "http" | "otlp-http" => (Scheme::Http, "4318"),
            "raw" => (Scheme::Raw, ""),
            other => return Err(format!("unknown scheme {other:?}: one of grpc, http, raw")),
        };
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let bare = authority.rsplit_once(':').is_none_or(|(_, port)| port.is_empty() || port.ends_with(']'));
        if authority.is_empty() || (bare && port.is_empty()) {
            return Err(format!("{text:?} has no HOST:PORT"));
        }
        if scheme != Scheme::Http && !matches!(path, "" | "/") {
            return Err(format!("{text:?}: only http:// takes a path"));
        }
        let authority = if bare { format!("{}:{port}", authority.trim_end_matches(':')) } else { authority.to_owned() };
        let path = if matches!(path, "" | "/") { "/v1/metrics".to_owned() } else { path.to_owned() };
        Ok(Endpoint { scheme, authority, path })
    }
}
