//! What is made of the command line's definitions: completions that shells take, manual pages that are whole.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::binary::process::{Ended, Folder, command, output};

fn run(arguments: &[&str]) -> Ended {
    let ended = output(command(arguments));
    assert_eq!(ended.code(), 0, "{arguments:?}: {ended:?}");
    assert_eq!(ended.stderr, "", "{arguments:?}");
    ended
}

/// Flags of `catchment run`, from its help.
fn flags() -> Vec<String> {
    let help = run(&["run", "--help"]).stdout;
    let flags = help.lines().map(str::trim_start).filter_map(|line| line.strip_prefix("--"));
    let flags: Vec<_> = flags.map(|rest| rest.split([' ', '=', '[']).next().unwrap().to_owned()).collect();
    assert!(flags.len() > 20, "{flags:?}");
    flags
}

/// bash takes the script, and completes a command, a flag and a flag's value with it.
#[test]
fn bash_completes_commands_flags_and_values() {
    let script = run(&["completions", "bash"]).stdout;
    let folder = Folder::new();
    let path = folder.path("catchment.bash");
    std::fs::write(&path, &script).unwrap();
    let path = path.to_str().unwrap();
    assert!(Command::new("bash").args(["-n", path]).status().unwrap().success());
    let complete = |line: &[&str]| {
        let words = line.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
        let (last, before) = (line[line.len() - 1], line[line.len() - 2]);
        let ask = format!(
            "source {path}; complete -p catchment | grep -o -- '-F _catchment'; COMP_WORDS=({words}); COMP_CWORD={}; _catchment catchment '{last}' '{before}'; \
             printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            line.len() - 1
        );
        let answer = Command::new("bash").args(["--norc", "-c", &ask]).output().unwrap();
        assert!(answer.status.success(), "{answer:?}");
        String::from_utf8(answer.stdout).unwrap()
    };
    for (line, wanted) in [
        (["catchment", "si"].as_slice(), "sink"),
        (&["catchment", "run", "--otlp-g"], "--otlp-grpc"),
        (&["catchment", "run", "--out-h"], "--out-header"),
        (&["catchment", "run", "--temporality", "d"], "delta"),
        (&["catchment", "completions", "z"], "zsh"),
    ] {
        let answer = complete(line);
        let answers: Vec<&str> = answer.lines().skip(1).collect();
        assert_eq!(answers, [wanted], "{line:?}");
        assert!(answer.starts_with("-F _catchment\n"), "{answer}");
    }
}

/// The other shells' scripts know every flag of `run`; a shell that does not exist is refused with those that do.
#[test]
fn every_shell_knows_every_flag() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(&["completions", shell]).stdout;
        for flag in flags() {
            assert!(script.contains(&flag), "{shell}: --{flag}");
        }
    }
    let ended = output(command(&["completions", "tcsh"]));
    assert_eq!(ended.code(), 2);
    assert!(ended.stderr.contains("fish"), "{}", ended.stderr);
}

/// The manual has a page for the program and for each command, with every flag and its variable; what reads manuals takes
/// it without a complaint, where it is installed.
#[test]
fn manual_pages_are_whole() {
    let main = run(&["man"]).stdout;
    assert!(
        main.contains(".TH catchment 1") && main.contains(".SH NAME") && main.contains("catchment\\-run(1)"),
        "{main}"
    );
    let page = run(&["man", "run"]).stdout;
    assert!(page.contains(".TH catchment-run 1") || page.contains(".TH catchment\\-run 1"), "{page}");
    let plain = page.replace('\\', "");
    for flag in flags() {
        assert!(plain.contains(&format!("--{flag}")), "--{flag}");
    }
    for words in [".SH OPTIONS", ".SH NOTES", "CATCHMENT_OUT_HEADER", "otlp-grpcs://", "catchment run --out stdout"] {
        assert!(plain.contains(words), "{words}");
    }
    for command in
        ["check", "explain", "plan", "config", "rules", "features", "load", "sink", "tune", "completions", "man"]
    {
        let page = run(&["man", command]).stdout;
        assert!(page.replace('\\', "").contains(&format!("catchment-{command}")), "{command}");
        assert!(!page.contains(".SH EXTRA"), "{command}");
        lint(&page);
    }
    lint(&main);
    lint(&page);
    let ended = output(command(&["man", "fly"]));
    assert_eq!(ended.code(), 2);
    assert!(ended.stderr.contains("run, check, explain, plan, config, rules, features, load"), "{}", ended.stderr);
}

/// groff without a warning, or at least lines that are requests or text.
fn lint(page: &str) {
    for line in page.lines().filter(|line| line.starts_with('.')) {
        let request = line[1..].split(' ').next().unwrap();
        assert!(
            ["TH", "SH", "TP", "PP", "RS", "RE", "IP", "ie", "el", "br", "nf", "fi", "sp"].contains(&request),
            "{line:?} is no request of a manual page"
        );
    }
    let groff = Command::new("groff")
        .args(["-Kutf8", "-man", "-Tutf8", "-ww", "-z"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    // where there is no groff the check above is all
    let Ok(mut groff) = groff else { return };
    groff.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let said = groff.wait_with_output().unwrap();
    assert!(said.status.success() && said.stderr.is_empty(), "{}", String::from_utf8_lossy(&said.stderr));
}
