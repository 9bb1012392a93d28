"""Draws where instances differ from the ground truth, for models/README.md.

    python scripts/draw_failures.py OUT.png LABELS_FOLDER DATA_FOLDER NAME...

DATA_FOLDER holds images/NAME.png and labels/NAME.{tif,png}; LABELS_FOLDER holds NAME_labels.tif of `unet segment --save labels`. Each
panel is a window of 256 x 256 pixels with most mistakes. Found (IoU above 0.5): green; missed: red, by the ground truth; wrong: yellow,
as predicted. Needs numpy, scikit-image, tifffile.
"""

import sys
from pathlib import Path

import numpy as np
from skimage import exposure, io, segmentation

GREEN, RED, YELLOW = (60, 220, 90), (255, 60, 60), (255, 215, 0)
SIDE = 256


def find(folder, name):
    paths = [p for p in (folder / f"{name}.tif", folder / f"{name}.png") if p.exists()]
    if not paths:
        sys.exit(f"{folder}: no labels for {name}")
    return io.imread(paths[0])


def matched(truth, found):
    """Pairs of ids with an IoU above 0.5; at most one each."""
    pairs, counts = np.unique(np.stack([truth.ravel(), found.ravel()]), axis=1, return_counts=True)
    areas = [dict(zip(*np.unique(a, return_counts=True))) for a in (truth, found)]
    inside = [(t, f) for (t, f), n in zip(pairs.T, counts) if t and f and 2 * n > areas[0][t] + areas[1][f] - n]
    return {t for t, _ in inside}, {f for _, f in inside}


def panel(image, truth, found):
    grey = image if image.ndim == 2 else image[..., :3].mean(-1)
    low, high = np.percentile(grey, (1, 99.8))
    grey = exposure.rescale_intensity(grey.astype(float), in_range=(low, max(high, low + 1)), out_range=(0, 200))
    canvas = np.stack([grey] * 3, -1).astype(np.uint8)
    right, good = matched(truth, found)
    for labels, keep, colour in (
        (found, np.isin(found, list(good)), GREEN),
        (truth, (truth > 0) & ~np.isin(truth, list(right)), RED),
        (found, (found > 0) & ~np.isin(found, list(good)), YELLOW),
    ):
        edges = segmentation.find_boundaries(labels, mode="inner") & keep
        canvas[edges] = colour
    wrong = ((truth > 0) & ~np.isin(truth, list(right))) | ((found > 0) & ~np.isin(found, list(good)))
    h, w = wrong.shape
    starts = [(y, x) for y in range(0, max(h - SIDE, 0) + 1, 32) for x in range(0, max(w - SIDE, 0) + 1, 32)]
    y, x = max(starts, key=lambda s: wrong[s[0] : s[0] + SIDE, s[1] : s[1] + SIDE].sum())
    tile = np.zeros((SIDE, SIDE, 3), np.uint8)
    part = canvas[y : y + SIDE, x : x + SIDE]
    tile[: part.shape[0], : part.shape[1]] = part
    print(f"{len(right)} of {len(np.unique(truth)) - 1} found, {len(np.unique(found)) - 1 - len(good)} wrong")
    return tile


def main():
    out, labels, data, names = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:]
    panels = []
    for name in names:
        print(name, end=": ")
        truth = find(data / "labels", name)
        panels.append(panel(io.imread(data / "images" / f"{name}.png"), truth, io.imread(labels / f"{name}_labels.tif")))
    gap = np.full((SIDE, 4, 3), 255, np.uint8)
    row = [p for tile in panels for p in (tile, gap)][:-1]
    io.imsave(out, np.concatenate(row, axis=1), check_contrast=False)


if __name__ == "__main__":
    main()
