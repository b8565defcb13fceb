//! The head of an HTTP/2 frame, as both sides here write it.
//!
//! Knows nine bytes; does not know what follows them.

/// Appends the nine bytes that open a frame.
pub(crate) fn frame_head(out: &mut Vec<u8>, length: usize, kind: u8, flags: u8, stream: u32) {
    out.extend_from_slice(&(length as u32).to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
}
