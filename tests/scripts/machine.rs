//! A machine made of a folder, to run the scripts on.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// Programs of the real system that the scripts may use.
const REAL: &[&str] =
    &["bash", "sh", "cat", "chmod", "cp", "dirname", "env", "grep", "mkdir", "mktemp", "rm", "sed"];

pub const OLD_CARGO: &str = "echo 'cargo 1.63.0 (abc 2022-07-01)'";
pub const GOOD_CARGO: &str = "echo 'cargo 1.99.0 (abc 2026-10-01)'";

/// A machine made of a folder: its programs, its system files and its log of calls.
pub struct Machine {
    root: TempDir,
}

impl Machine {
    /// Linux, run by root, with a compiler but without Rust, download tool, drivers or packages.
    pub fn new() -> Self {
        let machine = Self { root: tempfile::tempdir().unwrap() };
        for folder in ["bin", "home", "sys", "tmp"] {
            fs::create_dir(machine.path(folder)).unwrap();
        }
        let path = std::env::var_os("PATH").unwrap();
        for name in REAL {
            let real = std::env::split_paths(&path).map(|dir| dir.join(name));
            let real = real.into_iter().find(|file| file.is_file());
            let real = real.unwrap_or_else(|| panic!("{name} is not in PATH"));
            symlink(real, machine.path("bin").join(name)).unwrap();
        }
        machine.stub_quiet("uname", r#"case "$1" in -m) echo x86_64 ;; *) echo Linux ;; esac"#);
        machine.stub_quiet("id", "echo 0");
        machine.stub_quiet("ldconfig", "exit 1");
        machine.stub_quiet("cc", "exit 0");
        machine
    }

    /// The same with Rust and lavapipe: nothing is missing.
    pub fn complete() -> Self {
        let machine = Self::new();
        machine.stub_quiet("cargo", GOOD_CARGO);
        machine.file("sys/usr/lib/libvulkan.so.1", "");
        machine.driver("lvp_icd.x86_64.json", "/usr/lib/libvulkan_lvp.so");
        machine
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub fn file(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A Vulkan driver file, and the library that it names.
    pub fn driver(&self, name: &str, library: &str) {
        self.file(&format!("sys{library}"), "");
        self.driver_without_library(name, library);
    }

    pub fn driver_without_library(&self, name: &str, library: &str) {
        let json = format!("{{\"ICD\": {{\"library_path\": \"{library}\"}}}}");
        self.file(&format!("sys/usr/share/vulkan/icd.d/{name}"), &json);
    }

    /// A program whose calls are written to the log.
    pub fn stub(&self, name: &str, body: &str) {
        self.stub_quiet(name, &format!("echo \"{name} $*\" >>\"$LOG\"\n{body}"));
    }

    pub fn stub_quiet(&self, name: &str, body: &str) {
        let path = self.path("bin").join(name);
        fs::write(&path, format!("#!/usr/bin/env bash\n{body}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub fn run(&self, script: &str, args: &[&str]) -> Outcome {
        self.run_with(script, args, &[])
    }

    pub fn run_with(&self, script: &str, args: &[&str], variables: &[(&str, &str)]) -> Outcome {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
        let output = Command::new(self.path("bin").join("bash"))
            .arg(repository.join(script))
            .args(args)
            .env_clear()
            .env("PATH", self.path("bin"))
            .env("HOME", self.path("home"))
            .env("TMPDIR", self.path("tmp"))
            .env("LOG", self.path("log"))
            .env("VGG_SYSROOT", self.path("sys"))
            .envs(variables.iter().copied())
            .current_dir(self.root.path())
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        let log = fs::read_to_string(self.path("log")).unwrap_or_default();
        Outcome::new(output, log)
    }
}

pub struct Outcome {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    /// One line a call of a logged stand-in.
    pub log: String,
}

impl Outcome {
    pub fn new(output: Output, log: String) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            log,
        }
    }

    #[track_caller]
    pub fn exits(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub fn is_silent(&self) -> &Self {
        assert_eq!((self.stdout.as_str(), self.stderr.as_str()), ("", ""));
        self
    }

    #[track_caller]
    pub fn warns(&self, text: &str) -> &Self {
        assert!(self.stderr.contains(text), "no {text:?} in {:?}", self.stderr);
        self
    }

    #[track_caller]
    pub fn called(&self, call: &str) -> &Self {
        assert!(self.log.contains(call), "no {call:?} in {:?}", self.log);
        self
    }
}
