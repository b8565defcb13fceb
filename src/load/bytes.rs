//! Protobuf's bytes as the generator writes them.
//!
//! Knows the encoding; does not know messages. Written for itself: the server's writers must not vouch for what they
//! read.

/// Appends a base-128 varint.
pub(crate) fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value > 127 {
        out.push(value as u8 | 128);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends the tag and length of a length-delimited field.
pub(crate) fn head(out: &mut Vec<u8>, field: u32, bytes: usize) {
    varint(out, u64::from(field << 3 | 2));
    varint(out, bytes as u64);
}

/// Appends a varint field.
pub(crate) fn varint_field(out: &mut Vec<u8>, field: u32, value: u64) {
    varint(out, u64::from(field << 3));
    varint(out, value);
}

/// Appends a length-delimited field.
pub(crate) fn bytes_field(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    head(out, field, bytes.len());
    out.extend_from_slice(bytes);
}

/// Appends a fixed64 field and says where its eight bytes begin.
pub(crate) fn fixed64(out: &mut Vec<u8>, field: u32, bits: u64) -> usize {
    varint(out, u64::from(field << 3 | 1));
    out.extend_from_slice(&bits.to_le_bytes());
    out.len() - 8
}

/// Writes eight bytes, little-endian.
#[inline]
pub(crate) fn put(point: &mut [u8], offset: usize, bits: u64) {
    point[offset..offset + 8].copy_from_slice(&bits.to_le_bytes());
}

/// Reads eight bytes, little-endian.
#[inline]
pub(crate) fn get(point: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(point[offset..offset + 8].try_into().expect("eight bytes"))
}
