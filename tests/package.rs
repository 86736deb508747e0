//! What `cargo package` packs: all that the crate's own build and tests need, and no more than the
//! registry takes.

use std::fs;
use std::path::Path;
use std::process::Command;

/// crates.io refuses larger ones, <https://doc.rust-lang.org/cargo/reference/publishing.html>.
const MOST_BYTES: u64 = 10_000_000;
/// Of a file in an archive: its header, and what fills its last block.
const OVERHEAD: u64 = 1024;

fn packed() -> Vec<String> {
    let arguments = ["package", "--list", "--allow-dirty", "--offline"];
    let output = Command::new(env!("CARGO")).args(arguments).output().expect("cargo runs");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    let list = String::from_utf8(output.stdout).expect("names are UTF-8");
    list.lines().map(|name| name.replace('\\', "/")).collect()
}

#[test]
fn the_packed_crate_is_small_and_whole() {
    let packed = packed();
    // Uncompressed: what is packed is smaller.
    let size = |name: &String| fs::metadata(name).map_or(0, |file| file.len()) + OVERHEAD;
    let bytes: u64 = packed.iter().map(size).sum();
    assert!(bytes < MOST_BYTES, "{} files of {bytes} bytes", packed.len());

    for name in [
        "README.md",
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "build.rs",
        "src/main.rs",
        "scripts/common.sh",
    ] {
        assert!(packed.iter().any(|packed| packed == name), "{name} is not packed");
    }
    for folder in ["src", "shaders", "data", "assets", "examples", "tests/cli", "tests/gpu"] {
        all(Path::new(folder), &mut |name| {
            assert!(packed.iter().any(|packed| packed == name), "{name} is not packed");
        });
    }
    for folder in ["benches/peers/", "tools/", "docs/", "target/", "runs/", "."] {
        // Cargo's own record of the commit is the one file that begins with a dot.
        let mut inside = packed.iter().filter(|name| name.starts_with(folder));
        let found = inside.find(|name| *name != ".cargo_vcs_info.json");
        assert_eq!(found, None);
    }
}

/// Calls `each` with the names of all files in a folder.
fn all(folder: &Path, each: &mut impl FnMut(&str)) {
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("it can be listed").path();
        match path.is_dir() {
            true => all(&path, each),
            false => each(&path.to_str().expect("names are UTF-8").replace('\\', "/")),
        }
    }
}
