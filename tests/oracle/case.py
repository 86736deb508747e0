#!/usr/bin/env python3
"""The networks of the fixtures: their table, their weights and images, and PyTorch's form of them.

As a program, writes a case's weights under torchvision's names, and its images, for
`vgg-wgpu import`, `infer` and `gradients`.
"""

import argparse
import dataclasses
import math
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
from torch import nn

import generator

BIAS_BOUND = 0.25


@dataclasses.dataclass(frozen=True)
class Case:
    """A network with images: all that the generator needs to make both again."""

    name: str
    blocks: str
    input: tuple
    hidden: tuple
    classes: int
    head: str
    batch_norm: bool
    images: int
    lr: float
    # Part of every key. Raised until no ReLU and no pool of the training step is so close to its
    # edge that float32 could fall on the other side: make_fixtures.py checks it.
    salt: int = 0

    def key(self, tensor):
        return f"{self.name}#{self.salt}/{tensor}"

    def table(self):
        """[convolutions, channels] of each block."""
        return [[int(part) for part in block.split("x")] for block in self.blocks.split(",")]


CASES = {
    case.name: case
    for case in [
        Case("flatten", "1x8,2x12", (1, 28, 28), (20, 16), 10, "flatten", False, 5, 0.006, 15),
        Case("odd", "1x6,2x10", (3, 37, 37), (20, 16), 10, "flatten", False, 5, 0.004),
        Case("bn", "1x8,1x16,2x24", (3, 32, 32), (20, 16), 10, "flatten", True, 5, 0.004),
        # Pools of side 3, 9 and 14: fewer than the 7 of the head, no multiple, a multiple.
        Case("pool3", "1x8,1x12", (3, 12, 12), (20, 16), 10, "avgpool7", False, 5, 0.003),
        Case("pool9", "1x8", (1, 18, 18), (20, 16), 7, "avgpool7", False, 5, 0.006),
        Case("pool14", "1x6", (3, 28, 28), (20,), 10, "avgpool7", False, 5, 0.006, 2),
        Case("bn_pool", "2x8,1x12", (3, 20, 20), (20, 16), 10, "avgpool7", True, 5, 0.0015),
        # Shapes of VGG's layers: 64 to 128 channels at 28 pixels, 256 to 512 at 14, and the 25,088
        # inputs of its first dense layer.
        Case("early", "1x64,1x128", (3, 56, 56), (8, 8), 10, "avgpool7", False, 2, 0.003, 7),
        Case("late", "1x256,1x512", (3, 28, 28), (64, 48), 1000, "flatten", False, 2, 0.0004, 24),
        Case("late_bn", "1x128,1x256", (3, 28, 28), (40,), 100, "avgpool7", True, 2, 0.0001),
    ]
}


class Network(nn.Module):
    """A VGG of any table with torchvision's module names; dropout is left out."""

    def __init__(self, case):
        super().__init__()
        channels, height, width = case.input
        features = []
        for convolutions, outputs in case.table():
            for _ in range(convolutions):
                features.append(nn.Conv2d(channels, outputs, 3, padding=1))
                features += [nn.BatchNorm2d(outputs)] if case.batch_norm else []
                features.append(nn.ReLU())
                channels = outputs
            features.append(nn.MaxPool2d(2, 2))
            height, width = height // 2, width // 2
        self.features = nn.Sequential(*features)
        self.avgpool = nn.Identity()
        if case.head == "avgpool7":
            self.avgpool, height, width = nn.AdaptiveAvgPool2d(7), 7, 7
        classifier, inputs = [], channels * height * width
        for outputs in case.hidden:
            # Identity where torchvision has dropout, which keeps its numbers.
            classifier += [nn.Linear(inputs, outputs), nn.ReLU(), nn.Identity()]
            inputs = outputs
        self.classifier = nn.Sequential(*classifier, nn.Linear(inputs, case.classes))

    def forward(self, x):
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


def draw(case, name, like, norm):
    """The tensor `name` of the state dict, in the shape of `like`; `norm`: of a normalisation."""
    shape, key = tuple(like.shape), case.key(name)
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, dtype=np.int64)
    if name.endswith("running_var") or (norm and name.endswith("weight")):
        return generator.uniform(key, shape, 0.5, centre=1.0)
    if name.endswith("weight"):
        return generator.uniform(key, shape, math.sqrt(6.0 / math.prod(shape[1:])))
    return generator.uniform(key, shape, BIAS_BOUND)


def weights(case):
    """The state dict as numpy arrays, float32."""
    network = Network(case)
    norms = {name for name, part in network.named_modules() if isinstance(part, nn.BatchNorm2d)}
    return {
        name: draw(case, name, like, name.rpartition(".")[0] in norms)
        for name, like in network.state_dict().items()
    }


def images(case):
    """The images `(n, c, h, w)` in (-1, 1), float32, and their classes `(n)`."""
    x = generator.uniform(case.key("input"), (case.images, *case.input), 1.0)
    return x, generator.below(case.key("target"), case.images, case.classes)


def network(case, dtype=torch.float64):
    """The network with its weights, in training mode."""
    made = Network(case).to(dtype)
    made.load_state_dict({name: torch.from_numpy(value) for name, value in weights(case).items()})
    return made


def tensors(case, dtype=torch.float64):
    """The images and their classes as tensors."""
    x, target = images(case)
    return torch.from_numpy(x).to(dtype), torch.from_numpy(target)


def save(case, model, batch=None):
    """Writes the weights, and the images if `batch` names a file."""
    save_file(weights(case), model)
    if batch is not None:
        x, target = images(case)
        save_file({"input": x, "target": target}, batch)


def main():
    parser = argparse.ArgumentParser(description="Write the weights and images of a fixture.")
    parser.add_argument("name", choices=CASES)
    parser.add_argument("--out", type=Path, required=True, help="the weights, safetensors")
    parser.add_argument("--batch", type=Path, help="the images: input and target, safetensors")
    arguments = parser.parse_args()
    save(CASES[arguments.name], arguments.out, arguments.batch)


if __name__ == "__main__":
    main()
