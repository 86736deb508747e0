#!/usr/bin/env bash
# Measures one step of the book's small network here and in PyTorch, burn, candle and meganeura, in
# turns, and writes tables (results.md, results.json) and a bar chart (peers.svg, peers.png).
#
# `run.sh --help` tells the flags. Python and PyTorch go to target/oracle-venv as for
# scripts/oracle.sh; ORACLE_PYTHON names another Python that has them. The peers are built under
# target/peers, burn alone for half an hour on two cores.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/common.sh
source "$here/../../scripts/common.sh"
# shellcheck source=scripts/oracle_python.sh
source "$root/scripts/oracle_python.sh"

ensure_runtime_dir
ensure_oracle_python
# Checks the flags, too: nothing is built for wrong ones.
crates=$(oracle_python "$here/compare.py" "$@" --list-crates)
case " $* " in
    *" -h "* | *" --help "*) printf '%s\n' "$crates" && exit 0 ;;
esac

section "building vgg-wgpu"
cargo build --release --locked --manifest-path "$root/Cargo.toml"
for crate in $crates; do
    section "building the peer in $crate"
    cargo build --release --locked --manifest-path "$here/$crate/Cargo.toml" \
        --target-dir "$target_dir/peers"
done

section "measuring"
oracle_python "$here/compare.py" "$@" --program "$(program)" --peers "$target_dir/peers/release"
