# shellcheck shell=bash
# A Python with PyTorch for the comparisons; sourced after common.sh, never run.

# Python bytecode is not left in the source tree.
export PYTHONDONTWRITEBYTECODE=1

target_dir=${CARGO_TARGET_DIR:-$root/target}
oracle_venv=$target_dir/oracle-venv

# The program, where cargo builds it.
program() { printf '%s\n' "$target_dir/release/vgg-wgpu"; }

oracle_python() { "${ORACLE_PYTHON:-$oracle_venv/bin/python}" "$@"; }

# First Python that the pinned wheels are made for.
wheel_python() {
    local name
    for name in python3.13 python3.12 python3.11 python3; do
        if have "$name" && "$name" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' \
            2>/dev/null; then
            printf '%s\n' "$name"
            return 0
        fi
    done
    echo "the comparisons need Python 3.11 or newer with venv" >&2
    return 1
}

# Makes target/oracle-venv if it is not there with the versions wanted; a list that has changed is
# installed again. Without dependencies: PyTorch's on Linux are gigabytes of CUDA.
ensure_oracle_python() {
    local wanted=$root/tests/oracle/requirements.txt python
    if [ -n "${ORACLE_PYTHON:-}" ] || cmp -s "$wanted" "$oracle_venv/installed.txt"; then
        return 0
    fi
    section "installing PyTorch and its company under $oracle_venv"
    python=$(wheel_python)
    "$python" -m venv "$oracle_venv"
    oracle_python -m pip install --quiet --no-deps -r "$wanted"
    if is_linux; then
        oracle_python "$root/tests/oracle/cuda_stand_ins.py"
    fi
    oracle_python -c 'import onnxruntime, timm, torch, torchvision'
    cp "$wanted" "$oracle_venv/installed.txt"
}
