"""What PyTorch's interpolate and Pillow's resize make of 8-bit images."""

import numpy as np
import PIL
import torch
import torch.nn.functional as F
from PIL import Image

import generator

# ((source rows, columns), (rows, columns)): smallest, equal, up, down, odd, prime, and the largest.
BILINEAR = [
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

# ((source rows, columns), (rows, columns)): smallest, equal, up, down, along one side, odd, prime.
PILLOW = [
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

# Values and bytes of a result that are kept, about.
MOST_VALUES, MOST_BYTES = 1500, 6000


def image_of(shape):
    return generator.pixels("resize/" + "x".join(map(str, shape)), shape)


def pil_resize(image, size):
    """Pillow's BILINEAR of a uint8 `(h, w, c)`, to `(height, width)`."""
    picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    resized = np.asarray(picture.resize(size[::-1], Image.Resampling.BILINEAR))
    return resized.reshape(*size, image.shape[2])


def bilinear_fixture():
    out = {}
    for (h, w), size in BILINEAR:
        plane = torch.from_numpy(image_of((h, w, 1))).double().reshape(1, 1, h, w) / 255
        values = F.interpolate(plane, size=size, mode="bilinear", align_corners=False).flatten()
        every = -(-values.numel() // MOST_VALUES)
        out[f"{h}x{w} to {size[0]}x{size[1]} every {every}"] = values[::every].numpy()
    return out, {}


def pillow_fixture():
    out = {}
    for (h, w), (rows, columns) in PILLOW:
        for channels in (1, 3):
            result = pil_resize(image_of((h, w, channels)), (rows, columns))
            every = -(-result.size // MOST_BYTES)
            name = f"{h}x{w} to {rows}x{columns}x{channels} every {every}"
            out[name] = result[::every]
    return out, {"pillow": PIL.__version__}
