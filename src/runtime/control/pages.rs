//! What the scrape and the admin door answer.
//!
//! Does not know: sockets, when cuts are made. Bounds: those of `scrapes` and `verify`; all other pages are short.

use super::listings::{ListingAsked, ListingTurn};
use super::reload::{ReloadBusy, ReloadCause, ReloadOutcome, Reloads};
use super::schedule::CutCounts;
use super::scrapes::Scrapes;
use super::verify::VerifyTurn;
use crate::capture;
use crate::config::{SettingDifference, SettingDifferences};
use crate::deliver::Sender;
use crate::listen::pages::{PageBody, PageMaker, PageResponse};
use crate::nearest::nearest;
use crate::runtime::account::Account;
use crate::runtime::bind::{ADMIN, SCRAPE};
use crate::runtime::clock;
use crate::runtime::losses::{AtDoors, REFUSALS};
use crate::runtime::scrape::ScrapedCut;
use crate::runtime::shared::{ProcessState, Readings};
use crate::telemetry::metrics::Facts;
use crate::telemetry::rules;
use crate::telemetry::shard_stats::ShardSnapshot;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// A shard that has not turned its loop for this long is not ready.
pub(super) const READY_WITHIN_NS: u64 = 2_000_000_000;

/// What the pages are made from.
pub(super) struct StatusPages {
    pub shared: Arc<ProcessState>,
    pub shards: Vec<Readings>,
    pub sender: Sender,
    pub account: Account,
    pub scrapes: Scrapes,
    /// Settings that are read again.
    pub reloads: Reloads,
    /// One ledger at a time is verified.
    pub verifying: VerifyTurn,
    /// One list of series at a time is written.
    pub listing: ListingTurn,
    /// Seconds between cuts.
    pub interval_s: f64,
    pub cuts: CutCounts,
    /// When the process started, on the monotonic clock.
    pub started_ns: u64,
    pub series_limit: usize,
    /// `--connections`
    pub connections: usize,
    /// What bodies may take.
    pub bodies_bytes_max: usize,
    pub capture: Option<capture::CaptureWatch>,
    /// A signal has come: whoever balances load should send nothing more.
    pub stopping: bool,
}

/// What the admin door has.
const PAGES: &str = "/metrics /ledger (?verify=1) /rules /rules/NAME/series /series (?metric= &match= &limit=) /healthz /readyz, POST /-/reload";

impl StatusPages {
    /// Connections that were closed for want of a place, and pauses for want of descriptors.
    pub(super) fn at_doors(&self) -> AtDoors {
        let seen = self.seen();
        seen.fold(AtDoors { connections: self.connections, ..AtDoors::default() }, |all, seen| AtDoors {
            refused: all.refused + seen.refused(),
            paused: all.paused + seen.paused(),
            answered: std::array::from_fn(|i| all.answered[i] + seen.answered(REFUSALS[i])),
            ..all
        })
    }

    fn seen(&self) -> impl Iterator<Item = ShardSnapshot> {
        self.shards.iter().map(|shard| ShardSnapshot::read(&shard.stats))
    }

    pub(super) fn facts(&self) -> Facts {
        let registry = &self.shared.registry;
        let scrapes = self.scrapes.counts();
        Facts {
            tallies: self.account.tallies(),
            seen: self.seen().collect(),
            index: (0..registry.cores()).map(|owner| registry.trie(owner).stats()).collect(),
            slab_bytes: (0..registry.cores()).map(|core| registry.slab(core).bytes()).collect(),
            destinations: self.sender.standings(),
            drops: self.account.drops(),
            rules: self.account.rules(),
            series: (registry.live(), self.series_limit),
            groups: (registry.group_count(), registry.group_limit()),
            // ORDERING: for the page only
            bodies: (self.shared.bodies.taken(), self.bodies_bytes_max),
            cuts: (self.cuts.published, self.cuts.postponed, self.cuts.skipped),
            scrapes: (scrapes.begun, scrapes.superseded, scrapes.refused),
            page_cases: scrapes.left_out,
            capture: self.capture.as_ref().map(capture::CaptureWatch::read),
            reloads: self.reloads.facts(),
            log_dropped: crate::log::dropped(),
            resident: clock::resident(),
            uptime: (clock::mono() - self.started_ns) as f64 * 1e-9,
        }
    }

    /// Shards whose loop does not run yet, or has not turned in time.
    fn stuck(&self, now: u64) -> Vec<usize> {
        // ORDERING: a time; publishes nothing
        let late = |at: u64| at == 0 || now.saturating_sub(at) > READY_WITHIN_NS;
        let beats = self.shared.heartbeats.iter().enumerate();
        beats.filter(|(_, beat)| late(beat.load(Relaxed))).map(|(shard, _)| shard).collect()
    }

    pub(super) fn ready(&self, now: u64) -> PageResponse {
        if self.stopping {
            return text(503, "not ready: stopping\n".into());
        }
        match self.stuck(now) {
            stuck if stuck.is_empty() => text(200, "ready\n".into()),
            stuck => text(503, format!("not ready: shards {stuck:?} have not turned their loop within 2 s\n")),
        }
    }

    fn scrape(&self, accept: &str) -> PageResponse {
        self.scrapes.page(&self.shared, &self.shards, accept).unwrap_or_else(|words| text(503, words))
    }

    /// The ledger, once the open points are counted in the cells.
    fn verified(&self) -> PageResponse {
        let busy = || text(503, "the ledger is being verified for another; try again in a second\n".into());
        self.verifying.page(&self.shared, &self.account).unwrap_or_else(busy)
    }

    /// Series that came in, or the outputs of a rule.
    fn listed(&self, rule: Option<u32>, query: &str) -> PageResponse {
        let asked = match ListingAsked::of(rule, query) {
            Ok(asked) => asked,
            Err(words) => return text(400, words),
        };
        let of = |(number, shard): (usize, &Readings)| {
            let directories = &shard.directories;
            let one = if rule.is_some() { directories.outputs.as_ref() } else { Some(&directories.series) };
            one.map(|directory| (number, directory.clone()))
        };
        let directories = self.shards.iter().enumerate().filter_map(of).collect();
        let shared = self.shared.clone();
        let cut = ScrapedCut { shared, directories, outputs: Vec::new(), number: 0, exemplars: Vec::new() };
        let busy = || text(503, "a list is being written for another; try again in a second\n".into());
        self.listing.page(cut, self.interval_s, asked).unwrap_or_else(busy)
    }

    /// The outputs of a rule, by its name.
    fn of_rule(&self, name: &str, query: &str) -> PageResponse {
        let names = self.account.rule_names();
        if let Some((number, _)) = names.iter().find(|(_, known)| **known == *name) {
            return self.listed(Some(*number), query);
        }
        let meant = nearest(name, names.iter().map(|(_, name)| &**name));
        let meant = match meant {
            Some(meant) => format!("did you mean {meant}?"),
            None if names.is_empty() => "there are no rules that aggregate".to_owned(),
            None => "/rules has all there are".to_owned(),
        };
        text(404, format!("there is no rule {} that aggregates: {meant}\n", name.escape_debug()))
    }

    /// Begins to read settings again; by whom is told once they are.
    pub(super) fn begin_reload(&mut self, cause: ReloadCause) -> Result<u64, ReloadBusy> {
        let shared = self.shared.clone();
        // a waker fails only when its poll is gone, and then nobody waits
        self.reloads.begin(cause, clock::mono(), move || drop(shared.control.wake()))
    }

    fn reload(&mut self) -> PageResponse {
        if self.stopping {
            return text(503, "the process ends; what it was started with stays\n".into());
        }
        match self.begin_reload(ReloadCause::Post) {
            Ok(number) => PageResponse { status: 200, content_type: "text/plain", body: PageBody::PutOff(number) },
            Err(why) => text(409, why.words() + "\n"),
        }
    }

    fn admin(&mut self, path: &str, query: &str) -> PageResponse {
        match path {
            "/metrics" => PageResponse {
                status: 200,
                content_type: "text/plain; version=0.0.4; charset=utf-8",
                body: PageBody::Full(self.facts().page().into()),
            },
            "/ledger" if query.split('&').any(|part| part == "verify=1") => self.verified(),
            "/ledger" => {
                let json = self.account.json(None);
                PageResponse { status: 200, content_type: "application/json", body: PageBody::Full(json.into()) }
            }
            "/rules" => {
                let json = rules::json(&self.account.listed_rules()) + "\n";
                PageResponse { status: 200, content_type: "application/json", body: PageBody::Full(json.into()) }
            }
            "/series" => self.listed(None, query),
            "/healthz" => text(200, "ok\n".into()),
            "/readyz" => self.ready(clock::mono()),
            "/" => text(200, format!("catchment admin: {PAGES}\n")),
            _ => match path.strip_prefix("/rules/").and_then(|path| path.strip_suffix("/series")) {
                Some(name) => self.of_rule(name, query),
                None => text(404, format!("not found; there are {PAGES}\n")),
            },
        }
    }
}

/// Where settings are asked to be read again.
const RELOAD: &str = "/-/reload";

/// What became of a reload.
fn reloaded(outcome: ReloadOutcome, fingerprint: &str) -> PageResponse {
    let all = |differences: &[SettingDifference]| -> Value {
        let one = |of: &SettingDifference| json!({ "setting": of.key, "before": of.before, "now": of.now });
        differences.iter().map(one).collect()
    };
    let page = |status: u16, result: &str, differences: &SettingDifferences, took_ns: Option<u64>| {
        let mut answer = json!({
            "result": result,
            "applied": all(&differences.applied),
            "needs_restart": all(&differences.needs_restart),
            "notes": differences.notes,
            "fingerprint": fingerprint,
        });
        if let Some(took_ns) = took_ns {
            answer["took_s"] = (took_ns as f64 * 1e-9).into();
        }
        let body = PageBody::Full(format!("{answer}\n").into());
        PageResponse { status, content_type: "application/json", body }
    };
    match outcome {
        ReloadOutcome::Applied { differences, took_ns } => page(200, "applied", &differences, Some(took_ns)),
        ReloadOutcome::Waits { differences } => page(202, "waits for the next cut", &differences, None),
        ReloadOutcome::Refused(lines) => text(400, lines.join("\n") + "\n"),
        ReloadOutcome::Late(words) => text(504, words + "\n"),
        ReloadOutcome::Ended(words) => text(503, words + "\n"),
    }
}

fn text(status: u16, words: String) -> PageResponse {
    PageResponse { status, content_type: "text/plain; charset=utf-8", body: PageBody::Full(words.into()) }
}

impl PageMaker for StatusPages {
    fn methods(&self, door: u8, path: &str) -> &'static str {
        if (door, path) == (ADMIN, RELOAD) { "POST" } else { "GET, HEAD" }
    }

    fn page(&mut self, door: u8, method: &str, path: &str, query: &str, accept: &str) -> PageResponse {
        if method == "POST" && (door, path) == (ADMIN, RELOAD) {
            return self.reload();
        }
        if (door, path) == (ADMIN, RELOAD) {
            return text(405, "only POST\n".into());
        }
        if method != "GET" && method != "HEAD" {
            return text(405, "only GET\n".into());
        }
        match (door, path) {
            (SCRAPE, "/metrics") => self.scrape(accept),
            (SCRAPE, _) => text(404, "the scrape page is at /metrics\n".into()),
            (ADMIN, _) => self.admin(path, query),
            _ => text(404, "not found\n".into()),
        }
    }

    fn put_off(&mut self, number: u64) -> Option<PageResponse> {
        let outcome = self.reloads.outcome(number, clock::mono())?;
        Some(reloaded(outcome, &self.reloads.running().fingerprint()))
    }
}
