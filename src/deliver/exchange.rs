//! Which destinations there will be, compared with those there are: what is new, changed, the same, and gone.
//!
//! Does not know: threads, sockets, when cuts are made. Nothing is changed here: whoever asked does that, once all that can
//! fail has not (`start::Handle::exchange`).
//!
//! A destination is known by its name. One of the same name and the same settings is not touched; with others it keeps its
//! queue and its counts; one that comes back while it is ending, or after that, has its counts again.
//!
//! Bounds: `DESTINATIONS_MAX` that take batches, as many that are ending; of those that have ended, `DESTINATIONS_GONE_MAX`
//! are known by name, and older ones together.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::destination::{Destination, name_apart};
use super::options::IN_FLIGHT_RANGE;
use super::queue::Port;
use super::state::{DestinationSet, OpenDestination};
use crate::limits::{DESTINATIONS_GONE_MAX, DESTINATIONS_MAX};

/// What there should be.
#[derive(Clone, Debug)]
pub struct NewDestinations {
    /// In this order.
    pub destinations: Vec<Destination>,
    /// The first cut of which they get batches; those of cuts before it go to the destinations that there are.
    pub from_cut: u32,
    /// Requests in flight to one that does not say otherwise, 1 to 64.
    pub in_flight: usize,
    /// Bytes that may wait beside each full queue, for each shard; nothing if that stays.
    pub held_bytes_max: Option<usize>,
    /// Time that one which is taken out has for what it holds, once nothing new comes.
    pub end_within: Duration,
}

/// What an exchange came to, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exchanged {
    /// Those that were not there.
    pub added: Vec<String>,
    /// Those that have other settings.
    pub changed: Vec<String>,
    /// Those that are as they were.
    pub kept: Vec<String>,
    /// Those that are not there any more.
    pub removed: Vec<String>,
}

/// Why everything stays as it is.
#[derive(Debug)]
pub enum ExchangeRefused {
    /// The exchange before has not been taken up by all shards: that takes a cut.
    Pending,
    /// Too many destinations.
    TooMany(usize),
    /// Too many that are taken out still hold something.
    TooManyEnding(usize),
    /// Settings that should have been refused before.
    Invalid(String),
    /// The system gives no thread.
    System(io::Error),
}

impl fmt::Display for ExchangeRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExchangeRefused::Pending => f.write_str("the destinations given before are not taken up yet: try again"),
            ExchangeRefused::TooMany(n) => {
                write!(f, "{n} destinations: at most {DESTINATIONS_MAX} can be given with --out")
            }
            ExchangeRefused::TooManyEnding(n) => write!(
                f,
                "{n} destinations that were taken out still deliver what they hold, at most {DESTINATIONS_MAX} may: try again"
            ),
            ExchangeRefused::Invalid(what) => f.write_str(what),
            ExchangeRefused::System(error) => error.fmt(f),
        }
    }
}

impl From<ExchangeRefused> for io::Error {
    fn from(why: ExchangeRefused) -> io::Error {
        match why {
            ExchangeRefused::System(error) => error,
            why => io::Error::new(io::ErrorKind::InvalidInput, why.to_string()),
        }
    }
}

/// A destination that somebody has to be told of.
pub(super) struct Served {
    pub(super) port: Arc<Port>,
    pub(super) destination: Arc<Destination>,
    /// Nobody serves it, or has.
    pub(super) is_new: bool,
}

/// What is to be done.
pub(super) struct Comparison {
    /// The next set.
    pub(super) set: DestinationSet,
    /// Those that are new, changed, or back.
    pub(super) served: Vec<Served>,
    /// Those that are taken out.
    pub(super) closed: Vec<Arc<Port>>,
    pub(super) exchanged: Exchanged,
}

/// Makes names unique and numbers of requests in flight explicit, and refuses what cannot be.
fn settle(wanted: &NewDestinations) -> Result<Vec<Arc<Destination>>, ExchangeRefused> {
    let mut destinations = wanted.destinations.clone();
    name_apart(&mut destinations);
    if destinations.len() > DESTINATIONS_MAX {
        return Err(ExchangeRefused::TooMany(destinations.len()));
    }
    if !IN_FLIGHT_RANGE.contains(&wanted.in_flight) {
        let (n, last) = (wanted.in_flight, IN_FLIGHT_RANGE.end());
        return Err(ExchangeRefused::Invalid(format!("{n} requests in flight: between 1 and {last} can be")));
    }
    if let Some(bare) = destinations.iter().find(|one| one.target.is_secure() && one.tls.is_none()) {
        let what = format!("{}: TLS without authorities: `Access::apply` puts them in", bare.name);
        return Err(ExchangeRefused::Invalid(what));
    }
    for one in &mut destinations {
        one.in_flight = Some(one.in_flight.unwrap_or(wanted.in_flight));
    }
    Ok(destinations.into_iter().map(Arc::new).collect())
}

/// Compares what there should be with what there is.
///
/// # Errors
/// What cannot be.
pub(super) fn compare(old: &DestinationSet, wanted: &NewDestinations) -> Result<Comparison, ExchangeRefused> {
    let (mut open, mut served, mut exchanged) = (Vec::new(), Vec::new(), Exchanged::default());
    for destination in settle(wanted)? {
        let name = destination.name.clone();
        let before = old.open.iter().find(|one| one.port.name == name);
        let left = old.left.iter().find(|port| port.name == name);
        let (port, is_new, is_same) = match (before, left) {
            (Some(one), _) => (one.port.clone(), false, one.destination == destination),
            (None, Some(port)) => (port.clone(), false, false),
            (None, None) => (Arc::new(Port::new(name.clone(), destination.queue_bytes)), true, false),
        };
        match (before.is_some(), is_same) {
            (true, true) => exchanged.kept.push(name),
            (true, false) => exchanged.changed.push(name),
            (false, _) => exchanged.added.push(name),
        }
        if !is_same {
            served.push(Served { port: port.clone(), destination: destination.clone(), is_new });
        }
        open.push(OpenDestination { destination, port });
    }
    let is_open = |port: &Arc<Port>| open.iter().any(|one| Arc::ptr_eq(&one.port, port));
    let closed: Vec<_> = old.open.iter().map(|one| one.port.clone()).filter(|port| !is_open(port)).collect();
    exchanged.removed = closed.iter().map(|port| port.name.clone()).collect();
    let mut left: Vec<_> = old.left.iter().filter(|port| !is_open(port)).chain(&closed).cloned().collect();
    let gone = left.iter().filter(|port| port.is_ended()).count();
    let ending = left.len() - gone;
    if ending > DESTINATIONS_MAX {
        return Err(ExchangeRefused::TooManyEnding(ending));
    }
    let mut forgotten = old.forgotten;
    for _ in DESTINATIONS_GONE_MAX..gone {
        let Some(place) = left.iter().position(|port| port.is_ended()) else { break };
        let port = left.remove(place);
        let (row, stats) = forgotten.get_or_insert_default();
        row.add(&port.ledger.read());
        stats.add(&port.stats.read());
    }
    let mut set = DestinationSet::new(open);
    (set.from_cut, set.held_bytes_max) = (wanted.from_cut, wanted.held_bytes_max.or(old.held_bytes_max));
    (set.left, set.forgotten) = (left.into(), forgotten);
    Ok(Comparison { set, served, closed, exchanged })
}
