//! `scripts/setup.sh`: what it installs, when, and what it says when it cannot.

use std::fs;

use crate::machine::{GOOD_CARGO, Machine, OLD_CARGO};

#[test]
fn setup_is_silent_when_nothing_is_missing() {
    let machine = Machine::complete();
    for manager in ["apt-get", "sudo", "curl", "rustup"] {
        machine.stub(manager, "exit 1");
    }
    let outcome = machine.run("scripts/setup.sh", &[]);
    outcome.exits(0).is_silent();
    assert_eq!(outcome.log, "");
}

#[test]
fn setup_installs_the_software_driver_by_each_package_manager() {
    let cases = [
        ("apt-get", "libvulkan1 mesa-vulkan-drivers"),
        ("dnf", "vulkan-loader mesa-vulkan-drivers"),
        ("pacman", "vulkan-icd-loader vulkan-swrast"),
        ("zypper", "libvulkan1 libvulkan_lvp"),
    ];
    for (manager, packages) in cases {
        let machine = Machine::new();
        machine.stub_quiet("cargo", GOOD_CARGO);
        machine.stub(manager, "exit 0");
        machine.run("scripts/setup.sh", &[]).exits(0).called(packages);
    }
}

#[test]
fn second_setup_has_nothing_to_do() {
    let machine = Machine::new();
    machine.stub_quiet("cargo", GOOD_CARGO);
    machine.stub(
        "apt-get",
        r#"case "$*" in *mesa-vulkan-drivers*)
            mkdir -p "$VGG_SYSROOT/usr/share/vulkan/icd.d" "$VGG_SYSROOT/usr/lib"
            echo '{"library_path": "/usr/lib/libvulkan_lvp.so"}' \
                >"$VGG_SYSROOT/usr/share/vulkan/icd.d/lvp_icd.x86_64.json"
            echo >"$VGG_SYSROOT/usr/lib/libvulkan_lvp.so"
            echo >"$VGG_SYSROOT/usr/lib/libvulkan.so.1" ;;
        esac"#,
    );
    let first = machine.run("scripts/setup.sh", &[]);
    first.exits(0).called("apt-get install");
    let second = machine.run("scripts/setup.sh", &[]);
    second.exits(0).is_silent();
    assert_eq!(first.log, second.log);
}

#[test]
fn setup_uses_sudo_only_for_users_who_are_not_root() {
    let machine = Machine::new();
    machine.stub_quiet("cargo", GOOD_CARGO);
    machine.stub("apt-get", "exit 0");
    machine.stub("sudo", r#"[ "$1" = -n ] && shift; [ "$1" = true ] || "$@""#);
    let as_root = machine.run("scripts/setup.sh", &[]);
    assert!(!as_root.exits(0).log.contains("sudo"), "{}", as_root.log);
    machine.stub_quiet("id", "echo 1000");
    machine.run("scripts/setup.sh", &[]).exits(0).called("sudo env DEBIAN_FRONTEND");
}

#[test]
fn setup_names_the_command_when_it_cannot_become_root() {
    let machine = Machine::new();
    machine.stub_quiet("cargo", GOOD_CARGO);
    machine.stub_quiet("id", "echo 1000");
    machine.stub("apt-get", "exit 0");
    let outcome = machine.run("scripts/setup.sh", &[]);
    outcome.exits(0).warns("run as root: apt-get install libvulkan1 mesa-vulkan-drivers");
    assert_eq!(outcome.log, "");
}

#[test]
fn setup_says_what_to_install_without_a_known_package_manager() {
    let machine = Machine::new();
    machine.stub_quiet("cargo", GOOD_CARGO);
    machine.run("scripts/setup.sh", &[]).exits(0).warns("Mesa's lavapipe");
}

#[test]
fn a_driver_that_cannot_work_here_does_not_count() {
    let gpu = "/usr/lib/libvulkan_radeon.so";
    let mock = Machine::complete();
    fs::remove_dir_all(mock.path("sys/usr/share/vulkan")).unwrap();
    mock.driver("mock_icd.json", "/usr/lib/libVkICD_mock_icd.so");
    let outcome = mock.run("scripts/setup.sh", &[]);
    outcome.exits(0).warns("is a mock that computes nothing");

    let idle = Machine::complete();
    fs::remove_dir_all(idle.path("sys/usr/share/vulkan")).unwrap();
    idle.driver("radeon_icd.json", gpu);
    idle.run("scripts/setup.sh", &[]).exits(0).warns("has no GPU here");
    idle.file("sys/dev/dri/renderD128", "");
    idle.run("scripts/setup.sh", &[]).exits(0).is_silent();

    fs::remove_file(idle.path(&format!("sys{gpu}"))).unwrap();
    idle.run("scripts/setup.sh", &[]).exits(0).warns("is missing");
}

#[test]
fn a_driver_without_the_loader_does_not_count() {
    let machine = Machine::complete();
    fs::remove_file(machine.path("sys/usr/lib/libvulkan.so.1")).unwrap();
    machine.run("scripts/setup.sh", &[]).exits(0).warns("no Vulkan loader");
}

#[test]
fn setup_names_a_driver_variable_that_hides_the_drivers() {
    let machine = Machine::complete();
    let variables = [("VK_DRIVER_FILES", "/nowhere/icd.json")];
    let outcome = machine.run_with("scripts/setup.sh", &[], &variables);
    outcome.exits(0).warns("VK_DRIVER_FILES").warns("unset it");
}

#[test]
fn setup_installs_rust_by_rustup_where_there_is_none() {
    let machine = Machine::complete();
    fs::remove_file(machine.path("bin/cargo")).unwrap();
    // The script that curl fetches puts a cargo where rustup would, and logs its arguments.
    let installer = r#"echo "rustup-init $*" >>"$LOG"; mkdir -p "$HOME/.cargo/bin"
printf '#!/usr/bin/env bash\necho cargo 1.99.0\n' >"$HOME/.cargo/bin/cargo"
chmod +x "$HOME/.cargo/bin/cargo""#;
    machine.file("installer", installer);
    let curl = r#"while [ "$1" != -o ]; do shift; done; cp "${LOG%/log}/installer" "$2""#;
    machine.stub("curl", curl);
    let outcome = machine.run("scripts/setup.sh", &[]);
    outcome.exits(0).called("curl --proto =https --tlsv1.2 -sSf https://sh.rustup.rs");
    outcome.called("rustup-init -y --profile minimal --default-toolchain stable");
    outcome.called("--component rustfmt --component clippy");
    machine.run("scripts/setup.sh", &[]).exits(0).is_silent();
}

#[test]
fn setup_never_changes_a_rust_that_is_there() {
    let machine = Machine::complete();
    machine.stub_quiet("cargo", OLD_CARGO);
    for name in ["rustup", "curl"] {
        machine.stub(name, "exit 0");
    }
    let outcome = machine.run("scripts/setup.sh", &["--checks"]);
    outcome.exits(1).warns("Rust 1.63.0 is in use").warns("rustup update stable");
    assert_eq!(outcome.log, "");
}

#[test]
fn setup_fails_without_a_linker() {
    let machine = Machine::complete();
    machine.stub_quiet("cc", "exit 1");
    machine.stub("apt-get", "exit 0");
    let outcome = machine.run("scripts/setup.sh", &[]);
    outcome.exits(1).warns("no working C compiler").called("gcc libc6-dev");
}

#[test]
fn macos_and_windows_need_only_rust() {
    for system in ["Darwin", "MINGW64_NT-10.0"] {
        let machine = Machine::new();
        machine.stub_quiet("cargo", GOOD_CARGO);
        machine.stub_quiet("uname", &format!("echo {system}"));
        machine.stub_quiet("xcode-select", "exit 0");
        machine.run("scripts/setup.sh", &[]).exits(0).is_silent();
    }
}

#[test]
fn setup_for_all_adapters_installs_chromium_and_opengl() {
    let machine = Machine::complete();
    machine.stub("apt-get", "exit 0");
    machine.stub_quiet("dpkg-query", "exit 1");
    let outcome = machine.run("scripts/setup.sh", &["--adapters"]);
    outcome.exits(0).called("chromium libegl1 libgl1-mesa-dri libgles2");
}
