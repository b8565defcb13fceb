//! What is asked of a disk.
//!
//! Does not know which one answers.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Which file a path leads to: device and number. Two names of one file have one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileIdentity(pub u64, pub u64);

/// Folders and names.
pub trait Disk: fmt::Debug + Send + Sync {
    /// Opens a file to write at its end; makes it if there is none.
    ///
    /// # Errors
    /// The disk's own, as of all calls here.
    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Makes an empty file, or empties what is there.
    ///
    /// # Errors
    /// The disk's own.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// A file whole.
    ///
    /// # Errors
    /// The disk's own.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Which file a path leads to.
    ///
    /// # Errors
    /// `NotFound` where there is none; the disk's own.
    fn identity(&self, path: &Path) -> io::Result<FileIdentity>;

    /// Gives a file another name, in place of whatever has it.
    ///
    /// # Errors
    /// The disk's own.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Takes a file's name away.
    ///
    /// # Errors
    /// The disk's own.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// The files and folders in a folder, sorted.
    ///
    /// # Errors
    /// The disk's own.
    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>>;

    /// The names in a folder survive a crash from now on.
    ///
    /// # Errors
    /// The disk's own.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;

    /// Bytes that may still be written below a folder.
    ///
    /// # Errors
    /// The disk's own.
    fn free_bytes(&self, folder: &Path) -> io::Result<u64>;
}

/// One open file. It is closed when it is dropped, and its lock is gone.
pub trait DiskFile: Send {
    /// Writes some of `bytes`; how many.
    ///
    /// # Errors
    /// The disk's own.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// What was written survives a crash from now on. After an error nobody knows what does.
    ///
    /// # Errors
    /// The disk's own.
    fn sync(&mut self) -> io::Result<()>;

    /// Which file it is.
    ///
    /// # Errors
    /// The disk's own.
    fn identity(&self) -> io::Result<FileIdentity>;

    /// Takes the file for this process alone; `false` if another has it.
    ///
    /// # Errors
    /// The disk's own.
    fn lock(&mut self) -> io::Result<bool>;
}

/// Writes all of `bytes`.
///
/// # Errors
/// The disk's own; `WriteZero` if it takes nothing.
pub fn write_all(file: &mut dyn DiskFile, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => bytes = &bytes[n..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
