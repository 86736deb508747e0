#!/usr/bin/env bash
# Installs what is needed to build and run vgg-wgpu and is missing here; safe to run again, and
# silent when nothing is missing. Exits with 1 only if Rust or a linker is still missing at the end.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=scripts/vulkan.sh
source "$(dirname "${BASH_SOURCE[0]}")/vulkan.sh"

usage() {
    cat <<'USAGE'
usage: scripts/setup.sh [--checks] [--adapters]

Installs what is missing: Rust (by rustup), a C compiler to link with, and on Linux without a
Vulkan driver the Vulkan loader and Mesa's software driver.

  --checks    also rustfmt and clippy, for scripts/test.sh
  --adapters  also lavapipe, SwiftShader (from the package chromium) and Mesa's OpenGL driver, for
              scripts/test.sh --adapters; on Debian and Ubuntu only
USAGE
}

say() { printf 'setup: %s\n' "$*"; }
warn() { printf 'setup: %s\n' "$*" >&2; }

# ---- the system's packages -----------------------------------------------------------------------

# Packages still to install, and for whom they are.
packages=()

package_manager() {
    local manager
    for manager in apt-get dnf pacman zypper; do
        if have "$manager"; then
            printf '%s\n' "$manager"
            return 0
        fi
    done
    return 1
}

# Names of the packages that give $1, by package manager $2.
package_names() {
    case "$1:$2" in
        download:*) echo curl ca-certificates ;;
        linker:apt-get) echo gcc libc6-dev ;;
        linker:*) echo gcc ;;
        vulkan:apt-get) echo libvulkan1 mesa-vulkan-drivers ;;
        vulkan:dnf) echo vulkan-loader mesa-vulkan-drivers ;;
        vulkan:pacman) echo vulkan-icd-loader vulkan-swrast ;;
        vulkan:zypper) echo libvulkan1 libvulkan_lvp ;;
    esac
}

# need WHAT REASON: note the packages for WHAT.
need() {
    local manager
    if ! manager=$(package_manager); then
        by_hand_unknown "$1" "$2"
        return 0
    fi
    say "$2"
    # Names have no spaces in them: the split is wanted.
    # shellcheck disable=SC2207
    packages+=($(package_names "$1" "$manager"))
}

by_hand_unknown() {
    local what=
    case "$1" in
        download) what="curl or wget, and CA certificates" ;;
        linker) what="a C compiler with its headers (gcc or clang, as 'cc')" ;;
        vulkan) what="the Vulkan loader (libvulkan.so.1) and a driver: your GPU's, or Mesa's lavapipe" ;;
    esac
    warn "$2; none of apt-get, dnf, pacman and zypper is here: install by hand $what"
}

# Prints the command in front of a command that needs root: nothing for root, else sudo.
root_command() {
    if [ "$(id -u)" = 0 ]; then
        return 0
    fi
    # Without a terminal nobody can type a password.
    if have sudo && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
        echo sudo
        return 0
    fi
    return 1
}

# The command for the hint to a person who has to install by hand.
install_hint() {
    local manager=$1
    shift
    case "$manager" in
        apt-get) echo "apt-get install $*" ;;
        dnf) echo "dnf install $*" ;;
        pacman) echo "pacman -Syu $*" ;;
        zypper) echo "zypper install $*" ;;
    esac
}

install_packages() {
    local manager prefix=
    if [ "${#packages[@]}" = 0 ]; then
        return 0
    fi
    manager=$(package_manager)
    if ! prefix=$(root_command); then
        warn "installing needs root and sudo can't be used here; run as root:" \
            "$(install_hint "$manager" "${packages[@]}")"
        return 0
    fi
    say "installing with ${prefix:+$prefix }$manager: ${packages[*]}"
    if ! run_manager "$manager" "$prefix" "${packages[@]}"; then
        warn "$manager failed; install by hand: ${prefix:+$prefix }$(
            install_hint "$manager" "${packages[@]}"
        )"
    fi
}

# run_manager MANAGER PREFIX PACKAGE...; PREFIX is empty or sudo.
run_manager() {
    local manager=$1 prefix=$2
    shift 2
    case "$manager" in
        apt-get)
            # A stale list of one source must not stop the install from the others.
            $prefix env DEBIAN_FRONTEND=noninteractive apt-get update -qq || true
            $prefix env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
                --no-install-recommends "$@"
            ;;
        dnf) $prefix dnf install -y --setopt=install_weak_deps=False "$@" ;;
        pacman)
            # Fetch the package list only if there is none: a newer list without a full upgrade
            # breaks an Arch system.
            if first_file "$sysroot"/var/lib/pacman/sync/*.db >/dev/null; then
                $prefix pacman -S --needed --noconfirm "$@"
            else
                $prefix pacman -Sy --needed --noconfirm "$@"
            fi
            ;;
        zypper) $prefix zypper --non-interactive install --no-recommends "$@" ;;
    esac
}

# ---- adapters on Linux --------------------------------------------------------------------------

check_vulkan() {
    local named verdict
    named=${VK_DRIVER_FILES:-${VK_ICD_FILENAMES:-}}
    if [ -n "$named" ]; then
        # The loader looks at these files only, so installing a driver would change nothing.
        verdict=$(named_icd_files "$named" | judge_drivers)
        if [ "$verdict" != ok ]; then
            warn "$verdict among the files named by VK_DRIVER_FILES or VK_ICD_FILENAMES" \
                "($named); unset it to use the system's drivers"
        fi
    fi
    verdict=$(icd_files | judge_drivers)
    if [ "$verdict" = ok ] && ! library_exists libvulkan.so.1; then
        verdict="no Vulkan loader (libvulkan.so.1) found"
    fi
    if [ "$verdict" != ok ]; then
        need vulkan "$verdict"
    elif [ "$adapters" = yes ] && ! lavapipe_icd >/dev/null; then
        need vulkan "no software Vulkan driver (lavapipe) found"
    fi
}

# What scripts/test.sh --adapters needs beside lavapipe.
check_adapters() {
    local package
    if ! have dpkg-query; then
        if ! swiftshader_icd >/dev/null || ! library_exists libEGL.so.1; then
            warn "install by hand for the test on all adapters: Chromium (for SwiftShader)" \
                "and Mesa's EGL and OpenGL drivers"
        fi
        return 0
    fi
    if ! swiftshader_icd >/dev/null; then
        say "no SwiftShader found"
        packages+=(chromium)
    fi
    for package in libegl1 libgl1-mesa-dri libgles2; do
        if ! dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep ' installed$' >/dev/null; then
            say "no $package found"
            packages+=("$package")
        fi
    done
}

# ---- Rust ----------------------------------------------------------------------------------------

# Can a C program be compiled and linked? rustc links through cc, and a dependency compiles C.
can_link() {
    local folder status=0
    case "$(uname -s)" in
        # cc is always there on macOS; without the tools it opens a dialog.
        Darwin) xcode-select -p >/dev/null 2>&1 && return 0 || return 1 ;;
        Linux) ;;
        *) return 0 ;;
    esac
    have cc || return 1
    folder=$(mktemp -d)
    printf '#include <stdlib.h>\nint main(void) { return EXIT_SUCCESS; }\n' >"$folder/probe.c"
    cc "$folder/probe.c" -o "$folder/probe" >/dev/null 2>&1 || status=1
    rm -rf "$folder"
    return "$status"
}

# The oldest Rust that the crate builds with, as in 1.88.
wanted_rust=$(sed -n 's/^rust-version = "\([0-9.]*\)".*/\1/p' "$root/Cargo.toml" 2>/dev/null) || true
if [ -z "$wanted_rust" ]; then
    warn "no rust-version in $root/Cargo.toml: nothing was checked or installed"
    exit 1
fi

# Prints the version of cargo in use, as in 1.95.0; fails for rustup's stand-in without a toolchain.
found_rust() { (cd "$root" && cargo --version 2>/dev/null) | sed -n 's/^cargo \([0-9.]*\).*/\1/p' | grep .; }

# at_least FOUND WANTED, compared by the first two numbers.
at_least() {
    local found_major found_minor wanted_major wanted_minor rest
    IFS=. read -r found_major found_minor rest <<<"$1"
    # shellcheck disable=SC2034 # rest takes what follows the second number
    IFS=. read -r wanted_major wanted_minor rest <<<"$2"
    [ "$found_major" -gt "$wanted_major" ] ||
        { [ "$found_major" -eq "$wanted_major" ] && [ "$found_minor" -ge "${wanted_minor:-0}" ]; }
}

rust_is_usable() {
    local found
    found=$(found_rust) && at_least "$found" "$wanted_rust"
}

download_rustup() {
    if have curl; then
        curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs -o "$1"
    elif have wget; then
        wget -q -O "$1" https://sh.rustup.rs
    else
        warn "neither curl nor wget is here"
        return 1
    fi
}

install_rustup() {
    local script host=()
    say "installing Rust with rustup (https://rustup.rs): stable toolchain, minimal profile, rustfmt" \
        "and clippy, in ${cargo_bin%/bin}; it adds that to PATH in your shell's profile"
    script=$(mktemp)
    temporary+=("$script")
    download_rustup "$script" || return 1
    case "$(uname -s)" in
        MINGW* | MSYS* | CYGWIN*)
            # Asked from a POSIX shell, rustup would take the GNU toolchain, which needs MinGW.
            host=(--default-host "$(uname -m)-pc-windows-msvc")
            warn "Rust on Windows links with the C++ build tools of Visual Studio:" \
                "https://visualstudio.microsoft.com/visual-cpp-build-tools/"
            ;;
    esac
    sh "$script" -y --profile minimal --default-toolchain stable \
        --component rustfmt --component clippy ${host[@]+"${host[@]}"} || return 1
    hash -r
    say "in the shells that are open now, run: . \"${cargo_bin%/bin}/env\""
}

# Rust that is there is left as it is: other projects may rely on its version. Only a rustup without
# any toolchain gets one.
ensure_rust() {
    local found=
    rust_is_usable && return 0
    if found=$(found_rust); then
        warn "Rust $found is in use, $wanted_rust or later is needed:" \
            "run 'rustup update stable' (from https://rustup.rs), or set RUSTUP_TOOLCHAIN"
        return 1
    fi
    if ! have rustup; then
        install_rustup || warn "rustup could not be installed"
    elif rustup toolchain list 2>/dev/null | grep -v '^no installed' | grep . >/dev/null; then
        warn "rustup has toolchains but none of them is in use: run 'rustup default stable'"
        return 1
    else
        say "rustup has no toolchain: installing stable, minimal profile, rustfmt and clippy"
        { rustup toolchain install stable --profile minimal --component rustfmt \
            --component clippy && rustup default stable; } || warn "rustup failed"
    fi
    rust_is_usable && return 0
    warn "Rust $wanted_rust or later is needed: install it from https://rustup.rs"
    return 1
}

# rustfmt and clippy, which a minimal toolchain lacks.
ensure_check_tools() {
    local tool package
    for tool in fmt clippy; do
        case $tool in fmt) package=rustfmt ;; *) package=$tool ;; esac
        if (cd "$root" && cargo "$tool" --version) >/dev/null 2>&1; then continue; fi
        if have rustup; then
            say "adding $package to the Rust toolchain"
            (cd "$root" && rustup component add "$package") || warn "rustup failed"
        else
            warn "cargo $tool is missing: install the package $package"
        fi
    done
}

ensure_linker() {
    can_link && return 0
    case "$(uname -s)" in
        Darwin) warn "no linker found: run 'xcode-select --install'" ;;
        *) warn "no working C compiler 'cc' found: Rust needs it to link" ;;
    esac
    return 1
}

# ---- in order ------------------------------------------------------------------------------------

main() {
    local checks=no status=0 argument
    adapters=no
    for argument in "$@"; do
        case "$argument" in
            --checks) checks=yes ;;
            --adapters) adapters=yes ;;
            -h | --help) usage && return 0 ;;
            *) usage >&2 && return 2 ;;
        esac
    done
    if is_linux; then
        if ! rust_is_usable && ! have rustup && ! have curl && ! have wget; then
            need download "neither curl nor wget found, to download Rust with"
        fi
        can_link || need linker "no working C compiler found, which Rust links with"
        check_vulkan
        if [ "$adapters" = yes ]; then check_adapters; fi
        install_packages
    fi
    ensure_linker || status=1
    ensure_rust || status=1
    if [ "$checks" = yes ] && [ "$status" = 0 ]; then ensure_check_tools; fi
    return "$status"
}

main "$@"
