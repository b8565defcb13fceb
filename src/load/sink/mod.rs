//! `catchment sink`: the counting backend.
//!
//! Knows OTLP's messages and HTTP as OTLP clients speak it; does not know the generator or the server.
//!
//! ```text
//!   door (accept) ─► session, one thread each ─► counting (faults, json_in) ─► totals
//! ```

mod counting;
mod door;
pub(crate) mod json_in;
mod options;
mod session;
mod totals;

pub use door::{Sink, sink_command};
pub use options::SinkOptions;
pub(crate) use options::listen_at;
pub use totals::{Exponential, Held, Totals};
