"""Times a training step of ours and of other engines, and compares the losses."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

from engines import Missing
from network import Network
from train_engines import Jax, Torch

WIDTH, DEPTH = 16, 4
# Relative. Beyond it two engines do not train the same network. Later losses differ by more: Adam's first steps have the
# same size whether a gradient is large or a rounding error.
FIRST_LOSS, LATER_LOSSES = 1e-4, 1e-2


def say(text):
    print(text, file=sys.stderr, flush=True)


class Unet:
    """This engine; a round is one process, in which all steps but the first are timed."""

    name = "unet"

    def __init__(self, program, batch, size):
        options = ["--arch", "unet", "--set", f"width={WIDTH}", "--set", f"depth={DEPTH}", "--set", "padding=same"]
        self.program, self.command = program, [program, "bench", "--train", *options, "--in-channels", "1"]
        self.command += ["--out-channels", "2", "--size", f"{size}x{size}", "--batch", str(batch), "--json", "--quiet"]

    def times(self, steps):
        report = json.loads(call(*self.command, "--repeat", str(steps)))
        self.device, self.parameters = report["adapter"], report["parameters"]
        return report["steps_ms"]

    def losses(self, network, x, target, steps):
        """The losses of `unet train` from these parameters, each step on all of these images."""
        with tempfile.TemporaryDirectory(prefix="bench_train.") as folder:
            data, start, config, run = (os.path.join(folder, n) for n in ("data", "init.safetensors", "config.toml", "run"))
            network.save(start)
            for name, arrays in (("images", x[:, 0]), ("masks", target)):
                os.makedirs(os.path.join(data, name))
                for i, array in enumerate(arrays):
                    np.save(os.path.join(data, name, f"{i}.npy"), array)
            with open(config, "w") as file:
                file.write(settings(data, network.config, len(x), x.shape[-1], steps))
            call(self.program, "train", "--config", config, "--init", start, "--out", run, "--quiet")
            with open(os.path.join(run, "metrics.jsonl")) as file:
                rows = [json.loads(line) for line in file]
        return [row["loss"] for row in rows if row["split"] == "train"]


def call(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:2])}: {done.stderr.strip()}")
    return done.stdout


def settings(data, config, batch, size, steps):
    """A configuration of `unet train` without anything random: a batch has every image once, each as large as a crop."""
    tables = {
        None: {"arch": "unet", "steps": steps, "eval_every": steps, "batch": batch, "crop": size, "clip": 0.0, "warmup": 0},
        "data": {"folder": data, "validation_folder": data, "separate_touching": False},
        "data.normalisation": {"kind": "none"},
        "config": config,
        "loss": {"name": "weighted_ce"},
        "weight_map": {"w0": 0.0, "class_weights": "none"},
        "optimiser": {"kind": "adam", "lr": 1e-3},
        "schedule": {"kind": "constant"},
        "augment": {"flips": False, "turns": False},
    }
    lines = []
    for name, values in tables.items():
        # JSON's strings, numbers and booleans are TOML's.
        lines += ([f"[{name}]"] if name else []) + [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    return "\n".join(lines) + "\n"


def times(engine, steps):
    """Times of the steps after one that does not count."""
    engine.step()
    result = []
    for _ in range(steps):
        start = time.perf_counter()
        engine.step()
        result.append((time.perf_counter() - start) * 1e3)
    return result


def compare(ours, others):
    """A table of the losses, and what of them is too far from ours."""
    lines = ["| step | unet | " + " | ".join(others) + " |", "|---" * (2 + len(others)) + "|"]
    for i, loss in enumerate(ours):
        lines.append(f"| {i + 1} | {loss:.6f} | " + " | ".join(f"{theirs[i]:.6f}" for theirs in others.values()) + " |")
    wrong = []
    for name, theirs in others.items():
        off = [abs(b - a) / abs(a) for a, b in zip(ours, theirs)]
        lines.append(f"\n{name}: the first loss differs from ours by {off[0]:.1e}, any by at most {max(off):.1e}, relative")
        if not (off[0] <= FIRST_LOSS and all(o <= LATER_LOSSES for o in off)):
            wrong.append(f"{name} trains another network: limits {FIRST_LOSS:g} and {LATER_LOSSES:g}")
    return "\n".join(lines), wrong


def main(options, threads):
    config = {"width": WIDTH, "depth": DEPTH, "padding": "same", "in_channels": 1, "out_channels": 2}
    network = Network("unet", config, (options.size, options.size))
    random, shape = np.random.default_rng(2), (options.batch, options.size, options.size)
    x = random.normal(size=shape).astype(np.float32)[:, None]
    # With half of the pixels in each class gradients are largest.
    target = random.integers(0, 2, shape).astype(np.uint8)
    ours = Unet(options.program, options.batch, options.size)
    makers = {"pytorch": Torch, "pytorch channels_last": lambda *a: Torch(*a, channels_last=True), "jax": Jax}
    engines, missing = [], {}
    for name, make in makers.items():
        try:
            engines.append(make(threads, network, x, target))
        except Missing as e:
            missing[name] = str(e)
            say(f"not there: {name}: {e}")
    try:
        say(f"losses of {options.losses} steps")
        losses = ours.losses(network, x, target, options.losses)
        table, wrong = compare(losses, {e.name: [e.step() for _ in range(options.losses)] for e in engines})
        running, rounds = [ours, *engines], {engine.name: [] for engine in [ours, *engines]}
        for round in range(options.rounds):
            # Rotate the order, so that no engine always runs on a machine that another has just heated.
            at = round % len(running)
            for engine in running[at:] + running[:at]:
                measured = ours.times(options.steps) if engine is ours else times(engine, options.steps)
                rounds[engine.name].append(statistics.median(measured))
                say(f"round {round + 1}: {engine.name} {rounds[engine.name][-1]:.0f} ms")
    except (RuntimeError, OSError) as e:
        say(f"error: {e}")
        return 1
    wrong += [f"{e.name} has {e.parameters} parameters, ours {ours.parameters}" for e in engines if e.parameters != ours.parameters]
    print("; ".join(dict.fromkeys([f"unet on {ours.device}", *(e.device for e in engines)])))
    for name, why in missing.items():
        print(f"{name}: missing: {why}")
    print(f"A training step of U-Net of width {WIDTH}, {ours.parameters} parameters, {options.size}x{options.size}, batch {options.batch}, Adam\n")
    print("| engine | ms per step, median | min | over ours (rounds) |\n|---|---|---|---|")
    for name, measured in rounds.items():
        pairs = [theirs / mine for theirs, mine in zip(measured, rounds["unet"])]
        ratio = statistics.median(measured) / statistics.median(rounds["unet"])
        print(f"| {name} | {statistics.median(measured):.0f} | {min(measured):.0f} | {ratio:.2f} ({min(pairs):.2f} to {max(pairs):.2f}) |")
    print(f"\nLosses of the same steps, from the same weights on the same images (ours by `unet train`):\n\n{table}")
    for what in wrong:
        say(f"error: {what}")
    return 1 if wrong else 0

