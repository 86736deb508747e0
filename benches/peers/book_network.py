"""The book's small network in PyTorch, for the programs here."""

from torch import nn

from tasks import BLOCKS

HIDDEN, CLASSES = 4096, 10


def network(side):
    """For gray images of `side` pixels, with PyTorch's own first weights."""
    layers, inputs = [], 1
    for convolutions, outputs in BLOCKS:
        for _ in range(convolutions):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
            inputs = outputs
        layers.append(nn.MaxPool2d(2, 2))
    layers.append(nn.Flatten())
    inputs *= (side >> len(BLOCKS)) ** 2
    for outputs in (HIDDEN, HIDDEN):
        layers += [nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(0.5)]
        inputs = outputs
    return nn.Sequential(*layers, nn.Linear(inputs, CLASSES))
