#!/usr/bin/env bash
# From a folder of pictures to a network that knows them: trains it, measures it, tells what pictures show
# and draws where it sees that. Without a folder it makes one of images embedded in the program.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/common.sh"

usage() {
    cat <<'USAGE'
usage: examples/own_pictures.sh [FOLDER [FLAG...]]

  FOLDER  holds a folder of pictures for each class; without it three classes of Fashion-MNIST's images
          are made into pictures
  FLAG    of `vgg-wgpu train`, wins over those of this script, as in: --resize 96 --epochs 30

VGG_WGPU names a program that is built, VGG_RUNS the folder for results instead of runs/own-pictures.
USAGE
}

case "${1:-}" in
    -h | --help) usage && exit 0 ;;
    -*) usage >&2 && exit 2 ;;
esac

# Small enough for a minute on two cores without a GPU; a network for real use has more of everything.
train_args=(
    --arch '1x16,1x32,1x64,1x64' --resize 48 --flip
    --init kaiming --lr 0.01 --momentum 0.9
    --batch 16 --epochs 10
)
# Classes of which a picture is looked at.
most_classes=6

# A folder that is not there yet: earlier results are kept.
fresh_folder() {
    local first=$1 folder=$1 number=2
    while [ -e "$folder" ]; do
        folder="$first-$number"
        number=$((number + 1))
    done
    printf '%s\n' "$folder"
}

# The program that VGG_WGPU names, or cargo's.
program() {
    if [ -n "${VGG_WGPU:-}" ]; then
        "$VGG_WGPU" "$@"
    else
        vgg_wgpu "$@"
    fi
}

# The first picture of each class, one a line.
first_pictures() {
    local class
    for class in "$1"/*/; do
        find "$class" -type f \( -iname '*.png' -o -iname '*.jp*g' -o -iname '*.webp' -o -iname '*.bmp' \
            -o -iname '*.gif' -o -iname '*.tif*' \) | sort | sed -n 1p
    done | sed -n "1,${most_classes}p"
}

ensure_runtime_dir
results=$(fresh_folder "${VGG_RUNS:-$root/runs/own-pictures}")
mkdir -p "$results"
if [ $# -gt 0 ]; then
    pictures=$1
    shift
else
    section "making pictures"
    pictures=$results/pictures
    cargo run --release --quiet --manifest-path "$root/Cargo.toml" --example make_pictures -- "$pictures"
fi
run=$results/run

section "training"
program train --data "$pictures" --out "$run" "${train_args[@]}" "$@"

section "measuring on the pictures kept back"
program eval "$run" --data "$pictures"

# bash 3.2 has no readarray.
chosen=()
while IFS= read -r picture; do chosen+=("$picture"); done < <(first_pictures "$pictures")

section "telling what pictures show"
program predict "$run" "${chosen[@]}" --csv >"$results/predictions.csv"
cat "$results/predictions.csv"

section "drawing where it is seen"
program explain "$run" "${chosen[@]}" --out "$results/explained"

section "done"
cat <<DONE
pictures      $pictures
model         $run/model.safetensors
curves        $run/curves.png
predictions   $results/predictions.csv
heat maps     $results/explained
DONE
