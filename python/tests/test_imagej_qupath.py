"""The macro for Fiji under ImageJ, and the script for QuPath under a stand-in of its API; results read by roifile and Shapely."""

import csv
import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from conftest import IMAGES, ROOT
from unet_wgpu import read_image

IMAGE = IMAGES[0]
STAND_INS = ROOT / "integrations" / "tests"


@pytest.fixture
def program_path(program):
    return os.path.abspath(os.environ.get("UNET_PROGRAM") or ROOT / "target" / "debug" / "unet")


@pytest.fixture
def expected(program, tmp_path):
    """Labels and table of the program."""

    def run(image, *options):
        out = tmp_path / "expected"
        program("segment", image, "-o", out, "--save", "labels,csv", *options)
        with open(out / f"{image.stem}_objects.csv", newline="") as file:
            return read_image(out / f"{image.stem}_labels.tif"), list(csv.DictReader(file))

    return run


def imagej():
    """The archive of ImageJ: that of IMAGEJ, or Debian's package `imagej`."""
    jar = Path(os.environ.get("IMAGEJ", "/usr/share/java/ij.jar"))
    if not (jar.exists() and shutil.which("java") and shutil.which("xvfb-run")):
        pytest.skip("ImageJ, java or xvfb-run is missing (Debian: imagej, xvfb)")
    return jar


def test_macro(program_path, expected, tmp_path):
    roifile = pytest.importorskip("roifile")
    macro = ROOT / "integrations" / "fiji" / "Segment_with_unet.ijm"
    rois, table = tmp_path / "rois.zip", tmp_path / "table.csv"
    given = "|".join(map(str, [IMAGE, macro, program_path, "--min-area 60", rois, table]))
    command = ["xvfb-run", "-a", "java", "-jar", str(imagej()), "-macro", str(STAND_INS / "drive.ijm"), given]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, stdin=subprocess.DEVNULL)
    assert rois.exists() and table.exists(), done.stdout + done.stderr
    labels, rows = expected(IMAGE, "--min-area", "60")
    found = roifile.roiread(rois)
    assert len(found) == len(rows) == labels.max() > 10
    for roi in found:
        number, name = roi.name.split(" ")
        row = rows[int(number) - 1]
        assert name == row["class"] and roi.stroke_color == b"\xff\xff\xff\x00", "yellow, the first class"
        box = [roi.left, roi.top, roi.right - roi.left, roi.bottom - roi.top]
        assert box == [int(row[c]) for c in ("x", "y", "width", "height")]
    with open(table, newline="") as file:
        shown = list(csv.DictReader(file))
    assert [r["class"] for r in shown] == [r["class"] for r in rows]
    for name in ("area", "centroid_x", "mean_0"):
        np.testing.assert_allclose([float(r[name]) for r in shown], [float(r[name]) for r in rows], atol=6e-4)


def groovy():
    found = shutil.which("groovy")
    if not found:
        pytest.skip("groovy is missing (Debian: groovy)")
    environment = dict(os.environ)
    if not Path(environment.get("JAVA_HOME") or "/usr/lib/jvm/default-java", "bin", "java").exists():
        environment["JAVA_HOME"] = str(Path(os.path.realpath(shutil.which("java") or "java")).parents[1])
    return found, environment


def run_script(program_path, result, *selected, **settings):
    command, environment = groovy()
    script = ROOT / "integrations" / "qupath" / "segment_with_unet.groovy"
    values = [f"-Dunet.{name}={value}" for name, value in {"program": program_path, **settings}.items()]
    arguments = [command, *values, STAND_INS / "qupath_stub.groovy", script, IMAGE, result, *selected]
    return subprocess.run(
        [str(a) for a in arguments], capture_output=True, text=True, timeout=240, env=environment, stdin=subprocess.DEVNULL
    )


def shapes(features):
    shapely = pytest.importorskip("shapely.geometry")
    return [(shapely.shape(f["geometry"]), f["properties"]) for f in features]


def test_script_on_a_whole_image(program_path, expected, tmp_path):
    contains = pytest.importorskip("shapely").contains_xy
    done = run_script(program_path, tmp_path / "q.json")
    assert done.returncode == 0, done.stdout + done.stderr
    labels, rows = expected(IMAGE)
    found = json.loads((tmp_path / "q.json").read_text())
    assert found["children"] == [] and len(found["objects"]) == len(rows) > 10
    y, x = np.mgrid[: labels.shape[0], : labels.shape[1]]
    drawn = np.zeros_like(labels)
    for shape, properties in shapes(found["objects"]):
        number = int(properties["name"])
        assert properties["objectType"] == "detection"
        assert properties["classification"]["name"] == rows[number - 1]["class"]
        assert properties["measurements"]["Area px^2"] == shape.area == int(rows[number - 1]["area"])
        drawn[contains(shape, x + 0.5, y + 0.5)] = number
    np.testing.assert_array_equal(drawn, labels)


def test_script_on_an_annotation(program_path, tmp_path):
    done = run_script(program_path, tmp_path / "q.json", 100, 60, 200, 180)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "q.json").read_text())
    assert found["objects"] == [] and len(found["children"]) > 2
    for shape, _ in shapes(found["children"]):
        left, top, right, bottom = shape.bounds
        assert 100 <= left < right <= 300 and 60 <= top < bottom <= 240
    # Made smaller by half before, outlines lie on even pixels of the image.
    done = run_script(program_path, tmp_path / "half.json", 100, 60, 200, 180, downsample=2)
    assert done.returncode == 0, done.stdout + done.stderr
    half = shapes(json.loads((tmp_path / "half.json").read_text())["children"])
    assert half and all(v % 2 == 0 for shape, _ in half for v in shape.bounds)
    assert all(100 <= s.bounds[0] and s.bounds[2] <= 300 and 60 <= s.bounds[1] and s.bounds[3] <= 240 for s, _ in half)


def test_script_says_what_is_wrong(program_path, tmp_path):
    done = run_script("/nowhere/unet", tmp_path / "q.json")
    assert done.returncode != 0 and "The program '/nowhere/unet' cannot be started" in done.stdout + done.stderr
    done = run_script(program_path, tmp_path / "q.json", model="nuclie")
    assert done.returncode != 0 and "nuclie" in done.stdout + done.stderr
