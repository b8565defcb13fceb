//! Catchment's own metrics, as a scrape page of the admin door.

use super::shard_stats::{BUCKETS, ShardSnapshot};
use crate::capture::CaptureProgress;
use crate::deliver::{BreakerState, DestinationRow, DestinationStanding, Dropped};
use crate::ledger::{Effect, Note, Tally};
use crate::listen::Answer;
use crate::model::{Discard, Door, Kind, Reject};
use crate::prometheus::WarningReason;
use crate::prometheus::text::{MetricType, Writer};
use crate::series::index::IndexStats;
use crate::telemetry::reloads::ReloadFacts;
use crate::telemetry::rules::{RULE_COUNTERS, RuleRow};
use std::sync::Arc;

/// What the page is made from.
pub struct Facts {
    /// Rows of the ledger, by shard.
    pub tallies: Vec<Tally>,
    /// Loops and doors, by shard.
    pub seen: Vec<ShardSnapshot>,
    /// Indexes, by shard.
    pub index: Vec<IndexStats>,
    /// Cell memory, by shard.
    pub slab_bytes: Vec<usize>,
    /// Destinations: name, row, counters, bytes queued.
    pub destinations: Vec<DestinationStanding>,
    /// By rule that drops and entry of `dedup`: its name, and the points.
    pub drops: Vec<(Discard, Arc<str>, u64)>,
    /// Rules that aggregate.
    pub rules: Vec<RuleRow>,
    /// Live series that count towards the limit, and the limit.
    pub series: (usize, usize),
    /// Groups, and their limit.
    pub groups: (usize, usize),
    /// Bytes of request bodies held, and their limit.
    pub bodies: (usize, usize),
    /// Cuts published, postponed, shards skipped.
    pub cuts: (u64, u64, u64),
    /// Scrapes served, broken off, refused.
    pub scrapes: (u64, u64, u64),
    /// What scrape pages left out, joined or chose, by reason.
    pub page_cases: [u64; WarningReason::COUNT],
    /// The recording of requests, if there is one.
    pub capture: Option<CaptureProgress>,
    /// Times that settings were read again.
    pub reloads: ReloadFacts,
    /// Lines of the log that were dropped.
    pub log_dropped: u64,
    /// Resident bytes, if the system tells.
    pub resident: Option<usize>,
    /// Seconds since start.
    pub uptime: f64,
}

impl Facts {
    /// The page.
    pub fn page(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(32 * 1024);
        let mut w = Writer::new(&mut out);
        let total = Tally::sum(self.tallies.iter().cloned());
        self.points(&mut w, &total);
        self.rules(&mut w);
        self.requests(&mut w);
        self.shards(&mut w);
        self.index(&mut w);
        self.destinations(&mut w);
        self.process(&mut w, &total);
        out
    }

    fn points(&self, w: &mut Writer<'_>, total: &Tally) {
        type Read = fn(&Tally, Door, Kind) -> u64;
        let families: [(&str, &str, Read); 4] = [
            ("catchment_points_received_total", "Points received", |t, door, kind| t.received(door, kind)),
            ("catchment_points_applied_total", "Points applied", |t, door, kind| t.applied(door, kind)),
            ("catchment_points_refused_total", "Points rejected singly, by input and kind", |t, door, kind| {
                t.rejected_by(door, kind)
            }),
            ("catchment_points_put_aside_total", "Points discarded, by input and kind", |t, door, kind| {
                t.discarded_by(door, kind)
            }),
        ];
        for (name, help, read) in families {
            w.family(name, help, MetricType::Counter);
            for door in Door::ALL {
                for kind in Kind::ALL {
                    let labels = [("input", door.word()), ("kind", kind.word())];
                    w.sample(name, &labels, read(total, door, kind));
                }
            }
        }
        w.family("catchment_points_rejected_total", "Points rejected singly, by reason", MetricType::Counter);
        for reason in Reject::ALL {
            w.sample("catchment_points_rejected_total", &[("reason", reason.word())], total.rejected(reason));
        }
        w.family("catchment_points_discarded_total", "Points discarded as asked, by reason", MetricType::Counter);
        for why in Discard::ALL {
            w.sample("catchment_points_discarded_total", &[("reason", why.word())], total.discarded(why));
        }
        for (why, name, help) in [
            (Discard::Rule, "catchment_rule_points_discarded_total", "Points that a rule dropped, by rule"),
            (Discard::Dedup, "catchment_dedup_points_discarded_total", "Points of replicas that stood by, by entry"),
        ] {
            let mut family = self.drops.iter().filter(|(of, ..)| *of == why).peekable();
            if family.peek().is_some() {
                w.family(name, help, MetricType::Counter);
            }
            for (_, by, points) in family {
                w.sample(name, &[(why.word(), by)], *points);
            }
        }
        w.family("catchment_points_open", "Points applied and not yet merged", MetricType::Gauge);
        w.sample("catchment_points_open", &[], total.open());
        w.family("catchment_points_emitted_total", "Points whose effect is settled, by effect", MetricType::Counter);
        for effect in Effect::ALL {
            w.sample("catchment_points_emitted_total", &[("effect", effect.word())], total.settled(effect));
        }
    }

    fn rules(&self, w: &mut Writer<'_>) {
        if self.rules.is_empty() {
            return;
        }
        let (members, series) = ("catchment_rule_members", "catchment_rule_series");
        w.family(members, "Live series that a rule takes", MetricType::Gauge);
        self.rules.iter().for_each(|rule| w.sample(members, &[("rule", &rule.name)], rule.members));
        w.family(series, "Output series of a rule", MetricType::Gauge);
        self.rules.iter().for_each(|rule| w.sample(series, &[("rule", &rule.name)], rule.outputs as u64));
        for (name, help, of) in RULE_COUNTERS {
            let name = format!("catchment_rule_{name}_total");
            w.family(&name, &format!("{help}, by rule"), MetricType::Counter);
            self.rules.iter().for_each(|rule| w.sample(&name, &[("rule", &rule.name)], of(&rule.notes)));
        }
        let limited = "catchment_rule_values_limited_total";
        w.family(limited, "Series of which `limit` made a value another one, by rule", MetricType::Counter);
        self.rules.iter().for_each(|rule| w.sample(limited, &[("rule", &rule.name)], rule.values_limited));
    }

    fn requests(&self, w: &mut Writer<'_>) {
        w.family("catchment_requests_answered_total", "Requests by input and answer", MetricType::Counter);
        for door in Door::ALL {
            for answer in Answer::ALL {
                let n: u64 = self.seen.iter().map(|seen| seen.requests(door, answer)).sum();
                let labels = [("input", door.word()), ("answer", answer.word())];
                w.sample("catchment_requests_answered_total", &labels, n);
            }
        }
        let names = [
            ("catchment_connections_open", "Connections open", MetricType::Gauge),
            ("catchment_connections_accepted_total", "Connections accepted", MetricType::Counter),
            (
                "catchment_connections_refused_total",
                "Connections closed over the limit: newcomers, and those that made room for one",
                MetricType::Counter,
            ),
            ("catchment_accept_pauses_total", "Times accepting paused for want of descriptors", MetricType::Counter),
            ("catchment_connections_timed_out_total", "Connections closed by a timeout", MetricType::Counter),
            ("catchment_wire_bytes_received_total", "Bytes read from sockets", MetricType::Counter),
            ("catchment_wire_bytes_sent_total", "Bytes written to sockets", MetricType::Counter),
        ];
        for (i, (name, help, kind)) in names.into_iter().enumerate() {
            w.family(name, help, kind);
            w.sample(name, &[], self.seen.iter().map(|seen| seen.connections()[i]).sum::<u64>());
        }
        w.family("catchment_floods_total", "Connections closed for flooding control frames", MetricType::Counter);
        w.sample("catchment_floods_total", &[], self.seen.iter().map(ShardSnapshot::floods).sum::<u64>());
        let names = [
            ("catchment_streams_total", "HTTP/2 streams opened"),
            ("catchment_body_bytes_total", "Bytes of bodies as they came"),
            ("catchment_body_bytes_decompressed_total", "Bytes of bodies after decompression"),
            ("catchment_protocol_errors_total", "Connections ended by a fault of the protocol"),
        ];
        for (i, (name, help)) in names.into_iter().enumerate() {
            w.family(name, help, MetricType::Counter);
            w.sample(name, &[], self.seen.iter().map(|seen| seen.bodies()[i]).sum::<u64>());
        }
    }

    fn shards(&self, w: &mut Writer<'_>) {
        type Read = fn(&ShardSnapshot) -> (&[u64], u64, u64);
        let histograms: [(&str, &str, Read); 2] = [
            ("catchment_request_seconds", "Time from a whole body to its answer", ShardSnapshot::request_times),
            (
                "catchment_loop_turn_seconds",
                "Time of one turn of a shard's event loop, waiting not counted",
                ShardSnapshot::turns,
            ),
        ];
        for (name, help, read) in histograms {
            w.family(name, help, MetricType::Histogram);
            let (bucket, sum, count) = (format!("{name}_bucket"), format!("{name}_sum"), format!("{name}_count"));
            for (shard, seen) in self.seen.iter().enumerate() {
                let shard = shard.to_string();
                let (buckets, n, ns) = read(seen);
                let mut running = 0;
                for (i, in_bucket) in buckets.iter().enumerate().take(BUCKETS - 1) {
                    running += in_bucket;
                    let le = format!("{}", f64::from(1u32 << i) * 1e-6);
                    w.sample(&bucket, &[("shard", &shard), ("le", &le)], running);
                }
                w.sample(&bucket, &[("shard", &shard), ("le", "+Inf")], n);
                w.sample(&sum, &[("shard", &shard)], ns as f64 * 1e-9);
                w.sample(&count, &[("shard", &shard)], n);
            }
        }
        for (i, (name, help)) in Note::NAMES.iter().enumerate() {
            let peak = i == Note::TurnMaxNs as usize;
            let seconds = name.strip_suffix("_ns");
            let family = match (seconds, peak) {
                (Some(stem), true) => format!("catchment_{stem}_seconds"),
                (Some(stem), false) => format!("catchment_{stem}_seconds_total"),
                _ => format!("catchment_{name}_total"),
            };
            w.family(&family, help, if peak { MetricType::Gauge } else { MetricType::Counter });
            for (shard, tally) in self.tallies.iter().enumerate() {
                let shard = shard.to_string();
                let value = tally.noted_at(i);
                match seconds {
                    Some(_) => w.sample(&family, &[("shard", &shard)], value as f64 * 1e-9),
                    None => w.sample(&family, &[("shard", &shard)], value),
                }
            }
        }
    }

    fn index(&self, w: &mut Writer<'_>) {
        type Read = fn(&IndexStats) -> usize;
        let families: [(&str, &str, MetricType, Read); 5] = [
            ("catchment_index_entries", "Series in the index", MetricType::Gauge, |s| s.entries),
            ("catchment_index_depth_max", "Deepest place of a series in the trie", MetricType::Gauge, |s| s.depth_max),
            ("catchment_index_splits_total", "Trie nodes split", MetricType::Counter, |s| s.splits),
            ("catchment_index_prunes_total", "Trie nodes taken out", MetricType::Counter, |s| s.prunes),
            ("catchment_index_bytes", "Bytes of trie nodes", MetricType::Gauge, |s| s.bytes()),
        ];
        for (name, help, kind, read) in families {
            w.family(name, help, kind);
            for (shard, stats) in self.index.iter().enumerate() {
                w.sample(name, &[("shard", &shard.to_string())], read(stats) as u64);
            }
        }
        w.family("catchment_cell_bytes", "Bytes of cell memory", MetricType::Gauge);
        for (shard, bytes) in self.slab_bytes.iter().enumerate() {
            w.sample("catchment_cell_bytes", &[("shard", &shard.to_string())], *bytes as u64);
        }
        let families: [(&str, &str, fn(&ShardSnapshot) -> u64); 2] = [
            ("catchment_series_owned", "Series that this shard merges", ShardSnapshot::live),
            ("catchment_routes", "Routes in this shard's own memory", ShardSnapshot::routes),
        ];
        for (name, help, read) in families {
            w.family(name, help, MetricType::Gauge);
            for (shard, seen) in self.seen.iter().enumerate() {
                w.sample(name, &[("shard", &shard.to_string())], read(seen));
            }
        }
        let ((live, limit), (groups, group_limit)) = (self.series, self.groups);
        for (name, help, value) in [
            ("catchment_series", "Live series that count towards the limit", live),
            ("catchment_series_limit", "Limit of live series", limit),
            ("catchment_groups", "Groups: resource, scope and metric", groups),
            ("catchment_group_limit", "Limit of groups", group_limit),
        ] {
            w.family(name, help, MetricType::Gauge);
            w.sample(name, &[], value as u64);
        }
    }

    fn destinations(&self, w: &mut Writer<'_>) {
        type Read = fn(&DestinationRow) -> u64;
        let families: [(&str, &str, MetricType, Read); 3] = [
            ("catchment_output_points_encoded_total", "Output points encoded", MetricType::Counter, |r| r.encoded),
            ("catchment_output_points_delivered_total", "Output points delivered", MetricType::Counter, |r| {
                r.delivered
            }),
            ("catchment_output_points_queued", "Output points waiting or in flight", MetricType::Gauge, |r| r.queued),
        ];
        for (name, help, kind, read) in families {
            w.family(name, help, kind);
            for DestinationStanding { name: destination, row, .. } in &self.destinations {
                w.sample(name, &[("destination", destination)], read(row));
            }
        }
        w.family("catchment_output_points_dropped_total", "Output points lost, by reason", MetricType::Counter);
        for DestinationStanding { name: destination, row, .. } in &self.destinations {
            for reason in Dropped::ALL {
                let labels = [("destination", destination.as_str()), ("reason", reason.word())];
                w.sample("catchment_output_points_dropped_total", &labels, row.dropped(reason));
            }
        }
        w.family("catchment_output_queue_bytes", "Bytes waiting or in flight", MetricType::Gauge);
        for DestinationStanding { name: destination, queue_bytes, .. } in &self.destinations {
            w.sample("catchment_output_queue_bytes", &[("destination", destination)], *queue_bytes as u64);
        }
        self.breakers(w);
        w.family("catchment_output_requests_total", "Requests to destinations, by outcome", MetricType::Counter);
        for DestinationStanding { name: destination, stats, .. } in &self.destinations {
            for (outcome, n) in stats.outcomes() {
                let labels = [("destination", destination.as_str()), ("outcome", outcome)];
                w.sample("catchment_output_requests_total", &labels, n);
            }
        }
    }

    fn breakers(&self, w: &mut Writer<'_>) {
        let (state, since) = ("catchment_output_breaker_state", "catchment_output_breaker_since_timestamp_seconds");
        let changes = "catchment_output_breaker_changes_total";
        let all = || self.destinations.iter().filter_map(|one| Some((one, one.breaker?)));
        w.family(state, "1 for how the breaker of a destination stands: 0 for the others", MetricType::Gauge);
        for (one, breaker) in all() {
            for of in BreakerState::ALL {
                let labels = [("destination", one.name.as_str()), ("state", of.word())];
                w.sample(state, &labels, u64::from(breaker.state == of));
            }
        }
        w.family(since, "When the breaker of a destination came to stand so", MetricType::Gauge);
        for (one, breaker) in all() {
            w.sample(since, &[("destination", &one.name)], breaker.since_unix_ms as f64 * 1e-3);
        }
        w.family(changes, "Changes of the breaker of a destination, by what it came to", MetricType::Counter);
        for (one, _) in all() {
            for (to, n) in one.stats.breaker_changes() {
                w.sample(changes, &[("destination", one.name.as_str()), ("to", to.word())], n);
            }
        }
    }

    fn process(&self, w: &mut Writer<'_>, _: &Tally) {
        let (published, postponed, skipped) = self.cuts;
        for (name, help, value) in [
            ("catchment_cuts_total", "Cuts made", published),
            ("catchment_cuts_postponed_total", "Cuts that waited for the merge before", postponed),
            ("catchment_cut_shards_skipped_total", "Shards that a cut did not wait for", skipped),
            ("catchment_scrapes_total", "Scrapes begun", self.scrapes.0),
            (
                "catchment_scrapes_superseded_total",
                "Scrapes broken off: overtaken by two cuts, or too slow for others that waited",
                self.scrapes.1,
            ),
            ("catchment_scrapes_refused_total", "Scrapes refused: others were under way", self.scrapes.2),
            ("catchment_log_lines_dropped_total", "Lines of the log that nobody read in time", self.log_dropped),
        ] {
            w.family(name, help, MetricType::Counter);
            w.sample(name, &[], value);
        }
        let help = "Metrics, rows and resources that scrape pages left out, joined or chose between, by reason";
        w.family("catchment_scrape_cases_total", help, MetricType::Counter);
        for reason in WarningReason::ALL {
            let labels = [("reason", reason.word())];
            w.sample("catchment_scrape_cases_total", &labels, self.page_cases[reason as usize]);
        }
        for (name, help, value) in [
            ("catchment_body_budget_bytes", "Bytes of request bodies held", self.bodies.0),
            ("catchment_body_budget_limit_bytes", "Limit of bytes of request bodies held", self.bodies.1),
        ] {
            w.family(name, help, MetricType::Gauge);
            w.sample(name, &[], value as u64);
        }
        if let Some(CaptureProgress { requests, dropped, runs }) = self.capture {
            for (name, help, kind, value) in [
                ("catchment_capture_requests_total", "Requests in the capture", MetricType::Counter, requests),
                (
                    "catchment_capture_requests_dropped_total",
                    "Requests that the recorder was too slow for",
                    MetricType::Counter,
                    dropped,
                ),
                ("catchment_capture_running", "0 once the capture is full or failed", MetricType::Gauge, runs.into()),
            ] {
                w.family(name, help, kind);
                w.sample(name, &[], value);
            }
        }
        self.reloads.put(w);
        if let Some(bytes) = self.resident {
            w.family("process_resident_memory_bytes", "Resident memory", MetricType::Gauge);
            w.sample("process_resident_memory_bytes", &[], bytes as u64);
        }
        w.family("catchment_uptime_seconds", "Time since start", MetricType::Gauge);
        w.sample("catchment_uptime_seconds", &[], self.uptime);
        w.family("catchment_build_info", "Version and commit", MetricType::Gauge);
        w.sample("catchment_build_info", &[("version", crate::VERSION)], 1u64);
    }
}
