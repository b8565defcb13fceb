//! Names of files and folders, made of names that people give.
//!
//! Does not know what is named. A name that people give never becomes a part of a path: its hash does (T18).

use crate::limits::{BUFFER_COLLISIONS_MAX, BUFFER_NAME_BYTES_MAX};
use std::fmt;

/// The file in a log's folder that has its name.
pub(super) const ABOUT: &str = "about";
/// What the name of a cursor ends with.
const CURSOR_END: &str = ".cur";

/// What is wrong with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameFault {
    /// It has no or too many bytes.
    Length(usize),
    /// So many others have its hash that there is no room.
    Taken,
}

impl fmt::Display for NameFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NameFault::Length(bytes) => {
                write!(f, "a name of {bytes} bytes: it has 1 to {BUFFER_NAME_BYTES_MAX}; give a shorter one")
            }
            NameFault::Taken => {
                write!(f, "{BUFFER_COLLISIONS_MAX} other names have the hash of this one; give another one")
            }
        }
    }
}

/// FNV-1a of 64 bits.
pub(super) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3))
}

/// The folder of a log's name, of which `taken` others have the hash.
pub(super) fn name_of_folder(name: &str, taken: usize) -> Result<String, NameFault> {
    if name.is_empty() || name.len() > BUFFER_NAME_BYTES_MAX {
        return Err(NameFault::Length(name.len()));
    }
    let hash = fnv1a(name.as_bytes());
    match taken {
        0 => Ok(format!("{hash:016x}")),
        1..BUFFER_COLLISIONS_MAX => Ok(format!("{hash:016x}-{}", taken + 1)),
        _ => Err(NameFault::Taken),
    }
}

/// The cursor's file of a reader's name.
pub(super) fn name_of_cursor(name: &str, taken: usize) -> Result<String, NameFault> {
    Ok(name_of_folder(name, taken)? + CURSOR_END)
}

/// Whether a folder has a name that we make.
pub(super) fn is_folder_name(name: &str) -> bool {
    let digits = name.get(..16).unwrap_or_default();
    let is_hash = digits.len() == 16 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let rest = name.get(16..).unwrap_or_default();
    let is_second = |rest: &str| rest.parse().is_ok_and(|number: usize| (2..=BUFFER_COLLISIONS_MAX).contains(&number));
    is_hash && (rest.is_empty() || rest.strip_prefix('-').is_some_and(|rest| rest.len() == 1 && is_second(rest)))
}

/// Whether a file has a cursor's name.
pub(super) fn is_cursor_name(name: &str) -> bool {
    name.strip_suffix(CURSOR_END).is_some_and(is_folder_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_hashes_and_what_has_the_same_one_is_told_apart() {
        // the test vectors of FNV's authors
        let hashes = [b"".as_slice(), b"a", b"foobar"].map(fnv1a);
        assert_eq!(hashes, [0xCBF2_9CE4_8422_2325, 0xAF63_DC4C_8601_EC8C, 0x8594_4171_F739_67E8]);
        assert_eq!(name_of_folder("foobar", 0).unwrap(), "85944171f73967e8");
        assert_eq!(name_of_folder("foobar", 8).unwrap(), "85944171f73967e8-9");
        assert_eq!(name_of_folder("foobar", 9), Err(NameFault::Taken));
        assert_eq!(name_of_cursor("foobar", 1).unwrap(), "85944171f73967e8-2.cur");
        assert_eq!(name_of_folder("", 0), Err(NameFault::Length(0)));
        assert_eq!(name_of_folder(&"a".repeat(1_025), 0), Err(NameFault::Length(1_025)));
        for name in ["../../etc/passwd", "a\0b", "CON", "\u{e9}", "a/b"] {
            assert!(
                is_folder_name(&name_of_folder(name, 0).unwrap()) && is_cursor_name(&name_of_cursor(name, 3).unwrap())
            );
        }
        let ours = ["85944171f73967e8", "85944171f73967e8-2"];
        let foreign = [
            "",
            "85944171f73967e",
            "85944171F73967E8",
            "85944171f73967e8-1",
            "85944171f73967e8-10",
            "85944171f73967e8-+2",
            "x",
        ];
        assert!(ours.into_iter().all(is_folder_name) && !foreign.into_iter().any(is_folder_name));
        assert!(!is_cursor_name("85944171f73967e8") && !is_cursor_name(".cur"));
    }
}
