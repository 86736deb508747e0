#!/usr/bin/env bash
# Trains a very small network for one epoch on 512 of the embedded images, and checks that the run
# leaves its files. Says nothing about accuracy.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

fail() {
    printf 'smoke: %s\n' "$*" >&2
    exit 1
}

ensure_runtime_dir
folder=$(mktemp -d)
temporary+=("$folder")
run="$folder/run"

section "one short training run"
vgg_wgpu train --data embedded --arch vgg11 --ratio 8 --resize 32 --limit 512 --batch 64 --epochs 1 \
    --init kaiming --momentum 0.9 --lr 0.02 --out "$run"

for file in model.safetensors history.csv curves.svg curves.png; do
    [ -s "$run/$file" ] || fail "$file is missing or empty in the run folder"
done
lines=$(grep -c '' "$run/history.csv")
[ "$lines" -eq 2 ] || fail "history.csv has $lines lines, expected 2: the header and one epoch"
section "the run left model, history and curves"
