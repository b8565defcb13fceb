//! Checksums that know where their bytes belong: CRC-32C begun with a place.
//!
//! Does not know what is checked.

use super::planted::{PlantedFault, is_planted};

/// Where a record or a slot lies: in which log, in which file of it, at which byte. Bytes that are copied, moved, or left
/// from a file that had the blocks before do not check anywhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BytesPlace {
    /// What tells the log from all others: the hash of its name.
    pub(super) stream: u64,
    /// The segment's number; of a cursor, the hash of its name.
    pub(super) file: u64,
    /// The first byte's offset.
    pub(super) at: u64,
}

impl BytesPlace {
    /// The checksum of `bytes` at this place.
    pub(super) fn checksum(self, bytes: &[u8]) -> u32 {
        if is_planted(PlantedFault::NoSalt) {
            return checksum(bytes);
        }
        let mut words = [0; 24];
        words[..8].copy_from_slice(&self.stream.to_le_bytes());
        words[8..16].copy_from_slice(&self.file.to_le_bytes());
        words[16..].copy_from_slice(&self.at.to_le_bytes());
        checksum_on(checksum(&words), bytes)
    }
}

/// The checksum of `bytes`.
pub(super) fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
}

/// The checksum of what `before` is of, and `bytes` behind it.
pub(super) fn checksum_on(before: u32, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(before, bytes)
}

/// A small number at `at`, little endian. The slice is long enough: who calls took it from an array.
pub(super) fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// A large one.
pub(super) fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from(word(bytes, at)) | u64::from(word(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check value of CRC-32C (iSCSI, RFC 3720, B.4: 32 bytes of zeros, of ones, rising).
    #[test]
    fn it_is_castagnolis_and_begins_with_the_place() {
        let rising: Vec<u8> = (0..32).collect();
        let all = [checksum(b"123456789"), checksum(&[0; 32]), checksum(&[0xFF; 32]), checksum(&rising)];
        assert_eq!(all, [0xE306_9283, 0x8A91_36AA, 0x62A8_AB43, 0x46DD_794E]);
        assert_eq!(checksum_on(checksum(b"1234"), b"56789"), checksum(b"123456789"));
        let place = BytesPlace { stream: 1, file: 2, at: 3 };
        let others = [
            BytesPlace { stream: 2, ..place },
            BytesPlace { file: 3, ..place },
            BytesPlace { at: 4, ..place },
            BytesPlace { stream: 1 | 1 << 40, ..place },
        ];
        assert!(others.iter().all(|other| other.checksum(b"abc") != place.checksum(b"abc")));
        assert_eq!(
            (word(&[1, 2, 3, 4], 0), long(&[0, 1, 2, 3, 4, 5, 6, 7, 8], 1)),
            (0x0403_0201, 0x0807_0605_0403_0201)
        );
    }
}
