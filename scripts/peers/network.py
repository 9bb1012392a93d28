"""The networks to time, each described once: layers with folded weights for the peers, and the same parameters under the
names of our checkpoints."""

import json
import struct
from dataclasses import dataclass, field

import numpy as np

BN_EPS = 1e-5


@dataclass
class Layer:
    """One layer. `kind` is conv, up, pool, resize, crop, concat, sigmoid or mean; tensors are CxHxW."""

    kind: str
    name: str
    inputs: list
    shape: tuple
    attrs: dict = field(default_factory=dict)
    weight: np.ndarray = None
    bias: np.ndarray = None


class Network:
    """Layers in order; the output of a layer has the layer's name."""

    def __init__(self, arch, config, size, seed=0):
        self.arch, self.config = arch, config
        self.input = (config["in_channels"], *size)
        self.random = np.random.default_rng(seed)
        self.parameters, self.layers, self.outputs = {}, [], {}
        self.shapes = {"input": self.input}
        {"unet": unet, "unetpp": unet_plus_plus, "unet3p": unet_3_plus}[arch](self, config)

    def add(self, kind, name, inputs, shape, weight=None, bias=None, **attrs):
        self.layers.append(Layer(kind, name, inputs, shape, attrs, weight, bias))
        self.shapes[name] = shape
        return name

    def parameter(self, name, values):
        self.parameters[name] = values.astype(np.float32)
        return self.parameters[name].astype(np.float64)

    def conv(self, name, x, out, kernel=3, pad=0, norm=None, relu=False, bias=True):
        """A convolution; for the peers, batch normalisation with the parameters `norm` is folded into it."""
        c, h, w = self.shapes[x]
        std = np.sqrt(2 / (c * kernel * kernel))
        weight = self.parameter(f"{name}.weight", self.random.normal(0, std, (out, c, kernel, kernel)))
        shift = self.parameter(f"{name}.bias", self.random.uniform(-0.1, 0.1, out)) if bias else np.zeros(out)
        if norm:
            scale = self.parameter(f"{norm}.weight", self.random.uniform(0.8, 1.2, out))
            beta = self.parameter(f"{norm}.bias", self.random.uniform(-0.1, 0.1, out))
            mean = self.parameter(f"{norm}.running_mean", self.random.uniform(-0.1, 0.1, out))
            var = self.parameter(f"{norm}.running_var", self.random.uniform(0.8, 1.2, out))
            factor = scale / np.sqrt(var + BN_EPS)
            weight, shift = weight * factor[:, None, None, None], (shift - mean) * factor + beta
        lost = kernel - 1 - 2 * pad
        shape = (out, h - lost, w - lost)
        arrays = weight.astype(np.float32), shift.astype(np.float32)
        return self.add("conv", name, [x], shape, *arrays, kernel=kernel, pad=pad, relu=relu)

    def double_conv(self, name, x, out, pad, bias):
        for i in "12":
            x = self.conv(f"{name}.conv{i}", x, out, pad=pad, norm=f"{name}.bn{i}", relu=True, bias=bias)
        return x

    def up(self, name, x, out):
        c, h, w = self.shapes[x]
        weight = self.parameter(f"{name}.weight", self.random.normal(0, np.sqrt(1 / c), (c, out, 2, 2)))
        bias = self.parameter(f"{name}.bias", self.random.uniform(-0.1, 0.1, out))
        return self.add("up", name, [x], (out, 2 * h, 2 * w), weight.astype(np.float32), bias.astype(np.float32))

    def pool(self, name, x, k):
        c, h, w = self.shapes[x]
        return self.add("pool", name, [x], (c, h // k, w // k), k=k)

    def resize(self, name, x, factor, align):
        c, h, w = self.shapes[x]
        return self.add("resize", name, [x], (c, h * factor, w * factor), factor=factor, align=align)

    def crop(self, name, x, h, w):
        c, H, W = self.shapes[x]
        return self.add("crop", name, [x], (c, h, w), top=(H - h) // 2, left=(W - w) // 2)

    def concat(self, name, parts):
        shapes = [self.shapes[p] for p in parts]
        return self.add("concat", name, parts, (sum(s[0] for s in shapes), *shapes[0][1:]))

    def sigmoid(self, name, x):
        return self.add("sigmoid", name, [x], self.shapes[x])

    def mean(self, name, parts):
        return self.add("mean", name, parts, self.shapes[parts[0]])

    def output(self, name, x):
        self.outputs[name] = x

    def save(self, path):
        """Writes our checkpoint: safetensors with the metadata `unet`."""
        about = json.dumps({"format": 1, "arch": self.arch, "config": self.config, "normalisation": {"kind": "none"}})
        header, offset = {"__metadata__": {"unet": about}}, 0
        for name, p in self.parameters.items():
            header[name] = {"dtype": "F32", "shape": list(p.shape), "data_offsets": [offset, offset + p.nbytes]}
            offset += p.nbytes
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        with open(path, "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            for p in self.parameters.values():
                file.write(p.astype("<f4").tobytes())


def unet(n, config):
    """Ronneberger et al. 2015, with batch normalisation."""
    pad = {"valid": 0, "same": 1}[config["padding"]]
    widths = [config["width"] << i for i in range(config["depth"] + 1)]
    x, skips = "input", []
    for i, width in enumerate(widths):
        if i:
            x = n.pool(f"enc.{i}.pool", x, 2)
        x = n.double_conv(f"enc.{i}", x, width, pad, bias=False)
        skips.append(x)
    for i in reversed(range(config["depth"])):
        up = n.up(f"up.{i}", x, widths[i])
        skip = skips[i] if pad else n.crop(f"dec.{i}.crop", skips[i], *n.shapes[up][1:])
        x = n.double_conv(f"dec.{i}", n.concat(f"dec.{i}.concat", [skip, up]), widths[i], pad, bias=False)
    n.output("logits", n.conv("head", x, config["out_channels"], kernel=1))


def unet_plus_plus(n, config):
    """Zhou et al. 2018: bilinear, aligned corners, a head on every node of row 0."""
    depth = config["depth"]
    widths = [config["width"] << i for i in range(depth + 1)]
    grid = {}
    for i in range(depth + 1):
        x = n.pool(f"node.x{i}_0.pool", grid[i - 1, 0], 2) if i else "input"
        grid[i, 0] = n.double_conv(f"node.x{i}_0", x, widths[i], 1, bias=False)
        for j in range(1, i + 1):
            r = i - j
            up = n.resize(f"up.x{r}_{j}", grid[r + 1, j - 1], 2, align=True)
            parts = [grid[r, k] for k in range(j)] + [up]
            cat = n.concat(f"node.x{r}_{j}.concat", parts)
            grid[r, j] = n.double_conv(f"node.x{r}_{j}", cat, widths[r], 1, bias=False)
    heads = []
    for j in range(1, depth + 1):
        z = n.conv(f"head.{j}", grid[0, j], config["out_channels"], kernel=1)
        n.output(f"logits.{j}", z)
        heads.append(n.sigmoid(f"fast.{j}", z))
    n.output("accurate_prob", n.mean("accurate_prob", heads))


def unet_3_plus(n, config):
    """Huang et al. 2020, without deep supervision: one head of 3x3."""
    depth, cat = config["depth"], config["width"]
    widths = [config["width"] << i for i in range(depth + 1)]
    x, enc = "input", []
    for i, width in enumerate(widths):
        if i:
            x = n.pool(f"enc.{i}.pool", x, 2)
        x = n.double_conv(f"enc.{i}", x, width, 1, bias=True)
        enc.append(x)
    dec = {depth: x}
    for d in reversed(range(depth)):
        parts = []
        for s in range(depth + 1):
            if s < d:
                x = n.pool(f"skip.{d}_{s}.pool", enc[s], 1 << (d - s))
            elif s == d:
                x = enc[s]
            else:
                x = n.resize(f"skip.{d}_{s}.up", dec[s], 1 << (s - d), align=False)
            name = f"skip.{d}_{s}"
            parts.append(n.conv(f"{name}.conv", x, cat, pad=1, norm=f"{name}.bn", relu=True))
        x = n.concat(f"fuse.{d}.concat", parts)
        dec[d] = n.conv(f"fuse.{d}.conv", x, cat * (depth + 1), pad=1, norm=f"fuse.{d}.bn", relu=True)
    z = n.conv("head.0", dec[0], config["out_channels"], pad=1)
    n.output("logits.0", z)
    n.output("probs.0", n.sigmoid("probs.0", z))


def config(**options):
    return {"in_channels": 1, "out_channels": 1, "depth": 4, **options}


CASES = {
    "unet64": ("U-Net width 64, same", "unet", config(width=64, padding="same", out_channels=2), 256),
    "unet64-valid": ("U-Net width 64, valid", "unet", config(width=64, padding="valid", out_channels=2), 572),
    "unet16": ("U-Net width 16, same", "unet", config(width=16, padding="same", out_channels=2), 256),
    "unet++": ("U-Net++ width 32, bilinear", "unetpp", config(width=32, up="bilinear", in_channels=3), 256),
    "unet3+": ("U-Net 3+ width 64", "unet3p", config(width=64, in_channels=3), 256),
}
