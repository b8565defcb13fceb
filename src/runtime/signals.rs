//! Signals, and the last word: a thread that follows them whatever the others do.
//!
//! ```text
//!   SIGTERM, SIGINT ─► asked of the control thread, which ends the process in order
//!                   └► a timer: what has not ended by then is ended with what is known, exit code 1
//!   SIGHUP ─► every `file:` destination is opened again, and where there are files of settings the control thread is asked to read them
//!   SIGUSR1, SIGUSR2 ─► nothing but a line in the log
//! ```
//!
//! Progress: waits for nobody. Bounds: the process ends within `--shutdown-delay`, `--shutdown-timeout` and
//! `limits::END_GRACE` of the first signal, within a second and that grace of the second one.

use super::account::Account;
use super::asks::Ask;
use super::shared::ProcessState;
use crate::deliver;
use crate::limits::{CLOSING_STACK_BYTES, END_GRACE, HURRY, LOG_FLUSH_MAX};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Distance of two looks at threads that should end.
const LOOK: Duration = Duration::from_millis(2);

/// Ends the process here and now, with the ledger as it stands.
fn end_now(account: &Account) -> ! {
    crate::log::tell(format_args!(
        "catchment: the end takes longer than --shutdown-timeout and {END_GRACE:?}; what is left is lost"
    ));
    account.tell_once();
    crate::log::flush(LOG_FLUSH_MAX);
    std::process::exit(crate::FAILURE.into());
}

/// From here on these end nothing; `follow` heeds them. Those that end the process do so at once until then.
pub(super) fn catch() -> io::Result<Signals> {
    Signals::new([SIGHUP, SIGUSR1, SIGUSR2])
}

/// Starts the thread; signals that concern the control thread are asked of it. `reloads`: there are files of settings.
pub(super) fn follow(
    mut signals: Signals,
    (shared, reloads): (Arc<ProcessState>, bool),
    sender: deliver::Sender,
    account: Account,
) -> io::Result<()> {
    signals.add_signal(SIGTERM)?;
    signals.add_signal(SIGINT)?;
    let ends = last_word(account)?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        let mut is_first = true;
        for signal in signals.forever() {
            match signal {
                SIGHUP => {
                    sender.reopen_files();
                    if reloads {
                        tracing::info!("SIGHUP: file: destinations are opened again, and settings are read again");
                        shared.ask(Ask::Hangup);
                    } else {
                        tracing::info!(
                            "SIGHUP: file: destinations are opened again; there is no --config to read again"
                        );
                    }
                    continue;
                }
                SIGUSR1 | SIGUSR2 => {
                    tracing::info!(signal, "this signal means nothing here: SIGTERM ends, SIGHUP opens files again");
                    continue;
                }
                _ => {}
            }
            shared.ask(Ask::End);
            let (delay, timeout) = shared.shutdown.get();
            let within = if std::mem::take(&mut is_first) { delay.saturating_add(timeout) } else { HURRY };
            let left = within.saturating_add(END_GRACE);
            if let Some(end) = Instant::now().checked_add(left) {
                let _ = ends.send(end);
            }
        }
    })?;
    Ok(())
}

/// Starts the timer, which ends the process at the earliest of the times that it is told. Now, as at the end there may be
/// no memory for a thread.
fn last_word(account: Account) -> io::Result<Sender<Instant>> {
    let (ends, told) = channel::<Instant>();
    std::thread::Builder::new().name("last-word".into()).stack_size(CLOSING_STACK_BYTES).spawn(move || {
        let Ok(mut end) = told.recv() else { return };
        loop {
            match told.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(other) => end = end.min(other),
                Err(RecvTimeoutError::Timeout) => end_now(&account),
                // no signal is followed any more; the last one counts
                Err(RecvTimeoutError::Disconnected) => {
                    std::thread::sleep(end.saturating_duration_since(Instant::now()));
                    end_now(&account)
                }
            }
        }
    })?;
    Ok(ends)
}

/// Waits for threads until the deadline; the names of those that run on.
pub(super) fn join(threads: Vec<JoinHandle<()>>, deadline: Instant) -> Vec<String> {
    while !threads.iter().all(JoinHandle::is_finished) && Instant::now() < deadline {
        std::thread::park_timeout(LOOK);
    }
    let mut left = Vec::new();
    for thread in threads {
        if thread.is_finished() {
            // a panic has been printed
            let _ = thread.join();
        } else {
            left.push(thread.thread().name().unwrap_or("a thread").to_owned());
        }
    }
    left
}

/// Says which shards do not end.
pub(super) fn say_stuck(stuck: &[String], shared: &ProcessState, now_ns: u64) {
    for (number, beat) in shared.heartbeats.iter().enumerate() {
        if stuck.contains(&format!("shard-{number}")) {
            // ORDERING: a time; publishes nothing
            let busy = Duration::from_nanos(now_ns.saturating_sub(beat.load(Relaxed)));
            crate::log::tell(format_args!(
                "catchment: shard {number} does not end: busy with one turn of its loop for {busy:.1?}; what it holds is lost"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    /// A thread that is stuck is named and left behind; those that ended are joined.
    #[test]
    fn joining_ends_at_the_deadline_and_names_who_is_stuck() {
        let (release, held) = channel::<()>();
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new().name(name.into()).spawn(work).unwrap()
        };
        let stuck = spawn("shard-1", Box::new(move || assert!(held.recv().is_err())));
        let threads = vec![spawn("shard-0", Box::new(|| {})), stuck];
        while !threads[0].is_finished() {
            std::thread::yield_now();
        }
        let begun = Instant::now();
        assert_eq!(join(threads, begun + Duration::from_millis(20)), ["shard-1"]);
        assert!(begun.elapsed() >= Duration::from_millis(20), "it gets its time");
        drop(release);
        let ended = spawn("shard-0", Box::new(|| {}));
        assert!(join(vec![ended], Instant::now() + Duration::from_secs(30)).is_empty());
    }
}
