#!/usr/bin/env python3
"""Reads the instance files of `unet segment --save labels,geojson,coco,rois,csv` with other readers (scikit-image, Shapely,
pycocotools, roifile) and compares them with each other.

    pip install scikit-image shapely pycocotools roifile
    python3 scripts/check_objects.py results/cells cells.tif
"""
import csv
import json
import sys

import numpy as np
import roifile
from pycocotools.coco import COCO
from shapely import contains_xy
from shapely.geometry import shape
from skimage import io, measure

stem, pixels = sys.argv[1], io.imread(sys.argv[2])
labels = io.imread(stem + "_labels.tif")
height, width = labels.shape
props = {p.label: p for p in measure.regionprops(labels, pixels)}
assert sorted(props) == list(range(1, len(props) + 1)), "numbers have gaps"


def inside(geometry, box):
    """Pixels of the box (rows and columns) whose centre lies in the geometry."""
    y, x = np.mgrid[box[0] : box[2], box[1] : box[3]]
    return contains_xy(geometry, x + 0.5, y + 0.5)


features = json.load(open(stem + "_contours.geojson"))["features"]
assert len(features) == len(props)
for f in features:
    g, p = shape(f["geometry"]), props[int(f["properties"]["name"])]
    assert g.is_valid and g.area == p.area == f["properties"]["measurements"]["Area px^2"]
    assert (inside(g, p.bbox) == p.image).all()

coco = COCO(stem + "_coco.json")
assert len(coco.anns) == len(props)
for a in coco.anns.values():
    p = props[a["id"]]
    assert (coco.annToMask(a).astype(bool) == (labels == a["id"])).all(), a["id"]
    assert a["area"] == p.area and a["bbox"] == [p.bbox[1], p.bbox[0], p.bbox[3] - p.bbox[1], p.bbox[2] - p.bbox[0]]

rois = roifile.roiread(stem + "_rois.zip")
assert len(rois) == len(props)
kinds = {}
for r in rois:
    p = props[int(r.name)]
    kinds[r.roitype.name] = kinds.get(r.roitype.name, 0) + 1
    assert [r.top, r.left, r.bottom, r.right] == list(p.bbox), r.name
    rings = r.coordinates(multi=True)
    mask = np.zeros(p.image.shape, bool)
    for ring in rings:
        # Even-odd, as ImageJ fills paths.
        mask ^= inside(shape({"type": "Polygon", "coordinates": [ring.tolist()]}), p.bbox)
    assert (mask == p.image).all(), r.name

rows = list(csv.DictReader(open(stem + "_objects.csv")))
assert [int(r["label"]) for r in rows] == sorted(props)
for r in rows:
    p = props[int(r["label"])]
    close = lambda key, expected, tolerance: abs(float(r[key]) - expected) <= tolerance * max(1, abs(expected)) or sys.exit(f"{r} {key} {expected}")
    close("area", p.area, 0), close("centroid_x", p.centroid[1], 5.1e-4), close("centroid_y", p.centroid[0], 5.1e-4)
    close("eccentricity", p.eccentricity, 5.1e-5), close("mean_0", float(np.ravel(p.intensity_mean)[0]), 1e-6)
    close("perimeter", measure.perimeter_crofton(np.pad(p.image, 1), 4), 5.1e-4)
print(f"{len(props)} instances agree in all files; ROIs: {kinds}")
