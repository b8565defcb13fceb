//! From raw attribute bytes to the cell they feed: one core's own memory of what it has resolved before.
//!
//! Knows bytes as front ends have them, routes, their order and age, streams, and how series and cells come to be; must not
//! know values, how a point is laid out, requests, or the routes of other cores.
//!
//! ```text
//!   front end ─► stream ─► expected bytes ──► route ─► cell              (every point)
//!                     └──► table, in steps ──┘                           (its order was no use)
//!                          └──► pending birth ─► group, series, cell, route     (once a series and core; at commit)
//!                                              └► overflow, or a reason to refuse
//! ```
//!
//! A front end hands in what it has, as bytes, and an [`Encoding`] that reads them. Bytes are read when something is born of
//! them, and compared from then on.
//!
//! Invariants
//! 1. Looking up changes nothing but hints (what comes next), which are compared before use.
//! 2. A route's bytes were read whole, and found sound, before the route was made: bytes that are equal are as sound.
//! 3. A route leads to a cell of this core, live or not yet put away (`deaths`); a dead one is found out at first touch. Or it
//!    leads nowhere, or on by another one, as a rule says of what it brings (`gate`, `detours`).
//!
//! Progress: wait-free but for births, which are lock-free. No allocation for what has a route.
//!
//! Bounds: routes by their cells (`limits::ROUTES_PER_CELL_MAX`), streams by `--group-limit` (`limits::STREAMS_PER_GROUP`); both are freed with
//! what they lead to, and their bytes count towards the memory limit.

mod birthplace;
mod births;
mod contexts;
mod deaths;
mod detours;
mod encoding;
mod gate;
mod keys;
mod links;
mod lookups;
mod making;
mod overflow;
mod pending;
mod prediction;
mod renewal;
mod resolver;
mod routes;
#[cfg(test)]
mod tests;

pub(crate) use detours::Detour;
pub(crate) use encoding::{Encoding, Said};
pub(crate) use gate::Refused;
pub use gate::{Doorkeeper, GateChange, GatePlan, ReplicaOf};
pub(crate) use keys::{About, EnvelopeKey, StreamKey};
pub(crate) use lookups::{Lags, RouteLookup, Waiting};
pub(crate) use pending::{Pending, PointTarget};
pub(crate) use prediction::{EXPECTED_BYTES, Prediction};
pub(crate) use resolver::Resolver;
pub(crate) use routes::{NONE, ROUTE_BYTES};
