//! The chart: throughput by shard count, every round a dot, beside it what one shard would give times their number.
//!
//! A picture is a list of strokes, discs and texts; `svg` and `png` draw the same list.

use super::report::{TuneReport, human, rows};
use std::fmt::Write;

pub(super) const WIDTH: usize = 720;
pub(super) const HEIGHT: usize = 420;
const LEFT: f64 = 96.0;
const RIGHT: f64 = 690.0;
const TOP: f64 = 84.0;
const BOTTOM: f64 = 350.0;

const INK: [u8; 3] = [0x22, 0x2b, 0x33];
const PALE: [u8; 3] = [0xd5, 0xda, 0xde];
const GREY: [u8; 3] = [0x8a, 0x94, 0x9c];
const BLUE: [u8; 3] = [0x1f, 0x6f, 0xb2];
const RED: [u8; 3] = [0xc2, 0x41, 0x1c];

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

pub(super) enum ChartPart {
    Line { from: (f64, f64), to: (f64, f64), width: f64, colour: [u8; 3] },
    Disc { at: (f64, f64), radius: f64, colour: [u8; 3] },
    Text { at: (f64, f64), anchor: Anchor, colour: [u8; 3], words: String },
}

/// Draws a report.
pub(super) fn draw(report: &TuneReport) -> Vec<ChartPart> {
    let rows = rows(&report.rounds);
    let most = rows.iter().map(|row| row.shards).max().unwrap_or(1);
    let one = rows.first().map_or(0.0, |row| row.points_per_s / row.shards as f64);
    let best = report.rounds.iter().map(|round| round.points_per_s).fold(one * 1.05, f64::max);
    let step = nice(best / 4.0);
    let top = (best / step).ceil() * step;
    let x = |shards: f64| {
        if most == 1 {
            f64::midpoint(LEFT, RIGHT)
        } else {
            LEFT + 24.0 + (RIGHT - LEFT - 48.0) * (shards - 1.0) / (most - 1) as f64
        }
    };
    let y = |rate: f64| BOTTOM - (BOTTOM - TOP) * rate / top;
    let mut parts = Vec::new();
    let text = |at, anchor, colour, words: &str| ChartPart::Text { at, anchor, colour, words: words.to_owned() };
    parts.push(text((24.0, 30.0), Anchor::Start, INK, "Throughput by number of shards"));
    parts.push(text((24.0, 52.0), Anchor::Start, GREY, &format!("{}; {}", report.traffic, report.source)));
    for i in 0..=(top / step).round() as usize {
        let rate = i as f64 * step;
        parts.push(ChartPart::Line { from: (LEFT, y(rate)), to: (RIGHT, y(rate)), width: 1.0, colour: PALE });
        parts.push(text((LEFT - 10.0, y(rate) + 5.0), Anchor::End, GREY, &human(rate)));
    }
    // ideal: as far as it stays in the picture
    let end = (top / one.max(f64::MIN_POSITIVE)).min(most as f64);
    parts.push(ChartPart::Line { from: (x(1.0), y(one)), to: (x(end), y(one * end)), width: 1.5, colour: GREY });
    for pair in rows.windows(2) {
        let at = |i: usize| (x(pair[i].shards as f64), y(pair[i].points_per_s));
        parts.push(ChartPart::Line { from: at(0), to: at(1), width: 2.5, colour: BLUE });
    }
    for round in &report.rounds {
        parts.push(ChartPart::Disc { at: (x(round.shards as f64), y(round.points_per_s)), radius: 2.5, colour: GREY });
    }
    let mut last = f64::MIN;
    for row in &rows {
        let chosen = row.shards == report.recommended;
        let at = (x(row.shards as f64), y(row.points_per_s));
        let (radius, colour) = if chosen { (6.0, RED) } else { (4.0, BLUE) };
        parts.push(ChartPart::Disc { at, radius, colour });
        // labels that would run into each other are left out, never that of the recommended count
        if chosen || at.0 - last > 44.0 {
            last = at.0;
            parts.push(text(
                (at.0, BOTTOM + 20.0),
                Anchor::Middle,
                if chosen { RED } else { INK },
                &row.shards.to_string(),
            ));
            parts.push(text((at.0, BOTTOM + 40.0), Anchor::Middle, GREY, &format!("{:.0} %", row.efficiency * 100.0)));
        }
    }
    parts.push(text((24.0, BOTTOM + 20.0), Anchor::Start, GREY, "shards"));
    parts.push(text((24.0, BOTTOM + 40.0), Anchor::Start, GREY, "efficiency"));
    parts.push(text((RIGHT, 30.0), Anchor::End, RED, &format!("recommended: {}", report.recommended)));
    parts.push(text((RIGHT, 52.0), Anchor::End, GREY, "points/s, median of rounds; grey: ideal"));
    parts
}

/// 1, 2 or 5 times a power of ten, not below `least`.
fn nice(least: f64) -> f64 {
    let power = 10_f64.powf(least.max(1e-9).log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|n| n * power).find(|n| *n >= least).unwrap_or(power)
}

/// As SVG.
pub(super) fn svg(parts: &[ChartPart]) -> String {
    let hex = |[r, g, b]: [u8; 3]| format!("#{r:02x}{g:02x}{b:02x}");
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"monospace\" font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    for part in parts {
        let _ = match part {
            ChartPart::Line { from, to, width, colour } => writeln!(
                out,
                "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{}\" stroke-width=\"{width}\"/>",
                from.0,
                from.1,
                to.0,
                to.1,
                hex(*colour)
            ),
            ChartPart::Disc { at, radius, colour } => writeln!(
                out,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"{radius}\" fill=\"{}\"/>",
                at.0,
                at.1,
                hex(*colour)
            ),
            ChartPart::Text { at, anchor, colour, words } => {
                let anchor = match anchor {
                    Anchor::Start => "start",
                    Anchor::Middle => "middle",
                    Anchor::End => "end",
                };
                let words = words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
                writeln!(
                    out,
                    "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\" fill=\"{}\">{words}</text>",
                    at.0,
                    at.1,
                    hex(*colour)
                )
            }
        };
    }
    out + "</svg>\n"
}
