"""How compare.py runs a program: the peers stay alive between bursts, ours is started anew."""

import contextlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import tasks

# A step that takes longer than this is slow.
SLOW_STEP_MS = 2500
# Steps of ours in a burst at least, where they are not slow: each start costs two untimed ones.
OUR_STEPS = 3


class Failed(Exception):
    """A program that could not do the work; says why."""


def environment(arguments, tuned=False, **more):
    """The user's, less what would change a measurement, with our number of threads."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(tasks.IGNORED)}
    for name in ("OMP_NUM_THREADS", "RAYON_NUM_THREADS", "LP_NUM_THREADS"):
        kept[name] = str(arguments.threads)
    return kept | (tasks.TUNED if tuned else {}) | more


def reason(text):
    """What a program said last, or of a panic first: mostly why it ended."""
    lines = [each.strip() for each in text.splitlines()]
    lines = [each for each in lines if each and not each.startswith("note: ")]
    panics = [i for i, each in enumerate(lines) if "panicked at" in each]
    told = " ".join(lines[panics[0] : panics[0] + 2]) if panics else (lines or [""])[-1]
    return told.partition("panicked at ")[2][:200] or told[:200] or "it said nothing"


class Running:
    """A peer that is running and takes steps when it is told to."""

    def __init__(self, peer, task, arguments):
        self.patience = arguments.patience
        self.log = arguments.out / "logs" / f"{peer.name}-{task.name}.txt"
        command = peer.command(task, arguments.peers, sys.executable, arguments.threads)
        try:
            with self.log.open("w") as log:
                self.process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    env=environment(arguments, peer.tuned),
                )
        except OSError as error:
            raise Failed(str(error)) from error
        try:
            self.facts = self.answer()
            self.last_ms = self.burst(1)[0]
        except Failed:
            self.close()
            raise

    def answer(self):
        """The next line of JSON; other lines are a framework's own talk."""
        silent = threading.Event()
        timer = threading.Timer(self.patience, lambda: (silent.set(), self.process.kill()))
        timer.start()
        try:
            for line in self.process.stdout:
                if line.startswith("{"):
                    return json.loads(line)
        finally:
            timer.cancel()
        if silent.is_set():
            raise Failed(f"no answer in {self.patience:.0f} s")
        code = self.process.wait()
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        raise Failed(f"{reason(self.log.read_text(errors='replace'))} ({how})")

    def burst(self, steps):
        """Milliseconds of each step."""
        # One that ended will give no answer, which tells why.
        with contextlib.suppress(BrokenPipeError):
            print(steps, file=self.process.stdin, flush=True)
        return self.answer()["ms"]

    def peak_rss(self):
        """Bytes, where the system tells."""
        with contextlib.suppress(OSError, StopIteration):
            status = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
            line = next(each for each in status if each.startswith("VmHWM:"))
            return 1024 * int(line.split()[1])
        return None

    def close(self):
        self.process.kill()
        with contextlib.suppress(BrokenPipeError):
            self.process.communicate()


def bench(task, arguments, steps, **more):
    """The report of `vgg-wgpu bench`."""
    command = [arguments.program, "bench", "--arch", tasks.TABLE, "--json", "-"]
    command += ["--resize", task.resize, "--batch", task.batch, "--steps", steps]
    command += ["--pass", "train" if task.training else "infer"]
    command = [str(each) for each in command]
    env = environment(arguments, **more)
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    if done.returncode != 0:
        raise Failed(f"{reason(done.stderr)} (exit code {done.returncode})")
    return json.loads(done.stdout)


class Ours:
    """vgg-wgpu, behind the same face as a peer."""

    def __init__(self, task, arguments):
        self.task, self.arguments, self.peak = task, arguments, 0
        self.facts = bench(task, arguments, 1)
        self.last_ms = self.facts["step_ms"]["median"]

    def burst(self, steps):
        if self.last_ms < SLOW_STEP_MS:
            steps = max(steps, OUR_STEPS)
        facts = bench(self.task, self.arguments, steps)
        self.peak = max(self.peak, facts["memory"].get("peak_rss_bytes") or 0)
        # It tells the median and the extremes of its steps, not each.
        spread = facts["step_ms"]
        times = [spread["median"]] * steps
        times[0], times[-1] = spread["min"], spread["max"]
        return times

    def peak_rss(self):
        return self.peak or None

    def close(self):
        pass
