# SPDX-License-Identifier: Apache-2.0
"""The workloads in JAX: one jitted function a step, its state donated; or many steps in one call by lax.scan."""

import os
import sys
import time

import protocol

given = protocol.options(lambda workload: [["jit", "scan"]])
os.environ["JAX_PLATFORMS"] = "cpu"
if given.threads == 1:
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

import jax  # noqa: E402: the flags stand before
import jax.numpy as jnp  # noqa: E402
from jax import lax  # noqa: E402

COMPUTE = jnp.bfloat16 if given.precision == "bf16" else jnp.float32


class Net:
    """One pass over a network: takes weights in order of creation, and collects what batch norm measures."""

    def __init__(self, weights, key, masks):
        self.weights = iter([w.astype(COMPUTE) if w.ndim > 1 else w for w in weights])
        self.key, self.masks, self.statistics = key, masks, []

    def dense(self, x):
        return x @ next(self.weights) + next(self.weights).astype(x.dtype)

    def conv(self, x, stride=1, padding="SAME", bias=True):
        y = lax.conv_general_dilated(x, next(self.weights), (stride, stride), padding,
                                     dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return y + next(self.weights).astype(x.dtype) if bias else y

    def norm(self, x):
        wide = x.astype(jnp.float32)
        mean, variance = wide.mean((0, 1, 2)), wide.var((0, 1, 2))
        self.statistics += [mean, variance]
        return ((wide - mean) * (next(self.weights) * lax.rsqrt(variance + 1e-5)) + next(self.weights)).astype(x.dtype)

    def conv_norm(self, x, window, stride):
        pad = window // 2
        return self.norm(self.conv(x, stride, [(pad, pad), (pad, pad)], bias=False))

    def dropout(self, x, rate):
        if self.masks is not None:
            return x * self.masks.pop(0).reshape(x.shape).astype(x.dtype) / (1 - rate)
        self.key, key = jax.random.split(self.key)
        return jnp.where(jax.random.bernoulli(key, 1 - rate, x.shape), x / (1 - rate), 0)

    def resnet(self, x, blocks, sizes):
        """`sizes` gives (window, filters, stride) of a block's convolutions, by its number of filters and stride."""
        for stage, count in enumerate(blocks):
            for k in range(count):
                stride = 2 if stage > 0 and k == 0 else 1
                y = x
                for at, (window, step) in enumerate(sizes(stride)):
                    y = self.conv_norm(y if at == 0 else jax.nn.relu(y), window, step)
                skip = x if y.shape == x.shape else self.conv_norm(x, 1, stride)
                x = jax.nn.relu(y + skip)
        return self.dense(x.mean((1, 2)))


def max_pool(x, window=2, stride=2, padding="VALID"):
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, window, window, 1), (1, stride, stride, 1), padding)


def scores(net, x):
    relu = jax.nn.relu
    name = given.workload
    x = x.astype(COMPUTE)
    if name in ("tiny", "tiny1"):
        return net.dense(relu(net.dense(x)))
    if name == "mlp":
        return net.dense(relu(net.dense(relu(net.dense(x)))))
    if name == "lenet":
        h = max_pool(relu(net.conv(x)))
        h = max_pool(relu(net.conv(h, padding="VALID")))
        return net.dense(relu(net.dense(relu(net.dense(h.reshape(h.shape[0], -1))))))
    if name == "digits":
        h = max_pool(relu(net.conv(relu(net.conv(x)))))
        h = net.dropout(h.reshape(h.shape[0], -1), 0.25)
        return net.dense(net.dropout(relu(net.dense(h)), 0.5))
    if name == "resnet20":
        h = relu(net.conv_norm(x, 3, 1))
        return net.resnet(h, [3, 3, 3], lambda stride: [(3, stride), (3, 1)])
    if name == "resnet50":
        h = relu(net.conv_norm(x, 7, 2))
        h = max_pool(h, 3, 2, ((0, 0), (1, 1), (1, 1), (0, 0)))
        return net.resnet(h, [3, 4, 6, 3], lambda stride: [(1, 1), (3, stride), (1, 1)])
    sys.exit(f"jax: there is no workload '{name}'")


def loss_of(weights, x, label, key, masks):
    net = Net(weights, key, masks)
    logits = scores(net, x).astype(jnp.float32)
    chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), label[:, None], 1)
    return -chosen.mean(), net.statistics


def adam(weights, gradients, state):
    """Keras' form: epsilon beside the square root of the uncorrected second moment."""
    m, v, t = state
    t = t + 1
    rate = 1e-3 * jnp.sqrt(1 - 0.999 ** t) / (1 - 0.9 ** t)
    m = [a + (g - a) * 0.1 for a, g in zip(m, gradients)]
    v = [a + (g * g - a) * 0.001 for a, g in zip(v, gradients)]
    return [w - rate * a / (jnp.sqrt(b) + 1e-7) for w, a, b in zip(weights, m, v)], (m, v, t)


def momentum(weights, gradients, velocities):
    rate = {"tiny": 0.1, "tiny1": 0.1, "lenet": 0.01}.get(given.workload, 0.1)
    velocities = [0.9 * v - rate * g for v, g in zip(velocities, gradients)]
    return [w + v for w, v in zip(weights, velocities)], velocities


USES_ADAM = given.workload in ("mlp", "digits", "adam1k", "adam10m")


class Training:
    def __init__(self):
        start = protocol.Start(given.folder)
        weights = [jnp.asarray(w) for w in start.weights]
        zeros = [jnp.zeros_like(w) for w in weights]
        slots = (zeros, [jnp.zeros_like(w) for w in weights], jnp.float32(0)) if USES_ADAM else zeros
        self.update = adam if USES_ADAM else momentum
        self.masks = start.masks
        if given.workload.startswith("adam"):
            self.inputs = (jnp.asarray(start.input("dw")),)
            self.state = (weights, slots)
            advance = self.advance_update
        else:
            self.inputs = (jnp.asarray(start.input("x")), jnp.asarray(start.input("label")))
            shapes = jax.eval_shape(lambda w: loss_of(w, *self.inputs, jax.random.key(0), None)[1], weights)
            running = [jnp.zeros(s.shape) for s in shapes]
            self.state = (weights, slots, running, jax.random.key(0, impl="rbg"))
            advance = self.advance
        self.advance_one = advance
        self.jitted = jax.jit(advance, donate_argnums=0)
        self.scanned = {}

    def advance(self, state, x, label, masks=None):
        weights, slots, running, key = state
        key, used = jax.random.split(key)
        (loss, statistics), gradients = jax.value_and_grad(loss_of, has_aux=True)(weights, x, label, used, masks)
        weights, slots = self.update(weights, gradients, slots)
        running = [0.9 * r + 0.1 * s for r, s in zip(running, statistics)]
        return (weights, slots, running, key), loss

    def advance_update(self, state, dw, masks=None):
        weights, slots = self.update(state[0], [dw], state[1])
        return (weights, slots), jnp.float32(0)

    def step(self):
        self.state, loss = self.jitted(self.state, *self.inputs)
        # Everything, not only the loss, which is there before the updates are.
        jax.block_until_ready(self.state[0])
        return loss

    def losses(self, count):
        values = []
        for step in range(count):
            masks = [jnp.asarray(mask[step]) for mask in self.masks] or None
            self.state, loss = self.jitted(self.state, *self.inputs, masks)
            if given.workload.startswith("adam"):
                import numpy

                loss = (numpy.asarray(self.state[0][0]).astype(numpy.float64) ** 2).mean()
            values.append(float(loss))
        return values

    def times(self, count):
        """With scan, all steps are one call, and each gets its share."""
        if "scan" not in given.words:
            return protocol.timed_each(self.step, count)
        if count not in self.scanned:
            def many(state, *inputs):
                return lax.scan(lambda s, _: self.advance_one(s, *inputs), state, None, length=count)[0]

            self.scanned[count] = jax.jit(many, donate_argnums=0).lower(self.state, *self.inputs).compile()
        before = time.perf_counter_ns()
        self.state = self.scanned[count](self.state, *self.inputs)
        jax.block_until_ready(self.state[0])
        return [(time.perf_counter_ns() - before) / 1000 / count] * count


protocol.run(given, f"JAX {jax.__version__}", Training())
