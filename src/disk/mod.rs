//! The seam to files: what this process does to a disk, for the system's and for two in memory.
//!
//! Knows paths and bytes; does not know what is written, nor what for. Each call is a system call in the product, beside
//! which a call through a table costs nothing.
//!
//! There are two ways to files. `Disk` takes paths: files of the user's, written at their end or replaced whole.
//! `DiskFolder` is an open folder, takes names in it and follows no link: files of our own, for our user alone, written at
//! places in them, which is what the `buffer` needs. Nothing of the running program opens such a folder yet.
//!
//! What is promised, and what those in memory therefore break: what was written is there after a crash only if its file
//! was synced, and a name only if its folder was. A write may take less than it was given. After a sync that failed nobody
//! knows what is there, and the next one may say yes all the same.

mod folder;
mod memory;
mod seam;
mod simulated;
mod system;
mod system_folder;

pub use folder::{DiskFolder, EntryKind, FolderEntry, FolderFile};
pub use memory::MemoryDisk;
pub use seam::{Disk, DiskFile, FileIdentity, write_all};
pub use simulated::{Crash, DiskDraw, DiskFaults, DiskImage, SimulatedDisk};
pub use system::{SYSTEM, SystemDisk};
pub use system_folder::SystemFolder;
