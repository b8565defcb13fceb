//! What is sent: requests built before the first byte leaves, patched in place, and exact totals of what they say.
//!
//! Knows OTLP's bytes and JSON; does not know sockets, protocols or clocks.
//!
//! ```text
//!   settings ─► plan ─┬─ builder, shape (protobuf)  ─► text (JSON) ─► compress
//!                     └─ patcher, at each send ─► expected (by metric), series (by series)
//! ```

mod builder;
mod compress;
mod expected;
mod patcher;
mod plan;
mod random;
mod request;
mod run;
mod series;
mod settings;
mod shape;
mod text;

pub use expected::{Expected, MetricTotal};
pub use plan::Plan;
pub use run::GRPC_PREFIX_BYTES;
pub(crate) use run::{SCOPE_NAME, SCOPE_VERSION, resource_attributes};
pub use series::SeriesTotals;
pub(crate) use settings::check;
pub use settings::{Compression, Encoding, Order, Settings};
pub(crate) use shape::{EXPONENTIAL_BUCKETS, EXPONENTIAL_SCALE};
pub use shape::{Mix, Shape};
