//! The folder of all logs: who has it, which format it is, and where each log lies.
//!
//! ```text
//!   DIR/lock      held while a process is there; text: what it says of itself
//!   DIR/format    "catchment buffer 1\n"
//!   DIR/out/H/    a log: H is the hash of its name, 16 digits; `about` has the name, for people and for hashes that meet
//!   DIR/dead/H/   the same for dead letters
//! ```
//!
//! Knows names; does not know what is in a log. What is made is made whole: written beside, synced, renamed, its folder synced.

use super::checksum::checksum;
use super::log::{BufferError, BufferLog, LogOptions, LogReport};
use super::names::{ABOUT, fnv1a, is_folder_name, name_of_folder};
use super::walk::twice;
use crate::disk::{DiskFolder, EntryKind, FolderFile};
use crate::limits::BUFFER_NAME_BYTES_MAX;
use std::io;

const LOCK: &str = "lock";
/// Bytes of what a process says of itself.
const SAYS_BYTES: usize = 128;
const FORMAT: &str = "format";
const FORMAT_TEXT: &str = "catchment buffer ";
const FORMAT_VERSION: u32 = 1;

/// What a log holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogKind {
    /// What waits to be sent.
    Out,
    /// What was refused for good.
    Dead,
}

impl LogKind {
    const fn folder(self) -> &'static str {
        match self {
            LogKind::Out => "out",
            LogKind::Dead => "dead",
        }
    }
}

/// A log as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedLog {
    /// Its name; none where the file that has it is missing or damaged.
    pub name: Option<String>,
    /// Its folder.
    pub folder: String,
}

/// The folder of all logs, held by this process alone.
#[derive(Debug)]
pub struct BufferFolder {
    root: Box<dyn DiskFolder>,
    /// Held as long as this is.
    _lock: Box<dyn FolderFile>,
    was_mended: bool,
}

impl BufferFolder {
    /// Takes the folder for this process. `says` is what another one is told of it.
    ///
    /// # Errors
    /// Another process has it, a newer catchment wrote it, or the disk's.
    pub fn open(root: Box<dyn DiskFolder>, says: &str) -> Result<BufferFolder, BufferError> {
        let lock = lock(&*root, says)?;
        let mut folder = BufferFolder { root, _lock: lock, was_mended: false };
        let text = folder.read_text(FORMAT).map_err(|error| BufferError::Disk("the format cannot be read", error))?;
        match text.as_deref().map(version_of) {
            Some(Some(FORMAT_VERSION)) => {}
            Some(Some(version)) if version > FORMAT_VERSION => return Err(BufferError::Newer(version)),
            found => {
                let kinds = [LogKind::Out, LogKind::Dead].map(LogKind::folder);
                let names =
                    twice(|| folder.root.list()).map_err(|error| BufferError::Disk("it cannot be listed", error))?;
                // segments say themselves if they are newer
                folder.was_mended = found.is_some() || names.iter().any(|entry| kinds.contains(&&*entry.name));
                let text = format!("{FORMAT_TEXT}{FORMAT_VERSION}\n");
                let made = make_file(&*folder.root, FORMAT, text.as_bytes());
                made.map_err(|error| BufferError::Disk("the format cannot be written", error))?;
            }
        }
        Ok(folder)
    }

    /// Whether the file that says the format was missing beside logs, or damaged. It was made again.
    pub fn was_mended(&self) -> bool {
        self.was_mended
    }

    /// Opens the log of a name; makes it if there is none.
    ///
    /// # Errors
    /// The name's, a newer catchment's log, or the disk's.
    pub fn log(&self, kind: LogKind, name: &str, options: LogOptions) -> Result<(BufferLog, LogReport), BufferError> {
        let disk = |error| BufferError::Disk("the folder of a log cannot be made", error);
        let parent = open_or_make(&*self.root, kind.folder()).map_err(disk)?;
        let mut taken = 0;
        loop {
            let folder_name = name_of_folder(name, taken).map_err(BufferError::Name)?;
            let folder = open_or_make(&*parent, &folder_name).map_err(disk)?;
            match read_about(&*folder).map_err(disk)? {
                Some(about) if about == name => {}
                // another name with the same hash
                Some(_) => {
                    taken += 1;
                    continue;
                }
                // new, or damaged: whose records those are their checksums say
                None => make_file(&*folder, ABOUT, about(name).as_bytes()).map_err(disk)?,
            }
            let stream = fnv1a(format!("{}/{folder_name}", kind.folder()).as_bytes());
            return BufferLog::open(folder, stream, options);
        }
    }

    /// All logs of a kind.
    ///
    /// # Errors
    /// The disk's.
    pub fn logs(&self, kind: LogKind) -> io::Result<Vec<ListedLog>> {
        let parent = match twice(|| self.root.folder(kind.folder())) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let entries = twice(|| parent.list())?;
        let is_log = |name: &str, kind: EntryKind| kind == EntryKind::Folder && is_folder_name(name);
        let logs = entries.into_iter().filter(|entry| is_log(&entry.name, entry.kind)).map(|entry| {
            let name = parent.folder(&entry.name).and_then(|folder| read_about(&*folder)).unwrap_or(None);
            ListedLog { name, folder: entry.name }
        });
        Ok(logs.collect())
    }

    fn read_text(&self, name: &str) -> io::Result<Option<String>> {
        read_small(&*self.root, name, SAYS_BYTES)
    }
}

fn lock(root: &dyn DiskFolder, says: &str) -> Result<Box<dyn FolderFile>, BufferError> {
    let disk = |error| BufferError::Disk("the lock cannot be taken", error);
    let mut file = match root.create(LOCK) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => root.open(LOCK).map_err(disk)?,
        other => other.map_err(disk)?,
    };
    if !file.lock().map_err(disk)? {
        let text = read_small(root, LOCK, SAYS_BYTES).ok().flatten().unwrap_or_default();
        let text: String = text.trim_end().chars().filter(|c| !c.is_control()).collect();
        return Err(BufferError::Locked(if text.is_empty() { "it says nothing of itself".into() } else { text }));
    }
    // over what the last one said, whole
    let mut text = [b'\n'; SAYS_BYTES];
    let bytes = says.len().min(SAYS_BYTES - 1);
    text[..bytes].copy_from_slice(&says.as_bytes()[..bytes]);
    file.write_at(0, &text).map_err(disk)?;
    Ok(file)
}

/// The version that a format says; none where it says nothing of the kind.
fn version_of(text: &str) -> Option<u32> {
    text.strip_prefix(FORMAT_TEXT)?.strip_suffix('\n')?.parse().ok()
}

fn about(name: &str) -> String {
    format!("{:08x} {name}\n", checksum(name.as_bytes()))
}

/// The name of a log; none where there is none that its checksum fits.
fn read_about(folder: &dyn DiskFolder) -> io::Result<Option<String>> {
    let text = read_small(folder, ABOUT, BUFFER_NAME_BYTES_MAX + 10)?;
    let name = text.as_deref().and_then(|text| text.get(9..)?.strip_suffix('\n'));
    Ok(name.filter(|name| text.as_deref() == Some(&about(name))).map(str::to_owned))
}

/// A short text; none where there is no such file, or it is no text.
fn read_small(folder: &dyn DiskFolder, name: &str, bytes_max: usize) -> io::Result<Option<String>> {
    let file = match twice(|| folder.open(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let mut bytes = vec![0; bytes_max];
    let read = twice(|| file.read_at(0, &mut bytes))?;
    bytes.truncate(read);
    Ok(Some(String::from_utf8(bytes).unwrap_or_default()))
}

/// Makes a file that is there whole or not at all, in place of one that is damaged.
fn make_file(folder: &dyn DiskFolder, name: &str, bytes: &[u8]) -> io::Result<()> {
    let beside = format!("{name}.new");
    match folder.unlink(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = folder.create(&beside)?;
    file.write_at(0, bytes)?;
    file.sync()?;
    folder.rename(&beside, name)?;
    folder.sync()
}

fn open_or_make(parent: &dyn DiskFolder, name: &str) -> io::Result<Box<dyn DiskFolder>> {
    match twice(|| parent.folder(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            parent.make_folder(name)?;
            parent.sync()?;
            parent.folder(name)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::{LogTaken, NewRecord, RecordKind, WriterOptions};
    use crate::disk::SimulatedDisk;
    use bytes::Bytes;

    const WRITER: WriterOptions =
        WriterOptions { segment_bytes: 10_000, keeps_unsynced: false, unsynced_bytes_max: 1_000, epoch: 1 };
    const OPTIONS: LogOptions = LogOptions { writer: WRITER, bytes_max: 100_000 };

    fn disk() -> SimulatedDisk {
        SimulatedDisk::new(Box::new(|_| 0))
    }

    fn append(log: &mut BufferLog, body: &'static str) {
        let body = Bytes::from(body);
        let (kind, tenant) = (RecordKind::Batch, "");
        log.append(&NewRecord { kind, packed: 0, shard: 0, points: 1, cut: 0, number: 0, at_ns: 0, tenant, body })
            .unwrap();
    }

    fn first(log: &mut BufferLog) -> Option<Bytes> {
        let reader = log.reader("a").unwrap();
        match log.take(reader, u64::MAX) {
            LogTaken::Record(record) => Some(record.body),
            _ => None,
        }
    }

    #[test]
    fn one_process_at_a_time_and_the_other_is_told_of_it() {
        let disk = disk();
        let held = BufferFolder::open(disk.root(), "process 7, catchment 1").unwrap();
        let refused = BufferFolder::open(disk.root(), "process 8").unwrap_err();
        assert!(refused.to_string().contains("(process 7, catchment 1)"), "{refused}");
        drop(held);
        let held = BufferFolder::open(disk.root(), "process 8").unwrap();
        assert!(BufferFolder::open(disk.root(), "").unwrap_err().to_string().contains("(process 8)"));
        drop(held);
        BufferFolder::open(disk.root(), &"x".repeat(1_000)).unwrap();
    }

    #[test]
    fn a_newer_format_is_refused_in_words_and_a_damaged_one_made_again() {
        let disk = disk();
        assert!(!BufferFolder::open(disk.root(), "").unwrap().was_mended());
        let root = disk.root();
        let format = |text: &str| {
            let _ = root.unlink("format");
            root.create("format").unwrap().write_at(0, text.as_bytes()).unwrap();
        };
        assert_eq!(read_small(&*root, "format", 100).unwrap().unwrap(), "catchment buffer 1\n");
        format("catchment buffer 2\n");
        let refused = BufferFolder::open(disk.root(), "").unwrap_err();
        assert!(refused.to_string().contains("newer catchment (format 2)"), "{refused}");
        assert_eq!(read_small(&*root, "format", 100).unwrap().unwrap(), "catchment buffer 2\n", "nothing was touched");
        for damaged in ["", "catchment buffer", "catchment buffer x\n", "catchment buffer 0\n", "\0\0\0\0"] {
            format(damaged);
            assert!(BufferFolder::open(disk.root(), "").unwrap().was_mended());
            assert!(!BufferFolder::open(disk.root(), "").unwrap().was_mended());
        }
    }

    #[test]
    fn names_that_meet_in_their_hash_and_kinds_have_logs_of_their_own() {
        let disk = disk();
        let folder = BufferFolder::open(disk.root(), "").unwrap();
        let (mut log, _) = folder.log(LogKind::Out, "one", OPTIONS).unwrap();
        assert_eq!(first(&mut log), None);
        append(&mut log, "of one");
        drop(log);
        // the folder of "two" has another name in it, as if that had its hash
        let out = disk.root().folder("out").unwrap();
        let taken = name_of_folder("two", 0).unwrap();
        let there = open_or_make(&*out, &taken).unwrap();
        make_file(&*there, ABOUT, about("three").as_bytes()).unwrap();
        let (mut log, _) = folder.log(LogKind::Out, "two", OPTIONS).unwrap();
        first(&mut log);
        append(&mut log, "of two");
        drop(log);
        let (mut dead, _) = folder.log(LogKind::Dead, "one", OPTIONS).unwrap();
        assert_eq!(first(&mut dead), None);
        let logs = folder.logs(LogKind::Out).unwrap();
        let named = |name: &str| logs.iter().find(|log| log.name.as_deref() == Some(name)).unwrap().folder.clone();
        assert_eq!((logs.len(), named("two"), named("three")), (3, taken.clone() + "-2", taken));
        assert_eq!(first(&mut folder.log(LogKind::Out, "two", OPTIONS).unwrap().0).unwrap(), "of two");
        // whose name is damaged is found by its hash
        let folder_of_one = out.folder(&name_of_folder("one", 0).unwrap()).unwrap();
        folder_of_one.open(ABOUT).unwrap().write_at(3, b"?").unwrap();
        assert_eq!(folder.logs(LogKind::Out).unwrap().iter().filter(|log| log.name.is_none()).count(), 1);
        assert_eq!(first(&mut folder.log(LogKind::Out, "one", OPTIONS).unwrap().0).unwrap(), "of one");
        assert!(folder.logs(LogKind::Out).unwrap().iter().all(|log| log.name.is_some()));
        assert_eq!(folder.logs(LogKind::Dead).unwrap().len(), 1);
    }
}
