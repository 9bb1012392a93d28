"""The manifest is valid, and every command of it exists."""

import subprocess
import sys
from importlib import resources

from napari.components import ViewerModel
from npe2 import PluginManifest


def test_manifest():
    path = str(resources.files("napari_unet_wgpu") / "napari.yaml")
    done = subprocess.run([sys.executable, "-m", "npe2", "validate", path], capture_output=True, text=True)
    assert done.returncode == 0 and "valid" in done.stdout + done.stderr, done.stdout + done.stderr
    manifest = PluginManifest.from_distribution("napari-unet-wgpu")
    manifest.validate_imports()
    assert [w.display_name for w in manifest.contributions.widgets] == ["Segment", "Train on labels"]


def test_samples_open_as_napari_opens_them():
    manifest = PluginManifest.from_distribution("napari-unet-wgpu")
    for sample in manifest.contributions.sample_data:
        command = next(c for c in manifest.contributions.commands if c.id == sample.command)
        module, _, name = command.python_name.partition(":")
        layers = getattr(__import__(module), name)()
        viewer = ViewerModel()
        for data, options, kind in layers:
            getattr(viewer, f"add_{kind}")(data, **options)
        assert len(viewer.layers) == 1
