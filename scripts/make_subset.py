#!/usr/bin/env python3
"""Draw the class-balanced Fashion-MNIST subset that is embedded in the program.

Reads the four original gzip IDX files, walks each split in the order of a seeded permutation and
keeps an image while its class still has room. The permutation is the one of `src/data/shuffle.rs`
(same generator, same bounded draws), so a test of the crate draws the subset again and compares.
The order of the walk is kept: any prefix of the subset is itself a random sample.

The bytes written are a pure function of the input, apart from the version of zlib.
Python's standard library only.
"""

import argparse
import gzip
import hashlib
import io
import struct
import sys
from pathlib import Path

SEED = 20170828
CLASSES = [
    "t-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
]
# split prefix, epoch of the permutation, images kept of each class
SPLITS = [("train", 0, 1000), ("t10k", 1, 200)]
MASK = (1 << 64) - 1
GAMMA = 0x9E3779B97F4A7C15


def mix(z):
    """The output function of SplitMix64."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


class SplitMix64:
    def __init__(self, seed, epoch):
        self.state = mix(mix((seed + GAMMA) & MASK) ^ epoch)

    def next(self):
        self.state = (self.state + GAMMA) & MASK
        return mix(self.state)

    def below(self, bound):
        """Uniform in 0..bound: Lemire's multiplication with rejection."""
        threshold = ((1 << 64) - bound) % bound
        while True:
            product = self.next() * bound
            if product & MASK >= threshold:
                return product >> 64


def permutation(n, seed, epoch):
    order = list(range(n))
    random = SplitMix64(seed, epoch)
    for i in range(n - 1, 0, -1):
        j = random.below(i + 1)
        order[i], order[j] = order[j], order[i]
    return order


def read_idx(path, dims):
    data = gzip.decompress(path.read_bytes())
    header = struct.unpack_from(f">{dims + 1}I", data)
    if header[0] != 0x0800 + dims:
        sys.exit(f"{path}: magic {header[0]:#010x}, expected {0x0800 + dims:#010x}")
    return header[1:], data[4 * (dims + 1) :]


def write_gzip(path, data):
    """gzip -9 without a name and with a zero time."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=buffer, mtime=0) as out:
        out.write(data)
    path.write_bytes(buffer.getvalue())


def draw(labels, epoch, per_class):
    left = [per_class] * len(CLASSES)
    chosen = []
    for index in permutation(len(labels), SEED, epoch):
        label = labels[index]
        if left[label]:
            left[label] -= 1
            chosen.append(index)
    if any(left):
        sys.exit(f"too few images of some classes: {left} missing")
    return chosen


def make(source, out):
    out.mkdir(parents=True, exist_ok=True)
    for prefix, epoch, per_class in SPLITS:
        images_name = f"{prefix}-images-idx3-ubyte.gz"
        labels_name = f"{prefix}-labels-idx1-ubyte.gz"
        (count, rows, columns), pixels = read_idx(source / images_name, 3)
        (label_count,), labels = read_idx(source / labels_name, 1)
        if count != label_count:
            sys.exit(f"{prefix}: {count} images, {label_count} labels")
        chosen = draw(labels, epoch, per_class)
        size = rows * columns
        picked = b"".join(pixels[i * size : (i + 1) * size] for i in chosen)
        header = struct.pack(">4I", 0x0803, len(chosen), rows, columns)
        write_gzip(out / images_name, header + picked)
        header = struct.pack(">2I", 0x0801, len(chosen))
        write_gzip(out / labels_name, header + bytes(labels[i] for i in chosen))
    (out / "classes.txt").write_text("".join(f"{name}\n" for name in CLASSES), encoding="utf-8")


def main():
    root = Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description="Draw the embedded Fashion-MNIST subset.")
    parser.add_argument(
        "--source",
        type=Path,
        default=Path("/usr/share/datasets/fashion-mnist"),
        help="folder of the four original .gz files (default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=root / "data" / "fashion-mnist-subset",
        help="folder to write (default: %(default)s)",
    )
    arguments = parser.parse_args()
    make(arguments.source, arguments.out)
    for path in sorted(arguments.out.iterdir()):
        data = path.read_bytes()
        print(f"{hashlib.sha256(data).hexdigest()}  {len(data):>8}  {path.name}")


if __name__ == "__main__":
    main()
