//! A disk in memory whose page cache and platter are apart: what was written is in the cache, what was synced on the
//! platter, and what a crash leaves of the rest is up to chance. For tests and simulated runs.
//!
//! Does not know where chance comes from: it is given as `draw`, a number from 0 to the one asked for.
//!
//! A process that is killed leaves the cache as it is, whatever was written halfway with it. When power goes, of all that
//! was not synced *any* part may be there: each 512 bytes of a write by themselves, how long a file is apart from what is
//! in it, each name apart from its file, in any mix. A sync that fails takes some of the pages to the platter and calls all
//! of them clean: the next one succeeds and does nothing for them, and the cache may forget them.

use super::folder::{DiskFolder, EntryKind, FolderEntry, FolderFile};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard};

/// Bytes that are written whole or not at all.
const SECTOR: usize = 512;
/// Bytes after which a killed process may have stopped writing.
const PAGE: usize = 4_096;
/// The folder that everything is in.
const ROOT: usize = 0;

/// A number from 0 to the one given.
pub type DiskDraw = Box<dyn FnMut(u64) -> u64 + Send>;

/// How often what goes wrong: once in so many calls, never for 0.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiskFaults {
    /// A write finds no room (`StorageFull`), and a part of it is there.
    pub full: u64,
    /// A write fails, and a part of it is there.
    pub write: u64,
    /// A read fails.
    pub read: u64,
    /// A sync of a file fails.
    pub sync: u64,
    /// Making, renaming, taking away a name, or syncing a folder fails.
    pub names: u64,
    /// A call takes `stall_ns`.
    pub stall: u64,
    /// How long then.
    pub stall_ns: u64,
}

/// What ends a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process: what it wrote is in the cache.
    Killed,
    /// The machine: what was not synced is there or not, in any mix.
    PowerCut,
}

/// A write that is not on the platter yet.
#[derive(Clone, Debug)]
struct Unsynced {
    at: usize,
    bytes: Arc<[u8]>,
}

/// One file, in the cache and on the platter.
#[derive(Clone, Debug, Default)]
struct SimulatedContent {
    cached: Arc<Vec<u8>>,
    platter: Arc<Vec<u8>>,
    unsynced: Vec<Unsynced>,
    /// A sync failed: pages that are called clean differ from the platter.
    is_split: bool,
    is_locked: bool,
}

/// A change of names that is not on the platter yet.
#[derive(Clone, Debug)]
enum NameChange {
    Put(String, usize),
    Take(String),
    Rename(String, String, usize),
}

#[derive(Clone, Debug, Default)]
struct SimulatedNames {
    cached: BTreeMap<String, usize>,
    platter: BTreeMap<String, usize>,
    unsynced: Vec<NameChange>,
}

#[derive(Clone, Debug)]
enum SimulatedNode {
    Folder(SimulatedNames),
    File(SimulatedContent),
}

/// All that is on a disk at one moment.
#[derive(Clone, Debug)]
pub struct DiskImage {
    nodes: Vec<SimulatedNode>,
}

struct SimulatedState {
    now: DiskImage,
    draw: DiskDraw,
    faults: DiskFaults,
    bytes_max: usize,
    /// The disk before each call, and in the middle of writes, if they are wanted.
    images: Option<Vec<DiskImage>>,
    spent_ns: u64,
    syncs: u64,
}

/// The disk; clones are the same one.
#[derive(Clone)]
pub struct SimulatedDisk(Arc<Mutex<SimulatedState>>);

impl fmt::Debug for SimulatedDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimulatedDisk")
    }
}

fn put(bytes: &mut Vec<u8>, at: usize, new: &[u8]) {
    if bytes.len() < at + new.len() {
        bytes.resize(at + new.len(), 0);
    }
    bytes[at..at + new.len()].copy_from_slice(new);
}

/// How much of what was not synced is there: each piece is asked for by itself.
enum Kept {
    Nothing,
    All,
    Some,
}

impl Kept {
    fn draw(draw: &mut dyn FnMut(u64) -> u64) -> Kept {
        match draw(4) {
            0 => Kept::Nothing,
            1 => Kept::All,
            _ => Kept::Some,
        }
    }

    fn keeps(&self, draw: &mut dyn FnMut(u64) -> u64) -> bool {
        match self {
            Kept::Nothing => false,
            Kept::All => true,
            Kept::Some => draw(1) == 0,
        }
    }
}

impl SimulatedContent {
    /// Takes some of what was not synced to the platter.
    fn settle_some(&mut self, draw: &mut dyn FnMut(u64) -> u64) {
        let (kept, platter) = (Kept::draw(draw), Arc::make_mut(&mut self.platter));
        let mut ends = vec![platter.len()];
        for write in &self.unsynced {
            let end = write.at + write.bytes.len();
            ends.push(end.max(ends[ends.len() - 1]));
            let mut from = write.at;
            while from < end {
                let to = end.min((from / SECTOR + 1) * SECTOR);
                if kept.keeps(draw) {
                    put(platter, from, &write.bytes[from - write.at..to - write.at]);
                }
                from = to;
            }
        }
        // how long it is is written by itself
        let long = match kept {
            Kept::Nothing => ends[0],
            Kept::All => ends[ends.len() - 1],
            Kept::Some => ends[draw(ends.len() as u64 - 1) as usize],
        };
        platter.resize(long, 0);
        self.unsynced.clear();
    }

    /// The cache may have forgotten pages that a failed sync called clean: they are read from the platter again.
    fn forget_some(&mut self, draw: &mut dyn FnMut(u64) -> u64) {
        let cached = Arc::make_mut(&mut self.cached);
        for from in (0..cached.len()).step_by(SECTOR) {
            let to = cached.len().min(from + SECTOR);
            let is_clean = self.unsynced.iter().all(|write| write.at >= to || write.at + write.bytes.len() <= from);
            if is_clean && draw(1) == 0 {
                let there = self.platter.get(from..).unwrap_or_default();
                let n = there.len().min(to - from);
                cached[from..from + n].copy_from_slice(&there[..n]);
                cached[from + n..to].fill(0);
            }
        }
    }
}

impl SimulatedNames {
    fn change(&mut self, change: NameChange) {
        NameChange::apply(&change, &mut self.cached);
        self.unsynced.push(change);
    }

    fn settle(&mut self, mut keeps: impl FnMut() -> bool) {
        for change in self.unsynced.drain(..) {
            if keeps() {
                change.apply(&mut self.platter);
            }
        }
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            NameChange::Put(name, node) => {
                names.insert(name.clone(), *node);
            }
            NameChange::Take(name) => {
                names.remove(name);
            }
            NameChange::Rename(from, to, node) => {
                names.remove(from);
                names.insert(to.clone(), *node);
            }
        }
    }
}

impl DiskImage {
    /// The disk as the next run finds it.
    pub fn restart(&self, crash: Crash, mut draw: DiskDraw) -> SimulatedDisk {
        let mut now = self.clone();
        for node in &mut now.nodes {
            match (node, crash) {
                (SimulatedNode::File(file), Crash::Killed) => {
                    file.is_locked = false;
                    if file.is_split {
                        file.forget_some(&mut draw);
                    }
                }
                (SimulatedNode::File(file), Crash::PowerCut) => {
                    (file.is_locked, file.is_split) = (false, false);
                    file.settle_some(&mut draw);
                    file.cached = file.platter.clone();
                }
                (SimulatedNode::Folder(_), Crash::Killed) => {}
                (SimulatedNode::Folder(names), Crash::PowerCut) => {
                    let kept = Kept::draw(&mut draw);
                    names.settle(|| kept.keeps(&mut draw));
                    names.cached = names.platter.clone();
                }
            }
        }
        SimulatedDisk::with(now, draw)
    }

    fn file(&mut self, node: usize) -> &mut SimulatedContent {
        match &mut self.nodes[node] {
            SimulatedNode::File(file) => file,
            SimulatedNode::Folder(_) => unreachable!("opened as a file"),
        }
    }

    fn names(&mut self, node: usize) -> &mut SimulatedNames {
        match &mut self.nodes[node] {
            SimulatedNode::Folder(names) => names,
            SimulatedNode::File(_) => unreachable!("opened as a folder"),
        }
    }

    /// Bytes of all files that have a name.
    fn bytes(&self) -> usize {
        let names = |node: &SimulatedNode| match node {
            SimulatedNode::Folder(names) => names.cached.values().copied().collect(),
            SimulatedNode::File(_) => Vec::new(),
        };
        let bytes = |node: usize| match &self.nodes[node] {
            SimulatedNode::File(file) => file.cached.len(),
            SimulatedNode::Folder(_) => 0,
        };
        self.nodes.iter().flat_map(names).map(bytes).sum()
    }
}

impl SimulatedDisk {
    /// An empty disk.
    pub fn new(draw: DiskDraw) -> SimulatedDisk {
        SimulatedDisk::with(DiskImage { nodes: vec![SimulatedNode::Folder(SimulatedNames::default())] }, draw)
    }

    fn with(now: DiskImage, draw: DiskDraw) -> SimulatedDisk {
        let (faults, images) = (DiskFaults::default(), None);
        let state = SimulatedState { now, draw, faults, bytes_max: usize::MAX, images, spent_ns: 0, syncs: 0 };
        SimulatedDisk(Arc::new(Mutex::new(state)))
    }

    /// The folder that everything is in.
    pub fn root(&self) -> Box<dyn DiskFolder> {
        Box::new(SimulatedFolder { disk: self.clone(), node: ROOT })
    }

    /// From now on so much goes wrong.
    pub fn set_faults(&self, faults: DiskFaults) {
        self.state().faults = faults;
    }

    /// From now on there is room for so many bytes.
    pub fn set_room(&self, bytes_max: usize) {
        self.state().bytes_max = bytes_max;
    }

    /// From now on images are made: before each call that changes something, and in the middle of writes.
    pub fn watch(&self) {
        self.state().images = Some(Vec::new());
    }

    /// The images since this was asked last, the disk as it is now behind them.
    pub fn take_images(&self) -> Vec<DiskImage> {
        let mut state = self.state();
        let mut images = state.images.as_mut().map(std::mem::take).unwrap_or_default();
        images.push(state.now.clone());
        images
    }

    /// The disk as it is now.
    pub fn image(&self) -> DiskImage {
        self.state().now.clone()
    }

    /// How long calls took since this was asked last: the time of a run goes on by it.
    pub fn take_spent_ns(&self) -> u64 {
        std::mem::take(&mut self.state().spent_ns)
    }

    /// Syncs of files and folders so far.
    pub fn syncs(&self) -> u64 {
        self.state().syncs
    }

    fn state(&self) -> MutexGuard<'_, SimulatedState> {
        self.0.lock().expect("nobody panics while it is locked")
    }
}

impl SimulatedState {
    /// Once in so many.
    fn happens(&mut self, once_in: u64) -> bool {
        once_in > 0 && (self.draw)(once_in - 1) == 0
    }

    /// One call more.
    fn call(&mut self) {
        if self.happens(self.faults.stall) {
            self.spent_ns += self.faults.stall_ns;
        }
    }

    /// One call more that changes something.
    fn change(&mut self) {
        self.call();
        self.keep_image();
    }

    fn keep_image(&mut self) {
        if let Some(images) = &mut self.images {
            images.push(self.now.clone());
        }
    }

    /// A change of names, or an error.
    fn names_change(&mut self) -> io::Result<()> {
        self.change();
        if self.happens(self.faults.names) { Err(failed()) } else { Ok(()) }
    }

    fn write(&mut self, node: usize, at: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let file = self.now.file(node);
        put(Arc::make_mut(&mut file.cached), at, bytes);
        file.unsynced.push(Unsynced { at, bytes: bytes.into() });
    }

    fn find(&mut self, folder: usize, name: &str) -> io::Result<usize> {
        self.now.names(folder).cached.get(name).copied().ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn make(&mut self, folder: usize, name: &str, made: SimulatedNode) -> io::Result<usize> {
        self.names_change()?;
        if self.find(folder, name).is_ok() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        self.now.nodes.push(made);
        let node = self.now.nodes.len() - 1;
        self.now.names(folder).change(NameChange::Put(name.to_string(), node));
        Ok(node)
    }
}

fn failed() -> io::Error {
    io::Error::other("the disk fails, as it was told")
}

#[derive(Debug)]
struct SimulatedFolder {
    disk: SimulatedDisk,
    node: usize,
}

impl SimulatedFolder {
    fn file(&self, node: usize) -> Box<dyn FolderFile> {
        Box::new(SimulatedFile { disk: self.disk.clone(), node, has_lock: false })
    }
}

impl DiskFolder for SimulatedFolder {
    fn list(&self) -> io::Result<Vec<FolderEntry>> {
        let mut state = self.disk.state();
        state.call();
        let names = state.now.names(self.node).cached.clone();
        let kind = |node: usize| match state.now.nodes[node] {
            SimulatedNode::Folder(_) => EntryKind::Folder,
            SimulatedNode::File(_) => EntryKind::File,
        };
        Ok(names.into_iter().map(|(name, node)| FolderEntry { name, kind: kind(node) }).collect())
    }

    fn folder(&self, name: &str) -> io::Result<Box<dyn DiskFolder>> {
        let mut state = self.disk.state();
        state.call();
        let node = state.find(self.node, name)?;
        match state.now.nodes[node] {
            SimulatedNode::Folder(_) => Ok(Box::new(SimulatedFolder { disk: self.disk.clone(), node })),
            SimulatedNode::File(_) => Err(ErrorKind::NotADirectory.into()),
        }
    }

    fn make_folder(&self, name: &str) -> io::Result<()> {
        self.disk.state().make(self.node, name, SimulatedNode::Folder(SimulatedNames::default())).map(drop)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn FolderFile>> {
        let node = self.disk.state().make(self.node, name, SimulatedNode::File(SimulatedContent::default()))?;
        Ok(self.file(node))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn FolderFile>> {
        let mut state = self.disk.state();
        state.call();
        let node = state.find(self.node, name)?;
        match state.now.nodes[node] {
            SimulatedNode::File(_) => Ok(self.file(node)),
            SimulatedNode::Folder(_) => Err(io::Error::other("it is no regular file")),
        }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.disk.state();
        state.names_change()?;
        let node = state.find(self.node, from)?;
        state.now.names(self.node).change(NameChange::Rename(from.to_string(), to.to_string(), node));
        Ok(())
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        let mut state = self.disk.state();
        state.names_change()?;
        state.find(self.node, name)?;
        state.now.names(self.node).change(NameChange::Take(name.to_string()));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        state.change();
        state.syncs += 1;
        let state = &mut *state;
        if state.happens(state.faults.names) {
            let (names, draw) = (state.now.names(self.node), &mut state.draw);
            names.settle(|| draw(1) == 0);
            return Err(failed());
        }
        state.now.names(self.node).settle(|| true);
        Ok(())
    }
}

#[derive(Debug)]
struct SimulatedFile {
    disk: SimulatedDisk,
    node: usize,
    has_lock: bool,
}

impl FolderFile for SimulatedFile {
    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        state.change();
        let (at, faults) = (at as usize, state.faults);
        let grows = (at + bytes.len()).saturating_sub(state.now.file(self.node).cached.len());
        let left = state.bytes_max.saturating_sub(state.now.bytes());
        let error = if grows > left || state.happens(faults.full) {
            ErrorKind::StorageFull.into()
        } else if state.happens(faults.write) {
            failed()
        } else {
            // a killed process may have written some of its pages
            let half = (state.draw)((bytes.len() / PAGE) as u64) as usize * PAGE;
            if half > 0 && half < bytes.len() && state.images.is_some() {
                let whole = state.now.clone();
                state.write(self.node, at, &bytes[..half]);
                state.keep_image();
                state.now = whole;
            }
            state.write(self.node, at, bytes);
            return Ok(());
        };
        let part = (state.draw)(bytes.len() as u64 - u64::from(!bytes.is_empty())) as usize;
        let part = part.min(left.saturating_add(bytes.len() - grows.min(bytes.len())));
        state.write(self.node, at, &bytes[..part]);
        Err(error)
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut state = self.disk.state();
        state.call();
        let once_in = state.faults.read;
        if state.happens(once_in) {
            return Err(failed());
        }
        let there = state.now.file(self.node).cached.clone();
        let there = usize::try_from(at).ok().and_then(|at| there.get(at..)).unwrap_or_default();
        let n = there.len().min(into.len());
        into[..n].copy_from_slice(&there[..n]);
        Ok(n)
    }

    fn bytes(&self) -> io::Result<u64> {
        let mut state = self.disk.state();
        state.call();
        Ok(state.now.file(self.node).cached.len() as u64)
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.disk.state();
        state.change();
        state.syncs += 1;
        let state = &mut *state;
        let fails = state.happens(state.faults.sync);
        let (file, draw) = (state.now.file(self.node), &mut state.draw);
        if fails {
            file.settle_some(draw);
            file.is_split = true;
            return Err(failed());
        }
        for write in std::mem::take(&mut file.unsynced) {
            put(Arc::make_mut(&mut file.platter), write.at, &write.bytes);
        }
        Ok(())
    }

    fn lock(&mut self) -> io::Result<bool> {
        let mut state = self.disk.state();
        state.call();
        let file = state.now.file(self.node);
        let is_free = self.has_lock || !file.is_locked;
        file.is_locked = true;
        drop(state);
        self.has_lock |= is_free;
        Ok(is_free)
    }
}

impl Drop for SimulatedFile {
    fn drop(&mut self) {
        if self.has_lock {
            self.disk.state().now.file(self.node).is_locked = false;
        }
    }
}

#[cfg(test)]
mod tests;
