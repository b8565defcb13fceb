//! The requests that real SDKs sent, and what the official library read in them (`tests/corpus`).
// each test binary uses some of it
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

pub struct Recorded {
    /// Which SDK over which protocol, and which export of its run.
    pub name: String,
    /// Inflated: protobuf, or OTLP/JSON if `is_json`.
    pub body: Vec<u8>,
    pub is_json: bool,
    /// Points, as the official library counts them.
    pub points: u64,
    /// The message, as the official library prints it.
    pub message: serde_json::Value,
}

/// All of them, by name.
pub fn recorded() -> Vec<Recorded> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let entries = std::fs::read_dir(&folder).expect("the corpus is there");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"));
    let mut names: Vec<String> = names.filter_map(|name| name.strip_suffix(".bin").map(String::from)).collect();
    names.sort();
    assert!(names.len() >= 56, "only {} recorded requests", names.len());
    let read = |name: String| {
        let sidecar = std::fs::read(folder.join(format!("{name}.json"))).expect("a sidecar");
        let mut sidecar: serde_json::Value = serde_json::from_slice(&sidecar).expect("JSON");
        let mut body = std::fs::read(folder.join(format!("{name}.bin"))).expect("a body");
        if sidecar["content_encoding"] == "gzip" {
            let packed = std::mem::take(&mut body);
            flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut body).expect("gzip");
        }
        Recorded {
            is_json: name.contains("http-json"),
            body,
            points: sidecar["points"].as_u64().expect("a count"),
            message: sidecar["message"].take(),
            name,
        }
    };
    names.into_iter().map(read).collect()
}

/// The exports of each SDK's run, in their order.
pub fn runs<T>(recorded: impl IntoIterator<Item = (String, T)>) -> BTreeMap<String, Vec<T>> {
    let mut runs: BTreeMap<String, Vec<T>> = BTreeMap::new();
    for (name, export) in recorded {
        let (run, _) = name.rsplit_once('-').expect("a number");
        runs.entry(run.into()).or_default().push(export);
    }
    runs
}
