#!/usr/bin/env python3
"""Makes models/weights/*: the trained networks, packed for the repository and the program.

    pip install numpy safetensors
    python3 scripts/make_assets.py FOLDER_WITH_TRAINED_MODELS [--out models/weights]
    python3 scripts/make_assets.py --unpack models/weights/nuclei_unet.planes nuclei_unet.safetensors
    python3 scripts/make_assets.py --again                # the packed files again, with the sections and the rounding below

FOLDER_WITH_TRAINED_MODELS holds nuclei_unet/, nuclei_unetpp/, nuclei_unet3p/ and nuclei_he/, each with NAME.safetensors (f32), as the
training recipe of models/README.md writes them. A folder that is missing is left out.

Tensors of two or more dimensions (convolutions) become f16. The others (batch normalisation, biases) stay f32. Large
convolutions of some models are rounded to fewer stored mantissa bits than f16's 10. The metadata key `unet` is copied, with the
sections `instances` of INSTANCES, how single instances are found, and `scale`.
The safetensors file is then packed without loss as models/README.md describes. The packed bytes depend on the zlib
version, their content does not.
"""

import argparse
import hashlib
import json
import pathlib
import struct
import zlib

import numpy as np

LIMIT = 4_000_000  # bytes a file may have
TOTAL = 10_400_000  # bytes that all files may have: crates.io takes packages of 10 MiB
LARGE = 16_384  # elements from which a convolution counts as large
# name, stored mantissa bits of large convolutions
MODELS = [("nuclei_unet", 10), ("nuclei_unetpp", 8), ("nuclei_unet3p", 8), ("nuclei_he", 8)]
# How instances are found; models/README.md says how these values were chosen.
INSTANCES = {
    "nuclei_unet": {"method": "offsets", "threshold": 0.55, "min_area": 20, "min_area_percent": 10, "min_confidence": 0.8, "fill_holes": True},
    "nuclei_unetpp": {"method": "offsets", "threshold": 0.6, "min_area": 20, "min_area_percent": 10, "min_confidence": 0.8, "fill_holes": True},
    "nuclei_unet3p": {"method": "offsets", "threshold": 0.6, "min_area": 20, "min_area_percent": 10, "min_confidence": 0.8, "fill_holes": True},
    "nuclei_he": {"method": "offsets", "threshold": 0.45, "min_area": 20, "min_area_percent": 10, "min_confidence": 0.7, "fill_holes": True},
}
# Median diameter of the nuclei in the training images, pixels.
DIAMETERS = {"nuclei_unet": 20.5, "nuclei_unetpp": 20.5, "nuclei_unet3p": 20.5, "nuclei_he": 18.9}


def described(name, metadata):
    """The metadata with the model's section `instances`."""
    stated = json.loads(metadata["unet"])
    kept = {k: stated[k] for k in ("arch", "config", "normalisation", "target") if k in stated}
    description = {"format": 1, **kept, "classes": ["background", "nucleus"], "instances": INSTANCES[name], "scale": {"diameter": DIAMETERS[name]}}
    return {"unet": json.dumps(description, separators=(",", ":"))}


def round_mantissa(x, bits):
    """f16 `x` rounded to `bits` stored mantissa bits (of 10), to nearest, ties to even."""
    drop = 10 - bits
    if drop == 0:
        return x
    u = x.view(np.uint16).astype(np.uint32)
    # A carry out of the mantissa propagates into the exponent, which is correct rounding.
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


def section(width, data):
    """Elements of `width` bytes as byte planes: all first bytes, then all second bytes, and so on."""
    planes = np.frombuffer(data, np.uint8).reshape(-1, width).T.tobytes()
    return struct.pack("<II", width, len(data)) + planes


def pack(file):
    """A safetensors file of `encode`: its header, f32 and f16 elements, each as byte planes, deflated together."""
    start = 8 + struct.unpack("<Q", file[:8])[0]
    tensors = [v for k, v in json.loads(file[8:start]).items() if k != "__metadata__"]
    single = start + sum(v["data_offsets"][1] - v["data_offsets"][0] for v in tensors if v["dtype"] == "F32")
    assert all(v["data_offsets"][1] <= single - start for v in tensors if v["dtype"] == "F32"), "f32 tensors come first"
    stream = section(1, file[:start]) + section(4, file[start:single]) + section(2, file[single:])
    packed = zlib.compress(stream, 9)
    assert unpack(packed) == file
    return packed


def unpack(packed):
    """The inverse of `pack`."""
    stream, file = zlib.decompress(packed), b""
    while stream:
        width, length = struct.unpack("<II", stream[:8])
        file += np.frombuffer(stream[8 : 8 + length], np.uint8).reshape(width, -1).T.tobytes()
        stream = stream[8 + length :]
    return file


def again(path, name, bits):
    """Replaces the metadata of a packed file, and rounds its large convolutions to `bits`; those that are so already stay as they are."""
    file = unpack(path.read_bytes())
    start = 8 + struct.unpack("<Q", file[:8])[0]
    header = json.loads(file[8:start])
    header["__metadata__"] = described(name, header["__metadata__"])
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    weights = bytearray(file[start:])
    for t in (t for key, t in header.items() if key != "__metadata__" and t["dtype"] == "F16"):
        first, end = t["data_offsets"]
        if end - first >= 2 * LARGE:
            weights[first:end] = round_mantissa(np.frombuffer(weights[first:end], "<f2"), bits).tobytes()
    plain = struct.pack("<Q", len(text)) + text + bytes(weights)
    packed = pack(plain)
    path.write_bytes(packed)
    print(f"{path.name}: {len(plain)} -> {len(packed)} bytes")
    print(f"  sha256 unpacked: {hashlib.sha256(plain).hexdigest()}")
    print(f"  sha256 of the weights: {hashlib.sha256(weights).hexdigest()}")


def convert(source, target, name, bits):
    from safetensors import safe_open

    with safe_open(source / name / f"{name}.safetensors", "numpy") as f:
        metadata = f.metadata()
        original = {k: f.get_tensor(k) for k in f.keys()}
    tensors = {k: stored(v, bits) for k, v in original.items()}
    plain = encode(tensors, described(name, metadata))
    packed = pack(plain)
    if len(packed) >= LIMIT:
        raise SystemExit(f"{name}: {len(packed)} bytes, more than {LIMIT}")
    path = target / f"{name}.planes"
    path.write_bytes(packed)

    worst = 0.0  # relative to the largest weight of the tensor
    for key, x in original.items():
        worst = max(worst, float(np.abs(tensors[key].astype(np.float32) - x).max() / max(np.abs(x).max(), 1e-30)))
    print(f"{path.name}: {len(tensors)} tensors, {len(plain)} -> {len(packed)} bytes, largest error {worst:.1e} of the tensor's largest value")
    print(f"  sha256 unpacked: {hashlib.sha256(plain).hexdigest()}")


def check_total(folder):
    total = sum(path.stat().st_size for path in folder.glob("*.planes"))
    print(f"together: {total} bytes")
    if total >= TOTAL:
        raise SystemExit(f"all files have {total} bytes, more than {TOTAL}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=pathlib.Path, nargs="?", help="folder with the trained models")
    parser.add_argument("--unpack", type=pathlib.Path, nargs=2, metavar=("PLANES", "SAFETENSORS"), help="unpack one model")
    parser.add_argument("--again", action="store_true", help="write the packed files anew, with the sections and the rounding of this file")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent.parent / "models" / "weights")
    args = parser.parse_args()
    if args.unpack:
        args.unpack[1].write_bytes(unpack(args.unpack[0].read_bytes()))
        return
    if args.again:
        for name, bits in MODELS:
            again(args.out / f"{name}.planes", name, bits)
        return check_total(args.out)
    if not args.source:
        parser.error("FOLDER_WITH_TRAINED_MODELS is missing")
    args.out.mkdir(parents=True, exist_ok=True)
    for model in MODELS:
        if (args.source / model[0]).is_dir():
            convert(args.source, args.out, *model)
    check_total(args.out)


if __name__ == "__main__":
    main()
