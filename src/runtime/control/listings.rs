//! Lists of series on the admin door: those that came in, and the outputs of a rule. Written as they are read, in slices.
//!
//! Knows the directories that scrapes read, and what is asked for; does not know how a line is written (`telemetry::listing`).
//! A list is of no one cut: each series is told as it stands when its line is written.
//!
//! Bounds: one list at a time, `limits::LISTED_MAX` lines of series, `AT_A_TIME` of them looked at in one turn of the loop.

use crate::aggregate::number::Value;
use crate::flush::ListedPlace;
use crate::limits::{LISTED_DEFAULT, LISTED_MAX};
use crate::listen::pages::{Abort, PageBody, PageResponse, PageStream};
use crate::model::Kind;
use crate::rules::{MetricSeen, SeriesFilter};
use crate::runtime::scrape::ScrapedCut;
use crate::series::{Group, ReadValue, Series};
use crate::telemetry::listing::{
    ListedOutput, ListedSeries, ListingEnd, put_end, put_metric, put_output, put_place, put_series,
};
use bytes::Bytes;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::Arc;

/// Series that are looked at in one turn.
const AT_A_TIME: usize = 256;
/// Bytes of a piece.
const PIECE_BYTES: usize = 64 << 10;

/// What is asked for.
pub(super) struct ListingAsked {
    /// Those of the rule at this slot; nothing: what came in.
    pub rule: Option<u32>,
    filter: SeriesFilter,
    limit: usize,
}

impl ListingAsked {
    /// Of a query: `metric=PATTERN`, `match=KEY=PATTERN,…`, `limit=N`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn of(rule: Option<u32>, query: &str) -> Result<ListingAsked, String> {
        let (mut metric, mut attributes, mut limit) = (String::new(), String::new(), None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decoded(value).ok_or_else(|| format!("{key}: its value is not encoded as a query is\n"))?;
            match key {
                "metric" => metric = value,
                "match" => attributes = value,
                "limit" => {
                    let number = value.parse::<usize>().ok().filter(|number| (1..=LISTED_MAX).contains(number));
                    let wrong = || format!("limit: give 1 to {LISTED_MAX}\n");
                    limit = Some(number.ok_or_else(wrong)?);
                }
                _ => return Err("there are metric=PATTERN, match=KEY=PATTERN,… and limit=N\n".into()),
            }
        }
        let filter = SeriesFilter::new(&metric, &attributes).map_err(|words| words + "\n")?;
        Ok(ListingAsked { rule, filter, limit: limit.unwrap_or(LISTED_DEFAULT) })
    }
}

/// A value of a query without its `%` and `+`.
fn decoded(text: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let [first, behind @ ..] = rest {
        rest = behind;
        bytes.push(match first {
            b'+' => b' ',
            b'%' => {
                let (digits, behind) = rest.split_at_checked(2)?;
                rest = behind;
                u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?
            }
            other => *other,
        });
    }
    String::from_utf8(bytes).ok()
}

/// The one turn there is: held a second time by a list that is being written.
#[derive(Default)]
pub(super) struct ListingTurn(Rc<()>);

impl ListingTurn {
    /// The page, made as it is read; `None` while another is under way. `cut` has the directories that are asked for.
    pub(super) fn page(&self, cut: ScrapedCut, interval_s: f64, asked: ListingAsked) -> Option<PageResponse> {
        if Rc::strong_count(&self.0) > 1 {
            return None;
        }
        let listing = Listing {
            groups: Groups { directory: 0, group: 0 },
            listed: None,
            cursor: 0,
            cut,
            interval_s,
            asked,
            told: 0,
            place: None,
            turn: Some(self.0.clone()),
        };
        Some(PageResponse {
            status: 200,
            content_type: "application/x-ndjson",
            body: PageBody::Stream(Box::new(listing)),
        })
    }
}

/// Where among the groups.
struct Groups {
    directory: usize,
    group: usize,
}

struct Listing {
    groups: Groups,
    /// The group at hand, and the shard it is on.
    listed: Option<(usize, ListedPlace)>,
    cursor: usize,
    cut: ScrapedCut,
    interval_s: f64,
    asked: ListingAsked,
    told: usize,
    /// Resource and scope that were told last, and the number of the metric.
    place: Option<(Arc<[u8]>, Arc<[u8]>, u32)>,
    /// Until the list is out.
    turn: Option<Rc<()>>,
}

impl Listing {
    /// The next group; nothing at the end.
    fn next_group(&mut self) -> Option<(usize, ListedPlace)> {
        let Groups { directory, group } = &mut self.groups;
        while let Some((shard, all)) = self.cut.directories.get(*directory) {
            match ListedPlace::of(&all.load(), *group) {
                Some(listed) => {
                    *group += 1;
                    return Some((*shard, listed));
                }
                None => (*directory, *group) = (*directory + 1, 0),
            }
        }
        None
    }

    /// Writes what one turn has room for; `true` at the end, or at the limit.
    fn write(&mut self, out: &mut String) -> bool {
        let mut left = AT_A_TIME;
        while left > 0 && out.len() < PIECE_BYTES {
            let Some((shard, listed)) = self.listed.clone() else {
                self.listed = self.next_group();
                self.cursor = 0;
                left -= 1;
                if self.listed.is_none() {
                    return true;
                }
                continue;
            };
            if self.told == self.asked.limit {
                return true;
            }
            let before = self.cursor;
            let is_over = match self.asked.rule {
                Some(rule) => self.write_outputs(rule, (shard, &listed), out),
                None => self.write_series(&listed, left, out),
            };
            left = left.saturating_sub((self.cursor - before).max(1));
            if is_over {
                self.listed = None;
            }
        }
        false
    }

    /// Of what came in; `true` if that is all of the group.
    fn write_series(&mut self, listed: &ListedPlace, most: usize, out: &mut String) -> bool {
        let Some(all) = listed.load() else { return true };
        let meta = all.group();
        let metric = seen(meta);
        for _ in 0..most {
            let Some(series) = all.get(self.cursor) else { return true };
            if self.told == self.asked.limit {
                return false;
            }
            self.cursor += 1;
            if series.is_dead() || !self.asked.filter.means(&metric, &series.attributes) {
                continue;
            }
            self.told += 1;
            let is_new = |(resource, scope, _): &(Arc<[u8]>, Arc<[u8]>, u32)| {
                !Arc::ptr_eq(resource, meta.resource()) || !Arc::ptr_eq(scope, meta.scope())
            };
            if self.place.as_ref().is_none_or(is_new) {
                put_place(out, meta.resource(), meta.scope());
                put_metric(out, &metric, &meta.bounds);
            } else if self.place.as_ref().is_some_and(|(_, _, id)| *id != meta.id) {
                put_metric(out, &metric, &meta.bounds);
            }
            self.place = Some((meta.resource().clone(), meta.scope().clone(), meta.id));
            put_series(out, &told(series, meta.kind));
        }
        false
    }

    /// Of a rule; `true` if that is all of the group.
    fn write_outputs(&mut self, rule: u32, (shard, listed): (usize, &ListedPlace), out: &mut String) -> bool {
        let board = &self.cut.shared.board;
        let published = board.published();
        self.cut.number = if board.all_merged(published) { published } else { published.saturating_sub(1) };
        let Listing { cut, asked, told, cursor, .. } = self;
        let Some(all) = listed.load() else { return true };
        let metric = seen(all.group());
        let mut left = AT_A_TIME;
        // a value that two cuts overwrote while it was read is left out
        let walked = cut.each(shard, listed, cursor, &mut |series, row| {
            if let Some(made) = series.made_of().filter(|made| made.rule == rule)
                && asked.filter.means(&metric, row.attributes)
            {
                *told += 1;
                put_output(
                    out,
                    &ListedOutput {
                        metric,
                        attributes: row.attributes,
                        members: made.members,
                        live: made.live,
                        start_ns: row.start_ns,
                        time_ns: row.time_ns,
                        value: row.value,
                    },
                );
            }
            left -= 1;
            if left == 0 || *told == asked.limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        match walked {
            Ok(progress) => progress == crate::prometheus::Progress::Done,
            Err(_) => false,
        }
    }

    /// Whether there is more than was told.
    fn has_more(&mut self) -> bool {
        if self.told < self.asked.limit {
            return false;
        }
        let is_inside =
            |(_, listed): &(usize, ListedPlace)| listed.load().is_some_and(|all| all.get(self.cursor).is_some());
        self.listed.as_ref().is_some_and(is_inside) || self.next_group().is_some()
    }
}

/// A group as rules see it.
fn seen(meta: &Group) -> MetricSeen<'_> {
    MetricSeen {
        resource: meta.resource(),
        scope: meta.scope(),
        name: meta.name(),
        unit: meta.unit(),
        kind: meta.kind,
        monotonic: meta.monotonic,
        held: Some([meta.resource(), meta.scope()]),
    }
}

/// What is known of a series.
fn told(series: &Series, kind: Kind) -> ListedSeries {
    let (mut has_delta, mut has_cumulative) = (false, false);
    if !matches!(kind, Kind::Gauge | Kind::Summary) {
        series.each_cell(|cell| if cell.cumulative { has_cumulative = true } else { has_delta = true });
    }
    let value: Option<Value> = match series.read_hidden(u32::MAX) {
        ReadValue::Found { value, .. } if matches!(kind, Kind::Gauge | Kind::Sum) => Some(value),
        _ => None,
    };
    ListedSeries {
        attributes: series.attributes.to_vec(),
        has_delta,
        has_cumulative,
        cuts: series.cuts(),
        time_ns: series.time(),
        value,
        is_hidden: series.hides(),
    }
}

impl PageStream for Listing {
    fn next(&mut self) -> Option<Result<Bytes, Abort>> {
        self.turn.as_ref()?;
        let mut out = String::new();
        if self.write(&mut out) {
            self.turn = None;
            let (series, interval_s) = (self.told as u64, self.interval_s);
            let (cut, has_more) = (self.cut.shared.board.published(), self.has_more());
            put_end(&mut out, &ListingEnd { series, cut, interval_s, has_more });
        }
        Some(Ok(out.into()))
    }
}
