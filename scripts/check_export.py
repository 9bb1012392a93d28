"""Checks round trips of model files; see check_export.sh."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnxruntime
from safetensors.numpy import load_file, save_file

UNET = os.environ["UNET"]
# Relative to the largest value: two orders of summation in float32.
TOLERANCE = 2e-5


def unet(*args):
    subprocess.run([UNET, "-q", *map(str, args)], check=True, stdout=subprocess.DEVNULL)


def run(model, x, folder):
    save_file({"input": np.ascontiguousarray(x)}, folder / "x.safetensors")
    unet("run", "-m", model, "--input", folder / "x.safetensors", "--output", folder / "y.safetensors")
    return load_file(folder / "y.safetensors")


def worst(got, expected, what):
    """Largest difference of any tensor, relative to its largest value."""
    if set(got) != set(expected):
        sys.exit(f"{what}: outputs {sorted(got)} and {sorted(expected)}")
    largest = 0.0
    for name in expected:
        a, b = got[name].astype(np.float64), expected[name].astype(np.float64)
        if a.squeeze().shape != b.squeeze().shape:
            sys.exit(f"{what}: {name} has shapes {a.shape} and {b.shape}")
        largest = max(largest, np.abs(a.squeeze() - b.squeeze()).max() / max(1.0, np.abs(b).max()))
    if not largest <= TOLERANCE:
        sys.exit(f"{what}: differs by {largest:.2e} of the largest value, allowed {TOLERANCE:.0e}")
    return largest


def other_size(config, arch, shape):
    """An input with another batch and size that the network accepts; odd if that is allowed."""
    n, c, h, w = shape
    step = 2 ** (config.get("level") or config.get("depth", 4))
    if arch == "unet" and config.get("padding", "valid") == "same":
        return n + 1, c, h + 3, w + 2 * step - 1
    return n + 1, c, h + step, w + 2 * step


def check(name, arch, config, weights, x, expected, folder, rng):
    native, exported, back = folder / "m.safetensors", folder / "m.onnx", folder / "back.safetensors"
    if weights is not None:
        description = {"arch": arch, "config": config, "normalisation": {"kind": "z_score"}}
        save_file(weights, native, metadata={"unet": json.dumps(description)})
    unet("convert", native, exported)
    unet("convert", exported, back)
    a, b = load_file(native), load_file(back)
    if set(a) != set(b) or any(not np.array_equal(a[k], b[k]) for k in a):
        sys.exit(f"{name}: native -> ONNX -> native changed the weights")
    session = onnxruntime.InferenceSession(str(exported), providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    ort = lambda x: dict(zip(names, session.run(names, {"input": x})))
    y = ort(x)
    torch = worst({k: v for k, v in y.items() if k in expected}, expected, f"{name}: onnxruntime and PyTorch")
    ours = worst(y, run(native, x, folder), f"{name}: onnxruntime and unet run")
    x = rng.standard_normal(other_size(config, arch, x.shape), dtype=np.float32)
    other = worst(ort(x), run(native, x, folder), f"{name}: onnxruntime and unet run at {x.shape}")
    print(f"{name:<34} torch {torch:.1e}  unet {ours:.1e}  at {str(x.shape):<18} {other:.1e}", flush=True)


def main():
    fixtures = pathlib.Path(sys.argv[1])
    manifest = json.loads((fixtures / "manifest.json").read_text())
    rng = np.random.default_rng(7)
    checked = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        for entry in manifest["cases"]:
            name = entry["name"]
            case = entry["case"]
            if entry["kind"] == "model" and case.get("mode", "eval") == "eval":
                t = load_file(fixtures / f"{name}.safetensors")
                under = lambda p: {k[len(p):]: v for k, v in t.items() if k.startswith(p)}
                weights = {k: v.astype(np.float32) for k, v in (under("param/") | under("buffer/")).items()}
                check(name, case["arch"], case["config"], weights, t["input"], under("out/"), folder, rng)
            elif entry["kind"] == "checkpoint":
                t = load_file(fixtures / f"{name}.safetensors")
                expected = {k[4:]: v for k, v in t.items() if k.startswith("out/")}
                file = next(f for f in entry["files"] if ".ckpt." in f)
                unet("convert", fixtures / file, folder / "m.safetensors")
                direct = worst(run(fixtures / file, t["input"], folder), expected, f"{name}: unet run of {file}")
                native = worst(run(folder / "m.safetensors", t["input"], folder), expected, f"{name}: converted")
                print(f"{name:<34} original {direct:.1e}  native {native:.1e}", flush=True)
                check(name, case["arch"], case["config"], None, t["input"], expected, folder, rng)
            else:
                continue
            checked += 1
    if checked == 0:
        sys.exit(f"{fixtures}: no networks")
    print(f"{checked} networks: every round trip is equal")


if __name__ == "__main__":
    main()
