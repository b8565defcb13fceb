//! The real server as a child, whichever source is measured. Does not know what is sent to it.

use std::path::Path;
use std::time::Duration;

/// Time between cuts, in memory and over sockets: every round has some.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);

/// Arguments of `catchment run` on free ports of loopback.
pub(super) fn server_arguments(shards: usize, ports: &Path, more: Vec<String>) -> Vec<String> {
    let mut arguments: Vec<String> = ["run", "--log", "error", "--shutdown-timeout", "5s"].map(String::from).into();
    for door in ["--otlp-grpc", "--otlp-http", "--prometheus", "--admin"] {
        arguments.extend([door.to_owned(), "127.0.0.1:0".into()]);
    }
    arguments.extend(["--shards".into(), shards.to_string(), "--ports-file".into(), ports.display().to_string()]);
    arguments.extend(more);
    arguments
}
