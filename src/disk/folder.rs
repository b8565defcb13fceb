//! What is asked of an open folder, whose files are written at places in them.
//!
//! Does not know which disk answers. A name is one name, never a path.

use std::fmt;
use std::io;

/// What stands behind a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A link, a pipe, a device: somebody else's, and never opened.
    Other,
}

/// A name in a folder. One that is no UTF-8 is shown as far as it goes: it is none of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderEntry {
    /// The name.
    pub name: String,
    /// What it leads to.
    pub kind: EntryKind,
}

/// An open folder: it is the same one whatever becomes of its path.
///
/// # Errors
/// Of all calls: the disk's own.
pub trait DiskFolder: fmt::Debug + Send {
    /// What is in it, sorted by name.
    ///
    /// # Errors
    /// The disk's own.
    fn list(&self) -> io::Result<Vec<FolderEntry>>;

    /// Opens a folder in it; follows no link.
    ///
    /// # Errors
    /// `NotFound` where there is none; the disk's own.
    fn folder(&self, name: &str) -> io::Result<Box<dyn DiskFolder>>;

    /// Makes a folder in it, for its owner alone (0700).
    ///
    /// # Errors
    /// `AlreadyExists`; the disk's own.
    fn make_folder(&self, name: &str) -> io::Result<()>;

    /// Makes a file in it, for its owner alone (0600).
    ///
    /// # Errors
    /// `AlreadyExists`, whatever it is that is there; the disk's own.
    fn create(&self, name: &str) -> io::Result<Box<dyn FolderFile>>;

    /// Opens a regular file in it; follows no link.
    ///
    /// # Errors
    /// `NotFound` where there is none; the disk's own, also for what is no regular file.
    fn open(&self, name: &str) -> io::Result<Box<dyn FolderFile>>;

    /// Gives a file another name in this folder, in place of whatever has it.
    ///
    /// # Errors
    /// The disk's own.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Takes a file's name away.
    ///
    /// # Errors
    /// The disk's own.
    fn unlink(&self, name: &str) -> io::Result<()>;

    /// Its names survive a crash from now on.
    ///
    /// # Errors
    /// The disk's own. After one, nobody knows which names do.
    fn sync(&self) -> io::Result<()>;
}

/// One open file of a folder. It is closed when it is dropped, and its lock is gone.
pub trait FolderFile: fmt::Debug + Send {
    /// Writes all of `bytes` from byte `at` on.
    ///
    /// # Errors
    /// The disk's own. Some of the bytes may be there then.
    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<()>;

    /// Reads from byte `at` on, as much as `into` takes or the file has; how much.
    ///
    /// # Errors
    /// The disk's own.
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize>;

    /// Its bytes.
    ///
    /// # Errors
    /// The disk's own.
    fn bytes(&self) -> io::Result<u64>;

    /// What was written survives a crash from now on, as does how long it is (`fdatasync`).
    ///
    /// # Errors
    /// The disk's own. After one, nobody knows what does, and another call that succeeds says nothing about it.
    fn sync(&mut self) -> io::Result<()>;

    /// Takes the file for this process alone, without waiting; `false` if another has it.
    ///
    /// # Errors
    /// The disk's own.
    fn lock(&mut self) -> io::Result<bool>;
}
