use std::io::Write as _;

use anyhow::Result;
use clap::{Args, CommandFactory as _};
use clap_complete::{Shell, generate};

use super::common::OutputError;

/// Print a shell's completion script
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  vgg-wgpu completions bash > ~/.local/share/bash-completion/completions/vgg-wgpu"
)]
pub struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Prints the script.
pub fn run(args: &CompletionsArgs) -> Result<()> {
    let mut script = Vec::new();
    generate(args.shell, &mut super::Cli::command(), "vgg-wgpu", &mut script);
    Ok(std::io::stdout().lock().write_all(&script).map_err(OutputError)?)
}
