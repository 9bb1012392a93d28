"""Sample data: drawn, so that nothing is downloaded."""

from __future__ import annotations

from typing import Any

import numpy as np


def discs(shape: tuple[int, int], count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A uint16 image of bright discs, some of which touch, and the instance of every pixel."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = rng.normal(400, 30, shape)
    labels = np.zeros(shape, np.int32)
    centres: list[tuple[float, float, float]] = []
    # As many tries as a crowded image needs; discs may touch, but not overlap by more than a fifth of a radius.
    for _ in range(100 * count):
        if len(centres) == count:
            break
        cy, cx, r = rng.uniform(12, shape[0] - 12), rng.uniform(12, shape[1] - 12), rng.uniform(8, 12)
        if any(np.hypot(cy - a, cx - b) < 0.9 * (r + c) for a, b, c in centres):
            continue
        centres.append((cy, cx, r))
        distance = np.hypot(y - cy, x - cx)
        image += rng.uniform(1500, 3000) / (1 + np.exp((1.5 * (distance - r)).clip(-50, 50)))
        labels[(distance < r) & (labels == 0)] = len(centres)
    return image.clip(0, 65535).round().astype(np.uint16), labels


def sample_discs() -> list[tuple[Any, dict[str, Any], str]]:
    """An image of touching discs."""
    image, _ = discs((384, 512), 90, 1)
    return [(image, {"name": "discs", "contrast_limits": (0, 3500)}, "image")]


def sample_stack() -> list[tuple[Any, dict[str, Any], str]]:
    """A stack of five planes, 0.325 micrometres across and down and 1 between planes."""
    stack = np.stack([discs((192, 256), 22, seed)[0] for seed in range(5)])
    options = {"name": "stack", "scale": (1.0, 0.325, 0.325), "units": ("um",) * 3, "contrast_limits": (0, 3500)}
    return [(stack, options, "image")]
