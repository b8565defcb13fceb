//! Open folders of the system.
//!
//! Does not know what is in them. No call follows a link, and none leaves the folder.

use super::folder::{DiskFolder, EntryKind, FolderEntry, FolderFile};
use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Folders are their owner's alone.
const FOLDER_MODE: Mode = Mode::RWXU;
/// Files too.
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);
/// A link is refused; a pipe does not wait for who writes it.
const NO_LINK: OFlags = OFlags::NOFOLLOW.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);

/// An open folder of the system.
#[derive(Debug)]
pub struct SystemFolder(OwnedFd);

impl SystemFolder {
    /// Opens the folder at a path. The path itself may lead through links: whoever gave it wants them.
    ///
    /// # Errors
    /// The system's.
    pub fn open(path: &Path) -> io::Result<SystemFolder> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(SystemFolder(rustix::fs::open(path, flags, Mode::empty())?))
    }
}

/// One name: what leads elsewhere is nobody's here.
fn name_of(name: &str) -> io::Result<&str> {
    let is_one = !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0']);
    is_one.then_some(name).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it is no name in a folder"))
}

fn kind_of(kind: FileType) -> EntryKind {
    match kind {
        FileType::RegularFile => EntryKind::File,
        FileType::Directory => EntryKind::Folder,
        _ => EntryKind::Other,
    }
}

impl DiskFolder for SystemFolder {
    fn list(&self) -> io::Result<Vec<FolderEntry>> {
        let mut all = Vec::new();
        for entry in Dir::read_from(&self.0)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let kind = match entry.file_type() {
                // not every file system says it here
                FileType::Unknown => {
                    let found = rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW)?;
                    kind_of(FileType::from_raw_mode(found.st_mode))
                }
                kind => kind_of(kind),
            };
            all.push(FolderEntry { name: name.to_string_lossy().into_owned(), kind });
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    fn folder(&self, name: &str) -> io::Result<Box<dyn DiskFolder>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | NO_LINK;
        Ok(Box::new(SystemFolder(rustix::fs::openat(&self.0, name_of(name)?, flags, Mode::empty())?)))
    }

    fn make_folder(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::mkdirat(&self.0, name_of(name)?, FOLDER_MODE)?)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn FolderFile>> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | NO_LINK;
        let file = rustix::fs::openat(&self.0, name_of(name)?, flags, FILE_MODE)?;
        Ok(Box::new(SystemFile(file.into())))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn FolderFile>> {
        let file: File = rustix::fs::openat(&self.0, name_of(name)?, OFlags::RDWR | NO_LINK, Mode::empty())?.into();
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        Ok(Box::new(SystemFile(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.0, name_of(from)?, &self.0, name_of(to)?)?)
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.0, name_of(name)?, AtFlags::empty())?)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.0)?)
    }
}

/// An open file of the system.
#[derive(Debug)]
struct SystemFile(File);

impl FolderFile for SystemFile {
    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, at)
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut read = 0;
        while read < into.len() {
            match self.0.read_at(&mut into[read..], at + read as u64) {
                Ok(0) => break,
                Ok(n) => read += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn lock(&mut self) -> io::Result<bool> {
        match rustix::fs::flock(self.0.as_fd(), FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
