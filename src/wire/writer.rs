//! Sizes and writers of varints, keys and fields, straight into a byte buffer that is already large enough.

/// Bytes of `value` as a varint.
#[inline]
pub const fn varint_size(value: u64) -> usize {
    // 9/64 per bit is 1/7 rounded so that every boundary falls right (as in protobuf's own implementations)
    ((64 - (value | 1).leading_zeros() as usize) * 9 + 64) / 64
}

/// Bytes of a length-delimited field with a one-byte key and `length` bytes inside.
#[inline]
pub const fn field_size(length: usize) -> usize {
    1 + varint_size(length as u64) + length
}

/// Appends a varint.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a length-delimited field; `key` is the one-byte key.
#[inline]
pub fn put_bytes(out: &mut Vec<u8>, key: u8, bytes: &[u8]) {
    out.push(key);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends key and length of a length-delimited field whose bytes follow.
#[inline]
pub fn put_header(out: &mut Vec<u8>, key: u8, length: usize) {
    out.push(key);
    put_varint(out, length as u64);
}

/// Appends a fixed64 field.
#[inline]
pub fn put_fixed64(out: &mut Vec<u8>, key: u8, value: u64) {
    let mut field = [0u8; 9];
    field[0] = key;
    field[1..].copy_from_slice(&value.to_le_bytes());
    out.extend_from_slice(&field);
}

/// Appends a varint field.
#[inline]
pub fn put_uint(out: &mut Vec<u8>, key: u8, value: u64) {
    out.push(key);
    put_varint(out, value);
}

/// ZigZag, as sint32 has it.
#[inline]
pub const fn zigzag(value: i32) -> u64 {
    ((value << 1) ^ (value >> 31)) as u32 as u64
}

/// ZigZag undone.
#[inline]
pub const fn unzigzag(value: u64) -> i32 {
    let value = value as u32;
    ((value >> 1) as i32) ^ -((value & 1) as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varint_sizes_are_what_is_written() {
        for shift in 0..64 {
            for value in [1u64 << shift, (1 << shift) - 1, (1u64 << shift) | 1] {
                let mut out = Vec::new();
                put_varint(&mut out, value);
                assert_eq!(out.len(), varint_size(value), "{value}");
                assert_eq!(out.len(), prost::encoding::encoded_len_varint(value));
            }
        }
        for value in [0, 1, -1, i32::MAX, i32::MIN] {
            assert_eq!(unzigzag(zigzag(value)), value);
        }
    }
}
