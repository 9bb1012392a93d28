"""Compares `unet run` and `unet segment` with onnxruntime on networks with random weights, whose axes, sizes and skips are
spelt in all the ways exporters spell them.

    python scripts/onnx_layouts.py [--unet target/debug/unet] [--device cpu] [--folder target/onnx_layouts] [NAME ..]
    python scripts/onnx_layouts.py --fixtures assets/fixtures/layouts     # the small ones that tests/cpu/onnx_layouts.rs reads

Needs numpy, onnx, onnxruntime and Pillow; networks called cunet_* also need torch."""

import argparse
import itertools
import json
import pathlib
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

FLOAT, INT = TensorProto.FLOAT, TensorProto.INT64


class Net:
    """Nodes and tensors of a file."""

    def __init__(self, opset=13, seed=7):
        self.nodes, self.tensors, self.opset, self.count = [], [], opset, 0
        self.random = np.random.default_rng(seed)

    def name(self, what):
        self.count += 1
        return f"{what}_{self.count}"

    def const(self, value, dtype=np.float32):
        name = self.name("k")
        self.tensors.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def ints(self, *values):
        return self.const(list(values), np.int64)

    def op(self, kind, *inputs, outputs=1, **attributes):
        out = [self.name(kind.lower()) for _ in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), out, **attributes))
        return out[0] if outputs == 1 else out

    def conv(self, x, cin, cout, kernel=3, pad=None, stride=1):
        w = self.random.normal(0, (cin * kernel * kernel) ** -0.5, (cout, cin, kernel, kernel))
        b = self.random.normal(0, 0.1, cout)
        p = kernel // 2 if pad is None else pad
        return self.op("Conv", x, self.const(w), self.const(b), kernel_shape=[kernel] * 2, pads=[p] * 4, strides=[stride] * 2)

    def up(self, x, cin, cout):
        w = self.random.normal(0, 0.4, (cin, cout, 2, 2))
        return self.op("ConvTranspose", x, self.const(w), kernel_shape=[2, 2], strides=[2, 2])

    def unet(self, x, cin, cout, width=6, pad=1):
        """A U-Net of two levels in N, C, H, W."""
        conv = lambda x, a, b: self.op("Relu", self.conv(x, a, b, pad=pad))
        a = conv(x, cin, width)
        b = conv(self.op("MaxPool", a, kernel_shape=[2, 2], strides=[2, 2]), width, 2 * width)
        y = self.op("Concat", self.up(b, 2 * width, width), a, axis=1)
        return self.conv(conv(y, 2 * width, width), width, cout, 1)

    def shape_of(self, x, *axes):
        return self.op("Gather", self.op("Shape", x), self.ints(*axes), axis=0)

    def save(self, path, x, dims_in, y, dims_out):
        self.nodes.append(helper.make_node("Identity", [y], ["y"]))
        value = lambda n, dims: helper.make_tensor_value_info(n, FLOAT, dims)
        graph = helper.make_graph(self.nodes, "g", [value("x", dims_in)], [value("y", dims_out)], self.tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], producer_name="layouts")
        model.ir_version = 8
        onnx.checker.check_model(model)
        onnx.save(model, path)


def into_nchw(net, x, how, c, h, w, fixed):
    """From N, H, W, C (or H, W, C) to N, C, H, W."""
    if how == "transpose":
        return net.op("Transpose", x, perm=[0, 3, 1, 2])
    if how == "two_transposes":
        return net.op("Transpose", net.op("Transpose", x, perm=[0, 3, 1, 2]), perm=[0, 1, 2, 3])
    if how == "steps":  # by exchanging two axes at a time
        return net.op("Transpose", net.op("Transpose", x, perm=[0, 1, 3, 2]), perm=[0, 2, 1, 3])
    if how == "reshape":
        assert c == 1
        if fixed:
            return net.op("Reshape", x, net.ints(-1, 1, h, w))
        n, rows, columns = (net.shape_of(x, i) for i in (0, 1, 2))
        return net.op("Reshape", x, net.op("Concat", n, net.ints(1), rows, columns, axis=0))
    if how == "unsqueeze_reshape":
        assert c == 1
        return net.op("Reshape", net.op("Unsqueeze", x, net.ints(0)), net.ints(-1, 1, 0, 0))
    if how == "squeeze":
        assert c == 1
        return net.op("Unsqueeze", net.op("Squeeze", x, net.ints(3)), net.ints(1))
    if how == "hwc":
        return net.op("Transpose", net.op("Unsqueeze", x, net.ints(0)), perm=[0, 3, 1, 2])
    if how == "hwc_late":
        return net.op("Unsqueeze", net.op("Transpose", x, perm=[2, 0, 1]), net.ints(0))
    if how == "hw":
        return net.op("Unsqueeze", x, net.ints(0, 1))
    if how == "nhw":
        return net.op("Unsqueeze", x, net.ints(1))
    if how == "chw":
        return net.op("Unsqueeze", x, net.ints(0))
    if how == "preprocessed":
        x = net.op("Sub", x, net.const(np.linspace(0.2, 0.5, c)))
        x = net.op("Div", x, net.const(np.linspace(0.6, 0.9, c).reshape(1, 1, 1, c)))
        return net.op("Transpose", x, perm=[0, 3, 1, 2])
    if how == "padded":
        x = net.op("Pad", x, net.ints(0, 2, 2, 0, 0, 2, 2, 0))
        x = net.op("Transpose", x, perm=[0, 3, 1, 2])
        return net.conv(x, c, c, 5, pad=0)
    if how == "reversed":  # RGB to BGR
        parts = net.op("Split", x, outputs=c, axis=3)
        return net.op("Transpose", net.op("Concat", *parts[::-1], axis=3), perm=[0, 3, 1, 2])
    if how == "dense":
        k = net.const(net.random.normal(0, 0.6, (c, c)))
        return net.op("Transpose", net.op("MatMul", x, k), perm=[0, 3, 1, 2])
    assert how == "nchw", how
    return x


def from_nchw(net, y, how, k, h, w, fixed):
    if how == "transpose":
        return net.op("Transpose", y, perm=[0, 2, 3, 1])
    if how == "reshape":
        assert k == 1
        if fixed:
            return net.op("Reshape", y, net.ints(-1, h, w, 1))
        n, rows, columns = (net.shape_of(y, i) for i in (0, 2, 3))
        return net.op("Reshape", y, net.op("Concat", n, rows, columns, net.ints(1), axis=0))
    if how == "squeeze":
        assert k == 1
        return net.op("Unsqueeze", net.op("Squeeze", y, net.ints(1)), net.ints(3))
    if how == "flat":  # rows one after another, as in older Keras networks
        y = net.op("Transpose", y, perm=[0, 2, 3, 1])
        return net.op("Reshape", y, net.ints(0, -1, k))
    if how == "hwc":
        return net.op("Squeeze", net.op("Transpose", y, perm=[0, 2, 3, 1]), net.ints(0))
    if how == "chw":
        return net.op("Squeeze", y, net.ints(0))
    if how == "hw":
        return net.op("Squeeze", y, net.ints(0, 1))
    if how == "nhw":
        return net.op("Squeeze", y, net.ints(1))
    if how == "dense":
        y = net.op("Transpose", y, perm=[0, 2, 3, 1])
        y = net.op("MatMul", y, net.const(net.random.normal(0, 0.6, (k, k))))
        return net.op("Add", y, net.const(net.random.normal(0, 0.1, k)))
    if how == "gated":  # scaled by an average of the whole image, in N, H, W, C
        y = net.op("Transpose", y, perm=[0, 2, 3, 1])
        mean = net.op("ReduceMean", y, axes=[1, 2], keepdims=1)
        return net.op("Mul", y, net.op("Sigmoid", mean))
    if how == "resized":
        y = net.op("Transpose", net.op("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2]), perm=[0, 2, 3, 1])
        scales = net.const([1, 2, 2, 1])
        return net.op("Resize", y, "", scales, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    assert how == "nchw", how
    return y


LAST_OUT = ("transpose", "reshape", "squeeze", "flat", "hwc", "dense", "gated", "resized")


def build(path, how_in, how_out, cin, cout, ending, when, fixed, opset=13, width=6, size=(48, 64), seed=7):
    net = Net(opset, seed)
    h, w = size if fixed else (None, None)
    x = into_nchw(net, "x", how_in, cin, h, w, fixed)
    y = net.unet(x, cin, cout, width)

    def end(y, last):
        if ending == "softmax":
            if not last and opset < 13:
                raise ValueError
            return net.op("Softmax", y, axis=-1 if last else -3)
        return net.op("Sigmoid", y) if ending == "sigmoid" else y

    if when == "before":
        y = end(y, False)
    y = from_nchw(net, y, how_out, cout, h, w, fixed)
    if when == "after":
        y = end(y, how_out in LAST_OUT)
    size = [h or "h", w or "w"]
    n = "n"
    dims_in = {"nchw": [n, cin, *size], "hwc": [*size, cin], "hwc_late": [*size, cin], "hw": size, "nhw": [n, *size], "chw": [cin, *size]}
    dims_out = {"nchw": [n, cout, *size], "flat": [n, None, cout], "hwc": [*size, cout], "hw": size, "nhw": [n, *size], "chw": [cout, *size]}
    net.save(path, "x", dims_in.get(how_in, [n, *size, cin]), y, dims_out.get(how_out, [n, *size, cout]))


def cases():
    """Names, and arguments of `build`."""
    one_in = ["transpose", "reshape", "unsqueeze_reshape", "squeeze", "hwc", "hwc_late", "hw", "nhw", "nchw"]
    more_in = ["transpose", "two_transposes", "steps", "hwc", "hwc_late", "chw", "preprocessed", "padded", "reversed", "dense", "nchw"]
    one_out = ["transpose", "reshape", "squeeze", "flat", "hwc", "hw", "nhw", "gated", "nchw"]
    more_out = ["transpose", "flat", "hwc", "chw", "dense", "gated", "resized", "nchw"]
    for fixed in (True, False):
        kind = "fixed" if fixed else "dyn"
        for how in one_in:
            yield f"{kind}_in1_{how}", (how, "transpose", 1, 1, "sigmoid", "before", fixed)
            yield f"{kind}_in1_{how}_same", (how, "nchw", 1, 2, "softmax", "before", fixed)
        for how, c in itertools.product(more_in, (2, 3, 4, 12)):
            yield f"{kind}_in{c}_{how}", (how, "transpose", c, 2, "softmax", "after", fixed)
        for how in one_out:
            for ending in ("sigmoid", "none"):
                yield f"{kind}_out1_{how}_{ending}", ("reshape", how, 1, 1, ending, "after", fixed)
        for how, k in itertools.product(more_out, (2, 3, 5)):
            yield f"{kind}_out{k}_{how}", ("transpose", how, 3, k, "softmax", "after", fixed)
        yield f"{kind}_to_nchw_old", ("transpose", "nchw", 3, 1, "sigmoid", "before", fixed, 11)
        yield f"{kind}_from_nchw", ("nchw", "transpose", 3, 3, "softmax", "after", fixed)
        yield f"{kind}_from_nchw_logits", ("nchw", "transpose", 4, 1, "none", "after", fixed)


def cunet(path, classes, cin=3, up=False, width=4, se=True, seed=3):
    """Two unpadded U-Nets with squeeze and excite in sequence, with a cropped skip around the second: waifu2x's cunet with
    fewer channels."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    class SE(nn.Module):
        def __init__(self, c):
            super().__init__()
            self.a, self.b = nn.Conv2d(c, max(c // 2, 1), 1), nn.Conv2d(max(c // 2, 1), c, 1)

        def forward(self, x):
            z = F.adaptive_avg_pool2d(x, 1)
            return x * torch.sigmoid(self.b(F.relu(self.a(z))))

    def block(a, m, b, excite):
        layers = [nn.Conv2d(a, m, 3), nn.LeakyReLU(0.1), nn.Conv2d(m, b, 3), nn.LeakyReLU(0.1)]
        return nn.Sequential(*layers, *([SE(b)] if excite and se else []))

    act = lambda x: F.leaky_relu(x, 0.1)
    n = width

    class UNet1(nn.Module):
        def __init__(self, a, b, deconv):
            super().__init__()
            self.conv1, self.down = block(a, n, 2 * n, False), nn.Conv2d(2 * n, 2 * n, 2, 2)
            self.conv2, self.up = block(2 * n, 4 * n, 2 * n, True), nn.ConvTranspose2d(2 * n, 2 * n, 2, 2)
            self.conv3 = nn.Conv2d(2 * n, 2 * n, 3)
            self.last = nn.ConvTranspose2d(2 * n, b, 4, 2, 3) if deconv else nn.Conv2d(2 * n, b, 3)

        def forward(self, x):
            x1 = self.conv1(x)
            x2 = act(self.up(self.conv2(act(self.down(x1)))))
            return self.last(act(self.conv3(F.pad(x1, (-4,) * 4) + x2)))

    class UNet2(nn.Module):
        def __init__(self, a, b):
            super().__init__()
            self.conv1, self.down1 = block(a, n, 2 * n, False), nn.Conv2d(2 * n, 2 * n, 2, 2)
            self.conv2, self.down2 = block(2 * n, 2 * n, 4 * n, True), nn.Conv2d(4 * n, 4 * n, 2, 2)
            self.conv3, self.up3 = block(4 * n, 8 * n, 4 * n, True), nn.ConvTranspose2d(4 * n, 4 * n, 2, 2)
            self.conv4, self.up4 = block(4 * n, 2 * n, 2 * n, True), nn.ConvTranspose2d(2 * n, 2 * n, 2, 2)
            self.conv5, self.last = nn.Conv2d(2 * n, 2 * n, 3), nn.Conv2d(2 * n, b, 3)

        def forward(self, x):
            x1 = self.conv1(x)
            x2 = self.conv2(act(self.down1(x1)))
            x3 = act(self.up3(self.conv3(act(self.down2(x2)))))
            x4 = act(self.up4(self.conv4(x2[:, :, 4:-4, 4:-4] + x3)))
            return self.last(act(self.conv5(x1[:, :, 16:-16, 16:-16] + x4)))

    class CUNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.unet1, self.unet2 = UNet1(cin, classes, up), UNet2(classes, classes)

        def forward(self, x):
            x = self.unet1(x)
            return x[:, :, 20:-20, 20:-20] + self.unet2(x)

    torch.manual_seed(seed)
    net = CUNet().eval()
    axes = {"x": {0: "n", 2: "h", 3: "w"}, "y": {0: "n", 2: "h2", 3: "w2"}}
    x = torch.rand(1, cin, 108, 100)
    torch.onnx.export(net, (x,), path, input_names=["x"], output_names=["y"], dynamic_axes=axes, dynamo=False, opset_version=17)


def shrinking(path, how):
    """Networks whose output differs in size from their input."""
    net = Net(17)
    y = net.conv("x", 3, 4)
    if how == "half":
        y = net.op("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2])
    elif how == "double":
        y = net.up(y, 4, 4)
    elif how == "shuffled":
        y = net.op("DepthToSpace", y, blocksize=2)
    elif how == "even":
        y = net.conv(y, 4, 4, 2, pad=0)
    elif how == "class":
        y = net.op("GlobalAveragePool", y)
    net.save(path, "x", ["n", 3, "h", "w"], y, [None] * 4)


def windows(path, step, width=4, seed=7):
    """Attention-like windows: sizes are multiples of `step`, which is not a power of two."""
    net = Net(17, seed)
    y = net.conv("x", 3, width)
    dims = lambda x, *parts: net.op("Concat", *parts, axis=0)
    n, h, w = (net.shape_of(y, i) for i in (0, 2, 3))
    rows, columns = (net.op("Div", s, net.ints(step)) for s in (h, w))
    k = net.ints(step)
    split = net.op("Reshape", y, dims(y, n, net.ints(width), rows, k, columns, k))
    split = net.op("Transpose", split, perm=[0, 1, 2, 4, 3, 5])
    tiles = net.op("Reshape", split, dims(y, n, net.ints(-1), net.op("Mul", k, k)))
    split = net.op("Reshape", net.op("Softmax", tiles, axis=-1), dims(y, n, net.ints(width), rows, columns, k, k))
    y = net.op("Reshape", net.op("Transpose", split, perm=[0, 1, 2, 4, 3, 5]), dims(y, n, net.ints(width), h, w))
    net.save(path, "x", ["n", 3, "h", "w"], net.conv(net.op("Mul", y, net.const(30.0)), width, 2), ["n", 2, "h", "w"])


LAYOUT_IN = {"nchw": "NCHW", "hwc": "HWC", "hwc_late": "HWC", "hw": "HW", "nhw": "NHW", "chw": "CHW"}
LAYOUT_OUT = {**LAYOUT_IN, "flat": "NPC"}


def lay(x, order):
    """From N, C, H, W to the order of a file."""
    return {
        "NCHW": lambda: x, "NHWC": lambda: x.transpose(0, 2, 3, 1), "CHW": lambda: x[0],
        "HWC": lambda: x[0].transpose(1, 2, 0), "NHW": lambda: x[:, 0], "HW": lambda: x[0, 0],
    }[order]()


def unlay(y, order, h, w):
    """The inverse of `lay`."""
    return {
        "NCHW": lambda: y, "NHWC": lambda: y.transpose(0, 3, 1, 2), "CHW": lambda: y[None],
        "HWC": lambda: y.transpose(2, 0, 1)[None], "NHW": lambda: y[:, None], "HW": lambda: y[None, None],
        "NPC": lambda: y.reshape(y.shape[0], h, w, -1).transpose(0, 3, 1, 2),
    }[order]()


def classes_of(y, ending):
    """Class ids of N, C, H, W, and which of them are near a class boundary."""
    if y.shape[1] == 1:
        edge = 0.5 if ending == "sigmoid" else 0.0
        return (y[:, 0] > edge).astype(int)[0], np.abs(y[0, 0] - edge)
    top = np.sort(y, axis=1)
    return y.argmax(1)[0], (top[0, -1] - top[0, -2])


class Checker:
    def __init__(self, unet, device, folder):
        self.unet, self.device, self.folder, self.bad = unet, device, folder, 0
        self.done = 0

    def call(self, *args):
        return subprocess.run([self.unet, *map(str, args), "--device", self.device], capture_output=True, text=True)

    def run(self, path, x, reference, settings=()):
        """`unet run` against onnxruntime, both in N, C, H, W."""
        inp, out = self.folder / "x.npy", self.folder / "y.npy"
        np.save(inp, x)
        out.unlink(missing_ok=True)
        done = self.call("run", "-m", path, "--input", inp, "--output", out, *settings)
        if done.returncode:
            return f"run: {done.stderr.strip()}"
        y = np.load(out)
        if y.ndim < 4:
            # The file's own rank, with elements in the order of N, C, H, W.
            y = y.reshape(reference.shape)
        if y.shape != reference.shape:
            return f"run: shape {y.shape}, onnxruntime {reference.shape}"
        off = np.abs(y - reference).max() / max(np.abs(reference).max(), 1e-9)
        return None if off < 5e-5 else f"run: differs by {off:.2g}"

    def segment(self, path, pixels, ids, sure, settings=()):
        """`unet segment` of an image (.npy of C, H, W) against class ids; near a class boundary either class is correct."""
        inp, out = self.folder / "image.npy", self.folder / "mask.tif"
        np.save(inp, pixels)
        out.unlink(missing_ok=True)
        done = self.call("segment", inp, "-m", path, "-o", out, *settings)
        if done.returncode:
            return f"segment: {done.stderr.strip()}"
        from PIL import Image

        mask = np.asarray(Image.open(out)).astype(int)
        if mask.shape != ids.shape:
            return f"segment: mask {mask.shape}, image {ids.shape}"
        # The mask of two classes is black and white.
        mask = np.where(mask == 255, 1, mask)
        levels = np.unique(mask)
        if len(levels) > 64:
            return f"segment: {len(levels)} classes"
        wrong = ((mask != ids) & (sure > 1e-4)).mean()
        return None if wrong == 0 else f"segment: {wrong:.2%} wrong, classes {levels[:8]}, should be {np.unique(ids)[:8]}"

    def report(self, name, *problems):
        problems = [p for p in problems if p]
        self.done += 1
        self.bad += bool(problems)
        if problems:
            print(f"BAD {name}: " + "; ".join(problems), flush=True)


def mirrored(x, margin, h, w):
    """The image with `margin` mirrored pixels before it, and as many after it as make it h by w."""
    rows, columns = h - x.shape[2] - margin, w - x.shape[3] - margin
    return np.pad(x, ((0, 0), (0, 0), (margin, rows), (margin, columns)), "reflect")


def computed(path, x):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: np.ascontiguousarray(x)})[0]


def save_tensors(path, tensors):
    """Writes a .safetensors file."""
    head, data = {}, b""
    for name, t in tensors.items():
        raw = np.ascontiguousarray(t, np.float32).tobytes()
        head[name] = {"dtype": "F32", "shape": list(t.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    head = json.dumps(head).encode()
    head += b" " * (-len(head) % 8)
    path.write_bytes(len(head).to_bytes(8, "little") + head + data)


def mixed(y, h, w, ending):
    """Whether the classes of an image's pixels are worth comparing."""
    ids, _ = classes_of(y[:, :, :h, :w], ending)
    return np.bincount(ids.ravel()).max() < 0.9 * ids.size


def fixtures(folder):
    """Writes small networks, each with an image (C, H, W of bytes) and the network's input and output (N, C, H, W)."""
    folder.mkdir(parents=True, exist_ok=True)
    small = {"width": 2, "size": (12, 20)}
    for name, spec in {
        "grey_reshape": ("reshape", "reshape", 1, 1, "sigmoid", "before", True),
        "grey_unsqueeze": ("unsqueeze_reshape", "squeeze", 1, 1, "sigmoid", "after", False),
        "grey_flat": ("squeeze", "flat", 1, 3, "softmax", "after", True),
        "channels_12_of_5": ("transpose", "transpose", 12, 5, "softmax", "after", False),
        "preprocessed_gated": ("preprocessed", "gated", 4, 2, "softmax", "after", False),
        "no_batch": ("hwc", "hwc", 3, 2, "softmax", "before", False),
        "last_to_first": ("steps", "nchw", 2, 1, "none", "after", False),
        "first_to_last": ("nchw", "dense", 3, 3, "softmax", "after", True),
    }.items():
        path = folder / f"{name}.onnx"
        image = np.random.default_rng(5).integers(0, 256, (1, spec[2], 12, 20))
        x = (image / 255).astype(np.float32)
        for seed in range(200):
            build(path, *spec, **small, seed=seed)
            y = computed(path, lay(x, LAYOUT_IN.get(spec[0], "NHWC")))
            y = unlay(y, LAYOUT_OUT.get(spec[1], "NHWC"), 12, 20)
            if mixed(y, 12, 20, spec[4]):
                break
        save_tensors(path.with_suffix(".safetensors"), {"image": image[0], "input": x, "output": y})
    for name, make, (margin, rows, columns) in [
        ("cascade", lambda p, s: cunet(p, 2, cin=1, width=1, seed=s), (28, 72, 84)),
        ("windows_12", lambda p, s: windows(p, 12, 2, seed=s), (0, 24, 36)),
    ]:
        path = folder / f"{name}.onnx"
        h, w = (rows - 2 * margin - 3, columns - 2 * margin - 2)
        image = np.random.default_rng(6).integers(0, 256, (1, 1 if margin else 3, h, w))
        if margin:  # mirrored by more pixels than the image has
            index = lambda n, whole: [abs((i - margin + (n - 1)) % (2 * (n - 1)) - (n - 1)) for i in range(whole)]
            padded = image[:, :, index(h, rows)][:, :, :, index(w, columns)]
        else:
            padded = mirrored(image, 0, rows, columns)
        x = (padded / 255).astype(np.float32)
        for seed in range(200):
            make(path, seed)
            y = computed(path, x)
            if mixed(y, h, w, "none"):
                break
        save_tensors(path.with_suffix(".safetensors"), {"image": image[0], "input": x, "output": y})
    for how in ("double", "half"):
        path = folder / f"{how}.onnx"
        shrinking(path, how)
        x = np.random.default_rng(2).random((1, 3, 6, 8), np.float32)
        save_tensors(path.with_suffix(".safetensors"), {"image": x[0], "input": x, "output": computed(path, x)})


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--unet", default="target/debug/unet")
    p.add_argument("--device", default="cpu")
    p.add_argument("--folder", default="target/onnx_layouts", type=pathlib.Path)
    p.add_argument("--fixtures", type=pathlib.Path)
    p.add_argument("names", nargs="*")
    a = p.parse_args()
    onnxruntime.set_default_logger_severity(3)
    if a.fixtures:
        return fixtures(a.fixtures)
    a.folder.mkdir(parents=True, exist_ok=True)
    check = Checker(a.unet, a.device, a.folder)
    selected = lambda name: not a.names or any(n in name for n in a.names)
    for name, spec in cases():
        if not selected(name):
            continue
        path = a.folder / f"{name}.onnx"
        build(path, *spec)
        how_in, how_out, cin, _, ending = spec[:5]
        fixed = spec[6]
        h, w = (48, 64) if fixed else (40, 72)
        image = np.random.default_rng(5).integers(0, 256, (1, cin, h, w)).astype(np.uint8)
        x = (image / 255).astype(np.float32)
        y = unlay(computed(path, lay(x, LAYOUT_IN.get(how_in, "NHWC"))), LAYOUT_OUT.get(how_out, "NHWC"), h, w)
        ids, sure = classes_of(y, ending)
        problems = [check.run(path, x, y), check.segment(path, image[0], ids, sure)]
        check.report(name, *problems)
    for name, options in [("cunet_2", {"classes": 2}), ("cunet_1", {"classes": 1}), ("cunet_3", {"classes": 3}), ("cunet_grey", {"classes": 2, "cin": 1}), ("cunet_plain", {"classes": 2, "se": False})]:
        if not selected(name):
            continue
        path = a.folder / f"{name}.onnx"
        cunet(path, **options)
        cin = options.get("cin", 3)
        problems = []
        for h, w in [(52, 44), (61, 90), (7, 130)]:
            image = np.random.default_rng(h).integers(0, 256, (1, cin, h, w)).astype(np.uint8)
            x = (image / 255).astype(np.float32)
            rows, columns = (max(-(-(s + 56) // 4) * 4, 68) for s in (h, w))
            if h <= 28 or w <= 28:
                continue
            padded = mirrored(x, 28, rows, columns)
            y = computed(path, padded)
            ids, sure = classes_of(y[:, :, :h, :w], "none")
            problems += [check.run(path, padded, y), check.segment(path, image[0], ids, sure)]
        check.report(name, *problems)
    for name in ["half", "double", "shuffled", "even", "class", "cunet_up"]:
        if not selected(name):
            continue
        path = a.folder / f"other_{name}.onnx"
        if name == "cunet_up":
            cunet(path, 3, up=True)
        else:
            shrinking(path, name)
        x = np.random.default_rng(2).random((1, 3, 108, 100), np.float32)
        y = computed(path, x)
        problem = check.run(path, x, y)
        reason = check.segment(path, x[0], x[0, 0], x[0, 0])
        rejected = reason and "cannot segment" in reason
        check.report(f"other_{name}", problem, None if rejected else f"not refused: {reason}")
        if "-v" in sys.argv or a.names:
            print(reason)
    for step in (12, 20):
        name = f"windows_{step}"
        if not selected(name):
            continue
        path = a.folder / f"{name}.onnx"
        windows(path, step)
        h, w = 50, 70
        image = np.random.default_rng(h).integers(0, 256, (1, 3, h, w)).astype(np.uint8)
        x = (image / 255).astype(np.float32)
        rows, columns = (-(-s // step) * step for s in (h, w))
        padded = mirrored(x, 0, rows, columns)
        y = computed(path, padded)
        ids, sure = classes_of(y[:, :, :h, :w], "none")
        wide = mirrored(x, 0, 60, 120)
        more = classes_of(computed(path, wide)[:, :, :h, :w], "none")
        settings = ["--set", "size=60x120"]
        check.report(name, check.run(path, padded, y), check.segment(path, image[0], ids, sure), check.segment(path, image[0], *more, settings))
    print(f"{check.done} networks, {check.bad} bad")
    sys.exit(check.bad > 0)


if __name__ == "__main__":
    main()
