//! The shell scripts, run with a `PATH` of stand-ins that write down how they were called: nothing
//! is installed, downloaded or built, and the real system's drivers are not looked at.
#![cfg(unix)]

mod checks;
mod machine;
mod peers;
mod setup;
