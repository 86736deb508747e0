#!/usr/bin/env python3
"""Read a run's events as TensorBoard does, and compare them with the run's other files.

Takes a run folder that `train --tensorboard` wrote, and beside it the folder of events if that is another
one. Needs numpy, safetensors and tensorboard with absl-py and protobuf.
"""

import argparse
import csv
import io
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import load_file
from tensorboard.backend.event_processing.event_accumulator import (
    HISTOGRAMS, IMAGES, SCALARS, EventAccumulator)

EPOCH = {"train_loss": "train_loss", "train_accuracy": "train_acc", "val_loss": "val_loss",
         "val_accuracy": "val_acc", "images_per_s": "images_per_s"}
STEP = ("loss", "accuracy", "learning_rate")


def limits():
    """The right ends of TensorFlow's default buckets."""
    positive, limit = [], 1e-12
    while limit < 1e20:
        positive.append(limit)
        limit *= 1.1
    positive.append(sys.float_info.max)
    return np.array([-each for each in reversed(positive)] + [0.0] + positive)


def off(found, expected):
    """The largest difference, relative to the largest value expected."""
    found, expected = np.asarray(found, float), np.asarray(expected, float)
    if found.shape != expected.shape:
        return np.inf
    return float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-30))


def series(events, tag):
    return np.array([(each.step, each.value) for each in events.Scalars(tag)])


def scalars(events, run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    lines = [line for line in lines if line["type"] == "step"]
    for name in STEP:
        yield f"step/{name}", off(series(events, f"step/{name}"), [
            (line["step"], line[name]) for line in lines]), 1e-6
    with open(run / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for name, column in EPOCH.items():
        yield f"epoch/{name}", off(series(events, f"epoch/{name}"), [
            (int(row["epoch"]), float(row[column])) for row in rows]), 1e-6


def filled(right_ends, counts):
    """The buckets that are not empty."""
    return [(limit, count) for limit, count in zip(right_ends, counts) if count > 0]


def histograms(events, run):
    weights = load_file(run / "model.safetensors")
    trained = [name for name in weights if name.endswith((".weight", ".bias"))]
    epochs = len((run / "history.csv").read_text().splitlines()) - 1
    all_limits = limits()
    for group in ("weights", "gradients"):
        tags = [tag for tag in events.Tags()[HISTOGRAMS] if tag.startswith(group)]
        yield f"{group}: names", float(sorted(tags) != sorted(f"{group}/{n}" for n in trained)), 0
        steps = [[each.step for each in events.Histograms(tag)] for tag in tags]
        yield f"{group}: epochs", float(any(each != list(range(1, epochs + 1)) for each in steps)), 0
    for name in trained:
        values = weights[name].astype(np.float64).ravel()
        found = events.Histograms(f"weights/{name}")[-1].histogram_value
        counts = np.bincount(np.searchsorted(all_limits, values, side="right"),
                             minlength=len(all_limits))
        expected = filled(all_limits, counts)
        yield f"{name}: buckets", off(filled(found.bucket_limit, found.bucket), expected), 1e-12
        yield f"{name}: sums", off(
            [found.min, found.max, found.num, found.sum, found.sum_squares],
            [values.min(), values.max(), values.size, values.sum(), np.square(values).sum()]), 1e-9
        gradient = events.Histograms(f"gradients/{name}")[-1].histogram_value
        yield f"{name}: gradients", float(gradient.num != values.size or gradient.sum_squares <= 0), 0


def images(events):
    tags = events.Tags()[IMAGES]
    yield "images: some", float(not tags), 0
    for tag in tags:
        (image,) = events.Images(tag)
        picture = Image.open(io.BytesIO(image.encoded_image_string))
        good = picture.format == "PNG" and picture.size == (image.width, image.height)
        yield f"{tag}: {picture.mode}, {image.width}x{image.height}", float(not good), 0


def compare(run, folder=None):
    """Yields what was compared, how far it was off, and how far it may be."""
    everything = {SCALARS: 0, HISTOGRAMS: 0, IMAGES: 0}
    events = EventAccumulator(str(folder or run), size_guidance=everything).Reload()
    yield from scalars(events, run)
    yield from histograms(events, run)
    yield from images(events)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("folder", type=Path, nargs="?", help="of events [default: the run]")
    arguments = parser.parse_args()
    failed = 0
    for what, error, limit in compare(arguments.run, arguments.folder):
        good = error <= limit
        failed += not good
        print(f"{what:50} {error:9.1e} {limit:9.1e}  {'pass' if good else 'FAIL'}")
    if failed:
        sys.exit(f"{failed} failed")


if __name__ == "__main__":
    main()
