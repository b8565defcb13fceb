//! What the connections of a sink share: totals, faults to order, and who is being answered.
//!
//! Knows requests and replies; does not know sockets' bytes.

use super::json_in;
use super::options::SinkOptions;
use super::totals::Totals;
use crate::load::messages::ExportMetricsServiceRequest;
use prost::Message;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, Weak};

/// Largest request, compressed or not.
pub(crate) const BODY_BYTES_MAX: usize = 256 * 1024 * 1024;

/// What to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// Success, with so many points said to be rejected.
    Accept { rejected: u64 },
    /// Refused with an HTTP (100 and more) or gRPC status.
    Refuse { status: u16, retry_after_s: Option<u32>, why: String },
    /// No answer, ever.
    Hang,
    /// The connection goes away.
    Reset,
}

/// What connections share.
pub(crate) struct Shared {
    pub options: SinkOptions,
    pub totals: Mutex<Totals>,
    pub requests: AtomicU64,
    /// Requests that are being answered.
    pub answering: AtomicU64,
    pub stopping: AtomicBool,
    /// Weak, so that a connection is closed when its session ends.
    pub connections: Mutex<Vec<Weak<TcpStream>>>,
}

/// While it lives, a request is being answered.
pub(crate) struct Answering<'a>(&'a Shared);

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        // ORDERING: Release pairs with the Acquire in `Sink::drop`: the answer was written before.
        self.0.answering.fetch_sub(1, Ordering::Release);
    }
}

impl Shared {
    /// From before a request is counted until its answer is written, if there is one.
    pub(crate) fn answering(&self) -> Answering<'_> {
        // ORDERING: Relaxed, a count; what is counted behind it is behind the lock of the totals.
        self.answering.fetch_add(1, Ordering::Relaxed);
        Answering(self)
    }

    /// Counts one request body, already decompressed, and says what to answer.
    pub(crate) fn request(&self, body: &[u8], json: bool) -> Reply {
        // ORDERING: Relaxed, a number to each request; nothing else is published by it.
        let number = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(delay) = self.options.delay {
            std::thread::sleep(delay);
        }
        let rate = self.options.fail_rate.clamp(0.0, 1.0);
        let chosen = (number as f64 * rate).floor() > ((number - 1) as f64 * rate).floor();
        if chosen && let Some(reply) = self.fault() {
            self.totals().faulted_requests += 1;
            return reply;
        }
        let request = match json {
            true => json_in::request(body),
            false => ExportMetricsServiceRequest::decode(body).map_err(|error| error.to_string()),
        };
        let request = match request {
            Ok(request) => request,
            Err(why) => {
                self.totals().faulted_requests += 1;
                return Reply::Refuse { status: 400, retry_after_s: None, why };
            }
        };
        if self.options.drop != Some(number) {
            self.totals().take(&request);
        }
        if self.options.misplace == Some(number) {
            self.totals().misplace_one();
        }
        let rejected = if chosen { self.options.partial.unwrap_or(0) } else { 0 };
        Reply::Accept { rejected }
    }

    /// The totals as they stand.
    pub(crate) fn totals(&self) -> MutexGuard<'_, Totals> {
        self.totals.lock().expect("no thread panics while it counts")
    }

    fn fault(&self) -> Option<Reply> {
        if self.options.hang {
            return Some(Reply::Hang);
        }
        if self.options.reset {
            return Some(Reply::Reset);
        }
        let status = self.options.fail_status?;
        Some(Reply::Refuse { status, retry_after_s: self.options.retry_after, why: "fault ordered".into() })
    }
}
