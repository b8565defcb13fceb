//! From bytes to cells: the front end for OTLP. A request is staged first, and committed only when all of it is sound.
//!
//! Knows OTLP's points, and how one is added to a cell; does not know how its cell is found (`resolve`), sockets, cuts of
//! other cores, or destinations.
//!
//! ```text
//!   slices ─► walk ─► points, of a kind ─► stage                   (nothing changed yet but hints)
//!        └──► commit ─► open interval ─► cells of this core        (all of the request is sound)
//! ```
//!
//! Invariants
//! 1. A malformed request changes no cell, no context, no index: only hints of the resolver, which are compared before use.
//! 2. Every point of a request ends in exactly one of applied, rejected and discarded.
//!
//! Progress: as `resolve`. No allocation for a point with a route.
//!
//! Bounds: a large request comes in slices (`slices`); what one stages lies in an arena that dies with it. A request has at
//! most `limits::REQUEST_MESSAGES_MAX` messages.

mod check;
mod commit;
mod encoding;
mod exemplars;
mod heads;
mod histograms;
mod kept;
mod kind;
mod listed;
mod metric;
mod numbers;
mod open;
mod points;
mod position;
mod regions;
mod scaled;
mod slices;
mod stage;
mod summaries;
mod walk;

use crate::wire::{Fault, FaultKind};

pub use crate::resolve::{Doorkeeper, GateChange, GatePlan, ReplicaOf};
pub use slices::{Ingest, Options, Sliced};
pub use stage::Slice;

/// Turns a fault into words for the client: what, in which field, near which byte.
pub fn explain(fault: &Fault, body: &[u8]) -> String {
    let left = fault.left.min(body.len());
    match fault.kind {
        FaultKind::TooManyMessages | FaultKind::TooManyFields | FaultKind::TooLarge => {
            format!("{fault} (of {} bytes)", body.len())
        }
        FaultKind::Truncated => format!("malformed ExportMetricsServiceRequest ({} bytes): {fault}", body.len()),
        _ => format!("malformed ExportMetricsServiceRequest ({} bytes, {left} left there): {fault}", body.len()),
    }
}
