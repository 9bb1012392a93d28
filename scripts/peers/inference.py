"""Times our engine and others on the same weights, in rounds."""

import json
import statistics
import sys
import tempfile
import time

import numpy as np

from engines import Jax, Missing, Ncnn, Torch, Unet
from network import CASES, Network
from onnx_engines import Iree, OnnxRuntime, OpenVino, WebGpu

# Relative to the largest output. Beyond it two engines do not compute the same network, and their times mean nothing.
TOLERANCE = 1e-3


def say(text):
    print(text, file=sys.stderr, flush=True)


def engines(selected, adapters, threads):
    """The available engines, and why the others are missing. `adapters` are the devices' names, ours first."""
    makers = {
        "onnxruntime": lambda: OnnxRuntime(threads),
        "onnxruntime-webgpu": lambda: WebGpu(threads, adapters),
        "openvino": lambda: OpenVino(threads),
        "ncnn": lambda: Ncnn(threads, False),
        "ncnn-vulkan": lambda: Ncnn(threads, True, adapters[0] if adapters else ""),
        "pytorch": lambda: Torch(threads),
        "jax": lambda: Jax(threads),
        "iree": lambda: Iree(threads),
    }
    there, missing = [], {}
    for name in selected:
        try:
            there.append(makers[name]())
        except Missing as e:
            missing[name] = str(e)
    return there, missing


def difference(got, expected):
    """The largest difference of any output, relative to that output's scale."""
    worst = 0.0
    for name in got:
        scale = float(np.abs(expected[name]).max())
        worst = max(worst, float(np.abs(got[name] - expected[name]).max()) / max(scale, 1e-30))
    return worst


def bench(key, ours, peers, options):
    title, arch, config, size = CASES[key]
    title = f"{title}, {config['in_channels']}x{size}x{size}"
    say(f"{title}: making weights")
    network = Network(arch, config, (size, size))
    x = np.random.default_rng(1).uniform(0, 1, network.input).astype(np.float32)
    case = {"case": key, "title": title, "size": [size, size], "arch": arch, "config": config, "engines": {}}
    with tempfile.TemporaryDirectory(prefix="bench_peers.") as folder:
        ours.prepare(network, folder)
        expected = ours.outputs(x, folder)
        running = [ours]
        for peer in peers:
            try:
                peer.prepare(network, folder)
                off = difference(peer.outputs(x, folder), expected)
                start = time.perf_counter()
                peer.run(x)
                seconds = time.perf_counter() - start
            except Exception as e:  # Any exception of a peer is a result about the peer.
                case["engines"][peer.name] = {"failed": str(e) or type(e).__name__}
                say(f"  {peer.name}: failed: {e}")
                continue
            say(f"  {peer.name}: outputs differ from ours by {off:.1e} of their scale")
            entry = case["engines"][peer.name] = {"difference": off, "rounds_ms": []}
            if not off <= TOLERANCE:
                entry["failed"] = f"its outputs differ from ours by {off:.1e} of their scale: another network, not timed"
                continue
            if seconds > options.slowest:
                entry["failed"] = f"a run takes {seconds:.0f} s: not timed in rounds (--slowest {options.slowest})"
                entry["one_run_ms"] = seconds * 1e3
                continue
            running.append(peer)
        case["engines"][ours.name] = {"rounds_ms": []}
        for round in range(options.rounds):
            # Rotate the order, so that no engine always runs on a machine that another has just heated.
            for engine in running[round % len(running) :] + running[: round % len(running)]:
                ms = statistics.median(engine.times(x, options.runs))
                case["engines"][engine.name]["rounds_ms"].append(ms)
                say(f"  round {round + 1} of {options.rounds}: {engine.name} {ms:.1f} ms")
        for engine in running:
            entry = case["engines"][engine.name]
            entry["median_ms"] = statistics.median(entry["rounds_ms"])
            entry["min_ms"] = min(entry["rounds_ms"])
        own = case["engines"][ours.name]
        for engine in running[1:]:
            entry = case["engines"][engine.name]
            entry["ratio"] = entry["median_ms"] / own["median_ms"]
            pairs = [theirs / mine for theirs, mine in zip(entry["rounds_ms"], own["rounds_ms"])]
            entry["ratio_of_rounds"] = [min(pairs), max(pairs)]
    return case


def table(cases, names, missing):
    """Markdown: a row per case, a column per engine with its time and, except for ours, its time over ours."""
    lines = ["| network | unet ms | " + " | ".join(f"{n} ms, / unet" for n in names) + " |"]
    lines.append("|---" * (2 + len(names)) + "|")
    for case in cases:
        cells = [case["title"], f"{case['engines']['unet']['median_ms']:.0f}"]
        for name in names:
            entry = case["engines"].get(name)
            if entry is None:
                cells.append(f"missing: {short(missing[name])}")
            elif "failed" in entry:
                cells.append(f"failed: {short(entry['failed'])}")
            else:
                low, high = entry["ratio_of_rounds"]
                verdict = "" if entry["ratio"] >= 1 else ", **we lose**"
                cells.append(f"{entry['median_ms']:.0f}, {entry['ratio']:.2f} ({low:.2f} to {high:.2f}){verdict}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def short(why):
    """The beginning of a reason, for a cell."""
    line = " ".join(why.split()).replace("|", "/")
    return line if len(line) <= 80 else line[:77] + ".."


def main(options, threads):
    ours = Unet(options.program)
    try:
        adapters = sorted(json.loads(ours.call("devices", "--json"))["adapters"], key=lambda a: not a["used"])
        selected = options.peers.split(",")
        peers, missing = engines(selected, [a["name"] for a in adapters], threads)
        for name, why in missing.items():
            say(f"not there: {name}: {why}")
        cases = [bench(key, ours, peers, options) for key in options.cases.split(",")]
    except (RuntimeError, OSError) as e:
        say(f"error: {e}")
        return 1
    print(f"unet on {ours.device}")
    for peer in peers:
        print(f"{peer.name}: {peer.device}")
    for name, why in missing.items():
        print(f"{name}: missing: {why}")
    print(f"\nBatch 1, f32, threads: {threads}, medians of {options.rounds} rounds of {options.runs} runs. The second number is")
    print("the engine's time over ours, above 1 we are faster; in brackets the minimum and maximum of the rounds.\n")
    print(table(cases, selected, missing))
    for case in cases:
        for name, entry in case["engines"].items():
            if "failed" in entry:
                print(f"{case['title']}, {name}: {entry['failed']}")
    print("\nThe largest difference of any output from ours, relative to its scale:")
    for peer in peers:
        far = [c["engines"][peer.name]["difference"] for c in cases if "difference" in c["engines"][peer.name]]
        print(f"{peer.name}: {max(far):.1e} in {len(far)} of {len(cases)} networks" if far else f"{peer.name}: not compared")
    if options.json:
        about = {p.name: p.device for p in peers}
        document = {"unet": ours.device, "peers": about, "missing": missing, "threads": threads, "rounds": options.rounds}
        with open(options.json, "w") as file:
            json.dump({**document, "runs": options.runs, "cases": cases}, file, indent=1)
            file.write("\n")
    return 0

