//! `catchment rules test`, as an operator runs it: the worked examples under `tests/rules` pass, what is wrong is told with
//! its place, and what differs stands side by side.

use crate::binary::process::{Ended, Folder, command, output};
use std::collections::BTreeSet;

/// Examples in `tests/rules`. Those called vectors are the ones of the rules' specification, with its numbers.
const EXAMPLES: usize = 60;

/// Files and examples that do not pass yet, and what they wait for. The list only gets smaller: one that passes must be taken
/// out.
const NOT_YET: &[(&str, &str)] = &[];

fn test(words: &[&str]) -> Ended {
    output(command(&[&["rules", "test"], words].concat()))
}

fn test_text(text: &str, words: &[&str]) -> Ended {
    let folder = Folder::new();
    let path = folder.path("rules.yaml");
    std::fs::write(&path, text).unwrap();
    test(&[&[path.to_str().unwrap()], words].concat())
}

#[test]
fn the_worked_examples_pass() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/rules");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let (mut ran, mut failed, mut words) = (0, BTreeSet::new(), String::new());
    for path in &files {
        let ended = test(&[path.to_str().unwrap(), "--format", "json"]);
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let Ok(told) = serde_json::from_str::<serde_json::Value>(&ended.stdout) else {
            // it is refused
            assert_eq!(ended.code(), 2, "{ended:?}");
            failed.insert(name);
            words += &ended.stderr;
            continue;
        };
        let tests = told["tests"].as_array().unwrap();
        ran += tests.len();
        let wrong = tests.iter().filter(|test| test["passed"] == false);
        let before = failed.len();
        failed.extend(wrong.map(|test| test["name"].as_str().unwrap().to_owned()));
        if failed.len() > before {
            words += &test(&[path.to_str().unwrap()]).stdout;
        }
        assert_eq!(ended.code(), i32::from(failed.len() > before), "{ended:?}");
    }
    let waiting: BTreeSet<String> = NOT_YET.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(failed, waiting, "those that fail, and those that may\n{words}");
    assert_eq!(ran, EXAMPLES, "examples that ran");
}

/// A file that fails tells where, what was expected and what left; a program reads the same.
#[test]
fn what_differs_stands_side_by_side() {
    let text = "\
tests:
  - name: right
    inputs: [{series: 'd{}', temporality: delta, points: 1@1}]
    expect: [{series: 'd{}', values: 1@10}]
  - name: wrong
    inputs:
      - {series: 'd{}', temporality: delta, points: 1@1 2@11}
      - {series: 'other{pod=a} @ service.name=cart', kind: gauge, points: 7.5@12}
    expect:
      - series: d{}
        values: 1@10 4@20<0
      - {series: 'gone{}', values: [end@20, {cut: 20, count: 3, counts: [1, 2]}]}
    counters: {resets: 1}
";
    let ended = test_text(text, &[]);
    assert_eq!((ended.code(), &*ended.stderr), (1, ""), "{ended:?}");
    let lines: Vec<Vec<String>> = ended
        .stdout
        .lines()
        .map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect())
        .collect();
    let path = lines[2][0].strip_suffix(":5").unwrap_or_else(|| panic!("{ended:?}"));
    let want: Vec<Vec<String>> = [
        vec!["ok", "right"],
        vec!["FAIL", "wrong"],
        vec!["PATH:5"],
        vec!["where", "what", "expected", "got"],
        vec!["PATH:11 cut 20, cumulative", "d{}", "4 from 0", "3 from 0"],
        vec!["PATH:12 cut 20, cumulative", "gone{}", "its end", "nothing"],
        vec!["PATH:12 cut 20, cumulative", "gone{}", "count 3 counts [1, 2]", "nothing"],
        vec!["PATH:5 cut 20, cumulative", "other{pod=a} @ service.name=cart", "nothing", "7.5 from nowhere"],
        vec!["PATH:13 counters", "resets", "1", "0"],
        vec!["1 passed, 1 failed"],
    ]
    .iter()
    .map(|line| line.iter().map(|cell| cell.replace("PATH", path)).collect())
    .collect();
    assert_eq!(lines, want, "{}", ended.stdout);

    let ended = test_text(text, &["--format", "json"]);
    let told: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((ended.code(), &told["passed"], &told["failed"]), (1, &1.into(), &1.into()));
    let first = &told["tests"][1]["differences"][0];
    assert_eq!(
        (&first["line"], &first["expected"], &first["got"]),
        (&11.into(), &"4 from 0".into(), &"3 from 0".into())
    );
}

/// A point that is rejected, and a series that nobody spoke of, are failures unless the test says that they may be.
#[test]
fn what_a_test_does_not_speak_of_must_not_be() {
    let check = |inputs: &str, rest: &str, code: i32| {
        let text = format!("tests: [{{name: t, inputs: [{inputs}], {rest}}}]\n");
        let ended = test_text(&text, &[]);
        assert_eq!(ended.code(), code, "{text}{ended:?}");
    };
    let far = "{series: 'g{}', kind: gauge, points: 1@1 2@9000/2}";
    check(far, "expect: [{series: 'g{}', values: 1@10}]", 1);
    check(far, "expect: [{series: 'g{}', values: 1@10}], counters: {rejected: 1}", 0);
    check(far, "counters: {rejected: 1}", 1);
    check(far, "counters: {rejected: 1}, others: ignore", 0);
    let delta = "{series: 'd{}', temporality: delta, points: 1@1}";
    check(delta, "expect: [{series: 'd{}', view: delta, values: 1@10}]", 0);
    check(delta, "expect: [{series: 'd{}', view: delta, values: 1@10 1@20}]", 1);
    check(delta, "expect: [{series: 'd{}', values: 1@11}]", 1);
    check(delta, "expect: [{series: 'd{}', values: 1.0@10}]", 1);
    check(delta, "expect: [{series: 'd{}', values: ~1.0@10, unit: s}]", 1);
    check(delta, "expect: [{series: 'd{}', values: ~1.0@10, kind: counter, unit: ''}]", 0);
    check("{series: 'g{}', kind: gauge, points: 1.25@1}", "expect: [{series: 'g{}', values: ~1.3@10}]", 0);
    check("{series: 'g{}', kind: gauge, points: 1.26@1}", "expect: [{series: 'g{}', values: ~1.2@10}]", 1);
    check("{series: 'g{}', kind: gauge, points: 3.0@1}", "expect: [{series: 'g{}', values: 3@10}]", 0);
    // a part that a summary has not is a difference, and so is one of a kind of histogram that it is not
    let summary = "{series: 's{}', kind: summary, points: [{at: 1, count: 3, sum: 6, quantiles: {0.5: 2}}]}";
    check(summary, "expect: [{series: 's{}', values: {cut: 10, count: 3, sum: 6, quantiles: {0.5: 2}}}]", 0);
    check(summary, "expect: [{series: 's{}', values: {cut: 10, count: 3, counts: [1, 2]}}]", 1);
    check(summary, "expect: [{series: 's{}', values: {cut: 10, count: 3, min: 1}}]", 1);
    let histogram =
        "{series: 'h{}', kind: histogram, temporality: delta, bounds: [1], points: [{at: 1, counts: [1, 2]}]}";
    check(histogram, "expect: [{series: 'h{}', values: {cut: 10, counts: [1, 2]}}]", 0);
    check(histogram, "expect: [{series: 'h{}', values: {cut: 10, counts: [1, 2], scale: 0}}]", 1);
    // what comes in at the time of a cut is in the next one
    check("{series: 'd{}', temporality: delta, points: 1@10}", "expect: [{series: 'd{}', values: 1@20}]", 0);
    check("{series: 'd{}', temporality: delta, points: 1@10}", "cuts: [10], others: ignore", 1);
}

/// All problems of all files, each with its place; nothing is run.
#[test]
fn all_that_is_wrong_with_a_file_is_told_at_once() {
    let text = "\
tests:
  - nam: x
    config: {intervall: 10s}
    inputs:
      - {series: 'a{', points: 1@1}
      - {series: a, kind: counte, points: 1@1}
      - {series: a, points: [1@1, {at: 1}]}
      - {series: a, core: 3, points: 1@x}
      - {series: a, kind: histogram, points: 1@1}
      - {series: a, kind: summary, points: [{at: 1, count: 1, counts: [1]}]}
      - {series: a, kind: histogram, points: [{at: 1, counts: [1], quantiles: {0.5: 1}}]}
      - {series: a, kind: exponential_histogram, points: [{at: 1, counts: [1], bounds: []}]}
      - {series: a, kind: exponential_histogram, bounds: [1], points: [{at: 1, counts: [1]}]}
      - {series: a, kind: gauge, points: [{at: 1, value: 1, count: 1}]}
      - {series: a, kind: gauge, points: ['~1@1', {at: 1, value: ~1}]}
      - {series: a, kind: histogram, points: [{at: 1, counts: [1], max: ~1.5}]}
    expect:
      - {series: a, values: [1, 1@1/2, {value: ~1.5}]}
      - {series: a, values: [{cut: 10, start: 0}]}
    counters: {resetz: 1}
";
    let ended = test_text(text, &[]);
    assert_eq!((ended.code(), &*ended.stdout), (2, ""));
    let words: Vec<&str> = ended.stderr.lines().map(|line| line.split_once("rules.yaml:").unwrap().1).collect();
    for (line, want) in [
        "2:5: unknown key `nam`: did you mean `name`? there are name, config, ",
        "5:18: `a{` is no series: there is no `}`; write metric{key=value} @ key=value",
        "6:27: `counte` is none of counter, updowncounter, gauge, ",
        "7:35: nothing is said of the value: give `value`, `end: true`, ",
        "8:38: `x` is no time: give seconds, such as 10, 7.5 or -1000",
        "9:9: a point is no histogram: say the `kind`, ",
        "10:45: a point of kind summary has no `counts`",
        "11:47: a point of kind histogram has no `quantiles`",
        "12:59: a point of kind exponential_histogram has no `bounds`",
        "13:58: a point of kind exponential_histogram has no `bounds`",
        "14:43: `value` is a whole number or a double, and has no `count` beside it",
        "15:43: `~1` is no number: ",
        "16:47: `max` of a point that comes in has no `~`",
        "18:30: `1` is no point: write VALUE@TIME, ",
        "18:33: `1@1/2`: what leaves has no arrival: ",
        "18:40: a value that is expected has no `cut`",
        "19:30: nothing is said of the value: ",
        "20:16: unknown key `resetz`: did you mean `resets`? ",
        "2:5: a test has no `name`",
    ]
    .into_iter()
    .enumerate()
    {
        assert!(words.get(line).is_some_and(|got| got.starts_with(want)), "{want}\n{words:#?}");
    }
    assert_eq!(words.len(), 19, "{words:#?}");

    let ended = test_text("tests: [{name: x, config: {intervall: 10s}, expire: soon}]\n", &[]);
    assert!(
        ended.code() == 2 && ended.stderr.contains("rules.yaml:1:28: unknown key `intervall`: did you mean"),
        "{ended:?}"
    );
    let ended = test_text("tests: [{name: x, expire: soon}]\n", &[]);
    assert!(ended.code() == 2 && ended.stderr.contains("rules.yaml:1:19 expire 'soon' is no duration"), "{ended:?}");
    for (text, words) in [
        ("", "there are no tests: write `tests:`"),
        ("tests: []\n", "there are no tests"),
        ("tests: [\n", "this is not YAML"),
        ("tests: [{name: x, cores: 65}]\n", "`65` is no whole number from 1 to 64"),
        ("tests: [{name: x, config: gone.yaml}]\n", "gone.yaml cannot be read"),
    ] {
        let ended = test_text(text, &[]);
        assert!(ended.code() == 2 && ended.stderr.contains(words), "{text}{ended:?}");
    }
    let ended = test(&["/nowhere/rules.yaml"]);
    assert!(ended.code() == 2 && ended.stderr.contains("/nowhere/rules.yaml"), "{ended:?}");
}

/// Settings come from the test, from a file beside it, or from `--config` where it has none.
#[test]
fn a_test_says_what_it_runs_with() {
    let folder = Folder::new();
    let write = |name: &str, text: &str| {
        std::fs::write(folder.path(name), text).unwrap();
        folder.path(name).to_str().unwrap().to_owned()
    };
    let input = "inputs: [{series: 'd{}', temporality: delta, points: 1@1}]";
    let at = |cut: u32| format!("expect: [{{series: 'd{{}}', values: 1@{cut}}}]");
    let tests = write(
        "tests.yaml",
        &format!(
            "tests:\n- {{name: none, {input}, {}}}\n- {{name: here, config: {{interval: 2s}}, {input}, {}}}\n\
             - {{name: beside, config: fleet.yaml, {input}, {}}}\n- {{name: over, config: fleet.yaml, interval: 7s, {input}, {}}}\n",
            at(10),
            at(2),
            at(4),
            at(7),
        ),
    );
    write("fleet.yaml", "interval: 4s\nout: ['otlp-grpc://127.0.0.1:1']\n");
    let three = write("three.yaml", "interval: 3s\n");
    assert_eq!(test(&[&tests]).stdout, "ok    none\nok    here\nok    beside\nok    over\n4 passed, 0 failed\n");
    let ended = test(&[&tests, "--config", &three]);
    let wrong = ended.code() == 1 && ended.stdout.contains("FAIL  none") && ended.stdout.contains("3 passed, 1 failed");
    assert!(wrong, "{ended:?}");
}

/// What `--help` shows is a file that passes.
#[test]
fn the_example_of_the_help_passes() {
    let ended = test(&["--help"]);
    let lines =
        ended.stdout.lines().skip_while(|line| line.trim() != "tests:").take_while(|line| !line.starts_with("A point"));
    let text: String = lines.map(|line| format!("{line}\n")).collect();
    assert!(text.lines().count() > 10, "{ended:?}");
    let ended = test_text(&text, &[]);
    assert_eq!(ended.stdout, "ok    a restart of the client is no fall\n1 passed, 0 failed\n", "{ended:?}");
}
