# shellcheck shell=bash
# What the other scripts share; sourced, never run. Works with the bash 3.2 of macOS.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# Prefix of the system paths that are looked at. Empty but in the tests of these scripts.
sysroot=${VGG_SYSROOT:-}

# Where rustup puts cargo: a shell opened before rustup was installed does not have it in PATH.
cargo_bin=${CARGO_HOME:-${HOME:-}/.cargo}/bin
case ":$PATH:" in
    *":$cargo_bin:"*) ;;
    *) PATH="$cargo_bin:$PATH" && export PATH ;;
esac

have() { command -v "$1" >/dev/null 2>&1; }

is_linux() { [ "$(uname -s)" = Linux ]; }

# 75 -> 1:15
clock() { printf '%d:%02d' $(($1 / 60)) $(($1 % 60)); }

# A line before each part of the work, with the time since the script began.
section() { printf '\n==> [%s] %s\n' "$(clock "$SECONDS")" "$*"; }

# First argument that is a readable file; fails when there is none.
first_file() {
    local file
    for file in "$@"; do
        if [ -f "$file" ] && [ -r "$file" ]; then
            printf '%s\n' "$file"
            return 0
        fi
    done
    return 1
}

# The file that tells the Vulkan loader where Mesa's software driver (lavapipe) is.
lavapipe_icd() {
    first_file "$sysroot"/usr/share/vulkan/icd.d/lvp_icd*"$(uname -m)"*.json \
        "$sysroot"/usr/share/vulkan/icd.d/lvp_icd*.json \
        "$sysroot"/usr/local/share/vulkan/icd.d/lvp_icd*.json \
        "$sysroot"/etc/vulkan/icd.d/lvp_icd*.json
}

# The same for SwiftShader, which comes with Chromium and Chrome.
swiftshader_icd() {
    first_file "$sysroot"/usr/lib/chromium*/vk_swiftshader_icd.json \
        "$sysroot"/usr/lib64/chromium*/vk_swiftshader_icd.json \
        "$sysroot"/usr/lib/chromium*/swiftshader/vk_swiftshader_icd.json \
        "$sysroot"/snap/chromium/current/usr/lib/chromium*/vk_swiftshader_icd.json \
        "$sysroot"/opt/google/chrome*/vk_swiftshader_icd.json \
        "$sysroot"/opt/chromium*/vk_swiftshader_icd.json
}

# The same for Mesa's driver of AMD GPUs (RADV), which compiles for GPUs that are not there too.
radv_icd() {
    first_file "$sysroot"/usr/share/vulkan/icd.d/radeon_icd*"$(uname -m)"*.json \
        "$sysroot"/usr/share/vulkan/icd.d/radeon_icd.json
}

# Folders and files to delete when the script ends.
temporary=()
remove_temporary() {
    if [ "${#temporary[@]}" -gt 0 ]; then
        rm -rf "${temporary[@]}"
    fi
}
trap remove_temporary EXIT

# OpenGL drivers print a complaint at every start when this folder is not named, as in a container.
ensure_runtime_dir() {
    if is_linux && [ -z "${XDG_RUNTIME_DIR:-}" ]; then
        XDG_RUNTIME_DIR=$(mktemp -d)
        export XDG_RUNTIME_DIR
        temporary+=("$XDG_RUNTIME_DIR")
    fi
}

# The program, built if it is not; cargo knows where its target folder is.
vgg_wgpu() {
    cargo run --release --quiet --manifest-path "$root/Cargo.toml" --bin vgg-wgpu -- "$@"
}
