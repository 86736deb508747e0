#!/usr/bin/env python3
"""Draw the histories of accuracy.sh, ours and PyTorch's, as accuracy.png and accuracy.svg."""

import csv
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
matplotlib.rcParams["svg.hashsalt"] = "accuracy"
from matplotlib import pyplot as plt  # noqa: E402
from matplotlib.ticker import MaxNLocator  # noqa: E402

RUNS = [
    ("vgg-wgpu", "vgg-wgpu/history.csv", "tab:blue"),
    ("PyTorch", "history_torch.csv", "tab:orange"),
]
PANELS = [("loss", "mean cross-entropy (nats)"), ("acc", "accuracy")]


def read(path):
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows] for name in rows[0]}


def main():
    folder = Path(sys.argv[1])
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for label, file, colour in RUNS:
        history = read(folder / file)
        for axis, (measure, _) in zip(axes, PANELS, strict=True):
            for split, name, line in [("train", "training", "--"), ("val", "test", "-")]:
                values = history[f"{split}_{measure}"]
                style = {"color": colour, "linestyle": line, "marker": "o", "markersize": 3}
                axis.plot(history["epoch"], values, label=f"{label}, {name}", **style)
    for axis, (_, title) in zip(axes, PANELS, strict=True):
        axis.set_xlabel("epoch")
        axis.set_title(title)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(alpha=0.3)
        axis.legend()
    figure.suptitle("Fashion-MNIST at 64 px, the book's small VGG")
    figure.savefig(folder / "accuracy.png", dpi=150, metadata={"Software": None})
    figure.savefig(folder / "accuracy.svg", metadata={"Date": None})
    print(folder / "accuracy.png")


if __name__ == "__main__":
    main()
