#!/usr/bin/env bash
# Trains the book's small network on all of Fashion-MNIST at 64 px, here and in PyTorch, with the
# same hyper-parameters, and draws both histories in one picture. Hours on two cores: PyTorch's run
# resumes where it was stopped, and a finished run is not repeated.
#
# EPOCHS (5) and LIMIT (all images) shorten it; OUT is the folder of the results, VGG_WGPU_DATA that
# of the images. Further arguments go to `vgg-wgpu train`.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/common.sh
source "$here/../../scripts/common.sh"
# shellcheck source=scripts/oracle_python.sh
source "$root/scripts/oracle_python.sh"

epochs=${EPOCHS:-5}
limit=${LIMIT:-60000}
out=${OUT:-$root/runs/accuracy-$limit}
cache=${XDG_CACHE_HOME:-${HOME:-}/.cache}/vgg-wgpu/fashion-mnist

# The folder of the images, downloaded by the program if there is none.
images() {
    local folder
    for folder in "${VGG_WGPU_DATA:-}" "$cache" /usr/share/datasets/fashion-mnist; do
        if first_file "$folder"/train-images*idx3-ubyte* >/dev/null; then
            printf '%s\n' "$folder"
            return 0
        fi
    done
    return 1
}

# Epochs that a history holds.
finished() { if [ -f "$1" ]; then awk 'NR > 1' "$1" | grep -c '' || true; else echo 0; fi; }

ensure_runtime_dir
ensure_oracle_python
section "building"
cargo build --release --locked --manifest-path "$root/Cargo.toml"
data=$(images) || { vgg_wgpu fetch && data=$(images); }
mkdir -p "$out"

section "vgg-wgpu: $epochs epochs of $limit images from $data"
if [ "$(finished "$out/vgg-wgpu/history.csv")" -lt "$epochs" ]; then
    rm -rf "$out/vgg-wgpu"
    "$(program)" train --data "$data" --limit "$limit" --arch vgg11 --ratio 4 --resize 64 \
        --init kaiming --lr 0.02 --momentum 0.9 --batch 64 --epochs "$epochs" \
        --out "$out/vgg-wgpu" "$@"
fi
section "PyTorch: the same"
oracle_python "$here/accuracy_torch.py" --data "$data" --limit "$limit" --epochs "$epochs" --out "$out"
section "picture"
oracle_python "$here/accuracy_plot.py" "$out"
