//! Runs the program as a person or a script does.

mod adapters;
mod augment;
mod bench;
mod config;
mod eval;
mod examples;
mod explain;
mod fetch;
mod help;
mod lr_find;
mod optimizer;
#[path = "../oracle/fixtures.rs"]
mod oracle;
mod own_pictures;
mod pictures;
mod plan;
mod predict;
mod readme;
mod records;
mod resume;
mod runs;
mod sets;
mod shaders;
mod train;
mod tune;
mod weights;

use std::path::Path;
use std::process::Command;

/// How a run of the program ended.
#[derive(Debug)]
struct Ended {
    code: i32,
    stdout: String,
    stderr: String,
}

/// The program with arguments.
fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vgg-wgpu"));
    command.args(args);
    command
}

fn end(command: &mut Command) -> Ended {
    let output = command.output().expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is UTF-8");
    let code = output.status.code().expect("the program ends by itself");
    Ended { code, stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Gives a command a cache folder of its own, but for what drivers keep of compiled shaders.
fn apart(command: &mut Command, cache: &Path) {
    command.env("XDG_CACHE_HOME", cache).env("LOCALAPPDATA", cache);
    if std::env::var_os("MESA_SHADER_CACHE_DIR").is_none()
        && let Some(home) = std::env::var_os("HOME")
    {
        command.env("MESA_SHADER_CACHE_DIR", Path::new(&home).join(".cache"));
    }
}

/// Runs the program and expects it to fail with `code`, nothing on the standard output, and the
/// words on the standard error.
fn fails(args: &[&str], code: i32, words: &[&str]) {
    fails_as(&mut program(args), code, words);
}

fn fails_as(command: &mut Command, code: i32, words: &[&str]) {
    let ended = end(command);
    assert_eq!(ended.code, code, "{command:?}: {ended:?}");
    assert_eq!(ended.stdout, "", "{command:?}");
    // Drivers may have said something before.
    let said = ended.stderr.lines().any(|line| line.starts_with("error: "));
    assert!(said && !ended.stderr.contains("panicked"), "{command:?}: {}", ended.stderr);
    for word in words {
        assert!(ended.stderr.contains(word), "{command:?}: no '{word}' in: {}", ended.stderr);
    }
}

/// Runs the program, expects it to succeed, and returns its standard output.
fn succeeds(args: &[&str]) -> String {
    let ended = end(&mut program(args));
    assert_eq!(ended.code, 0, "{args:?}: {ended:?}");
    ended.stdout
}

/// `args` followed by the adapter that the environment chooses for tests, if any.
fn on_adapter<'a>(args: &[&'a str], adapter: &'a Option<String>) -> Vec<&'a str> {
    let chosen = adapter.iter().flat_map(|name| ["--adapter", name.as_str()]);
    args.iter().copied().chain(chosen).collect()
}

fn chosen_adapter() -> Option<String> {
    std::env::var("WGPU_ADAPTER_NAME").ok().filter(|name| !name.is_empty())
}

/// True if there is an adapter; without one the test is reported as skipped, unless the
/// environment says that there has to be one.
fn has_adapter(test: &str) -> bool {
    let found = !vgg_wgpu::gpu::list().is_empty();
    if !found {
        assert!(std::env::var_os("VGG_REQUIRE_GPU").is_none_or(|v| v != "1"), "no GPU adapter");
        println!("skipped: {test}: no GPU adapter");
    }
    found
}
