#!/usr/bin/env python3
"""Writes assets/fixtures/reading.zip: small images of all orientations and kinds of channels, and their pixels as Pillow,
tifffile and scikit-image read them. Needs numpy, Pillow, tifffile, imagecodecs, scikit-image."""

import io
import json
import struct
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image, ImageOps
from skimage.color import rgb2gray

OUT = Path(sys.argv[1] if len(sys.argv) > 1 else "assets/fixtures/reading.zip")
rng = np.random.default_rng(7)
files, expected = {}, {}


def right(name, array):
    array = np.ascontiguousarray(array)
    expected[name] = {
        "height": array.shape[0],
        "width": array.shape[1],
        "channels": 1 if array.ndim == 2 else array.shape[2],
        "pixels": array.flatten().tolist(),
    }


def saved(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def exif(tag):
    data = Image.Exif()
    data[0x0112] = tag
    return data


def xmp(tag):
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="%d"/></rdf:RDF></x:xmpmeta>' % tag
    ).encode()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def before(png, kind, new):
    at = png.index(kind) - 4
    return png[:at] + new + png[at:]


def oriented(array, tag):
    """Applies tag 274 of the TIFF specification: where row 0 and column 0 are."""
    return {
        1: array,
        2: array[:, ::-1],
        3: array[::-1, ::-1],
        4: array[::-1],
        5: array.swapaxes(0, 1),
        6: array[::-1].swapaxes(0, 1),
        7: array[::-1, ::-1].swapaxes(0, 1),
        8: array[:, ::-1].swapaxes(0, 1),
    }[tag]


grey = rng.integers(0, 255, (5, 9), np.uint8)
rgb = rng.integers(0, 255, (5, 9, 3), np.uint8)
# Smooth, so that JPEG decoders agree.
smooth = np.add.outer(np.arange(16) * 6, np.arange(24) * 4).astype(np.uint8)
large = rng.integers(0, 60000, (37, 51), np.uint16)
for tag in range(1, 9):
    image = Image.fromarray(rgb)
    plain = saved(image, "PNG")
    raw = exif(tag).tobytes()
    blob = raw[6:] if raw.startswith(b"Exif\0\0") else raw
    profile = b"\nexif\n%8d\n" % len(raw) + b"\n".join(
        raw.hex().encode()[i : i + 72] for i in range(0, 2 * len(raw), 72)
    ) + b"\n"
    of_format = {
        f"exif{tag}.png": saved(image, "PNG", exif=exif(tag)),
        f"exif_at_end{tag}.png": before(plain, b"IEND", chunk(b"eXIf", blob)),
        f"profile{tag}.png": before(
            plain, b"IDAT", chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(profile))
        ),
        f"xmp{tag}.png": before(plain, b"IDAT", chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(tag))),
        f"exif{tag}.webp": saved(image, "WEBP", lossless=True, exif=exif(tag)),
        f"xmp{tag}.webp": saved(image, "WEBP", lossless=True, xmp=xmp(tag)),
        f"exif{tag}.jpg": saved(Image.fromarray(smooth), "JPEG", quality=100, exif=exif(tag)),
        f"xmp{tag}.jpg": saved(Image.fromarray(smooth), "JPEG", quality=100, xmp=xmp(tag)),
    }
    for name, data in of_format.items():
        files[name] = data
        right(name, np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data)))))
        assert (expected[name]["width"] > expected[name]["height"]) == (tag < 5), name
    for name, array, options in [
        (f"strips{tag}.tif", rgb, {"rowsperstrip": 2, "compression": "zlib", "photometric": "rgb"}),
        (f"tiles{tag}.tif", large, {"tile": (16, 32), "compression": "zlib", "photometric": "minisblack"}),
        (f"plain{tag}.tif", grey, {"photometric": "minisblack"}),
    ]:
        out = io.BytesIO()
        tifffile.imwrite(out, array, extratags=[(274, "H", 1, tag, True)], metadata=None, **options)
        files[name] = out.getvalue()
        right(name, oriented(tifffile.imread(io.BytesIO(files[name])), tag))


def tiff(name, array, **options):
    out = io.BytesIO()
    tifffile.imwrite(out, array, **options)
    files[name] = out.getvalue()


def last(array):
    return np.moveaxis(array, 0, -1)


dyes = rng.integers(0, 65535, (3, 6, 8), np.uint16)
tiff("dyes_imagej.tif", dyes, imagej=True, metadata={"axes": "CYX", "mode": "composite", "Labels": ["DAPI", "GFP", "Cy5"]})
right("dyes_imagej.tif", last(dyes))
tiff("dyes_unnamed.tif", dyes, imagej=True, metadata={"axes": "CYX", "mode": "composite"})
right("dyes_unnamed.tif", last(dyes))
tiff("dyes.ome.tif", dyes, metadata={"axes": "CYX", "Channel": {"Name": ["nuclei", "actin", "tubulin"]}}, ome=True,
     photometric="minisblack")
right("dyes.ome.tif", last(dyes))
tiff("bands_contig.tif", last(dyes[:, :5]), photometric="minisblack", planarconfig="contig", metadata=None)
right("bands_contig.tif", last(dyes[:, :5]))
pages = rng.integers(0, 255, (12, 6, 8), np.uint8)
tiff("pages12.tif", pages, photometric="minisblack")
right("pages12.tif", last(pages))
four = rng.integers(0, 65535, (6, 8, 4), np.uint16)
tiff("rgb_nir.tif", four, photometric="rgb", extrasamples=["unspecified"])
right("rgb_nir.tif", four)
tiff("rgba.tif", four, photometric="rgb", extrasamples=["unassalpha"])
right("rgba.tif", four)
tiff("grey_alpha.tif", four[:, :, :2], photometric="minisblack", planarconfig="contig", extrasamples=["unassalpha"])
right("grey_alpha.tif", four[:, :, :2])
small = (four >> 8).astype(np.uint8)
files["rgba.png"] = saved(Image.fromarray(small), "PNG")
right("rgba.png", small)
opaque = small.copy()
opaque[:, :, 3] = 255
files["opaque.png"] = saved(Image.fromarray(opaque), "PNG")
right("opaque.png", opaque)
files["grey_alpha.png"] = saved(Image.fromarray(small[:, :, :2]), "PNG")
right("grey_alpha.png", small[:, :, :2])
tiff("dyes_shaped.tif", dyes, photometric="minisblack", metadata={"axes": "CYX"})
right("dyes_shaped.tif", last(dyes))
# Zeiss LSM files are recognised by tag 34412, and call three dyes RGB.
tiff("dyes_lsm.tif", dyes, photometric="rgb", planarconfig="separate", metadata=None,
     extratags=[(34412, "B", 4, bytes(4), True)])
right("dyes_lsm.tif", last(dyes))
# Colours converted to grey by scikit-image: values from 0 to 1 times the type's largest value, not rounded.
expected["luminance rgba.png"] = (rgb2gray(small[:, :, :3]) * 255).flatten().tolist()
expected["luminance rgba.tif"] = (rgb2gray(four[:, :, :3]) * 65535).flatten().tolist()

OUT.parent.mkdir(parents=True, exist_ok=True)
with zipfile.ZipFile(OUT, "w", zipfile.ZIP_DEFLATED) as out:
    for name, data in [*files.items(), ("expected.json", json.dumps(expected).encode())]:
        info = zipfile.ZipInfo(name)
        info.compress_type = zipfile.ZIP_DEFLATED
        out.writestr(info, data)
print(OUT, OUT.stat().st_size, len(files))
