# SPDX-License-Identifier: Apache-2.0
"""The workloads in PyTorch: eager, with foreach or fused optimizers, channels_last, and torch.compile."""

import math
import sys

import protocol

CONVOLUTIONAL = ("digits", "lenet", "resnet20", "resnet50")


def choices(workload):
    optimizers = ["foreach"] if old_torch() else ["foreach", "fused"]
    layouts = ["", "channels_last"] if workload in CONVOLUTIONAL else [""]
    return [optimizers, layouts, ["eager"] if old_torch() else ["eager", "compile"]]


def old_torch():
    from importlib import metadata

    return metadata.version("torch").startswith("1.")


given = protocol.options(choices)

import torch  # noqa: E402: the thread count stands before
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

torch.set_num_threads(given.threads)


class Masked(nn.Module):
    """Dropout; with given masks those are taken, step by step."""

    def __init__(self, rate):
        super().__init__()
        self.rate = rate
        self.masks = None
        self.at = 0

    def forward(self, x):
        if self.masks is None:
            return F.dropout(x, self.rate, self.training)
        mask = self.masks[self.at].reshape(x.shape)
        self.at += 1
        return x * mask / (1 - self.rate)


class Block(nn.Module):
    """Two 3x3 convolutions, or a bottleneck of 1x1, 3x3 and 1x1, around a skip."""

    def __init__(self, inputs, filters, stride, bottleneck):
        super().__init__()
        sizes = ([(1, filters, 1), (3, filters, stride), (1, 4 * filters, 1)] if bottleneck else
                 [(3, filters, stride), (3, filters, 1)])
        parts, width = [], inputs
        for window, out, step in sizes:
            parts += [nn.Conv2d(width, out, window, step, window // 2, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
            width = out
        self.body = nn.Sequential(*parts[:-1])
        same = inputs == width and stride == 1
        self.skip = nn.Sequential() if same else nn.Sequential(nn.Conv2d(inputs, width, 1, stride, bias=False),
                                                               nn.BatchNorm2d(width))

    def forward(self, x):
        return F.relu(self.body(x) + self.skip(x))


def resnet(stem, blocks, first, classes, bottleneck):
    layers, width = list(stem), stem[0].out_channels
    for stage, count in enumerate(blocks):
        for k in range(count):
            filters = first << stage
            layers.append(Block(width, filters, 2 if stage > 0 and k == 0 else 1, bottleneck))
            width = 4 * filters if bottleneck else filters
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes))


def network(workload):
    if workload in ("tiny", "tiny1"):
        return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
    if workload == "mlp":
        return nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
    if workload == "lenet":
        return nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(),
                             nn.MaxPool2d(2), nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84),
                             nn.ReLU(), nn.Linear(84, 10))
    if workload == "digits":
        return nn.Sequential(nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(),
                             nn.MaxPool2d(2), nn.Flatten(), Masked(0.25), nn.Linear(1024, 128), nn.ReLU(), Masked(0.5),
                             nn.Linear(128, 10))
    if workload == "resnet20":
        stem = [nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
        return resnet(stem, [3, 3, 3], 16, 10, False)
    if workload == "resnet50":
        stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
        return resnet(stem, [3, 4, 6, 3], 64, 1000, True)
    sys.exit(f"pytorch: there is no workload '{workload}'")


def in_torch_layout(array, rows_from):
    """HWIO as OIHW, [in, out] as [out, in]; `rows_from` is the [H, W, C] whose flattening the rows are, if any."""
    tensor = torch.from_numpy(array)
    if tensor.dim() == 4:
        return tensor.permute(3, 2, 0, 1).contiguous()
    if tensor.dim() == 2:
        if rows_from:
            tensor = tensor.reshape(*rows_from, -1).permute(2, 0, 1, 3).reshape(tensor.shape)
        return tensor.t().contiguous()
    return tensor


FLATTENED = {"lenet": (400, (5, 5, 16)), "digits": (1024, (4, 4, 64))}


class Training:
    def __init__(self):
        start = protocol.Start(given.folder)
        self.net = network(given.workload)
        rows, sizes = FLATTENED.get(given.workload, (0, None))
        with torch.no_grad():
            parameters = list(self.net.parameters())
            assert len(parameters) == len(start.weights)
            for parameter, array in zip(parameters, start.weights):
                parameter.copy_(in_torch_layout(array, sizes if array.shape[0] == rows and array.ndim == 2 else None))
        x = torch.from_numpy(start.input("x"))
        if x.dim() == 4:
            x = x.permute(0, 3, 1, 2).contiguous()
        if "channels_last" in given.words:
            self.net = self.net.to(memory_format=torch.channels_last)
            x = x.contiguous(memory_format=torch.channels_last)
        self.x, self.label = x, torch.from_numpy(start.input("label")).long()
        self.optimizer = optimizer_of(given.workload, self.net.parameters())
        self.masks = [torch.from_numpy(mask).float() for mask in start.masks]
        self.forward = torch.compile(self.net) if "compile" in given.words else self.net

    def loss(self):
        if given.precision == "bf16":
            with torch.autocast("cpu", dtype=torch.bfloat16):
                return F.cross_entropy(self.forward(self.x).float(), self.label)
        return F.cross_entropy(self.forward(self.x), self.label)

    def step(self):
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss()
        loss.backward()
        self.optimizer.step()
        return loss

    def losses(self, count):
        dropouts = [m for m in self.net.modules() if isinstance(m, Masked)]
        for module, masks in zip(dropouts, self.masks):
            # [N, H*W*C] as [N, C*H*W] where it stands behind a flattened image.
            _, sizes = FLATTENED.get(given.workload, (0, None))
            if sizes and masks.shape[-1] == math.prod(sizes):
                masks = masks.reshape(*masks.shape[:2], *sizes).permute(0, 1, 4, 2, 3)
            module.masks = masks
        values = []
        for step in range(count):
            like_keras(self.optimizer, step)
            values.append(self.step().item())
        return values


class Updates:
    """Adam alone."""

    def __init__(self):
        start = protocol.Start(given.folder)
        self.w = nn.Parameter(torch.from_numpy(start.weights[0]))
        self.w.grad = torch.from_numpy(start.input("dw"))
        self.optimizer = optimizer_of(given.workload, [self.w])
        self.update = self.optimizer.step
        if "compile" in given.words:
            self.update = torch.compile(self.optimizer.step, fullgraph=False)

    def step(self):
        self.update()

    def losses(self, count):
        values = []
        for step in range(count):
            like_keras(self.optimizer, step)
            self.step()
            values.append(float(self.w.detach().double().square().mean()))
        return values


def optimizer_of(workload, parameters):
    settings = {"fused": True} if "fused" in given.words else {"foreach": True}
    if workload in ("mlp", "digits", "adam1k", "adam10m"):
        return torch.optim.Adam(parameters, lr=1e-3, eps=1e-8, **settings)
    rate = {"tiny": 0.1, "tiny1": 0.1, "lenet": 0.01}.get(workload, 0.1)
    return torch.optim.SGD(parameters, lr=rate, momentum=0.9, **settings)


def like_keras(optimizer, step):
    """Adam's epsilon stands outside the bias correction in Keras; in PyTorch that is another epsilon at each step."""
    if isinstance(optimizer, torch.optim.Adam):
        for group in optimizer.param_groups:
            group["eps"] = 1e-7 / math.sqrt(1 - 0.999 ** (step + 1))


protocol.run(given, f"PyTorch {torch.__version__}",
             Updates() if given.workload.startswith("adam") else Training())
