#!/usr/bin/env python3
"""Compute what the tests compare with: PyTorch's results in float64, one file a case.

README.md beside this file tells what the files hold and how inputs and weights are made again.
With --check, compares with the committed files instead of writing.
"""

import argparse
import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import PIL
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import save_file
from torch import nn

import generator
from case import CASES, network, tensors
from explaining import explain_fixture
from optimizers import optimizers_fixture
from resizing import bilinear_fixture, pillow_fixture

FIXTURES = Path(__file__).resolve().parent / "fixtures"
STEPS = 20
MOMENTUM, WEIGHT_DECAY = 0.9, 5e-4
# A gradient of more values is kept as its norm and its sums under random signs.
WHOLE = 16_384
# Nearest that a ReLU's input or a pool's two largest values may come to the edge.
MARGIN = 3e-6
# Two files are the same if their values are this close.
SAME = 1e-12


def margin(net, x):
    """How near the training step comes to a ReLU's or a pool's edge, where gradients jump."""
    nearest = []

    def relu(_, inputs):
        nearest.append(inputs[0].abs().min().item())

    def pool(_, inputs):
        windows = F.unfold(inputs[0].flatten(0, 1).unsqueeze(1), 2, stride=2)
        first, second = windows.topk(2, dim=1).values.unbind(1)
        # Where no ReLU is open no gradient passes, whichever of the values is taken.
        nearest.append((first - second)[first > 0].min().item())

    kinds = {nn.ReLU: relu, nn.MaxPool2d: pool}
    parts = [part for part in net.modules() if type(part) in kinds]
    hooks = [part.register_forward_pre_hook(kinds[type(part)]) for part in parts]
    with torch.no_grad():
        net(x)
    for hook in hooks:
        hook.remove()
    return min(nearest)


def step(case, dtype):
    """One step's results by name: logits, loss, gradients, running statistics."""
    net, (x, target) = network(case, dtype), tensors(case, dtype)
    out = {}
    with torch.no_grad():
        out["eval.logits"] = net.eval()(x)
    logits = net.train()(x)
    loss = F.cross_entropy(logits, target)
    loss.backward()
    out["train.logits"], out["train.loss"] = logits.detach(), loss.detach()
    for name, parameter in net.named_parameters():
        out[f"gradient.{name}"] = parameter.grad
    for name, value in net.named_buffers():
        out[f"after.{name}"] = value
    return {name: value.numpy() for name, value in out.items()}


def descend(case, momentum, dtype):
    """Losses before each of 20 steps of SGD, and the norms of all parameters after them."""
    net, (x, target) = network(case, dtype).train(), tensors(case, dtype)
    rule = torch.optim.SGD(net.parameters(), case.lr, momentum, weight_decay=WEIGHT_DECAY)
    losses = []
    for _ in range(STEPS):
        rule.zero_grad()
        loss = F.cross_entropy(net(x), target)
        loss.backward()
        rule.step()
        losses.append(loss.item())
    norms = [parameter.detach().double().norm().item() for parameter in net.parameters()]
    return np.array(losses), np.array(norms)


def relative(found, expected):
    """The norm of the difference, relative to that of the expected."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    return float(np.linalg.norm(found - expected) / max(np.linalg.norm(expected), 1e-300))


def silenced(net):
    """Biases that a normalisation takes away again: their gradients are zero but for rounding."""
    parts = list(net.features.named_children())
    norms = [isinstance(part, nn.BatchNorm2d) for _, part in parts]
    return {f"features.{name}.bias" for (name, _), norm in zip(parts[:-1], norms[1:]) if norm}


def network_fixture(case):
    """A case's tensors and its description."""
    net = network(case)
    near = margin(net, tensors(case)[0])
    if near < MARGIN:
        sys.exit(f"{case.name}: a ReLU or a pool is {near:.1e} from its edge; raise its salt")
    exact, single = step(case, torch.float64), step(case, torch.float32)
    for name in silenced(net):
        exact[f"gradient.{name}"][:] = single[f"gradient.{name}"][:] = 0.0
    gradients = [name for name in exact if name.startswith("gradient.")]
    worst = max(relative(single[name], exact[name]) for name in gradients)
    out = {}
    for name, value in exact.items():
        if name in gradients and value.size > WHOLE:
            key = case.key(f"{name}.signs")
            out[f"{name}.projections"], out[f"{name}.norm"] = generator.projections(key, value)
        elif name == "train.loss" or value.dtype == np.int64:
            out[name] = value
        else:
            out[name] = value.astype(np.float32)
    curve = 0.0
    for run, momentum in [("sgd", 0.0), ("momentum", MOMENTUM)]:
        out[f"{run}.losses"], out[f"{run}.norms"] = descend(case, momentum, torch.float64)
        losses = descend(case, momentum, torch.float32)[0]
        curve = max(curve, float(np.abs(losses / out[f"{run}.losses"] - 1).max()))
    print(
        f"{case.name:8} logits {np.abs(exact['train.logits']).max():.2f}, nearest edge {near:.1e}; "
        f"float32 here: gradients {worst:.1e}, 20 losses {curve:.1e}; "
        f"loss {out['momentum.losses'][0]:.3f} to {out['momentum.losses'][-1]:.3f}, "
        f"{out['sgd.losses'][-1]:.3f} without momentum"
    )
    description = dataclasses.asdict(case) | {
        "momentum": MOMENTUM,
        "weight_decay": WEIGHT_DECAY,
        "steps": STEPS,
        "parameters": [name for name, _ in net.named_parameters()],
        "shapes": [list(parameter.shape) for _, parameter in net.named_parameters()],
    }
    return out, description


def cross_entropy_fixture():
    """Losses of logits of any size, and hits where logits are equal."""
    rows = np.zeros((8, 10), np.float32)
    rows[0, 3], rows[1, 3] = 1e4, 1e4
    rows[2], rows[2, 4] = 1e4, -1e4
    rows[3], rows[3, 0] = -1e4, 1e4
    rows[4] = 1e4
    rows[5] = generator.uniform("cross_entropy/row5", (10,), 1e4)
    rows[6] = generator.uniform("cross_entropy/row6", (10,), 5.0)
    rows[7] = np.float32(-1e4) + generator.uniform("cross_entropy/row7", (10,), 1.0)
    target = np.array([3, 0, 4, 1, 9, 2, 7, 5])
    logits = torch.from_numpy(rows).double().requires_grad_()
    losses = F.cross_entropy(logits, torch.from_numpy(target), reduction="none")
    losses.mean().backward()
    tied = generator.below("top/logits", 40 * 10, 4).reshape(40, 10).astype(np.float32)
    tied[0] = 0.0
    top_target = generator.below("top/target", 40, 10)
    # A stable sort keeps equal logits in the order of their indices: the lowest index wins.
    order = torch.from_numpy(tied).sort(dim=1, descending=True, stable=True).indices.numpy()
    rank = (order == top_target[:, None]).argmax(1)
    out = {
        "logits": rows,
        "target": target,
        "losses": losses.detach().numpy(),
        "mean": losses.mean().detach().numpy(),
        "gradient": logits.grad.numpy(),
        "top.logits": tied,
        "top.target": top_target,
        "top.rank": rank,
        "top1": np.array((rank < 1).sum()),
        "top5": np.array((rank < 5).sum()),
    }
    return out, {"gradient": "of the mean"}


MEAN, DEVIATION = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
# (height, width) of a picture, its shorter side resized, the side of the middle cut out.
PICTURES = [((45, 61), 32, 28), ((50, 33), 24, 19), ((33, 50), 48, 40), ((40, 40), 32, 28)]


def preprocess_fixture():
    from torchvision import transforms

    out = {}
    for i, (shape, side, crop) in enumerate(PICTURES):
        picture = Image.fromarray(generator.pixels(f"preprocess/{i}", (*shape, 3)))
        cut = transforms.CenterCrop(crop)(transforms.Resize(side)(picture))
        tensor = transforms.Normalize(MEAN, DEVIATION)(transforms.ToTensor()(cut))
        out[f"{i}.pixels"], out[f"{i}.input"] = np.asarray(cut), tensor.numpy()
    cases = [[*shape, side, crop] for shape, side, crop in PICTURES]
    return out, {"cases": cases, "mean": MEAN, "deviation": DEVIATION, "pillow": PIL.__version__}


def generator_fixture():
    """Numbers of the generator itself, so that another implementation can find its mistake."""
    sums, norm = generator.projections("test/signs", np.arange(1, 9))
    out = {
        "words": generator.words("test/words", 8),
        "uniform": generator.uniform("test/uniform", (8,), np.sqrt(6.0 / 27.0)),
        "gamma": generator.uniform("test/gamma", (8,), 0.5, centre=1.0),
        "below": generator.below("test/below", 8, 10),
        "pixels": generator.pixels("test/pixels", (8,)),
        "projections": sums,
        "norm": norm,
    }
    return out, {"fnv1a of test/words": str(generator.fnv1a("test/words"))}


def differences(path, out):
    """What is not the same in the committed file, one line each."""
    if not path.is_file():
        return [f"{path.name} is missing"]
    with safe_open(path, "numpy") as file:
        old = {name: file.get_tensor(name) for name in file.keys()}
    lines = [f"{path.name}: only one has {name}" for name in sorted(old.keys() ^ out.keys())]
    for name in sorted(old.keys() & out.keys()):
        if old[name].shape != out[name].shape or old[name].dtype != out[name].dtype:
            lines.append(f"{path.name}: {name} has another shape or type")
        elif (error := relative(out[name], old[name])) > tolerance(name, old[name]):
            lines.append(f"{path.name}: {name} differs by {error:.1e}")
    return lines


def tolerance(name, value):
    """What was rounded to float32 may round to the neighbour; the sums have cancelled."""
    if value.dtype == np.float32:
        return 1e-7
    return 1e-10 if name.endswith(("projections", "losses", "norms")) else SAME


def main():
    parser = argparse.ArgumentParser(description="Compute the fixtures, or compare with them.")
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    parser.add_argument("names", nargs="*", help="only these")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    makers = {name: lambda case=case: network_fixture(case) for name, case in CASES.items()}
    makers |= {
        "cross_entropy": cross_entropy_fixture,
        "explain": explain_fixture,
        "bilinear": bilinear_fixture,
        "pillow": pillow_fixture,
        "preprocess": preprocess_fixture,
        "generator": generator_fixture,
        "optimizers": optimizers_fixture,
    }
    changed = []
    for name in arguments.names or makers:
        out, description = makers[name]()
        out = {key: np.array(value, order="C") for key, value in out.items()}
        path = FIXTURES / f"{name}.safetensors"
        changed += differences(path, out)
        if not arguments.check:
            description["torch"] = torch.__version__
            FIXTURES.mkdir(exist_ok=True)
            save_file(out, path, {"case": json.dumps(description)})
    print("\n".join(changed) or "the fixtures are as committed")
    if arguments.check and changed:
        sys.exit(1)


if __name__ == "__main__":
    main()
