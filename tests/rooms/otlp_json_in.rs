//! The OTLP/JSON reader: what it makes of a text is what the official messages hold. J1 to J10, T11; R20 for merging.

use crate::otlp_json_support::judge::{differ, expected, respell};
use crate::otlp_json_support::random::Chance;
use catchment::otlp::json_in::{JsonFault, JsonFaultKind as K, read_json};
use catchment::otlp::json_out::write_json;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use proptest::prelude::*;
use prost::Message;
use serde_json::{Value, json};
use std::io::Read as _;

const LIMIT: usize = 64 << 20;

fn read(text: &[u8]) -> Result<Vec<u8>, JsonFault> {
    let mut out = Vec::new();
    read_json(text, &mut out, LIMIT, |_| true).map(|()| out)
}

/// What the reader made, as the judge of the writer prints it.
fn judged(text: &[u8]) -> Result<Value, JsonFault> {
    read(text).map(|bytes| expected(&ExportMetricsServiceRequest::decode(&bytes[..]).expect("a well-formed request")))
}

fn text_of(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    write_json(bytes, &mut text).expect("a request");
    text
}

/// A random message whose ids have the lengths that JSON can write (J3).
fn random_request(seed: u64) -> Vec<u8> {
    let mut text: Value = serde_json::from_slice(&text_of(&Chance(seed).request().encode_to_vec())).expect("JSON");
    resize_ids(&mut text);
    read(text.to_string().as_bytes()).unwrap_or_else(|fault| panic!("{fault}: {text}"))
}

fn resize_ids(value: &mut Value) {
    match value {
        Value::Object(map) => map.iter_mut().for_each(|(key, value)| match (key.as_str(), value) {
            ("traceId", Value::String(id)) => *id = format!("{id:0<32}"),
            ("spanId", Value::String(id)) => *id = format!("{id:0<16}"),
            (_, value) => resize_ids(value),
        }),
        Value::Array(items) => items.iter_mut().for_each(resize_ids),
        _ => {}
    }
}

/// Proto to JSON to proto: the same message, and the same text from it again.
fn round_trip(bytes: &[u8]) {
    let text = text_of(bytes);
    let back = read(&text).unwrap_or_else(|fault| panic!("{fault}: {}", String::from_utf8_lossy(&text)));
    let decoded = |bytes: &[u8]| ExportMetricsServiceRequest::decode(bytes).expect("a request");
    assert_eq!(expected(&decoded(&back)), expected(&decoded(bytes)));
    // but for the value of a number point, which is moved before its exemplars, the text is the same
    let (again, value) = (text_of(&back), |text: &[u8]| serde_json::from_slice::<Value>(text).expect("JSON"));
    assert!(value(&again) == value(&text), "{}", String::from_utf8_lossy(&text));
    assert!(read(&again).as_ref() == Ok(&back), "and gives the same bytes");
    assert_eq!(read(&text).as_ref(), Ok(&back), "same text, same bytes");
}

/// J1 to J7, R20: every recorded protobuf request.
#[test]
fn recorded_requests_round_trip() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus");
    let (mut seen, mut texts) = (0, 0);
    for entry in std::fs::read_dir(folder).expect("the corpus is there") {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "bin") {
            continue;
        }
        let sidecar: Value = serde_json::from_slice(&std::fs::read(path.with_extension("json")).unwrap()).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        if sidecar["content_encoding"] == "gzip" {
            let packed = std::mem::take(&mut bytes);
            flate2::read::GzDecoder::new(packed.as_slice()).read_to_end(&mut bytes).unwrap();
        }
        if path.to_string_lossy().contains("http-json") {
            // as an SDK writes it: what it means is what the official library read
            let difference = differ(&judged(&bytes).unwrap(), &respell(&sidecar["message"], ""), "");
            assert_eq!(difference, None, "{}", path.display());
            texts += 1;
        } else {
            round_trip(&bytes);
            seen += 1;
        }
    }
    println!("{seen} recorded protobuf requests, {texts} recorded JSON requests");
    assert!(seen >= 48 && texts >= 8, "only {seen} and {texts} recorded requests");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000 / 16, failure_persistence: None, ..ProptestConfig::default() })]

    /// J10: random messages. `CATCHMENT_FULL=1` in release runs a million of them (`j10_in_full`).
    #[test]
    fn j10_random_requests_round_trip(seed: u64) {
        round_trip(&random_request(seed));
    }

    /// Whatever the bytes: no panic, and what is accepted is a request whose text reads as the same bytes.
    #[test]
    fn any_change_of_a_text_is_refused_or_well_formed(seed: u64, at: prop::sample::Index, with: u8, cut: bool) {
        let mut text = text_of(&random_request(seed));
        let at = at.index(text.len());
        if cut { text.truncate(at) } else { text[at] = with }
        if let Ok(bytes) = read(&text) {
            prop_assert!(ExportMetricsServiceRequest::decode(&bytes[..]).is_ok());
            let again = text_of(&bytes);
            prop_assert_eq!(judged(&again).unwrap(), judged(&text).unwrap());
        }
    }
}

/// J10 in full: a million random messages, by hand in release with CATCHMENT_FULL=1; a hundredth else.
#[test]
fn j10_in_full() {
    let n = if std::env::var_os("CATCHMENT_FULL").is_some() { 1_000_000 } else { 10_000 / 10 };
    (0..n).for_each(|seed| round_trip(&random_request(seed)));
    println!("{n} random messages");
}

/// A request with one number point that has these fields.
fn point(fields: &str) -> Vec<u8> {
    format!(r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"name":"m","gauge":{{"dataPoints":[{{{fields}}}]}}}}]}}]}}]}}"#)
        .into_bytes()
}

fn point_of(fields: &str) -> Result<Value, JsonFault> {
    judged(&point(fields))
        .map(|value| value["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["gauge"]["dataPoints"][0].clone())
}

fn kind(result: Result<Value, JsonFault>, of: &str) -> K {
    match result {
        Err(fault) => fault.kind,
        other => panic!("{of} gives {other:?}"),
    }
}

#[test]
fn odd_but_right() {
    let long = format!("\"asInt\":{}e-30", "9".to_owned() + &"0".repeat(30));
    let table: &[(&str, Value)] = &[
        // J2: unknown keys at every level, of every kind; J1: snake_case is unknown
        (r#""time_unix_nano":"5","x":{"y":[1,{"z":null}],"w":"}"},"timeUnixNano":"7""#, json!({"timeUnixNano": "7"})),
        (r#""x":[],"y":{},"z":[[[]]],"t":true,"f":false,"n":null,"d":-1.5e-7"#, json!({})),
        // J5, J6: integers as numbers and strings, with exponents and fractions of zeros
        (r#""timeUnixNano":7,"asInt":"-3""#, json!({"timeUnixNano": "7", "asInt": "-3"})),
        (r#""timeUnixNano":1e3,"asInt":12.50e1"#, json!({"timeUnixNano": "1000", "asInt": "125"})),
        (r#""asInt":"1.0""#, json!({"asInt": "1"})),
        (r#""asInt":-9223372036854775808"#, json!({"asInt": "-9223372036854775808"})),
        (r#""timeUnixNano":18446744073709551615"#, json!({"timeUnixNano": "18446744073709551615"})),
        (r#""asInt":0e99999999999999999999"#, json!({"asInt": "0"})),
        (&long, json!({"asInt": "9"})),
        (r#""flags":"1""#, json!({"flags": 1})),
        (r#""asInt":"1\u0030""#, json!({"asInt": "10"})),
        // J7: doubles
        (r#""asDouble":"NaN""#, json!({"asDouble": "NaN"})),
        (r#""asDouble":"-Infinity""#, json!({"asDouble": "-Infinity"})),
        (r#""asDouble":"1.5e2""#, json!({"asDouble": 150.0})),
        (r#""asDouble":3"#, json!({"asDouble": 3.0})),
        // J8: null is the default; the last scalar and the last member of a oneof win, lists are concatenated
        (r#""asInt":null,"flags":null,"attributes":null"#, json!({})),
        (r#""flags":1,"flags":0"#, json!({})),
        (r#""asInt":1,"asDouble":2.5"#, json!({"asDouble": 2.5})),
        (
            r#""attributes":[{"key":"a"}],"attributes":[{"key":"b"}]"#,
            json!({"attributes": [{"key": "a"}, {"key": "b"}]}),
        ),
        // strings: escapes, pairs of surrogates, keys with escapes
        (
            r#""attr\u0069butes":[{"key":"\u00e9\n\"\\\/\ud83d\ude00é","value":{"stringValue":""}}]"#,
            json!({"attributes": [{"key": "é\n\"\\/😀é", "value": {"stringValue": ""}}]}),
        ),
        // J3: base64 of either alphabet, padded or not; ids in either case
        (
            r#""attributes":[{"key":"b","value":{"bytesValue":"-_8"}},{"key":"c","value":{"bytesValue":"+/8="}}]"#,
            json!({"attributes": [{"key": "b", "value": {"bytesValue": "+/8="}}, {"key": "c", "value": {"bytesValue": "+/8="}}]}),
        ),
        (
            r#""exemplars":[{"traceId":"0AF7651916cd43dd8448eb211c80319c","spanId":"00F067AA0BA902B7","asInt":"1"}]"#,
            json!({"exemplars": [{"traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "00f067aa0ba902b7", "asInt": "1"}]}),
        ),
        (" \"flags\" :\t1 \r\n", json!({"flags": 1})),
    ];
    for (fields, expected) in table {
        assert_eq!(point_of(fields).as_ref(), Ok(expected), "{fields}");
    }
    for empty in ["{}", " {\n} ", r#"{"resourceMetrics":[]}"#, r#"{"resourceMetrics":null}"#] {
        assert_eq!(read(empty.as_bytes()), Ok(Vec::new()), "R5: {empty}");
    }
}

#[test]
fn refused_by_kind() {
    let table: &[(&str, K)] = &[
        // J6
        (r#""asInt":1.5"#, K::NotWhole),
        (r#""asInt":1e-1"#, K::NotWhole),
        (r#""asInt":9223372036854775808"#, K::OutOfRange),
        (r#""timeUnixNano":18446744073709551616"#, K::OutOfRange),
        (r#""timeUnixNano":-1"#, K::OutOfRange),
        (r#""timeUnixNano":1e20"#, K::OutOfRange),
        (r#""flags":4294967296"#, K::OutOfRange),
        (r#""asInt":"""#, K::Kind("an integer")),
        (r#""asInt":" 1""#, K::Kind("an integer")),
        (r#""asInt":+1"#, K::Kind("an integer")),
        (r#""asInt":01"#, K::Syntax("a comma or the end of the value is expected")),
        (r#""asInt":0x10"#, K::Syntax("a comma or the end of the value is expected")),
        (r#""asInt":true"#, K::Kind("an integer")),
        (r#""asInt":"1\u0020""#, K::Kind("an integer")),
        // J7
        (r#""asDouble":NaN"#, K::Kind("a number")),
        (r#""asDouble":"nan""#, K::Kind("a number")),
        (r#""asDouble":1e999"#, K::OutOfRange),
        (r#""asDouble":1."#, K::Syntax("a number is expected")),
        (r#""asDouble":.5"#, K::Kind("a number")),
        // J3
        (r#""exemplars":[{"traceId":"CvdlGRbNQ92ESOshHIAxnA=="}]"#, K::NotHex(16)),
        (r#""exemplars":[{"spanId":"00f067aa0ba902bz"}]"#, K::NotHex(8)),
        (r#""attributes":[{"value":{"bytesValue":"a"}}]"#, K::NotBase64),
        (r#""attributes":[{"value":{"bytesValue":"aa==a"}}]"#, K::NotBase64),
        // J9: strings
        (r#""attributes":[{"key":"\ud800"}]"#, K::LoneSurrogate),
        (r#""attributes":[{"key":"\udc00\ud800"}]"#, K::LoneSurrogate),
        (r#""attributes":[{"key":"\ud800\u0041"}]"#, K::LoneSurrogate),
        // and in what nobody knows, keys too
        (r#""x":"\ud800""#, K::LoneSurrogate),
        (r#""x":{"\udc00":1}"#, K::LoneSurrogate),
        (r#""x":[{"a":1,"\q":2}]"#, K::BadEscape),
        (r#""\ud800":1"#, K::LoneSurrogate),
        (r#""attributes":[{"key":"\x"}]"#, K::BadEscape),
        (r#""attributes":[{"key":"\u12g4"}]"#, K::BadEscape),
        ("\"attributes\":[{\"key\":\"a\tb\"}]", K::Control),
        // kinds and grammar
        (r#""attributes":{}"#, K::Kind("a list")),
        (r#""attributes":[1]"#, K::Kind("an object")),
        (r#""attributes":[null]"#, K::Kind("an object")),
        (r#""attributes":[{},]"#, K::Kind("an object")),
        (r#""flags":1,"#, K::Syntax("a key in quotes is expected")),
        (r#""flags" 1"#, K::Syntax("a colon is expected")),
        (r#""flags":1 "asInt":1"#, K::Syntax("a comma or the end of the value is expected")),
        (r#""flags":nul"#, K::Kind("an integer")),
        (r#""x":01"#, K::Syntax("a comma or the end of the value is expected")),
        (r#""x":[1 2]"#, K::Syntax("a comma or the end of the value is expected")),
        (r#""x":{"a"}"#, K::Syntax("a colon is expected")),
        (r#""x":{1:2}"#, K::Syntax("a key in quotes is expected")),
        (r#"flags:1"#, K::Syntax("a key in quotes is expected")),
    ];
    for (fields, what) in table {
        assert_eq!(kind(point_of(fields), fields), *what, "{fields}");
    }
    let sum = |temporality: &str| {
        format!(
            r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"sum":{{"aggregationTemporality":{temporality}}}}}]}}]}}]}}"#
        )
    };
    assert!(read(sum("2").as_bytes()).is_ok());
    for name in [r#""AGGREGATION_TEMPORALITY_DELTA""#, r#""1""#] {
        let what = kind(judged(sum(name).as_bytes()), name);
        assert_eq!(what, K::Kind("the integer of the enum, not its name,"), "J4");
    }
    for (text, what) in [
        ("", K::Ended),
        ("[]", K::Syntax("an object is expected")),
        ("{} {}", K::Syntax("nothing may follow the request")),
        ("\u{feff}{}", K::Syntax("an object is expected")),
    ] {
        assert_eq!(kind(judged(text.as_bytes()), text), what, "{text}");
    }
    assert_eq!(kind(judged(b"{\"a\":\"\xff\"}"), "bytes"), K::NotUtf8, "J9");
}

/// The fault says where, and in which field.
#[test]
fn faults_name_field_and_byte() {
    let text = point(r#""timeUnixNano":"soon""#);
    let at = text.windows(4).position(|window| window == b"soon").unwrap();
    match read(&text) {
        Err(JsonFault { field: "timeUnixNano", at: offset, .. }) => assert!((at..at + 8).contains(&offset)),
        other => panic!("{other:?}"),
    }
}

/// J9, T11: nesting and digits without end are refused at once, and no stack is used for what is skipped.
#[test]
fn bombs_are_refused_in_no_time() {
    let nest = |n: usize| {
        let open = r#"{"arrayValue":{"values":["#.repeat(n);
        let close = "]}}".repeat(n);
        point(&format!(r#""attributes":[{{"key":"k","value":{open}{close}}}]"#))
    };
    assert!(read(&nest(20)).is_ok());
    assert_eq!(kind(judged(&nest(40)), "nest"), K::TooDeep);
    let begun = std::time::Instant::now();
    for text in [
        nest(100_000),
        b"[".repeat(1_000_000),
        [br#"{"x":"#.to_vec(), b"[".repeat(1_000_000)].concat(),
        [br#"{"x":"#.to_vec(), br#"{"a":"#.repeat(1_000_000)].concat(),
        point(&format!("\"asInt\":{}", "1".repeat(1_000_000))),
        point(&format!("\"asDouble\":{}x", "1".repeat(1_000_000))),
        point(&format!("\"attributes\":[{{\"key\":\"{}", "a".repeat(1_000_000))),
    ] {
        assert!(read(&text).is_err());
    }
    // 50 ms each in release; a test's build is slower
    assert!(begun.elapsed().as_millis() < 2_000, "{:?}", begun.elapsed());
    let depth = |n: usize| [br#"{"x":"#.to_vec(), b"[".repeat(n), b"]".repeat(n), b"}".to_vec()].concat();
    assert!(read(&depth(64)).is_ok());
    assert_eq!(kind(judged(&depth(65)), "depth"), K::TooDeep);
}

/// What grows while it is read stops at the limit and at what is granted, before it is there.
#[test]
fn growth_is_bounded() {
    let counts = "0,".repeat(1_000_000);
    let text = format!(
        r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"histogram":{{"dataPoints":[{{"bucketCounts":[{counts}0]}}]}}}}]}}]}}]}}"#
    );
    let size = read(text.as_bytes()).unwrap().len();
    assert!(size > 8_000_000);
    let mut out = Vec::new();
    assert_eq!(read_json(text.as_bytes(), &mut out, 1_000_000, |_| true).map_err(|fault| fault.kind), Err(K::TooLarge));
    assert!(out.len() <= 1_000_000 && out.capacity() < 2_200_000, "{} of {}", out.len(), out.capacity());
    let (mut out, mut granted) = (Vec::new(), 0);
    let grow = |bytes| {
        granted += bytes;
        granted <= 500_000
    };
    assert_eq!(read_json(text.as_bytes(), &mut out, LIMIT, grow).map_err(|fault| fault.kind), Err(K::NoBudget));
    assert!(out.capacity() <= 500_000);
}
