#!/usr/bin/env python3
"""Compares the scores of instances that `unet eval` prints with those of plain NumPy and SciPy code, image by image and pooled,
of the label images that `unet segment --save labels` writes. Needs: pip install numpy scipy pillow tifffile.

    python3 scripts/check_instance_scores.py UNET DATA [MODEL [OPTIONS OF unet segment AND unet eval ..]]
    python3 scripts/check_instance_scores.py --fixtures > assets/fixtures/instance_scores.json

DATA is a folder with images/ and labels/. The fixtures are small label maps with their scores, for the tests of
src/train/metrics/instances.rs.
"""
import csv
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

THRESHOLDS = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9]


def masks(labels):
    return [labels == n for n in np.unique(labels) if n > 0]


def iou_table(truth, found):
    """IoU of every true with every found instance, each by its own masks."""
    table = np.zeros((len(truth), len(found)))
    for i, t in enumerate(truth):
        for k, f in enumerate(found):
            both = np.count_nonzero(t & f)
            if both:
                table[i, k] = both / np.count_nonzero(t | f)
    return table


def counts(truth_map, found_map):
    """What can be summed over images."""
    from scipy.optimize import linear_sum_assignment

    truth, found = masks(truth_map), masks(found_map)
    iou = iou_table(truth, found)
    out = {"true": len(truth), "found": len(found), "tp": [], "pq": 0.0, "seg": 0.0, "i": 0, "u": 0}
    for t in THRESHOLDS:
        # The most matches from the threshold on that use each instance once, as StarDist's `matching`.
        hit = iou >= t
        rows, columns = linear_sum_assignment(-(hit + iou / (2 * max(1, min(iou.shape, default=1))))) if iou.size else ([], [])
        out["tp"].append(int(hit[rows, columns].sum()) if iou.size else 0)
    out["pq"] = float(iou[iou > 0.5].sum())
    used = set()
    for i, t in enumerate(truth):
        # SEG: the found instance that covers more than half.
        for k, f in enumerate(found):
            if 2 * np.count_nonzero(t & f) > np.count_nonzero(t):
                out["seg"] += iou[i, k]
        # AJI: the found instance of the largest IoU; several may choose the same.
        k = int(iou[i].argmax()) if found else 0
        if not found or iou[i, k] == 0:
            out["u"] += int(np.count_nonzero(t))
            continue
        out["i"] += int(np.count_nonzero(t & found[k]))
        out["u"] += int(np.count_nonzero(t | found[k]))
        used.add(k)
    out["u"] += sum(int(np.count_nonzero(f)) for k, f in enumerate(found) if k not in used)
    return out


def ratio(a, b):
    return 1.0 if a == 0 and b == 0 else a / b


def scores(rows):
    """Of one image or of several."""
    total = {k: sum(np.asarray(r[k]) for r in rows) for k in rows[0]}
    n, m, tp = int(total["found"]), int(total["true"]), [int(v) for v in total["tp"]]
    ap = [ratio(t, n + m - t) for t in tp]
    return {
        **{f"f1@{t}": ratio(2 * k, n + m) for t, k in zip(THRESHOLDS, tp)},
        **{f"ap@{t}": v for t, v in zip(THRESHOLDS, ap)},
        "mean_ap": float(np.mean(ap)),
        "aji": ratio(int(total["i"]), int(total["u"])),
        "pq": ratio(float(total["pq"]), (n + m) / 2),
        "seg": ratio(float(total["seg"]), m),
    }


def fixtures():
    rng = np.random.default_rng(7)
    cases = []
    for size, count in [((14, 19), 6), ((23, 17), 9), ((9, 9), 0)]:
        def draw(centres):
            y, x = np.mgrid[: size[0], : size[1]]
            out = np.zeros(size, int)
            for n, (cy, cx, r) in enumerate(centres):
                out[((y - cy) ** 2 + (x - cx) ** 2 <= r * r) & (out == 0)] = n + 1
            return out
        true = [(rng.uniform(0, size[0]), rng.uniform(0, size[1]), rng.uniform(1.5, 4)) for _ in range(count)]
        moved = [(y + rng.normal(0, 0.7), x + rng.normal(0, 0.7), max(1, r + rng.normal(0, 0.5))) for y, x, r in true]
        found = moved[: count - 1] + [(rng.uniform(0, size[0]), rng.uniform(0, size[1]), 2.0)] * min(count, 2)
        cases.append((draw(true), draw(found)))
    rows = [counts(t, f) for t, f in cases]
    images = [
        {"width": t.shape[1], "height": t.shape[0], "truth": t.ravel().tolist(), "found": f.ravel().tolist(), "scores": scores([r])}
        for (t, f), r in zip(cases, rows)
    ]
    print(json.dumps({"images": images, "pooled": scores(rows)}, separators=(",", ":")))


def check(unet, data, model, options):
    import tifffile
    from PIL import Image

    data = pathlib.Path(data)
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder)
        common = ["-m", model, *options]
        subprocess.run([unet, "segment", data / "images", "-o", out, "--save", "labels", *common], check=True, stdout=subprocess.DEVNULL)
        done = subprocess.run([unet, "eval", "--data", data, "--csv", out / "s.csv", "--json", *common], check=True, stdout=subprocess.PIPE)
        document = json.loads(done.stdout)
        with open(out / "s.csv") as file:
            table = {row["name"]: row for row in csv.DictReader(file)}
        rows, worst = [], 0.0
        for image in sorted((data / "images").iterdir()):
            found = tifffile.imread(out / f"{image.stem}_labels.tif")
            truth = np.asarray(Image.open(next((data / "labels").glob(image.stem + ".*"))))
            rows.append(counts(truth, found))
            row, own = table[image.stem], scores([rows[-1]])
            assert (int(row["true_instances"]), int(row["predicted_instances"])) == (rows[-1]["true"], rows[-1]["found"]), image
            for name, value in own.items():
                difference = abs(float(row[name]) - value)
                worst = max(worst, difference)
                assert difference < 1e-9, (image, name, row[name], value)
        own, theirs = scores(rows), document["instances"]
        for i, t in enumerate(THRESHOLDS):
            at = theirs["thresholds"][i]
            assert at["tp"] == sum(r["tp"][i] for r in rows), t
            worst = max(worst, abs(at["f1"] - own[f"f1@{t}"]), abs(at["ap"] - own[f"ap@{t}"]))
        worst = max([worst] + [abs(theirs[k] - own[k]) for k in ("mean_ap", "aji", "pq", "seg")])
        assert worst < 1e-9, worst
        shown = {k: round(own[k], 4) for k in ("f1@0.5", "ap@0.5", "ap@0.75", "mean_ap", "aji", "pq", "seg")}
        print(f"{model}: {len(rows)} images, largest difference {worst:.1e}; {shown}; {document.get('instances_by')}")


if __name__ == "__main__":
    if sys.argv[1:] == ["--fixtures"]:
        fixtures()
    elif len(sys.argv) > 2:
        check(sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else "nuclei", sys.argv[4:])
    else:
        raise SystemExit(__doc__)
