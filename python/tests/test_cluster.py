"""The recipes for clusters in integrations/, run as the cluster would run their commands: three processes on one folder."""

import os
import subprocess

import numpy as np
import pytest
from conftest import ROOT

IMAGES = 7


@pytest.fixture
def images(cells, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for i in range(IMAGES):
        np.save(folder / f"{i}.npy", np.roll(cells, 5 * i, 1))
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def together(commands):
    """Runs commands at the same time; returns what each wrote to stdout."""
    running = [
        subprocess.Popen(c, env={**os.environ, **e}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for c, e in commands
    ]
    outputs = [p.communicate() for p in running]
    for process, (_, stderr) in zip(running, outputs):
        assert process.returncode == 0, stderr
    return [stdout for stdout, _ in outputs]


@pytest.fixture
def program_path(program):
    return os.environ.get("UNET_PROGRAM") or str(ROOT / "target" / "debug" / "unet")


def test_slurm_array(program, program_path, images, tmp_path):
    script = str(ROOT / "integrations" / "slurm" / "segment_folder.sbatch")

    def task(i, **more):
        environment = {
            "UNET": program_path,
            "SLURM_ARRAY_TASK_ID": str(i),
            "SLURM_ARRAY_TASK_COUNT": "3",
            "SLURM_ARRAY_TASK_MIN": "1",
            "SLURM_ARRAY_TASK_MAX": "3",
        }
        return ["bash", script, str(images), str(tmp_path / "out"), "--save", "labels,csv"], {**environment, **more}

    outputs = together([task(i) for i in (1, 2, 3)])
    assert sum(len(o.splitlines()) for o in outputs) == IMAGES, "every image once"
    program("segment", images, "-o", tmp_path / "whole", "--save", "labels,csv")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    # Some parts again: the number of parts cannot be told from the array.
    again = {"SLURM_ARRAY_TASK_COUNT": "1", "SLURM_ARRAY_TASK_MIN": "2", "SLURM_ARRAY_TASK_MAX": "2"}
    command, environment = task(2, **again)
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)
    assert done.returncode == 2 and "set PARTS" in done.stderr
    (tmp_path / "out" / "1_labels.tif").unlink()
    assert len(together([task(2, PARTS="3", **again)])[0].splitlines()) == 1
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_kubernetes_job(program, program_path, images, tmp_path):
    yaml = pytest.importorskip("yaml")
    job = yaml.safe_load((ROOT / "integrations" / "kubernetes" / "segment-folder.yaml").read_text())
    container = job["spec"]["template"]["spec"]["containers"][0]
    environment = {e["name"]: e["value"] for e in container["env"]}
    assert job["spec"]["completionMode"] == "Indexed"
    assert int(environment["PARTS"]) == job["spec"]["completions"]
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "unet").symlink_to(os.path.abspath(program_path))

    def pod(index):
        own = {
            "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
            "PARTS": "3",
            "IMAGES": str(images),
            "RESULTS": str(tmp_path / "out"),
            "JOB_COMPLETION_INDEX": str(index),
        }
        return container["command"] + container["args"], {**environment, **own}

    outputs = together([pod(i) for i in (0, 1, 2)])
    assert sum(len(o.splitlines()) for o in outputs) == IMAGES, "every image once"
    program("segment", images, "-o", tmp_path / "whole")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
