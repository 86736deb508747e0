#!/usr/bin/env python3
"""The training step of the small network in PyTorch, on the CPU.

    torch_step.py RESIZE BATCH train|infer contiguous|channels-last THREADS

Prints a line of JSON about its start and first step; then reads lines with a number of steps, takes
that many, and prints their times, as protocol.rs does.
"""

import json
import math
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

from book_network import CLASSES, network

LEARNING_RATE = 0.05


def xavier(net):
    for part in net:
        if isinstance(part, (nn.Conv2d, nn.Linear)):
            nn.init.xavier_uniform_(part.weight)
    return net


def prepare(side, batch, train, channels_last):
    """A function that takes a step and returns the loss, or the sum of the logits."""
    net, images = xavier(network(side)), torch.randn(batch, 1, side, side)
    labels = torch.randint(0, CLASSES, (batch,))
    if channels_last:
        net = net.to(memory_format=torch.channels_last)
        images = images.to(memory_format=torch.channels_last)
    net.train(train)
    rule = torch.optim.SGD(net.parameters(), LEARNING_RATE)

    def training_step():
        rule.zero_grad()
        loss = F.cross_entropy(net(images), labels)
        loss.backward()
        rule.step()
        return loss.item()

    @torch.no_grad()
    def inference_step():
        return net(images).sum().item()

    return training_step if train else inference_step


def timed(step):
    start = time.perf_counter()
    value = step()
    if not math.isfinite(value):
        sys.exit(f"wrong results: {value}")
    return 1e3 * (time.perf_counter() - start), value


def say(facts):
    print(json.dumps(facts), flush=True)


def main():
    start = time.perf_counter()
    side, batch, task, layout, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    torch.manual_seed(0)
    step = prepare(int(side), int(batch), task == "train", layout == "channels-last")
    startup = 1e3 * (time.perf_counter() - start)
    first, value = timed(step)
    version = torch.__version__.partition("+")[0]
    say({"startup_ms": startup, "first_step_ms": first, "value": value, "version": version})
    for line in sys.stdin:
        say({"ms": [timed(step)[0] for _ in range(int(line))]})


if __name__ == "__main__":
    main()
