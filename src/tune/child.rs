//! Children: confined to cores, ended with this process, their answers read with a time limit.

use super::machine;
use super::stop::Stop;
use crate::limits::TUNE_CHILD_TIMEOUT;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Distance of two looks at a child.
const LOOK: Duration = Duration::from_millis(5);

/// A folder for ports files and captures, removed at the end.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> Result<Folder, String> {
        let path = std::env::temp_dir().join(format!("catchment-tune-{}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Folder(path))
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A running child; killed when it is dropped.
pub(super) struct Child {
    what: String,
    child: std::process::Child,
}

impl Child {
    /// This executable with other arguments, on these cores, without our environment's `CATCHMENT_…`.
    pub(super) fn start(what: &str, arguments: &[String], cores: &[usize]) -> Result<Child, String> {
        let program = std::env::current_exe().map_err(|error| format!("this program's own path: {error}"))?;
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CATCHMENT_")) {
            command.env_remove(name);
        }
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // a child inherits the cores of the thread that starts it
        let cores = cores.to_vec();
        let started = std::thread::spawn(move || {
            machine::confine(&cores)?;
            command.spawn().map_err(|error| error.to_string())
        });
        let child = started.join().unwrap_or_else(|_| Err("the thread that starts it panicked".into()));
        Ok(Child { what: what.to_owned(), child: child.map_err(|error| format!("{what} does not start: {error}"))? })
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has ended; what it printed. A child of ours prints less than a pipe holds.
    fn ended(&mut self, deadline: Instant, stop: &Stop) -> Result<(i32, String), String> {
        loop {
            stop.check()?;
            if let Some(status) = self.child.try_wait().map_err(|error| format!("{}: {error}", self.what))? {
                let text = self.child.stdout.take().map(std::io::read_to_string);
                return Ok((status.code().unwrap_or(-1), text.and_then(Result::ok).unwrap_or_default()));
            }
            if Instant::now() > deadline {
                return Err(format!("{} did not end in time", self.what));
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Waits for the JSON it ends with.
    pub(super) fn answer(mut self, within: Duration, stop: &Stop) -> Result<Value, String> {
        let (code, text) = self.ended(Instant::now() + within + TUNE_CHILD_TIMEOUT, stop)?;
        // 3: not every point was acknowledged; the answer says so
        if code != 0 && code != 3 {
            let complaint = self.complaint();
            return Err(format!("{} failed with exit code {code}: {complaint}", self.what));
        }
        serde_json::from_str(text.trim()).map_err(|error| format!("{}: {error} in its answer {text:?}", self.what))
    }

    /// Its ports file, once it is there.
    pub(super) fn ports(&mut self, path: &Path, stop: &Stop) -> Result<Value, String> {
        let deadline = Instant::now() + TUNE_CHILD_TIMEOUT;
        loop {
            stop.check()?;
            if let Ok(text) = std::fs::read_to_string(path) {
                return serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()));
            }
            let ended = self.child.try_wait().map_err(|error| format!("{}: {error}", self.what))?.is_some();
            if ended || Instant::now() > deadline {
                let complaint = self.complaint();
                return Err(format!("{} did not start: {complaint}", self.what));
            }
            std::thread::sleep(LOOK);
        }
    }

    /// SIGTERM, then the end of it.
    pub(super) fn terminate(mut self, stop: &Stop) -> Result<(), String> {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        self.ended(Instant::now() + TUNE_CHILD_TIMEOUT, stop).map(drop)
    }

    fn complaint(&mut self) -> String {
        let _ = self.child.kill();
        let text = self.child.stderr.take().map(std::io::read_to_string).and_then(Result::ok).unwrap_or_default();
        text.trim().to_owned()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // both fail only when it has ended
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
