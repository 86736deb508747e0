# shellcheck shell=bash
# Whether Linux has a Vulkan driver that can work here: the loader's search for driver files, done
# without the loader. Sourced by setup.sh after common.sh.

# library_exists NAME: is the shared library where the dynamic linker looks?
library_exists() {
    local cache folder ldconfig
    for ldconfig in ldconfig /sbin/ldconfig; do
        if [ -n "$sysroot" ] && [ "$ldconfig" != ldconfig ]; then
            continue
        fi
        # Into a variable: with pipefail, a grep that stops early would make this fail.
        if cache=$("$ldconfig" -p 2>/dev/null); then
            case "$cache" in *"$1 "*) return 0 ;; esac
        fi
    done
    local IFS=:
    for folder in ${LD_LIBRARY_PATH:-}; do
        if [ -n "$folder" ] && [ -e "$folder/$1" ]; then
            return 0
        fi
    done
    unset IFS
    for folder in "$sysroot"/lib "$sysroot"/lib64 "$sysroot"/usr/lib "$sysroot"/usr/lib64 \
        "$sysroot"/usr/lib/*-linux-* "$sysroot"/usr/local/lib "$sysroot"/run/opengl-driver/lib; do
        if [ -e "$folder/$1" ]; then
            return 0
        fi
    done
    return 1
}

# Prints the driver files (ICD) that the Vulkan loader would find, one a line.
icd_files() {
    local folder folders file
    folders="${XDG_CONFIG_HOME:-${HOME:-}/.config}:${XDG_CONFIG_DIRS:-$sysroot/etc/xdg}"
    folders="$folders:$sysroot/etc:$sysroot/usr/local/etc"
    folders="$folders:${XDG_DATA_HOME:-${HOME:-}/.local/share}"
    folders="$folders:${XDG_DATA_DIRS:-}:$sysroot/usr/local/share:$sysroot/usr/share"
    folders="$folders:$sysroot/run/opengl-driver/share"
    local IFS=:
    for folder in $folders; do
        for file in "$folder"/vulkan/icd.d/*.json; do
            if [ -f "$file" ]; then printf '%s\n' "$file"; fi
        done
    done
    named_icd_files "${VK_ADD_DRIVER_FILES:-}"
}

# Prints the driver files in a list of files and folders separated by colons.
named_icd_files() {
    local entry file IFS=:
    for entry in $1; do
        for file in "$entry" "$entry"/*.json; do
            if [ -f "$file" ]; then printf '%s\n' "$file"; fi
        done
    done
}

# Prints what a driver file stands for: mock, missing, software or hardware.
driver_kind() {
    local library
    library=$(sed -n 's/.*"library_path"[[:space:]]*:[[:space:]]*"\([^"]*\)".*/\1/p' "$1")
    case "$library" in
        *mock*) echo mock && return 0 ;;
        "") echo missing && return 0 ;;
        /*) [ -e "$sysroot$library" ] || { echo missing && return 0; } ;;
        */*) [ -e "$(dirname "$1")/$library" ] || { echo missing && return 0; } ;;
        *) library_exists "$library" || { echo missing && return 0; } ;;
    esac
    case "$library" in
        *lvp* | *lavapipe* | *swiftshader*) echo software ;;
        *) echo hardware ;;
    esac
}

# Does the kernel offer a GPU that a hardware driver could open?
gpu_device_exists() {
    local node
    for node in "$sysroot"/dev/dri/renderD* "$sysroot"/dev/nvidia[0-9]* "$sysroot"/dev/nvidiactl \
        "$sysroot"/dev/dxg "$sysroot"/dev/mali* "$sysroot"/dev/kgsl-3d0; do
        if [ -e "$node" ]; then return 0; fi
    done
    return 1
}

# Reads driver files from its input; prints "ok" or why none of them is a driver for this machine.
judge_drivers() {
    local file mock='' missing='' idle=''
    while IFS= read -r file; do
        case "$(driver_kind "$file")" in
            software) echo ok && return 0 ;;
            hardware)
                if gpu_device_exists; then echo ok && return 0; fi
                idle=$file
                ;;
            mock) mock=$file ;;
            missing) missing=$file ;;
        esac
    done
    if [ -n "$idle" ]; then
        echo "the Vulkan driver of $idle has no GPU here"
    elif [ -n "$missing" ]; then
        echo "the library that $missing names is missing"
    elif [ -n "$mock" ]; then
        echo "the only Vulkan driver, $mock, is a mock that computes nothing"
    else
        echo "no Vulkan driver found"
    fi
}
