"""Makes the files beside this script, with real PyTorch: `python make_fixtures.py`.

Each holds small tensors that tests/weights_files.rs knows by heart. Needs torch and safetensors.
"""

import collections
import os
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

HERE = Path(__file__).parent


def ramp(*shape, dtype=torch.float32):
    count = torch.Size(shape).numel()
    return (torch.arange(count, dtype=torch.float64) / 4 - 1).reshape(shape).to(dtype)


def plain():
    return collections.OrderedDict(
        [
            ("weight", ramp(2, 3)),
            ("half", ramp(4, dtype=torch.float16)),
            ("brain", ramp(4, dtype=torch.bfloat16)),
            ("double", ramp(4, dtype=torch.float64)),
            ("steps", torch.tensor(7)),
            ("bytes", torch.tensor([0, 200], dtype=torch.uint8)),
            ("flags", torch.tensor([True, False])),
            ("small", torch.tensor([-3, 3], dtype=torch.int8)),
        ]
    )


def views():
    shared = ramp(3, 4)
    return {
        "whole": shared,
        "transposed": shared.t(),
        "part": shared[1:, 1:3],
        "expanded": shared[0, :1].expand(3),
        "empty": shared[:0],
        "parameter": torch.nn.Parameter(ramp(2)),
    }


class CallsSystem:
    """A pickle of this would run a command when Python's own unpickler reads it."""

    def __reduce__(self):
        return os.system, ("touch was_run",)


def as_from_gpu(path):
    """Tensors saved from a GPU differ in one word: the device of each storage."""
    content = path.read_bytes()
    content = content.replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")
    path.with_stem(path.stem + "_cuda").write_bytes(content)


def main():
    os.chdir(HERE)
    old = {"_use_new_zipfile_serialization": False}
    torch.save(plain(), "plain.pth")
    torch.save(plain(), "plain_legacy.pth", **old)
    torch.save(plain(), "plain_protocol4.pth", pickle_protocol=4)
    torch.save(plain(), "plain_legacy_protocol4.pth", pickle_protocol=4, **old)
    as_from_gpu(Path("plain_legacy.pth"))
    torch.save(views(), "views.pth")
    torch.save(views(), "views_legacy.pth", **old)
    layers = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    for parameter in layers.parameters():
        torch.nn.init.constant_(parameter, 0.5)
    optimizer = torch.optim.SGD(layers.parameters(), lr=0.1, momentum=0.9)
    checkpoint = {
        "epoch": 3,
        "best": 0.75,
        "name": "small",
        "dtype": torch.float32,
        "state_dict": layers.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    torch.save(checkpoint, "checkpoint.pth")
    torch.save(layers, "module.pth")
    torch.save({"weight": ramp(2), "hook": CallsSystem()}, "calls_system.pth")
    torch.save({"weight": ramp(2), "hook": CallsSystem()}, "calls_system_legacy.pth", **old)
    torch.jit.script(layers).save("script.pt")
    save_file({name: tensor.contiguous() for name, tensor in plain().items()}, "plain.safetensors")
    print("made with torch", torch.__version__, "and Python", sys.version.split()[0])


if __name__ == "__main__":
    main()
