#!/usr/bin/env python3
"""Writes assets/fixtures/objects_skimage.json: the results of scikit-image and SciPy for two masks, with which the tests of
src/infer/instances compare. Needs: pip install scikit-image (made with 0.26).

    python3 scripts/skimage_objects.py > assets/fixtures/objects_skimage.json
"""
import json

import numpy as np
from scipy import ndimage
from skimage import measure, morphology, segmentation

rng = np.random.default_rng(5)


def discs(height, width, count, radius):
    y, x = np.mgrid[:height, :width]
    mask = np.zeros((height, width), bool)
    for _ in range(count):
        cy, cx = rng.uniform(0, height), rng.uniform(0, width)
        a, b, angle = radius * rng.uniform(0.6, 1.4), radius * rng.uniform(0.6, 1.4), rng.uniform(0, np.pi)
        u, v = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle), (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)
        mask |= (u / a) ** 2 + (v / b) ** 2 <= 1
    return mask


cases = []
for height, width, count, radius in [(46, 61, 12, 8), (39, 33, 6, 7)]:
    mask = discs(height, width, count, radius)
    labels, found = ndimage.label(mask)
    squared = np.rint(ndimage.distance_transform_edt(mask) ** 2).astype(int)
    # h-maxima of the distance itself. No depth is a difference of square roots, so float rounding decides nothing.
    maxima = {}
    for depth in [0.37, 1.13, 2.21]:
        regions, n = ndimage.label(morphology.h_maxima(np.sqrt(squared), depth), np.ones((3, 3)))
        maxima[str(depth)] = [np.flatnonzero(regions == k).tolist() for k in range(1, n + 1)]
    # A landscape without equal heights, so that the order of pixels is unambiguous.
    heights = rng.permutation(mask.size).reshape(mask.shape) + 1
    smooth = ndimage.gaussian_filter(heights.astype(float), 2)
    heights = np.argsort(np.argsort(smooth.ravel())).reshape(mask.shape) + 1
    seeds = sorted(int(i) for i in rng.choice(np.flatnonzero(mask), 9, replace=False))
    markers = np.zeros(mask.shape, int)
    markers.ravel()[seeds] = np.arange(1, len(seeds) + 1)
    floods = [segmentation.watershed(-heights, markers, connectivity=c, mask=mask).ravel().tolist() for c in (1, 2)]
    intensity = rng.integers(0, 4096, mask.shape)
    props = [
        {
            "area": int(p.area),
            "centroid": [float(v) for v in p.centroid],
            "bbox": [int(v) for v in p.bbox],
            "eccentricity": float(p.eccentricity),
            "perimeter": float(measure.perimeter_crofton(np.pad(p.image, 1), 4)),
            "mean": float(p.intensity_mean),
        }
        for p in measure.regionprops(labels, intensity)
    ]
    cases.append(
        {
            "width": width,
            "height": height,
            "mask": mask.astype(int).ravel().tolist(),
            "labels": labels.ravel().tolist(),
            "squared": squared.ravel().tolist(),
            "maxima": maxima,
            "heights": heights.ravel().tolist(),
            "seeds": seeds,
            "floods": floods,
            "intensity": intensity.ravel().tolist(),
            "objects": props,
        }
    )
print(json.dumps(cases, separators=(",", ":")))
