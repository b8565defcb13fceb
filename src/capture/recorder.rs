//! The writing side: shards hand copies over without waiting, one thread writes.

use super::format::{FILE_HEAD_BYTES, Recorded, file_head};
use crate::limits::{CAPTURE_QUEUE_BYTES, CAPTURE_QUEUE_REQUESTS};
use crate::model::Origin;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;

#[derive(Default)]
struct Shared {
    queued_bytes: AtomicUsize,
    /// Requests in the file, as of the last flush.
    requests: AtomicU64,
    dropped: AtomicU64,
    /// The limit is reached or the file cannot be written: shards copy nothing any more.
    ended: AtomicBool,
}

/// A shard's end of the queue.
#[derive(Clone)]
pub struct Tap {
    sender: SyncSender<Recorded>,
    shared: Arc<Shared>,
}

impl Tap {
    /// Copies a request into the queue, or drops and counts it. Never waits.
    pub fn record(&self, origin: Origin, at_ns: u64, body: &[u8]) {
        // ORDERING: counts and a flag; the channel carries what is published
        if self.shared.ended.load(Relaxed) {
            return;
        }
        let bytes = body.len();
        if self.shared.queued_bytes.fetch_add(bytes, Relaxed) + bytes <= CAPTURE_QUEUE_BYTES
            && self.sender.try_send(Recorded { door: origin.door, at_ns, body: body.to_vec() }).is_ok()
        {
            return;
        }
        self.shared.queued_bytes.fetch_sub(bytes, Relaxed);
        self.shared.dropped.fetch_add(1, Relaxed);
    }
}

/// A recording as it stands, for the metrics page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaptureProgress {
    /// Requests in the file.
    pub requests: u64,
    /// Requests that the queue had no room for.
    pub dropped: u64,
    /// The limit is not reached, and the file can be written.
    pub runs: bool,
}

/// Where a recording's progress is read.
#[derive(Clone)]
pub struct CaptureWatch(Arc<Shared>);

impl CaptureWatch {
    /// As it stands.
    pub fn read(&self) -> CaptureProgress {
        // ORDERING: for the page only
        let Shared { requests, dropped, ended, .. } = &*self.0;
        CaptureProgress { requests: requests.load(Relaxed), dropped: dropped.load(Relaxed), runs: !ended.load(Relaxed) }
    }
}

/// What became of a recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaptureSummary {
    /// Requests in the file.
    pub requests: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// Requests that the queue had no room for.
    pub dropped: u64,
    /// The recording ended at its limit; what came after is not in it.
    pub full: bool,
}

/// The recording of this process.
pub struct Recorder {
    path: PathBuf,
    shared: Arc<Shared>,
    thread: JoinHandle<io::Result<CaptureSummary>>,
}

impl Recorder {
    /// Creates the file and starts the thread; the `Tap` is to be cloned for each shard.
    pub fn start(path: &Path, limit: usize) -> io::Result<(Recorder, Tap)> {
        let mut file = BufWriter::new(File::create(path)?);
        file.write_all(&file_head())?;
        // a full disk is found here, not at the first request
        file.flush()?;
        let (sender, receiver) = sync_channel(CAPTURE_QUEUE_REQUESTS);
        let shared = Arc::new(Shared::default());
        let (theirs, named) = (Arc::clone(&shared), path.to_owned());
        let thread = std::thread::Builder::new().name("capture".into());
        let thread = thread.spawn(move || {
            let result = write(file, limit, &receiver, &theirs);
            theirs.ended.store(true, Relaxed);
            if let Err(error) = &result {
                tracing::warn!(path = %named.display(), %error, "the capture cannot be written and ends; the server goes on");
            }
            result
        })?;
        let tap = Tap { sender, shared: Arc::clone(&shared) };
        Ok((Recorder { path: path.into(), shared, thread }, tap))
    }

    /// To read its progress.
    pub fn watch(&self) -> CaptureWatch {
        CaptureWatch(Arc::clone(&self.shared))
    }

    /// Waits for what is queued, once every tap is gone; logs and returns what became of it.
    pub fn finish(self) -> io::Result<CaptureSummary> {
        let written =
            self.thread.join().map_err(|_| io::Error::other("the thread that writes the capture panicked"))?;
        let dropped = self.shared.dropped.load(Relaxed);
        let path = self.path.display();
        match written {
            Ok(summary) => {
                let summary = CaptureSummary { dropped, ..summary };
                let CaptureSummary { requests, bytes, full, .. } = summary;
                let end = if full { "; it ended at --capture-limit" } else { "" };
                let line =
                    format!("catchment: capture {path}: {requests} requests, {bytes} bytes; {dropped} dropped{end}");
                crate::log::say(tracing::Level::INFO, &line, "");
                Ok(summary)
            }
            Err(error) => {
                crate::log::tell(format_args!("catchment: capture {path}: {error}; it is not whole"));
                Err(error)
            }
        }
    }
}

fn write(
    mut file: BufWriter<File>,
    limit: usize,
    queue: &Receiver<Recorded>,
    shared: &Shared,
) -> io::Result<CaptureSummary> {
    let mut summary = CaptureSummary { bytes: FILE_HEAD_BYTES as u64, ..CaptureSummary::default() };
    loop {
        let recorded = match queue.try_recv() {
            Ok(recorded) => recorded,
            Err(TryRecvError::Disconnected) => break,
            Err(TryRecvError::Empty) => {
                // whoever copies the file now gets whole records
                file.flush()?;
                shared.requests.store(summary.requests, Relaxed);
                match queue.recv() {
                    Ok(recorded) => recorded,
                    Err(_) => break,
                }
            }
        };
        shared.queued_bytes.fetch_sub(recorded.body.len(), Relaxed);
        if summary.full || summary.bytes + recorded.bytes() as u64 > limit as u64 {
            summary.full = true;
            shared.ended.store(true, Relaxed);
            continue;
        }
        file.write_all(&recorded.head())?;
        file.write_all(&recorded.body)?;
        summary.requests += 1;
        summary.bytes += recorded.bytes() as u64;
    }
    file.flush()?;
    Ok(summary)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::read;
    use crate::model::Door;

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("catchment-capture-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn what_is_recorded_is_read_and_the_limit_ends_it() {
        let folder = folder("limit");
        let path = folder.join("capture");
        let (recorder, tap) = Recorder::start(&path, 12 + 3 * (17 + 10)).unwrap();
        for i in 0..5 {
            tap.record(Door::OtlpHttp.into(), i, &[i as u8; 10]);
        }
        drop(tap);
        let summary = recorder.finish().unwrap();
        assert_eq!((summary.requests, summary.full), (3, true));
        assert_eq!(std::fs::metadata(&path).unwrap().len(), summary.bytes);
        let capture = read(&path).unwrap();
        assert_eq!(capture.torn_at, None);
        let want = |i: u64| Recorded { door: Door::OtlpHttp, at_ns: i, body: vec![i as u8; 10] };
        assert_eq!(capture.requests, [want(0), want(1), want(2)]);
        std::fs::remove_dir_all(folder).unwrap();
    }

    /// One request alone is over the queue's bytes, so it is dropped and counted, and nothing waits.
    #[test]
    fn what_the_queue_has_no_room_for_is_counted() {
        let folder = folder("queue");
        let (recorder, tap) = Recorder::start(&folder.join("capture"), usize::MAX).unwrap();
        tap.record(Door::OtlpGrpc.into(), 1, &vec![0; CAPTURE_QUEUE_BYTES + 1]);
        tap.record(Door::OtlpGrpc.into(), 2, b"kept");
        drop(tap);
        let summary = recorder.finish().unwrap();
        assert_eq!((summary.requests, summary.dropped, summary.full), (1, 1, false));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
