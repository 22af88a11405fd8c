# SPDX-License-Identifier: Apache-2.0
"""The workloads in Keras, on its JAX back end: train_on_batch, as users write it."""

import os
import sys

import protocol

given = protocol.options(lambda workload: [["train_on_batch"]])
os.environ["KERAS_BACKEND"] = "jax"
os.environ["JAX_PLATFORMS"] = "cpu"
if given.threads == 1:
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

import keras  # noqa: E402: the back end stands before
import numpy  # noqa: E402
from keras import layers  # noqa: E402

if given.precision == "bf16":
    keras.mixed_precision.set_global_policy("mixed_bfloat16")


class Masked(layers.Layer):
    """Dropout by masks that are given, step by step."""

    def __init__(self, rate, masks):
        super().__init__()
        self.rate = rate
        self.masks = self.add_weight(shape=masks.shape, initializer="zeros", trainable=False)
        self.masks.assign(masks)
        self.at = self.add_weight(shape=(), dtype="int32", initializer="zeros", trainable=False)

    def call(self, x):
        mask = keras.ops.take(self.masks, self.at, axis=0)
        self.at.assign_add(1)
        return x * keras.ops.reshape(mask, keras.ops.shape(x)) / (1 - self.rate)


def conv_norm(x, filters, window, stride):
    pad = window // 2
    if pad and stride > 1:
        x = layers.ZeroPadding2D(pad)(x)
    x = layers.Conv2D(filters, window, stride, "same" if pad and stride == 1 else "valid", use_bias=False)(x)
    return layers.BatchNormalization(epsilon=1e-5, momentum=0.9)(x)


def resnet(x, blocks, first, bottleneck):
    for stage, count in enumerate(blocks):
        for k in range(count):
            filters, stride = first << stage, 2 if stage > 0 and k == 0 else 1
            sizes = ([(filters, 1, 1), (filters, 3, stride), (4 * filters, 1, 1)] if bottleneck else
                     [(filters, 3, stride), (filters, 3, 1)])
            y = x
            for at, (out, window, step) in enumerate(sizes):
                y = conv_norm(y if at == 0 else layers.ReLU()(y), out, window, step)
            skip = x if y.shape == x.shape else conv_norm(x, y.shape[-1], 1, stride)
            x = layers.ReLU()(layers.Add()([y, skip]))
    return layers.GlobalAveragePooling2D()(x)


def network(start):
    name = given.workload
    masks = list(start.masks) if given.losses else []

    def dropout(rate):
        return Masked(rate, masks.pop(0).astype("float32")) if masks else layers.Dropout(rate)

    x = keras.Input(batch_shape=start.input("x").shape)
    if name in ("tiny", "tiny1"):
        y = layers.Dense(3)(layers.Dense(16, "relu")(x))
    elif name == "mlp":
        y = layers.Dense(10)(layers.Dense(512, "relu")(layers.Dense(512, "relu")(x)))
    elif name == "lenet":
        h = layers.MaxPooling2D()(layers.Conv2D(6, 5, padding="same", activation="relu")(x))
        h = layers.MaxPooling2D()(layers.Conv2D(16, 5, activation="relu")(h))
        y = layers.Dense(10)(layers.Dense(84, "relu")(layers.Dense(120, "relu")(layers.Flatten()(h))))
    elif name == "digits":
        h = layers.Conv2D(32, 3, padding="same", activation="relu")(x)
        h = layers.MaxPooling2D()(layers.Conv2D(64, 3, padding="same", activation="relu")(h))
        h = layers.Dense(128, "relu")(dropout(0.25)(layers.Flatten()(h)))
        y = layers.Dense(10)(dropout(0.5)(h))
    elif name == "resnet20":
        y = layers.Dense(10)(resnet(layers.ReLU()(conv_norm(x, 16, 3, 1)), [3, 3, 3], 16, False))
    elif name == "resnet50":
        h = layers.ReLU()(conv_norm(x, 64, 7, 2))
        # Zeros are the least that a ReLU gives, so padding by them is padding by nothing.
        h = layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(h))
        y = layers.Dense(1000)(resnet(h, [3, 4, 6, 3], 64, True))
    else:
        sys.exit(f"keras: there is no workload '{name}'")
    return keras.Model(x, layers.Activation("linear", dtype="float32")(y))


class Training:
    def __init__(self):
        start = protocol.Start(given.folder)
        model = network(start)
        trainable = model.trainable_variables
        assert [tuple(v.shape) for v in trainable] == [w.shape for w in start.weights]
        for variable, array in zip(trainable, start.weights):
            variable.assign(array)
        rate = {"tiny": 0.1, "tiny1": 0.1, "lenet": 0.01}.get(given.workload, 0.1)
        optimizer = (keras.optimizers.Adam(1e-3) if given.workload in ("mlp", "digits") else
                     keras.optimizers.SGD(rate, momentum=0.9))
        model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=True)
        self.model, self.x, self.label = model, start.input("x"), start.input("label")

    def step(self):
        return self.model.train_on_batch(self.x, self.label)

    def losses(self, count):
        values = []
        for _ in range(count):
            self.model.reset_metrics()
            loss = self.step()
            values.append(float(loss[0] if isinstance(loss, (list, tuple)) else loss))
        return values


class Updates:
    """Adam alone, by the optimizer's own stateless form under jit."""

    def __init__(self):
        import jax

        start = protocol.Start(given.folder)
        self.dw = jax.numpy.asarray(start.input("dw"))
        w = keras.Variable(start.weights[0])
        self.optimizer = keras.optimizers.Adam(1e-3)
        self.optimizer.build([w])
        self.state = ([w.value], [v.value for v in self.optimizer.variables])
        self.jitted = jax.jit(lambda s, g: self.optimizer.stateless_apply(s[1], [g], s[0]), donate_argnums=0)
        self.wait = jax.block_until_ready

    def step(self):
        self.state = self.wait(self.jitted(self.state, self.dw))

    def losses(self, count):
        values = []
        for _ in range(count):
            self.step()
            values.append(float((numpy.asarray(self.state[0][0]).astype(numpy.float64) ** 2).mean()))
        return values


protocol.run(given, f"Keras {keras.__version__} (JAX)",
             Updates() if given.workload.startswith("adam") else Training())
