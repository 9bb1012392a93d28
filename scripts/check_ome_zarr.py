"""Checks OME-Zarr with ome-zarr and zarr-python; see check_ome_zarr.sh."""

import os
import pathlib
import subprocess
import sys
import tempfile
import warnings

import numcodecs
import numpy as np
import ome_zarr.format
import ome_zarr.writer
import ome_zarr_models.v04
import ome_zarr_models.v05
import tifffile
import zarr
from ome_zarr.io import parse_url
from ome_zarr.reader import Label, Multiscales, Reader

UNET = os.environ["UNET"]
DEVICE = os.environ.get("DEVICE", "auto")
FORMATS = {"0.4": ome_zarr.format.FormatV04, "0.5": ome_zarr.format.FormatV05}
SCALE = 0.5  # micrometres


def discs(size, seed):
    """Bright discs on a dark ground, uint16."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]]
    image = rng.normal(300, 20, size)
    for _ in range(size[0] * size[1] // 4000):
        cy, cx, r = rng.integers(size[0]), rng.integers(size[1]), rng.integers(8, 16)
        image = np.where((x - cx) ** 2 + (y - cy) ** 2 < r * r, 3000 + image, image)
    return image.clip(0, 65535).astype(np.uint16)


def write_image(folder, version, axes, pixels, **storage):
    form = FORMATS[version]()
    group = zarr.open_group(str(folder), mode="w", zarr_format=form.zarr_format)
    levels = [pixels[..., ::f, ::f] for f in (1, 2, 4)]
    kinds = {"t": "time", "c": "channel"}
    described = [{"name": a, "type": kinds.get(a, "space"), **({"unit": "micrometer"} if a in "zyx" else {})} for a in axes]
    scale = lambda f: [{"type": "scale", "scale": [SCALE * f if a in "yx" else 1.0 for a in axes]}]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ome_zarr.writer.write_multiscale(
            levels, group, fmt=form, axes=described, coordinate_transformations=[scale(f) for f in (1, 2, 4)], storage_options=storage
        )


def unet(*args):
    done = subprocess.run([UNET, *map(str, args)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def validate(folder, version, label):
    models = {"0.4": ome_zarr_models.v04, "0.5": ome_zarr_models.v05}[version]
    kind = models.ImageLabel if label else models.Image
    return kind.from_zarr(zarr.open_group(str(folder), mode="r"))


def opened(folder):
    """The nodes that ome_zarr.reader, and so napari-ome-zarr, finds."""
    return list(Reader(parse_url(str(folder), mode="r"))())


def main():
    work = pathlib.Path(tempfile.mkdtemp())
    size, count = (530, 700), 0
    image = discs(size, 1)
    tifffile.imwrite(work / "plain.tif", image, resolution=(1e4 / SCALE, 1e4 / SCALE), resolutionunit="CENTIMETER")
    unet("segment", work / "plain.tif", "--save", "labels", "--device", DEVICE, "-o", work / "tif")
    expected = tifffile.imread(work / "tif" / "plain_labels.tif")
    assert expected.max() > 20
    storages = {
        "0.4": [{"chunks": (1, 256, 256)}, {"chunks": (1, 64, 200), "compressor": numcodecs.Zstd(3)}],
        "0.5": [{"chunks": (1, 256, 256)}, {"chunks": (1, 64, 64), "shards": (1, 256, 256)}],
    }
    for version, options in storages.items():
        for number, storage in enumerate(options):
            folder = work / f"v{version}_{number}.ome.zarr"
            write_image(folder, version, "cyx", image[None], **storage)
            before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
            unet("segment", folder, "--save", "ome-zarr,labels", "--device", DEVICE)
            assert all(p.read_bytes() == b for p, b in before.items()), "the image has changed"
            beside = tifffile.imread(work / f"v{version}_{number}.ome_labels.tif")
            assert (beside == expected).all(), "labels of the OME-Zarr are not those of the TIFF"
            labels = folder / "labels" / "unet"
            validate(folder, version, False)
            validate(labels, version, True)
            nodes = [n for n in opened(folder) if n.load(Label)]
            assert len(nodes) == 1, opened(folder)
            node = nodes[0]
            assert node.metadata["name"] == "unet" or node.zarr.basename() == "unet", node.metadata
            assert node.load(Multiscales) and len(node.data) == 3
            for level, data in enumerate(node.data):
                step = 1 << level
                assert (np.asarray(data) == expected[::step, ::step]).all(), f"level {level}"
                scale = node.metadata["coordinateTransformations"][level][0]["scale"]
                assert scale == [SCALE * step] * 2, scale
            # As an image by itself.
            assert any(n.load(Label) for n in opened(labels))
            count += 1
    # A stack: each plane has its labels.
    stack = np.stack([discs((150, 170), s) for s in (2, 3)])
    write_image(work / "stack.ome.zarr", "0.4", "zyx", stack)
    unet("segment", work / "stack.ome.zarr", "--page", "all", "--save", "ome-zarr", "--device", DEVICE)
    listed = zarr.open_group(str(work / "stack.ome.zarr" / "labels"), mode="r").attrs["labels"]
    assert listed == ["unet_page0", "unet_page1"], listed
    for plane, name in enumerate(listed):
        data = zarr.open_array(str(work / "stack.ome.zarr" / "labels" / name / "0"), mode="r")[:]
        assert data.shape == stack.shape and data[plane].any() and not data[1 - plane].any()
    # And all planes in one: those of the single pages.
    for version in storages:
        folder = work / f"together{version}.ome.zarr"
        write_image(folder, version, "zyx", stack)
        unet("segment", folder, "--page", "stack", "--save", "ome-zarr,labels", "--device", DEVICE)
        labels = folder / "labels" / "unet"
        validate(labels, version, True)
        (node,) = [n for n in opened(folder) if n.load(Label)]
        assert len(node.data) == 3 and node.data[0].shape == stack.shape
        pages = tifffile.imread(work / f"together{version}.ome_labels.tif")
        for plane, name in enumerate(listed):
            alone = zarr.open_array(str(work / "stack.ome.zarr" / "labels" / name / "0"), mode="r")[plane]
            assert alone.any() and (pages[plane] == alone).all()
            for level, data in enumerate(node.data):
                assert (np.asarray(data)[plane] == alone[:: 1 << level, :: 1 << level]).all(), (version, plane, level)
    # Beside a TIFF.
    unet("segment", work / "plain.tif", "--save", "ome-zarr", "--device", DEVICE)
    folder = work / "plain_labels.ome.zarr"
    validate(folder, "0.4", True)
    node = next(n for n in opened(folder) if n.load(Label))
    assert (np.asarray(node.data[0]) == expected).all() and len(node.data) == 2
    print(f"{count} images of versions {', '.join(storages)}, stacks and a TIFF: ome-zarr reads {expected.max()} instances as the program wrote them")
    return 0


if __name__ == "__main__":
    sys.exit(main())
