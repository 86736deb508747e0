#!/usr/bin/env python3
"""Draw the results of compare.py as bars, a panel a task: `chart.py FOLDER` writes peers.svg and
peers.png there."""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
matplotlib.rcParams["svg.hashsalt"] = "peers"
from matplotlib import pyplot as plt  # noqa: E402

COLUMNS = 2


def name(row):
    return ", ".join(filter(None, [row["label"], row["variant"]]))


def draw(axis, task):
    rows = task["rows"][::-1]
    speeds = [each.get("gflops", 0) for each in rows]
    colours = ["tab:blue" if each["peer"] == "ours" else "silver" for each in rows]
    # From the slowest to the fastest step.
    ends = [
        [s - s * t["median"] / t["max"], s * t["median"] / t["min"] - s]
        for s, t in (
            (each.get("gflops", 0), each.get("step_ms", {"median": 1, "min": 1, "max": 1}))
            for each in rows
        )
    ]
    style = {"ecolor": "dimgray", "capsize": 2, "error_kw": {"linewidth": 0.8}}
    bars = axis.barh(
        [name(each) for each in rows],
        speeds,
        color=colours,
        xerr=list(zip(*ends, strict=True)),
        **style,
    )
    texts = [
        "does not run" if "error" in each else f"{speed:.1f}"
        for each, speed in zip(rows, speeds, strict=True)
    ]
    axis.bar_label(bars, texts, padding=4, fontsize=8)
    axis.set_title(task["title"], fontsize=10)
    axis.set_xlabel("GFLOP/s", fontsize=8)
    axis.tick_params(labelsize=8)
    axis.margins(x=0.22)
    axis.grid(axis="x", alpha=0.3)
    axis.set_axisbelow(True)


def save(results, folder):
    count = len(results["tasks"])
    lines = -(-count // COLUMNS)
    figure, axes = plt.subplots(
        lines,
        min(count, COLUMNS),
        figsize=(5 * min(count, COLUMNS), 2.6 * lines),
        squeeze=False,
        layout="constrained",
    )
    axes = list(axes.flat)
    for axis, task in zip(axes, results["tasks"], strict=False):
        draw(axis, task)
    for axis in axes[count:]:
        axis.remove()
    machine = results["machine"]
    figure.suptitle(
        f"One step of the book's small VGG: {machine['processor']}, {machine['threads']} threads",
        fontsize=11,
    )
    figure.savefig(folder / "peers.png", dpi=150, metadata={"Software": None})
    figure.savefig(folder / "peers.svg", metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    save(json.loads((folder / "results.json").read_text()), folder)
