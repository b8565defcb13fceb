//! A disk in memory that breaks as it is told: it is full, it fails, it takes writes in pieces, and in a crash it loses what
//! was not synced. For tests and simulated runs.

use super::seam::{Disk, DiskFile, FileIdentity};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

/// One file.
#[derive(Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    /// So many of its first bytes survive a crash.
    synced: usize,
    is_locked: bool,
}

#[derive(Debug)]
struct State {
    files: Vec<Content>,
    /// Names as they are, and as a crash leaves them; each leads to a place in `files`.
    names: BTreeMap<PathBuf, usize>,
    synced_names: BTreeMap<PathBuf, usize>,
    bytes_max: usize,
    /// Most bytes of one write.
    piece_max: usize,
    calls: usize,
    /// The calls, by number, that fail, and how.
    failing: BTreeMap<usize, ErrorKind>,
    /// Counted up at a crash: files that were open then are gone.
    crashes: usize,
}

/// The disk; clones are the same one. A folder is there as soon as a file in it is.
#[derive(Clone, Debug)]
pub struct MemoryDisk(Arc<Mutex<State>>);

impl MemoryDisk {
    /// An empty disk for so many bytes.
    pub fn new(bytes_max: usize) -> MemoryDisk {
        MemoryDisk(Arc::new(Mutex::new(State {
            files: Vec::new(),
            names: BTreeMap::new(),
            synced_names: BTreeMap::new(),
            bytes_max,
            piece_max: usize::MAX,
            calls: 0,
            failing: BTreeMap::new(),
            crashes: 0,
        })))
    }

    /// From now on it holds so many bytes.
    pub fn set_room(&self, bytes_max: usize) {
        self.state().bytes_max = bytes_max;
    }

    /// From now on a write takes at most so many bytes.
    pub fn set_piece(&self, piece_max: usize) {
        self.state().piece_max = piece_max;
    }

    /// The call that comes after `later` others fails.
    pub fn fail(&self, later: usize, how: ErrorKind) {
        let mut state = self.state();
        let at = state.calls + later;
        state.failing.insert(at, how);
    }

    /// Power is lost: names that were not synced are as they were, and of bytes that were not synced some prefix is left,
    /// as long as `kept` says when it is told how long it may be.
    pub fn crash(&self, mut kept: impl FnMut(usize) -> usize) {
        let mut state = self.state();
        state.crashes += 1;
        state.names = state.synced_names.clone();
        for file in &mut state.files {
            let left = file.synced + kept(file.bytes.len() - file.synced);
            file.bytes.truncate(left);
            (file.synced, file.is_locked) = (file.bytes.len(), false);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nobody panics while it is locked")
    }

    /// The state for one more call, unless that is to fail.
    fn call(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        let at = state.calls;
        state.calls += 1;
        match state.failing.remove(&at) {
            Some(how) => Err(how.into()),
            None => Ok(state),
        }
    }

    fn open(&self, mut state: MutexGuard<'_, State>, path: &Path) -> Box<dyn DiskFile> {
        let new = state.files.len();
        let at = *state.names.entry(path.to_owned()).or_insert(new);
        if at == new {
            state.files.push(Content::default());
        }
        Box::new(MemoryFile { disk: self.clone(), at, opened: state.crashes, has_lock: false })
    }
}

impl State {
    fn find(&self, path: &Path) -> io::Result<usize> {
        self.names.get(path).copied().ok_or_else(|| ErrorKind::NotFound.into())
    }

    /// Bytes of all files that have a name.
    fn bytes(&self) -> usize {
        let named: BTreeSet<usize> = self.names.values().copied().collect();
        named.into_iter().map(|at| self.files[at].bytes.len()).sum()
    }

    fn left(&self) -> usize {
        self.bytes_max.saturating_sub(self.bytes())
    }
}

impl Disk for MemoryDisk {
    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.open(self.call()?, path))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.call()?;
        if let Ok(at) = state.find(path) {
            let file = &mut state.files[at];
            (file.bytes, file.synced) = (Vec::new(), 0);
        }
        Ok(self.open(state, path))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let state = self.call()?;
        Ok(state.files[state.find(path)?].bytes.clone())
    }

    fn identity(&self, path: &Path) -> io::Result<FileIdentity> {
        Ok(FileIdentity(0, self.call()?.find(path)? as u64))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.call()?;
        let at = state.find(from)?;
        state.names.remove(from);
        state.names.insert(to.to_owned(), at);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.call()?;
        state.find(path)?;
        state.names.remove(path);
        Ok(())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let state = self.call()?;
        Ok(state.names.keys().filter(|path| path.parent() == Some(folder)).cloned().collect())
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let mut state = self.call()?;
        let is_there = |path: &Path| path.parent() == Some(folder);
        let now: Vec<_> =
            state.names.iter().filter(|(path, _)| is_there(path)).map(|(p, at)| (p.clone(), *at)).collect();
        state.synced_names.retain(|path, _| !is_there(path));
        state.synced_names.extend(now);
        Ok(())
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(self.call()?.left() as u64)
    }
}

/// An open file.
struct MemoryFile {
    disk: MemoryDisk,
    at: usize,
    /// Crashes there had been.
    opened: usize,
    has_lock: bool,
}

impl MemoryFile {
    fn call(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.call()?;
        assert_eq!(state.crashes, self.opened, "who had this file open is gone with the crash");
        Ok(state)
    }
}

impl DiskFile for MemoryFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.call()?;
        let n = bytes.len().min(state.piece_max).min(state.left());
        if n == 0 && !bytes.is_empty() {
            return Err(ErrorKind::StorageFull.into());
        }
        state.files[self.at].bytes.extend(&bytes[..n]);
        Ok(n)
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.call()?;
        let file = &mut state.files[self.at];
        file.synced = file.bytes.len();
        Ok(())
    }

    fn identity(&self) -> io::Result<FileIdentity> {
        Ok(FileIdentity(0, self.at as u64))
    }

    fn lock(&mut self) -> io::Result<bool> {
        let mut state = self.call()?;
        let is_free = self.has_lock || !state.files[self.at].is_locked;
        state.files[self.at].is_locked = true;
        drop(state);
        self.has_lock |= is_free;
        Ok(is_free)
    }
}

impl Drop for MemoryFile {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if self.has_lock && state.crashes == self.opened {
            state.files[self.at].is_locked = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::seam::write_all;
    use super::super::system::SYSTEM;
    use super::*;

    /// What any disk does, the system's and the one in memory.
    fn behaves(disk: &dyn Disk, folder: &Path) {
        let (one, two) = (folder.join("one"), folder.join("two"));
        let mut file = disk.append(&one).unwrap();
        write_all(&mut *file, b"abc").unwrap();
        write_all(&mut *disk.append(&one).unwrap(), b"def").unwrap();
        file.sync().unwrap();
        disk.sync_folder(folder).unwrap();
        assert_eq!(disk.read(&one).unwrap(), b"abcdef");
        assert_eq!(disk.identity(&one).unwrap(), file.identity().unwrap());
        assert!(file.lock().unwrap() && !disk.append(&one).unwrap().lock().unwrap(), "one at a time");
        assert!(disk.free_bytes(folder).unwrap() > 0);
        drop(file);
        assert!(disk.append(&one).unwrap().lock().unwrap(), "a lock ends with its file");
        let made = disk.create(&two).unwrap().identity().unwrap();
        assert_ne!(disk.identity(&one).unwrap(), made);
        assert_eq!(disk.list(folder).unwrap(), [one.clone(), two.clone()]);
        disk.rename(&one, &two).unwrap();
        assert_eq!(disk.read(&two).unwrap(), b"abcdef");
        assert_eq!(disk.identity(&one).unwrap_err().kind(), ErrorKind::NotFound);
        write_all(&mut *disk.create(&two).unwrap(), b"x").unwrap();
        assert_eq!(disk.read(&two).unwrap(), b"x", "emptied first");
        disk.remove(&two).unwrap();
        assert_eq!(disk.list(folder).unwrap(), [""; 0].map(PathBuf::from));
        assert_eq!(disk.remove(&two).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn both_disks_behave_alike() {
        let folder = std::env::temp_dir().join(format!("catchment-disk-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        behaves(&SYSTEM, &folder);
        std::fs::remove_dir(&folder).unwrap();
        behaves(&MemoryDisk::new(1_000), &folder);
    }

    #[test]
    fn a_crash_loses_what_was_not_synced_and_nothing_else() {
        let (folder, path, other) = (Path::new("/f"), Path::new("/f/a"), Path::new("/f/b"));
        for kept in 0..=3 {
            let disk = MemoryDisk::new(1_000);
            let mut file = disk.append(path).unwrap();
            write_all(&mut *file, b"abc").unwrap();
            file.sync().unwrap();
            disk.sync_folder(folder).unwrap();
            write_all(&mut *file, b"def").unwrap();
            disk.rename(path, other).unwrap();
            disk.crash(|most| kept.min(most));
            assert_eq!(disk.list(folder).unwrap(), [path]);
            assert_eq!(disk.read(path).unwrap(), b"abcdef"[..3 + kept]);
        }
    }

    #[test]
    fn it_is_full_takes_pieces_and_fails_as_it_is_told() {
        let (disk, path) = (MemoryDisk::new(4), Path::new("/f/a"));
        let mut file = disk.append(path).unwrap();
        disk.set_piece(3);
        assert_eq!(file.write(b"abcdef").unwrap(), 3);
        assert_eq!(file.write(b"def").unwrap(), 1);
        assert_eq!(file.write(b"ef").unwrap_err().kind(), ErrorKind::StorageFull);
        disk.set_room(5);
        assert_eq!(file.write(b"ef").unwrap(), 1);
        disk.fail(1, ErrorKind::Other);
        assert_eq!(disk.read(path).unwrap(), b"abcde");
        assert_eq!(file.sync().unwrap_err().kind(), ErrorKind::Other);
        file.sync().unwrap();
    }
}
