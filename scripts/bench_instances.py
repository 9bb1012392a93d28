"""Instances of several programs on the same images, scored alike: see bench_instances.sh, which starts it.

A found instance matches a true one above the IoU threshold (at most one does from 0.5 on). F1 and AP = TP / (TP + FP + FN) are over the
instances of all images, mean AP over IoU 0.5, 0.55 .. 0.9; Dice is the mean over images.
"""
import argparse
import pathlib
import subprocess
import tempfile
import time

import numpy as np
import tifffile
from scipy import ndimage
from skimage import feature, filters, io, measure, morphology, segmentation

THRESHOLDS = np.arange(50, 91, 5) / 100
# Published programs whose wheels on PyPI have no weights; they fetch them from elsewhere when they start.
WITHOUT_WEIGHTS = ["StarDist (stardist 0.9.2: GitHub)", "Cellpose (cellpose 4.2.1: Hugging Face)", "InstanSeg (instanseg-torch 0.1.2: GitHub)"]


def grey(path):
    image = io.imread(path)
    return image[..., :3].mean(-1) if image.ndim == 3 else image


def otsu(image):
    """Otsu's threshold, then a watershed of the smoothed distance, as scikit-image's gallery shows it. Dark objects where the image is bright."""
    smooth = filters.gaussian(image.astype(np.float32), 1)
    threshold = filters.threshold_otsu(smooth)
    mask = smooth > threshold if np.median(smooth) <= threshold else smooth < threshold
    mask = morphology.remove_small_objects(ndimage.binary_fill_holes(mask), max_size=19)
    distance = filters.gaussian(ndimage.distance_transform_edt(mask), 1)
    seeds = np.zeros(mask.shape, bool)
    seeds[tuple(feature.peak_local_max(distance, min_distance=5, labels=measure.label(mask)).T)] = True
    return segmentation.watershed(-distance, measure.label(seeds), mask=mask)


def compare(found, true):
    """(matches at each threshold, instances found, true instances, Dice of the foreground) of two label maps."""
    found, true = segmentation.relabel_sequential(found)[0], segmentation.relabel_sequential(true)[0]
    n, m = int(found.max()), int(true.max())
    shared = np.bincount(found.ravel().astype(np.int64) * (m + 1) + true.ravel(), minlength=(n + 1) * (m + 1)).reshape(n + 1, m + 1)
    union = shared.sum(1)[1:, None] + shared.sum(0)[None, 1:] - shared[1:, 1:]
    iou = shared[1:, 1:] / np.maximum(union, 1)
    foreground = (found > 0).sum() + (true > 0).sum()
    dice = 2 * ((found > 0) & (true > 0)).sum() / foreground if foreground else 1.0
    return np.array([(iou > t).sum() for t in THRESHOLDS]), n, m, dice


def report(name, rows, seconds):
    hits, n, m = (sum(r[i] for r in rows) for i in range(3))
    ap = hits / np.maximum(n + m - hits, 1)
    scores = [2 * hits[0] / max(n + m, 1), ap[0], ap[5], ap.mean(), np.mean([r[3] for r in rows])]
    print(f"| {name} | " + " | ".join(f"{v:.3f}" for v in scores) + f" | {n} of {m} | {1000 * seconds / len(rows):.0f} |", flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("unet")
    p.add_argument("data", nargs="+", type=pathlib.Path)
    p.add_argument("-m", "--model", action="append", help="a model of unet; default: the built-in ones for nuclei in fluorescence")
    a = p.parse_args()
    models = a.model or ["nuclei", "nuclei-unet++", "nuclei-unet3+"]
    for data in a.data:
        images = sorted((data / "images").iterdir())
        truth = [io.imread(next((data / "labels").glob(f"{i.stem}.*"))) for i in images]
        print(f"\n{data}: {len(images)} images\n\n| program | F1 at 0.5 | AP50 | AP75 | mAP | Dice | found | ms an image |\n|---|---|---|---|---|---|---|---|")
        for model in models:
            with tempfile.TemporaryDirectory() as out:
                start = time.perf_counter()
                subprocess.run([a.unet, "segment", data / "images", "-m", model, "-o", out, "--save", "labels"], check=True, stdout=subprocess.DEVNULL)
                seconds = time.perf_counter() - start
                rows = [compare(tifffile.imread(f"{out}/{i.stem}_labels.tif"), t) for i, t in zip(images, truth)]
            report(f"unet, {pathlib.Path(model).name}", rows, seconds)
        start = time.perf_counter()
        found = [otsu(grey(i)) for i in images]
        seconds = time.perf_counter() - start
        report("scikit-image, Otsu and watershed", [compare(f, t) for f, t in zip(found, truth)], seconds)
    print("\nNot compared, since no package registry has their weights: " + ", ".join(WITHOUT_WEIGHTS) + ".")


if __name__ == "__main__":
    main()
