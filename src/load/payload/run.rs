//! The points of one metric in one request, and what is the same in all requests.
//!
//! Knows where points lie; does not know how they come to be or how they change.

use super::shape::Shape;

/// Bytes before the message in every payload: the gRPC frame (compressed flag, length).
pub const GRPC_PREFIX_BYTES: usize = 5;
/// The scope of everything that is sent, and its version.
pub(crate) const SCOPE_NAME: &str = "catchment.load";
pub(crate) const SCOPE_VERSION: &str = "1";

/// The attributes of resource number `resource`.
pub(crate) fn resource_attributes(resource: usize) -> [(&'static str, String); 3] {
    [
        ("service.name", "catchment-load".to_owned()),
        ("service.instance.id", format!("instance-{resource:08}")),
        ("host.name", format!("node-{:04}", resource / 16)),
    ]
}

/// Points of one metric in one request: same length, one after the other.
pub(crate) struct Run {
    pub metric: u32,
    pub resource: u32,
    pub shape: Shape,
    pub offset: u32,
    pub count: u32,
    /// The identity the next new series gets, and the distance to the one after it.
    pub next_id: u32,
    pub id_step: u32,
    /// Fractions of a point that churn, resets and late points owe.
    pub owed: Owed,
    /// The number of each point's series, where they are tracked.
    pub numbers: Vec<u32>,
}

/// See [`Run::owed`].
#[derive(Clone, Copy, Default)]
pub(crate) struct Owed {
    pub churn: f32,
    pub resets: f32,
    pub late: f32,
}
