#!/usr/bin/env bash
# Every check of the project: format, lints, documentation, scripts and tests. What CI runs.
#
# VGG_REQUIRE_GPU=1 makes the tests fail where they find no adapter, instead of being reported as
# skipped; WGPU_BACKEND and WGPU_ADAPTER_NAME choose the adapter. The tests read all three.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
    cat <<'USAGE'
usage: scripts/test.sh [--adapters]

  --adapters  the tests on three adapters instead of the default one: Mesa's Vulkan (lavapipe),
              wgpu's OpenGL backend on Mesa, and SwiftShader; a missing adapter counts as failed
USAGE
}

# The lints and the documentation use the release profile: in its folder build scripts and procedural
# macros are then built once, for them and for the tests.
static_checks() {
    section "cargo fmt --check"
    cargo fmt --check --all
    section "cargo clippy"
    cargo clippy --release --workspace --all-targets -- -D warnings
    section "cargo doc"
    RUSTDOCFLAGS="-D warnings" cargo doc --release --workspace --no-deps
    if have shellcheck; then
        section "shellcheck"
        shellcheck -x scripts/*.sh examples/*.sh benches/peers/*.sh .ci/run
    fi
}

# The main kernels on AMD GPUs that are not there: registers, occupancy, fused multiply-adds. For a
# network with few channels and one with many, and with each of Winograd's tiles.
gpu_stats() {
    section "gpu-stats"
    cargo test --release --package gpu-stats
    if ! radv_icd >/dev/null; then
        echo "skipped: Mesa's driver of AMD GPUs (RADV) is not installed"
        return
    fi
    cargo run --release --quiet --package gpu-stats -- --arch vgg11 --ratio 4 --check
    cargo run --release --quiet --package gpu-stats -- --arch vgg16 --channels 3 --check
    local tile pass
    for tile in 2x2 4x4; do
        local winograd=()
        for pass in forward backward_data backward_weights; do
            winograd+=(--variant "winograd_${pass}_${tile}_tiled")
        done
        cargo run --release --quiet --package gpu-stats -- --arch vgg11 --ratio 4 --check "${winograd[@]}"
    done
}

# All tests. Joined by && because a caller that asks for the outcome switches set -e off in here.
run_tests() {
    if cargo nextest --version >/dev/null 2>&1; then
        # nextest does not run the examples in the documentation.
        cargo nextest run --release && cargo test --release --doc
    else
        cargo test --release
    fi
}

# run_tests_with VARIABLE=VALUE...: in a subshell, so the variables end with it.
run_tests_with() (
    # shellcheck disable=SC2163 # the arguments are whole assignments
    export "$@"
    run_tests
)

summary=()
failed=no

# on_adapter NAME DRIVER_FILE VARIABLE=VALUE...: the tests with these variables set; DRIVER_FILE is
# empty where none was found, and "-" where none is needed.
on_adapter() {
    local name=$1 driver=$2 start=$SECONDS outcome=pass
    shift 2
    section "tests on $name"
    if [ -z "$driver" ]; then
        echo "not installed: scripts/setup.sh --adapters says what is needed" >&2
        outcome="FAIL (not installed)"
    elif ! run_tests_with VGG_REQUIRE_GPU=1 "$@"; then
        outcome=FAIL
    fi
    if [ "$outcome" != pass ]; then failed=yes; fi
    summary+=("$(printf '%-24s %8s  %s' "$name" "$(clock $((SECONDS - start)))" "$outcome")")
}

test_adapters() {
    local lavapipe swiftshader egl=()
    lavapipe=$(lavapipe_icd) || lavapipe=
    swiftshader=$(swiftshader_icd) || swiftshader=
    on_adapter "Vulkan (lavapipe)" "$lavapipe" \
        VK_DRIVER_FILES="$lavapipe" VK_ICD_FILENAMES="$lavapipe" \
        WGPU_BACKEND=vulkan WGPU_ADAPTER_NAME=llvmpipe
    # Where another vendor's EGL is installed too, Mesa's has to be named.
    if [ -f "$sysroot/usr/share/glvnd/egl_vendor.d/50_mesa.json" ]; then
        egl=(__EGL_VENDOR_LIBRARY_FILENAMES="$sysroot/usr/share/glvnd/egl_vendor.d/50_mesa.json")
    fi
    on_adapter "OpenGL (Mesa)" - LIBGL_ALWAYS_SOFTWARE=1 ${egl[@]+"${egl[@]}"} \
        WGPU_BACKEND=gl WGPU_ADAPTER_NAME=llvmpipe
    on_adapter "Vulkan (SwiftShader)" "$swiftshader" \
        VK_DRIVER_FILES="$swiftshader" VK_ICD_FILENAMES="$swiftshader" \
        WGPU_BACKEND=vulkan WGPU_ADAPTER_NAME=SwiftShader

    section "summary"
    printf '%s\n' "${summary[@]}"
    [ "$failed" = no ]
}

adapters=no
for argument in "$@"; do
    case "$argument" in
        --adapters) adapters=yes ;;
        -h | --help) usage && exit 0 ;;
        *) usage >&2 && exit 2 ;;
    esac
done

cd "$root"
if [ "$adapters" = yes ]; then
    scripts/setup.sh --checks --adapters
    ensure_runtime_dir
    static_checks
    gpu_stats
    test_adapters
else
    scripts/setup.sh --checks
    ensure_runtime_dir
    static_checks
    gpu_stats
    section "tests"
    run_tests
fi
section "all checks passed"
