//! Binding the doors, and telling where they are.
//!
//! A fixed port is first bound once without `SO_REUSEPORT`, so that a port in use is an error and two instances never
//! share one silently. Port 0: the first shard's port goes to the others.

use crate::config::{DoorAddresses, Plan};
use crate::files;
use crate::listen::bind as listen_at;
use crate::model::Door;
use crate::problem::{Flaw, Problem};
use mio::net::TcpListener;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

/// Bound listeners.
pub(super) struct Bound {
    pub addresses: DoorAddresses,
    pub per_shard: Vec<Vec<TcpListener>>,
    pub pages: Vec<(TcpListener, u8)>,
}

/// Number of the scrape door among the pages.
pub(super) const SCRAPE: u8 = 0;
/// Number of the admin door among the pages.
pub(super) const ADMIN: u8 = 1;

/// What is wrong with a door that cannot be bound.
fn unbound(key: &'static str, address: SocketAddr, error: &io::Error) -> Problem {
    let everywhere = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let flaw = match error.kind() {
        io::ErrorKind::AddrInUse => Flaw::new("the address is in use").allowed(format!(
            "stop the other process, or give another port (--{key} {} takes a free one)",
            SocketAddr::new(address.ip(), 0)
        )),
        io::ErrorKind::AddrNotAvailable => Flaw::new("no interface of this machine has this address").allowed(format!(
            "give one that it has, or {} for all of them",
            SocketAddr::new(everywhere, address.port())
        )),
        io::ErrorKind::PermissionDenied => {
            Flaw::new("this user may not listen there").allowed("give a port from 1024 on")
        }
        _ => Flaw::new(error.to_string()),
    };
    Problem::new(key, address.to_string(), flaw)
}

pub(super) fn bind(plan: &Plan) -> Result<Bound, Problem> {
    let mut bound = Bound {
        addresses: DoorAddresses::default(),
        per_shard: (0..plan.shards).map(|_| Vec::new()).collect(),
        pages: Vec::new(),
    };
    for (key, wanted, door) in
        [("otlp-grpc", plan.otlp_grpc, Door::OtlpGrpc), ("otlp-http", plan.otlp_http, Door::OtlpHttp)]
    {
        let Some(wanted) = wanted else { continue };
        let fail = |error: io::Error| unbound(key, wanted, &error);
        if wanted.port() != 0 {
            drop(listen_at(wanted, false).map_err(fail)?);
        }
        let mut address = wanted;
        for shard in &mut bound.per_shard {
            let listener = listen_at(address, true).map_err(fail)?;
            address = listener.local_addr().map_err(fail)?;
            shard.push(listener);
        }
        match door {
            Door::OtlpGrpc => bound.addresses.otlp_grpc = Some(address),
            Door::OtlpHttp => bound.addresses.otlp_http = Some(address),
        }
    }
    for (key, wanted, number) in [("prometheus", plan.prometheus, SCRAPE), ("admin", plan.admin, ADMIN)] {
        let Some(wanted) = wanted else { continue };
        let fail = |error: io::Error| unbound(key, wanted, &error);
        let listener = listen_at(wanted, false).map_err(fail)?;
        let address = listener.local_addr().map_err(fail)?;
        if number == SCRAPE {
            bound.addresses.prometheus = Some(address);
        } else {
            bound.addresses.admin = Some(address);
        }
        bound.pages.push((listener, number));
    }
    Ok(bound)
}

/// Removes a ports file of an earlier run, so that nobody takes it for this one's.
///
/// # Errors
/// When there is a file that cannot be removed, what is there is no regular file, or none could be
/// written.
pub fn remove_ports(path: &Path) -> Result<(), Problem> {
    let removed = files::regular(path).and_then(|there| if there { std::fs::remove_file(path) } else { Ok(()) });
    removed.and_then(|()| files::replaceable(path)).map_err(|error| no_ports(path, &error))
}

/// What is wrong with a ports file that cannot be written.
pub(super) fn no_ports(path: &Path, error: &io::Error) -> Problem {
    Problem::new("ports-file", path.display().to_string(), Flaw::new(files::unwritten(path, error)))
}

/// Writes the addresses whole.
pub(super) fn write_ports(path: &Path, addresses: &DoorAddresses) -> io::Result<()> {
    let show = |address: Option<SocketAddr>| address.map_or("null".into(), |a| format!("\"{a}\""));
    let text = format!(
        "{{\"otlp_grpc\":{},\"otlp_http\":{},\"prometheus\":{},\"admin\":{}}}\n",
        show(addresses.otlp_grpc),
        show(addresses.otlp_http),
        show(addresses.prometheus),
        show(addresses.admin)
    );
    files::replace(path, text.as_bytes())
}
