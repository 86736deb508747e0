#!/usr/bin/env python3
"""Train the small network of "Dive into Deep Learning" 7.2 on Fashion-MNIST in PyTorch.

Writes history_torch.csv, an epoch a row in the columns of vgg-wgpu's history.csv, and a checkpoint
after each epoch, from which the next call goes on.
"""

import argparse
import csv
import gzip
import math
import os
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from book_network import network

COLUMNS = "epoch,train_loss,train_acc,val_loss,val_acc,seconds,images_per_s".split(",")
SIDE = 64


def kaiming(net):
    """As `--init kaiming`: weights in ±sqrt(6 / fan_in), biases in ±1 / sqrt(fan_in)."""
    for part in net:
        if isinstance(part, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_uniform_(part.weight, nonlinearity="relu")
            bound = 1 / math.sqrt(part.weight[0].numel())
            nn.init.uniform_(part.bias, -bound, bound)
    return net


def read_idx(folder, stem, header):
    path = next(iter(sorted(folder.glob(f"{stem.replace('-idx', '?idx')}*"))))
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return np.frombuffer(data, np.uint8, offset=header).copy()


def read_set(folder, split):
    """Images `(n, 1, 28, 28)` of bytes, and their classes."""
    pixels = read_idx(folder, f"{split}-images-idx3-ubyte", 16)
    labels = read_idx(folder, f"{split}-labels-idx1-ubyte", 8)
    return torch.from_numpy(pixels).reshape(-1, 1, 28, 28), torch.from_numpy(labels).long()


def prepared(pixels):
    """In [0, 1], at the network's size."""
    return F.interpolate(pixels.float() / 255, size=(SIDE, SIDE), mode="bilinear")


def hits(logits, target):
    return int((logits.argmax(1) == target).sum())


def train(net, rule, images, labels, batch):
    """One epoch: mean loss and accuracy while training."""
    net.train()
    loss_sum = right = 0
    for index in torch.randperm(len(images)).split(batch):
        target = labels[index]
        logits = net(prepared(images[index]))
        loss = F.cross_entropy(logits, target)
        rule.zero_grad()
        loss.backward()
        rule.step()
        loss_sum += loss.item() * len(index)
        right += hits(logits, target)
    return loss_sum / len(images), right / len(images)


@torch.no_grad()
def evaluate(net, images, labels):
    net.eval()
    loss_sum = right = 0
    for x, target in zip(images.split(250), labels.split(250), strict=True):
        logits = net(prepared(x))
        loss_sum += F.cross_entropy(logits, target, reduction="sum").item()
        right += hits(logits, target)
    return loss_sum / len(images), right / len(images)


def save(state, path):
    """Whole or not at all: a run may be stopped while it saves."""
    beside = path.with_suffix(".new")
    torch.save(state, beside)
    os.replace(beside, path)


def write_history(rows, path):
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)


def parse():
    parser = argparse.ArgumentParser(description="The accuracy run in PyTorch.")
    parser.add_argument("--data", type=Path, required=True, help="folder of the IDX files")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--limit", type=int, default=60_000, help="training images")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=0.02)
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main():
    arguments = parse()
    images, labels = read_set(arguments.data, "train")
    images, labels = images[: arguments.limit], labels[: arguments.limit]
    test = read_set(arguments.data, "t10k")
    torch.manual_seed(arguments.seed)
    net = kaiming(network(SIDE))
    rule = torch.optim.SGD(net.parameters(), arguments.lr, arguments.momentum)
    rows, checkpoint = [], arguments.out / "torch.pth"
    if checkpoint.is_file():
        state = torch.load(checkpoint, weights_only=True)
        net.load_state_dict(state["net"])
        rule.load_state_dict(state["rule"])
        torch.set_rng_state(state["random"])
        rows = state["rows"]
    for epoch in range(len(rows) + 1, arguments.epochs + 1):
        start = time.perf_counter()
        trained = train(net, rule, images, labels, arguments.batch)
        rate = len(images) / (time.perf_counter() - start)
        rows.append([epoch, *trained, *evaluate(net, *test), time.perf_counter() - start, rate])
        print(f"epoch {epoch}: loss {rows[-1][1]:.4f}, val acc {rows[-1][4]:.4f}", flush=True)
        state = {"net": net.state_dict(), "rule": rule.state_dict(), "rows": rows}
        save(state | {"random": torch.get_rng_state()}, checkpoint)
    write_history(rows, arguments.out / "history_torch.csv")


if __name__ == "__main__":
    main()
