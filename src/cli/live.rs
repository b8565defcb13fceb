//! What a running instance says on its admin door, read line by line.
//!
//! Knows URLs of that door; does not know what is made of what it says. Bounds: `limits::LIVE_BYTES_MAX` of an answer,
//! `limits::LIVE_LINE_BYTES_MAX` of a line, `limits::LIVE_TIMEOUT` for all of it.

use super::fetch::agent;
use crate::limits::{LIVE_BYTES_MAX, LIVE_LINE_BYTES_MAX, LIVE_TIMEOUT};
use crate::rules::InputKind;
use crate::telemetry::listing::{ListedLine, ListedMetric, ListedSeries, ListingEnd, read_line};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;

/// Bytes that are asked of the connection at once.
const READ_BYTES: usize = 256 << 10;

/// An instance, by the URL of its admin door.
pub(super) struct Live {
    url: String,
}

impl Live {
    /// At this URL: `http://HOST:PORT`.
    ///
    /// # Errors
    /// It is none.
    pub(super) fn at(url: &str) -> Result<Live, String> {
        let host = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        if host.is_none_or(|host| host.is_empty() || host.contains(['?', '#'])) {
            return Err("is no URL of an admin door: write http://HOST:PORT".into());
        }
        Ok(Live { url: url.trim_end_matches('/').to_owned() })
    }

    /// The lines of a page.
    ///
    /// # Errors
    /// It does not answer, or says no.
    fn lines(&self, path: &str, visit: &mut dyn FnMut(&str) -> Result<(), String>) -> Result<(), String> {
        let url = format!("{}{path}", self.url);
        let cannot = |why: String| format!("{url}: cannot be read ({why})");
        let mut answer = agent(&url, LIVE_TIMEOUT).get(&url).call().map_err(|error| match error {
            ureq::Error::StatusCode(404) => cannot("it has no such page: is it the admin door of this version?".into()),
            ureq::Error::StatusCode(503) => cannot("it is busy with another list; try again".into()),
            error => cannot(error.to_string()),
        })?;
        let mut reader = BufReader::with_capacity(READ_BYTES, answer.body_mut().as_reader().take(LIVE_BYTES_MAX));
        let (mut line, mut bytes) = (Vec::new(), 0);
        loop {
            line.clear();
            let read = (&mut reader).take(LIVE_LINE_BYTES_MAX).read_until(b'\n', &mut line);
            let read = read.map_err(|error| cannot(error.to_string()))? as u64;
            bytes += read;
            if read == 0 {
                let too_long = || format!("{url}: is longer than {LIVE_BYTES_MAX} bytes");
                return if bytes < LIVE_BYTES_MAX { Ok(()) } else { Err(too_long()) };
            }
            if read == LIVE_LINE_BYTES_MAX {
                return Err(format!("{url}: has a line of more than {LIVE_LINE_BYTES_MAX} bytes"));
            }
            let text = std::str::from_utf8(&line).map_err(|_| format!("{url}: is no text"))?;
            visit(text).map_err(|why| format!("{url}: {why}"))?;
        }
    }

    /// A page of JSON.
    ///
    /// # Errors
    /// As `lines`, or it is none.
    pub(super) fn json(&self, path: &str) -> Result<Value, String> {
        let mut text = String::new();
        self.lines(path, &mut |line| {
            text.push_str(line);
            Ok(())
        })?;
        serde_json::from_str(&text).map_err(|_| format!("{}{path}: is no JSON", self.url))
    }

    /// A page of lines, each JSON.
    ///
    /// # Errors
    /// As `json`.
    pub(super) fn values(&self, path: &str) -> Result<Vec<Value>, String> {
        let mut all = Vec::new();
        self.lines(path, &mut |line| {
            all.push(serde_json::from_str(line).map_err(|_| "a line is no JSON")?);
            Ok(())
        })?;
        Ok(all)
    }

    /// Series that came in, each with its metric, its resource (a run) and its scope (a message).
    ///
    /// # Errors
    /// As `lines`; or it is no list, or breaks off.
    pub(super) fn series(
        &self,
        query: &str,
        visit: &mut dyn FnMut(&LivePlace, &ListedMetric, &ListedSeries),
    ) -> Result<ListingEnd, String> {
        let (mut place, mut metric, mut end) = (LivePlace::default(), None::<ListedMetric>, None);
        self.lines(&format!("/series?{query}"), &mut |line| {
            let kind: Option<InputKind> = metric.as_ref().map(|metric| metric.kind);
            match read_line(line, kind)? {
                ListedLine::Place(resource, scope) => {
                    place = LivePlace { resource: resource.into(), scope: scope.into() };
                }
                ListedLine::Metric(next) => metric = Some(next),
                ListedLine::Series(series) => metric.iter().for_each(|metric| visit(&place, metric, &series)),
                ListedLine::End(last) => end = Some(last),
            }
            Ok(())
        })?;
        end.ok_or_else(|| format!("{}/series: breaks off before its end; try again", self.url))
    }
}

/// What series have in common.
#[derive(Default)]
pub(super) struct LivePlace {
    /// Attributes, a run with the key byte 0x0a.
    pub(super) resource: Arc<[u8]>,
    /// An `InstrumentationScope` message.
    pub(super) scope: Arc<[u8]>,
}

/// A value of a query, encoded.
pub(super) fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    let encode = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(encode).collect()
}
