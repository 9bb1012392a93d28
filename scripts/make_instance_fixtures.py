#!/usr/bin/env python3
"""Writes assets/fixtures/instance_planes.safetensors: planes of networks that tell touching instances apart, and what the
reference (`instances_reference.py` of the project's shared files) makes of them. Needs numpy, scipy, scikit-image, torch,
safetensors, pillow.

    UNET_REFERENCE=DIR python3 scripts/make_instance_fixtures.py MULTI.safetensors IMAGE.png...

DIR holds the reference, MULTI is a network of target `multi`; images are crops' sources. Cases: random rasters, then a crop of
each image. Tensors, by case `NN/`: `probability`, `distance`, `border` (a probability), `offset` (2 planes, pixels), `smooth`
(the elevation), and labels: `multi`, `distance_labels`, `offsets` with the reference's rules, `*_all` without rules that drop.
Unlike the reference, an elevation is flooded without the holes of components, which several instances may enclose together.
`--again` computes labels of elevations anew from the planes in the file.
"""
import os
import sys

import numpy as np
from safetensors.numpy import load_file, save_file
from scipy import ndimage

sys.path.insert(0, os.environ["UNET_REFERENCE"])
import instances_reference as reference  # noqa: E402

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "assets", "fixtures", "instance_planes.safetensors")
ALL = dict(min_area=0, relative=0, confidence=0)
rng = np.random.default_rng(8)


def noise(shape, sigma):
    field = ndimage.gaussian_filter(rng.normal(size=shape), sigma)
    return field / field.std()


def random_planes(height, width, radius):
    """Foreground with holes and islands, a distance with many ties, offsets to the nearest of random centres."""
    shape = (height, width)
    count = height * width // (4 * radius * radius) + 1
    centres = np.stack([rng.integers(0, height, count), rng.integers(0, width, count)], 1)
    y, x = np.mgrid[:height, :width]
    away = np.hypot(y[..., None] - centres[:, 0], x[..., None] - centres[:, 1])
    nearest = away.argmin(-1)
    least = away.min(-1)
    logit = (radius - least) + 1.5 * noise(shape, 0.8)
    distance = np.round(np.clip(1.1 - least / radius, 0, 1) * 16 + noise(shape, 1)) / 16
    second = np.sort(away, -1)[..., min(1, count - 1)]
    border = 3 - 2 * (second - least) + noise(shape, 0.5)
    offsets = [(centres[nearest, k] - at + 0.7 * noise(shape, 0.6)) / reference.OFFSET_UNIT for k, at in enumerate((y, x))]
    return np.stack([logit, distance, border, *offsets]).astype(np.float32)


def speckle(height, width):
    """Noise: single pixels, rings, islands in holes."""
    return np.stack([noise((height, width), s) for s in (0.7, 0.7, 0.5, 0.5, 0.5)]).astype(np.float32)


def by_elevation(probability, distance, border, target, **options):
    """`reference.objects` of planes, where only what one instance encloses is filled."""
    q = {**reference.ELEVATION[target], **options}
    rules = {k: options[k] for k in ("min_area", "relative", "confidence") if k in options}
    elevation = distance - q["border"] * border if q["border"] else distance
    if q["sigma"]:
        elevation = ndimage.gaussian_filter(elevation, q["sigma"])
    parts = reference.flood(elevation, probability > q["threshold"], q["depth"], q["least"])
    return reference.finish(parts, probability, **rules)


def elevations(probability, distance, border):
    return {
        name + suffix: by_elevation(probability, distance, border, target, **rules)
        for name, target in (("multi", "multi"), ("distance_labels", "distance"))
        for suffix, rules in (("", {}), ("_all", ALL))
    }


def again():
    """Elevations' labels of the file, from its planes."""
    tensors = load_file(OUT)
    for case in sorted({name[:2] for name in tensors}):
        planes = (tensors[f"{case}/{name}"] for name in ("probability", "distance", "border"))
        for name, labels in elevations(*planes).items():
            before = tensors[f"{case}/{name}"]
            print(case, name, int(before.max()), int(labels.max()), int((before != labels).sum()), "pixels differ")
            tensors[f"{case}/{name}"] = labels.astype(np.uint8)
    save_file(tensors, OUT)


def crops(weights, pictures):
    import torch

    torch.set_num_threads(1)
    meta, net = reference.restore(weights)
    for i, path in enumerate(pictures):
        image = np.asarray(reference.Image.open(path)).astype(np.float32)
        image = image[..., 0] if image.ndim == 3 else image
        low, high = np.percentile(image, [1.0, 99.8])
        z = reference.predict(meta["arch"], net, np.clip((image - low) / max(high - low, 1e-6), 0, 1.5).astype(np.float32))
        height, width = 44 + 4 * (i % 2), 56
        # Where the foreground is densest.
        dense = ndimage.uniform_filter((z[0] > 0).astype(np.float32), (height, width), mode="constant")
        y, x = np.unravel_index(dense.argmax(), dense.shape)
        y = int(np.clip(y - height // 2, 0, image.shape[0] - height))
        x = int(np.clip(x - width // 2, 0, image.shape[1] - width))
        yield np.ascontiguousarray(z[:, y : y + height, x : x + width])


if sys.argv[1:] == ["--again"]:
    again()
    sys.exit()
tensors = {}
cases = [random_planes(40, 33, 6), random_planes(31, 50, 4), speckle(30, 41), *crops(sys.argv[1], sys.argv[2:])]
for n, z in enumerate(cases):
    case = f"{n:02}"
    probability, border = reference.sigmoid(z[0]), reference.sigmoid(z[2])
    smooth = ndimage.gaussian_filter(z[1] - 0.5 * border, 1.0)
    planes = dict(probability=probability, distance=z[1], border=border, offset=z[3:] * np.float32(8), smooth=smooth)
    labels = {
        **elevations(probability, z[1], border),
        "offsets": reference.objects_by_offsets(z),
        "offsets_all": reference.objects_by_offsets(z, votes=5, min_seed=4, **ALL),
    }
    for name, plane in planes.items():
        assert plane.dtype == np.float32, name
        tensors[f"{case}/{name}"] = np.ascontiguousarray(plane)
    for name, map_ in labels.items():
        assert map_.max() < 256
        tensors[f"{case}/{name}"] = map_.astype(np.uint8)
    print(case, z.shape, {name: int(map_.max()) for name, map_ in labels.items()})
save_file(tensors, OUT)
