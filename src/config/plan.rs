//! The settled plan: what to run, every value checked.

use super::features::Gates;
use crate::deliver::Destination;
use crate::identity::attributes;
use crate::ingest::GatePlan;
use crate::limits::{OUTPUT_SERIES_MIN, OUTPUT_SERIES_PART};
use crate::model::{PlanNumber, SelectionNumber, Temporality, View};
use crate::prometheus::Translation;
use crate::rules::{DedupPlan, RulePlan, Selections};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// `--pin`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pin {
    /// Pin, and fail if that cannot be done.
    On,
    /// Leave it to the scheduler.
    Off,
    /// Pin when every shard can have a core of its own.
    Auto,
}

/// What to run: settled, checked options.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Which one of this process it is.
    pub number: PlanNumber,
    /// Shards.
    pub shards: usize,
    /// Nobody has asked for that number: fewer will do where memory is short.
    pub shards_free: bool,
    /// Connections on the OTLP doors, over all shards.
    pub connections: usize,
    /// Nobody has asked for that number.
    pub connections_free: bool,
    /// Pinning.
    pub pin: Pin,
    /// OTLP/gRPC door.
    pub otlp_grpc: Option<SocketAddr>,
    /// OTLP/HTTP door.
    pub otlp_http: Option<SocketAddr>,
    /// Scrape door.
    pub prometheus: Option<SocketAddr>,
    /// How names are translated there.
    pub translation: Translation,
    /// Whether OpenMetrics pages have `_created` series.
    pub created: bool,
    /// Admin door.
    pub admin: Option<SocketAddr>,
    /// Names that the scrape and admin doors go by.
    pub allowed_hosts: Vec<String>,
    /// Which features are on.
    pub gates: Gates,
    /// Rules, compiled.
    pub rules: Arc<RulePlan>,
    /// Which of several identical senders counts.
    pub dedup: Arc<DedupPlan>,
    /// Destinations.
    pub outs: Vec<Destination>,
    /// What they choose; nothing if all are given everything.
    pub selections: Option<Arc<Selections>>,
    /// Interval between cuts.
    pub interval: Duration,
    /// Temporality of destinations that ask for none.
    pub temporality: Temporality,
    /// Live series.
    pub series_limit: usize,
    /// Groups of resource, scope and metric; `None`: as many as the memory for series allows.
    pub group_limit: Option<usize>,
    /// What a peer may have of what is live while others are refused, in hundredths of a percent.
    pub peer_share: u32,
    /// Bytes; `None`: three quarters of what there is.
    pub memory_limit: Option<usize>,
    /// What attributes of points, resources and scopes may be.
    pub attributes: attributes::Limits,
    /// Bytes of one request.
    pub max_body: usize,
    /// Idle time after which a series is forgotten.
    pub expire: Duration,
    /// How far ahead of our clock points may be dated.
    pub max_future: Duration,
    /// Time to deliver what is left at the end.
    pub shutdown_timeout: Duration,
    /// Time between the signal and the end's beginning, in which `/readyz` says so.
    pub shutdown_delay: Duration,
    /// How often files of settings are looked at; never, where nobody asks for it.
    pub watch: Option<Duration>,
    /// Log filter.
    pub log: String,
    /// Where to record requests, and how many bytes of them.
    pub capture: Option<(PathBuf, usize)>,
    /// Where to write the bound addresses.
    pub ports_file: Option<PathBuf>,
}

impl Plan {
    /// The destinations, each with the view that it gets.
    pub fn destinations(&self) -> Vec<Destination> {
        let with = |out: &Destination| {
            let View { temporality, selection } = self.view(out);
            Destination { temporality: Some(temporality), selection_number: selection, ..out.clone() }
        };
        self.outs.iter().map(with).collect()
    }

    /// What a destination of this plan is given; those with equal views share bytes.
    pub fn view(&self, out: &Destination) -> View {
        let number = |selections: &Arc<Selections>| selections.number(&out.selection);
        View {
            temporality: out.temporality.unwrap_or(self.temporality),
            selection: self.selections.as_ref().map_or(SelectionNumber::FIRST, number),
        }
    }

    /// What of it concerns what comes in.
    pub fn gate(&self) -> GatePlan {
        let interval_ns = self.interval.as_nanos() as u64;
        GatePlan { rules: self.rules.clone(), dedup: self.dedup.clone(), interval_ns }
    }

    /// Output series of rules that there may be: a part of `--series-limit`, beside it.
    pub fn output_limit(&self) -> usize {
        (self.series_limit / OUTPUT_SERIES_PART).max(OUTPUT_SERIES_MIN)
    }
}

#[cfg(test)]
impl Plan {
    /// Without doors and destinations.
    pub(crate) fn sample() -> Plan {
        Plan {
            number: PlanNumber::FIRST,
            shards: 3,
            shards_free: false,
            connections: 10,
            connections_free: true,
            pin: Pin::Off,
            otlp_grpc: None,
            otlp_http: None,
            prometheus: None,
            translation: Translation::default(),
            created: true,
            admin: None,
            allowed_hosts: Vec::new(),
            gates: Gates::default(),
            rules: Arc::default(),
            dedup: Arc::default(),
            outs: Vec::new(),
            selections: None,
            interval: Duration::from_secs(10),
            temporality: Temporality::Cumulative,
            series_limit: 10,
            group_limit: None,
            peer_share: 5_000,
            memory_limit: None,
            max_body: 1 << 20,
            attributes: attributes::Limits::DEFAULT,
            expire: Duration::from_secs(30),
            max_future: Duration::from_secs(10),
            shutdown_timeout: Duration::from_secs(10),
            shutdown_delay: Duration::ZERO,
            watch: None,
            log: "error".into(),
            capture: None,
            ports_file: None,
        }
    }
}
