# SPDX-License-Identifier: Apache-2.0
"""Reads lines of `torch_oracle` and computes each with PyTorch in float64: results and gradients must agree."""
import collections
import json
import sys

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)


def first(x):  # channels last to channels first
    return x.movedim(-1, 1).contiguous()


def last(x):
    return x.movedim(1, -1)


def weights(w):  # [kh,kw,I,O] to [O,I,kh,kw], [k,I,O] to [O,I,k]
    return w.movedim(-1, 0).movedim(-1, 1).contiguous()


def mean_last(x):
    return x if x.dim() == 0 else x.mean(-1)


def regression(name):
    return lambda i, o: mean_last(getattr(F, name)(i["x"], i["t"], reduction="none", **o))


def convolution(name):
    return lambda i, o: last(getattr(F, name)(first(i["x"]), weights(i["w"]), **o))


def cross_entropy(i, o):
    o = dict(o)
    if "weight" in o:
        o["weight"] = torch.tensor(o["weight"])
    if o["reduction"] == "mean" and (i["t"] == o.get("ignore_index", -100)).all():
        return (i["x"] * 0).sum()  # torch divides 0 by 0 there; the mean of nothing is 0 here
    return F.cross_entropy(i["x"], i["t"], **o)


def bce(i, o):
    weight = torch.tensor(o["pos_weight"])
    return mean_last(F.binary_cross_entropy_with_logits(i["x"], i["t"], pos_weight=weight, reduction="none"))


def focal(i, o):  # torchvision.ops.sigmoid_focal_loss
    x, t = i["x"], i["t"]
    p = torch.sigmoid(x)
    missed = p * (1 - t) + (1 - p) * t
    loss = F.binary_cross_entropy_with_logits(x, t, reduction="none") * missed ** o["gamma"]
    return mean_last((o["alpha"] * t + (1 - o["alpha"]) * (1 - t)) * loss)


def ctc(i, o):
    logs = F.log_softmax(i["x"], -1).transpose(0, 1)
    return F.ctc_loss(logs, i["t"], i["frames"], i["labels"], reduction="none", **o)


PLAIN = ["relu", "selu", "mish", "silu", "softplus", "sigmoid", "tanh", "relu6", "hardsigmoid", "hardswish", "hardtanh",
         "softsign", "logsigmoid", "leaky_relu", "elu", "hardshrink", "softshrink", "gelu"]
KNOWN = {name: (lambda name: lambda i, o: getattr(torch if name in ("sigmoid", "tanh") else F, name)(i["x"], **o))(name)
         for name in PLAIN}
KNOWN |= {name: regression(name) for name in ["mse_loss", "l1_loss", "huber_loss", "smooth_l1_loss", "poisson_nll_loss"]}
KNOWN |= {
    "prelu": lambda i, o: last(F.prelu(first(i["x"]), i["slope"])),
    "cosine": lambda i, o: -F.cosine_similarity(i["x"], i["t"], dim=-1, eps=1e-12),
    "cross_entropy": cross_entropy,
    "binary_cross_entropy_with_logits": bce,
    "kl_div": lambda i, o: F.kl_div(F.log_softmax(i["x"], -1), i["t"], reduction="none").sum(-1),
    "sigmoid_focal": focal,
    "ctc_loss": ctc,
    "group_norm": lambda i, o: last(F.group_norm(first(i["x"]), o["groups"], i["gamma"], i["beta"], o["eps"])),
    "layer_norm": lambda i, o: F.layer_norm(i["x"], i["gamma"].shape, i["gamma"], i["beta"], o["eps"]),
    "rms_norm": lambda i, o: F.rms_norm(i["x"], i["gamma"].shape, i["gamma"], o["eps"]),
    "batch_norm": lambda i, o: last(F.batch_norm(first(i["x"]), None, None, i["gamma"], i["beta"], True, 0.1, o["eps"])),
    "conv2d": convolution("conv2d"),
    "depthwise": convolution("conv2d"),
    "conv1d": lambda i, o: last(F.conv1d(first(i["x"]), weights(i["w"]), **o)),
    "conv_transpose2d": convolution("conv_transpose2d"),
    "max_pool2d": lambda i, o: last(F.max_pool2d(first(i["x"]), **o)),
    "avg_pool2d": lambda i, o: last(F.avg_pool2d(first(i["x"]), count_include_pad=True, **o)),
}
# torch's softplus is a line above 20, its hard_sigmoid has a slope of 1/6 in float32.
TOLERANCE = collections.defaultdict(lambda: 1e-10, {"softplus": 3e-9, "hardsigmoid": 1e-8, "mish": 3e-9, "logsigmoid": 3e-9})


def distance(got, want):
    want = want.detach().reshape(-1)
    got = torch.tensor(got).reshape(-1)
    if got.shape != want.shape:
        return float("inf")
    return ((got - want).abs() / want.abs().clamp(min=1)).max().item() if got.numel() else 0.0


def main():
    worst, count, failures = collections.defaultdict(float), collections.Counter(), 0
    for text in sys.stdin:
        line = json.loads(text)
        what, inputs = line["what"], {}
        for name, given in line["inputs"].items():
            dtype = torch.int64 if given["whole"] else torch.float64
            inputs[name] = torch.tensor(given["data"], dtype=dtype).reshape(given["shape"])
            inputs[name].requires_grad_(not given["whole"] and name != "seed")
        y = KNOWN[what](inputs, line["options"])
        (y * inputs["seed"]).sum().backward()
        off = distance(line["y"], y)
        for name, slope in line.get("gradients", {}).items():
            grad = inputs[name].grad
            off = max(off, distance(slope, torch.zeros_like(inputs[name]) if grad is None else grad))
        count[what] += 1
        worst[what] = max(worst[what], off)
        if not off <= TOLERANCE[what]:
            failures += 1
            if failures <= 5:
                print(f"{what} {line['options']}: off by {off:.3g}\n  {text[:400]}")
    for what in sorted(count):
        print(f"{what:34} {count[what]:5} configurations, largest difference {worst[what]:.1e}")
    print(f"{sum(count.values())} configurations of {len(count)} functions, {failures} disagree with PyTorch {torch.__version__}")
    return failures != 0 or not count


sys.exit(main())
