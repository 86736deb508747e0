//! The README's commands: each is one that the program has, and those that show output are run.

use crate::succeeds;

const README: &str = include_str!("../../README.md");

/// The commands in code of the README that begin with `vgg-wgpu`, without what they print.
fn commands() -> Vec<Vec<&'static str>> {
    let lines = README.lines().filter(|line| line.starts_with("$ vgg-wgpu "));
    let spans = README.split('`').filter(|span| span.starts_with("vgg-wgpu "));
    let words = |command: &'static str| {
        let command = command.trim_start_matches("$ ").split('#').next().unwrap_or("");
        command.split_whitespace().skip(1).collect()
    };
    lines.chain(spans).map(words).collect()
}

fn subcommands() -> Vec<String> {
    let help = succeeds(&["--help"]);
    let list = help.split("Commands:\n").nth(1).expect("the help lists the commands");
    let lines = list.lines().take_while(|line| line.starts_with("  "));
    lines.map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
}

#[test]
fn every_subcommand_is_in_the_table() {
    for name in subcommands().iter().filter(|name| *name != "help") {
        let row = format!("\n| `{name}` | ");
        assert!(README.contains(&row), "no row of {name} in the table of commands");
    }
}

#[test]
fn its_commands_exist_with_their_flags() {
    let (commands, subcommands) = (commands(), subcommands());
    assert!(commands.len() >= 8, "only {} commands found", commands.len());
    for command in commands.iter().filter(|command| command[0] != "COMMAND") {
        assert!(subcommands.iter().any(|name| name == command[0]), "{command:?}");
        let help = succeeds(&[command[0], "--help"]);
        for flag in command.iter().filter(|word| word.starts_with("--")) {
            let flag = flag.split('=').next().unwrap();
            assert!(help.contains(flag), "{} has no {flag}", command[0]);
        }
    }
}
