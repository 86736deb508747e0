//! `scripts/test.sh`, `smoke.sh` and `quickstart.sh`: order, adapters, failures.

use std::fs;

use crate::machine::{GOOD_CARGO, Machine};

#[test]
fn an_unknown_argument_is_a_usage_error() {
    let machine = Machine::complete();
    for script in ["scripts/setup.sh", "scripts/test.sh"] {
        machine.run(script, &["--nonsense"]).exits(2).warns("usage:");
    }
}

/// A cargo that knows its version, and logs other calls with the adapter that is asked for.
fn logging_cargo(body: &str) -> String {
    format!(
        r#"case "$*" in *--version) {GOOD_CARGO}; exit 0 ;; esac
echo "cargo $* | $WGPU_BACKEND $WGPU_ADAPTER_NAME $VGG_REQUIRE_GPU" >>"$LOG"
{body}"#
    )
}

#[test]
fn test_script_stops_at_the_first_failed_check() {
    let machine = Machine::complete();
    machine.stub_quiet("cargo", &logging_cargo(r#"[ "$1" != clippy ]"#));
    let outcome = machine.run("scripts/test.sh", &[]);
    outcome.exits(1).called("cargo fmt --check").called("cargo clippy");
    assert!(!outcome.log.contains("cargo doc"), "{}", outcome.log);
}

#[test]
fn test_script_runs_doc_tests_beside_nextest() {
    let machine = Machine::complete();
    machine.stub_quiet("cargo", &logging_cargo("exit 0"));
    let outcome = machine.run("scripts/test.sh", &[]);
    outcome.exits(0).called("cargo nextest run --release").called("cargo test --release --doc");
    let left = fs::read_dir(machine.path("tmp")).unwrap().count();
    assert_eq!(left, 0, "temporary files are left behind");
}

#[test]
fn kernels_are_judged_for_gpus_that_are_not_there_where_the_driver_is_installed() {
    let machine = Machine::complete();
    machine.stub_quiet("cargo", &logging_cargo("exit 0"));
    let outcome = machine.run("scripts/test.sh", &[]);
    outcome.exits(0).called("cargo test --release --package gpu-stats");
    assert!(!outcome.log.contains("--check |"), "{}", outcome.log);
    assert!(outcome.stdout.contains("(RADV) is not installed"), "{}", outcome.stdout);

    machine.driver("radeon_icd.x86_64.json", "/usr/lib/libvulkan_radeon.so");
    machine.run("scripts/test.sh", &[]).exits(0).called("--arch vgg16 --channels 3 --check |");
    machine.stub_quiet("cargo", &logging_cargo(r#"[ "$1 $2 $3" != "run --release --quiet" ]"#));
    machine.run("scripts/test.sh", &[]).exits(1);
}

#[test]
fn one_failing_adapter_fails_the_test_script_and_the_others_still_run() {
    let machine = Machine::complete();
    machine.stub_quiet("dpkg-query", "echo 'install ok installed'");
    machine.file("sys/usr/lib/chromium/vk_swiftshader_icd.json", "{}");
    machine.stub_quiet("cargo", &logging_cargo(r#"[ "$WGPU_BACKEND $1" != "gl nextest" ]"#));
    let outcome = machine.run("scripts/test.sh", &["--adapters"]);
    outcome.exits(1).called("--release | vulkan llvmpipe 1").called("--release | gl llvmpipe 1");
    outcome.called("--release | vulkan SwiftShader 1");
    let rows = |end: &str| outcome.stdout.lines().filter(|line| line.ends_with(end)).count();
    assert_eq!((rows("  pass"), rows("  FAIL")), (2, 1), "{}", outcome.stdout);
}

#[test]
fn an_adapter_that_is_not_installed_fails_the_test_script() {
    let machine = Machine::complete();
    machine.stub_quiet("cargo", &logging_cargo("exit 0"));
    let outcome = machine.run("scripts/test.sh", &["--adapters"]);
    outcome.exits(1);
    assert!(outcome.stdout.contains("FAIL (not installed)"), "{}", outcome.stdout);
}

/// A cargo whose `run` leaves a run folder, with `lines` lines of history.
fn training_cargo(lines: &str) -> String {
    logging_cargo(&format!(
        r#"[ "$1" = run ] || exit 0
while [ "$1" != --out ]; do shift; done
mkdir -p "$2"; cd "$2"
for file in model.safetensors curves.svg curves.png; do echo x >"$file"; done
printf '{lines}' >history.csv"#
    ))
}

#[test]
fn smoke_script_wants_every_file_of_a_run() {
    let machine = Machine::complete();
    machine.stub_quiet("cargo", &training_cargo("header\\nepoch\\n"));
    machine.run("scripts/smoke.sh", &[]).exits(0).called("--data embedded");
    machine.stub_quiet("cargo", &training_cargo("header\\n"));
    machine.run("scripts/smoke.sh", &[]).exits(1).warns("history.csv has 1 lines");
    machine.stub_quiet("cargo", &logging_cargo("exit 0"));
    machine.run("scripts/smoke.sh", &[]).exits(1).warns("model.safetensors is missing");
}

#[test]
fn quickstart_passes_further_arguments_on_and_says_where_the_curves_are() {
    let machine = Machine::complete();
    machine.stub_quiet("cargo", &logging_cargo("exit 0"));
    let outcome = machine.run("scripts/quickstart.sh", &["--epochs", "1", "--out", "elsewhere"]);
    outcome.exits(0).called("cargo build --release --locked");
    outcome
        .called("--data embedded")
        .called("--arch vgg11 --ratio 4")
        .called("--epochs 1 --out elsewhere |");
    assert!(outcome.stdout.contains("curves: elsewhere/curves.png"), "{}", outcome.stdout);
}
