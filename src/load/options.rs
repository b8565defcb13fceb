//! The command line of `catchment load`: arguments as typed, and where they point.
//!
//! Deliberately does not know how a run goes.

use super::payload::{Order, Settings};
use super::shape::Mix;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

/// Points of one request and series of one resource, unless told otherwise: one export of one process.
const BATCH_DEFAULT: usize = 1_000;
const METRICS_DEFAULT: usize = 20;

/// Compression of the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Compression {
    /// As they are.
    None,
    /// gzip at its fastest level, for each send anew: this costs the generator far more than the network.
    Gzip,
}

/// Send OTLP metrics to a server as fast as it takes them, or at a given rate, and say exactly what was sent.
///
/// Payloads are built before the first byte is sent; per send only times, values and (with --churn) identities are
/// patched. The same seed gives the same bytes. One thread sends.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Where to send: grpc://HOST:PORT, http://HOST:PORT[/path] (protobuf, path /v1/metrics unless given),
    /// or raw://HOST:PORT (the same bytes without any protocol, to measure what the sockets themselves cost)
    #[arg(long, value_name = "URL", default_value = "grpc://127.0.0.1:4317")]
    pub endpoint: Endpoint,

    /// Distinct series over all resources and metrics
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub series: usize,

    /// Points in one request
    #[arg(long, value_name = "N", default_value_t = BATCH_DEFAULT)]
    pub batch: usize,

    /// String attributes on each point
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub attributes: usize,

    /// Resources the series are spread over [default: one for each 1000 series, as if each were one process]
    #[arg(long, value_name = "N")]
    pub resources: Option<usize>,

    /// Metrics of each resource
    #[arg(long, value_name = "N", default_value_t = METRICS_DEFAULT)]
    pub metrics: usize,

    /// Kinds, dealt round over the metrics by weight, as in delta-sum=8,gauge=1,delta-histogram=1. Kinds: delta-sum,
    /// cumulative-sum (both also -double), gauge, gauge-double, delta-histogram, cumulative-histogram (14 bounds),
    /// delta-exponential-histogram, cumulative-exponential-histogram, summary
    #[arg(long, value_name = "MIX", default_value = "delta-sum")]
    pub kind: Mix,

    /// Order of the points of each metric within a request
    #[arg(long, value_enum, default_value_t = Order::Same)]
    pub order: Order,

    /// Share of the points that is dropped and replaced by new series at every export, as in 0.01
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub churn: f64,

    /// Connections. A request keeps to its connection, unless there are fewer requests than connections and only
    /// delta kinds
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub connections: usize,

    /// Requests that may wait for an answer on each connection [default: 8 with gRPC, 1 with HTTP/1.1]
    #[arg(long, value_name = "N")]
    pub in_flight: Option<usize>,

    /// Points per second; latency is then counted from the moment a request was due, sent or not [default: as fast
    /// as the server answers]
    #[arg(long, value_name = "POINTS")]
    pub rate: Option<f64>,

    /// How long to send, as in 500ms, 10s, 2m [default: 10s, unless --requests or --exports is given]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,

    /// Stop after so many requests
    #[arg(long, value_name = "N")]
    pub requests: Option<u64>,

    /// Stop after so many passes over all series
    #[arg(long, value_name = "N")]
    pub exports: Option<u64>,

    /// Compress the requests
    #[arg(long, value_enum, default_value_t = Compression::None)]
    pub compression: Compression,

    /// Pin the sending thread to this core
    #[arg(long, value_name = "N")]
    pub cpu: Option<usize>,

    /// Same seed, same bytes
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// Print the result as one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

impl Options {
    /// What the payloads are built from.
    pub fn settings(&self) -> Settings {
        Settings {
            series: self.series,
            batch: self.batch,
            attributes: self.attributes,
            resources: self.resources.unwrap_or(self.series.div_ceil(BATCH_DEFAULT)),
            metrics: self.metrics,
            mix: self.kind.clone(),
            order: self.order,
            churn: self.churn,
            seed: self.seed,
        }
    }
}

/// The protocol of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// OTLP/gRPC over cleartext HTTP/2.
    Grpc,
    /// OTLP/HTTP protobuf over HTTP/1.1.
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
            .ok_or_else(|| format!("{text:?} has no scheme: write grpc://HOST:PORT or http://HOST:PORT[/path]"))?;
        let (scheme, port) = match scheme {
            "grpc" => (Scheme::Grpc, "4317"),
            "http" => (Scheme::Http, "4318"),
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

/// A number with `us`, `ms`, `s`, `m` or `h`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let seconds = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        _ => return Err(format!("{text:?} is not a time: a number with us, ms, s, m or h")),
    };
    let number: f64 = number.parse().map_err(|_| format!("{text:?} is not a time: a number with us, ms, s, m or h"))?;
    Duration::try_from_secs_f64(number * seconds).map_err(|_| format!("{text:?} is out of range"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read() {
        let read = |text: &str| text.parse::<Endpoint>().map(|e| (e.scheme, e.authority, e.path));
        let whole = |scheme, authority: &str, path: &str| Ok((scheme, authority.to_owned(), path.to_owned()));
        assert_eq!(read("grpc://a:1"), whole(Scheme::Grpc, "a:1", "/v1/metrics"));
        assert_eq!(read("http://a/x/y"), whole(Scheme::Http, "a:4318", "/x/y"));
        assert_eq!(read("grpc://[::1]"), whole(Scheme::Grpc, "[::1]:4317", "/v1/metrics"));
        assert_eq!(read("raw://a:9/"), whole(Scheme::Raw, "a:9", "/v1/metrics"));
        for bad in ["a:1", "ftp://a:1", "grpc://", "raw://a", "grpc://a:1/x"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_are_read() {
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1_500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for bad in ["", "5", "s", "1x", "1.2.3s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
