"""The program and the demo images that the package is compared with."""

import json
import os
import subprocess
import tempfile
from pathlib import Path

import pytest

# The same for the program and the package, and not the user's. Set before the package opens a device.
_CACHE = tempfile.TemporaryDirectory(prefix="unet-wgpu-cache-")
os.environ["UNET_CACHE_DIR"] = _CACHE.name

ROOT = Path(__file__).resolve().parents[2]
IMAGES = sorted((ROOT / "assets" / "images").glob("*.png"))


@pytest.fixture(scope="session")
def program():
    """Runs the program `unet`, that of UNET_PROGRAM or of a debug build; returns its document, or list of lines, of JSON."""
    path = Path(os.environ.get("UNET_PROGRAM") or ROOT / "target" / "debug" / "unet")
    if not path.exists():
        pytest.skip(f"{path} is not built")

    def run(*arguments):
        command = [str(path), *map(str, arguments), "--json", "-q"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        try:
            return json.loads(done.stdout)
        except json.JSONDecodeError:
            return [json.loads(line) for line in done.stdout.splitlines()]

    return run


@pytest.fixture(params=IMAGES, ids=lambda p: p.stem)
def demo(request):
    """The path of a demo image."""
    return request.param


@pytest.fixture(scope="session")
def cells():
    """A small uint16 image of touching discs, from a fixed seed."""
    import numpy as np

    rng = np.random.default_rng(7)
    y, x = np.mgrid[:96, :128]
    image = rng.normal(300, 20, (96, 128))
    for cy, cx, r in [(20, 20, 9), (30, 36, 9), (60, 30, 12), (50, 90, 10), (66, 100, 11), (20, 100, 6)]:
        image += 2000 * ((y - cy) ** 2 + (x - cx) ** 2 < r * r)
    return image.round().astype(np.uint16)


def read_safetensors(path):
    """The tensors of a safetensors file and its metadata."""
    import numpy as np

    raw = Path(path).read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:start])
    metadata = header.pop("__metadata__", {})
    types = {"F32": np.float32, "I64": np.int64}
    tensors = {
        name: np.frombuffer(raw, types[t["dtype"]], offset=start + t["data_offsets"][0], count=int(np.prod(t["shape"])))
        .reshape(t["shape"])
        for name, t in header.items()
    }
    return tensors, metadata


def write_safetensors(path, tensors, metadata):
    """A safetensors file of f32 tensors."""
    header, offset = {"__metadata__": metadata}, 0
    for name, t in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(t.shape), "data_offsets": [offset, offset + t.nbytes]}
        offset += t.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    Path(path).write_bytes(len(text).to_bytes(8, "little") + text + b"".join(t.tobytes() for t in tensors.values()))


@pytest.fixture(scope="session")
def two_classes(tmp_path_factory):
    """The path of a U-Net++ of two classes: `nuclei-unet++` with the foreground alone, without geometry."""
    from unet_wgpu import Model

    folder = tmp_path_factory.mktemp("two_classes")
    path = folder / "two_classes.safetensors"
    Model.open("nuclei-unet++").convert(path)
    tensors, metadata = read_safetensors(path)
    heads = {name: t[:1] for name, t in tensors.items() if name.startswith("head.")}
    about = json.loads(metadata["unet"])
    about.pop("target", None)
    about["config"].update(out_channels=1, deep_supervision=True)
    about["instances"] = {"method": "watershed", "min_area": 20, "fill_holes": True}
    write_safetensors(path, {**tensors, **heads}, {"unet": json.dumps(about)})
    return path
