#!/usr/bin/env bash
# Repeats every comparison with PyTorch: computes the fixtures of tests/oracle again, shows whether
# the committed ones differ, and compares the program with PyTorch on whole networks.
#
# Python and pinned wheels from PyPI go to target/oracle-venv; ORACLE_PYTHON names another Python
# that has them. tests/oracle/README.md tells more.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=scripts/oracle_python.sh
source "$root/scripts/oracle_python.sh"

usage() {
    cat <<'USAGE'
usage: scripts/oracle.sh [--write] [CHECK...]

  --write  write the fixtures anew instead of comparing with them
  CHECK    only these of the live comparisons: tests/oracle/live.py --list
USAGE
}

fixtures=(--check)
checks=()
for argument in "$@"; do
    case "$argument" in
        --write) fixtures=() ;;
        -h | --help) usage && exit 0 ;;
        -*) usage >&2 && exit 2 ;;
        *) checks+=("$argument") ;;
    esac
done

ensure_runtime_dir
ensure_oracle_python
section "building"
cargo build --release --locked --manifest-path "$root/Cargo.toml"

failed=no
section "fixtures"
oracle_python "$root/tests/oracle/make_fixtures.py" ${fixtures[@]+"${fixtures[@]}"} || failed=yes
section "live comparisons"
oracle_python "$root/tests/oracle/live.py" --program "$(program)" ${checks[@]+"${checks[@]}"} ||
    failed=yes
[ "$failed" = no ] || exit 1
section "all comparisons passed"
