//! The log: `tracing` to standard error, as text or JSON; never a line per point or request. As JSON every line of the
//! process is an event, the banner, the ledger and refusals too: whoever reads that stream parses each.
//!
//! Knows lines and levels; does not know who says them or why.
//!
//! ```text
//!   any thread ─► try_send, or count the line as dropped ─► queue ─► thread "log" ─► standard error
//! ```
//!
//! Progress: no thread but its own waits for whoever reads standard error; a line that finds the queue full is dropped and
//! counted, and told once lines flow again. Bounds: `limits::LOG_LINES_MAX` lines and `LOG_BYTES_MAX` bytes wait; the end
//! waits for them at most as long as it says.

use crate::limits::{LOG_BYTES_MAX, LOG_LINES_MAX};
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime as _;
use tracing_subscriber::fmt::{FormatFields, format};
use tracing_subscriber::prelude::*;
use tracing_subscriber::{Registry, reload};

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
/// Wait when standard error is a pipe that somebody made non-blocking, and full.
const FULL_PIPE_WAIT: Duration = Duration::from_millis(10);

/// Lines on their way to a thread that writes them.
struct Queue {
    lines: SyncSender<Vec<u8>>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Bytes that wait.
    bytes: AtomicUsize,
    dropped: AtomicU64,
    /// Lines that wait, the one being written among them.
    waiting: Mutex<usize>,
    changed: Condvar,
}

impl Shared {
    fn wait(&self, change: impl FnOnce(&mut usize)) -> usize {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut waiting);
        self.changed.notify_all();
        *waiting
    }
}

impl Queue {
    /// Starts the thread. `tell` is given the number of lines dropped, once others got through again.
    fn start(out: impl Write + Send + 'static, tell: fn(u64)) -> io::Result<Queue> {
        let (lines, receiver) = sync_channel(LOG_LINES_MAX);
        let shared = Arc::<Shared>::default();
        let theirs = shared.clone();
        std::thread::Builder::new().name("log".into()).spawn(move || write_all(out, &receiver, &theirs, tell))?;
        Ok(Queue { lines, shared })
    }

    /// Takes a line, or counts it as dropped.
    fn push(&self, line: Vec<u8>) {
        let size = line.len();
        // ORDERING: a budget and a count; they publish nothing
        let before = self.shared.bytes.fetch_add(size, Relaxed);
        self.shared.wait(|waiting| *waiting += 1);
        if before + size > LOG_BYTES_MAX || self.lines.try_send(line).is_err() {
            self.shared.bytes.fetch_sub(size, Relaxed);
            self.shared.dropped.fetch_add(1, Relaxed);
            self.shared.wait(|waiting| *waiting -= 1);
        }
    }

    /// Waits until all is written; `false` if that takes longer.
    fn flush(&self, longest: Duration) -> bool {
        let waiting = self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.shared.changed.wait_timeout_while(waiting, longest, |waiting| *waiting > 0);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

/// The thread.
fn write_all(mut out: impl Write, lines: &Receiver<Vec<u8>>, shared: &Shared, tell: fn(u64)) {
    let mut told = 0;
    for line in lines {
        let mut rest = &line[..];
        while !rest.is_empty() {
            match out.write(rest) {
                Ok(n) if n > 0 => rest = &rest[n..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(FULL_PIPE_WAIT),
                // standard error is gone: nobody reads it, which is no reason to end
                _ => break,
            }
        }
        shared.bytes.fetch_sub(line.len(), Relaxed);
        let dropped = shared.dropped.load(Relaxed);
        // told before this line counts as written: who flushes waits for that too
        if dropped > told && shared.wait(|_| {}) <= LOG_LINES_MAX / 2 {
            tell(dropped - told);
            told = dropped;
        }
        shared.wait(|waiting| *waiting -= 1);
    }
}

static QUEUE: OnceLock<Queue> = OnceLock::new();

/// What `tracing` writes an event to, whole.
struct Event;

impl Write for Event {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Some(queue) = QUEUE.get() {
            queue.push(line.to_vec());
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

static JSON: AtomicBool = AtomicBool::new(false);

/// From here on every line is a JSON object.
pub fn speak_json() {
    JSON.store(true, Relaxed);
}

/// Whether every line is a JSON object.
pub fn is_json() -> bool {
    JSON.load(Relaxed)
}

/// Says something whatever `--log` asks for. In JSON it is an event with `fields`: nothing, or what stands behind a comma in
/// an object. Where standard error is gone nobody reads it, which is no reason to panic. Once the log runs it goes behind
/// the log's lines, and nobody waits for it.
pub(crate) fn say(level: Level, line: &dyn fmt::Display, fields: &str) {
    let line = if is_json() { event(level, &line.to_string(), fields) } else { format!("{line}\n") };
    match QUEUE.get() {
        Some(queue) => queue.push(line.into_bytes()),
        None => drop(io::stderr().write_all(line.as_bytes())),
    }
}

/// A warning at the start, before the log runs or after, whatever `--log` says.
pub(crate) fn warn(line: fmt::Arguments) {
    let line = if is_json() { format!("{line}") } else { format!("catchment: warning: {line}") };
    say(Level::WARN, &line, "");
}

/// A line for people on standard error: something is wrong.
pub(crate) fn tell(line: fmt::Arguments) {
    say(Level::ERROR, &line, "");
}

/// A JSON string.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    put_quoted(&mut out, text);
    out
}

/// Appends a JSON string.
pub(crate) fn put_quoted(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| byte < 0x20 || matches!(byte, b'"' | b'\\')) {
        out.push_str(&rest[..at]);
        match rest.as_bytes()[at] {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            byte => {
                let _ = fmt::Write::write_fmt(out, format_args!("\\u{byte:04x}"));
            }
        }
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
    out.push('"');
}

/// An event as `tracing` writes them.
fn event(level: Level, line: &str, fields: &str) -> String {
    let mut time = String::new();
    // it says so itself where there is no time
    let _ = tracing_subscriber::fmt::time::SystemTime.format_time(&mut Writer::new(&mut time));
    let message = quoted(line.strip_prefix("catchment: ").unwrap_or(line));
    let time = quoted(&time);
    format!(
        "{{\"timestamp\":{time},\"level\":\"{level}\",\"fields\":{{\"message\":{message}{fields}}},\"target\":\"catchment\"}}\n"
    )
}

/// Fields of a text line: a value with blanks or quotes in it, or none, is quoted, so that words tell fields apart.
fn text_fields() -> impl for<'a> FormatFields<'a> {
    let fields = format::debug_fn(|out, field, value| {
        let (name, value) = (field.name(), format!("{value:?}"));
        if name == "message" {
            return out.write_str(&value);
        }
        if out.has_ansi_escapes() {
            write!(out, "\x1b[3m{name}\x1b[0m\x1b[2m=\x1b[0m")?;
        } else {
            write!(out, "{name}=")?;
        }
        // texts come in quotes
        let is_plain = !value.is_empty() && !value.contains([' ', '"', '\n', '\t', '\r']);
        if is_plain || value.starts_with('"') { out.write_str(&value) } else { write!(out, "{value:?}") }
    });
    fields.delimited(" ")
}

/// Lines dropped so far because nobody read them.
pub fn dropped() -> u64 {
    QUEUE.get().map_or(0, |queue| queue.shared.dropped.load(Relaxed))
}

/// Waits until every line is written, at most so long.
pub fn flush(longest: Duration) {
    if let Some(queue) = QUEUE.get() {
        queue.flush(longest);
    }
}

/// A directive is a level, or `target=level`.
fn is_directive(directive: &str) -> bool {
    let (target, level) = directive.rsplit_once('=').unwrap_or(("all", directive));
    !target.is_empty() && LEVELS.iter().any(|word| word.eq_ignore_ascii_case(level))
}

/// Whether `filter` is a level or a list such as `catchment=debug`.
///
/// # Errors
/// What may be given.
pub fn check(filter: &str) -> Result<(), String> {
    targets(filter).map(drop)
}

fn targets(filter: &str) -> Result<Targets, String> {
    // the library takes a lone word that is no level for a target, of which then everything is logged, and nothing else
    let targets = filter.parse().ok().filter(|_| filter.split(',').all(is_directive));
    targets.ok_or_else(|| {
        let levels = LEVELS.join(", ");
        format!("give {levels}, or target=level, such as catchment=debug; several with commas between")
    })
}

static FILTER: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

/// Another filter, which was checked, from now on.
pub fn filter_by(filter: &str) {
    if let (Ok(targets), Some(handle)) = (targets(filter), FILTER.get()) {
        // fails only once nothing is logged any more
        let _ = handle.reload(targets);
    }
}

/// Starts it, as JSON after `speak_json`. `filter` was checked.
pub fn start(filter: &str) -> Result<(), String> {
    let targets = targets(filter).map_err(|allowed| format!("--log {filter}: {allowed}"))?;
    let failed = |error: &dyn std::fmt::Display| format!("the log cannot start: {error}");
    // a descriptor of its own: a write that blocks must not hold the lock of std's
    if let Ok(descriptor) = io::stderr().as_fd().try_clone_to_owned() {
        let tell = |lines| tracing::warn!(lines, "lines of the log were dropped: nobody read standard error");
        let _ = QUEUE.set(Queue::start(File::from(descriptor), tell).map_err(|error| failed(&error))?);
        // and a panic must not wait for a reader either
        std::panic::set_hook(Box::new(|panic| {
            let thread = std::thread::current();
            let trace = std::backtrace::Backtrace::capture();
            self::tell(format_args!("thread '{}' {panic}\n{trace}", thread.name().unwrap_or("?")));
        }));
    }
    let (targets, handle) = reload::Layer::new(targets);
    let _ = FILTER.set(handle);
    let registry = tracing_subscriber::registry().with(targets);
    let result = if is_json() {
        registry.with(tracing_subscriber::fmt::layer().json().with_writer(|| Event)).try_init()
    } else {
        let ansi = io::IsTerminal::is_terminal(&io::stderr());
        let layer = tracing_subscriber::fmt::layer().fmt_fields(text_fields());
        registry.with(layer.with_ansi(ansi).with_target(false).with_writer(|| Event)).try_init()
    };
    result.map_err(|error| failed(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Sender, channel};

    #[test]
    fn a_directive_is_a_level_or_a_target_with_a_level() {
        for good in ["off", "ERROR", "warn", "catchment=debug", "catchment::deliver=trace", "h2=off"] {
            assert!(is_directive(good) && good.parse::<Targets>().is_ok(), "{good}");
        }
        for bad in ["", "bogus", "catchment", "=debug", "catchment=", "catchment=loud", "3", "warning"] {
            assert!(!is_directive(bad), "{bad}");
        }
    }

    /// One object a line, whatever is in it.
    #[test]
    fn a_line_for_people_is_an_event_in_json() {
        let line = event(Level::WARN, "catchment: \"a\"\nb\\", ",\"n\":1");
        assert_eq!(line.find('\n'), Some(line.len() - 1));
        let json: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(json["fields"], serde_json::json!({ "message": "\"a\"\nb\\", "n": 1 }));
        assert_eq!(json["level"], "WARN");
        assert!(json["timestamp"].as_str().unwrap().ends_with('Z'), "{line}");
    }

    /// A pipe that is read a write at a time, as the test allows.
    struct Pipe {
        wrote: Sender<Vec<u8>>,
        allow: Receiver<()>,
    }

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.allow.recv();
            let _ = self.wrote.send(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    static TOLD: AtomicU64 = AtomicU64::new(0);

    /// Lines past the bounds are dropped and counted while nobody reads; told once, when it flows again; and a flush
    /// waits for what is left, not for ever.
    #[test]
    fn a_log_that_nobody_reads_holds_nobody_up() {
        let ((wrote, written), (allow, allowed)) = (channel(), channel());
        let tell = |lines| {
            TOLD.fetch_add(lines, Relaxed);
        };
        let queue = Queue::start(Pipe { wrote, allow: allowed }, tell).unwrap();
        // one may be in the writer's hands
        let pushed = LOG_LINES_MAX as u64 + 10;
        (0..pushed).for_each(|n| queue.push(n.to_string().into_bytes()));
        let dropped = queue.shared.dropped.load(Relaxed);
        assert!((9..=10).contains(&dropped), "{dropped}");
        queue.push(vec![b'x'; LOG_BYTES_MAX + 1]);
        let dropped = dropped + 1;
        assert_eq!(queue.shared.dropped.load(Relaxed), dropped);
        assert!(!queue.flush(Duration::from_millis(1)), "nobody reads");
        (0..pushed).for_each(|_| allow.send(()).unwrap());
        assert!(queue.flush(Duration::from_secs(30)));
        assert_eq!(TOLD.load(Relaxed), dropped, "told");
        assert_eq!(written.try_iter().count() as u64, pushed + 1 - dropped);
        assert_eq!(queue.shared.bytes.load(Relaxed), 0);
    }

    #[test]
    fn bytes_are_bounded_too() {
        let ((wrote, _written), (allow, allowed)) = (channel(), channel());
        let queue = Queue::start(Pipe { wrote, allow: allowed }, |_| {}).unwrap();
        (0..5).for_each(|_| queue.push(vec![b'x'; LOG_BYTES_MAX / 4]));
        assert_eq!(queue.shared.dropped.load(Relaxed), 1);
        drop(allow);
        assert!(queue.flush(Duration::from_secs(30)));
    }
}
