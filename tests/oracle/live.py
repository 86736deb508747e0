#!/usr/bin/env python3
"""Compare the program with PyTorch, on torchvision's real networks and on small ones.

Every network has random weights. Prints what was compared, how far it was off and how far it may
be; ends with 1 if anything was too far off or could not be done.
"""

import argparse
import csv
import dataclasses
import json
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

import numpy as np
import onnxruntime
import timm
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.numpy import load_file as load_arrays
from safetensors.torch import load_file, save_file
from torchvision import transforms

import case as cases
import events
import generator
from make_fixtures import DEVIATION, MEAN, MOMENTUM, WEIGHT_DECAY, relative, silenced
from peers import book_network, image_set, load, pictures, randomise, real, smooth, unequal
from resizing import pil_resize

ROOT = Path(__file__).resolve().parents[2]
CHECKS = {}


def check(function):
    """Registers a check: a function of a Bench that yields (what, error, limit)."""
    CHECKS[function.__name__.replace("_", "-")] = function
    return function


class Bench:
    """The program, and a folder to put files in."""

    def __init__(self, program, folder):
        self.program, self.folder = program, folder

    def path(self, name):
        return self.folder / name

    def run(self, *arguments):
        command = [str(each) for each in (self.program, *arguments)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}\nended with {done.returncode}: {done.stderr}")
        return done.stdout

    def imported(self, file, *flags):
        """The file brought into the program's own form."""
        model = self.path(f"{file.name}.imported.safetensors")
        self.run("import", file, "--out", model, *flags)
        return model

    def infer(self, model, x):
        """The program's logits of the images `x`, a float32 tensor."""
        batch, out = self.path("input.safetensors"), self.path("logits.safetensors")
        save_file({"input": x.contiguous()}, batch)
        self.run("infer", "--weights", model, "--input", batch, "--out", out)
        return load_file(out)["logits"]

    def exported(self, model, form, suffix):
        out = self.path(f"exported.{form}{suffix}")
        self.run("export", model, "--format", form, "--out", out)
        return out

    def imported_case(self, case):
        """A fixture's network; its size cannot be seen in its weights."""
        file = self.path(f"{case.name}.safetensors")
        cases.save(case, file)
        return self.imported(file, "--resize", case.input[1], "--head", case.head)


def round_trip(bench, model, net, form, suffix):
    """Exports, loads into the net as PyTorch's users do, and compares all tensors."""
    before = {name: value.clone() for name, value in net.state_dict().items()}
    for value in net.state_dict().values():
        value.zero_()
    net.load_state_dict(load(bench.exported(model, form, suffix)), strict=True)
    return unequal(net.state_dict(), before)


def onnx_logits(file, x):
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return session.run(["logits"], {"input": x.numpy()})[0]


def whole_network(bench, name):
    net, logits, x = real(name)
    file = bench.path(f"{name}.pth")
    torch.save(net.state_dict(), file)
    model = bench.imported(file)
    yield f"{name}: logits", relative(bench.infer(model, x), logits), 1e-4
    for form, suffix in [("torchvision", ".pth"), ("pth", ".pth"), ("safetensors", ".safetensors")]:
        yield f"{name}: tensors back as {form}", round_trip(bench, model, net, form, suffix), 0.0
    with torch.no_grad():
        yield f"{name}: logits after it", relative(net(x), logits), 0.0


@check
def vgg11(bench):
    yield from whole_network(bench, "vgg11")


@check
def vgg16(bench):
    yield from whole_network(bench, "vgg16")


@check
def vgg16_bn(bench):
    yield from whole_network(bench, "vgg16_bn")


@check
def forms(bench):
    """The same weights in each form of file."""
    net, logits, x = real("vgg11")
    state = net.state_dict()
    zipped, legacy = bench.path("zip.pth"), bench.path("legacy.pth")
    plain, prefixed = bench.path("plain.safetensors"), bench.path("prefixed.pth")
    torch.save(state, zipped)
    torch.save(state, legacy, _use_new_zipfile_serialization=False)
    save_file(state, plain)
    torch.save({f"module._orig_mod.{name}": value for name, value in state.items()}, prefixed)
    for file in (zipped, legacy, plain, prefixed):
        yield f"vgg11 from {file.name}", unequal(load_file(bench.imported(file)), state), 0.0
    for name, dtype in [("f16", torch.half), ("bf16", torch.bfloat16), ("f64", torch.double)]:
        file = bench.path(f"{name}.pth")
        torch.save({key: value.to(dtype) for key, value in state.items()}, file)
        expected = {key: value.to(dtype).float() for key, value in state.items()}
        yield f"vgg11 from {name}", unequal(load_file(bench.imported(file)), expected), 0.0


@check
def timm_names(bench):
    """timm keeps the first dense layers as convolutions."""
    for name in ("vgg11", "vgg11_bn"):
        x = pictures(2)
        net, logits = randomise(timm.create_model(name, pretrained=False), x)
        file = bench.path(f"timm_{name}.safetensors")
        save_file(net.state_dict(), file)
        yield f"timm's {name}: logits", relative(bench.infer(bench.imported(file), x), logits), 1e-4


@check
def book_names(bench):
    x = pictures(3, 1, 64)
    net, logits = randomise(book_network(64), x)
    file = bench.path("book.pth")
    torch.save(net.state_dict(), file)
    model = bench.imported(file, "--resize", 64)
    yield "the book's network: logits", relative(bench.infer(model, x), logits), 1e-4
    yield "the book's network: tensors back", round_trip(bench, model, net, "d2l", ".pth"), 0.0


@check
def onnx(bench):
    """ONNX Runtime's logits, of one image and of three."""
    net, _, _ = real("vgg11")
    file = bench.path("vgg11.pth")
    torch.save(net.state_dict(), file)
    out = bench.exported(bench.imported(file), "onnx", ".onnx")
    with torch.no_grad():
        for count in (1, 3):
            x = pictures(count)
            yield f"vgg11, batch of {count}", relative(onnx_logits(out, x), net(x)), 1e-4
    for name in ("flatten", "odd", "bn", "pool3", "bn_pool"):
        case = cases.CASES[name]
        out = bench.exported(bench.imported_case(case), "onnx", ".onnx")
        x = cases.tensors(case, torch.float32)[0]
        with torch.no_grad():
            logits = cases.network(case).eval()(x.double())
        for count in (1, 3):
            error = relative(onnx_logits(out, x[:count]), logits[:count])
            yield f"{name}, batch of {count}", error, 1e-4


@check
def gradients(bench):
    """Logits, loss and every gradient of the fixtures' networks, against float64."""
    for case in cases.CASES.values():
        model, batch, out = bench.imported_case(case), bench.path("batch"), bench.path("gradients")
        net, (x, target) = cases.network(case), cases.tensors(case)
        with torch.no_grad():
            logits = net.eval()(x)
        loss = F.cross_entropy(net.train()(x), target)
        loss.backward()
        save_file({"input": x.float(), "target": target}, batch)
        bench.run("gradients", "--weights", model, "--input", batch, "--out", out)
        found = load_file(out)
        expected = {name: part.grad for name, part in net.named_parameters()}
        yield f"{case.name}: logits", relative(bench.infer(model, x.float()), logits), 1e-5
        yield f"{case.name}: loss", relative(found.pop("loss"), loss.detach()), 1e-5
        yield f"{case.name}: names", float(len(found.keys() ^ expected.keys())), 0.0
        errors = gradient_errors(net, found, expected)
        worst = max(errors, key=errors.get)
        yield f"{case.name}: gradients, worst {worst}", errors[worst], 1e-5


def gradient_errors(net, found, expected):
    """The relative error of each gradient; one that is 0 is measured by its layer's weights'."""
    zero, errors = silenced(net), {}
    for name, value in expected.items():
        scale = expected[name.replace(".bias", ".weight")].norm() if name in zero else value.norm()
        errors[name] = float((found[name].double() - value).norm() / scale)
    return errors


STEP, LEARNING_RATE = 8, 0.01
TRAJECTORIES = [
    cases.Case("plain", "1x8,2x12", (1, 32, 32), (20, 16), 10, "flatten", False, 0, 0.0),
    cases.Case("pooled", "1x8,1x12", (1, 24, 24), (20, 16), 10, "avgpool7", False, 0, 0.0),
    cases.Case("normalised", "1x8,1x12", (1, 32, 32), (20, 16), 10, "flatten", True, 0, 0.0),
]

SGD, ADAMW = torch.optim.SGD, torch.optim.AdamW


def apart(weights, others):
    """Groups of parameters of which only the first decays."""
    return [{"params": weights}, {"params": others, "weight_decay": 0.0}]


# By name: the flags, and the optimiser of weights and other parameters with the norm to clip to.
RATE = ["--lr", LEARNING_RATE]
PUSH = [*RATE, "--momentum", MOMENTUM, "--weight-decay", WEIGHT_DECAY]
ADAM = ["--optimizer", "adamw", "--lr", 1e-3, "--weight-decay", 0.05]
RULES = {
    "SGD": (RATE, lambda w, o: (SGD([*w, *o], LEARNING_RATE), None)),
    "momentum, all decay": (
        [*PUSH, "--decay-all"],
        lambda w, o: (SGD([*w, *o], LEARNING_RATE, MOMENTUM, weight_decay=WEIGHT_DECAY), None),
    ),
    "Nesterov, clipped": (
        [*PUSH, "--nesterov", "--clip-norm", 0.5],
        lambda w, o: (
            SGD(apart(w, o), LEARNING_RATE, MOMENTUM, 0.0, WEIGHT_DECAY, nesterov=True),
            0.5,
        ),
    ),
    # Where a gradient is near 0 AdamW's first steps have its sign and hardly its size: a larger epsilon
    # keeps rounding from being told apart.
    "AdamW": (
        [*ADAM, "--epsilon", 1e-4],
        lambda w, o: (ADAMW(apart(w, o), 1e-3, weight_decay=0.05, eps=1e-4), None),
    ),
}


@check
def trajectory(bench):
    """The losses of 20 steps of `train` from given weights."""
    folder, (images, labels), _ = image_set(bench.path("set"), 20 * STEP)
    for case in TRAJECTORIES:
        for name, (flags, rule) in RULES.items():
            steps = bench.path("steps.csv")
            flags = ["--epochs", 1, "--batch", STEP, *flags, "--dropout", 0, "--no-shuffle"]
            flags += ["--log-steps", steps, "--out", bench.path(f"run-{case.name}-{name}")]
            bench.run("train", "--data", folder, "--init", bench.imported_case(case), *flags)
            with open(steps, newline="") as file:
                found = np.array([float(row["loss"]) for row in csv.DictReader(file)])
            expected = descend(case, smooth(images, case.input[1]), labels, rule)
            if found.shape != expected.shape:
                raise RuntimeError(f"{len(found)} steps logged, {len(expected)} expected")
            error = float(np.abs(found / expected - 1).max())
            yield f"{case.name}: 20 losses, {name}", error, 1e-4


def descend(case, x, labels, rule):
    net = cases.network(case)
    weights = [p for p in net.parameters() if p.dim() > 1]
    others = [p for p in net.parameters() if p.dim() == 1]
    rule, clip_norm = rule(weights, others)
    losses = []
    for start in range(0, len(x), STEP):
        rule.zero_grad()
        loss = F.cross_entropy(net(x[start : start + STEP]), labels[start : start + STEP])
        loss.backward()
        if clip_norm:
            torch.nn.utils.clip_grad_norm_(net.parameters(), clip_norm)
        rule.step()
        losses.append(loss.item())
    return np.array(losses)


@check
def resizing(bench):
    """Logits of a data set, resized up and down on the device by both filters."""
    folder, _, (images, _) = image_set(bench.path("set"), 20)
    for side in (20, 28, 40, 61):
        case = dataclasses.replace(TRAJECTORIES[0], name="sized", input=(1, side, side))
        model, net = bench.imported_case(case), cases.network(case).eval()
        pil = np.stack([pil_resize(image[:, :, None], (side, side))[:, :, 0] for image in images])
        filters = {"bilinear": smooth(images, side), "pil": smooth(pil, side)}
        for name, x in filters.items():
            out = bench.path("eval.safetensors")
            flags = ["--logits", out, "--resize-filter", name]
            bench.run("eval", model, "--data", folder, *flags)
            with torch.no_grad():
                error = relative(load_arrays(out)["logits"], net(x))
            yield f"28 to {side} pixels, {name}", error, 1e-5


@check
def predict(bench):
    """A picture's probabilities, prepared as torchvision's weights want it."""
    net, _, _ = real("vgg11")
    file, labels = bench.path("vgg11.pth"), bench.path("labels.txt")
    torch.save(net.state_dict(), file)
    model = bench.imported(file)
    labels.write_text("".join(f"class {i}\n" for i in range(1000)))
    prepare = transforms.Compose(
        [transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor()]
        + [transforms.Normalize(MEAN, DEVIATION)]
    )
    for width, height in [(320, 281), (213, 300), (256, 256)]:
        # Noise made smooth, so that resizing matters without being all.
        noise = Image.fromarray(generator.pixels("live/picture", (12, 12, 3)))
        picture = noise.resize((width, height), Image.Resampling.BICUBIC)
        path = bench.path(f"{width}x{height}.png")
        picture.save(path)
        report = json.loads(
            bench.run("predict", model, path, "--json", "--top", 1000, "--labels", labels)
        )
        found = {each["name"]: each["probability"] for each in report[0]["classes"]}
        found = [found[f"class {i}"] for i in range(1000)]
        with torch.no_grad():
            expected = net(prepare(picture)[None]).softmax(1)[0]
        yield f"vgg11, picture of {width}x{height}", relative(found, expected), 1e-4


@check
def tensorboard(bench):
    """Events that `train` writes, as TensorBoard reads them."""
    run = bench.path("run")
    bench.run(
        "train", "--data", "embedded", "--limit", 192, "--resize", 32, "--arch", "1x8,1x12_bn",
        "--batch", 64, "--epochs", 2, "--schedule", "cosine", "--out", run, "--tensorboard",
    )
    yield from events.compare(run)


def judge(bench, name):
    """Runs a check and prints its rows; false if one failed."""
    passed = True
    try:
        for what, error, limit in CHECKS[name](bench):
            good = error <= limit
            passed &= good
            row = f"{name:12} {what:60} {error:9.1e} {limit:9.1e}"
            print(f"{row}  {'pass' if good else 'FAIL'}", flush=True)
    except Exception:
        print(f"{name:12} FAIL\n{traceback.format_exc(limit=-2)}", flush=True)
        return False
    return passed


def main():
    parser = argparse.ArgumentParser(description="Compare the program with PyTorch.")
    parser.add_argument("--program", type=Path, default=ROOT / "target/release/vgg-wgpu")
    parser.add_argument("--list", action="store_true", help="print the names of the checks")
    parser.add_argument("names", nargs="*", metavar="CHECK", help="only these")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - CHECKS.keys()
    if unknown:
        parser.error(f"no such check: {', '.join(sorted(unknown))}")
    if arguments.list:
        print("\n".join(CHECKS))
        return
    print(f"{'check':12} {'what':60} {'error':>9} {'limit':>9}")
    failed = []
    for name in arguments.names or CHECKS:
        with tempfile.TemporaryDirectory() as folder:
            if not judge(Bench(arguments.program.resolve(), Path(folder)), name):
                failed.append(name)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
