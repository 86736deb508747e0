use std::process::Stdio;

use crate::{end, fails, program, succeeds};

/// Each subcommand with a default or a word that its help has to tell.
const SUBCOMMANDS: &[(&str, &[&str])] = &[
    (
        "train",
        &[
            "[default: 10]",
            "[default: 128]",
            "[default: 0.05, or 0.001 with --optimizer adamw]",
            "[default: sgd]",
            "[default: xavier]",
            "--no-shuffle",
        ],
    ),
    ("runs", &["[default: runs]", "[default: accuracy]", "--compare <A> <B>", "--plot", "--json"]),
    ("lr-find", &["[default: 0.000001]", "[default: 100]", "[default: lr-find.png]", "--momentum"]),
    ("augment", &["--preview", "[default: 7]", "[default: 224]", "--flip alone: 0.5"]),
    ("eval", &["[default: test]", "--limit", "[default: as in the run, of other models bilinear]"]),
    ("predict", &["[default: 3]", "--invert", "[default: those in the model]"]),
    (
        "explain",
        &["[default: explained]", "--class", "arXiv:1610.02391", "[default: the likeliest"],
    ),
    (
        "plan",
        &["[default: vgg11]", "[default: 224]", "[default: 128]", "[default: the most that fits]"],
    ),
    ("adapters", &["--json", "[default: all]"]),
    ("bench", &["[default: 32]", "[default: 5]", "[default: train]", "[default: 0.5]"]),
    ("tune", &["[default: 60]", "[default: 128]", "--clear"]),
    ("fetch", &["[default: the user's cache folder]", "--force"]),
    ("shaders", &["[default: wgsl]", "[default: list all]"]),
    ("completions", &["bash", "fish", "zsh", "powershell"]),
];

#[test]
fn every_subcommand_explains_itself() {
    let overview = succeeds(&["--help"]);
    for (name, words) in SUBCOMMANDS {
        assert!(overview.contains(&format!("  {name}")), "{name} is missing in:\n{overview}");
        let help = succeeds(&[name, "--help"]).split_whitespace().collect::<Vec<_>>().join(" ");
        let example = format!("Example: vgg-wgpu {name}");
        for word in words.iter().copied().chain([example.as_str(), "Usage:"]) {
            assert!(help.contains(word), "{name}: no '{word}' in: {help}");
        }
    }
}

#[test]
fn the_first_line_of_help_says_what_the_subcommand_does() {
    let first = |name: &str| succeeds(&[name, "--help"]).lines().next().unwrap().to_owned();
    assert!(first("plan").starts_with("Show a network's layers"), "{}", first("plan"));
    assert!(first("bench").starts_with("Measure a network's steps"), "{}", first("bench"));
}

#[test]
fn wrong_usage_ends_with_2() {
    fails(&["no-such-thing"], 2, &["no-such-thing"]);
    fails(&["plan", "--no-such-flag"], 2, &["--no-such-flag"]);
    fails(&["bench", "--pass", "sideways"], 2, &["sideways", "train", "infer"]);
    fails(&["bench", "--batch", "0"], 2, &["--batch", "at least 1"]);
}

#[test]
fn the_version_is_the_crates() {
    let version = format!("vgg-wgpu {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(succeeds(&["--version"]), version);
}

#[test]
fn completions_know_the_subcommands() {
    let script = succeeds(&["completions", "bash"]);
    for (name, _) in SUBCOMMANDS {
        assert!(script.contains(name), "{name} is missing");
    }
    assert!(script.contains("--micro-batch"));
    for shell in ["zsh", "fish", "powershell", "elvish"] {
        assert!(succeeds(&["completions", shell]).contains("adapters"), "{shell}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    for args in [["shaders", "--all"], ["completions", "bash"]] {
        let mut command = program(&args);
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(0), "{args:?}: {:?}", output.status);
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{args:?}");
    }
}

#[test]
fn an_output_that_cannot_be_written_is_a_failure() {
    if !cfg!(target_os = "linux") {
        println!("skipped: an_output_that_cannot_be_written_is_a_failure: needs /dev/full");
        return;
    }
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let child = program(&["shaders", "--all"]).stdout(full).stderr(Stdio::piped()).spawn().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("could not write to the standard output"), "{stderr}");
}

#[test]
fn without_arguments_the_help_is_shown() {
    let ended = end(&mut program(&[]));
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("Usage: vgg-wgpu"), "{}", ended.stderr);
}

#[test]
fn every_subcommand_has_a_man_page_that_names_its_flags() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("share/man1");
    let printed = succeeds(&["man", "--out", out.to_str().unwrap()]);
    let overview = succeeds(&["--help"]);
    let list = overview.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let names = list.lines().map(|line| line.split_whitespace().next().unwrap());
    let names: Vec<_> = names.filter(|name| *name != "help").collect();
    assert!(names.contains(&"man") && names.len() > SUBCOMMANDS.len(), "{names:?}");
    assert!(printed.starts_with(&format!("{} pages", names.len() + 1)), "{printed}");
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), names.len() + 1);
    // In roff a hyphen that is no minus is written with a backslash.
    let page = |name: &str| {
        let text = std::fs::read_to_string(out.join(name)).unwrap();
        assert!(text.contains(".TH ") && text.contains(".SH NAME"), "{name}: {text}");
        text.replace("\\-", "-")
    };
    let whole = page("vgg-wgpu.1");
    for name in names {
        assert!(whole.contains(&format!("vgg-wgpu-{name}(1)")), "{name}: {whole}");
        let page = page(&format!("vgg-wgpu-{name}.1"));
        let help = succeeds(&[name, "--help"]);
        let flags = help.lines().map(str::trim_start).filter_map(|line| {
            let flag = line.strip_prefix("-h, ").unwrap_or(line);
            flag.starts_with("--").then(|| flag.split_whitespace().next().unwrap())
        });
        for flag in flags {
            assert!(page.contains(flag), "{name}: no {flag} in:\n{page}");
        }
        assert!(page.contains("Example"), "{name}: {page}");
    }
}
