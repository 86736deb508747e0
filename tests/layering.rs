//! The import rule: rooms of `src/` see each other in one direction only, only `gpu` and `kernel`
//! name wgpu, and only `cli` and `main` print or end the process.

use std::fs;
use std::path::Path;

/// What each room may see besides itself.
const RULE: &[(&str, &[&str])] = &[
    ("shape", &[]),
    ("resample", &[]),
    ("files", &[]),
    ("gpu", &["shape"]),
    ("kernel", &["shape", "gpu"]),
    ("ops", &["shape", "resample", "gpu", "kernel"]),
    ("graph", &["shape", "gpu", "kernel", "ops"]),
    ("data", &["shape", "resample", "files"]),
    ("weights", &["shape", "files"]),
    ("train", &["shape", "files", "gpu", "kernel", "ops", "graph", "data", "weights"]),
    ("cli", &["shape", "gpu", "kernel", "ops", "graph", "data", "weights", "train"]),
    ("main", &["cli"]),
];

/// What ends up on the terminal or ends the process.
const PRINTS: &[&str] = &[
    "print!",
    "println!",
    "eprint!",
    "eprintln!",
    "dbg!",
    "stdout()",
    "stderr()",
    "process::exit",
];

#[test]
fn imports_follow_the_rule() {
    let mut seen = Vec::new();
    let mut wrong = Vec::new();
    each_file(Path::new("src"), &mut |path, text| {
        let room = room(path);
        if room != "lib" {
            wrong.extend(violations(&room, is_root(path), text, path));
            seen.push(room);
        }
    });
    for (room, _) in RULE {
        assert!(seen.iter().any(|seen| seen == room), "the room {room} has no file");
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn each_kind_of_wrong_line_is_found() {
    let found = |room: &str, root: bool, text: &str| {
        violations(room, root, text, Path::new("example.rs")).len()
    };
    assert_eq!(found("gpu", false, "use crate::kernel::Launch;"), 1);
    assert_eq!(found("gpu", false, "let x = crate::ops::REGISTRY;"), 1);
    assert_eq!(found("data", false, "use crate::{shape::Layout, gpu::Gpu, train};"), 2);
    assert_eq!(found("data", false, "use crate::{\n    shape::Layout,\n    graph,\n};"), 1);
    assert_eq!(found("shape", true, "use super::gpu::Gpu;"), 1);
    assert_eq!(found("unknown", false, ""), 1);
    assert_eq!(found("ops", false, "fn f(device: &wgpu::Device) {}"), 1);
    assert_eq!(found("train", false, "println!(\"done\");"), 1);
    assert_eq!(found("train", false, "std::process::exit(1);"), 1);
    assert_eq!(found("train", false, "writeln!(std::io::stderr(), \"no\");"), 1);

    assert_eq!(found("kernel", false, "use crate::gpu::Gpu;\nuse super::Step;\nwgpu::Device"), 0);
    assert_eq!(found("train", false, "/// println!(\"{}\", vgg_wgpu::data::open(None)?);"), 0);
    assert_eq!(found("train", false, "use crate::{data, weights::write};"), 0);
    assert_eq!(found("cli", false, "use vgg_wgpu::train::Options;\nprintln!();"), 0);
}

fn each_file(folder: &Path, look: &mut impl FnMut(&Path, &str)) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            each_file(&path, look);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            look(&path, &fs::read_to_string(&path).unwrap());
        }
    }
}

/// `gpu` for `src/gpu/buffer.rs`, `shape` for `src/shape.rs`.
fn room(path: &Path) -> String {
    let below = path.strip_prefix("src").unwrap().components().next().unwrap();
    Path::new(&below).file_stem().unwrap().to_string_lossy().into_owned()
}

/// True if `super` is the crate's root in this file.
fn is_root(path: &Path) -> bool {
    let depth = path.strip_prefix("src").unwrap().components().count();
    depth == 1 || (depth == 2 && path.file_name().unwrap() == "mod.rs")
}

fn violations(room: &str, root: bool, text: &str, path: &Path) -> Vec<String> {
    let Some((_, may_see)) = RULE.iter().find(|(known, _)| *known == room) else {
        return vec![format!("{}: the room {room} is not in the rule", path.display())];
    };
    let code = without_comments(text);
    let mut wrong = Vec::new();
    let mut add = |what: String| wrong.push(format!("{}: {room} {what}", path.display()));
    let prefixes: &[&str] =
        if root { &["crate::", "vgg_wgpu::", "super::"] } else { &["crate::", "vgg_wgpu::"] };
    for prefix in prefixes {
        for rest in after(&code, prefix) {
            for name in first_names(rest) {
                let is_room = RULE.iter().any(|(known, _)| *known == name);
                if is_room && name != room && !may_see.contains(&name.as_str()) {
                    add(format!("must not see {name}"));
                }
            }
        }
    }
    if !matches!(room, "gpu" | "kernel") && !after(&code, "wgpu::").is_empty() {
        add("must not name wgpu".to_owned());
    }
    if !matches!(room, "cli" | "main") {
        for print in PRINTS.iter().filter(|print| !after(&code, print).is_empty()) {
            add(format!("must not use {print}"));
        }
    }
    wrong
}

fn without_comments(text: &str) -> String {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.collect::<Vec<_>>().join("\n")
}

/// What follows each `word` that does not continue another name.
fn after<'a>(code: &'a str, word: &str) -> Vec<&'a str> {
    let continues = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word)
        .filter(|(at, _)| !code[..*at].ends_with(continues))
        .map(|(at, _)| &code[at + word.len()..])
        .collect()
}

/// `gpu` of `gpu::Gpu;`, and `gpu`, `train` of `{gpu::Gpu, train}`.
fn first_names(rest: &str) -> Vec<String> {
    let is_name = |c: &char| c.is_alphanumeric() || *c == '_';
    let Some(list) = rest.strip_prefix('{') else {
        return vec![rest.chars().take_while(is_name).collect()];
    };
    let mut names = vec![String::new()];
    let (mut depth, mut in_first) = (0, true);
    for c in list.chars() {
        match c {
            '}' if depth == 0 => break,
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                names.push(String::new());
                in_first = true;
            }
            c if is_name(&c) && in_first && depth == 0 => names.last_mut().unwrap().push(c),
            c if c.is_whitespace() => {}
            _ => in_first = false,
        }
    }
    names
}
