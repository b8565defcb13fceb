//! How it is sent: one thread, non-blocking sockets, requests when they are due, and what came of them.
//!
//! Knows connections and time; does not know what is in a request or how a run is told.
//!
//! ```text
//!   settled (pace) ─► sender ─► http2 / http1 / raw (flight) ─► outbox ─► socket
//!                       └─ tally, latency ◄─ answers
//! ```

mod flight;
mod http1;
mod http2;
mod latency;
mod outbox;
mod pace;
mod sender;
mod settled;
mod tally;

pub use latency::Latencies;
pub use pace::Pace;
pub(crate) use sender::{Clock, Sender};
pub use settled::{Endpoint, Scheme, Settled};
pub use tally::{Limit, Tally};
