//! What is to be built, and what in that contradicts itself.
//!
//! Knows what a run is made of; does not know how it is built or sent.

use super::shape::{IDENTITY_DIGITS, Mix};
use crate::limits::{LOAD_ATTRIBUTE_BYTES_MAX, LOAD_PREPARED_MAX, VERIFY_SERIES_MAX};

/// How requests are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Encoding {
    /// application/x-protobuf, and all of gRPC
    Protobuf,
    /// application/json, over http:// only; numbers are followed by spaces up to a fixed width
    Json,
}

/// Compression of the requests, at level 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Compression {
    /// As they are
    None,
    /// gzip, each send by itself (see --prepared): this costs the generator far more than the network
    Gzip,
    /// zstd, each send by itself (see --prepared)
    Zstd,
}

/// The order of the points of a metric within its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Order {
    /// The same every export, as the SDKs of Python, JavaScript and Java do.
    Same,
    /// The points of each metric in a new order every export, as Go's SDK sends deltas.
    Shuffled,
    /// Drawn by Zipf's law when the payload is built: few series get most points (kinds that add only).
    Zipf,
}

/// What to build.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Series over all resources.
    pub series: usize,
    /// Points in one request.
    pub batch: usize,
    /// String attributes on each point.
    pub attributes: usize,
    /// Bytes of each attribute's value; none: what is usual for it.
    pub attribute_bytes: Option<usize>,
    /// Resources.
    pub resources: usize,
    /// Number of the first of them.
    pub first_resource: u32,
    /// Metrics of each resource.
    pub metrics: usize,
    /// Kinds, dealt round over the metrics.
    pub mix: Mix,
    /// Order of the points of a metric.
    pub order: Order,
    /// Share of the points that is dropped and replaced by new series at each export.
    pub churn: f64,
    /// Series that are born, and as many that die, in a second.
    pub churn_per_s: f64,
    /// Share of the cumulative points that start over at each export.
    pub resets: f64,
    /// Share of the points that come late at each export.
    pub late: f64,
    /// Protobuf or JSON.
    pub encoding: Encoding,
    /// Of the requests.
    pub compression: Compression,
    /// Compress so many sends of each request ahead, and send them in turn; 0: each send is compressed as it is made.
    pub prepared: usize,
    /// Keep totals of every series.
    pub track: bool,
    /// Same seed, same bytes.
    pub seed: u64,
}

/// Contradictions in the settings.
pub(crate) fn check(settings: &Settings) -> Result<(), String> {
    let groups = settings.resources.saturating_mul(settings.metrics);
    let adds = settings.mix.is_delta();
    if settings.series == 0 || settings.batch == 0 || groups == 0 {
        return Err("--series, --batch, --resources and --metrics must be at least 1".into());
    }
    if settings.resources > (u32::MAX - settings.first_resource) as usize {
        return Err(format!("--first-resource {} and --resources are too large together", settings.first_resource));
    }
    if settings.series > u32::MAX as usize / 2 {
        return Err(format!("--series {} is too large: at most {}", settings.series, u32::MAX / 2));
    }
    if settings.attributes > 100 {
        return Err(format!("--attributes {} is too many: at most 100", settings.attributes));
    }
    if let Some(bytes) = settings.attribute_bytes
        && !(IDENTITY_DIGITS..=LOAD_ATTRIBUTE_BYTES_MAX).contains(&bytes)
    {
        return Err(format!(
            "--attribute-bytes {bytes}: from {IDENTITY_DIGITS} (the digits that tell series apart) to \
             {LOAD_ATTRIBUTE_BYTES_MAX}"
        ));
    }
    if settings.attributes == 0 && settings.series > groups {
        return Err(format!(
            "--attributes 0 leaves one series per resource and metric: at most --series {groups} here, or raise \
             --attributes"
        ));
    }
    if settings.order == Order::Zipf && !adds {
        return Err("--order zipf repeats series within a request, which only delta kinds allow: change --kind".into());
    }
    for (flag, share) in [("--churn", settings.churn), ("--resets", settings.resets), ("--late", settings.late)] {
        if !(0.0..=1.0).contains(&share) {
            return Err(format!("{flag} {share} is not a share from 0 to 1"));
        }
    }
    if !settings.churn_per_s.is_finite() || settings.churn_per_s < 0.0 {
        return Err(format!("--churn-rate {} is no number of series per second", settings.churn_per_s));
    }
    let churns = settings.churn > 0.0 || settings.churn_per_s > 0.0;
    if churns && (settings.attributes == 0 || settings.order == Order::Zipf) {
        return Err("--churn and --churn-rate need --attributes of at least 1 and --order same or shuffled".into());
    }
    if settings.resets > 0.0 && adds {
        return Err("--resets is for cumulative kinds, and --kind has none".into());
    }
    if settings.prepared > 0 {
        if settings.compression == Compression::None || settings.prepared > LOAD_PREPARED_MAX {
            return Err(format!("--prepared needs --compression, and is at most {LOAD_PREPARED_MAX}"));
        }
        if !adds || churns || settings.late > 0.0 {
            return Err("--prepared sends the same points over and over, which only delta kinds without --churn, \
                        --churn-rate and --late allow"
                .into());
        }
        if settings.track {
            return Err("--prepared keeps totals by metric, and --verify needs them by series: leave one out".into());
        }
    }
    if settings.track && settings.series > VERIFY_SERIES_MAX {
        return Err(format!("--series {}: --verify keeps totals of at most {VERIFY_SERIES_MAX}", settings.series));
    }
    Ok(())
}
