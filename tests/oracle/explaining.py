"""The part of the fixtures about Grad-CAM: Selvaraju et al., arXiv:1610.02391, section 3."""

import torch
import torch.nn.functional as F

from case import CASES, network, tensors

# Both heads, with and without batch normalisation.
NAMES = ["flatten", "odd", "bn", "bn_pool", "pool3", "pool9"]
# Enlarged maps are kept of one case.
ENLARGED = "flatten"


def grad_cam(net, x, chosen=None):
    """Class of each image, weights of the channels and heat map, by the output of the last pooling."""
    features = net.features(x)
    features.retain_grad()
    logits = net.classifier(torch.flatten(net.avgpool(features), 1))
    if chosen is None:
        chosen = logits.argmax(1)
    # Each image's gradient is its own: the images do not meet in evaluation mode.
    logits.gather(1, chosen[:, None]).sum().backward()
    alpha = features.grad.mean((2, 3))
    heat = torch.relu((alpha[:, :, None, None] * features).sum(1))
    return chosen, alpha.detach(), heat.detach()


def explain_fixture():
    out = {}
    for case in map(CASES.get, NAMES):
        name, (x, _) = case.name, tensors(case)
        last = torch.full((case.images,), case.classes - 1)
        for which, chosen in [("likeliest", None), ("last", last)]:
            chosen, alpha, heat = grad_cam(network(case).eval(), x, chosen)
            out[f"{name}.{which}.class"] = chosen.numpy()
            out[f"{name}.{which}.weights"] = alpha.float().numpy()
            out[f"{name}.{which}.heat"] = heat.float().numpy()
            if name == ENLARGED and which == "likeliest":
                size = x.shape[2:]
                large = F.interpolate(heat[:, None], size, mode="bilinear", align_corners=False)
                out[f"{name}.{which}.enlarged"] = large[:1, 0].float().numpy()
    return out, {"enlarged": "of the first image"}
