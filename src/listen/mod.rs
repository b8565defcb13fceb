//! The doors: sockets on one side, whole request bodies and short answers on the other.
//!
//! Does not know metrics: what a body means is asked of [`Intake`], synchronously, on the shard's own
//! thread. Starts no threads and asks no clock; the shard's loop calls in with events and `Now`.
//!
//! ```text
//!  doors        one per shard: OTLP over gRPC and HTTP, both protocols on every port
//!  connections  what all doors share: listeners, connections, turns, timers, draining
//!  session      first bytes → HTTP/1.1 or HTTP/2
//!  http1        OTLP over HTTP/1.1
//!  http2        gRPC and OTLP over HTTP/2
//!  head         what a request's head asks for, or why it is refused
//!  service      a whole body → intake → outcome
//!  intake       who takes bodies, in slices where they are large
//!  answer       an outcome → status, headers, body, trailers
//!  status       google.rpc.Status and the details in it
//!  timeouts     head and idle times of an HTTP/1.1 connection
//!  pages        GET pages for the admin and scrape doors
//!  options      what can be set
//!  stats        what is counted
//! ```
//!
//! Rules:
//! 1. A call whose `grpc-timeout` ran out before its body was whole is *not* applied, and answered DEADLINE_EXCEEDED.
//!    A body that is whole is applied and answered whatever the time.
//! 2. A body never waits for budget: it grows its reservation or is refused retryably.
//! 3. Answers are never compressed: all are short.
//! 4. A connection that breaks off takes its unfinished calls along, but for the one that is being applied: that is brought
//!    to its end.

mod answer;
mod connections;
mod doors;
mod head;
mod http1;
mod http2;
mod intake;
mod options;
pub mod pages;
mod service;
mod session;
mod stats;
mod status;
mod timeouts;

pub use crate::model::Answer;
pub use crate::net::sockets::bind;
pub use doors::Doors;
pub use intake::{Exported, Intake};
pub use options::Options;
pub use stats::{ConnectionStats, Stats};
