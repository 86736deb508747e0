//! The program: parses its arguments, runs the subcommand and reports how it ended.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    quiet_wayland();
    match cli::Cli::read().and_then(|cli| cli.run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => cli::failed(&error),
    }
}

/// Keeps drivers from complaining that `XDG_RUNTIME_DIR` is not set, as in containers and over SSH.
///
/// Mesa looks for a Wayland display although nothing is shown, and libwayland then writes to the
/// standard error where that folder is unknown. With one that does not exist it finds no display
/// and says nothing. Child processes never see it: the program starts none.
fn quiet_wayland() {
    if cfg!(target_os = "linux") && std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: this is the first thing that `main` does: no other thread is there to read the
        // environment at the same time.
        unsafe { std::env::set_var("XDG_RUNTIME_DIR", "/nonexistent") };
    }
}
