#!/usr/bin/env python3
"""The tables of a comparison, in Markdown, from its results.json.

`report.py FOLDER` prints them; `report.py --check FOLDER` also fails where less was reached than is
required.
"""

import json
import sys
from pathlib import Path

import tasks

COLUMNS = [
    "program",
    "step, ms",
    "images/s",
    "GFLOP/s",
    "our speed to theirs",
    "required (goal)",
    "first step, s",
    "peak memory, GB",
    "steps",
]


def number(value, digits=0):
    return "" if value is None else f"{value:,.{digits}f}"


def significant(value):
    """About three digits."""
    return number(value, 0 if value >= 100 else 1 if value >= 10 else 2)


def row(facts, task):
    """A program's line of a task's table."""
    name = " ".join(filter(None, [facts["label"], facts["version"]]))
    name = ", ".join(filter(None, [name, facts["variant"]]))
    name = f"**{name}**" if facts["peer"] == tasks.OURS.name else name
    required, goal = tasks.WANTED.get((facts["peer"], task), (None, None))
    wanted = "" if goal is None else f"{'-' if required is None else required} ({goal:g})"
    if "error" in facts:
        return [name, f"does not run: {facts['error']}", "", "", "", wanted, "", "", ""]
    ratio, step = facts.get("ratio"), facts["step_ms"]
    if ratio:
        spread = f"{significant(ratio['min'])} to {significant(ratio['max'])}"
        met = required is None or ratio["median"] >= required
        ratio = f"{significant(ratio['median'])} ({spread}){'' if met else ', missed'}"
    memory = facts["peak_rss_bytes"]
    return [
        f"{name} [^{facts['peer']}]" if facts["note"] else name,
        f"{number(step['median'])} ({number(step['min'])} to {number(step['max'])})",
        significant(facts["images_per_s"]),
        significant(facts["gflops"]),
        ratio or "",
        wanted,
        number(facts["first_step_ms"] / 1e3, 1),
        number(memory and memory / 1e9, 2),
        number(facts["steps"]),
    ]


def table(columns, rows):
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines
    )


def start_table(start):
    columns = ["shader cache", "from start to the first step, ms", "first step, ms"]
    cold = f"{number(start['cold_first_step_ms'])} (required: under {number(tasks.FIRST_STEP_MS)})"
    warm = f"{number(start['warm_startup_ms'])} (required: under {number(tasks.STARTUP_MS)})"
    rows = [
        ["empty", number(start["cold_startup_ms"]), cold],
        ["warm", warm, number(start["warm_first_step_ms"])],
    ]
    title = f"**Starts of vgg-wgpu**, {start['title'].lower()}, medians of {start['starts']}"
    return f"{title}\n\n{table(columns, rows)}"


def markdown(results):
    machine, parts = results["machine"], []
    rows = [each for task in results["tasks"] for each in task["rows"]]
    adapter = next((each["adapter"] for each in rows if each.get("adapter")), None)
    line = f"{machine['processor']}, {machine['threads']} threads, {machine['system']}"
    if adapter:
        line += f"; {adapter['name']}, {adapter['driver']}"
    parts.append(f"{line}; {machine['date']}; rounds: {results['rounds']}.")
    for task in results["tasks"]:
        lines = [row(each, task["name"]) for each in task["rows"]]
        title = f"**{task['title']}**, {significant(task['gflop'])} GFLOP a step"
        parts.append(f"{title}\n\n{table(COLUMNS, lines)}")
        share = memory_share(task)
        if task["name"] == tasks.MEMORY_TASK.name and share:
            limit = f"(required: under {tasks.MEMORY_SHARE})"
            parts.append(f"Our peak memory to that of PyTorch as installed: {share:.2f} {limit}.")
    if "start" in results:
        parts.append(start_table(results["start"]))
    notes = {each["peer"]: each["note"] for each in rows if each["note"] and "error" not in each}
    parts += [f"[^{peer}]: {note}." for peer, note in notes.items()]
    return "\n\n".join(parts)


def memory_share(task):
    """Our peak memory to that of PyTorch as installed; nothing if not both were measured."""
    peaks = {each["peer"]: each.get("peak_rss_bytes") for each in task["rows"]}
    ours, theirs = peaks.get(tasks.OURS.name), peaks.get("torch-installed")
    return ours / theirs if ours and theirs else None


def missed_ratios(task):
    """A line for each ratio that is required and was not reached, or not measured."""
    if all(each["peer"] != tasks.OURS.name for each in task["rows"]):
        return
    for each in task["rows"]:
        required, _ = tasks.WANTED.get((each["peer"], task["name"]), (None, None))
        ratio = each["ratio"]["median"] if "ratio" in each else 0
        if required is not None and ratio < required:
            yield f"{task['title']}, {each['peer']}: {ratio:.3g}, required {required}"


def missed(results):
    """A line for each requirement that was not met."""
    for task in results["tasks"]:
        yield from missed_ratios(task)
        share = memory_share(task)
        if task["name"] == tasks.MEMORY_TASK.name and share and share >= tasks.MEMORY_SHARE:
            limit = f"required less than {tasks.MEMORY_SHARE}"
            yield f"{task['title']}, peak memory: {share:.2f} of PyTorch's, {limit}"
    start = results.get("start", {})
    limits = {"cold_first_step_ms": tasks.FIRST_STEP_MS, "warm_startup_ms": tasks.STARTUP_MS}
    for key, limit in limits.items():
        if start.get(key, 0) >= limit:
            yield f"{key}: {start[key]:.0f}, required less than {limit}"


def check(results):
    """0, or 1 after a line for each requirement that was not met."""
    lines = list(missed(results))
    for line in lines:
        print(f"missed: {line}", file=sys.stderr)
    return 1 if lines else 0


def write(results, folder):
    (folder / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    (folder / "results.md").write_text(markdown(results) + "\n")


if __name__ == "__main__":
    wanted_check = sys.argv[1] == "--check"
    saved = json.loads((Path(sys.argv[-1]) / "results.json").read_text())
    print(markdown(saved))
    sys.exit(check(saved) if wanted_check else 0)
