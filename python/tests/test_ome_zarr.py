"""OME-Zarr: images by other people's writers, and labels as the program writes them."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import unet_wgpu
from conftest import IMAGES
from unet_wgpu import find_images, read_image, result_path, segment

FIXTURES = Path(__file__).resolve().parents[2] / "assets" / "fixtures" / "zarr.zip"


@pytest.fixture
def images(tmp_path):
    with zipfile.ZipFile(FIXTURES) as archive:
        archive.extractall(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["v2_blosclz.zarr", "v3_sharded.zarr"])
def test_an_image_is_the_array_in_it(images, name):
    path = images / name
    array = read_image(path)
    y, x = np.indices(array.shape)
    np.testing.assert_array_equal(array, (x // 4 * 7 + y // 3 * 13) * 3 % 4093)
    # The path has a pixel size, which the model does not use.
    result = segment(path)
    assert result.pixel_size == (0.25, 0.5)
    np.testing.assert_array_equal(result.labels, segment(array).labels)


def test_labels_go_into_the_image(images):
    path = images / "levels_05.zarr"
    result = segment(path)
    result.save(path / "labels" / "cells")
    np.testing.assert_array_equal(read_image(path / "labels" / "cells"), result.labels)
    group = json.loads((path / "labels" / "zarr.json").read_text())
    assert group["attributes"]["ome"]["labels"] == ["cells"]
    with pytest.raises(unet_wgpu.InvalidFileError, match="holds no labels"):
        result.save(path)


@pytest.mark.parametrize("name", ["levels_04.zarr", "levels_05.zarr"])
def test_a_level_is_that_of_the_program(program, images, tmp_path, name):
    path = images / name
    program("segment", path, "--level", "1", "--channels", "0", "-o", tmp_path, "--save", "labels,csv")
    result, whole = segment(path, level=1, channels=[0]), segment(path, channels=[0])
    assert result.labels.shape == read_image(path, level=1).shape[:2] == (21, 27) != whole.labels.shape
    assert result.pixel_size is not None and whole.pixel_size is not None
    np.testing.assert_allclose(result.pixel_size, np.multiply(whole.pixel_size, 2), rtol=0.05)
    for ending in ["_labels.tif", "_objects.csv"]:
        result.save(tmp_path / f"own{ending}")
        assert (tmp_path / f"own{ending}").read_bytes() == (tmp_path / f"{path.stem}{ending}").read_bytes(), ending
    with pytest.raises(unet_wgpu.InvalidFileError, match=r"has levels 0 to 2 \(53x41, 27x21, 14x11\), there is no level 3"):
        segment(path, level=3)


def test_files_are_the_programs(program, tmp_path):
    image = IMAGES[0]
    program("segment", image, "-o", tmp_path, "--save", "labels,ome-zarr,geojson,csv")
    result = segment(image)
    for ending in ["_labels.tif", "_contours.geojson", "_objects.csv", "_labels.ome.zarr"]:
        theirs, own = tmp_path / f"{image.stem}{ending}", tmp_path / f"own{ending}"
        result.save(own)
        if not own.is_dir():
            assert own.read_bytes() == theirs.read_bytes(), ending
            continue
        inside = sorted(p.relative_to(own) for p in own.rglob("*") if p.is_file())
        assert inside == sorted(p.relative_to(theirs) for p in theirs.rglob("*") if p.is_file())
        for file in inside:
            text = (theirs / file).read_bytes().replace(theirs.name.encode(), own.name.encode())
            assert (own / file).read_bytes() == text, file


def test_images_of_a_plate(program, images, tmp_path):
    plate = images / "plate.zarr"
    found = find_images(plate)
    assert found == [plate / field for field in ("A/1/0", "A/1/1", "B/2/0")]
    assert find_images([plate / "A/1", plate / "B/2/0"]) == found
    assert [p for p in find_images(str(images / "plate.z*"))] == found
    program("segment", plate, "-o", tmp_path / "out", "--save", "labels")
    for path in found:
        theirs = result_path(path, "labels", tmp_path / "out")
        np.testing.assert_array_equal(segment(path).labels, read_image(theirs))
    assert len(list((tmp_path / "out").iterdir())) == len(found)
    assert result_path(found[0], "ome-zarr") == found[0] / "labels" / "unet"
    for call in (segment, read_image):
        with pytest.raises(unet_wgpu.InvalidFileError, match=r"holds 3 images; open one of them: A/1/0, A/1/1, B/2/0"):
            call(plate)


def test_what_cannot_be_saved(cells, tmp_path):
    result = segment(cells)
    with pytest.raises(unet_wgpu.InvalidArgumentError, match="does not say what to write"):
        result.save(tmp_path / "a.txt")
    with pytest.raises(unet_wgpu.InvalidArgumentError, match="no kind of file"):
        result.save(tmp_path / "a.tif", kind="mask")
    with pytest.raises(unet_wgpu.NotRequestedError):
        segment(cells, instances=False).save(tmp_path / "a.tif")
