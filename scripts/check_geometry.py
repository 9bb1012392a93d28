#!/usr/bin/env python3
"""Compares a model that predicts geometry for instances with a reference in PyTorch: raw planes, foreground, instances by elevation
and by offsets, their scores, and tiles of several sizes. Needs: pip install numpy scipy pillow tifffile torch safetensors scikit-image.

    python3 scripts/check_geometry.py UNET REFERENCE MODEL DATA [EVERY]

UNET is the program; REFERENCE a Python file with `restore`, `load`, `predict`, `objects`, `objects_by_offsets`, `matches` and
`pooled`; DATA a folder with images/ and labels/, of which every EVERY-th image by name is used (default 6).
"""
import importlib.util
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import tifffile
from safetensors.numpy import load_file

PLANES = 1e-4
# The whole image first; a U-Net of depth 4 has no smaller tile than 208, of which 16 x 16 pixels count.
TILES, TILED = (None, 256, 208), 3


def program(*words):
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words))}\n{done.stderr}")
    return done.stdout


def module(path):
    path = pathlib.Path(path).resolve()
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location("reference", path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def unmatched(a, b):
    """Instances of `a` without an identical one in `b`."""
    return sum(1 for n in range(1, int(a.max()) + 1) if not np.any(same(a == n, b)))


def same(mask, labels):
    inside = np.unique(labels[mask])
    return np.array([n > 0 and np.array_equal(labels == n, mask) for n in inside])


def main():
    unet, reference, model, data = sys.argv[1:5]
    every = int(sys.argv[5]) if len(sys.argv) > 5 else 6
    r = module(reference)
    meta, net = r.restore(model)
    names = r.names(data)[::every]
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        images, labels = folder / "data" / "images", folder / "data" / "labels"
        images.mkdir(parents=True), labels.mkdir()
        for name in names:
            shutil.copy(pathlib.Path(data) / "images" / name, images / name)
            shutil.copy(pathlib.Path(data) / "labels" / name, labels / name)
        few = folder / "few"
        few.mkdir()
        for name in names[:TILED]:
            shutil.copy(images / name, few / name)
        raw, truth, largest = {}, {}, 0.0
        for name in names:
            x, truth[name] = r.load(data, name)
            raw[name] = z = r.predict(meta["arch"], net, x)
            h, w = x.shape
            padded = np.pad(x, ((0, -h % 16), (0, -w % 16)), mode="reflect")[None, None]
            np.save(folder / "x.npy", padded)
            program(unet, "run", "-m", model, "--input", folder / "x.npy", "--output", folder / "y.safetensors")
            y = {k: v[0, :, :h, :w] for k, v in load_file(folder / "y.safetensors").items()}
            geometry = np.stack([z[1], sigmoid(z[2]), z[3], z[4]]) if len(z) == 5 else z[1:2]
            for own, other in ((y["logits"], z), (y["foreground"][0], sigmoid(z[0])), (y["geometry"], geometry)):
                largest = max(largest, float(np.abs(own - other).max()))
        print(f"{len(names)} images; raw planes, foreground and geometry differ by at most {largest:.2e}")
        if largest > PLANES:
            failed.append("planes")
        for method, decode in (("elevation", r.objects), ("offsets", r.objects_by_offsets)):
            if method == "offsets" and len(z) < 5:
                continue
            rules = ["--instances", method, "--min-area", "20,10%"]
            out = folder / method
            program(unet, "segment", images, "-m", model, "-o", out, "--save", "mask,prob-npy,labels", *rules)
            rows, expected_rows, instances, differ, pixels, worst = [], [], 0, [], 0, 0.0
            for name in names:
                stem = name.rsplit(".", 1)[0]
                found = tifffile.imread(out / f"{stem}_labels.tif").astype(np.int32)
                p = np.load(out / f"{stem}_prob.npy")
                worst = max(worst, float(np.abs(p - sigmoid(raw[name][0])).max()))
                mask = np.asarray(r.Image.open(out / f"{stem}_mask.png")) > 0
                assert ((p > 0.5) == mask).all(), f"{name}: the mask is not where p > 0.5"
                expected = decode(raw[name], target=meta["target"]) if method == "elevation" else decode(raw[name])
                rows.append(r.matches(found, truth[name]))
                expected_rows.append(r.matches(expected, truth[name]))
                instances += int(expected.max())
                if not np.array_equal(found, expected):
                    only = [unmatched(expected, found), unmatched(found, expected)]
                    changed = int(np.count_nonzero((found > 0) != (expected > 0)))
                    pixels += changed
                    differ.append(f"{stem}: {only[0]} of the reference's, {only[1]} of the program's, foreground of {changed} pixels")
            print(f"\n{method}: {instances} instances, foreground differs by at most {worst:.2e}; {len(differ)} images differ")
            print("".join(f"  {line}\n" for line in differ), end="")
            own, other = r.pooled(rows), r.pooled(expected_rows)
            for key in ("f1", "ap50", "ap75", "mean_ap"):
                print(f"  {key:8} {own[key]:.4f}, reference {other[key]:.4f}")
            if abs(own["f1"] - other["f1"]) > 0.003 or abs(own["mean_ap"] - other["mean_ap"]) > 0.003:
                failed.append(f"scores by {method}")
            scores = json.loads(program(unet, "eval", "--json", "-m", model, "--data", folder / "data", *rules))
            f1 = next(t["f1"] for t in scores["instances"]["thresholds"] if t["iou"] == 0.5)
            print(f"  unet eval: F1 {f1:.4f}, mean AP {scores['instances']['mean_ap']:.4f}")
            if abs(f1 - own["f1"]) > 1e-9:
                failed.append(f"unet eval by {method}")
            whole = None
            for tile in TILES:
                part = folder / f"{method}_{tile}"
                size = [] if tile is None else ["--tile", tile]
                program(unet, "segment", few, "-m", model, "-o", part, "--save", "labels", "--exact", *size, *rules)
                files = {p.name: p.read_bytes() for p in sorted(part.iterdir())}
                whole = whole or files
                if files != whole:
                    failed.append(f"tiles of {tile} by {method}")
            print(f"  tiles of 208, 256 and whole with --exact, {TILED} images: {'identical' if not any('tiles' in f for f in failed) else 'DIFFERENT'}")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
