#!/usr/bin/env bash
# Installs what is missing, builds, and trains a small VGG on Fashion-MNIST images embedded in the
# program: a few minutes on two cores without a GPU. Further arguments go to `vgg-wgpu train`
# and win over the ones below, as in: scripts/quickstart.sh --epochs 10
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# The book's network with a quarter of the channels. Kaiming weights and momentum: with the book's
# settings, 10,000 images of 32 px stay at the loss of guessing for the first epochs. 9,000 of them
# end in less than three minutes on two cores.
train_args=(
    --data embedded --limit 9000
    --arch vgg11 --ratio 4 --resize 32
    --init kaiming --lr 0.01 --momentum 0.9
    --batch 64 --epochs 3
)

# A run folder that is not there yet: an earlier run is kept.
fresh_run_folder() {
    local folder="$root/runs/quickstart" number=2
    while [ -e "$folder" ]; do
        folder="$root/runs/quickstart-$number"
        number=$((number + 1))
    done
    printf '%s\n' "$folder"
}

# The run folder that the user's arguments ask for; empty if they name none.
named_run_folder() {
    local folder='' previous='' argument
    for argument in "$@"; do
        case "$previous" in
            --out) folder=$argument ;;
            --name) folder="runs/$argument" ;;
        esac
        case "$argument" in
            --out=*) folder=${argument#--out=} ;;
            --name=*) folder="runs/${argument#--name=}" ;;
        esac
        previous=$argument
    done
    printf '%s\n' "$folder"
}

"$root/scripts/setup.sh"
ensure_runtime_dir

section "building"
cargo build --release --locked --manifest-path "$root/Cargo.toml"

run=$(named_run_folder "$@")
if [ -z "$run" ]; then
    run=$(fresh_run_folder)
    train_args+=(--out "$run")
fi

section "training"
vgg_wgpu train "${train_args[@]}" "$@"

section "done"
echo "curves: $run/curves.png and $run/curves.svg"
