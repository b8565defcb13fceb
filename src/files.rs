//! Files that are replaced whole: written under another name beside it, then renamed.
//!
//! Knows paths; does not know what is written, nor which flag asked for it.
//! Invariant: only a regular file is ever replaced or removed: a device, a pipe or a link is somebody else's.

use std::fs;
use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};

/// Whether a regular file stands there; an error with words if anything else does. Follows no link.
pub fn regular(path: &Path) -> Result<bool> {
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
pub fn part(path: &Path) -> PathBuf {
    let mut part = path.as_os_str().to_owned();
    part.push(format!(".{}.part", std::process::id()));
    part.into()
}

/// Writes a file whole or not at all, where there is none or a regular one.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let part = part(path);
    regular(path)?;
    regular(&part)?;
    let written = fs::write(&part, bytes).and_then(|()| fs::rename(&part, path));
    if written.is_err() {
        // what there is of it is of no use, and the error is told already
        let _ = fs::remove_file(&part);
    }
    written
}

/// As `replace` does, and through a link, pipe or device to what is there. A file that was not there and cannot be written
/// is not there afterwards.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
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
