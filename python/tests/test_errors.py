"""Every failure is a typed exception that names the thing, in Python's words."""

import re

import numpy as np
import pytest
import unet_wgpu
from conftest import IMAGES
from unet_wgpu import Model, segment

IMAGE = np.zeros((32, 32), np.uint8)


def nan():
    image = np.ones((32, 32), np.float32)
    image[3, 5] = np.nan
    return image


CASES = {
    "complex": (lambda: segment(IMAGE.astype(complex)), TypeError, "dtype complex128 holds no samples"),
    "object": (lambda: segment(IMAGE.astype(object)), TypeError, "dtype object holds no samples"),
    "text": (lambda: segment(np.array([["a"]])), TypeError, "dtype <U1 holds no samples"),
    "dates": (lambda: segment(IMAGE.astype("M8[s]")), TypeError, "dtype datetime64"),
    "records": (lambda: segment(np.zeros((4, 4), [("a", "u1")])), TypeError, "holds no samples"),
    "no array": (lambda: segment(3), unet_wgpu.ImageTypeError, "image: int is neither an array nor a path"),
    "nothing": (lambda: segment(None), TypeError, "NoneType is neither"),
    "ragged": (lambda: segment([[1], [2, 3]]), TypeError, "the list is not an array"),
    "1-d": (lambda: segment(IMAGE[0]), unet_wgpu.ImageShapeError, r"shape \(32,\) is not \(H, W\) or"),
    "4-d": (lambda: segment(IMAGE[None, None]), ValueError, r"shape \(1, 1, 32, 32\) is not \(H, W\) or"),
    "empty": (lambda: segment(IMAGE[:0]), ValueError, r"shape \(0, 32\) has no pixels"),
    "channels first": (lambda: segment(np.zeros((3, 64, 64))), ValueError, r"np\.moveaxis\(image, 0, -1\)"),
    "NaN": (lambda: segment(nan()), ValueError, "column 5, row 3 is NaN; fill_nan= replaces"),
    "too large": (lambda: segment(np.full((8, 8), 1e300)), ValueError, "column 0, row 0 is inf"),
    "no channel": (lambda: segment(IMAGE, channels=[2]), ValueError, "there is no channel 2"),
    "no channels": (lambda: segment(IMAGE, channels=[]), ValueError, "the list is empty"),
    "no file": (lambda: segment("nowhere/x.png"), FileNotFoundError, "nowhere/x.png"),
    "no model": (lambda: segment(IMAGE, "nuclie"), ValueError, r"model `nuclie`: .*nuclei-unet\+\+"),
    "no model file": (lambda: Model.open("nowhere/x.pth"), FileNotFoundError, "nowhere/x.pth: no such file"),
    "model type": (lambda: segment(IMAGE, 3), ValueError, "model: int is neither a Model nor a name"),
    "setting": (lambda: Model.open("nuclei", settings={"width": 3}), ValueError, "width"),
    "no device": (lambda: segment(IMAGE, device="GTX 9000"), unet_wgpu.DeviceNotFoundError, "unknown device `GTX 9000`"),
    "precision": (lambda: segment(IMAGE, precision="f8"), ValueError, "precision `f8`: is not one of f32, f16, auto"),
    "tta": (lambda: segment(IMAGE, tta="all"), ValueError, "`all` is not one of none, flips, d4"),
    "blend": (lambda: segment(IMAGE, blend="x"), ValueError, "`x` is not one of exact, gaussian"),
    "normalise": (lambda: segment(IMAGE, normalise="x"), ValueError, "normalise `x`"),
    "memory": (lambda: segment(IMAGE, memory="2 apples"), ValueError, "'2 apples' is not a size"),
    "no memory": (lambda: segment(IMAGE, memory=0), ValueError, "0 is not a number of bytes above 0"),
    "scale": (lambda: segment(IMAGE, scale=100), ValueError, "scale: 100 is not from 1/16 to 16"),
    "two scales": (lambda: segment(IMAGE, scale=1, diameter=3), ValueError, "scale: excludes diameter"),
    "diameter": (lambda: segment(IMAGE, diameter="big"), ValueError, "diameter: 'big' is not a number"),
    "tile": (lambda: segment(IMAGE, tile=0), ValueError, "tile: 0 is not a whole number from 1 on"),
    "tile type": (lambda: segment(IMAGE, tile="x"), ValueError, "tile: 'x' is not a whole number"),
    "negative channel": (lambda: segment(IMAGE, channels=[-1]), ValueError, "channels: -1 is not a whole number from 0"),
    "fill": (lambda: segment(IMAGE, fill_nan=np.inf), ValueError, "fill_nan: inf is not a finite number"),
    "masked": (lambda: segment(np.ma.masked_equal(IMAGE, 0)), TypeError, r"pass image\.filled\(value\)"),
    "instances": (lambda: segment(IMAGE, instances=3), ValueError, "instances: 3 is not True, False, a method"),
    "method": (lambda: segment(IMAGE, instances="magic"), ValueError, "`magic` is not one of components, watershed"),
    "threshold": (lambda: segment(IMAGE, instances={"threshold": 2}), ValueError, "`threshold`: 2 is not from 0"),
    "setting type": (lambda: segment(IMAGE, instances={"threshold": print}), ValueError, "instances: cannot be passed on"),
    "progress": (lambda: segment(IMAGE, progress=3), ValueError, "progress: int is neither a function nor a bar"),
    "page": (lambda: unet_wgpu.read_image(__file__), ValueError, "test_errors.py"),
    "no page": (lambda: segment(IMAGE, page=1), ValueError, "page: 1 is of a file, and the image is an array"),
    "no image": (lambda: unet_wgpu.find_images("nowhere/x.png"), FileNotFoundError, "nowhere/x.png: no such file"),
    "no match": (lambda: unet_wgpu.find_images("nowhere/*.png"), ValueError, "no images match"),
    "no kind": (lambda: unet_wgpu.result_path("a.png", "jpeg"), ValueError, "kind `jpeg`: is no kind of result"),
    "no level": (lambda: segment(IMAGE, level=1), ValueError, "level: 1 is of a file, and the image is an array"),
    "level": (lambda: segment(IMAGE, level=-1), ValueError, "level: -1 is not a whole number from 0"),
    "level type": (lambda: segment(IMAGE, level="x"), ValueError, "level: 'x' is not a whole number"),
    "level of a file": (lambda: segment(IMAGES[0], level=2), ValueError, "full size only, there is no level 2"),
    "ratio": (lambda: unet_wgpu.evaluate([(IMAGE, IMAGE)], iou=[2]), ValueError, "IoU threshold: 2 is not in"),
    "truth shape": (lambda: unet_wgpu.evaluate([(IMAGE, IMAGE[:3])]), ValueError, r"ground truth 0: shape \(3, 32\)"),
    "truth type": (lambda: unet_wgpu.evaluate([(IMAGE, nan())]), TypeError, "ground truth 0: dtype float32"),
    "no data": (lambda: unet_wgpu.evaluate([]), ValueError, "images: there are none"),
    "no folder": (lambda: unet_wgpu.evaluate("nowhere"), (ValueError, OSError), "nowhere"),
    "no labels": (lambda: Model.train([IMAGE]), ValueError, "labels: are missing"),
    "few labels": (lambda: Model.train([IMAGE] * 2, [IMAGE]), ValueError, "there are 1, and more images"),
    "many labels": (lambda: Model.train([IMAGE], [IMAGE] * 2), ValueError, "more than images, of which there are 1"),
    "resume": (lambda: Model.train([IMAGE], [IMAGE], resume=True), ValueError, "needs the folder of the run"),
    "train key": (lambda: Model.train([IMAGE] * 5, [IMAGE] * 5, {"step": 1}), ValueError, "unknown field `step`"),
    "train cpu": (lambda: Model.train([IMAGE] * 5, [IMAGE] * 5, device="cpu"), ValueError, "too slow to train on"),
    "no check": (lambda: unet_wgpu.selftest(filter="nothing of the kind"), ValueError, "no case has"),
}


@pytest.mark.parametrize("case", CASES)
def test_errors(case):
    call, kind, text = CASES[case]
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    assert re.search(text, message), message
    assert "--" not in message and "\n" not in message, message
    assert "::" not in message, f"a name of the Rust library: {message}"
    assert isinstance(caught.value, unet_wgpu.UnetError)


def test_attributes():
    with pytest.raises(unet_wgpu.InvalidArgumentError) as caught:
        segment(IMAGE, channels=[2])
    assert caught.value.what == "channels" and caught.value.reason.startswith("there is no channel 2")
    with pytest.raises(unet_wgpu.MissingFileError) as caught:
        segment("nowhere/x.png")
    assert caught.value.path == "nowhere/x.png" and caught.value.errno == 2
    with pytest.raises(unet_wgpu.DeviceNotFoundError) as caught:
        segment(IMAGE, device="GTX 9000")
    assert all(re.match(r"\d+: ", name) for name in caught.value.available)


def test_fill_nan():
    assert segment(nan(), fill_nan=0).notes == ["NaN and infinite values are replaced by 0"]


def test_no_driver(tmp_path):
    """Where there is no driver at all, the message says what to do."""
    import os
    import subprocess
    import sys

    code = "import unet_wgpu, numpy as np\ntry: unet_wgpu.segment(np.zeros((32, 32)))\nexcept RuntimeError as e: print(type(e).__name__, e)"
    environment = {**os.environ, "VK_DRIVER_FILES": str(tmp_path / "none.json"), "VK_ICD_FILENAMES": str(tmp_path / "none.json")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60)
    if done.returncode == 0 and not done.stdout:
        pytest.skip("the driver is not found by the Vulkan loader")
    assert done.stdout.startswith("DeviceNotFoundError no GPU adapter found. Install a Vulkan"), done.stderr
    assert 'device="cpu"' in done.stdout and "--" not in done.stdout
