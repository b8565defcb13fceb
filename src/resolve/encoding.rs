//! How a front end's bytes are read when something is born of them.
//!
//! Knows what is asked of a front end; does not know one.

use super::keys::EnvelopeKey;
use crate::identity::attributes::{Bad, Normalised};
use crate::model::{Kind, Reject};
use std::borrow::Cow;

/// The number of what the resolver itself makes up.
pub(super) const OWN: u8 = u8::MAX;

/// A front end's encoding of attributes and texts. Bytes that were read once and are equal mean the same.
pub(crate) trait Encoding {
    /// Tells it from others whose bytes one resolver has; `OWN` is none of a front end.
    const NUMBER: u8;
    /// What is wrong with bytes that are no message of it.
    type Fault: std::fmt::Debug;

    /// Reads the attributes of a point of this kind: as a normalised run (`identity::attributes`), which is appended to `out`
    /// unless it is `raw` itself, and its hash with `state`. Called once for each birth.
    fn attributes(
        &self,
        kind: Kind,
        raw: &[u8],
        state: &ahash::RandomState,
        out: &mut Vec<u8>,
    ) -> Result<Result<Normalised, Bad>, Self::Fault>;

    /// What a resource, whose bytes were found sound, says.
    fn resource(&self, key: &EnvelopeKey<'_>) -> Result<Said, Reject>;

    /// What a scope, whose bytes were found sound, says.
    fn scope(&self, key: &EnvelopeKey<'_>) -> Result<Said, Reject>;

    /// A schema URL, which was found sound, as much of it as is kept.
    fn schema_url<'a>(&self, text: &'a [u8]) -> Cow<'a, str>;

    /// A description, which was found sound, as much of it as is kept.
    fn description<'a>(&self, text: &'a [u8]) -> &'a str;
}

/// What a resource or a scope says.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// A scope's name and version, encoded; of a resource nothing.
    pub head: Vec<u8>,
    /// Its attributes, normalised.
    pub run: Vec<u8>,
    /// Texts and attributes that were over the limits, and cut.
    pub cut: u64,
}
