#!/usr/bin/env python3
"""Trains a built-in model in PyTorch, on images with labels.

    pip install numpy torch scikit-image safetensors
    python3 scripts/train_models.py NAME DATA OUT [--init FILE] [--validation-every 5]

NAME is one of MODELS. DATA holds images/ and labels/, where 0 is the background and every other number an instance. OUT/NAME/ gets
NAME.safetensors, which make_assets.py packs, and state.pt every 250 steps: the same command continues a run that was interrupted.
The recipe is that of `unet train` with `[instances] target = "multi"` and `preset = "microscopy"`. The random numbers are
others, and convolutions compute in bfloat16 unless --f32 is given.
"""

import argparse
import json
import math
import os
import pathlib
import time

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from skimage.io import imread
from torch import nn

CROP = 128  # pixels
BATCH = 8
MARGIN = 24  # pixels around a crop's labels, so that instances that it cuts keep their shape
SAVE_EVERY = 250  # steps
OFFSET_UNIT = 8.0  # pixels
LOWEST_RATE = 1e-5
NORMALISATION = {"kind": "percentile", "low": 1.0, "high": 99.8, "clamp": [0.0, 1.5]}
# The network's configuration, and parts of the training: steps, highest learning rate, steps of warm-up. A part begins with a new optimiser.
MODELS = {
    "nuclei_unet": ("unet", {"in_channels": 1, "width": 16, "depth": 4, "padding": "same"}, [(3000, 1e-3, 0), (2500, 8e-4, 100)]),
    "nuclei_unetpp": ("unetpp", {"in_channels": 1, "width": 16, "depth": 4, "up": "transpose"}, [(2000, 1e-3, 0), (1250, 8e-4, 100), (3000, 8e-4, 100)]),
    "nuclei_unet3p": ("unet3p", {"in_channels": 1, "width": 16, "depth": 4, "cat": 16, "deep_supervision": True}, [(2000, 1e-3, 0), (1250, 8e-4, 100), (2000, 8e-4, 100)]),
    "nuclei_he": ("unet", {"in_channels": 3, "width": 16, "depth": 3, "padding": "same"}, [(2000, 1e-3, 100)]),
}
PLANES = 5  # foreground, distance, touching border, offsets y and x


# Networks, with the names of docs/models.md. Every one returns the logits of its heads.


class DoubleConv(nn.Module):
    def __init__(self, channels, width, bias=False):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1, bias=bias)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=bias)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(x)))


class SingleConv(nn.Module):
    def __init__(self, channels, width):
        super().__init__()
        self.conv = nn.Conv2d(channels, width, 3, padding=1)
        self.bn = nn.BatchNorm2d(width)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)))


class UNet(nn.Module):
    def __init__(self, in_channels, width, depth, padding):
        super().__init__()
        assert padding == "same"
        self.depth = depth
        w = [width << i for i in range(depth + 1)]
        self.enc = nn.ModuleList(DoubleConv(w[i - 1] if i else in_channels, w[i]) for i in range(depth + 1))
        self.up = nn.ModuleDict({str(i): nn.ConvTranspose2d(w[i + 1], w[i], 2, stride=2) for i in range(depth)})
        self.dec = nn.ModuleDict({str(i): DoubleConv(2 * w[i], w[i]) for i in range(depth)})
        self.head = nn.Conv2d(width, PLANES, 1)

    def forward(self, x):
        skips = [self.enc[0](x)]
        for level in self.enc[1:]:
            skips.append(level(F.max_pool2d(skips[-1], 2)))
        x = skips[-1]
        for i in reversed(range(self.depth)):
            x = self.dec[str(i)](torch.cat([skips[i], self.up[str(i)](x)], 1))
        return [self.head(x)]


class UNetPlusPlus(nn.Module):
    def __init__(self, in_channels, width, depth, up):
        super().__init__()
        assert up == "transpose"
        self.depth = depth
        w = [width << i for i in range(depth + 1)]
        places = [(i, j) for j in range(depth + 1) for i in range(depth + 1 - j)]
        channels = {(i, j): w[i] * (j + 1) if j else w[i - 1] if i else in_channels for i, j in places}
        self.node = nn.ModuleDict({f"x{i}_{j}": DoubleConv(channels[i, j], w[i]) for i, j in places})
        self.up = nn.ModuleDict({f"x{i}_{j}": nn.ConvTranspose2d(w[i + 1], w[i], 2, stride=2) for i, j in places if j})
        self.head = nn.ModuleDict({str(j): nn.Conv2d(width, PLANES, 1) for j in range(1, depth + 1)})

    def forward(self, x):
        # rows[i] are the nodes of row i so far.
        rows = []
        for i in range(self.depth + 1):
            rows.append([self.node[f"x{i}_0"](F.max_pool2d(rows[-1][0], 2) if i else x)])
        for j in range(1, self.depth + 1):
            for i in range(self.depth + 1 - j):
                below = self.up[f"x{i}_{j}"](rows[i + 1][j - 1])
                rows[i].append(self.node[f"x{i}_{j}"](torch.cat([*rows[i], below], 1)))
        return [head(rows[0][int(j)]) for j, head in self.head.items()]


class UNet3Plus(nn.Module):
    def __init__(self, in_channels, width, depth, cat, deep_supervision):
        super().__init__()
        assert deep_supervision
        self.depth = depth
        w = [width << i for i in range(depth + 1)]
        fused = cat * (depth + 1)
        self.enc = nn.ModuleList(DoubleConv(w[i - 1] if i else in_channels, w[i], bias=True) for i in range(depth + 1))
        source = lambda d, s: w[s] if s <= d or s == depth else fused
        self.skip = nn.ModuleDict({f"{d}_{s}": SingleConv(source(d, s), cat) for d in range(depth) for s in range(depth + 1)})
        self.fuse = nn.ModuleDict({str(d): SingleConv(fused, fused) for d in range(depth)})
        widths = [fused] * depth + [w[depth]]
        self.head = nn.ModuleDict({str(d): nn.Conv2d(c, PLANES, 3, padding=1) for d, c in enumerate(widths)})

    def forward(self, x):
        levels = [self.enc[0](x)]
        for level in self.enc[1:]:
            levels.append(level(F.max_pool2d(levels[-1], 2)))
        # From the bottom up, `levels[d]` becomes the decoder's.
        encoder = list(levels)
        for d in reversed(range(self.depth)):
            parts = [F.max_pool2d(encoder[s], 2 ** (d - s)) for s in range(d)] + [encoder[d]]
            parts += [enlarged(levels[s], 2 ** (s - d)) for s in range(d + 1, self.depth + 1)]
            parts = [self.skip[f"{d}_{s}"](part) for s, part in enumerate(parts)]
            levels[d] = self.fuse[str(d)](torch.cat(parts, 1))
        return [enlarged(head(levels[int(d)]), 2 ** int(d)) for d, head in self.head.items()]


def enlarged(x, factor):
    return x if factor == 1 else F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


ARCHITECTURES = {"unet": UNet, "unetpp": UNetPlusPlus, "unet3p": UNet3Plus}


def initialise(net):
    """He initialisation."""
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            taps = module.kernel_size[0] * module.kernel_size[1] // (module.stride[0] * module.stride[1])
            nn.init.normal_(module.weight, std=math.sqrt(2 / (module.in_channels * taps)))
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def start_from(net, path):
    """Copies the tensors of a model of this architecture that may be deeper. If it has one channel and this has more, the first
    convolution takes their inverted mean, since stained nuclei are dark and fluorescent ones bright."""
    from safetensors.torch import load_file

    source, own = load_file(path), net.state_dict()
    for key, value in own.items():
        if not value.dtype.is_floating_point:
            continue
        tensor = source[key].float()
        if key == "enc.0.conv1.weight" and tensor.shape != value.shape:
            # 1 - x in place of x shifts what the normalisation gets by the sum of the weights.
            own["enc.0.bn1.running_mean"] = source["enc.0.bn1.running_mean"].float() - tensor.sum((1, 2, 3))
            tensor = -tensor.repeat(1, value.shape[1], 1, 1) / value.shape[1]
        elif key == "enc.0.bn1.running_mean" and source["enc.0.conv1.weight"].shape != own["enc.0.conv1.weight"].shape:
            continue
        own[key] = tensor
    net.load_state_dict(own)


# Targets, from labels with MARGIN pixels more on every side; -1 is unknown.


def touching_border(labels):
    """Where a disc of radius 2 holds two instances."""
    y, x = np.mgrid[-2:3, -2:3]
    disc = y * y + x * x <= 5
    highest = ndimage.maximum_filter(np.maximum(labels, 0), footprint=disc)
    lowest = ndimage.minimum_filter(np.where(labels > 0, labels, 1 << 30), footprint=disc)
    return (highest > 0) & (highest != lowest)


def target_planes(labels):
    """Known pixels, foreground, distance, touching border, offsets."""
    distance = np.zeros(labels.shape, np.float32)
    offsets = np.zeros((2, *labels.shape), np.float32)
    for number, place in enumerate(ndimage.find_objects(np.maximum(labels, 0)), 1):
        if place is None:
            continue
        inside = labels[place] == number
        depth = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
        distance[place][inside] = (depth / depth.max())[inside]
        y, x = np.nonzero(inside)
        centre = np.argmin((y - y.mean()) ** 2 + (x - x.mean()) ** 2)
        offsets[0][place][inside] = (y[centre] - y) / OFFSET_UNIT
        offsets[1][place][inside] = (x[centre] - x) / OFFSET_UNIT
    planes = np.stack([labels >= 0, labels > 0, distance, touching_border(labels), *offsets])
    return planes[:, MARGIN:-MARGIN, MARGIN:-MARGIN].astype(np.float32)


def loss(logits, target):
    """The loss `instances` of docs/training.md."""
    mean = lambda values, weights: (values * weights).sum() / weights.sum().clamp_min(1)
    entropy = lambda plane, truth: F.binary_cross_entropy_with_logits(plane, truth, reduction="none")
    known, foreground, distance, border, offsets = target[:, 0], target[:, 1], target[:, 2], target[:, 3], target[:, 4:6]
    error = F.smooth_l1_loss(logits[:, 3:5], offsets, reduction="none", beta=0.25).mean(1)
    return (
        mean(entropy(logits[:, 0], foreground), known)
        + 4 * mean((logits[:, 1] - distance) ** 2, known * (0.5 + foreground))
        + mean(entropy(logits[:, 2], border), known * (1 + 3 * border))
        + mean(error, known * foreground)
    )


# Crops: the preset `microscopy`.


def read(folder, name, channels):
    """A normalised image [C, H, W], its labels, and the median diameter of its instances."""
    image = np.atleast_3d(imread(folder / "images" / name)).astype(np.float32)[..., :channels]
    labels = imread(next((folder / "labels").glob(pathlib.Path(name).stem + ".*"))).astype(np.int32)
    low, high = np.percentile(image, [NORMALISATION["low"], NORMALISATION["high"]], axis=(0, 1))
    image = np.clip((image - low) / np.maximum(high - low, 1e-6), *NORMALISATION["clamp"])
    areas = np.bincount(labels.ravel())[1:]
    diameter = math.sqrt(np.median(areas[areas > 0]) * 4 / math.pi) if areas.any() else 24.0
    return image.transpose(2, 0, 1).astype(np.float32), labels, diameter


def smooth_field(rng, side, std):
    """A displacement [2, side, side]: cubic convolution of a grid of 3 x 3 random vectors."""

    def kernel(t):
        t = np.abs(t)
        return np.where(t <= 1, 1.5 * t**3 - 2.5 * t**2 + 1, np.where(t < 2, -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2, 0))

    at = np.arange(side) * 2 / (side - 1)
    # Grid points beyond the grid repeat the outermost.
    weights = np.stack([sum(kernel(at - p) for p in range(-2, 5) if min(max(p, 0), 2) == k) for k in range(3)], 1)
    return np.einsum("yi,aij,xj->ayx", weights, rng.normal(0, std, (2, 3, 3)), weights)


def log_uniform(rng, low, high):
    return math.exp(rng.uniform(math.log(low), math.log(high)))


class Crops(torch.utils.data.Dataset):
    """Crop `i` depends on the seed and `i` alone."""

    def __init__(self, images, seed):
        self.images, self.seed = images, seed

    def __getitem__(self, i):
        rng = np.random.default_rng([self.seed, i])
        for _ in range(4):
            image, labels = self.draw(rng)
            inner = labels[MARGIN:-MARGIN, MARGIN:-MARGIN]
            # Nearly empty crops are mostly drawn again.
            if (inner > 0).mean() > 0.02 or rng.random() >= 0.8:
                break
        return torch.from_numpy(image.astype(np.float32)), torch.from_numpy(target_planes(labels))

    def draw(self, rng):
        image, labels, diameter = self.images[rng.integers(len(self.images))]
        corner = [rng.integers(max(size - CROP, 0) + 1) for size in labels.shape]
        side = CROP + 2 * MARGIN
        centred = np.arange(side) - (side - 1) / 2
        y, x = np.meshgrid(centred, centred, indexing="ij")
        scale = log_uniform(rng, max(0.5, min(8 / diameter, 1)), min(2.0, max(72 / diameter, 1)))
        angle = rng.uniform(0, 2 * math.pi) if rng.random() < 0.5 else 0.0
        turned = np.stack([math.cos(angle) * y + math.sin(angle) * x, math.cos(angle) * x - math.sin(angle) * y]) / scale
        if rng.random() < 0.5:
            turned += smooth_field(rng, side, 6.0) / max(scale, 1)
        places = turned + np.array(corner)[:, None, None] + (CROP - 1) / 2
        inner = places[:, MARGIN:-MARGIN, MARGIN:-MARGIN]
        pixels = np.stack([ndimage.map_coordinates(plane, inner, order=1, mode="mirror") for plane in image])
        near = np.floor(places + 0.5).astype(int)
        end = np.array(labels.shape)[:, None, None]
        inside = ((near >= 0) & (near < end)).all(0)
        found = np.where(inside, labels[tuple(np.clip(near, 0, end - 1))], -1)
        turns = rng.integers(4)
        pixels, found = np.rot90(pixels, turns, (1, 2)), np.rot90(found, turns)
        if rng.random() < 0.5:
            pixels, found = pixels[..., ::-1], found[..., ::-1]
        pixels = pixels * rng.uniform(0.7, 1.3) + rng.uniform(-0.1, 0.1)
        if rng.random() < 0.5:
            pixels = np.maximum(pixels, 0) ** log_uniform(rng, 0.6, 1.6)
        if rng.random() < 0.3:
            sigma = rng.uniform(0.4, 1.6)
            pixels = ndimage.gaussian_filter(pixels, (0, sigma, sigma))
        if rng.random() < 0.4:
            pixels = pixels + rng.normal(0, rng.uniform(0.01, 0.08), pixels.shape)
        return pixels, np.ascontiguousarray(found)


# Training.


def part_of(step, parts):
    """The step within its part, and the part."""
    for steps, rate, warm in parts:
        if step < steps:
            return step, steps, rate, warm
        step -= steps
    raise ValueError(step)


def learning_rate(step, parts):
    at, steps, rate, warm = part_of(step, parts)
    return (LOWEST_RATE + (rate - LOWEST_RATE) * (1 + math.cos(math.pi * at / steps)) / 2) * min(1, (at + 1) / max(warm, 1))


def save_model(path, net, arch, config):
    from safetensors.torch import save_file

    config = {**config, "out_channels": PLANES}
    if arch == "unetpp":
        config["deep_supervision"] = False  # the last head alone is used, the others were for training
    tensors = {k: v.contiguous().float().cpu() for k, v in net.state_dict().items() if v.dtype.is_floating_point}
    metadata = {"format": 1, "arch": arch, "config": config, "target": "multi", "normalisation": NORMALISATION}
    save_file(tensors, path, {"unet": json.dumps(metadata)})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=MODELS)
    parser.add_argument("data", type=pathlib.Path, help="folder with images/ and labels/")
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--init", type=pathlib.Path, help="a safetensors file to start from; nuclei_he: nuclei_unet's")
    parser.add_argument("--validation-every", type=int, default=0, help="5: leave out the first image and every fifth after it")
    parser.add_argument("--steps", type=int, help="stop after so many, such as for a test")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1, help="processes that make crops")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--f32", action="store_true", help="no bfloat16")
    args = parser.parse_args()
    arch, config, parts = MODELS[args.name]
    out = args.out / args.name
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    names = sorted(os.listdir(args.data / "images"))
    if args.validation_every:
        names = [name for i, name in enumerate(names) if i % args.validation_every]
    images = [read(args.data, name, config["in_channels"]) for name in names]
    print(f"{len(images)} images, median diameter {np.median([d for _, _, d in images]):.1f}", flush=True)

    net = ARCHITECTURES[arch](**config)
    initialise(net)
    if args.init:
        start_from(net, args.init)
    net = net.to(args.device, memory_format=torch.channels_last)
    state, first, optimiser = out / "state.pt", 0, torch.optim.Adam(net.parameters())
    if state.exists():
        saved = torch.load(state, map_location=args.device, weights_only=True)
        net.load_state_dict(saved["net"])
        optimiser.load_state_dict(saved["optimiser"])
        first = saved["step"]
        print(f"continued at step {first}", flush=True)
    whole = sum(part[0] for part in parts)
    last = min(args.steps or whole, whole)
    loader = torch.utils.data.DataLoader(
        Crops(images, args.seed), BATCH, sampler=range(first * BATCH, last * BATCH), num_workers=args.workers
    )
    recent, started = [], time.time()
    for step, (x, target) in enumerate(loader, first):
        if part_of(step, parts)[0] == 0:
            optimiser = torch.optim.Adam(net.parameters())
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, parts)
        x = x.to(args.device, memory_format=torch.channels_last)
        with torch.autocast(torch.device(args.device).type, torch.bfloat16, enabled=not args.f32):
            heads = net(x)
        value = torch.stack([loss(head.float(), target.to(args.device)) for head in heads]).mean()
        if not torch.isfinite(value):
            raise SystemExit(f"the loss is {value.item()} at step {step}")
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        recent.append(value.item())
        if (step + 1) % 50 == 0:
            print(f"step {step + 1}, loss {np.mean(recent):.4f}, {time.time() - started:.0f} s", flush=True)
            recent = []
        if (step + 1) % SAVE_EVERY == 0:
            torch.save({"net": net.state_dict(), "optimiser": optimiser.state_dict(), "step": step + 1}, out / "state.tmp")
            os.replace(out / "state.tmp", state)
    save_model(out / f"{args.name}.safetensors", net, arch, config)


if __name__ == "__main__":
    main()
