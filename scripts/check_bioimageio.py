"""Compares packages of bioimage.io with bioimage.io's own runtime; see check_bioimageio.sh."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import zipfile

import bioimageio.core
import bioimageio.spec
import numpy as np
import torch
from bioimageio.core.digest_spec import create_sample_for_model
from PIL import Image

UNET = os.environ["UNET"]
# Relative to the largest value: two programs that sum in float32 in different orders.
TOLERANCE = 1e-4


class Small(torch.nn.Module):
    """Two levels, `same` padding; input and output tensors have the axes `order`, of which the first spatial one is rows."""

    def __init__(self, channels, classes, order, ending):
        super().__init__()
        conv = torch.nn.Conv2d
        self.a, self.b, self.c = conv(channels, 4, 3, padding=1), conv(4, 8, 3, padding=1), conv(12, classes, 3, padding=1)
        with torch.no_grad():  # Logits on both sides of 0.
            self.c.weight *= 5
            self.c.bias *= 0
        self.order, self.ending = order.replace("x", "y").replace("y", "1", 1).replace("y", "2"), ending

    def forward(self, x):
        x = x.permute([self.order.index(axis) for axis in "bc12"])
        a = torch.relu(self.a(x))
        b = torch.relu(self.b(torch.nn.functional.max_pool2d(a, 2)))
        b = torch.nn.functional.interpolate(b, scale_factor=2, mode="nearest")
        return self.ending(self.c(torch.cat([a, b], 1))).permute(["bc12".index(axis) for axis in self.order])


def step(version, name, **kwargs):
    return {"name" if version == 4 else "id": name, **({"kwargs": kwargs} if kwargs else {})}


def same(x):
    return x


def five(order, channels, classes, size, pre, post, halo=0, dtype="float32"):
    """A description of format 0.5."""

    def axis(letter, output):
        if letter == "b":
            return {"type": "batch"}
        if letter == "c":
            names = [f"{'class' if output else 'stain'}{i}" for i in range(classes if output else channels)]
            return {"type": "channel", "channel_names": names}
        if not output:
            return {"type": "space", "id": letter, "size": size}
        own = {"type": "space", "id": letter, "size": {"tensor_id": "raw", "axis_id": letter}}
        return {**own, "halo": halo} if halo else own

    axes = lambda output: [axis(letter, output) for letter in order]
    file = lambda name: {"source": name}
    raw = {"id": "raw", "axes": axes(False), "data": {"type": dtype}, "preprocessing": pre, "test_tensor": file("x.npy")}
    seen = {"id": "seen", "axes": axes(True), "postprocessing": post, "test_tensor": file("y.npy")}
    return {"format_version": "0.5.4", "inputs": [raw], "outputs": [seen]}


def four(order, channels, classes, shape, pre, post, halo=None, dtype="float32"):
    """A description of format 0.4."""
    raw = {"name": "raw", "axes": order, "data_type": dtype, "shape": shape, "preprocessing": pre}
    ones = lambda value: [value] * 4
    scale = [classes / channels if letter == "c" else 1.0 for letter in order]
    like = {"reference_tensor": "raw", "scale": scale, "offset": ones(0.0)}
    seen = {"name": "seen", "axes": order, "data_type": "float32", "shape": like, "postprocessing": post}
    if halo:
        seen["halo"] = halo
    tests = {"test_inputs": ["x.npy"], "test_outputs": ["y.npy"]}
    return {"format_version": "0.4.10", "inputs": [raw], "outputs": [seen], **tests}


def cases():
    """Name, order of axes, channels, classes, the network's last step, rows and columns of the image, description."""
    steps = {"min": 16, "step": 2}
    s4, s5 = (lambda *a, **k: step(4, *a, **k)), (lambda *a, **k: step(5, *a, **k))
    sigmoid, softmax = s5("sigmoid"), s5("softmax", axis="channel")
    yield "0.5 bcyx, zero mean jointly", "bcyx", 3, 2, same, (48, 64), lambda *a: five(
        *a, steps, [s5("zero_mean_unit_variance", axes=["channel", "y", "x"])], [sigmoid], halo=4
    )
    yield "0.5 bcyx, all axes by default", "bcyx", 3, 1, same, (32, 40), lambda *a: five(
        *a, steps, [s5("zero_mean_unit_variance")], [sigmoid]
    )
    yield "0.5 byxc, percentiles, clip, softmax", "byxc", 3, 3, same, (40, 32), lambda *a: five(
        *a,
        steps,
        [s5("scale_range", axes=["y", "x"], min_percentile=5.0, max_percentile=98.5), s5("clip", min=0.0, max=1.0)],
        [softmax],
    )
    yield "0.5 bcxy, columns first", "bcxy", 1, 2, torch.sigmoid, (48, 32), lambda *a: five(
        *a, steps, [s5("scale_linear", gain=1 / 255, offset=-0.5)], []
    )
    yield "0.5 bxyc, fixed mean, fixed size", "bxyc", 3, 1, same, (64, 64), lambda *a: five(
        *a,
        64,
        [
            s5("fixed_zero_mean_unit_variance", axis="channel", mean=[101.5, 99.0, 80.0], std=[50.0, 61.0, 40.5]),
            s5("ensure_dtype", dtype="float32"),
        ],
        [sigmoid, s5("binarize", threshold=0.45)],
        dtype="uint8",
    )
    yield "0.5 bcyx, gains a channel, no ending", "bcyx", 3, 3, same, (32, 32), lambda *a: five(
        *a,
        steps,
        [s5("scale_linear", axis="channel", gain=[0.01, 0.02, -0.01], offset=[0.0, -1.0, 1.0])],
        [s5("scale_linear", gain=2.0, offset=1.0), softmax],
    )
    free = {"min": [1, 3, 16, 16], "step": [0, 0, 2, 2]}
    yield "0.4 bcyx, as in the collection", "bcyx", 3, 6, torch.sigmoid, (48, 32), lambda *a: four(
        *a, free, [s4("zero_mean_unit_variance", axes="cyx", mode="per_sample")], [], [0, 0, 4, 4], "uint8"
    )
    yield "0.4 bcyx, fixed, percentiles, binarize", "bcyx", 1, 1, same, (64, 48), lambda *a: four(
        *a,
        [1, 1, 64, 48],
        [s4("scale_range", axes="yx", mode="per_sample", min_percentile=1, max_percentile=99.8), s4("clip", min=0.0, max=1.5)],
        [s4("sigmoid"), s4("binarize", threshold=0.55)],
    )
    yield "0.4 byxc, given mean", "byxc", 1, 2, same, (32, 48), lambda *a: four(
        *a,
        {"min": [1, 16, 16, 1], "step": [0, 2, 2, 0]},
        [s4("zero_mean_unit_variance", axes="xy", mode="fixed", mean=120.0, std=40.0)],
        [s4("sigmoid"), s4("clip", min=0.1, max=0.8)],
    )


def write(file, description, name, onnx, tensors):
    about = {
        "type": "model",
        "name": name.replace(",", "").replace(".", " "),
        "description": "made by scripts/check_bioimageio.py",
        "license": "MIT",
        "timestamp": "2026-01-01T00:00:00",
        "documentation": "README.md",
        "authors": [{"name": "unet-wgpu"}],
        "maintainers": [{"name": "unet-wgpu", "github_user": "bioimageiobot"}],
        "cite": [{"text": "none", "url": "https://example.com"}],
        "covers": ["cover.png"],
        "tags": ["test"],
        "git_repo": "https://github.com/bioimage-io/spec-bioimage-io",
        "weights": {"onnx": {"source": "weights.onnx", "opset_version": 17}},
    }
    cover = file.with_name("cover.png")
    Image.new("RGB", (64, 64), (40, 90, 160)).save(cover)
    with zipfile.ZipFile(file, "w") as z:
        z.writestr("rdf.yaml", json.dumps({**about, **description}, indent=1))  # JSON is YAML.
        z.writestr("README.md", "# A package for tests\n\n## Validation\n\nNone.\n")
        z.write(onnx, "weights.onnx")
        z.write(cover, "cover.png")
        for key, tensor in tensors.items():
            path = file.with_name(key)
            np.save(path, tensor)
            z.write(path, key)


def unet(*args):
    ran = subprocess.run([UNET, "-q", *map(str, args)], capture_output=True, text=True)
    if ran.returncode:
        raise RuntimeError(f"unet {args[0]}: {ran.returncode} {ran.stdout[-400:]} {ran.stderr.strip()}")
    return ran.stdout


def core(file, x):
    """The output of bioimageio.core for a tensor with the description's axes."""
    model = bioimageio.spec.load_model_description(file, perform_io_checks=False)
    sample = create_sample_for_model(model, inputs={"raw": x})
    # As bioimageio.core tests packages: without mirroring a halo around the image.
    alone = {"skip_input_padding": True, "skip_output_cropping": True}
    sample = bioimageio.core.create_prediction_pipeline(model).predict_sample_without_blocking(sample, **alone)
    return np.asarray(sample.members["seen"].data)


def check(name, order, channels, classes, ending, size, describe, folder, rng):
    torch.manual_seed(channels * 7 + classes)
    net = Small(channels, classes, order, ending).eval()
    pixels = rng.integers(20, 236, (*size, channels), dtype=np.uint8)
    x = pixels.transpose(["yxc".index(axis) for axis in order[1:]])[None].astype(np.float32)
    description = describe(order, channels, classes)
    onnx, file = folder / "weights.onnx", folder / "package.zip"
    places = {i: letter for i, letter in enumerate(order) if letter in "yx"}
    dynamic = {"x": places, "y": places} if "fixed" not in name.split(", ")[-1] and "fixed," not in name else None
    torch.onnx.export(
        net, (torch.from_numpy(x),), str(onnx), input_names=["x"], output_names=["y"], dynamic_axes=dynamic,
        opset_version=17, dynamo=False,
    )
    given = description["inputs"][0]
    typed = np.dtype(given["data"]["type"] if "data" in given else given["data_type"])
    write(file, description, name, onnx, {"x.npy": x.astype(typed), "y.npy": x})
    y = core(file, x.astype(typed)).astype(np.float32)
    write(file, description, name, onnx, {"x.npy": x.astype(typed), "y.npy": y})
    if y.min() == y.max():
        return "a flat output, which says nothing"
    validated = bioimageio.spec.load_description_and_validate_format_only(file)
    if validated.status == "failed":
        return f"bioimageio.spec: {validated.format() if hasattr(validated, 'format') else validated}"
    verified = json.loads(unet("--json", "inspect", file, "--verify"))["verify"]
    tests = [c for c in verified["checks"] if c["against"] == "expected"]
    if len(tests) != 1:
        return f"{len(tests)} tests"
    test = tests[0]["max_error"] / tests[0]["scale"]
    # An image file, as users have it; fixed sizes are the image's.
    shot = folder / "picture.png"
    Image.fromarray(pixels if channels == 3 else pixels[..., 0]).save(shot)
    (folder / "out").mkdir()
    unet("segment", shot, "-m", file, "-o", folder / "out", "--save", "mask,prob-npy")
    probabilities = np.load(next((folder / "out").glob("*.npy")))
    mask = np.asarray(Image.open(folder / "out" / "picture_mask.png"))
    expected = y.transpose([order.index(axis) for axis in "bcyx"])[0]
    binary = description["outputs"][0].get("postprocessing", [])[-1:]
    if binary and "binarize" in binary[0].values():
        # The probabilities are the values before the threshold, so only masks can be compared.
        differ = int((np.asarray(mask > 0) != (expected > 0.5).any(0)).sum())
        worst = differ / mask.size
    else:
        worst = np.abs(probabilities.reshape(expected.shape) - expected).max() / np.abs(expected).max()
    if max(test, worst) > TOLERANCE:
        return f"test tensor {test:.1e}, image {worst:.1e}"
    return test, worst


def main():
    wrong, rng = 0, np.random.default_rng(2)
    print(f"bioimageio.core {bioimageio.core.__version__}, bioimageio.spec {bioimageio.spec.__version__}")
    for name, *case in cases():
        with tempfile.TemporaryDirectory() as temporary:
            try:
                result = check(name, *case, pathlib.Path(temporary), rng)
            except (RuntimeError, ValueError) as e:
                result = str(e)
        if isinstance(result, str):
            wrong += 1
            print(f"{name:<42} WRONG: {result}", flush=True)
        else:
            print(f"{name:<42} test tensor {result[0]:.1e}, image {result[1]:.1e}", flush=True)
    if wrong:
        sys.exit(f"{wrong} packages differ")
    print("every package agrees with bioimageio.core")


if __name__ == "__main__":
    main()
