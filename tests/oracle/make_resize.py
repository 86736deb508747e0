"""Writes resize.safetensors: what torch.nn.functional.interpolate makes of images in float64.

    python -m venv venv && venv/bin/pip install torch numpy safetensors
    venv/bin/python tests/oracle/make_resize.py

The images are not stored: byte i of each, (rows, columns), is `noise(i)`, which the tests compute
too; its value is byte / 255. Each tensor is named by the sizes, `source rows x columns to rows x
columns every n`, and holds every n-th value of the result from the first on, f64.
"""

from pathlib import Path

import numpy
import torch
from safetensors.numpy import save_file

# ((source rows, columns), (rows, columns)): smallest, equal, up, down, odd, prime, and the largest.
SIZES = [
    ((1, 1), (1, 1)),
    ((1, 1), (4, 5)),
    ((5, 4), (1, 1)),
    ((7, 5), (7, 5)),
    ((7, 5), (13, 11)),
    ((31, 37), (5, 11)),
    ((28, 28), (32, 32)),
    ((28, 28), (224, 224)),
    ((23, 29), (17, 41)),
    ((375, 500), (256, 341)),
    ((1, 4096), (1, 4093)),
    ((4093, 1), (4096, 2)),
    ((2, 3), (4095, 7)),
    ((4096, 3), (3, 4095)),
    ((1021, 1019), (61, 67)),
]
# Values of a result that are kept, about.
MOST = 1500


def noise(count):
    """Bytes without a pattern (a hash by Chris Wellons, nullprogram.com/blog/2018/07/31)."""
    x = numpy.arange(count, dtype=numpy.uint32)
    x ^= x >> numpy.uint32(16)
    x *= numpy.uint32(0x7FEB352D)
    x ^= x >> numpy.uint32(15)
    x *= numpy.uint32(0x846CA68B)
    x ^= x >> numpy.uint32(16)
    return (x & numpy.uint32(255)).astype(numpy.uint8)


def main():
    tensors = {}
    for (h, w), size in SIZES:
        image = torch.from_numpy(noise(h * w).reshape(1, 1, h, w)).double() / 255
        resized = torch.nn.functional.interpolate(
            image, size=size, mode="bilinear", align_corners=False
        )
        values = resized.flatten()
        every = -(-values.numel() // MOST)
        name = f"{h}x{w} to {size[0]}x{size[1]} every {every}"
        tensors[name] = values[::every].contiguous().numpy()
    save_file(tensors, Path(__file__).with_name("resize.safetensors"))


main()
