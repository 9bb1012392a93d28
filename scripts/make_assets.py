#!/usr/bin/env python3
"""Makes assets/weights/*: the trained networks, stored small enough to live in the repository and in the binary.

    pip install numpy safetensors
    python3 scripts/make_assets.py FOLDER_WITH_TRAINED_MODELS [--out assets/weights]

FOLDER_WITH_TRAINED_MODELS holds nuclei_unet/, nuclei_unetpp/ and nuclei_unet3p/, each with NAME.safetensors (f32) and
training.json, as the training recipe of assets/weights/README.md writes them.

Tensors of two dimensions or more (convolutions) become f16; the others (batch normalisation, biases) stay f32.
nuclei_unetpp has too many parameters for that: its large convolutions are rounded further, to 9 stored mantissa
bits (f16 has 10), so that the last bit is zero, and the file is gzipped. The metadata key `unet` is copied as it
is. The output depends on the input alone: sorted keys, no time stamp.
"""

import argparse
import gzip
import json
import pathlib
import struct

import numpy as np
from safetensors import safe_open

LIMIT = 4_000_000  # bytes a file may have
LARGE = 16_384  # elements from which a convolution counts as large
# name, stored mantissa bits of large convolutions, gzip
MODELS = [("nuclei_unet", 10, False), ("nuclei_unetpp", 9, True), ("nuclei_unet3p", 10, False)]


def round_mantissa(x, bits):
    """f16 `x` rounded to `bits` stored mantissa bits (of 10), to nearest, ties to even."""
    drop = 10 - bits
    if drop == 0:
        return x
    u = x.view(np.uint16).astype(np.uint32)
    # A carry out of the mantissa goes on into the exponent, which is what rounding up means there.
    u = (u + (1 << (drop - 1)) - 1 + ((u >> drop) & 1)) & ~np.uint32((1 << drop) - 1)
    return u.astype(np.uint16).view(np.float16)


def stored(x, bits):
    """The tensor as it is stored."""
    if x.ndim < 2:
        return x.astype("<f4")
    half = x.astype("<f2")
    half = round_mantissa(half, bits) if x.size >= LARGE else half
    if not np.isfinite(half).all():
        raise ValueError("a value does not fit f16")
    return half


def encode(tensors, metadata):
    """A safetensors file: f32 tensors first (alignment), then by name, as the reference implementation lays them out."""
    order = sorted(tensors, key=lambda k: (-tensors[k].itemsize, k))
    header, offset = {"__metadata__": metadata}, 0
    for key in order:
        t = tensors[key]
        header[key] = {
            "dtype": {4: "F32", 2: "F16"}[t.itemsize],
            "shape": list(t.shape),
            "data_offsets": [offset, offset + t.nbytes],
        }
        offset += t.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(tensors[k].tobytes() for k in order)


def convert(source, target, name, bits, pack):
    with safe_open(source / name / f"{name}.safetensors", "numpy") as f:
        metadata = f.metadata()
        original = {k: f.get_tensor(k) for k in f.keys()}
    tensors = {k: stored(v, bits) for k, v in original.items()}
    data = encode(tensors, {"unet": metadata["unet"]})
    plain = len(data)
    if pack:
        data = gzip.compress(data, 9, mtime=0)
    if len(data) >= LIMIT:
        raise SystemExit(f"{name}: {len(data)} bytes, more than {LIMIT}")
    path = target / f"{name}.safetensors{'.gz' if pack else ''}"
    path.write_bytes(data)

    worst = 0.0  # relative to the largest weight of the tensor
    for key, x in original.items():
        worst = max(worst, float(np.abs(tensors[key].astype(np.float32) - x).max() / max(np.abs(x).max(), 1e-30)))
    print(f"{path.name}: {len(tensors)} tensors, {plain} -> {len(data)} bytes, largest error {worst:.1e} of the tensor's largest value")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=pathlib.Path, help="folder with the trained models")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent.parent / "assets" / "weights")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for model in MODELS:
        convert(args.source, args.out, *model)


if __name__ == "__main__":
    main()
