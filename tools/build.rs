//! Build script: the commit for `--version`; "unknown" outside a checkout.

use std::process::Command;

fn main() {
    let commit = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output().ok();
    let commit = commit
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .map_or("unknown".to_string(), |text| text.trim().to_string());
    println!("cargo:rustc-env=CATCHMENT_COMMIT={commit}");
    // where they are is git's affair: in a linked worktree `.git` is a file
    for path in ["HEAD", "refs/heads"] {
        let found = Command::new("git").args(["rev-parse", "--git-path", path]).output().ok();
        let found = found.filter(|output| output.status.success()).map(|output| output.stdout);
        if let Some(path) = found.and_then(|bytes| String::from_utf8(bytes).ok()) {
            let path = path.trim();
            if std::path::Path::new(path).exists() {
                println!("cargo:rerun-if-changed={path}");
            }
        }
    }
    println!("cargo:rerun-if-changed=tools/build.rs");
}
