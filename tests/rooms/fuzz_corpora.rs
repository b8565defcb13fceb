//! The corpora of the fuzz targets, played by plain `cargo test`.
//!
//! `CATCHMENT_WRITE_CORPUS=1` writes the seeds again: recordings of SDKs (small ones) and random requests rewritten with
//! every liberty and broken; strings of index operations.

use crate::oracle;

use crate::requests::Chance;
use crate::requests::mess::{Liberties, Message, UNKNOWN};
use prost::Message as _;
use std::path::PathBuf;

fn folder(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target)
}

/// Plays every file; returns how many there were.
fn play(target: &str, body: impl Fn(&[u8])) -> usize {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder(target))
        .expect("the corpus is there")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    for file in &files {
        println!("{}", file.display());
        body(&std::fs::read(file).expect("a file"));
    }
    files.len()
}

#[test]
fn requests_of_the_corpus_mean_what_prost_reads() {
    write_seeds();
    let played = play("request", oracle::check::fuzz_request);
    assert!(played >= 40, "only {played} files");
}

#[test]
fn index_operations_of_the_corpus_match_a_map() {
    let played = play("index", catchment::series::index::fuzz::fuzz_ops);
    assert!(played >= 12, "only {played} files");
}

#[test]
fn json_of_the_corpus_reads_as_what_it_is_written_as() {
    let played = play("json", catchment::otlp::json_in::fuzz_json);
    assert!(played >= 10, "only {played} files");
}

#[test]
fn settings_of_the_corpus_are_read_written_and_read_again() {
    let played = play("settings", catchment::config::tree::fuzz_tree);
    assert!(played >= 20, "only {played} files");
}

#[test]
fn documents_of_the_corpus_are_read_printed_and_read_again() {
    let played = play("document", catchment::config::fuzz_document);
    assert!(played >= 6, "only {played} files");
}

#[test]
fn selectors_of_the_corpus_mean_what_each_pattern_does() {
    let played = play("selectors", catchment::rules::fuzz_selectors);
    assert!(played >= 10, "only {played} files");
}

#[test]
fn damaged_logs_of_the_corpus_are_recovered() {
    let played = play("recovery", catchment::buffer::fuzz_recovery);
    assert!(played >= 10, "only {played} files");
}

fn write_seeds() {
    if std::env::var_os("CATCHMENT_WRITE_CORPUS").is_none() {
        return;
    }
    let write = |target: &str, name: String, bytes: &[u8]| {
        std::fs::write(folder(target).join(name), bytes).expect("the corpus can be written");
    };
    let corpus = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    for sdk in ["go", "js", "python"] {
        for temporality in ["cumulative", "delta"] {
            let bytes = std::fs::read(corpus.join(format!("{sdk}-{temporality}-grpc-02.bin"))).expect("a recording");
            write("request", format!("sdk-{sdk}-{temporality}"), &bytes);
        }
    }
    for seed in 0..12 {
        let mut chance = Chance(seed);
        let plain = chance.request().encode_to_vec();
        write("request", format!("plain-{seed:02}"), &plain);
        let mut messy = chance.mess(Message::Request, &plain, &Liberties::ALL);
        write("request", format!("messy-{seed:02}"), &messy);
        chance.mutate(&mut messy);
        write("request", format!("broken-{seed:02}"), &messy);
        let operations: Vec<u8> = (0..300).map(|i| if i % 3 == 2 { 0 } else { chance.next() as u8 }).collect();
        write("index", format!("mode-{}-{seed:02}", seed % 4), &[&[seed as u8][..], &operations].concat());
    }
    for (i, unknown) in UNKNOWN.iter().enumerate() {
        write("request", format!("unknown-{i}"), unknown);
    }
    write("request", "empty".into(), b"");
}
