//! Small files that somebody else wrote: certificates, keys, headers. Read whole, up to a bound.
//!
//! Does not know what is in them.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use crate::files;
use crate::problem::Flaw;

/// Whether it is a file that can be read again, whatever links lead to it: no pipe, which would hold whoever opens it.
pub(super) fn is_regular(path: &Path) -> bool {
    path.metadata().is_ok_and(|there| there.is_file())
}

/// A whole file of at most `bytes_max`; what is wrong does not repeat the path.
pub(super) fn read_file(path: &Path, bytes_max: usize) -> Result<Vec<u8>, Flaw> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(bytes_max as u64 + 1).read_to_end(&mut bytes));
    read.map_err(|error| Flaw::new(files::unread(&error)))?;
    if bytes.len() > bytes_max {
        let fault = format!("is larger than {bytes_max} bytes, the most that is read");
        return Err(Flaw::new(fault).remedy("make it smaller"));
    }
    Ok(bytes)
}
