"""Headless tests: the viewer is napari's model of one, without a window, which needs no OpenGL."""

import os
import tempfile

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
# Not the user's caches.
_CACHE = tempfile.TemporaryDirectory(prefix="unet-wgpu-cache-")
os.environ["UNET_CACHE_DIR"] = _CACHE.name

import pytest  # noqa: E402


@pytest.fixture
def viewer():
    from napari.components import ViewerModel

    return ViewerModel()


@pytest.fixture
def open_sample(viewer):
    """Adds a sample to the viewer, as File > Open Sample does; returns its layer."""

    def add(sample):
        (data, options, kind), *_ = sample()
        assert kind == "image"
        return viewer.add_image(data, **options)

    return add
