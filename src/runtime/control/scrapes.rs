//! Scrapes under way: who gets a page of the last cut, and when one gives way to another.
//!
//! Does not know: how the page is written, or where the scrape door is. Bounds: `limits::SCRAPES_MAX` at once, and
//! `limits::SCRAPE_MAX` of time for one while all of them are taken.

use crate::limits::{PAGE_ROOM_BYTES, SCRAPE_MAX, SCRAPE_MERGE_BYTES_MIN, SCRAPES_MAX};
use crate::listen::pages::{Abort, PageBody, PageResponse, PageStream};
use crate::prometheus;
use crate::runtime::clock;
use crate::runtime::scrape;
use crate::runtime::shared::{ProcessState, Readings};
use bytes::Bytes;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Weak};

/// What became of scrapes.
#[derive(Default)]
pub(super) struct ScrapeCounts {
    pub begun: u64,
    pub refused: u64,
    /// Broken off: overtaken by cuts, or they made room for others.
    pub superseded: u64,
    /// Scrapes under way, and the bytes lent to them for colliding rows.
    pub under_way: usize,
    pub merge_lent: usize,
    /// Over all pages to their end, by reason.
    pub left_out: [u64; prometheus::WarningReason::COUNT],
}

/// How the page is made, for all scrapes.
pub(super) struct Scrapes {
    pub counts: Rc<RefCell<ScrapeCounts>>,
    pub merge_bytes: usize,
    translation: prometheus::Translation,
    created: bool,
}

impl Scrapes {
    pub(super) fn new(merge_bytes: usize, translation: prometheus::Translation, created: bool) -> Scrapes {
        Scrapes { counts: Rc::default(), merge_bytes, translation, created }
    }

    /// Pages that begin from now on are made so.
    pub(super) fn translate_by(&mut self, translation: prometheus::Translation, created: bool) {
        (self.translation, self.created) = (translation, created);
    }

    pub(super) fn counts(&self) -> std::cell::Ref<'_, ScrapeCounts> {
        self.counts.borrow()
    }

    /// The page of the last cut that is merged, made as it is read.
    ///
    /// # Errors
    /// Words, where there is no place or no memory for it.
    pub(super) fn page(
        &self,
        shared: &Arc<ProcessState>,
        shards: &[Readings],
        accept: &str,
    ) -> Result<PageResponse, String> {
        let Some(mut place) = ScrapePlace::take(&self.counts, self.merge_bytes) else {
            return Err(format!("{SCRAPES_MAX} scrapes are under way already; try again in a second\n"));
        };
        // with less memory for colliding rows it takes more passes
        while !shared.has_room_left(place.merge_bytes + PAGE_ROOM_BYTES) {
            if !place.give_half_back() {
                return Err("the system has no memory for this process (ulimit -v); try again later\n".into());
            }
        }
        let board = &shared.board;
        let published = board.published();
        let number = if board.all_merged(published) { published } else { published.saturating_sub(1) };
        let numbered = shards.iter().map(|shard| &shard.directories).enumerate();
        let source = scrape::ScrapedCut {
            shared: shared.clone(),
            directories: numbered.clone().map(|(number, all)| (number, all.series.clone())).collect(),
            outputs: numbered.filter_map(|(number, all)| Some((number, all.outputs.clone()?))).collect(),
            number,
            exemplars: (0..board.shards())
                .map(|shard| shared.registry.shown_exemplars(shard).of(number).map_or(Weak::new(), Arc::downgrade))
                .collect(),
        };
        let keys = shared.registry.state().clone();
        let negotiated = prometheus::negotiate(accept);
        let style = prometheus::Style::new(self.translation, self.created, negotiated);
        let bounds = prometheus::Bounds { merge_bytes: place.merge_bytes, ..prometheus::Bounds::default() };
        let page = prometheus::Page::new(source, keys, bounds, style);
        Ok(PageResponse {
            status: 200,
            content_type: negotiated.content_type(),
            body: PageBody::Stream(Box::new(Stream { page, place })),
        })
    }
}

/// One of `SCRAPES_MAX` places.
pub(super) struct ScrapePlace {
    counts: Rc<RefCell<ScrapeCounts>>,
    merge_bytes: usize,
    pub begun_ns: u64,
}

impl ScrapePlace {
    /// Half of what is left of `merge_bytes` comes with it: nearly always there is one scraper.
    pub(super) fn take(counts: &Rc<RefCell<ScrapeCounts>>, merge_bytes: usize) -> Option<ScrapePlace> {
        let mut all = counts.borrow_mut();
        if all.under_way == SCRAPES_MAX {
            all.refused += 1;
            return None;
        }
        all.begun += 1;
        all.under_way += 1;
        let merge_bytes = merge_bytes.saturating_sub(all.merge_lent) / 2;
        all.merge_lent += merge_bytes;
        Some(ScrapePlace { counts: counts.clone(), merge_bytes, begun_ns: clock::mono() })
    }

    /// Half of the bytes go back; not where that would leave less than `SCRAPE_MERGE_BYTES_MIN`.
    fn give_half_back(&mut self) -> bool {
        let half = self.merge_bytes / 2;
        if half < SCRAPE_MERGE_BYTES_MIN {
            return false;
        }
        self.counts.borrow_mut().merge_lent -= self.merge_bytes - half;
        self.merge_bytes = half;
        true
    }

    /// Others want it, and this page has had its time.
    pub(super) fn is_due(&self, now: u64) -> bool {
        let is_long = now.saturating_sub(self.begun_ns) > SCRAPE_MAX.as_nanos() as u64;
        is_long && self.counts.borrow().under_way == SCRAPES_MAX
    }
}

impl Drop for ScrapePlace {
    fn drop(&mut self) {
        let mut all = self.counts.borrow_mut();
        all.under_way -= 1;
        all.merge_lent -= self.merge_bytes;
    }
}

struct Stream {
    page: prometheus::Page<scrape::ScrapedCut>,
    place: ScrapePlace,
}

impl PageStream for Stream {
    fn next(&mut self) -> Option<Result<Bytes, Abort>> {
        if self.place.is_due(clock::mono()) {
            self.place.counts.borrow_mut().superseded += 1;
            return Some(Err(Abort));
        }
        match self.page.step() {
            prometheus::Step::Chunk(bytes) => Some(Ok(bytes)),
            prometheus::Step::Working => Some(Ok(Bytes::new())),
            prometheus::Step::Overtaken => {
                self.place.counts.borrow_mut().superseded += 1;
                Some(Err(Abort))
            }
            prometheus::Step::End => {
                let left_out = &mut self.place.counts.borrow_mut().left_out;
                left_out.iter_mut().zip(self.page.report().cases).for_each(|(sum, cases)| *sum += cases);
                for warning in &self.page.report().warnings {
                    tracing::debug!(?warning, "scrape page");
                }
                None
            }
        }
    }
}
