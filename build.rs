//! Tells the program which commit it is built from, for the models that it writes.

use std::path::Path;
use std::process::Command;

fn main() {
    // A packed crate has no commit, even if it lies in somebody else's repository.
    let own = git(&["rev-parse", "--show-toplevel"])
        .is_some_and(|top| Path::new(&top) == Path::new(env!("CARGO_MANIFEST_DIR")));
    println!("cargo::rerun-if-changed=build.rs");
    if !own {
        return;
    }
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={log}");
    }
    if let Some(commit) = git(&["rev-parse", "HEAD"]) {
        println!("cargo::rustc-env=VGG_WGPU_COMMIT={commit}");
    }
}

/// What git prints, if there is git and it succeeds.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
