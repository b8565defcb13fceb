//! The command line of `catchment sink`.
//!
//! Knows flags; does not know how a sink runs.

use crate::files;
use crate::units::{count, decimal, duration, positive};
use std::net::SocketAddr;
use std::time::Duration;

/// Receive OTLP metrics, keep exact totals per metric and series, answer as told.
///
/// Takes OTLP/gRPC and OTLP/HTTP on one port, protobuf and JSON, identity, gzip and zstd.
///
/// Totals are printed as JSON at the end (SIGTERM, Ctrl-C), and `GET /totals` shows them at any time. Faults meet the
/// requests that --fail-rate chooses.
#[derive(Clone, Debug, clap::Args)]
pub struct SinkOptions {
    /// Where to listen, for OTLP/gRPC and OTLP/HTTP alike; port 0 takes a free one
    #[arg(long, value_name = "ADDR", value_parser = listen_at, default_value = "127.0.0.1:4320")]
    pub listen: SocketAddr,

    /// Write the address as a JSON object to this file once it listens
    #[arg(long, value_name = "PATH")]
    pub ports_file: Option<std::path::PathBuf>,

    /// Refuse requests with this status: 1 to 16 is a gRPC status (503 over HTTP), 300 to 599 an HTTP status
    #[arg(long, value_name = "CODE", value_parser = fail_status, group = "fault")]
    pub fail_status: Option<u16>,

    /// Share of the requests that meet the fault (one of --fail-status, --hang, --reset and --partial), evenly spread:
    /// 0.25 is every fourth
    #[arg(long, value_name = "SHARE", default_value_t = 1.0, value_parser = share, requires = "fault")]
    pub fail_rate: f64,

    /// Answer only after so long, as in 100ms (all requests)
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub delay: Option<Duration>,

    /// Never answer
    #[arg(long, group = "fault")]
    pub hang: bool,

    /// Reset the connection in place of an answer
    #[arg(long, group = "fault")]
    pub reset: bool,

    /// Send this many seconds as Retry-After (HTTP) or RetryInfo (gRPC) with --fail-status
    #[arg(long, value_name = "SECONDS", value_parser = count::<u32>, requires = "fail_status", conflicts_with_all = ["hang", "reset", "partial"])]
    pub retry_after: Option<u32>,

    /// Claim in partial success that so many points of the request were rejected (they are counted all the same)
    #[arg(long, value_name = "N", value_parser = positive, group = "fault")]
    pub partial: Option<u64>,

    /// Answer the N-th request with success and forget it: what a test of --verify must find
    #[arg(long, value_name = "N", value_parser = positive)]
    pub drop: Option<u64>,

    /// After the N-th request, hold one series of a metric one too high and another one as much too low: their sum is
    /// right, and they are not
    #[arg(long, value_name = "N", value_parser = positive)]
    pub misplace: Option<u64>,
}

impl Default for SinkOptions {
    /// A free port on loopback, no faults.
    fn default() -> Self {
        SinkOptions {
            listen: ([127, 0, 0, 1], 0).into(),
            ports_file: None,
            fail_status: None,
            fail_rate: 1.0,
            delay: None,
            hang: false,
            reset: false,
            retry_after: None,
            partial: None,
            drop: None,
            misplace: None,
        }
    }
}

/// An address to listen at, without names.
pub(crate) fn listen_at(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        let bare = text.split_once("://").map_or(text, |(_, rest)| rest).trim_start_matches(':').trim_end_matches('/');
        let meant = match bare.strip_prefix("localhost:").unwrap_or(bare).parse::<u16>() {
            Ok(port) => format!("127.0.0.1:{port}"),
            Err(_) if bare.parse::<SocketAddr>().is_ok() => bare.to_owned(),
            Err(_) => "IP:PORT, such as 127.0.0.1:4320".to_owned(),
        };
        format!("'{text}' is no address to listen at; write {meant}")
    })
}

/// A status that refuses.
fn fail_status(text: &str) -> Result<u16, String> {
    let status = text.parse().ok().filter(|status| matches!(status, 1..=16 | 300..=599));
    status.ok_or_else(|| "a gRPC status is from 1 to 16, an HTTP status that refuses from 300 to 599".into())
}

fn share(text: &str) -> Result<f64, String> {
    let share = decimal(text).ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "a share is from 0 to 1, as in 0.25".into())
}

impl SinkOptions {
    /// What can be found wrong before anything is bound.
    pub fn check(&self) -> Result<(), String> {
        let Some(path) = &self.ports_file else { return Ok(()) };
        files::replaceable(path)
            .map_err(|error| format!("--ports-file {}: {}", path.display(), files::unwritten(path, &error)))
    }
}
