"""What live.py compares with: PyTorch's networks with random weights, and random sets of images."""

import struct
import zipfile

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from safetensors.torch import load_file
from torch import nn

import generator


def randomise(net, x):
    """Weights that keep the size of activations, lively normalisations, logits of deviation 1."""
    torch.manual_seed(20140904)
    with torch.no_grad():
        for part in net.modules():
            if isinstance(part, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_uniform_(part.weight, nonlinearity="relu")
                nn.init.uniform_(part.bias, -0.25, 0.25)
            elif isinstance(part, nn.BatchNorm2d):
                nn.init.uniform_(part.weight, 0.5, 1.5)
                nn.init.uniform_(part.bias, -0.25, 0.25)
                nn.init.uniform_(part.running_mean, -0.5, 0.5)
                nn.init.uniform_(part.running_var, 0.5, 1.5)
        deviation = net.eval()(x).std()
        last = [part for part in net.modules() if isinstance(part, nn.Linear)][-1]
        last.weight /= deviation
        last.bias /= deviation
        return net, net(x)


def pictures(count, channels=3, side=224):
    return torch.from_numpy(generator.uniform("live/input", (count, channels, side, side), 1.7))


def real(name):
    """torchvision's network of that name, images and their logits."""
    x = pictures(2)
    return *randomise(getattr(torchvision.models, name)(weights=None, init_weights=False), x), x


def book_network(side):
    """The small network of "Dive into Deep Learning" 7.2, with the names that its code gives."""
    blocks, channels = [], 1
    for convolutions, outputs in [(1, 16), (1, 32), (2, 64), (2, 128), (2, 128)]:
        block = []
        for _ in range(convolutions):
            block += [nn.Conv2d(channels, outputs, 3, padding=1), nn.ReLU()]
            channels = outputs
        blocks.append(nn.Sequential(*block, nn.MaxPool2d(2, 2)))
    dense = [nn.Linear(channels * (side // 32) ** 2, 4096), nn.ReLU(), nn.Dropout(0.5)]
    dense += [nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4096, 10)]
    return nn.Sequential(*blocks, nn.Flatten(), *dense)


def load(file):
    """A state dict from a zip of PyTorch or from safetensors."""
    if zipfile.is_zipfile(file):
        return torch.load(file, weights_only=True)
    return load_file(file)


def unequal(found, expected):
    """Share of the tensors that are missing, too many, or not the same in every bit."""
    both, either = found.keys() & expected.keys(), found.keys() | expected.keys()
    return 1 - sum(torch.equal(found[name], expected[name]) for name in both) / len(either)


def write_idx(path, values):
    """An IDX file of unsigned bytes."""
    header = struct.pack(f">4B{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
    path.write_bytes(header + values.astype(np.uint8).tobytes())


def image_set(folder, train, test=10):
    """The folder with IDX files of random images of 28x28; also the arrays."""
    folder.mkdir()
    out = []
    for split, count in [("train", train), ("t10k", test)]:
        images = generator.pixels(f"live/{split}/images", (count, 28, 28))
        labels = generator.below(f"live/{split}/labels", count, 10)
        labels[:10] = np.arange(10)
        write_idx(folder / f"{split}-images-idx3-ubyte", images)
        write_idx(folder / f"{split}-labels-idx1-ubyte", labels)
        out.append((images, torch.from_numpy(labels)))
    return folder, *out


def smooth(images, side):
    """`(n, h, w)` bytes as `(n, 1, side, side)` in [0, 1], bilinear without smoothing."""
    x = torch.from_numpy(images)[:, None].double() / 255
    return F.interpolate(x, size=(side, side), mode="bilinear", align_corners=False)
