//! Takes encoded OTLP requests and brings them to their destinations: queue, retry, exporters.
//!
//! Does not know: series, cuts, how requests are encoded, or what is in them beyond their number of points.
//!
//! ```text
//!  shard 0 ─┐ offer                 ┌─ deliver thread (mio) ─ slots ─ h2 / hyper ─► otlp-grpc(s), otlp-http(s)
//!  shard 1 ─┼─► queue per destination ┤
//!  shard n ─┘ + bell                └─ writer thread each ─ json_out ─────────────► stdout, file
//!                                      resolver thread each, for those with names
//! ```
//!
//! | file | job |
//! |---|---|
//! | `destination` | what `--out` says |
//! | `queue`, `sender`, `state` | the seam to the encoder: `Encoded`, `Store`; `Sender`; what all share |
//! | `hold` | where a shard's requests wait while a queue is full |
//! | `ledger`, `stats` | points, exactly; everything else |
//! | `start`, `exchange`, `options` | what runs, what becomes of it when other destinations are given, and how it ends |
//! | `worker` | the loop over all lanes, its rests (`pace`) and its end |
//! | `lane`, `in_flight` | one destination: slots, retries, order; a batch in a slot and its parts |
//! | `breaker` | when a destination is left in peace but for one request at a time |
//! | `access`, `headers`, `tls`, `reading` | authorities, client certificates, headers: read before anything starts |
//! | `reread` | files of headers, read again before a probe |
//! | `exporter`, `grpc`, `http` | protocols |
//! | `stream`, `transport` | a mio socket with or without TLS, and the way to one |
//! | `outcome`, `why`, `backoff` | what an answer means, in words too; when to try again |
//! | `writer` | stdout and files |
//! | `warn` | rate-limited log lines |
//!
//! Invariants:
//! 1. `encoded = delivered + queued + on_disk + dead_lettered + Σdropped`, at every snapshot (`ledger`).
//! 2. A batch is lost only with a reason; trouble that may pass is retried until the process stops, one request at a time
//!    where it lasts (`breaker`), and what a full queue has no room for until the next merge is `dropped{queue_full}`
//!    (`hold`).
//! 3. One destination that hangs or refuses never slows another: own queue, slots, breaker, connections, resolver; writers
//!    have threads of their own.
//!
//! Seams for what comes later: `Store` (disk buffer), `Port::settle` (dead letters).
//!
//! Bounds: `DESTINATIONS_MAX` destinations, `queue_bytes` each, `in_flight` calls each, and the limits of each file.
//!
//! Sources: OTLP specification 1.x; CONFORMANCE E1 to E15 (E3 but for 401 and 403: `outcome`); THREATS T14, T15, T19 to T21.

mod access;
mod backoff;
mod breaker;
mod destination;
mod exchange;
mod exporter;
mod grpc;
mod headers;
mod hold;
mod http;
mod in_flight;
mod lane;
mod ledger;
mod options;
mod outcome;
mod pace;
mod queue;
mod reading;
mod reread;
mod sender;
#[cfg(test)]
mod simulated;
mod start;
mod state;
mod stats;
mod stream;
mod tls;
mod transport;
mod warn;
mod why;
mod worker;
mod writer;

pub use access::Access;
pub use breaker::{BreakerRow, BreakerState};
pub use destination::{
    Compression, DeliveryOrder, DeliveryTarget, Destination, Endpoint, OPTIONS as DESTINATION_OPTIONS, OwnAccess,
    name_apart, parse_out,
};
pub use exchange::{ExchangeRefused, Exchanged, NewDestinations};
pub use headers::{HeaderSources, Headers, Secret};
pub use hold::Hold;
pub use ledger::{DestinationRow, Dropped};
pub use options::Options;
pub use queue::{Encoded, ITEM_OVERHEAD_BYTES, MemoryQueue, Offer, Store};
pub use sender::{DestinationStanding, Sender};
#[cfg(test)]
pub(crate) use simulated::{Habits, Received, SimulatedDelivery};
pub use start::{Handle, start};
pub use stats::StatsRow;
pub use tls::Tls;
pub use writer::check_files;
