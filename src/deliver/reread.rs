//! Reads a destination's files of headers again before a probe goes: the token that ran out may have been replaced.
//!
//! Does not know: breakers, what headers are for. A file system that hangs holds a thread of this destination alone, and its
//! probe no longer than `HEADERS_WAIT`; a pipe, which can be read once, is not read again.
//!
//! Invariants:
//! 1. A question is asked once a probe, and none while one is under way.
//! 2. What cannot be read changes nothing.
//!
//! Bounds: one thread for each destination whose headers stand in files, and only once its breaker has opened; it ends with
//! its reader. One question and one answer.

use std::io;
use std::sync::{Arc, mpsc};
use std::task::Poll;

use crossbeam::queue::ArrayQueue;

use super::headers::{HeaderSources, Headers};
use super::queue::Port;
use crate::limits::HEADERS_WAIT;
use crate::problem::Flaw;

type HeadersRead = Result<Headers, Flaw>;

/// The reader of one destination's files.
pub(super) struct HeaderReader {
    questions: mpsc::Sender<()>,
    answers: Arc<ArrayQueue<HeadersRead>>,
    /// A question is under way.
    is_asked: bool,
    /// Until when the probe waits for it, ns.
    until_ns: Option<u64>,
}

impl HeaderReader {
    /// Starts its thread, which rings the destination's bell.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start(sources: HeaderSources, port: Arc<Port>) -> io::Result<HeaderReader> {
        let (questions, asked) = mpsc::channel::<()>();
        let answers = Arc::new(ArrayQueue::new(1));
        let sink = answers.clone();
        std::thread::Builder::new().name("headers".into()).spawn(move || {
            while asked.recv().is_ok() {
                sink.force_push(sources.read_again());
                port.ring();
            }
        })?;
        Ok(HeaderReader { questions, answers, is_asked: false, until_ns: None })
    }

    /// Until when a probe waits for what is read, ns; nothing if none does.
    pub(super) fn until_ns(&self) -> Option<u64> {
        self.until_ns
    }

    /// For a probe that may go now: what was read, or that it waits for that; nothing if it takes too long.
    pub(super) fn poll(&mut self, now_ns: u64) -> Poll<Option<HeadersRead>> {
        let answer = self.answers.pop();
        self.is_asked &= answer.is_none();
        match (answer, self.until_ns) {
            // one that came too late for the probe before is as old as that
            (Some(read), Some(_)) => {
                self.until_ns = None;
                return Poll::Ready(Some(read));
            }
            (None, Some(until_ns)) if now_ns >= until_ns => {
                self.until_ns = None;
                return Poll::Ready(None);
            }
            (None, Some(_)) => return Poll::Pending,
            (_, None) => {}
        }
        if !self.is_asked {
            self.is_asked = self.questions.send(()).is_ok();
        }
        self.until_ns = Some(now_ns.saturating_add(HEADERS_WAIT.as_nanos() as u64));
        Poll::Pending
    }
}
