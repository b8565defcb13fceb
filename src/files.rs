//! Files that are replaced whole: written under another name beside it, then renamed.
//!
//! Knows paths; does not know what is written, nor which flag asked for it.
//! Invariant: only a regular file is ever replaced or removed: a device, a pipe or a link is somebody else's.

use crate::disk::{Disk, SYSTEM, write_all};
use std::fs::{self, OpenOptions};
use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};

/// Words for a file that cannot be read, one wording for all of them; the path stands before them.
pub(crate) fn unread(error: &Error) -> String {
    format!("cannot be read ({error})")
}

/// Words for a file that cannot be written.
pub(crate) fn unwritten(path: &Path, error: &Error) -> String {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    match folder.filter(|folder| error.kind() == ErrorKind::NotFound && !folder.exists()) {
        Some(folder) => format!("cannot be written: there is no folder {}; make it, or give another", folder.display()),
        None => format!("cannot be written ({error})"),
    }
}

/// Whether a regular file stands there; an error with words if anything else does. Follows no link.
pub(crate) fn regular(path: &Path) -> Result<bool> {
    let kind = match path.symlink_metadata() {
        Ok(there) => there.file_type(),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(false),
        Err(error) => return Err(error),
    };
    let what = match kind {
        _ if kind.is_file() => return Ok(true),
        _ if kind.is_dir() => "a directory",
        _ if kind.is_symlink() => "a symbolic link",
        _ => "a device, pipe or socket",
    };
    Err(Error::other(format!("it is {what}, and only a regular file is replaced; give another name")))
}

/// The name under which `replace` writes.
pub(crate) fn part(path: &Path) -> PathBuf {
    let mut part = path.as_os_str().to_owned();
    part.push(format!(".{}.part", std::process::id()));
    part.into()
}

/// Whether `replace` can write there; leaves nothing behind.
pub(crate) fn replaceable(path: &Path) -> Result<()> {
    regular(path).and_then(|_| writable(path))
}

/// Whether `write` can write there; leaves nothing behind. A pipe or a device is not tried, as whoever reads it would see
/// the try.
pub(crate) fn writable(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Err(ErrorKind::IsADirectory.into());
    }
    // as it is written: beside it first
    let opened = if regular(path).is_ok() { &part(path) } else { path };
    match opened.metadata() {
        Ok(there) if there.is_file() || there.is_dir() => OpenOptions::new().append(true).open(opened).map(drop),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // through a link that leads nowhere, too
            OpenOptions::new().append(true).create(true).open(opened)?;
            fs::remove_file(opened.canonicalize()?)
        }
        Err(error) => Err(error),
    }
}

/// Writes a file whole or not at all, where there is none or a regular one.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    regular(path)?;
    regular(&part(path))?;
    replace_on(&SYSTEM, path, bytes)
}

/// The same on any disk, whatever stands there.
fn replace_on(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<()> {
    let part = part(path);
    let made = disk.create(&part).and_then(|mut file| write_all(&mut *file, bytes));
    let written = made.and_then(|()| disk.rename(&part, path));
    if written.is_err() {
        // what there is of it is of no use, and the error is told already
        let _ = disk.remove(&part);
    }
    written
}

/// As `replace` does, and through a link, pipe or device to what is there. A file that was not there and cannot be written
/// is not there afterwards.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if regular(path).is_ok() {
        return replace(path, bytes);
    }
    let there = path.exists();
    let written = fs::write(path, bytes);
    if written.is_err()
        && !there
        && let Ok(made) = path.canonicalize()
    {
        let _ = fs::remove_file(made);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::MemoryDisk;

    /// Whatever fails and whenever, there is the old file or the new one, and nothing beside it.
    #[test]
    fn a_file_is_replaced_whole_or_not_at_all() {
        let (folder, path) = (Path::new("/f"), Path::new("/f/ports"));
        for failing in 0..=5 {
            let disk = MemoryDisk::new(1_000);
            replace_on(&disk, path, b"old").unwrap();
            disk.set_piece(2);
            // its calls are: create, three writes, rename
            disk.fail(failing, ErrorKind::Other);
            let is_new = replace_on(&disk, path, b"newer").is_ok();
            assert_eq!(is_new, failing > 4, "{failing}");
            if is_new {
                // the failure is still to come
                assert!(disk.read(path).is_err());
            }
            assert_eq!(disk.list(folder).unwrap(), [path], "{failing}");
            assert_eq!(disk.read(path).unwrap(), if is_new { &b"newer"[..] } else { b"old" }, "{failing}");
        }
        let disk = MemoryDisk::new(4);
        assert_eq!(replace_on(&disk, path, b"too long").unwrap_err().kind(), ErrorKind::StorageFull);
        assert!(disk.list(folder).unwrap().is_empty());
    }
}
