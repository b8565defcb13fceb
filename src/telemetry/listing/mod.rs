//! Series as lines of JSON: who they are, and what is known of each. What `/series` and `/rules/NAME/series` of the admin door
//! say, and how `catchment plan` and `explain` read it.
//!
//! Knows identities as runs, and how they are written; does not know where series are kept, sockets, or what anybody makes of
//! them. Pure. What is written is read back as it was.
//!
//! ```text
//!   {"resource":{…},"scope":{…}}                              what the lines below have in common, until it comes again
//!   {"metric":"http.requests","unit":"1","kind":"counter"}    the same
//!   {"attributes":{…},"input":"cumulative","cuts":[7,1],…}    a series
//!   {"end":{"series":3,"cut":7,"interval_s":10,"more":false}}
//! ```
//!
//! Texts, booleans and numbers are those of JSON, a double with a point or an exponent; any other value is
//! `{"any":"…"}`, its `AnyValue` message in hexadecimal.

mod lines;
mod put;
mod read;

pub use lines::{ListedLine, ListedMetric, ListedOutput, ListedSeries, ListingEnd};
pub use put::{put_end, put_metric, put_output, put_place, put_series};
pub use read::{read_line, read_output};

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::aggregate::number::Value as Number;
    use crate::identity::attributes::{self, key_byte};
    use crate::model::Kind;
    use crate::rules::{InputKind, MetricSeen};
    use crate::wire::{put_bytes, put_fixed64};

    fn run(values: &[(&str, &[u8])], key: u8) -> Vec<u8> {
        let mut run = Vec::new();
        for (name, any) in values {
            let mut pair = Vec::new();
            put_bytes(&mut pair, 0x0a, name.as_bytes());
            put_bytes(&mut pair, 0x12, any);
            put_bytes(&mut run, key, &pair);
        }
        run
    }

    /// Whatever values attributes have, they are read as they were written: their bytes are the identity.
    #[test]
    fn what_is_written_is_read_back() {
        let mut double = Vec::new();
        put_fixed64(&mut double, 0x21, 3.0f64.to_bits());
        let mut nan = Vec::new();
        put_fixed64(&mut nan, 0x21, f64::NAN.to_bits());
        let values: Vec<(&str, &[u8])> = vec![
            ("a", b"\x0a\x05x\"\n\xc3\xa4"),
            ("b", b"\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
            ("c", b"\x10\x01"),
            ("d", &double),
            ("e", &nan),
            ("f", b"\x2a\x04\x0a\x02\x18\x01"),
            ("g", b""),
            ("h", b"\x3a\x01\xff"),
            ("i", b"\x0a\x00"),
        ];
        let (resource, key) = (run(&values, 0x0a), key_byte(Kind::Sum));
        let mut scope = Vec::new();
        put_bytes(&mut scope, 0x0a, b"lib");
        scope.extend(run(&values[..2], 0x1a));
        let metric = MetricSeen {
            resource: &resource,
            scope: &scope,
            name: "m\"",
            unit: "s",
            kind: Kind::Sum,
            monotonic: true,
            held: None,
        };
        let series = ListedSeries {
            attributes: run(&values, key),
            has_cumulative: true,
            cuts: [7, 3],
            time_ns: 5,
            value: Some(Number::Double(1e300)),
            is_hidden: true,
            ..ListedSeries::default()
        };
        let end = ListingEnd { series: 1, cut: 7, interval_s: 0.25, has_more: true };
        let mut out = String::new();
        put_place(&mut out, &resource, &scope);
        put_metric(&mut out, &metric, &[0.5, 1.0]);
        put_series(&mut out, &series);
        put_end(&mut out, &end);
        let lines: Vec<_> = out.lines().map(|line| read_line(line, Some(InputKind::Counter)).unwrap()).collect();
        let ListedLine::Place(read_resource, read_scope) = &lines[0] else { panic!("{lines:?}") };
        assert!(attributes::same(read_resource, &resource), "{out}");
        assert_eq!(read_scope, &scope);
        let told =
            ListedMetric { name: "m\"".into(), unit: "s".into(), kind: InputKind::Counter, bounds: vec![0.5, 1.0] };
        assert_eq!(lines[1], ListedLine::Metric(told));
        assert_eq!(lines[2..], [ListedLine::Series(series), ListedLine::End(end)]);
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for line in
            ["", "[]", "{}", "{\"attributes\":{\"a\":[]}}", "{\"metric\":\"m\",\"kind\":\"x\"}", "{\"attributes\":1}"]
        {
            assert!(read_line(line, Some(InputKind::Gauge)).is_err(), "{line}");
        }
        for any in ["0", "zz", "ä"] {
            let line = format!("{{\"attributes\":{{\"a\":{{\"any\":\"{any}\"}}}}}}");
            assert!(read_line(&line, Some(InputKind::Gauge)).is_err(), "{line}");
        }
        assert!(read_line("{\"attributes\":{}}", None).is_err(), "of which metric");
    }
}
