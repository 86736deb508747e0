//! The README's commands: each is one that the program has, and those of the table are run.

use std::path::Path;

use vgg_wgpu::weights::{Tensor, Values, write_safetensors};

use crate::sets::{SIZE, Set, image};
use crate::{apart, chosen_adapter, end, has_adapter, on_adapter, program, succeeds};

const README: &str = include_str!("../../README.md");

/// The arguments in a command of the README.
fn arguments(command: &'static str) -> Vec<&'static str> {
    command.trim_start_matches("$ ").split_whitespace().skip(1).collect()
}

/// All commands that begin with `vgg-wgpu`, in lines of their own or in a sentence.
fn commands() -> Vec<Vec<&'static str>> {
    let lines = README.lines().filter(|line| line.starts_with("$ vgg-wgpu "));
    let spans = README.split('`').filter(|span| span.starts_with("vgg-wgpu "));
    lines.chain(spans).map(arguments).collect()
}

/// The examples in the table of commands, from top to bottom.
fn examples() -> Vec<Vec<&'static str>> {
    let rows = README.lines().filter(|line| line.starts_with("| `"));
    let last_cell = |row: &'static str| row.trim_end_matches(['|', ' ', '`']).rsplit('`').next();
    rows.filter_map(last_cell).map(arguments).collect()
}

fn subcommands() -> Vec<String> {
    let help = succeeds(&["--help"]);
    let list = help.split("Commands:\n").nth(1).expect("the help lists the commands");
    let lines = list.lines().take_while(|line| line.starts_with("  "));
    lines.map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
}

#[test]
fn every_subcommand_is_in_the_table() {
    let examples = examples();
    for name in subcommands().iter().filter(|name| *name != "help") {
        let row = format!("\n| `{name}` | ");
        assert!(README.contains(&row), "no row of {name} in the table of commands");
        assert!(examples.iter().any(|example| example[0] == name), "no example of {name}");
    }
}

#[test]
fn its_commands_exist_with_their_flags() {
    let (commands, subcommands) = (commands(), subcommands());
    assert!(commands.len() >= 10, "only {} commands found", commands.len());
    for command in commands.iter().filter(|command| command[0] != "COMMAND") {
        assert!(subcommands.iter().any(|name| name == command[0]), "{command:?}");
        let help = succeeds(&[command[0], "--help"]);
        for flag in command.iter().filter(|word| word.starts_with("--")) {
            assert!(help.contains(flag), "{} has no {flag}", command[0]);
        }
    }
}

/// One after the other in one folder: what the first one trains is what the next ones use.
#[test]
fn the_examples_of_the_table_run() {
    if !has_adapter("the_examples_of_the_table_run") {
        return;
    }
    let (set, adapter) = (Set::new(), chosen_adapter());
    let folder = set.path("home");
    std::fs::create_dir(&folder).unwrap();
    let boot = image::GrayImage::from_raw(SIZE as u32, SIZE as u32, image(9)).unwrap();
    boot.save(folder.join("boot.png")).unwrap();
    let values = vec![0.5; 2 * 64 * 64];
    let batch = [
        Tensor::floats("input", &[2, 1, 64, 64], &values),
        Tensor {
            name: "target".to_owned(),
            shape: vec![2],
            values: Values::I64(vec![0, 3].into()),
        },
    ];
    write_safetensors(&folder.join("x.safetensors"), &batch, None).unwrap();
    // A download needs a network: tests of its own have a server for it.
    for example in examples().iter().filter(|example| example[0] != "fetch") {
        let shorter: &[&str] = if example[0] == "train" { &["--epochs", "1"] } else { &[] };
        let whole = [&example[..], shorter].concat();
        let without = ["adapters", "shaders", "completions", "man", "import", "export", "runs"];
        let needs_adapter = !without.contains(&example[0]);
        let whole = if needs_adapter { on_adapter(&whole, &adapter) } else { whole };
        run_in(&folder, &set, &whole);
    }
}

fn run_in(folder: &Path, set: &Set, arguments: &[&str]) {
    let mut command = program(arguments);
    apart(&mut command, &folder.join("cache"));
    let ended = end(command.current_dir(folder).env("VGG_WGPU_DATA", set.data()));
    assert_eq!(ended.code, 0, "{arguments:?}: {ended:?}");
    assert!(!ended.stdout.is_empty(), "{arguments:?} printed nothing");
}
