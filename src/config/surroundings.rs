//! What settling asks about the machine, as answers and functions that somebody above hands in.
//!
//! Does not know: sockets, or how anything is measured.

use crate::problem::Problem;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

/// Where the doors of a process listen: of each that is there, the address with the port that it got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DoorAddresses {
    /// OTLP/gRPC.
    pub otlp_grpc: Option<SocketAddr>,
    /// OTLP/HTTP.
    pub otlp_http: Option<SocketAddr>,
    /// Scrape page.
    pub prometheus: Option<SocketAddr>,
    /// Admin.
    pub admin: Option<SocketAddr>,
}

impl DoorAddresses {
    /// Of the door that this setting is about.
    pub(super) fn of(&self, key: &str) -> Option<SocketAddr> {
        match key {
            "otlp-grpc" => self.otlp_grpc,
            "otlp-http" => self.otlp_http,
            "prometheus" => self.prometheus,
            "admin" => self.admin,
            _ => None,
        }
    }
}

/// The machine, as far as a plan depends on it.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// Cores that this process may use.
    pub cores: usize,
    /// Bytes of memory that this process may use.
    pub memory_bytes: usize,
    /// The address of `HOST:PORT`, if the name has one.
    pub look_up: &'a dyn Fn(&str) -> io::Result<Option<SocketAddr>>,
    /// Whether an interface of this machine has the address.
    pub is_of_this_machine: &'a dyn Fn(IpAddr) -> bool,
    /// The shards that a result of `catchment tune` says, if it was measured here.
    pub tuned_shards: &'a dyn Fn(&Path) -> Result<Option<usize>, Problem>,
    /// Where the process listens already.
    pub listening: DoorAddresses,
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Three cores and a gibibyte; names have no address, and of addresses only loopback is here.
    pub(in super::super) fn around() -> Surroundings<'static> {
        let look_up = &|text: &str| match text.parse() {
            Ok(address) => Ok(Some(address)),
            Err(_) => Err(io::Error::new(io::ErrorKind::InvalidInput, "no such name")),
        };
        Surroundings {
            cores: 3,
            memory_bytes: 1 << 30,
            look_up,
            is_of_this_machine: &|address| address.is_loopback(),
            tuned_shards: &|_| Ok(None),
            listening: DoorAddresses::default(),
        }
    }
}
