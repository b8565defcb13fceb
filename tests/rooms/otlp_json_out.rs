//! The OTLP/JSON writer against two judges: the official messages (prost) and, for recorded requests, what the official
//! protobuf library printed. J1, J3, J4, J5, J7; R19, R20 for the bytes it reads.

use std::io::Read as _;

use crate::otlp_json_support::judge::{differ, expected, respell};
use crate::otlp_json_support::random::{Chance, field};
use catchment::otlp::json_out::{JsonWriteFault, write_json};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::{NumberDataPoint, number_data_point};
use proptest::prelude::*;
use prost::Message;
use serde_json::Value;

fn check(bytes: &[u8]) -> Result<String, TestCaseError> {
    let decoded = ExportMetricsServiceRequest::decode(bytes).expect("the judge reads it");
    let mut out = b"before".to_vec();
    write_json(bytes, &mut out).map_err(|error| TestCaseError::fail(error.to_string()))?;
    let text = String::from_utf8(out[6..].to_vec()).expect("JSON is UTF-8");
    let parsed: Value = serde_json::from_str(&text).map_err(|error| TestCaseError::fail(format!("{error}: {text}")))?;
    if let Some(difference) = differ(&parsed, &expected(&decoded), "") {
        return Err(TestCaseError::fail(difference));
    }
    prop_assert!(!text.contains('\n'));
    Ok(text)
}

// ---- recorded requests ----

/// J1, J3, J4, J5, J7: every recorded protobuf request, against both judges.
#[test]
fn recorded_requests() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).expect("the corpus is there") {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "bin") || path.to_string_lossy().contains("http-json") {
            continue;
        }
        let sidecar: Value = serde_json::from_slice(&std::fs::read(path.with_extension("json")).unwrap()).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        if sidecar["content_encoding"] == "gzip" {
            let packed = std::mem::take(&mut bytes);
            flate2::read::GzDecoder::new(packed.as_slice()).read_to_end(&mut bytes).unwrap();
        }
        let text = check(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let parsed: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(parsed, respell(&sidecar["message"], ""), "{}", path.display());
        seen += 1;
    }
    assert!(seen >= 48, "only {seen} recorded requests");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    /// J1, J3, J4, J5, J7: random messages.
    #[test]
    fn random_requests(seed: u64) {
        check(&Chance(seed).request().encode_to_vec())?;
    }

    /// R19, R20: records in any order, split, repeated and unknown: the text is that of the merged message.
    #[test]
    fn disordered_requests(seed: u64) {
        check(&Chance(seed).messy_request())?;
    }

    /// Hostile bytes: a fault or JSON, never a panic; on a fault the text is as it was.
    #[test]
    fn broken_requests(seed: u64, at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
        let mut bytes = Chance(seed).request().encode_to_vec();
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            bytes.truncate(cut.index(bytes.len() * 2).max(1));
        }
        let mut out = b"x".to_vec();
        match write_json(&bytes, &mut out) {
            Ok(()) => prop_assert!(serde_json::from_slice::<Value>(&out[1..]).is_ok()),
            Err(_) => prop_assert_eq!(out, b"x"),
        }
    }

    /// J7: the digits written read back as the same double.
    #[test]
    fn doubles_read_back(bits: u64) {
        let number = f64::from_bits(bits);
        let point = NumberDataPoint { value: Some(number_data_point::Value::AsDouble(number)), ..NumberDataPoint::default() };
        let request = field(1, &field(2, &field(2, &field(5, &field(1, &point.encode_to_vec())))));
        let mut out = Vec::new();
        write_json(&request, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let digits = text.split("\"asDouble\":").nth(1).unwrap().split('}').next().unwrap().trim_matches('"');
        let read: f64 = digits.parse().unwrap();
        prop_assert!(read.to_bits() == bits || (read.is_nan() && number.is_nan()), "{}", text);
    }
}

/// Depth: 64 is a limit, met with an error and in linear time, in either way through a message.
#[test]
fn deep_values_end_in_an_error() {
    for disorder in [&b""[..], b"\x0a\x01x"] {
        for (levels, fits) in [(20, true), (5_000, false)] {
            let mut value = b"\x0a\x01v".to_vec();
            for _ in 0..levels {
                value =
                    [disorder, &field(5, &field(1, &value)), if disorder.is_empty() { b"" } else { b"\xa0\x06\x01" }]
                        .concat();
            }
            let pair = field(2, &value);
            let request = field(1, &field(1, &field(1, &pair)));
            let mut out = Vec::new();
            match write_json(&request, &mut out) {
                Ok(()) => assert!(fits),
                Err(error) => assert!(!fits && error.fault == JsonWriteFault::TooDeep && out.is_empty(), "{error}"),
            }
        }
    }
}

/// What is not a request says what is wrong and where.
#[test]
fn faults_are_named() {
    for (bytes, fault, message) in [
        (&b"\x0a\x05ab"[..], JsonWriteFault::Truncated, "ExportMetricsServiceRequest"),
        (b"\x0a", JsonWriteFault::Truncated, "ExportMetricsServiceRequest"),
        (
            b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            JsonWriteFault::LongVarint,
            "ExportMetricsServiceRequest",
        ),
        (b"\x00\x00", JsonWriteFault::BadTag, "ExportMetricsServiceRequest"),
        (b"\x0c", JsonWriteFault::BadTag, "ExportMetricsServiceRequest"),
        (b"\x08\x01", JsonWriteFault::WrongWireType, "ExportMetricsServiceRequest"),
        (b"\x0a\x03\x1a\x01\xff", JsonWriteFault::NotUtf8, "ResourceMetrics"),
        (b"\xa3\x06\x08\x01", JsonWriteFault::Truncated, "ExportMetricsServiceRequest"),
    ] {
        let mut out = Vec::new();
        let error = write_json(bytes, &mut out).unwrap_err();
        assert_eq!((error.fault, error.message, out.len()), (fault, message, 0), "{bytes:?}");
    }
    let mut out = Vec::new();
    write_json(b"", &mut out).unwrap();
    assert_eq!(out, b"{}");
}
