"""Writes pillow.safetensors: what Pillow's Image.resize(..., BILINEAR) makes of 8-bit images.

    python -m venv venv && venv/bin/pip install 'pillow==13.0.0' numpy safetensors
    venv/bin/python tests/oracle/make_pillow.py

The images are not stored: byte i of each is `noise(i)`, which the tests compute too. Each tensor is
named by the sizes, `source rows x columns to rows x columns x channels every n`, and holds every n-th
row of the result from the first on, (rows, columns, channels) u8.

Pillow before 13 always resizes along the columns first; 13.0 begins with the rows for some sizes, which
changes some bytes by one. These are of 13.0.
"""

from pathlib import Path

import numpy
from PIL import Image
from safetensors.numpy import save_file

# ((source rows, columns), (rows, columns)): smallest, equal, up, down, along one side, odd, prime.
SIZES = [
    ((1, 1), (1, 1)),
    ((1, 1), (4, 5)),
    ((5, 4), (1, 1)),
    ((2, 2), (3, 3)),
    ((7, 5), (7, 5)),
    ((7, 5), (7, 11)),
    ((7, 5), (13, 5)),
    ((31, 37), (31, 11)),
    ((31, 37), (5, 37)),
    ((28, 28), (32, 32)),
    ((28, 28), (224, 224)),
    ((23, 29), (17, 41)),
    ((101, 97), (53, 7)),
    ((3, 251), (5, 64)),
    ((640, 3), (9, 3)),
    ((375, 500), (256, 341)),
    ((500, 375), (341, 256)),
    ((1000, 1), (7, 1)),
    ((480, 640), (32, 32)),
]
# Bytes of a result that are kept, about.
MOST = 6000


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
    for (h, w), (rows, columns) in SIZES:
        for channels in (1, 3):
            image = noise(h * w * channels).reshape(h, w, channels)
            picture = Image.fromarray(image[:, :, 0] if channels == 1 else image)
            resized = picture.resize((columns, rows), Image.Resampling.BILINEAR)
            result = numpy.asarray(resized).reshape(rows, columns, channels)
            every = -(-result.size // MOST)
            name = f"{h}x{w} to {rows}x{columns}x{channels} every {every}"
            tensors[name] = numpy.ascontiguousarray(result[::every])
    save_file(tensors, Path(__file__).with_name("pillow.safetensors"))


main()
