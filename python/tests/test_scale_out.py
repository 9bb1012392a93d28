"""integrations/ray and integrations/dask: several workers on a folder, one of which is killed."""

import argparse
import csv
import importlib.util
import os
import signal
import subprocess
import sys
import time
import uuid
import zipfile
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from unet_wgpu import find_images, read_image, result_path

IMAGES = 16


@pytest.fixture
def folder(cells, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for i in range(IMAGES):
        # Large enough that a worker can be caught at work.
        np.save(folder / f"{i:02}.npy", np.roll(np.tile(cells, (4, 4)), 5 * i, 1))
    return folder


def processes(marker, name):
    """The processes with an environment variable, whose command has `name`."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and marker.encode() in (entry / "environ").read_bytes():
                if name.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
        except OSError:
            continue
    return found


def run(script, folder, out, *arguments, name=None):
    """Runs a script; kills one of its workers, whose command has `name`, once there are results."""
    marker = f"UNET_TEST={uuid.uuid4()}"
    key, value = marker.split("=")
    ray = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_memory_monitor_refresh_ms": "0", "RAY_worker_niceness": "0"}
    environment = {**os.environ, key: value, **ray}
    command = [sys.executable, str(ROOT / "integrations" / script), str(folder), str(out), *arguments]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    killed = None
    end = time.monotonic() + 400
    try:
        while name and killed is None and process.poll() is None and time.monotonic() < end:
            # Looking at all processes takes time that the workers need.
            workers = processes(marker, name) if len(list(out.glob("[0-9]*_labels.*"))) >= 2 else []
            if len(workers) >= 3:
                killed = workers[0]
                os.kill(killed, signal.SIGKILL)
            time.sleep(0.2)
        stdout, stderr = process.communicate(timeout=300)
    finally:
        process.kill()
    return process.returncode, stdout, stderr, killed


def check(program, folder, out, whole):
    program("segment", folder, "-o", whole, "--save", "labels,csv")
    for i in range(IMAGES):
        assert read_image(whole / f"{i:02}_labels.tif").max() > 0
        for name in (f"{i:02}_labels.tif", f"{i:02}_objects.csv"):
            assert (out / name).read_bytes() == (whole / name).read_bytes(), name


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_ray(program, folder, tmp_path):
    pytest.importorskip("ray.data")
    out = tmp_path / "out"
    arguments = ["--workers", "3", "--cpus", "0.25"]
    code, _, stderr, killed = run("ray/segment_folder.py", folder, out, *arguments, name="ray::MapWorker")
    assert code == 0, stderr
    assert killed is not None, "the run ended before a worker could be killed"
    with open(out / "summary.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [r["image"] for r in rows] == [f"{i:02}.npy" for i in range(IMAGES)], "every image once"
    assert not any(r["error"] for r in rows)
    check(program, folder, out, tmp_path / "whole")
    # Again: what exists is left out, a bad image is an error of its own.
    (out / "03_labels.tif").unlink()
    (folder / "bad.npy").write_bytes(b"no image")
    code, _, stderr, _ = run("ray/segment_folder.py", folder, out, *arguments)
    assert code == 1 and "error: bad.npy" in stderr and f"{IMAGES - 1} of {IMAGES + 1} images are left out" in stderr, stderr
    assert read_image(out / "03_labels.tif").max() > 0


def script_of(name):
    spec = importlib.util.spec_from_file_location(f"{name}_folder", ROOT / "integrations" / name / "segment_folder.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def test_images_of_plates(tmp_path):
    script = script_of("ray")
    with zipfile.ZipFile(ROOT / "assets" / "fixtures" / "zarr.zip") as archive:
        archive.extractall(tmp_path)
    found = [script.name_of(p, tmp_path) for p in find_images(tmp_path) if "v2" not in str(p) and "v3" not in str(p)]
    assert found == ["levels_04.zarr", "levels_05.zarr", "plate_A_1_0", "plate_A_1_1", "plate_B_2_0"]


def test_files_of_dask_are_the_programs(program, tmp_path):
    """What a worker does, without a cluster."""
    script = script_of("dask")
    with zipfile.ZipFile(ROOT / "assets" / "fixtures" / "zarr.zip") as archive:
        archive.extractall(tmp_path)
    plate, out, whole = tmp_path / "plate.zarr", tmp_path / "out", tmp_path / "whole"
    program("segment", plate, "-o", whole, "--save", ",".join(script.KINDS))
    for path in find_images(plate):
        targets = {kind: str(result_path(path, kind, out)) for kind in script.KINDS}
        assert script.segment(str(path), targets, "nuclei", "auto")[::2] == (str(path), "")
    files = sorted(p.relative_to(whole) for p in whole.rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(out) for p in out.rglob("*") if p.is_file()) and len(files) > 3 * len(script.KINDS)
    for name in files:
        assert (out / name).read_bytes() == (whole / name).read_bytes(), name
    (tmp_path / "bad.png").write_bytes(b"no image")
    assert "not an image" in script.segment(str(tmp_path / "bad.png"), {}, "nuclei", "auto")[2]
    assert script.kinds("labels,csv,labels") == ["labels", "csv"]
    with pytest.raises(argparse.ArgumentTypeError, match="'mask' is none of labels, ome-zarr"):
        script.kinds("labels,mask")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_dask(program, folder, tmp_path):
    pytest.importorskip("distributed")
    out = tmp_path / "out"
    arguments = ["--workers", "3", "--save", "csv,labels"]
    code, stdout, stderr, killed = run("dask/segment_folder.py", folder, out, *arguments, name="spawn_main")
    assert code == 0, stderr
    assert killed is not None, "the run ended before a worker could be killed"
    assert sorted(stdout.split()[0::3]) == [f"{i:02}.npy:" for i in range(IMAGES)], "every image once"
    check(program, folder, out, tmp_path / "whole")
