//! What came of cases: for people, with what was expected and what left side by side; for programs, as JSON.
//!
//! Does not know: what a case is, or where the words go.

use crate::trial::judge::{Difference, Verdict};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// A line for each case, and of those that failed a table.
pub fn text(verdicts: &[Verdict]) -> String {
    let mut out = String::new();
    for Verdict { name, file, at, differences } in verdicts {
        if differences.is_empty() {
            let _ = writeln!(out, "ok    {name}");
            continue;
        }
        let _ = writeln!(out, "FAIL  {name}\n      {file}:{}", at.line);
        let rows: Vec<[String; 4]> = differences.iter().map(|difference| row(file, difference)).collect();
        let head = ["where", "what", "expected", "got"].map(str::to_owned);
        let width = |of: usize| rows.iter().chain([&head]).map(|row| row[of].chars().count()).max().unwrap_or(0);
        let widths = [width(0), width(1), width(2)];
        for [place, what, expected, got] in [&head].into_iter().chain(&rows) {
            let [first, second, third] = widths;
            let _ = writeln!(out, "      {place:first$}  {what:second$}  {expected:third$}  {got}");
        }
    }
    let failed = failures(verdicts);
    let _ = writeln!(out, "{} passed, {failed} failed", verdicts.len() - failed);
    out
}

fn row(file: &str, Difference { at, place, what, expected, got }: &Difference) -> [String; 4] {
    [format!("{file}:{} {place}", at.line), what.clone(), expected.clone(), got.clone()]
}

/// The same for programs.
pub fn json(verdicts: &[Verdict]) -> String {
    let of = |verdict: &Verdict| {
        let of = |Difference { at, place, what, expected, got }: &Difference| json!({"line": at.line, "where": place, "what": what, "expected": expected, "got": got});
        let differences: Vec<Value> = verdict.differences.iter().map(of).collect();
        let passed = differences.is_empty();
        json!({
            "file": &*verdict.file, "line": verdict.at.line, "name": verdict.name, "passed": passed,
            "differences": differences,
        })
    };
    let failed = failures(verdicts);
    let tests: Vec<Value> = verdicts.iter().map(of).collect();
    format!("{:#}\n", json!({"passed": verdicts.len() - failed, "failed": failed, "tests": tests}))
}

fn failures(verdicts: &[Verdict]) -> usize {
    verdicts.iter().filter(|verdict| !verdict.differences.is_empty()).count()
}
