# SPDX-License-Identifier: Apache-2.0
"""What every Python peer shares: its options, the file it starts from, and the protocol of `steps --serve`."""

import argparse
import json
import os
import struct
import sys
import time

COMPARED_STEPS = 20


def options(choices):
    """The command line; the thread count is set in the environment, before a framework is imported."""
    parser = argparse.ArgumentParser()
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--serve", metavar="WORKLOAD", help="run as many steps as each line says, and print their times")
    mode.add_argument("--once", metavar="WORKLOAD", help="run one step")
    mode.add_argument("--losses", metavar="WORKLOAD", help="print the losses of the first 20 steps")
    mode.add_argument("--choices", metavar="WORKLOAD", help="print what a configuration is chosen from, list by list")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--variant", default="", help="a configuration: words joined by +")
    parser.add_argument("--folder", required=False, help="written by `steps --export`")
    given = parser.parse_args()
    given.workload = given.serve or given.once or given.losses or given.choices
    given.words = given.variant.split("+")
    if given.choices:
        print(json.dumps({"choices": choices(given.workload)}))
        sys.exit(0)
    if not given.folder:
        parser.error("--folder is needed")
    os.environ["OMP_NUM_THREADS"] = str(given.threads)
    os.environ["MKL_NUM_THREADS"] = str(given.threads)
    return given


class Start:
    """First weights, inputs and masks of dropout, as numpy arrays; `weights` is in order of creation."""

    def __init__(self, folder):
        import numpy

        kinds = {"F32": numpy.float32, "F64": numpy.float64, "I32": numpy.int32, "I64": numpy.int64, "U8": numpy.uint8}
        with open(os.path.join(folder, "start.safetensors"), "rb") as file:
            (size,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(size))
            content = file.read()
        self.tensors = {}
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            begin, end = entry["data_offsets"]
            array = numpy.frombuffer(content[begin:end], dtype=kinds[entry["dtype"]])
            self.tensors[name] = array.reshape(entry["shape"]).copy()
        with open(os.path.join(folder, "reference.json"), encoding="utf-8") as file:
            reference = json.load(file)
        self.names = reference["variables"]
        self.weights = [self.tensors[name] for name in self.names]
        self.masks = []
        while f"mask/{len(self.masks)}" in self.tensors:
            self.masks.append(self.tensors[f"mask/{len(self.masks)}"])

    def input(self, name):
        return self.tensors["input/" + name]


def say(message):
    print(json.dumps(message), flush=True)


def timed_each(step, count):
    times = []
    for _ in range(count):
        before = time.perf_counter_ns()
        step()
        times.append((time.perf_counter_ns() - before) / 1000)
    return times


def run(given, of, model):
    """`model` has step() (one step, done when it returns), losses(n), and perhaps times(n) for n steps in one call."""
    if given.once:
        model.step()
        say({"first": True})
        return
    if given.losses:
        say({"losses": model.losses(COMPARED_STEPS)})
        return
    model.step()
    say({"ready": {"workload": given.workload, "of": of, "threads": given.threads, "precision": given.precision,
                   "variant": given.variant}})
    times = getattr(model, "times", None)
    for line in sys.stdin:
        count = int(line)
        say({"us": times(count) if times else timed_each(model.step, count)})
