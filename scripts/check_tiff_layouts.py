#!/usr/bin/env python3
"""Compares how `unet` and tifffile read TIFF layouts written by tifffile, Pillow or this script.

Usage: check_tiff_layouts.py [--unet target/debug/unet] [--fixtures DIR] [--only TEXT] [--keep DIR]

Every file goes through `unet segment --save prob-npy` with a network that returns its input (a 1x1 convolution and a
sigmoid, which is undone here). Each must be read exactly, rejected with the right reason, or read with a note; the script
fails if one is wrong. With --fixtures, small files and what tifffile reads from them are written for the unit tests. Needs
numpy, tifffile, imagecodecs, Pillow, onnx.
"""
import argparse
import os
import re
import struct
import subprocess
import sys
import tempfile

import imagecodecs
import numpy as np
import onnx
import tifffile
from onnx import TensorProto, helper
from PIL import Image

H, W = 37, 45
rng = np.random.default_rng(16)


def pattern(dtype, channels=1, h=None, w=None):
    """A smooth image with some noise, over the whole range of the type."""
    h, w = h or H, w or W
    y, x = np.mgrid[0:h, 0:w]
    planes = [(np.sin(x / (5 + c)) * np.cos(y / (7 + c)) + 1) / 2 + 0.05 * (rng.random((h, w)) - 0.5) for c in range(channels)]
    v = np.clip(np.stack(planes, -1), 0, 1)
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        v = (v * 200 - 50).astype(dtype)
    elif dtype.kind == "b":
        v = v > 0.5
    else:
        # Above 2^24 a 32-bit float holds no odd numbers; those files have their own case.
        top = min(np.iinfo(dtype).max, 2**24 - 1)
        low = max(np.iinfo(dtype).min, -(2**24))
        v = np.round(v * (top - low) + low).astype(dtype)
    return v if channels > 1 else v[..., 0]


def raw_tiff(path, tags, chunks, tiled=False, big_endian=False, offsets_as=None):
    """A TIFF from tags (number: list of SHORTs, or (type, list)) and the bytes of its strips or tiles."""
    e = ">" if big_endian else "<"
    out = bytearray((b"MM\0*" if big_endian else b"II*\0") + b"\0\0\0\0")
    offsets = []
    for chunk in chunks:
        offsets.append(len(out) if chunk else 0)
        out += chunk + b"\0" * (len(chunk) % 2)
    if offsets_as is not None:
        offsets = offsets_as(offsets)
    entries = {k: v if isinstance(v, tuple) else ("H", v) for k, v in tags.items()}
    entries[324 if tiled else 273] = ("I", offsets)
    entries[325 if tiled else 279] = ("I", [len(c) for c in chunks])
    ids = {"H": 3, "I": 4, "R": 5, "s": 2, "B": 7}
    ifd = struct.pack(e + "H", len(entries))
    for tag, (kind, values) in sorted(entries.items()):
        if kind == "s":
            data, count = values, len(values)
        elif kind == "B":
            data, count = values, len(values)
        elif kind == "R":
            data, count = b"".join(struct.pack(e + "II", *v) for v in values), len(values)
        else:
            data, count = struct.pack(e + kind * len(values), *values), len(values)
        if len(data) > 4:
            at = len(out)
            out += data + b"\0" * (len(data) % 2)
            data = struct.pack(e + "I", at)
        ifd += struct.pack(e + "HHI", tag, ids[kind], count) + data.ljust(4, b"\0")
    at = len(out)
    out += ifd + b"\0\0\0\0"
    out[4:8] = struct.pack(e + "I", at)
    with open(path, "wb") as f:
        f.write(out)


def base(w, h, bits, samples, photometric, compression=1):
    return {256: [w], 257: [h], 258: [bits] * samples, 259: [compression], 262: [photometric], 277: [samples]}


CASES = []


def case(name, refused=None, tol=0.0, expect=None, page=0, warned=None, fixture=False):
    """Registers a function that writes a file; `expect` turns tifffile's array into the expected one, or is None."""

    def add(write):
        CASES.append(dict(name=name, write=write, refused=refused, tol=tol, expect=expect, page=page, warned=warned, fixture=fixture))
        return write

    return add


def written(name, array, refused=None, tol=0.0, expect=None, warned=None, fixture=False, **how):
    case(name, refused, tol, expect, warned=warned, fixture=fixture)(lambda path: tifffile.imwrite(path, array, metadata=None, **how))


def spread(bits):
    return lambda a: np.round(a.astype(float) * 255 / (2**bits - 1)).astype(np.uint8)


def define():
    rgb8, rgb16 = pattern("u1", 3), pattern("u2", 3)
    rgb = dict(photometric="rgb")
    for comp in [None, "lzw", "adobe_deflate", "deflate", "zstd", "packbits"]:
        for dtype in ["u1", "u2", "f4"]:
            written(f"{comp}_{dtype}_strips", pattern(dtype), compression=comp, rowsperstrip=5, fixture=comp == "zstd" and dtype == "u2")
        written(f"{comp}_rgb8_tiles", rgb8, compression=comp, tile=(16, 32), **rgb)
        written(f"{comp}_rgb16_planar_tiles", np.moveaxis(rgb16, -1, 0), compression=comp, tile=(32, 16), planarconfig="separate",
                fixture=comp in ("zstd", None), expect=lambda a: np.moveaxis(a, 0, -1), **rgb)
        written(f"{comp}_rgb8_planar_strips", np.moveaxis(rgb8, -1, 0), compression=comp, rowsperstrip=7, planarconfig="separate",
                expect=lambda a: np.moveaxis(a, 0, -1), **rgb)
    for comp in ["lzw", "adobe_deflate", "zstd"]:
        for dtype in ["u1", "u2", "u4", "i1", "i2", "i4", "f2", "f4", "f8"]:
            how = dict(warned="rounded") if dtype == "f8" else {}
            tol = 1e-6 if dtype == "f8" else 0
            written(f"{comp}_predictor_{dtype}", pattern(dtype), compression=comp, predictor=True, rowsperstrip=9, tol=tol,
                    fixture=comp == "lzw" and dtype in ("i2", "u4", "f2", "f4"), **how)
        four = pattern("u2", 4)
        written(f"{comp}_predictor_rgb_nir", four, compression=comp, predictor=True, extrasamples=["unspecified"],
                fixture=comp == "lzw", **rgb)
        written(f"{comp}_predictor_rgba", pattern("u1", 4), compression=comp, predictor=True, extrasamples=["unassalpha"],
                expect=lambda a: a[..., :3], fixture=comp == "lzw", **rgb)
        written(f"{comp}_predictor_planar_f4", np.moveaxis(pattern("f4", 3), -1, 0), compression=comp, predictor=True, tile=(16, 16),
                planarconfig="separate", expect=lambda a: np.moveaxis(a, 0, -1), photometric="minisblack")
    for dtype in ["u1", "i1", "u2", "i2", "u4", "i4", "f2", "f4", "f8", "i8", "u8"]:
        for order in "<>":
            warned = dict(warned="rounded", tol=1e-6) if dtype == "f8" else {}
            name = "big" if order == ">" else "little"
            written(f"{name}_endian_{dtype}", pattern(dtype), byteorder=order, fixture=order == ">" and dtype in ("i2", "f8"), **warned)
    written("bigtiff_rgb16", rgb16, bigtiff=True, compression="lzw", predictor=True, tile=(16, 16), **rgb)
    written("bigtiff_big_endian_f4", pattern("f4"), bigtiff=True, byteorder=">", compression="zstd", predictor=True)
    written("big_endian_predictor_u2", pattern("u2"), byteorder=">", compression="lzw", predictor=True, fixture=True)
    written("big_endian_predictor_u4", pattern("u4"), byteorder=">", compression="adobe_deflate", predictor=True)
    written("twelve_bands_planar_tiles", pattern("u2", 12).transpose(2, 0, 1), tile=(16, 16), planarconfig="separate",
            photometric="minisblack", expect=lambda a: np.moveaxis(a, 0, -1))
    written("seven_bands_contig", pattern("u2", 7), planarconfig="contig", photometric="minisblack", compression="lzw", predictor=True)
    written("miniswhite_u1", pattern("u1"), photometric="miniswhite", expect=lambda a: 255 - a, fixture=True)
    written("miniswhite_u2_lzw", pattern("u2"), photometric="miniswhite", compression="lzw", predictor=True, expect=lambda a: 65535 - a)
    written("miniswhite_i2", pattern("i2"), photometric="miniswhite", warned="white is said to be zero")
    written("bool", pattern("?"), photometric="minisblack", expect=lambda a: a * np.uint8(255), fixture=True)
    written("bool_miniswhite", pattern("?"), photometric="miniswhite", expect=lambda a: (1 - a) * np.uint8(255))
    big = pattern("u4")
    big[3, 4] = 2**24 + 1
    written("u4_above_2_24", big, warned="rounded", expect=lambda a: a.astype(np.float32), tol=1e-6)
    huge = pattern("f8")
    huge[0, 0] = 1e300
    written("f8_beyond_f4", huge, refused="beyond 32-bit floats")

    for bits in (2, 3, 4, 5, 6, 7, 10, 12, 14, 20, 24):
        def write(path, bits=bits):
            values = rng.integers(0, 2**bits, (H, W), dtype=np.uint32)
            if bits == 24:
                data = b"".join(struct.pack("<I", v)[:3] for v in values.ravel().tolist())
            else:
                text = ["".join(format(v, f"0{bits}b") for v in row) for row in values.tolist()]
                data = b"".join(int(t.ljust(-(-len(t) // 8) * 8, "0"), 2).to_bytes(-(-len(t) // 8), "big") for t in text)
            raw_tiff(path, base(W, H, bits, 1, 1), [data])
            return values if bits < 8 else values.astype(np.uint16 if bits <= 16 else np.uint32)
        case(f"packed_{bits}_bits", expect=spread(bits) if bits < 8 else None, fixture=bits in (4, 10, 12))(write)

    def twelve_rgb(path):
        values = rng.integers(0, 4096, (H, W * 3), dtype=np.uint32)
        text = ["".join(format(v, "012b") for v in row) for row in values.tolist()]
        data = b"".join(int(t.ljust(-(-len(t) // 8) * 8, "0"), 2).to_bytes(-(-len(t) // 8), "big") for t in text)
        raw_tiff(path, base(W, H, 12, 3, 2), [data], big_endian=True)
        return values.reshape(H, W, 3).astype(np.uint16)
    case("packed_12_bits_rgb_big_endian")(twelve_rgb)

    def colormap(f):
        return np.array([[f(i, c) for i in range(256)] for c in range(3)], dtype=np.uint16)
    pal = dict(photometric="palette", compression="lzw")
    written("palette_grey_ramp", pattern("u1"), colormap=colormap(lambda i, c: i * 257), fixture=True, **pal)
    written("palette_grey_ramp_256", pattern("u1"), colormap=colormap(lambda i, c: i * 256), **pal)
    written("palette_inverted_ramp", pattern("u1"), colormap=colormap(lambda i, c: (255 - i) * 257), expect=lambda a: 255 - a, **pal)
    rainbow = colormap(lambda i, c: (i * (3 + 2 * c) % 256) * 257)
    written("palette_rgb", pattern("u1"), colormap=rainbow, expect=lambda a: (rainbow.T >> 8).astype(np.uint8)[a], fixture=True, **pal)
    smooth = colormap(lambda i, c: (i * (31 + c) * 97) % 65536)
    written("palette_rgb_16", pattern("u1"), colormap=smooth, expect=lambda a: smooth.T[a], **pal)
    green = colormap(lambda i, c: i * 257 if c == 1 else 0)
    written("palette_green_ramp", pattern("u1"), colormap=green, warned="colours of display", fixture=True, **pal)
    low = colormap(lambda i, c: (i * (3 + 2 * c)) % 256)
    written("palette_of_8_bits", pattern("u1"), colormap=low, expect=lambda a: low.T.astype(np.uint8)[a], **pal)
    case("palette_imagej", fixture=True)(
        lambda path: tifffile.imwrite(path, pattern("u1"), imagej=True, colormap=rainbow, metadata={"mode": "color"}))

    for quality in (90,):
        for sub in ("4:4:4", "4:2:0", "4:2:2", "4:1:1"):
            s = tuple(int(x) for x in {"4:4:4": "11", "4:2:0": "22", "4:2:2": "21", "4:1:1": "41"}[sub])
            for tiles in (None, (32, 32)):
                written(f"jpeg_ycbcr_{sub.replace(':', '')}_{'tiles' if tiles else 'strips'}", rgb8, photometric="ycbcr", compression="jpeg",
                        compressionargs=dict(level=quality), subsampling=s, tile=tiles, rowsperstrip=None if tiles else 16, tol=4,
                        fixture=sub in ("4:2:0", "4:4:4") and bool(tiles))
    written("jpeg_rgb", rgb8, compression="jpeg", compressionargs=dict(outcolorspace="rgb"), tile=(16, 16), tol=4, fixture=True, **rgb)
    written("jpeg_grey_tiles", pattern("u1"), compression="jpeg", tile=(32, 16), tol=4)
    written("jpeg_grey_strips", pattern("u1"), compression="jpeg", rowsperstrip=8, tol=4, fixture=True)
    written("jpeg_planar", np.moveaxis(rgb8, -1, 0), compression="jpeg", planarconfig="separate", tile=(16, 16), tol=4,
            expect=lambda a: np.moveaxis(a, 0, -1), **rgb)
    written("jpeg_12_bits", (pattern("u2") >> 4), compression="jpeg", bitspersample=12, refused="12-bit|more than 8 bits|not supported")

    def libtiff(path, mode, **how):
        pattern8 = Image.fromarray(rgb8 if mode == "RGB" else pattern("u1"))
        (pattern8 if mode != "1" else pattern8.convert("1")).save(path, **how)
    case("libtiff_jpeg_shared_tables", tol=4, fixture=True)(lambda p: libtiff(p, "RGB", compression="jpeg", quality=80))
    case("libtiff_jpeg_grey", tol=4)(lambda p: libtiff(p, "L", compression="jpeg", quality=80))
    bilevel = lambda a: a.astype(np.uint8) * np.uint8(255)
    for kind in ("group3", "group4", "packbits", "tiff_lzw"):
        case(f"libtiff_bilevel_{kind}", expect=bilevel, fixture=kind in ("group3", "group4"))(lambda p, k=kind: libtiff(p, "1", compression=k))
    case("libtiff_ccitt_rle", refused="CCITT modified Huffman")(lambda p: libtiff(p, "1", compression="tiff_ccitt"))
    case("libtiff_cmyk", refused="CMYK")(lambda p: Image.fromarray(rgb8).convert("CMYK").save(p))
    case("libtiff_lab", refused=r"L\*a\*b")(lambda p: Image.fromarray(pattern("u1", 3), "LAB").save(p))
    case("libtiff_webp", refused="WebP")(lambda p: Image.fromarray(rgb8).save(p, compression="webp"))
    case("libtiff_lzma", refused="LZMA")(lambda p: Image.fromarray(rgb8).save(p, compression="lzma"))

    for units in ((1, 1), (2, 2), (2, 1), (4, 2), (1, 2)):
        def ycbcr(path, units=units):
            h, v = units
            px = np.asarray(Image.fromarray(rgb8).convert("YCbCr")).astype(int)
            data = bytearray()
            pad = np.pad(px, ((0, -H % v), (0, -W % h), (0, 0)), mode="edge")
            full = np.empty_like(pad)
            for y in range(0, pad.shape[0], v):
                for x in range(0, pad.shape[1], h):
                    unit = pad[y:y + v, x:x + h]
                    cb, cr = (int(np.round(unit[..., k].mean())) for k in (1, 2))
                    data += bytes(unit[..., 0].ravel().tolist()) + bytes([cb, cr])
                    full[y:y + v, x:x + h, 0], full[y:y + v, x:x + h, 1], full[y:y + v, x:x + h, 2] = unit[..., 0], cb, cr
            raw_tiff(path, base(W, H, 8, 3, 6) | {530: list(units)}, [bytes(data)])
            yy, cb, cr = (full[:H, :W, k].astype(float) for k in range(3))
            cb, cr = cb - 128, cr - 128
            r, b = yy + 1.402 * cr, yy + 1.772 * cb
            g = (yy - 0.299 * r - 0.114 * b) / 0.587
            return np.clip(np.round(np.stack([r, g, b], -1)), 0, 255).astype(np.uint8)
        case(f"ycbcr_uncompressed_{units[0]}{units[1]}", tol=1)(ycbcr)

    written("jpeg2000_grey", pattern("u1"), compression="jpeg2000", tile=(32, 32), tol=1)
    written("jpeg2000_rgb", rgb8, compression="jpeg2000", tile=(32, 32), compressionargs=dict(level=0), tol=1, fixture=True, **rgb)
    written("jpeg2000_aperio_rgb", rgb8, compression=33005, tile=(32, 32), compressionargs=dict(level=0), tol=1, **rgb)
    written("jpeg2000_16_bits", pattern("u2"), compression="jpeg2000", tile=(32, 32), refused="JPEG 2000")
    for comp, text in [("webp", "WebP"), ("lerc", "LERC"), ("jpegxl", "JPEG XL"), ("jpegxr", "JPEG XR"), ("png", "PNG"), ("lzma", "LZMA")]:
        written(f"refused_{comp}", rgb8, compression=comp, refused=text, **rgb)
    written("refused_complex", pattern("f4").astype(np.complex64), refused="complex")
    case("float_24", refused="24-bit float")(
        lambda p: raw_tiff(p, base(8, 8, 24, 1, 1) | {339: [3]}, [b"\0" * 192]))

    def old_lzw(path):
        raw_tiff(path, base(8, 8, 8, 1, 1, 5), [b"\0\x03" + b"\x11" * 30])
    case("old_style_lzw", refused="old-style LZW")(old_lzw)
    case("old_style_jpeg", refused="old-style JPEG")(lambda p: raw_tiff(p, base(8, 8, 8, 1, 1, 6), [b"\xff\xd8\xff\xd9"]))
    case("raw_camera", refused="raw camera")(lambda p: raw_tiff(p, base(8, 8, 16, 1, 32803), [b"\0" * 128]))
    case("thunderscan", refused="ThunderScan")(lambda p: raw_tiff(p, base(8, 8, 4, 1, 1, 32809), [b"\0" * 32]))

    def cut(path):
        tifffile.imwrite(path, pattern("u2"), metadata=None)
        data = open(path, "rb").read()
        open(path, "wb").write(data[: len(data) - 900])
    case("cut_off_data", refused="truncated")(cut)

    def cut_lzw(path):
        tifffile.imwrite(path, pattern("u2"), metadata=None, compression="lzw", rowsperstrip=64)
        data = open(path, "rb").read()
        open(path, "wb").write(data[: len(data) - 900])
    case("cut_off_lzw", refused="truncated")(cut_lzw)

    def reversed_bits(path):
        values = rng.integers(0, 2, (H, 48), dtype=np.uint8)
        raw_tiff(path, base(48, H, 1, 1, 1) | {266: [2]}, [np.packbits(values, axis=1, bitorder="little").tobytes()])
        return values
    case("fill_order_2", expect=spread(1))(reversed_bits)

    def sparse(path):
        tile = lambda k: bytes([k]) * 256
        raw_tiff(path, base(32, 32, 8, 1, 1) | {322: [16], 323: [16]}, [tile(7), b"", tile(9), tile(3)], tiled=True)
    case("sparse_tiles", warned="leaves out")(sparse)

    def stack(path, how, n=5):
        planes = np.stack([pattern("u2") for _ in range(n)])
        if how == "imagej":
            tifffile.imwrite(path, planes, imagej=True, metadata={"axes": "ZYX"})
        elif how == "truncated":
            tifffile.imwrite(path, planes, truncate=True, photometric="minisblack")
        elif how == "one_ifd":
            text = b"ImageJ=1.54f\nimages=5\nslices=5\nloop=false\n\0"
            raw_tiff(path, base(W, H, 16, 1, 1) | {270: ("s", text)}, [planes.astype("<u2").tobytes()])
            data = bytearray(open(path, "rb").read())
            at = data.index(struct.pack("<HHI", 279, 4, 1)) + 8
            data[at:at + 4] = struct.pack("<I", W * H * 2)
            open(path, "wb").write(data)
        return planes
    for how in ("imagej", "truncated", "one_ifd"):
        case(f"stack_{how}_page_3", page=3)(lambda p, h=how: stack(p, h)[3])

    def metamorph(path):
        planes = np.stack([pattern("u2") for _ in range(4)])
        uic2 = ("R", [(1, 1)] * 4)
        raw_tiff(path, base(W, H, 16, 1, 1) | {33629: uic2}, [planes[0].astype("<u2").tobytes()])
        data = open(path, "rb").read()
        # The first strip must come first, so the directory is moved to the end of all planes.
        raw_tiff(path, base(W, H, 16, 1, 1) | {33629: uic2}, [planes.astype("<u2").tobytes()])
        del data
        return planes[2]
    case("stack_metamorph_page_2", page=2)(metamorph)
    copied = b"ImageJ=1.54f\nimages=9\nslices=9\n\0"
    case("description_of_a_lost_stack", warned="the file holds one")(
        lambda p: raw_tiff(p, base(W, H, 8, 1, 1) | {270: ("s", copied)}, [pattern("u1").tobytes()]))
    written("one_large_strip_i2", pattern("i2", 1, 1500, 1700), fixture=False)
    written("one_large_strip_miniswhite", pattern("u2", 1, 1500, 1700), photometric="miniswhite", expect=lambda a: 65535 - a)
    written("large_strips_u4", pattern("u4", 1, 1500, 1700), rowsperstrip=701)


def network(path, channels, low, high):
    """Writes a network that computes sigmoid((x - middle) * scale); returns scale and middle."""
    scale = 8.0 / max(high - low, 1e-6)
    middle = (low + high) / 2
    weight = np.eye(channels, dtype=np.float32).reshape(channels, channels, 1, 1) * np.float32(scale)
    bias = np.full(channels, -middle * scale, dtype=np.float32)
    sides = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", channels, "h", "w_"])
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w", "b"], ["l"]), helper.make_node("Sigmoid", ["l"], ["p"])],
        "identity", [sides("x")], [sides("p")],
        [onnx.numpy_helper.from_array(weight, "w"), onnx.numpy_helper.from_array(bias, "b")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return scale, middle


def read(unet, folder, path, right, page):
    """What `unet` reads, or None, and its messages."""
    h, w, c = right.shape
    low, high = float(right.min()), float(right.max())
    scale, middle = network(f"{folder}/identity.onnx", c, low, high)
    command = [unet, "segment", "-m", f"{folder}/identity.onnx", path, "-o", f"{folder}/out", "--save", "prob-npy", "--normalise", "none",
               "--device", "cpu", "--page", str(page)]
    if c > 1:
        command += ["--channels", ",".join(map(str, range(c)))]
    out = f"{folder}/out"
    os.makedirs(out, exist_ok=True)
    for name in os.listdir(out):
        os.remove(f"{out}/{name}")
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        return None, done.stderr.strip()
    made = [n for n in os.listdir(out) if n.endswith(".npy")]
    p = np.load(f"{out}/{made[0]}").astype(np.float64).reshape(-1, h, w)
    # With one channel the background's probability may come first.
    p = p[-c:]
    got = np.log(p / (1 - p)) / scale + middle
    return np.moveaxis(got, 0, -1), done.stderr.strip()


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--unet", default="target/debug/unet")
    arguments.add_argument("--fixtures")
    arguments.add_argument("--only", default="")
    arguments.add_argument("--keep")
    options = arguments.parse_args()
    if options.fixtures:
        global H, W
        H, W = 21, 35
    define()
    counts = {"exact": 0, "warned": 0, "refused": 0, "wrong": 0, "not made": 0}
    with tempfile.TemporaryDirectory() as folder:
        folder = options.keep or folder
        os.makedirs(folder, exist_ok=True)
        for c in CASES:
            if options.only not in c["name"]:
                continue
            path = f"{folder}/{c['name'].replace(':', '')}.tif"
            try:
                made = c["write"](path)
            except Exception as e:
                print(f"not made  {c['name']}: {e}")
                counts["not made"] += 1
                continue
            right = np.zeros((1, 1, 1))
            if c["refused"] is None:
                right = made if isinstance(made, np.ndarray) else tifffile.imread(path, key=c["page"])
                right = c["expect"](right) if c["expect"] else right
                right = right.reshape(right.shape[0], right.shape[1], -1)
            if options.fixtures:
                if c["fixture"]:
                    name = f"{options.fixtures}/{c['name']}"
                    os.makedirs(options.fixtures, exist_ok=True)
                    with open(path, "rb") as f, open(f"{name}.tif", "wb") as g:
                        g.write(f.read())
                    kind = right.dtype if right.dtype in (np.uint8, np.uint16) else np.float32
                    np.save(f"{name}.npy", right.astype(kind))
                continue
            got, text = read(options.unet, folder, path, right, c["page"])
            text = re.sub(r"\x1b\[[0-9;]*m", "", text)
            last = text.splitlines()[-1][:160] if text else ""
            if got is None:
                good = c["refused"] is not None and re.search(c["refused"], text)
                word = "refused" if good else "wrong"
                note = last
            elif c["refused"] is not None:
                word, note = "wrong", "read, though it cannot be"
            else:
                range_ = max(float(right.max()) - float(right.min()), 1e-6)
                error = np.abs(got - right.astype(np.float64)).max()
                allowed = max(c["tol"] * (range_ if c["tol"] < 1e-3 else 1), range_ * 3e-6)
                # Integers come back with some rounding.
                allowed += 0.01 if c["tol"] >= 1 else 0
                if right.dtype.kind in "ui" and c["tol"] == 0 and range_ < 1e5:
                    allowed = 0.49
                word, note = ("exact", f"error {error:.3g}") if error <= allowed else ("wrong", f"error {error:.3g} of {range_:.4g}")
                if c["warned"]:
                    word = "warned" if word == "exact" and c["warned"] in text else "wrong"
                    note += f"; {last}"
            counts[word] += 1
            print(f"{word:9} {c['name']}: {note}", flush=True)
    print(", ".join(f"{n} {word}" for word, n in counts.items()))
    return 1 if counts["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
