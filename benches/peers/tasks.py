"""What compare.py measures, with whom, and what is required of the ratios."""

import dataclasses
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

BLOCKS = [(1, 16), (1, 32), (2, 64), (2, 128), (2, 128)]
TABLE = ",".join(f"{count}x{channels}" for count, channels in BLOCKS)
DENSE = [4096, 4096, 10]


@dataclasses.dataclass(frozen=True)
class Task:
    resize: int
    batch: int
    training: bool = True

    @property
    def name(self):
        return f"{self.resize}x{self.batch}" + ("" if self.training else "-infer")

    @property
    def title(self):
        kind = "Training" if self.training else "Inference"
        return f"{kind}, {self.resize} px, batch {self.batch}"

    @property
    def gflop(self):
        """Of a step: 2 for each multiply-add of convolutions and dense layers, forward and, in
        training, backward to weights and to data, but to no image."""
        side, inputs, adds = self.resize, 1, []
        for count, channels in BLOCKS:
            for _ in range(count):
                adds.append(side * side * 9 * inputs * channels)
                inputs = channels
            side //= 2
        inputs *= side * side
        for outputs in DENSE:
            adds.append(inputs * outputs)
            inputs = outputs
        all_passes = 3 * sum(adds) - adds[0] if self.training else sum(adds)
        return 2 * all_passes * self.batch / 1e9


TASKS = [Task(224, 8), Task(224, 32), Task(224, 32, training=False), Task(96, 32), Task(32, 32)]
# Peak memory is compared on this one.
MEMORY_TASK = Task(224, 128)

# The allocator keeps what it was given back: PyTorch else maps and clears its tensors each step.
TUNED = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "1000000000000"}
# Settings of a user's shell that would change what is measured.
IGNORED = ("MALLOC_", "OPENBLAS_", "MKL_", "OMP_", "KMP_", "RAYON_", "LP_NUM_THREADS", "MEGANEURA_")


@dataclasses.dataclass(frozen=True)
class Peer:
    name: str
    label: str
    variant: str = ""
    # The folder of its crate; none for PyTorch and for us.
    crate: str | None = None
    # The package in the crate's Cargo.lock whose version the table tells.
    package: str | None = None
    # Its argument after the task's.
    backend: str | None = None
    tuned: bool = False
    # Slow ones are measured on these tasks only, unless asked for.
    tasks: tuple[str, ...] | None = None
    note: str = ""

    def command(self, task, programs, python, threads):
        numbers = [str(task.resize), str(task.batch), "train" if task.training else "infer"]
        if self.crate:
            command = [programs / f"peer-{self.crate}", *numbers]
            return command + [self.backend] if self.backend else command
        return [python, HERE / "torch_step.py", *numbers, self.backend, str(threads)]

    def version(self):
        """From the lock file of its crate; PyTorch tells its own."""
        if not self.crate:
            return None
        lock = tomllib.loads((HERE / self.crate / "Cargo.lock").read_text())
        return next(each["version"] for each in lock["package"] if each["name"] == self.package)


OURS = Peer("ours", "vgg-wgpu")
TORCH = {"label": "PyTorch", "backend": "contiguous"}
BURN = {"label": "burn", "crate": "burn", "package": "burn"}
CANDLE = {"label": "candle", "crate": "candle", "package": "candle-core"}
MEGANEURA = {"label": "meganeura", "crate": "meganeura", "package": "meganeura"}
APPROXIMATE = (
    "meganeura has no dropout, whose masks are drawn on the host here; its backward pass of max "
    "pooling is an approximation: a gradient goes in quarters to four inputs, not to the largest"
)
SMALL = ("224x8", "96x32", "32x32")
LAST = "allocator tuned, channels-last"
PEERS = [
    OURS,
    Peer("torch-installed", variant="as installed", **TORCH),
    Peer("torch-tuned", variant="allocator tuned", tuned=True, **TORCH),
    Peer("torch-channels-last", variant=LAST, tuned=True, **TORCH | {"backend": "channels-last"}),
    Peer("burn-flex", variant="flex (CPU), allocator tuned", backend="flex", tuned=True, **BURN),
    Peer("candle", variant="CPU, allocator tuned", tuned=True, **CANDLE),
    Peer("meganeura", variant="Vulkan", note=APPROXIMATE, tasks=SMALL, **MEGANEURA),
    Peer("burn-wgpu", variant="wgpu", backend="wgpu", tasks=SMALL, **BURN),
]

# (peer, task): the least ratio of our speed to the peer's that is required, and the goal.
WANTED = {
    ("burn-wgpu", "224x8"): (12, 20),
    ("burn-wgpu", "96x32"): (9, 15),
    ("burn-wgpu", "32x32"): (9, 15),
    ("torch-installed", "224x32"): (0.5, 1.0),
    ("torch-installed", "224x32-infer"): (0.6, 1.2),
    ("torch-installed", "96x32"): (0.375, 0.75),
    ("torch-installed", "32x32"): (0.375, 0.75),
    ("torch-channels-last", "224x32"): (None, 1.0),
}
FIRST_STEP_MS = 8000
STARTUP_MS = 300
# Of our peak memory to PyTorch's, at most.
MEMORY_SHARE = 0.5


def chosen(names, among):
    """Those of a list of names; a name that is none itself stands for all that begin with it."""
    if names is None:
        return list(among)
    found = set()
    for name in names.split(","):
        same = {each.name for each in among if each.name == name}
        same = same or {each.name for each in among if each.name.startswith(f"{name}-")}
        if not same:
            raise ValueError(f"{name} is none of {', '.join(each.name for each in among)}")
        found |= same
    return [each for each in among if each.name in found]
