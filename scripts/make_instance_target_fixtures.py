#!/usr/bin/env python3
"""Writes assets/fixtures/instances/targets.safetensors: windows of labels and the target tensors that our reference makes of them.

    python3 scripts/make_instance_target_fixtures.py REFERENCE

REFERENCE is the file instances_reference.py. Per case: NAME/labels (-1 unknown) with MARGIN pixels more on every side than
NAME/multi (known, foreground, distance, border, offsets), NAME/gap (known, foreground, weight) and NAME/border (class ids, 255
unknown). Needs numpy, scipy, Pillow. The output depends on the reference alone.
"""

import importlib.util
import json
import pathlib
import struct
import sys

import numpy as np

MARGIN = 6


def window(height, width):
    return np.zeros((height + 2 * MARGIN, width + 2 * MARGIN), np.int32)


def cells(rng, lab, count):
    """Discs that cover each other: touching, concave, cut by the window."""
    yy, xx = np.indices(lab.shape)
    for i in range(count):
        y, x, r = rng.uniform(0, lab.shape[0]), rng.uniform(0, lab.shape[1]), rng.uniform(2, 8)
        lab[(yy - y) ** 2 + (xx - x) ** 2 <= r * r] = 3 * i + 2
    return lab


def cases():
    rng = np.random.RandomState(18)
    yield "touching", cells(rng, window(14, 17), 14)
    unknown = cells(rng, window(12, 18), 10)
    unknown[:9] = -1
    unknown[:, 22:] = -1
    yield "unknown", unknown
    pixels = window(9, 11)
    pixels[8, 8], pixels[8, 9], pixels[9, 10], pixels[13, 8], pixels[6, 16], pixels[5, 5] = 1, 2, 3, 4, 5, 6
    yield "one_pixel", pixels
    ties = window(10, 10)
    ties[7:9, 7:9] = 9
    ties[11:13, 8:15] = 4
    ties[13:18, 8:9] = 4
    ties[9:11, 12:14] = 2
    yield "ties", ties
    yield "whole", np.full((6 + 2 * MARGIN, 7 + 2 * MARGIN), 7, np.int32)
    yield "none", window(5, 6)


def save(tensors, path):
    """A safetensors file of float32 arrays."""
    header, at = {}, 0
    for name, t in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(t.shape), "data_offsets": [at, at + t.nbytes]}
        at += t.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(np.ascontiguousarray(t, "<f4").tobytes() for t in tensors.values()))


def main():
    path = pathlib.Path(sys.argv[1])
    spec = importlib.util.spec_from_file_location("reference", path)
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    reference.MARGIN = MARGIN
    out = {}
    for name, lab in cases():
        multi = reference.targets("multi", lab)
        out[f"{name}/labels"] = lab.astype(np.float32)
        out[f"{name}/multi"] = multi
        out[f"{name}/gap"] = reference.targets("gap", lab)
        out[f"{name}/border"] = np.where(multi[0] == 0, 255, np.where(multi[3] > 0, 2, multi[1])).astype(np.float32)
    folder = pathlib.Path(__file__).resolve().parent.parent / "assets" / "fixtures" / "instances"
    folder.mkdir(parents=True, exist_ok=True)
    save(out, folder / "targets.safetensors")


if __name__ == "__main__":
    main()
