"""20 steps of each update rule in PyTorch, on a filter bank with given gradients, in float64."""

import numpy as np
import torch

import generator

# 9 taps of 4 input channels and 8 output channels, then a bias for each of these.
WEIGHTS, BIASES = 9 * 4 * 8, 8
STEPS = 20
RATE, DECAY, MAX_NORM = 0.05, 0.1, 1.0
# So long that gradients are clipped in two steps of three.
BOUNDS = [0.02, 0.2, 2.0]


def rules():
    """Each rule of the fixtures by name: a torch.optim class, its numbers, and its moments' names."""
    sgd, momentum = torch.optim.SGD, ["momentum_buffer"]
    return {
        "sgd": (sgd, {}, []),
        "momentum": (sgd, {"momentum": 0.9}, momentum),
        "nesterov": (sgd, {"momentum": 0.9, "nesterov": True}, momentum),
        "adamw": (torch.optim.AdamW, {"betas": (0.9, 0.99)}, ["exp_avg", "exp_avg_sq"]),
    }


def gradient(step):
    """float32 (WEIGHTS + BIASES)."""
    bound = BOUNDS[step % len(BOUNDS)]
    return generator.uniform(f"optimizers/gradient{step}", (WEIGHTS + BIASES,), bound)


def descend(name, decay, decay_all, clips):
    """Parameters and moments after 20 steps, weights then biases."""
    kind, numbers, moments = rules()[name]
    start = torch.from_numpy(generator.uniform("optimizers/start", (WEIGHTS + BIASES,), 1.0))
    weights, biases = (p.double().requires_grad_() for p in start.split([WEIGHTS, BIASES]))
    groups = [{"params": [weights]}, {"params": [biases], "weight_decay": decay * decay_all}]
    rule = kind(groups, lr=RATE, weight_decay=decay, **numbers)
    for step in range(STEPS):
        given = torch.from_numpy(gradient(step)).double()
        weights.grad, biases.grad = given.split([WEIGHTS, BIASES])
        if clips:
            torch.nn.utils.clip_grad_norm_([weights, biases], MAX_NORM)
        rule.step()
    kept = [[rule.state[p][moment] for p in (weights, biases)] for moment in moments]
    return [torch.cat(parts).detach().numpy() for parts in [[weights, biases], *kept]]


def optimizers_fixture():
    """What each rule leaves: plain, with decay of all, with decay of weights and clipping."""
    out = {}
    for name in rules():
        for kind, how in [
            ("plain", (0.0, False, False)),
            ("decayed", (DECAY, True, False)),
            ("clipped", (DECAY, False, True)),
        ]:
            for part, values in zip(["p", "m", "v"], descend(name, *how)):
                out[f"{name}.{kind}.{part}"] = values.astype(np.float64)
    numbers = {"rate": RATE, "decay": DECAY, "max_norm": MAX_NORM, "bounds": BOUNDS}
    return out, numbers | {"weights": WEIGHTS, "biases": BIASES, "steps": STEPS}
