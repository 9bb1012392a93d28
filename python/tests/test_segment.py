"""Results: those of the program, whatever the array."""

import csv
import io

import numpy as np
import pytest
import unet_wgpu
from conftest import IMAGES
from unet_wgpu import read_image, segment


def test_labels_and_table_are_the_programs(program, demo, tmp_path):
    program("segment", demo, "-o", tmp_path, "--save", "labels,csv")
    expected = read_image(tmp_path / f"{demo.stem}_labels.tif")
    result = segment(demo)
    assert result.labels.dtype == np.int32 and result.count > 10
    np.testing.assert_array_equal(result.labels, expected)
    np.testing.assert_array_equal(segment(read_image(demo)).labels, expected)

    table = result.table()
    rows = list(csv.DictReader(io.StringIO((tmp_path / f"{demo.stem}_objects.csv").read_text())))
    assert [c for c in table if c != "class_id"] == list(rows[0])
    assert table["class"].tolist() == [r["class"] for r in rows]
    for name in [c for c in table if c not in ("class", "class_id")]:
        # The program writes at least three decimals.
        np.testing.assert_allclose(table[name], [float(r[name]) for r in rows], atol=6e-4, rtol=1e-6)


@pytest.mark.parametrize("options", [{"tta": "flips"}, {"exact": True, "tile": 320}, {"instances": {"min_area": 200}}])
def test_options_are_the_programs(program, tmp_path, options):
    demo = IMAGES[0]
    arguments = {
        "tta": ["--tta", "flips"],
        "exact": ["--exact", "--tile", "320"],
        "instances": ["--min-area", "200"],
    }[next(iter(options))]
    program("segment", demo, "-o", tmp_path, "--save", "labels", *arguments)
    expected = read_image(tmp_path / f"{demo.stem}_labels.tif")
    np.testing.assert_array_equal(segment(demo, **options).labels, expected)


def test_labels_follow_scikit_image(cells):
    result = segment(cells)
    labels, mask = result.labels, result.mask
    assert labels.shape == mask.shape == cells.shape and mask.dtype == np.uint8
    assert result.classes == ["background", "nucleus"] and result.count == 6
    numbers, first = np.unique(labels, return_index=True)
    assert numbers.tolist() == list(range(7))
    assert (np.diff(first[1:]) > 0).all(), "numbered in the order of first pixels"
    table = result.table()
    assert table["area"].tolist() == np.bincount(labels.ravel())[1:].tolist()
    means = np.bincount(labels.ravel(), weights=cells.ravel())[1:] / table["area"]
    np.testing.assert_allclose(table["mean_0"], means, rtol=1e-12)


def test_regionprops_agrees(cells):
    measure = pytest.importorskip("skimage.measure")
    result = segment(cells)
    props = measure.regionprops_table(result.labels, properties=("label", "area", "centroid", "eccentricity"))
    table = result.table()
    np.testing.assert_array_equal(props["label"], table["label"])
    np.testing.assert_array_equal(props["area"], table["area"])
    np.testing.assert_allclose(props["centroid-0"], table["centroid_y"])
    np.testing.assert_allclose(props["eccentricity"], table["eccentricity"], atol=1e-6)


@pytest.mark.parametrize("dtype", ["int16", "int32", "int64", "uint32", "uint64", "float64", ">f4", ">i2", "float16"])
def test_other_numbers_are_float32(cells, dtype):
    # float16 has 11 bits: values that fit.
    image = (cells // 4 * 4 if dtype == "float16" else cells).clip(0, 2**11 if dtype == "float16" else None)
    expected = segment(image.astype(np.float32)).labels
    np.testing.assert_array_equal(segment(image.astype(dtype)).labels, expected)


def test_bytes_and_words_are_integers(cells):
    image = (cells // 16).astype(np.uint8)
    expected = segment(image).labels
    assert expected.max() == 6
    np.testing.assert_array_equal(segment(image.astype(np.uint16)).labels, expected)
    np.testing.assert_array_equal(segment(image.astype(">u2")).labels, expected)
    # As image files of one bit per pixel.
    binary = image > 100
    np.testing.assert_array_equal(segment(binary).labels, segment(binary.astype(np.uint8) * 255).labels)


def misaligned(image):
    raw = np.empty(image.nbytes + 1, np.uint8)
    view = raw[1:].view(image.dtype).reshape(image.shape)
    view[...] = image
    return view


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a.T,
        lambda a: a[::2, ::-1],
        lambda a: np.asfortranarray(a),
        lambda a: np.broadcast_to(a, (2, *a.shape))[1],
        lambda a: np.stack([a, a], -1)[..., 1],
        lambda a: a[:, :, None],
        lambda a: a.astype(">u2"),
        misaligned,
    ],
    ids=["transposed", "sliced", "fortran", "broadcast", "interleaved", "one channel", "big-endian", "misaligned"],
)
def test_strides_do_not_matter(cells, view):
    image = view(cells)
    plain = np.array(image.reshape(image.shape[:2]), dtype=cells.dtype, order="C")
    np.testing.assert_array_equal(segment(image).labels, segment(plain).labels)


def test_the_image_is_left_alone(cells):
    image = cells.copy()
    image.flags.writeable = False
    result = segment(image)
    np.testing.assert_array_equal(image, cells)
    result.labels[0, 0] = 5  # a result belongs to its caller


def test_channels(cells):
    other = np.full_like(cells, 100)
    image = np.stack([other, cells], -1)
    np.testing.assert_array_equal(segment(image, channels=[1]).labels, segment(cells).labels)
    with pytest.raises(unet_wgpu.InvalidArgumentError, match=r"channels=\[0\]") as caught:
        segment(image)
    assert "has 2 channels" in str(caught.value)
    grey = segment(np.stack([cells] * 3, -1))
    np.testing.assert_array_equal(grey.labels, segment(cells).labels)
    colour = segment(np.stack([cells, other, other], -1))
    assert "grey by luminance" in colour.notes[0]
    table = segment(np.stack([cells] * 3, -1)).table()
    assert "mean_2" in table


def test_probability(cells):
    result = segment(cells, probability=True)
    assert result.probability.dtype == np.float32 and result.probability.shape == (1, *cells.shape)
    np.testing.assert_array_equal(result.probability[0] > 0.5, result.mask)
    assert 0 <= result.probability.min() and result.probability.max() <= 1
    with pytest.raises(unet_wgpu.NotRequestedError, match="probability=True"):
        segment(cells).probability


def test_instances_can_be_left_out(cells):
    result = segment(cells, instances=False)
    assert result.mask.any() and "instances" not in repr(result).split(",")[0]
    for read in [lambda: result.labels, lambda: result.table(), lambda: result.count]:
        with pytest.raises(unet_wgpu.NotRequestedError, match="instances=False"):
            read()


def test_methods_of_instances(cells, two_classes):
    whole = segment(cells, instances="components").count
    assert whole < segment(cells, instances="watershed").count
    with pytest.raises(ValueError, match="min_size.* is not one of its keys"):
        segment(cells, instances={"min_size": 3})
    with pytest.raises(ValueError, match="offsets.* needs a network that predicts"):
        segment(cells, two_classes, instances="offsets")
    assert segment(cells, instances={"min_area": np.int64(300)}).table()["area"].min() >= 300


def test_memory_and_tiles(cells):
    big = np.tile(cells, (4, 4))
    whole = segment(big, exact=True)
    tiled = segment(big, exact=True, tile=256)
    assert whole.tiles != tiled.tiles and max(tiled.tile) <= 256
    np.testing.assert_array_equal(whole.labels, tiled.labels)
    assert segment(big, memory="64M").count == whole.count
    with pytest.raises(MemoryError) as caught:
        segment(big, memory="1M")
    assert isinstance(caught.value, unet_wgpu.LimitError) and caught.value.limit


class Interface:
    def __init__(self, array):
        self.kept = array
        self.__array_interface__ = array.__array_interface__


class Dlpack:
    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


@pytest.mark.parametrize("wrap", [Interface, Dlpack, memoryview, lambda a: a.tolist()])
def test_array_protocols(cells, wrap):
    # A list of Python's integers becomes int64, and that float32.
    expected = segment(cells.astype(np.float32) if wrap not in (Interface, Dlpack, memoryview) else cells)
    np.testing.assert_array_equal(segment(wrap(cells)).labels, expected.labels)


def test_results_share_memory_by_dlpack(cells):
    labels = segment(cells).labels
    assert np.shares_memory(np.from_dlpack(labels), labels)


def test_xarray(cells):
    xarray = pytest.importorskip("xarray")
    coords = {"y": np.arange(96) * 0.5, "x": np.arange(128) * 0.25}
    image = xarray.DataArray(cells[None], dims=("c", "y", "x"), coords=coords)
    result = segment(image).to_xarray()
    assert result["labels"].dims == ("y", "x") and float(result["x"][-1]) == 127 * 0.25
    np.testing.assert_array_equal(result["labels"], segment(cells).labels)
    assert segment(cells).to_xarray()["mask"].dims == ("y", "x")


def test_scale(program, cells, tmp_path):
    np.save(tmp_path / "cells.npy", cells)
    program("segment", tmp_path / "cells.npy", "-o", tmp_path, "--save", "labels,csv", "--scale", "0.75")
    result = segment(cells, scale=0.75)
    assert result.scale == (0.75, 0.75) and result.labels.shape == cells.shape
    np.testing.assert_array_equal(result.labels, read_image(tmp_path / "cells_labels.tif"))
    assert len(result.table()["label"]) == result.count > 0


def test_pixel_size_of_an_array(cells):
    table = segment(cells, pixel_size=(0.5, 0.25)).table()
    np.testing.assert_allclose(table["area_um2"], table["area"] * 0.125)
    assert segment(cells, pixel_size=0.5).pixel_size == (0.5, 0.5)
    with pytest.raises(ValueError, match="pixel_size: -1 is not above 0"):
        segment(cells, pixel_size=-1)


def test_a_file_with_a_pixel_size(program, cells, tmp_path):
    # The program's own label image carries the calibration on.
    path = tmp_path / "cells.npy"
    np.save(path, cells)
    program("segment", path, "-o", tmp_path, "--save", "labels", "--pixel-size", "0.5x0.25")
    result = segment(tmp_path / "cells_labels.tif", "nuclei")
    assert result.pixel_size == pytest.approx((0.5, 0.25))
    table = result.table()
    np.testing.assert_allclose(table["area_um2"], table["area"] * 0.125)
    np.testing.assert_allclose(table["height_um"], table["height"] * 0.25)
