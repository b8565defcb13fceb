//! The seam to files: what this process does to a disk, for the system's and for one in memory.
//!
//! Knows paths and bytes; does not know what is written, nor what for. Each call is a system call in the product, beside
//! which a call through a table costs nothing.
//!
//! What is promised, and what the one in memory therefore breaks: what was written is there after a crash only if its file
//! was synced, and a name only if its folder was. A write may take less than it was given.

mod memory;
mod seam;
mod system;

pub use memory::MemoryDisk;
pub use seam::{Disk, DiskFile, FileIdentity, write_all};
pub use system::{SYSTEM, SystemDisk};
