#!/usr/bin/env python3
"""Measure the same step here and in other frameworks, in turns, and write what was seen.

Every program of a task is started, takes its first step, and one to warm up. Then the programs take
turns for a number of rounds, each for a short burst. A machine's speed changes from minute to
minute: a ratio is taken from two bursts of one round, and the median of the rounds is reported.
"""

import argparse
import contextlib
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

import chart
import programs
import report
import tasks
from programs import Failed
from tasks import MEMORY_TASK, OURS, PEERS, ROOT, TASKS

MOST_STEPS = 20
# A burst of ours that ended longer ago is no neighbour of a peer's: ours takes another one.
FRESH_SECONDS = 20
# With an empty shader cache.
STARTS = 3


def positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return value


def parse():
    parser = argparse.ArgumentParser(prog="run.sh", description=__doc__.partition("\n")[0])
    flag = parser.add_argument
    names = ", ".join(each.name for each in PEERS)
    flag("--only", metavar="NAMES", help=f"of {names}; torch and burn mean all of theirs")
    names = ", ".join(each.name for each in TASKS)
    flag("--configs", metavar="NAMES", help=f"of {names} (pixels x batch)")
    flag(
        "--rounds", metavar="N", type=positive, default=7, help="turns of each program [default: 7]"
    )
    text = "turns of peers that take seconds a step [default: as many as the others]"
    flag("--slow-rounds", metavar="N", type=positive, help=text)
    text = "seconds of a turn, for as many steps as fit in [default: 1.5]"
    flag("--burst", metavar="S", type=float, default=1.5, help=text)
    text = "3 rounds, without the slow peers: burn-wgpu and meganeura"
    flag("--quick", action="store_true", help=text)
    text = "the slow peers on all tasks, also where nothing is required of the ratio to them"
    flag("--everywhere", action="store_true", help=text)
    text = "also ours and PyTorch at 224 px with batches of 128, for their peak memory"
    flag("--memory", action="store_true", help=text)
    text = "seconds that a peer may take to answer [default: 2400]"
    flag("--patience", metavar="S", type=float, default=2400, help=text)
    text = "of each program [default: one a processor]"
    flag("--threads", metavar="N", type=positive, default=os.cpu_count(), help=text)
    flag("--check", action="store_true", help="fail where less is reached than is required")
    text = "folder of the results [default: runs/peers]"
    flag("--out", metavar="DIR", type=Path, default=ROOT / "runs/peers", help=text)
    # From run.sh, not by hand: our program, the folder of the peers', and what to build.
    flag("--program", type=Path, help=argparse.SUPPRESS)
    flag("--peers", type=Path, help=argparse.SUPPRESS)
    flag("--list-crates", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    try:
        arguments.only = tasks.chosen(arguments.only, PEERS)
        arguments.configs = tasks.chosen(arguments.configs, TASKS)
    except ValueError as error:
        parser.error(str(error))
    if arguments.quick:
        arguments.rounds = min(arguments.rounds, 3)
        arguments.only = [each for each in arguments.only if each.tasks is None]
    return arguments


def takes_part(peer, task, arguments):
    if task == MEMORY_TASK:
        return not peer.crate
    return arguments.everywhere or peer.tasks is None or task.name in peer.tasks


class Race:
    """The programs of one task, and what they did: a row each."""

    def __init__(self, task, arguments):
        self.task, self.arguments = task, arguments
        self.rows, self.running = {}, {}
        # By name: the times of each burst, and the ratios of a round.
        self.bursts, self.ratios = {}, {}
        self.our_last = None

    def start(self, peer):
        row = {"peer": peer.name, "label": peer.label, "variant": peer.variant, "note": peer.note}
        self.rows[peer.name] = row | {"version": peer.version()}
        self.bursts[peer.name], self.ratios[peer.name] = [], []
        try:
            if peer is OURS:
                running = programs.Ours(self.task, self.arguments)
            else:
                running = programs.Running(peer, self.task, self.arguments)
        except Failed as error:
            self.fail(peer.name, error)
            return
        self.running[peer.name] = running
        told = ("first_step_ms", "startup_ms", "value", "adapter", "version")
        facts = {key: running.facts[key] for key in told if key in running.facts}
        self.rows[peer.name] |= facts
        print(f"  {peer.name}: first step {facts['first_step_ms']:.0f} ms", flush=True)

    def fail(self, name, error):
        print(f"  {name} does not run: {error}", flush=True)
        self.rows[name]["error"] = str(error)
        if name in self.running:
            self.running.pop(name).close()

    def turn(self, name):
        """The median of a burst; nothing if the program failed."""
        running = self.running[name]
        steps = round(1e3 * self.arguments.burst / running.last_ms)
        try:
            times = running.burst(min(MOST_STEPS, max(1, steps)))
        except Failed as error:
            self.fail(name, error)
            return None
        self.bursts[name].append(times)
        running.last_ms = statistics.median(times)
        return running.last_ms

    def our_turn(self):
        """The median of our last burst, after another one if it was long ago."""
        stale = self.our_last is None or time.monotonic() - self.our_last[0] > FRESH_SECONDS
        if stale and OURS.name in self.running:
            self.our_last = None
            if median := self.turn(OURS.name):
                self.our_last = (time.monotonic(), median)
        return self.our_last and self.our_last[1]

    def round(self, number):
        self.our_last = None
        self.our_turn()
        for name in [each for each in self.running if each != OURS.name]:
            slow = self.running[name].last_ms > programs.SLOW_STEP_MS
            if slow and number >= (self.arguments.slow_rounds or self.arguments.rounds):
                continue
            ours, theirs = self.our_turn(), self.turn(name)
            if ours and theirs:
                self.ratios[name].append(theirs / ours)

    def finish(self):
        for name, running in self.running.items():
            row, bursts = self.rows[name], self.bursts[name]
            times = sum(bursts, [])
            medians = [statistics.median(each) for each in bursts]
            step = {"median": statistics.median(medians), "min": min(times), "max": max(times)}
            row |= {"steps": len(times), "step_ms": step, "peak_rss_bytes": running.peak_rss()}
            row["images_per_s"] = 1e3 * self.task.batch / step["median"]
            row["gflops"] = 1e3 * self.task.gflop / step["median"]
            if ratios := self.ratios[name]:
                row["ratio"] = {
                    "median": statistics.median(ratios),
                    "min": min(ratios),
                    "max": max(ratios),
                    "rounds": len(ratios),
                }
        facts = {"name": self.task.name, "title": self.task.title, "gflop": self.task.gflop}
        return facts | {"rows": list(self.rows.values())}

    def close(self):
        for running in self.running.values():
            running.close()


def race(task, arguments, rounds):
    print(task.title, flush=True)
    measured = Race(task, arguments)
    try:
        for peer in arguments.only:
            if takes_part(peer, task, arguments):
                measured.start(peer)
        for number in range(rounds):
            measured.round(number)
            print(f"  round {number + 1} of {rounds}", flush=True)
        return measured.finish()
    finally:
        measured.close()


def starts(arguments):
    """Starts of ours, in turns with an empty shader cache and with the usual one."""
    cold, warm = [], []
    for _ in range(min(STARTS, arguments.rounds)):
        with tempfile.TemporaryDirectory() as empty:
            caches = {"MESA_SHADER_CACHE_DIR": empty, "XDG_CACHE_HOME": empty}
            cold.append(programs.bench(TASKS[1], arguments, 1, **caches))
        warm.append(programs.bench(TASKS[1], arguments, 1))
    median = {}
    for name, facts in (("cold", cold), ("warm", warm)):
        for key in ("first_step_ms", "startup_ms"):
            median[f"{name}_{key}"] = statistics.median(each[key] for each in facts)
    return {"title": TASKS[1].title, "starts": len(cold)} | median


def machine(arguments):
    """What the figures depend on."""
    model = platform.processor()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(each.split(":")[1].strip() for each in lines if each.startswith("model name"))
    return {
        "processor": model,
        "threads": arguments.threads,
        "system": f"{platform.system()} {platform.machine()}",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def main():
    arguments = parse()
    if arguments.list_crates:
        print("\n".join(sorted({each.crate for each in arguments.only if each.crate})))
        return 0
    start = time.monotonic()
    (arguments.out / "logs").mkdir(parents=True, exist_ok=True)
    results = {"machine": machine(arguments), "rounds": arguments.rounds, "tasks": []}
    for task in arguments.configs:
        results["tasks"].append(race(task, arguments, arguments.rounds))
        report.write(results, arguments.out)
    if arguments.memory:
        results["tasks"].append(race(MEMORY_TASK, arguments, 1))
    if OURS in arguments.only:
        print("Starts with an empty shader cache", flush=True)
        try:
            results["start"] = starts(arguments)
        except Failed as error:
            print(f"  vgg-wgpu does not run: {error}", flush=True)
    results["seconds"] = time.monotonic() - start
    report.write(results, arguments.out)
    chart.save(results, arguments.out)
    print(report.markdown(results))
    missed = report.check(results)
    return missed if arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
