//! The chart as PNG: a small canvas, glyphs of a rasterised font, and the four chunks that a PNG needs (RFC 2083).

use super::chart::{Anchor, ChartPart, HEIGHT, WIDTH};
use flate2::{Compression, Crc, write::ZlibEncoder};
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster};
use std::io::Write;

/// Pixels for each unit of the picture: sharp on dense screens.
const SCALE: usize = 2;
const W: usize = WIDTH * SCALE;
const H: usize = HEIGHT * SCALE;
/// Height of the glyphs, pixels; their base line is so far below their top.
const GLYPHS: RasterHeight = RasterHeight::Size24;
const BASE_LINE: f64 = 19.0;

struct Canvas {
    pixels: Vec<u8>,
}

impl Canvas {
    /// Lays `colour` over a pixel, `cover` of 1.
    fn blend(&mut self, x: i64, y: i64, colour: [u8; 3], cover: f64) {
        if !(0..W as i64).contains(&x) || !(0..H as i64).contains(&y) || cover <= 0.0 {
            return;
        }
        let at = (y as usize * W + x as usize) * 3;
        for (below, above) in self.pixels[at..at + 3].iter_mut().zip(colour) {
            *below = (f64::from(*below) + (f64::from(above) - f64::from(*below)) * cover.min(1.0)).round() as u8;
        }
    }

    /// Every pixel within `half` of the segment, with soft edges; a disc is a segment without length.
    fn capsule(&mut self, from: (f64, f64), to: (f64, f64), half: f64, colour: [u8; 3]) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let length = (dx * dx + dy * dy).max(f64::MIN_POSITIVE);
        let reach = half + 1.0;
        let span = |a: f64, b: f64| (a.min(b) - reach).floor() as i64..=(a.max(b) + reach).ceil() as i64;
        for y in span(from.1, to.1) {
            for x in span(from.0, to.0) {
                let (px, py) = (x as f64 + 0.5 - from.0, y as f64 + 0.5 - from.1);
                let t = ((px * dx + py * dy) / length).clamp(0.0, 1.0);
                let distance = (px - t * dx).hypot(py - t * dy);
                self.blend(x, y, colour, half + 0.5 - distance);
            }
        }
    }

    fn text(&mut self, at: (f64, f64), anchor: Anchor, colour: [u8; 3], words: &str) {
        let glyphs: Vec<_> = words
            .chars()
            .filter_map(|c| {
                get_raster(c, FontWeight::Regular, GLYPHS).or_else(|| get_raster('?', FontWeight::Regular, GLYPHS))
            })
            .collect();
        let width: usize = glyphs.iter().map(|glyph| glyph.width()).sum();
        let mut left = match anchor {
            Anchor::Start => at.0,
            Anchor::Middle => at.0 - width as f64 / 2.0,
            Anchor::End => at.0 - width as f64,
        } as i64;
        for glyph in glyphs {
            for (row, line) in glyph.raster().iter().enumerate() {
                for (column, cover) in line.iter().enumerate() {
                    let y = (at.1 - BASE_LINE) as i64 + row as i64;
                    self.blend(left + column as i64, y, colour, f64::from(*cover) / 255.0);
                }
            }
            left += glyph.width() as i64;
        }
    }
}

/// Draws and encodes.
pub(super) fn png(parts: &[ChartPart]) -> Vec<u8> {
    let mut canvas = Canvas { pixels: vec![255; W * H * 3] };
    let scale = |(x, y): (f64, f64)| (x * SCALE as f64, y * SCALE as f64);
    for part in parts {
        match part {
            ChartPart::Line { from, to, width, colour } => {
                canvas.capsule(scale(*from), scale(*to), width * SCALE as f64 / 2.0, *colour);
            }
            ChartPart::Disc { at, radius, colour } => {
                canvas.capsule(scale(*at), scale(*at), radius * SCALE as f64, *colour);
            }
            ChartPart::Text { at, anchor, colour, words } => canvas.text(scale(*at), *anchor, *colour, words),
        }
    }
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::best());
    for line in canvas.pixels.chunks_exact(W * 3) {
        // filter 0: bytes as they are; writing into a Vec does not fail
        let _ = packed.write_all(&[0]);
        let _ = packed.write_all(line);
    }
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut header = Vec::new();
    header.extend((W as u32).to_be_bytes());
    header.extend((H as u32).to_be_bytes());
    // 8 bits a sample, RGB, the only compression and filter there are, not interlaced
    header.extend([8, 2, 0, 0, 0]);
    chunk(&mut out, b"IHDR", &header);
    chunk(&mut out, b"IDAT", &packed.finish().unwrap_or_default());
    chunk(&mut out, b"IEND", &[]);
    out
}

fn chunk(out: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    out.extend((data.len() as u32).to_be_bytes());
    out.extend(kind);
    out.extend(data);
    let mut crc = Crc::new();
    crc.update(kind);
    crc.update(data);
    out.extend(crc.sum().to_be_bytes());
}
