use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Args, CommandFactory as _};

use super::common::say;

/// Write man pages: one of the program, and one of each subcommand
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  vgg-wgpu man --out ~/.local/share/man/man1 && man vgg-wgpu-train"
)]
pub struct ManArgs {
    /// Folder to write them to; it is made where it is missing
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Writes the pages, and prints how many.
pub fn run(args: &ManArgs) -> Result<()> {
    let out = &args.out;
    let cannot = || format!("cannot write man pages to {}", out.display());
    fs::create_dir_all(out).with_context(cannot)?;
    let command = super::Cli::command();
    let pages = 1 + command.get_subcommands().filter(|command| !command.is_hide_set()).count();
    clap_mangen::generate_to(command, out).with_context(cannot)?;
    say(format!("{pages} pages in {}", out.display()))?;
    Ok(())
}
