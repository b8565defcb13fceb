//! Compression of a request, frame and all.
//!
//! Deliberately does not know what is in it.

use super::run::GRPC_PREFIX_BYTES;
use super::settings::Compression;
use std::io::Write;

/// Level 1 of both: what clients that compress at all use on this path, and the least that the generator spends.
const ZSTD_LEVEL: i32 = 1;

/// A way to compress, and its state.
pub(crate) enum Compressor {
    Gzip,
    Zstd(zstd::bulk::Compressor<'static>),
}

impl Compressor {
    /// The state of `compression`, if it is any.
    pub(crate) fn new(compression: Compression) -> Result<Option<Compressor>, String> {
        Ok(match compression {
            Compression::None => None,
            Compression::Gzip => Some(Compressor::Gzip),
            Compression::Zstd => {
                let zstd = zstd::bulk::Compressor::new(ZSTD_LEVEL).map_err(|error| format!("zstd: {error}"))?;
                Some(Compressor::Zstd(zstd))
            }
        })
    }

    /// Compresses the message behind the gRPC frame of `payload`, and puts a frame that says so before it.
    pub(crate) fn pack(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        let message = &payload[GRPC_PREFIX_BYTES..];
        out.clear();
        out.extend_from_slice(&[1, 0, 0, 0, 0]);
        match self {
            Compressor::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(&mut *out, flate2::Compression::fast());
                encoder.write_all(message).and_then(|()| encoder.finish().map(drop)).expect("memory takes everything");
            }
            Compressor::Zstd(zstd) => {
                out.resize(GRPC_PREFIX_BYTES + zstd::zstd_safe::compress_bound(message.len()), 0);
                let taken = zstd.compress_to_buffer(message, &mut out[GRPC_PREFIX_BYTES..]);
                out.truncate(GRPC_PREFIX_BYTES + taken.expect("the buffer takes the largest result there can be"));
            }
        }
        let length = (out.len() - GRPC_PREFIX_BYTES) as u32;
        out[1..GRPC_PREFIX_BYTES].copy_from_slice(&length.to_be_bytes());
    }
}
