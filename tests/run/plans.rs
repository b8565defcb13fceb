//! What rules would do, before they do it, and what they do: the memory line of `check`, as an operator reads it.

use crate::binary::process::{Folder, command, output};

/// What members, outputs and windows take is told where there are rules, and only there.
#[test]
fn check_says_what_rules_take() {
    let folder = Folder::new();
    let path = folder.path("fleet.yaml");
    let text = "series-limit: 1000\nrules:\n- {name: rates, match: {metric: a}, by: [x], outputs: [\"rate(5m)\", \"topk(3, y)\"]}\n";
    std::fs::write(&path, text).unwrap();
    let check = |words: &[&str]| output(command(&[&["check"], words].concat())).stdout;
    let told = check(&["--config", path.to_str().unwrap()]);
    for words in [
        "memory  a member ",
        "; an output ",
        "rates: windows of up to 30 steps ",
        ", topk ",
        "1000 members and 10000 outputs: about ",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert!(check(&["--without", "pod"]).contains("memory  a member "));
    assert!(!check(&[]).contains("a member"));
}
