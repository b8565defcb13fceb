//! OTLP/JSON in: J1 to J9 and T11 line by line, J10 in slices, odd inputs beside `serde_json` with the official structs.
//!
//! `CATCHMENT_FULL=1 cargo test --release --test rooms j10` plays all 10^6 messages of J10.

use crate::otlp_json_support::random::Chance;
use catchment::limits::{JSON_NUMBER_BYTES_MAX, WIRE_DEPTH_MAX};
use catchment::otlp::json_in::{JsonFault, JsonFaultKind as K, TranscodeProgress, Transcoder, fuzz_json, read_json};
use catchment::otlp::json_out::write_json;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest as Request;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogramDataPoint, HistogramDataPoint, Metric, NumberDataPoint,
};
use proptest::prelude::*;
use prost::Message;
use std::time::{Duration, Instant};

fn transcode(text: &[u8], out: &mut Vec<u8>) -> Result<(), JsonFault> {
    read_json(text, out, usize::MAX, |_| true)
}

fn bytes(text: &[u8]) -> Result<Vec<u8>, JsonFault> {
    let mut out = b"before".to_vec();
    transcode(text, &mut out)?;
    fuzz_json(text);
    assert!(out.starts_with(b"before"));
    Ok(out.split_off(6))
}

fn read(text: &str) -> Result<Request, JsonFault> {
    Ok(Request::decode(&bytes(text.as_bytes())?[..]).expect("what is taken is well-formed"))
}

fn in_metric(members: &str) -> String {
    format!(r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{{members}}}]}}]}}]}}"#)
}

fn in_point(members: &str) -> String {
    in_metric(&format!(r#""gauge":{{"dataPoints":[{{{members}}}]}}"#))
}

fn metric(text: &str) -> Result<Metric, K> {
    let request = read(text).map_err(|fault| fault.kind)?;
    Ok(request.resource_metrics[0].scope_metrics[0].metrics[0].clone())
}

fn point(members: &str) -> Result<NumberDataPoint, K> {
    match metric(&in_point(members))?.data {
        Some(Data::Gauge(gauge)) => Ok(gauge.data_points[0].clone()),
        other => panic!("{other:?}"),
    }
}

fn attribute(value: &str) -> Result<Option<Any>, K> {
    let point = point(&format!(r#""attributes":[{{"key":"k","value":{value}}}]"#))?;
    Ok(point.attributes[0].value.clone().expect("a value").value)
}

fn histogram(members: &str) -> Result<HistogramDataPoint, K> {
    match metric(&in_metric(&format!(r#""histogram":{{"dataPoints":[{{{members}}}]}}"#)))?.data {
        Some(Data::Histogram(histogram)) => Ok(histogram.data_points[0].clone()),
        other => panic!("{other:?}"),
    }
}

fn exponential(members: &str) -> Result<ExponentialHistogramDataPoint, K> {
    match metric(&in_metric(&format!(r#""exponentialHistogram":{{"dataPoints":[{{{members}}}]}}"#)))?.data {
        Some(Data::ExponentialHistogram(histogram)) => Ok(histogram.data_points[0].clone()),
        other => panic!("{other:?}"),
    }
}

/// J1, J2: other keys, at every level, are passed whatever they hold; escapes in keys are read.
#[test]
fn j1_j2_unknown_keys() {
    let expected = point(r#""timeUnixNano":"7","asInt":"3""#).unwrap();
    for odd in [
        r#""time_unix_nano":"9""#,
        r#""as_int":4"#,
        r#""TimeUnixNano":5"#,
        r#""timeunixnano":5"#,
        r#""":null"#,
        r#""x":{"y":[1,-2.5e3,"\ud83d\ude00",true,false,null,{},[],{"a":{"b":[[]]}}]}"#,
        r#""x":"a\"b\\\/""#,
        r#""time\u0000UnixNano":1"#,
        r#""aKeyThatIsLongerThanAnyThatIsKnown\u0041":1"#,
    ] {
        for members in [
            format!(r#"{odd},"timeUnixNano":"7","asInt":"3""#),
            format!(r#""timeUnixNano":"7", {odd} ,"asInt":"3""#),
            format!(r#""timeUnixNano":"7","asInt":"3",{odd}"#),
        ] {
            assert_eq!(point(&members).unwrap(), expected, "{members}");
        }
    }
    assert_eq!(point(r#""tim\u0065UnixNano":"7","as\u0049nt":3"#).unwrap(), expected);
    let x = r#""x":[{"resource":{}}],"schema_url":"s""#;
    let plain =
        read(&in_point(r#""asInt":1,"attributes":[{"key":"k","value":{"arrayValue":{"values":[{}]}}}]"#)).unwrap();
    let text = format!(
        r#"{{{x},"resourceMetrics":[{{{x},"scopeMetrics":[{{{x},"metrics":[{{{x},"gauge":{{{x},"dataPoints":[{{{x},"asInt":1,
        "attributes":[{{{x},"key":"k","value":{{{x},"arrayValue":{{{x},"values":[{{{x}}}]}}}}}}]}}]}}}}]}}]}}],{x}}}"#
    );
    assert_eq!(read(&text).unwrap(), plain);
    for broken in ["01", "1.", "+1", "\"\\x\"", "\"\\ud800\"", "\"\n\"", "tru", "{\"a\"}", "[1,]", "{,}", "nul", "'a'"]
    {
        assert!(point(&format!(r#""x":{broken}"#)).is_err(), "{broken}: what is passed is checked for being JSON");
    }
}

/// J3: ids are hexadecimal digits of any case, of exactly their number; other bytes are base64.
#[test]
fn j3_ids_and_bytes() {
    let exemplar =
        |members: &str| point(&format!(r#""exemplars":[{{{members}}}]"#)).map(|point| point.exemplars[0].clone());
    let upper = exemplar(r#""traceId":"00112233445566778899AABBCCDDEEFF","spanId":"0011223344556677""#).unwrap();
    let lower = exemplar(r#""traceId":"00112233445566778899aabbccddeeff","spanId":"\u0030011223344556677""#).unwrap();
    assert_eq!(upper, lower);
    assert_eq!(upper.trace_id[..4], [0, 0x11, 0x22, 0x33]);
    assert_eq!((upper.trace_id.len(), upper.span_id.len()), (16, 8));
    assert!(exemplar(r#""traceId":"","spanId":"""#).unwrap().trace_id.is_empty());
    for (member, bytes) in [
        (r#""traceId":"ABEiM0RVZneImaq7zN3u/w==""#, 16),
        (r#""spanId":"ABEiM0RVZnc=""#, 8),
        (r#""traceId":"0011223344556677""#, 16),
        (r#""spanId":"00112233445566""#, 8),
        (r#""traceId":"00112233445566778899AABBCCDDEEFG""#, 16),
        (r#""traceId":"000112233445566778899aabbccddeeff""#, 16),
    ] {
        assert_eq!(exemplar(member), Err(K::NotHex(bytes)), "{member}");
    }
    assert_eq!(exemplar(r#""traceId":7"#), Err(K::Kind("a string")));
    for text in ["+/8=", "+/8", "-_8=", "-_8", "+_8", "+\\/8=", "\\u002b/8"] {
        assert_eq!(attribute(&format!(r#"{{"bytesValue":"{text}"}}"#)), Ok(Some(Any::BytesValue(vec![0xfb, 0xff]))));
    }
    assert_eq!(attribute(r#"{"bytesValue":"+/8=="}"#), Err(K::NotBase64));
}

/// J4: enums are integers; a name, or an integer in quotes, is refused.
#[test]
fn j4_enums() {
    let temporality =
        |text: &str| match metric(&in_metric(&format!(r#""sum":{{"aggregationTemporality":{text}}}"#)))?.data {
            Some(Data::Sum(sum)) => Ok(sum.aggregation_temporality),
            other => panic!("{other:?}"),
        };
    for (text, expected) in [("2", 2), ("2.0", 2), ("0", 0), ("null", 0), ("77", 77), ("-1", -1)] {
        assert_eq!(temporality(text), Ok(expected), "{text}");
    }
    let fault = K::Kind("the integer of the enum, not its name,");
    for text in [r#""AGGREGATION_TEMPORALITY_DELTA""#, r#""DELTA""#, r#""2""#] {
        assert_eq!(temporality(text), Err(fault), "{text}");
    }
    assert_eq!(temporality("1.5"), Err(K::NotWhole));
    assert_eq!(temporality("3000000000"), Err(K::OutOfRange));
    assert_eq!(temporality("true"), Err(K::Kind("an integer")));
}

/// J5, J6: integers as numbers and as strings, whole however they are spelt, within their field's range.
#[test]
fn j5_j6_integers() {
    for (text, expected) in [
        ("0", 0),
        ("17", 17),
        ("1.0", 1),
        ("1e3", 1000),
        ("1E+3", 1000),
        ("25e-1e", -1),
        ("250e-1", 25),
        ("18446744073709551615", u64::MAX as i128),
        ("18446744073709551616", -2),
        ("-1", -2),
        ("-0", 0),
        ("1.5", -3),
        ("1e-1", -3),
        ("1e30", -2),
        ("01", -1),
        ("+1", -1),
        (" 1", -4),
        ("1 ", -4),
        ("", -1),
        ("0x10", -1),
        ("1_000", -1),
        ("NaN", -1),
    ] {
        for quoted in [false, true] {
            let spelt = if quoted { format!("\"{text}\"") } else { text.into() };
            let got = point(&format!(r#""timeUnixNano":{spelt}"#)).map(|point| point.time_unix_nano as i128);
            match expected {
                0.. => assert_eq!(got, Ok(expected), "{spelt}"),
                -2 => assert_eq!(got, Err(K::OutOfRange), "{spelt}"),
                -3 => assert_eq!(got, Err(K::NotWhole), "{spelt}"),
                // white space may stand around a number, not within quotes
                -4 if !quoted => assert_eq!(got, Ok(1), "{spelt}"),
                _ => assert!(got.is_err(), "{spelt}: {got:?}"),
            }
        }
    }
    assert_eq!(point(r#""timeUnixNano":"\u0031\u0037""#).unwrap().time_unix_nano, 17);
    let as_int = |text: &str| point(&format!(r#""asInt":{text}"#)).map(|point| point.value);
    for text in ["-9223372036854775808", "\"-9223372036854775808\"", "-9.223372036854775808e18"] {
        assert_eq!(as_int(text), Ok(Some(Number::AsInt(i64::MIN))), "{text}");
    }
    assert_eq!(as_int("9223372036854775808"), Err(K::OutOfRange));
    assert_eq!(as_int("true"), Err(K::Kind("an integer")));
    assert_eq!(attribute(r#"{"intValue":"-5"}"#), Ok(Some(Any::IntValue(-5))));
    assert_eq!(attribute(r#"{"intValue":1.5}"#), Err(K::NotWhole));
    assert_eq!(point(r#""flags":"4294967295""#).unwrap().flags, u32::MAX);
    assert_eq!(point(r#""flags":4294967296"#), Err(K::OutOfRange));
    assert_eq!(exponential(r#""scale":-2147483648"#).unwrap().scale, i32::MIN);
    assert_eq!(exponential(r#""scale":"2147483648""#), Err(K::OutOfRange));
    let point = histogram(r#""bucketCounts":["1",2,3.0,"18446744073709551615"],"count":"6""#).unwrap();
    assert_eq!(point.bucket_counts, [1, 2, 3, u64::MAX]);
    for broken in ["[1,]", "[,1]", "[1 2]", "[null]", "[[1]]", "{}", "1", "[1", "[1}"] {
        assert!(histogram(&format!(r#""bucketCounts":{broken}"#)).is_err(), "{broken}");
    }
}

/// J7: doubles as numbers and as strings, and the three that have no digits.
#[test]
fn j7_doubles() {
    let as_double = |text: &str| match point(&format!(r#""asDouble":{text}"#))?.value {
        Some(Number::AsDouble(value)) => Ok(value),
        other => panic!("{other:?}"),
    };
    for (text, expected) in [
        ("0", 0.0),
        ("-0", -0.0),
        ("1.5", 1.5),
        ("\"1.5\"", 1.5),
        ("\"-1e-3\"", -0.001),
        ("1e3", 1000.0),
        ("\"Infinity\"", f64::INFINITY),
        ("\"-Infinity\"", f64::NEG_INFINITY),
        ("9007199254740993", 9007199254740992.0),
        ("5e-324", 5e-324),
        ("1e-400", 0.0),
        ("1.7976931348623157e308", f64::MAX),
        ("0.1", 0.1),
    ] {
        assert_eq!(as_double(text).unwrap().to_bits(), expected.to_bits(), "{text}");
    }
    assert!(as_double("\"NaN\"").unwrap().is_nan());
    assert_eq!(as_double("1e309"), Err(K::OutOfRange));
    assert_eq!(as_double("\"-1e309\""), Err(K::OutOfRange));
    for text in
        ["NaN", "Infinity", "\"inf\"", "\"nan\"", "\"+1\"", "\"\"", "\"1.\"", "\" 1\"", "true", "[1]", "\"0x1\""]
    {
        assert!(as_double(text).is_err(), "{text}");
    }
    let point = histogram(r#""explicitBounds":[0,"1.5","Infinity"],"sum":0,"max":"NaN""#).unwrap();
    assert_eq!(point.explicit_bounds, [0.0, 1.5, f64::INFINITY]);
    assert_eq!((point.sum, point.min), (Some(0.0), None));
    assert!(point.max.unwrap().is_nan());
}

/// J8: null is absence, but not in a list; a key that comes twice is what a field that comes twice is in protobuf.
#[test]
fn j8_null_and_keys_that_come_twice() {
    let empty = point("").unwrap();
    for member in ["asInt", "asDouble", "attributes", "exemplars", "flags", "timeUnixNano", "startTimeUnixNano"] {
        assert_eq!(point(&format!(r#""{member}":null"#)).unwrap(), empty, "{member}");
    }
    assert_eq!(read(r#"{"resourceMetrics":null}"#).unwrap(), Request::default());
    assert_eq!(metric(&in_metric(r#""name":null,"sum":null"#)).unwrap(), Metric::default());
    assert_eq!(attribute("{\"stringValue\":null}"), Ok(None));
    let no_value = point(r#""attributes":[{"key":"k","value":null}]"#).unwrap();
    assert_eq!(no_value.attributes[0].value, None);
    for list in [r#""attributes":[null]"#, r#""exemplars":[null]"#] {
        assert_eq!(point(list), Err(K::Kind("an object")), "{list}");
    }
    // the last scalar wins, also when it is a default, and null changes nothing
    let twice = point(r#""flags":5,"timeUnixNano":1,"flags":0,"timeUnixNano":"2","flags":null"#).unwrap();
    assert_eq!((twice.flags, twice.time_unix_nano), (0, 2));
    assert_eq!(metric(&in_metric(r#""name":"a","name":"","unit":"s","unit":"ms""#)).unwrap().name, "");
    // lists are joined, objects merged, of a oneof the last one counts
    let joined = histogram(r#""bucketCounts":[1],"bucketCounts":[2,3]"#).unwrap();
    assert_eq!(joined.bucket_counts, [1, 2, 3]);
    let merged = exponential(r#""positive":{"offset":1},"positive":{"bucketCounts":[4]}"#).unwrap().positive.unwrap();
    assert_eq!((merged.offset, merged.bucket_counts), (1, vec![4]));
    assert_eq!(point(r#""asInt":1,"asDouble":2"#).unwrap().value, Some(Number::AsDouble(2.0)));
    assert_eq!(point(r#""asDouble":2,"asInt":1,"asDouble":null"#).unwrap().value, Some(Number::AsInt(1)));
    assert_eq!(attribute(r#"{"stringValue":"a","boolValue":true}"#), Ok(Some(Any::BoolValue(true))));
    assert!(matches!(metric(&in_metric(r#""gauge":{},"sum":{}"#)).unwrap().data, Some(Data::Sum(_))));
}

/// J9: nesting, encoding and halves of pairs.
#[test]
fn j9_depth_and_encoding() {
    // eight objects lie around a value's own members, itself included; a list in it has two more, a map three
    let nested = |lists: usize, maps: usize, inside: &str| {
        let (open_list, close_list) = (r#"{"arrayValue":{"values":["#.repeat(lists), "]}}".repeat(lists));
        let (open, close) = (r#"{"kvlistValue":{"values":[{"key":"a","value":"#.repeat(maps), "}]}}".repeat(maps));
        attribute(&format!("{open_list}{open}{inside}{close}{close_list}")).map(drop)
    };
    let fits = |objects| if objects <= WIRE_DEPTH_MAX { Ok(()) } else { Err(K::TooDeep) };
    for (lists, maps) in [(28, 0), (29, 0), (1, 18), (0, 19), (2, 18), (27, 0), (10, 12)] {
        assert_eq!(nested(lists, maps, "{}"), fits(8 + 2 * lists + 3 * maps), "{lists} {maps}");
    }
    // attributes of the usual spelling count like others
    for (lists, maps) in [(1, 17), (0, 17), (0, 18), (2, 17), (4, 15), (3, 16)] {
        for pair in [r#"{"key":"a","value":{"stringValue":"b"}}"#, r#"{"key":"a","value":{"stringValue":"b"} }"#] {
            let inside = format!(r#"{{"kvlistValue":{{"values":[{pair}]}}}}"#);
            assert_eq!(nested(lists, maps, &inside), fits(8 + 2 * lists + 3 * maps + 3), "{lists} {maps} {pair}");
        }
    }
    let unknown = |levels: usize| point(&format!(r#""x":{}{}"#, "[".repeat(levels), "]".repeat(levels))).map(drop);
    assert_eq!(unknown(WIRE_DEPTH_MAX), Ok(()));
    assert_eq!(unknown(WIRE_DEPTH_MAX + 1), Err(K::TooDeep));
    for (string, fault) in [
        (&b"a\xff"[..], K::NotUtf8),
        (b"\xc0\x80", K::NotUtf8),
        (b"\xed\xa0\x80", K::NotUtf8),
        (b"\\ud800", K::LoneSurrogate),
        (b"\\udc00", K::LoneSurrogate),
        (b"\\ud800x", K::LoneSurrogate),
        (b"\\ud800\\n", K::LoneSurrogate),
        (b"\\ud800\\ud800", K::LoneSurrogate),
        (b"\\ud800\\u12", K::BadEscape),
        (b"\\u12g4", K::BadEscape),
        (b"\\u+123", K::BadEscape),
        (b"\\x", K::BadEscape),
        (b"\\\xc3\xa9", K::BadEscape),
        (b"a\nb", K::Control),
        (b"a\0b", K::Control),
    ] {
        let places: [(&[u8], &[u8]); 5] = [
            (br#"{"resourceMetrics":[{"schemaUrl":""#, br#""}]}"#),
            (br#"{"resourceMetrics":[{"resource":{"attributes":[{"key":""#, br#"","value":{"stringValue":"x"}}]}}]}"#),
            (br#"{"resourceMetrics":[{"resource":{"attributes":[{"key":"k","value":{"stringValue":""#, br#""}}]}}]}"#),
            (br#"{"x":["#, br#""]}"#),
            (br#"{""#, br#"":1}"#),
        ];
        for (before, behind) in places {
            let quote: &[u8] = if before.ends_with(b"[") { b"\"" } else { b"" };
            let text = [before, quote, string, behind].concat();
            let got = bytes(&text).map_err(|fault| fault.kind);
            assert_eq!(got, Err(fault), "{}", String::from_utf8_lossy(&text));
        }
    }
    let texts =
        read(r#"{"resourceMetrics":[{"schemaUrl":"\ud83d\ude00 é \u00e9 \"\\\/\b\f\n\r\t\u0000 😀"}]}"#).unwrap();
    assert_eq!(texts.resource_metrics[0].schema_url, "😀 é é \"\\/\u{8}\u{c}\n\r\t\0 😀");
}

/// T11: bombs end at once, with a fault that names the limit.
#[test]
fn t11_bombs() {
    let brackets = format!("{{\"x\":{}", "[".repeat(1_000_000));
    let braces = format!("{{\"x\":{}", "{\"x\":".repeat(1_000_000));
    let values = in_point(&format!(r#""attributes":[{{"value":{}"#, r#"{"arrayValue":{"values":["#.repeat(100_000)));
    let digits = "7".repeat(1_000_000);
    let long = JSON_NUMBER_BYTES_MAX + 1;
    let table: Vec<(String, K)> = vec![
        ("[".repeat(1_000_000), K::Syntax("an object is expected")),
        (brackets, K::TooDeep),
        (braces, K::TooDeep),
        (values, K::TooDeep),
        (format!(r#"{{"x":{digits}}}"#), K::LongNumber),
        (in_point(&format!(r#""asInt":{digits}"#)), K::LongNumber),
        (in_point(&format!(r#""asInt":"{digits}""#)), K::LongNumber),
        (in_point(&format!(r#""asDouble":{digits}"#)), K::LongNumber),
        (in_point(&format!(r#""asDouble":"0.{digits}""#)), K::LongNumber),
        (in_point(&format!(r#""asInt":{}"#, "7".repeat(long - 1))), K::OutOfRange),
        (in_point(&format!(r#""asDouble":{}"#, "7".repeat(long - 1))), K::OutOfRange),
        (in_point(&format!(r#""asInt":1e{}"#, "7".repeat(1000))), K::OutOfRange),
        (format!(r#"{{"x":"{}"#, "a".repeat(1_000_000)), K::Ended),
        (format!(r#"{{"x":"{}"#, "\\".repeat(1_000_000)), K::Ended),
    ];
    for (text, kind) in table {
        // the best of three, so that what else the machine does counts less
        let best = (0..3)
            .map(|_| {
                let begun = Instant::now();
                let fault = transcode(text.as_bytes(), &mut Vec::new()).unwrap_err();
                assert_eq!(fault.kind, kind, "{}", &text[..40]);
                begun.elapsed()
            })
            .min();
        assert!(best.unwrap() <= Duration::from_millis(50), "{} took {best:?}", &text[..40]);
    }
}

/// What is not JSON is refused, wherever it is cut; a fault says what and where.
#[test]
fn r11_malformed_texts() {
    let whole = in_point(r#""attributes":[{"key":"k","value":{"stringValue":"v"}}],"asDouble":1.5,"exemplars":[{}]"#);
    assert!(read(&whole).is_ok());
    for end in 0..whole.len() {
        let fault = bytes(&whole.as_bytes()[..end]).unwrap_err();
        assert_eq!(fault.kind, K::Ended, "cut at {end}");
    }
    for text in [
        "null",
        "true",
        "1",
        "\"x\"",
        "[]",
        "{} {}",
        "{}x",
        "{},",
        "\u{feff}{}",
        "{\"resourceMetrics\":{}}",
        "{'a':1}",
        "{\"resourceMetrics\":[1]}",
        "{\"resourceMetrics\":[[]]}",
        "{\"resourceMetrics\":[{},]}",
        "{a:1}",
        "{\"a\" 1}",
        "{\"resourceMetrics\":[{}{}]}",
        "{\"resourceMetrics\":[{}]]",
        "{,}",
        "{\"a\":1,}",
        "// c\n{}",
        "{\"a\":1 \"b\":2}",
        "{\"resourceMetrics\":nul}",
        "{\"resourceMetrics\":nullx}",
        "{\"resourceMetrics\":\"\"}",
    ] {
        assert!(bytes(text.as_bytes()).is_err(), "{text}");
    }
    for text in [" {} ", "\t\r\n{\n}\n", "{\"resourceMetrics\":[]}", "{ \"resourceMetrics\" : [ ] }"] {
        assert_eq!(read(text).unwrap(), Request::default(), "{text}");
    }
    let fault = bytes(in_point(r#""timeUnixNano":1.5"#).as_bytes()).unwrap_err();
    let at = in_point(r#""timeUnixNano":1.5"#).find("1.5").unwrap();
    assert_eq!((fault.field, fault.at), ("timeUnixNano", at));
    let said = format!("malformed OTLP/JSON: an integer has a fraction, at timeUnixNano near byte {at}");
    assert_eq!(fault.to_string(), said);
    // in what a key holds that nobody knows, it is the message; after it, the next key
    let nested = format!(r#""timeUnixNano":1,"a":{}"#, "[".repeat(100));
    for (inside, field) in [
        (r#""timeUnixNano":1,"a":tru"#, "NumberDataPoint"),
        (nested.as_str(), "NumberDataPoint"),
        (r#""a":[1],"timeUnixNano":1.5"#, "timeUnixNano"),
    ] {
        assert_eq!(bytes(in_point(inside).as_bytes()).unwrap_err().field, field, "{inside}");
    }
}

/// Budget and limit: nothing is taken that was not granted, and a text that becomes more than the limit is refused.
#[test]
fn r3_bytes_are_asked_for() {
    let counts =
        in_metric(&format!(r#""histogram":{{"dataPoints":[{{"bucketCounts":[{}0]}}]}}"#, "0,".repeat(100_000)));
    let mut granted = 0;
    let mut out = Vec::new();
    let mut grow = |bytes| {
        granted += bytes;
        true
    };
    Transcoder::default().advance(counts.as_bytes(), &mut out, 1 << 20, usize::MAX, &mut grow).unwrap();
    assert!(out.len() > 800_000 && out.capacity() <= granted && granted <= 1 << 20, "{granted}");
    let run = |limit, budget: usize| {
        let (mut out, mut left) = (Vec::new(), budget);
        let mut grow = |bytes| left.checked_sub(bytes).map(|rest| left = rest).is_some();
        let result = Transcoder::default().advance(counts.as_bytes(), &mut out, limit, usize::MAX, &mut grow);
        assert!(out.capacity() <= budget);
        result.map_err(|fault| fault.kind)
    };
    assert_eq!(run(700_000, usize::MAX), Err(K::TooLarge));
    assert_eq!(run(out.len() - 1, usize::MAX), Err(K::TooLarge));
    assert_eq!(run(out.len() + 10, usize::MAX), Ok(TranscodeProgress::Done));
    assert_eq!(run(1 << 20, 500_000), Err(K::NoBudget));
}

// ---- J10 ----

/// What has no place in JSON: ids of other lengths, indexes into tables that only profiles have.
fn speakable(seed: u64) -> Request {
    let mut request = Chance(seed).request();
    let id = |bytes: &mut Vec<u8>, length: usize| {
        if !bytes.is_empty() {
            bytes.resize(length, 7);
        }
    };
    fn each(any: &mut Option<Any>) {
        match any {
            Some(Any::StringValueStrindex(_)) => *any = None,
            Some(Any::ArrayValue(list)) => list.values.iter_mut().for_each(|value| each(&mut value.value)),
            Some(Any::KvlistValue(list)) => {
                list.values.iter_mut().flat_map(|pair| &mut pair.value).for_each(|value| each(&mut value.value));
            }
            _ => {}
        }
    }
    let attributes = |all: &mut Vec<opentelemetry_proto::tonic::common::v1::KeyValue>| {
        all.iter_mut().flat_map(|pair| &mut pair.value).for_each(|value| each(&mut value.value));
    };
    for resource in &mut request.resource_metrics {
        resource.resource.iter_mut().for_each(|resource| attributes(&mut resource.attributes));
        for scope in &mut resource.scope_metrics {
            scope.scope.iter_mut().for_each(|scope| attributes(&mut scope.attributes));
            for metric in &mut scope.metrics {
                attributes(&mut metric.metadata);
                let mut exemplars = Vec::new();
                match &mut metric.data {
                    Some(Data::Gauge(gauge)) => exemplars
                        .extend(gauge.data_points.iter_mut().map(|p| (&mut p.attributes, Some(&mut p.exemplars)))),
                    Some(Data::Sum(sum)) => exemplars
                        .extend(sum.data_points.iter_mut().map(|p| (&mut p.attributes, Some(&mut p.exemplars)))),
                    Some(Data::Histogram(histogram)) => exemplars
                        .extend(histogram.data_points.iter_mut().map(|p| (&mut p.attributes, Some(&mut p.exemplars)))),
                    Some(Data::ExponentialHistogram(histogram)) => exemplars
                        .extend(histogram.data_points.iter_mut().map(|p| (&mut p.attributes, Some(&mut p.exemplars)))),
                    Some(Data::Summary(summary)) => {
                        exemplars.extend(summary.data_points.iter_mut().map(|p| (&mut p.attributes, None)))
                    }
                    None => {}
                }
                for (own, exemplars) in exemplars {
                    attributes(own);
                    for exemplar in exemplars.into_iter().flatten() {
                        attributes(&mut exemplar.filtered_attributes);
                        id(&mut exemplar.trace_id, 16);
                        id(&mut exemplar.span_id, 8);
                    }
                }
            }
        }
    }
    request
}

/// J10: protobuf, JSON and protobuf again are one message (compared by what it prints, because NaN is not NaN), in one go
/// and in slices, and the JSON of the outcome is the same text.
fn round_trip(seed: u64, transcoder: &mut Transcoder) {
    let (mut text, mut out, mut text_again) = (Vec::new(), Vec::new(), Vec::new());
    let first = speakable(seed).encode_to_vec();
    write_json(&first, &mut text).unwrap();
    transcoder.begin();
    let slice = if seed.is_multiple_of(2) { usize::MAX } else { 1 + seed as usize % 500 };
    loop {
        let progress = transcoder.advance(&text, &mut out, usize::MAX / 2, slice, &mut |_| true);
        let said = || format!("seed {seed}: {}", String::from_utf8_lossy(&text));
        match progress.unwrap_or_else(|fault| panic!("{fault}, {}", said())) {
            TranscodeProgress::Done => break,
            TranscodeProgress::More => {}
        }
    }
    let (want, got) = (Request::decode(&first[..]).unwrap(), Request::decode(&out[..]).unwrap());
    assert_eq!(format!("{got:?}"), format!("{want:?}"), "seed {seed}");
    write_json(&out, &mut text_again).unwrap();
    assert!(text_again == text, "seed {seed}");
}

#[test]
fn j10_round_trips() {
    let full = std::env::var_os("CATCHMENT_FULL").is_some_and(|value| value == "1");
    let messages = if full { 1_000_000 } else { 10_000 };
    let mut transcoder = Transcoder::default();
    for seed in 0..messages {
        round_trip(seed, &mut transcoder);
    }
    println!("{messages} messages there and back");
}

/// The bytes are those that a serialiser writes, so that a series is known by them whichever way it comes.
#[test]
fn bytes_are_those_of_a_serialiser() {
    let pair = |key: &str, value: &str| format!(r#"{{"key":"{key}","value":{{"stringValue":"{value}"}}}}"#);
    let attributes = format!(r#""attributes":[{},{}]"#, pair("route", "/r/1"), pair("état", &"x".repeat(200)));
    let times = r#""startTimeUnixNano":"1795375686852880383","timeUnixNano":"1795375686853808605""#;
    let orders = [
        format!(r#"{attributes},{times},"asInt":"43""#),
        format!(r#"{times},"asInt":43,{attributes}"#),
        format!(r#""asInt":43.0, {attributes} , {times}"#),
    ];
    let want = read(&in_point(&orders[0])).unwrap().encode_to_vec();
    for order in orders {
        assert_eq!(bytes(in_point(&order).as_bytes()).unwrap(), want, "{order}");
    }
    // a start that is absent, or 0, still leaves the layout that is known by its bytes
    let gauge = bytes(in_point(r#""timeUnixNano":5,"asDouble":1"#).as_bytes()).unwrap();
    assert!(gauge.windows(27).any(|fixed| fixed[0] == 0x11 && fixed[9] == 0x19 && fixed[18] == 0x21));
}

// ---- beside serde_json ----

#[derive(Clone, Copy, Debug)]
enum Judge {
    /// Both read the same, or both refuse.
    Agrees,
    /// The official structs refuse it, or lose the metric's data; why that is not the specification's.
    Refuses(&'static str),
    /// The official structs read it, the same or otherwise; why that is not the specification's.
    Takes(&'static str),
}
use Judge::{Agrees, Refuses, Takes};

/// Odd inputs: what we do, and what `serde_json` into the official structs does.
#[test]
fn odd_inputs_beside_the_official_structs() {
    let attribute = |value: &str| in_point(&format!(r#""attributes":[{{"key":"k","value":{value}}}]"#));
    let id = |text: &str| in_point(&format!(r#""asInt":"1","exemplars":[{{"traceId":"{text}","asInt":"1"}}]"#));
    let h = |members: &str| in_metric(&format!(r#""histogram":{{"dataPoints":[{{{members}}}]}}"#));
    let s = |members: &str| in_metric(&format!(r#""sum":{{{members}}}"#));
    const MAPPING: &str = "ProtoJSON takes any spelling of a whole number, number or string";
    const TWICE: &str = "a key that comes twice is a field that comes twice here; ProtoJSON leaves it open";
    const NULL: &str = "ProtoJSON: null is the default";
    let table: Vec<(String, bool, Judge)> = vec![
        (in_point(r#""timeUnixNano":"7""#), true, Agrees),
        (in_point(r#""timeUnixNano":7"#), true, Agrees),
        (in_point(r#""timeUnixNano":7.0"#), true, Refuses(MAPPING)),
        (in_point(r#""timeUnixNano":"7.0""#), true, Refuses(MAPPING)),
        (in_point(r#""timeUnixNano":1e3"#), true, Refuses(MAPPING)),
        (in_point(r#""timeUnixNano":1.5"#), false, Agrees),
        (in_point(r#""timeUnixNano":-1"#), false, Agrees),
        (in_point(r#""timeUnixNano":"+7""#), false, Takes("Rust's own integers may have a plus")),
        (in_point(r#""timeUnixNano":"007""#), false, Takes("Rust's own integers may begin with zeros")),
        (in_point(r#""timeUnixNano":18446744073709551615"#), true, Agrees),
        (in_point(r#""timeUnixNano":18446744073709551616"#), false, Agrees),
        (in_point(r#""timeUnixNano":null"#), true, Refuses(NULL)),
        (in_point(r#""time_unix_nano":7"#), true, Agrees),
        (in_point(r#""unknown":{"a":[1,2,{"b":null}]}"#), true, Agrees),
        (in_point(r#""timeUnixNano":1,"timeUnixNano":2"#), true, Refuses(TWICE)),
        (in_point(r#""attributes":[],"attributes":[]"#), true, Refuses(TWICE)),
        (attribute(r#"{"stringValue":"\ud83d\ude00"}"#), true, Agrees),
        (attribute(r#"{"stringValue":"\ud83d"}"#), false, Agrees),
        (attribute(r#"{"stringValue":"a\u0000b"}"#), true, Agrees),
        (attribute(r#"{"stringValue":5}"#), false, Agrees),
        (attribute(r#"{"boolValue":"true"}"#), false, Agrees),
        (attribute(r#"{"boolValue":true}"#), true, Agrees),
        (attribute(r#"{"intValue":"-9223372036854775808"}"#), true, Agrees),
        (attribute(r#"{"intValue":9223372036854775808}"#), false, Agrees),
        (attribute(r#"{"intValue":1.0}"#), true, Refuses(MAPPING)),
        (attribute(r#"{"doubleValue":1.25}"#), true, Agrees),
        (attribute(r#"{"doubleValue":"1.25"}"#), true, Refuses("ProtoJSON takes doubles as strings")),
        (attribute(r#"{"doubleValue":"NaN"}"#), true, Refuses("ProtoJSON: NaN is a string")),
        (attribute(r#"{"doubleValue":1e999}"#), false, Agrees),
        (attribute(r#"{"bytesValue":"+/8="}"#), true, Agrees),
        (attribute(r#"{"bytesValue":"+/8"}"#), true, Refuses("ProtoJSON takes base64 without padding")),
        (attribute(r#"{"bytesValue":"-_8="}"#), true, Refuses("ProtoJSON takes the URL-safe alphabet")),
        (attribute(r#"{"bytesValue":"?"}"#), false, Agrees),
        (attribute(r#"{"arrayValue":{"values":[{"intValue":"1"},{"stringValue":"a"},{}]}}"#), true, Agrees),
        (attribute(r#"{"kvlistValue":{"values":[{"key":"a","value":{"boolValue":false}}]}}"#), true, Agrees),
        (attribute("{}"), true, Agrees),
        (id("00112233445566778899aabbccddeeff"), true, Agrees),
        (id("00112233445566778899AABBCCDDEEFF"), true, Agrees),
        (id("0011"), false, Takes("a trace id has 16 bytes (OTLP/JSON, J3)")),
        (id("ABEiM0RVZneImaq7zN3u/w=="), false, Agrees),
        (s(r#""aggregationTemporality":1"#), true, Agrees),
        (s(r#""aggregationTemporality":"AGGREGATION_TEMPORALITY_DELTA""#), false, Agrees),
        (s(r#""isMonotonic":1"#), false, Agrees),
        (h(r#""count":"3","bucketCounts":["1",2],"explicitBounds":[1]"#), true, Agrees),
        (h(r#""explicitBounds":["1.5"]"#), true, Refuses("ProtoJSON takes doubles as strings")),
        (h(r#""sum":null"#), true, Agrees),
        ("[]".into(), false, Takes("serde reads a struct from a list of its fields, too")),
        ("{} x".into(), false, Agrees),
        ("{\"resourceMetrics\":[{\"schemaUrl\":\"a\nb\"}]}".into(), false, Agrees),
    ];
    let (mut seen, mut wrong) = ([0; 3], Vec::new());
    for (text, ours, judge) in &table {
        let got = read(text);
        assert_eq!(got.is_ok(), *ours, "{text}: {got:?}");
        // `data` is a flattened Option there: a fault inside it leaves None, and nobody is told
        let is_lost = |request: &Request| {
            let scopes = request.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
            scopes.flat_map(|scope| &scope.metrics).any(|metric| metric.data.is_none())
        };
        let theirs = serde_json::from_str::<Request>(text).map_err(|error| error.to_string());
        let theirs = theirs.and_then(|request| if is_lost(&request) { Err("lost".into()) } else { Ok(request) });
        let same = match (&got, &theirs) {
            (Ok(got), Ok(theirs)) => format!("{got:?}") == format!("{theirs:?}"),
            (Err(_), Err(_)) => true,
            _ => false,
        };
        let (place, holds) = match judge {
            Agrees => (0, same),
            Refuses(_) => (1, theirs.is_err() && got.is_ok()),
            Takes(_) => (2, theirs.is_ok() && !same),
        };
        seen[place] += 1;
        if let Refuses(why) | Takes(why) = judge {
            println!("{text}: {why}");
        }
        if !holds {
            wrong.push(format!("{judge:?}: {text}\nours {got:?}\ntheirs {theirs:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    println!("{} odd inputs: agreed, refused, taken {seen:?}", table.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any bytes, and broken requests: a fault or a well-formed request, never a panic.
    #[test]
    fn hostile_texts(bytes: Vec<u8>, seed: u64, at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
        fuzz_json(&bytes);
        let mut text = Vec::new();
        write_json(&speakable(seed).encode_to_vec(), &mut text).unwrap();
        fuzz_json(&text);
        let at = at.index(text.len());
        text[at] = byte;
        fuzz_json(&text);
        text.truncate(cut.index(text.len()).max(1));
        fuzz_json(&text);
    }
}
