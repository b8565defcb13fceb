//! A record whole: tenant and body behind its head.
//!
//! Does not know what is in a body. A payload is read only once its head's checksum fits, as long as that says and the file
//! has, and given out only if its own fits.

use super::checksum::{BytesPlace, checksum, checksum_on};
use super::planted::{PlantedFault, is_planted};
use super::record::{HEAD_BYTES, RecordHead};
use super::walk::twice;
use crate::disk::FolderFile;
use crate::limits::BUFFER_TENANT_BYTES_MAX;
use bytes::Bytes;

/// A record that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    /// What its head says.
    pub head: RecordHead,
    /// Whose it is; empty for the default.
    pub tenant: String,
    /// What was given.
    pub body: Bytes,
}

/// What came of reading one.
#[derive(Debug)]
pub(super) enum RecordRead {
    /// It is there, as it was written.
    Whole(LogRecord),
    /// Its bytes are not those that were written.
    Damaged,
    /// The disk would not read it, twice.
    Unreadable,
}

/// What stands before the body.
pub(super) fn payload_front(tenant: &str) -> Vec<u8> {
    let mut front = vec![tenant.len() as u8];
    front.extend_from_slice(tenant.as_bytes());
    front
}

/// The checksum of a payload in two parts.
pub(super) fn payload_checksum(front: &[u8], body: &[u8]) -> u32 {
    checksum_on(checksum(front), body)
}

/// Reads the record at a place; once more where that fails, for what the disk gave may be wrong as well.
pub(super) fn read_record(file: &dyn FolderFile, place: BytesPlace) -> RecordRead {
    match read_once(file, place) {
        RecordRead::Whole(record) => RecordRead::Whole(record),
        RecordRead::Damaged | RecordRead::Unreadable => read_once(file, place),
    }
}

fn read_once(file: &dyn FolderFile, place: BytesPlace) -> RecordRead {
    let mut head = [0; HEAD_BYTES];
    let Ok(read) = file.read_at(place.at, &mut head) else { return RecordRead::Unreadable };
    let Some(head) = RecordHead::decode(&head, place).filter(|_| read == HEAD_BYTES) else {
        return RecordRead::Damaged;
    };
    let Ok(bytes) = twice(|| file.bytes()) else { return RecordRead::Unreadable };
    if head.end(place.at) > bytes {
        return RecordRead::Damaged;
    }
    let mut payload = vec![0; head.payload_bytes as usize];
    match file.read_at(place.at + HEAD_BYTES as u64, &mut payload) {
        Ok(read) if read == payload.len() => {}
        Ok(_) => return RecordRead::Damaged,
        Err(_) => return RecordRead::Unreadable,
    }
    if checksum(&payload) != head.payload_checksum && !is_planted(PlantedFault::PayloadUnchecked) {
        return RecordRead::Damaged;
    }
    split(head, payload).map_or(RecordRead::Damaged, RecordRead::Whole)
}

/// Tenant and body of a payload; none where it is not so made.
fn split(head: RecordHead, payload: Vec<u8>) -> Option<LogRecord> {
    let (tenant_bytes, rest) = payload.split_first()?;
    let tenant_bytes = usize::from(*tenant_bytes);
    if tenant_bytes > BUFFER_TENANT_BYTES_MAX {
        return None;
    }
    let tenant = std::str::from_utf8(rest.get(..tenant_bytes)?).ok()?.to_owned();
    Some(LogRecord { head, tenant, body: Bytes::from(payload).slice(1 + tenant_bytes..) })
}
