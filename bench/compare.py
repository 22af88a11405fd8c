# SPDX-License-Identifier: Apache-2.0
"""Drives `steps --serve` and its peers in turns, and writes the comparison. Called by bench/compare."""

import argparse
import contextlib
import fcntl
import glob
import json
import os
import pathlib
import select
import statistics
import subprocess
import sys
import tempfile
import time

SOURCE = pathlib.Path(__file__).resolve().parent
WORKLOADS = ["tiny", "tiny1", "adam1k", "digits", "mlp", "lenet", "adam10m", "resnet20", "resnet50"]
TUNE = []  # not empty: ours choose their kernels by time
PATIENCE = 600  # seconds that a peer may take to get ready: torch.compile is slow


class Gone(Exception):
    """A peer that is missing, or ended before its time."""


def say(text):
    print(text, file=sys.stderr, flush=True)


# ---- servers

class Peer:
    def __init__(self, name, command, missing=None, given=False):
        self.name, self.command, self.missing, self.given = name, command, missing, given

    def environment(self, threads):
        variables = dict(os.environ, OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads),
                         PYTHONDONTWRITEBYTECODE="1")
        # Some machines pin these for old libraries; a peer shall choose its kernels itself.
        for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "OMP_WAIT_POLICY"):
            variables.pop(name, None)
        return variables

    def arguments(self, mode, workload, threads, precision, variant, folder):
        arguments = [*self.command, mode, workload, "--threads", str(threads), "--precision", precision]
        if self.name == "thalweg" and TUNE:
            arguments.append("--tune")
        if self.name != "thalweg" and not self.given:
            arguments += ["--variant=" + variant] if "libtorch" not in self.name else ["--variant", variant]
            arguments += ["--folder", str(folder)]
        return arguments

    def start(self, mode, workload, threads, precision="f32", variant="", folder="", log=subprocess.DEVNULL):
        cores = sorted(os.sched_getaffinity(0))[:threads]
        return subprocess.Popen(self.arguments(mode, workload, threads, precision, variant, folder),
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, bufsize=1,
                                env=self.environment(threads), preexec_fn=lambda: os.sched_setaffinity(0, cores))

    def call(self, mode, workload, threads=1, precision="f32", variant="", folder=""):
        """The one JSON line that a mode prints."""
        with tempfile.TemporaryFile("w+") as log:
            process = self.start(mode, workload, threads, precision, variant, folder, log)
            out, _ = process.communicate()
            if process.returncode != 0:
                raise Gone(f"{self.name} {mode} {workload}: {last_line(log) or process.returncode}")
        return json.loads(out.splitlines()[-1])


class Server:
    """A peer that serves one workload."""

    def __init__(self, peer, workload, threads, precision, variant, folder):
        self.peer, self.variant, self.log = peer, variant, tempfile.TemporaryFile("w+")
        self.process = peer.start("--serve", workload, threads, precision, variant, folder, self.log)
        try:
            self.ready = self.answer()["ready"]
        except Gone:
            self.stop()
            raise

    def answer(self):
        if not select.select([self.process.stdout], [], [], PATIENCE)[0]:
            raise Gone(f"{self.peer.name}: no answer in {PATIENCE} s")
        line = self.process.stdout.readline()
        if not line:
            raise Gone(f"{self.peer.name}: {last_line(self.log) or 'ended'}")
        return json.loads(line)

    def steps(self, count):
        try:
            self.process.stdin.write(f"{count}\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Gone(f"{self.peer.name}: {last_line(self.log) or 'ended'}") from None
        return self.answer()["us"]

    def peak_bytes(self):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
        return 0

    def stop(self):
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.log.close()


def last_line(log):
    log.seek(0)
    lines = [line for line in log.read().splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""


def python_peer(name, python, script, module):
    command = [str(python), str(SOURCE / "peers" / script)]
    if not pathlib.Path(python).exists():
        return Peer(name, command, f"there is no {python}")
    found = subprocess.run([python, "-c", f"import {module}"], capture_output=True, text=True,
                           env=dict(os.environ, KERAS_BACKEND="jax"), check=False)
    missing = found.stderr.strip().splitlines()[-1] if found.returncode != 0 else None
    return Peer(name, command, missing)


def slow_blas():
    """Why Debian's PyTorch would not run as fast as it can: the BLAS that the system has chosen for it."""
    for path in glob.glob("/usr/lib/*/libblas.so.3"):
        real = os.path.realpath(path)
        if "/blas/libblas" in real:
            return f"computes with the reference BLAS ({real}): install libopenblas0-openmp"
    return None


def all_peers(build, given):
    peers = build / "peers"
    python = peers / "bin/python"
    libtorch = peers / "libtorch"
    found = [
        python_peer("pytorch", python, "pytorch.py", "torch"),
        python_peer("jax", python, "jax_peer.py", "jax"),
        python_peer("keras", python, "keras_peer.py", "keras"),
        python_peer("pytorch-debian", "/usr/bin/python3", "pytorch.py", "torch"),
        Peer("libtorch-debian", [str(libtorch)],
             None if libtorch.exists() else "Debian's libtorch-dev is not installed"),
    ]
    for peer in found:
        if peer.name.endswith("-debian"):
            peer.missing = peer.missing or slow_blas()
    for entry in given:
        name, _, command = entry.partition("=")
        found.append(Peer(name, command.split(), given=True))
    return found


# ---- measuring

LOCKS = []


@contextlib.contextmanager
def quiet():
    """While it lasts, this process holds the locks that --lock names; a machine that others use has its rest then."""
    with contextlib.ExitStack() as stack:
        for path in LOCKS:
            fcntl.flock(stack.enter_context(open(path, "a", encoding="utf-8")), fcntl.LOCK_EX)
        yield


def steps_for(server, seconds):
    """How many steps take that long; the first ones are warm-up."""
    us = server.steps(1)[0]
    if us < seconds * 5e5:
        us = statistics.median(server.steps(3))
    if us < seconds * 1e5:
        us = statistics.median(server.steps(10))
    return max(1, min(50_000, round(seconds * 1e6 / us)))


def joined(words):
    return "+".join(word for word in words if word)


def fastest(peer, workload, threads, precision, folder):
    """A server of the fastest of a peer's configurations, and what each that was tried took.

    One choice after the other: the best optimizer, then with it the best layout, and so on. The shortest step of a
    short run decides, which does not depend on what else the machine does."""
    lists = [[""]] if peer.given else peer.call("--choices", workload)["choices"]
    chosen = [choices[0] for choices in lists]
    best, times = None, {}
    for at, choices in enumerate(lists):
        for word in choices:
            variant = joined(chosen[:at] + [word] + chosen[at + 1:])
            if variant in times:
                continue
            try:
                server = Server(peer, workload, threads, precision, variant, folder)
                times[variant] = min(server.steps(steps_for(server, 0.3)))
            except Gone as gone:
                say(f"  {gone}")
                continue
            if best is None or times[variant] < times[best.variant]:
                best, server = server, best
                chosen[at] = word
            if server is not None:
                server.stop()
    if best is None:
        raise Gone(f"{peer.name}: no configuration runs")
    return best, times


def interleaved(servers, rounds, seconds):
    """Chunks of steps in turns; for each server the median of each of its chunks."""
    counts = [steps_for(server, seconds) for server in servers]
    chunks = [[] for _ in servers]
    for _ in range(rounds):
        for server, count, list_of in zip(servers, counts, chunks):
            time.sleep(0.02)  # threads of the one before spin out
            if count > 1:
                server.steps(max(1, count // 10))
            list_of.append(statistics.median(server.steps(count)))
    return chunks


def spread(values):
    ordered = sorted(values)
    if len(ordered) < 4:
        return [ordered[0], ordered[-1]]
    quarters = statistics.quantiles(ordered, n=4)
    return [quarters[0], quarters[2]]


def beside_busy(servers, options):
    """For each round the mean step of the second server beside a busy process, over the first one's alone."""
    counts = [steps_for(server, options.seconds) for server in servers]
    ratios = []
    for _ in range(options.rounds):
        alone = statistics.median(servers[0].steps(counts[0]))
        with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
            # The mean: a few steps wait for the core, and a median would not see them.
            ratios.append(statistics.mean(servers[1].steps(counts[1])) / alone)
            busy.kill()
    return ratios


class Comparison:
    def __init__(self, options):
        self.options = options
        self.build = pathlib.Path(options.build)
        self.folder = self.build / "bench"
        self.path = self.folder / "compare.json"
        self.ours = Peer("thalweg", [str(self.build / "bench/steps")])
        self.peers = [p for p in all_peers(self.build, options.peer_command)
                      if not options.peers or p.name in options.peers]
        self.results = json.loads(self.path.read_text()) if self.path.exists() and not options.fresh else {}
        self.results.setdefault("rows", {})
        self.results.setdefault("agreement", {})
        self.results["machine"] = machine()
        self.results["missing"] = {p.name: p.missing for p in self.peers if p.missing}
        for name, reason in self.results["missing"].items():
            say(f"missing peer: {name}: {reason}")
        self.peers = [p for p in self.peers if not p.missing]

    def save(self):
        self.path.write_text(json.dumps(self.results, indent=1) + "\n")

    def start_of(self, workload):
        folder = self.folder / "start" / workload
        binary = pathlib.Path(self.ours.command[0])
        reference = folder / "reference.json"
        if not reference.exists() or reference.stat().st_mtime < binary.stat().st_mtime:
            subprocess.run([*self.ours.command, "--export", workload, "--folder", str(folder)], check=True)
        return folder

    def agreement(self, peer, workload, precision, variant):
        """None if the first losses agree, else why the row is void."""
        folder = self.start_of(workload)
        stamp = (folder / "reference.json").stat().st_mtime_ns
        key = "/".join([workload, precision, peer.name, variant])
        known = self.results["agreement"].get(key)
        if known and known["stamp"] == stamp:
            return known["void"]
        try:
            losses = peer.call("--losses", workload, 1, precision, variant, folder)
            judged = subprocess.run([*self.ours.command, "--judge", "--precision", precision, "--folder", str(folder)],
                                    input=json.dumps(losses), capture_output=True, text=True, check=False)
            if judged.returncode > 1:
                raise Gone(judged.stderr.strip())
        except Gone as gone:
            say(f"  void: {gone}")
            return str(gone)
        verdict = json.loads(judged.stdout)
        void = None
        if not verdict["agrees"]:
            void = (f"loss {verdict['step']} is {verdict['theirs']}, ours {verdict['ours']:.6g} "
                    f"(allowed ± {verdict['allowed']:.2g})")
            say(f"  void: {peer.name}: {void}")
        self.results["agreement"][key] = {"stamp": stamp, "void": void, "verdict": verdict}
        return void

    def run_row(self, workload, threads, precision):
        say(f"{workload}, {threads} thread{'s' if threads > 1 else ''}, {precision}")
        folder = self.start_of(workload)
        row = {"workload": workload, "threads": threads, "precision": precision, "thalweg": revision(), "peers": {}}
        try:
            servers = [Server(self.ours, workload, threads, precision, "", folder)]
        except Gone as gone:
            say(f"  {gone}")
            self.results.setdefault("refused", {})[f"{workload}/{threads}/{precision}"] = str(gone)
            self.save()
            return
        peers = []
        for peer in self.peers:
            try:
                entry, server = self.started(peer, workload, threads, precision, folder)
            except Gone as gone:
                say(f"  {gone}")
                row["peers"][peer.name] = {"failed": str(gone)}
                continue
            entry["void"] = self.agreement(peer, workload, precision, server.variant)
            row["peers"][peer.name] = entry
            servers.append(server)
            peers.append(entry)
        try:
            with quiet():
                chunks = interleaved(servers, self.options.rounds, self.options.seconds)
            row["us"] = statistics.median(chunks[0])
            row["us_spread"] = spread(chunks[0])
            row["ready"] = servers[0].ready
            row["peak_bytes"] = servers[0].peak_bytes()
            for entry, server, list_of in zip(peers, servers[1:], chunks[1:]):
                ratios = [theirs / mine for theirs, mine in zip(list_of, chunks[0])]
                entry.update(of=server.ready["of"], us=statistics.median(list_of), ratio=statistics.median(ratios),
                             ratio_spread=spread(ratios), peak_bytes=server.peak_bytes())
        finally:
            for server in servers:
                server.stop()
        with quiet():
            row["bound"] = self.ours.call("--bound", workload, threads, precision)["bound"]
        row["bound"].pop("kernels")
        self.results["rows"][f"{workload}/{threads}/{precision}"] = row
        self.save()

    def started(self, peer, workload, threads, precision, folder):
        """A server of a peer in its fastest configuration, which an earlier run may have found."""
        probes = self.results.setdefault("probes", {})
        key, other = (f"{workload}/{t}/{precision}/{peer.name}" for t in (threads, 3 - threads))
        if self.options.no_probe and (key in probes or other in probes):
            known = probes.get(key) or probes[other]
            server = Server(peer, workload, threads, precision, known["variant"], folder)
        else:
            server, times = fastest(peer, workload, threads, precision, folder)
            known = probes[key] = {"variant": server.variant, "tried_us": times}
            self.save()
        return dict(known), server

    def run_probes(self, workload, threads, precision):
        """Finds each peer's fastest configuration and whether it agrees, for rows that are timed later."""
        say(f"configurations for {workload}, {threads} thread{'s' if threads > 1 else ''}, {precision}")
        for peer in self.peers:
            try:
                entry, server = self.started(peer, workload, threads, precision, self.start_of(workload))
            except Gone as gone:
                say(f"  {gone}")
                continue
            server.stop()
            self.agreement(peer, workload, precision, entry["variant"])
        self.save()

    def run_starts(self, workloads):
        """From a process's start to its first step done: ours and the peers' in turns."""
        starts = self.results.setdefault("start", {})
        for workload in workloads:
            say(f"start to first step, {workload}")
            folder = self.start_of(workload)
            times = {}
            for round_of in range(self.options.starts + 1):
                for peer in [self.ours, *self.peers]:
                    variant = "foreach+eager" if peer.name.startswith("pytorch") else ""
                    try:
                        with quiet():
                            before = time.perf_counter()
                            peer.call("--once", workload, 1, "f32", variant, folder)
                            after = time.perf_counter()
                    except Gone as gone:
                        say(f"  {gone}")
                        continue
                    if round_of > 0:  # the first one reads the files from the disk
                        times.setdefault(peer.name, []).append((after - before) * 1e3)
            starts[workload] = {name: {"ms": statistics.median(list_of), "spread": spread(list_of)}
                                for name, list_of in times.items()}
            self.save()

    def run_busy(self, workload):
        """A step on two threads while another process keeps a core busy, over a step alone on one thread."""
        say(f"beside a busy process, {workload}")
        folder = self.start_of(workload)
        found = self.results.setdefault("busy", {}).setdefault(workload, {})
        for peer in [self.ours, *self.peers]:
            try:
                variant = best_known(self.results, workload, peer.name)
                servers = [Server(peer, workload, threads, "f32", variant, folder) for threads in (1, 2)]
            except Gone as gone:
                say(f"  {gone}")
                continue
            try:
                with quiet():
                    ratios = beside_busy(servers, self.options)
                found[peer.name] = {"ratio": statistics.median(ratios), "spread": spread(ratios)}
            finally:
                for server in servers:
                    server.stop()
        self.save()

    def run_sizes(self):
        self.results["library_bytes"] = library_sizes(self.build, [p.name for p in self.peers])
        self.save()


def best_known(results, workload, name):
    """The configuration that a peer was last found fastest in."""
    for threads in (2, 1):
        probe = results.get("probes", {}).get(f"{workload}/{threads}/f32/{name}")
        if probe:
            return probe["variant"]
    return ""


# ---- the machine and the libraries

def machine():
    processor = "unknown"
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            processor = line.partition(":")[2].strip()
            break
    system = {}
    for line in pathlib.Path("/etc/os-release").read_text().splitlines():
        key, _, value = line.partition("=")
        system[key] = value.strip('"')
    flags = pathlib.Path("/proc/cpuinfo").read_text()
    vectors = "AVX-512" if " avx512f" in flags else "AVX2" if " avx2" in flags else "SSE"
    return {"processor": processor, "cores": os.cpu_count(), "vectors": vectors,
            "system": system.get("PRETTY_NAME", "")}


def revision():
    asked = subprocess.run(["git", "-C", str(SOURCE), "rev-parse", "--short=10", "HEAD"], capture_output=True,
                           text=True, check=False)
    return asked.stdout.strip() or "unknown"


def folder_bytes(path):
    return sum(f.stat().st_size for f in pathlib.Path(path).rglob("*") if f.is_file() and not f.is_symlink())


COMMON = ("linux-vdso", "libc.so", "libm.so", "libstdc++", "libgcc_s", "ld-linux", "libdl", "libpthread", "librt")


def needed_bytes(binary):
    """The shared libraries that a binary loads, without those that every C++ program has."""
    listed = subprocess.run(["ldd", str(binary)], capture_output=True, text=True, check=True).stdout
    total = 0
    for line in listed.splitlines():
        words = line.split()
        if "=>" in words and len(words) > 2 and not words[0].startswith(COMMON):
            total += os.stat(words[2]).st_size
    return total


def library_sizes(build, peers):
    """Bytes on disk: `itself`, and `all` that a program needs with it beyond the C and C++ libraries."""
    sizes = {}
    with tempfile.TemporaryDirectory() as folder:
        stripped = pathlib.Path(folder) / "libthalweg.so"
        subprocess.run(["strip", "-o", str(stripped), str((build / "libthalweg.so").resolve())], check=True)
        sizes["thalweg"] = {"itself": stripped.stat().st_size,
                            "all": stripped.stat().st_size + needed_bytes((build / "libthalweg.so").resolve())}
    packages = {"pytorch": ["torch"], "jax": ["jax", "jaxlib"], "keras": ["keras"]}
    site = next((build / "peers/lib").glob("python3*/site-packages"), None)
    for name, folders in packages.items():
        if name in peers and site:
            itself = sum(folder_bytes(site / folder) for folder in folders)
            more = {"pytorch": [], "jax": ["scipy", "numpy", "ml_dtypes"], "keras": ["jax", "jaxlib", "scipy", "numpy"]}
            sizes[name] = {"itself": itself, "all": itself + sum(folder_bytes(site / f) for f in more[name])}
    if "libtorch-debian" in peers:
        sizes["libtorch-debian"] = {"itself": os.stat("/usr/lib/x86_64-linux-gnu/libtorch_cpu.so").st_size,
                                    "all": needed_bytes(build / "peers/libtorch")}
    return sizes


# ---- what a person reads

def time_text(us):
    for unit, size in (("s", 1e6), ("ms", 1e3), ("µs", 1)):
        if us >= size:
            return f"{us / size:.3g} {unit}"
    return f"{us:.2f} µs"


def ratio_text(entry):
    low, high = entry["ratio_spread"]
    digits = 0 if entry["ratio"] >= 20 else 1 if entry["ratio"] >= 10 else 2
    scan = " scan" if entry.get("variant") == "scan" else ""  # many steps in one call
    return f"{entry['ratio']:.{digits}f}× ({low:.{digits}f}–{high:.{digits}f}){scan}"


def cell(entry):
    if entry is None:
        return "–"
    if entry.get("void"):
        return "void"
    return ratio_text(entry) if "ratio" in entry else "failed"


def sorted_rows(results):
    def key(row):
        return (row["precision"] != "f32", WORKLOADS.index(row["workload"]), row["threads"])

    return sorted(results["rows"].values(), key=key)


def peer_names(results):
    order = ["pytorch", "jax", "keras", "pytorch-debian", "libtorch-debian"]
    names = {name for row in results["rows"].values() for name in row["peers"]}
    return sorted(names, key=lambda n: (order.index(n) if n in order else len(order), n))


def title_of(results, name):
    for row in results["rows"].values():
        if "of" in row["peers"].get(name, {}):
            return row["peers"][name]["of"] + (" (Debian)" if "debian" in name else "")
    return name


def markdown(results):
    names = peer_names(results)
    m = results["machine"]
    text = [f"{m['processor']}, {m['cores']} cores, {m['vectors']}, {m['system']}. A ratio is the peer's time over "
            "ours, with its quartiles; above 1 we are faster.", ""]
    header = ["workload", "threads", "ours", *[title_of(results, n) for n in names], "of FLOP peak", "step / bound"]
    text += ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    for row in sorted_rows(results):
        name = row["workload"] + ("" if row["precision"] == "f32" else " " + row["precision"])
        bound = row["bound"]
        text.append("| " + " | ".join([
            name, str(row["threads"]), time_text(row["us"]), *[cell(row["peers"].get(n)) for n in names],
            f"{100 * bound['flops'] / (row['us'] * 1e-6) / bound['peak']:.0f} %" if bound["flops"] > 1e6 else "–",
            f"{row['us'] / bound['bound_us']:.2f}"]) + " |")
    memory = ["", "| peak memory, MB (1 thread) | ours | " + " | ".join(title_of(results, n) for n in names) + " |",
              "|" + "---|" * (len(names) + 2)]
    for row in sorted_rows(results):
        if row["threads"] == 1 and row["precision"] == "f32":
            peaks = [row["peers"].get(n, {}).get("peak_bytes") for n in names]
            memory.append(f"| {row['workload']} | {row['peak_bytes'] / 1e6:.0f} | " +
                          " | ".join(f"{p / 1e6:.0f}" if p else "–" for p in peaks) + " |")
    text += memory
    if results.get("start"):
        text += ["", "| start to first step, ms | ours | " + " | ".join(title_of(results, n) for n in names) + " |",
                 "|" + "---|" * (len(names) + 2)]
        for workload, times in results["start"].items():
            text.append(f"| {workload} | " + " | ".join(
                f"{times[n]['ms']:.0f}" if n in times else "–" for n in ["thalweg", *names]) + " |")
    if results.get("library_bytes"):
        sizes = results["library_bytes"]
        text += ["", "| on disk, MB | ours | " + " | ".join(title_of(results, n) for n in names) + " |",
                 "|" + "---|" * (len(names) + 2)]
        for what in ("itself", "all"):
            label = {"itself": "the library", "all": "with what it needs"}[what]
            text.append(f"| {label} | " + " | ".join(
                f"{sizes[n][what] / 1e6:.1f}" if n in sizes else "–" for n in ["thalweg", *names]) + " |")
    if results.get("busy"):
        text += ["", "| 2 threads beside a busy process, over 1 thread alone | ours | " +
                 " | ".join(title_of(results, n) for n in names) + " |", "|" + "---|" * (len(names) + 2)]
        for workload, found in results["busy"].items():
            text.append(f"| {workload} | " + " | ".join(
                f"{found[n]['ratio']:.2f}" if n in found else "–" for n in ["thalweg", *names]) + " |")
    notes = [f"{row['workload']}, {row['threads']} threads: {title_of(results, n)} is void: {e['void']}"
             for row in sorted_rows(results) for n, e in row["peers"].items() if e.get("void")]
    notes += [f"{key}: {reason}" for key, reason in results.get("refused", {}).items()]
    notes += [f"missing: {name}: {reason}" for name, reason in results["missing"].items()]
    if notes:
        text += [""] + [f"- {note}" for note in notes]
    return "\n".join(text) + "\n"


COLOURS = ["#4477aa", "#ee6677", "#228833", "#ccbb44", "#aa3377", "#66ccee"]


def svg(results):
    """A point for each ratio on a logarithmic axis, its quartiles as a line; right of 1 we are faster."""
    import html
    import math

    rows, names = sorted_rows(results), peer_names(results)
    points = [(row, name, row["peers"][name]) for row in rows for name in names
              if "ratio" in row["peers"].get(name, {}) and not row["peers"][name].get("void")]
    ratios = [e["ratio"] for _, _, e in points] or [1]
    low, high = min(0.5, *ratios) / 1.15, max(2, *ratios) * 1.15
    left, width, step, top = 170, 640, 26, 70
    height = top + step * len(rows) + 50

    def x(ratio):
        return left + width * math.log(ratio / low) / math.log(high / low)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 30}" height="{height}" '
           'font-family="sans-serif" font-size="12">', '<rect width="100%" height="100%" fill="white"/>']
    for i, name in enumerate(names):
        at = 20 + 200 * (i % 4)
        y = 20 + 18 * (i // 4)
        out.append(f'<circle cx="{at}" cy="{y}" r="5" fill="{COLOURS[i % 6]}"/>'
                   f'<text x="{at + 10}" y="{y + 4}">{html.escape(title_of(results, name))}</text>')
    bottom = top + step * len(rows)
    for exponent in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1):
        for digit in (1, 2, 5):
            value = digit * 10 ** exponent
            if low <= value <= high:
                colour = "#333" if value == 1 else "#ddd"
                out.append(f'<line x1="{x(value):.1f}" x2="{x(value):.1f}" y1="{top - 8}" y2="{bottom}" '
                           f'stroke="{colour}"/><text x="{x(value):.1f}" y="{bottom + 16}" '
                           f'text-anchor="middle">{value:g}×</text>')
    for i, row in enumerate(rows):
        y = top + step * i + step / 2
        label = f"{row['workload']}{'' if row['precision'] == 'f32' else ' ' + row['precision']}, {row['threads']} T"
        out.append(f'<text x="{left - 12}" y="{y + 4}" text-anchor="end">{html.escape(label)}</text>')
        for at, name, entry in points:
            if at is not row:
                continue
            colour = COLOURS[names.index(name) % 6]
            a, b = (x(max(low, min(high, v))) for v in entry["ratio_spread"])
            out.append(f'<line x1="{a:.1f}" x2="{b:.1f}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="2"/>'
                       f'<circle cx="{x(entry["ratio"]):.1f}" cy="{y}" r="5" fill="{colour}"/>')
    out.append(f'<text x="{left + width / 2}" y="{bottom + 38}" text-anchor="middle">'
               "time of the peer's step over ours (logarithmic; right of 1×, ours is faster)</text></svg>")
    return "\n".join(out) + "\n"


def numbers(text):
    return [int(word) for word in text.split(",")]


def parsed():
    parser = argparse.ArgumentParser(prog="bench/compare", description="Compares training steps with those of peers.")
    parser.add_argument("--build", default="build", help=argparse.SUPPRESS)
    parser.add_argument("--workloads", default=",".join(WORKLOADS), help="names, by commas (%(default)s)")
    parser.add_argument("--peers", default="", help="names, by commas: pytorch, jax, keras, pytorch-debian, "
                        "libtorch-debian (all)")
    parser.add_argument("--peer-command", action="append", default=[], metavar="NAME=COMMAND",
                        help="another peer that speaks the protocol")
    parser.add_argument("--threads", type=numbers, default=[1, 2], help="by commas (1,2)")
    parser.add_argument("--precision", default="f32", help="by commas: f32, bf16 (%(default)s)")
    parser.add_argument("--rounds", type=int, default=9, help="chunks of each (%(default)s)")
    parser.add_argument("--seconds", type=float, default=0.2, help="of a chunk (%(default)s)")
    parser.add_argument("--starts", type=int, default=5, help="processes timed to their first step (%(default)s)")
    parser.add_argument("--only", choices=["probe", "rows", "start", "busy", "sizes", "report"], action="append",
                        help="do this part; the others keep what was found before")
    parser.add_argument("--tune", action="store_true", help="let ours choose matmuls and convolutions by their times")
    parser.add_argument("--lock", action="append", default=[], metavar="FILE",
                        help="hold this lock (flock) while timing")
    parser.add_argument("--fresh", action="store_true", help="forget what was found before")
    parser.add_argument("--no-probe", action="store_true", help="keep each peer's configuration of the last run")
    options = parser.parse_args()
    options.workloads = [w for w in options.workloads.split(",") if w]
    unknown = [w for w in options.workloads if w not in WORKLOADS]
    if unknown:
        parser.error(f"there is no workload {unknown[0]}; there are {', '.join(WORKLOADS)}")
    options.peers = [p for p in options.peers.split(",") if p]
    return options


def main():
    options = parsed()
    LOCKS.extend(options.lock)
    TUNE.extend(["--tune"] if options.tune else [])
    comparison = Comparison(options)
    known = [p.name for p in all_peers(comparison.build, options.peer_command)]
    for name in options.peers:
        if name not in known:
            sys.exit(f"bench/compare: there is no peer {name}; there are {', '.join(known)}")
    parts = options.only or ["rows", "start", "busy", "sizes", "report"]
    for part, run in (("probe", comparison.run_probes), ("rows", comparison.run_row)):
        if part in parts:
            for precision in options.precision.split(","):
                for workload in options.workloads:
                    for threads in options.threads:
                        run(workload, threads, precision)
    if "start" in parts:
        comparison.run_starts([w for w in options.workloads if w in ("tiny", "mlp", "lenet", "resnet20")])
    if "busy" in parts and len(os.sched_getaffinity(0)) > 1:
        for workload in options.workloads:
            if workload in ("lenet", "resnet20"):
                comparison.run_busy(workload)
    if "sizes" in parts:
        comparison.run_sizes()
    comparison.save()
    (comparison.folder / "compare.md").write_text(markdown(comparison.results))
    (comparison.folder / "compare.svg").write_text(svg(comparison.results))
    print(markdown(comparison.results))


if __name__ == "__main__":
    main()
