//! OTLP's messages as bytes: what they must look like, how to read the parts aggregation needs without building a tree,
//! and how rows are written.
//!
//! Knows `opentelemetry/proto/{collector/metrics,metrics,resource,common}/v1` (OTLP 1.9); does not know series,
//! routes or sockets. Pure: same bytes, same result.
//!
//! Invariants
//! 1. What `schema::validate` accepts, `prost` with the official messages accepts, and the other way round, but for
//!    nesting past `limits::WIRE_DEPTH_MAX` (prost: 100).
//! 2. A slice handed out by a reader here has been validated whole, except attribute runs of points, which are
//!    validated when they are seen for the first time (`attributes::normalise`).

pub mod attributes;
pub mod check;
pub mod cut;
pub mod data;
pub mod encode;
pub mod exemplars;
pub mod json_in;
pub mod json_out;
mod json_schema;
pub mod message;
mod minimal;
pub mod points;
pub mod request;
pub mod schema;
pub mod split;
pub mod summaries;
