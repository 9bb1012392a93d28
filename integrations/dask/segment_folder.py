"""Segments a folder of images on a dask cluster: every worker process opens the model once.

    pip install ./python 'dask[distributed]'
    python integrations/dask/segment_folder.py IMAGES RESULTS --workers 4                     # processes of this machine
    python integrations/dask/segment_folder.py IMAGES RESULTS --scheduler tcp://head:8786     # a running cluster

For every image RESULTS gets `<stem>_labels.npy`, the instance of every pixel (int32), written completely or not at all. Run again, the
script leaves out images whose results exist.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

SUFFIXES = {".png", ".tif", ".tiff", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".pgm", ".ppm", ".jp2", ".npy"}
#: Results of this script and of `unet segment`, which are no images.
RESULTS = ("_labels", "_mask", "_overlay", "_prob", "_contours")


def segment(path: str, out: str, model: str, device: str) -> tuple[str, int, str]:
    """Segments an image and writes its labels; returns its name, the number of instances, and an error."""
    import numpy as np
    import unet_wgpu

    name = os.path.basename(path)
    try:
        # The package keeps the models that it opened by name.
        result = unet_wgpu.segment(path, model, device=device)
    except unet_wgpu.DeviceError:
        raise
    except unet_wgpu.UnetError as error:
        # One bad image must not stop the rest.
        return name, -1, str(error)
    target = Path(out) / f"{Path(path).stem}_labels.npy"
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    with open(temporary, "wb") as file:
        np.save(file, result.labels)
    os.replace(temporary, target)
    return name, result.count, ""


def main() -> int:
    parser = argparse.ArgumentParser(description="Segment a folder of images on a dask cluster.")
    parser.add_argument("images", type=Path, help="a folder that every worker sees")
    parser.add_argument("results", type=Path, help="a folder that every worker sees")
    parser.add_argument("--model", default="nuclei", help="a built-in model, or a file that every worker sees")
    parser.add_argument("--workers", type=int, default=1, help="processes of this machine (default 1)")
    parser.add_argument("--scheduler", help="the address of a running scheduler, instead of processes of this machine")
    parser.add_argument("--device", default="auto", help="the device, as unet_wgpu.devices() lists them")
    given = parser.parse_args()

    from dask.distributed import Client, LocalCluster, as_completed

    images, out = given.images.resolve(), given.results.resolve()
    found = [p for p in sorted(images.iterdir()) if p.suffix.lower() in SUFFIXES and not p.name.startswith(".")]
    found = [p for p in found if not p.stem.endswith(RESULTS)]
    if not found:
        parser.error(f"no images in {given.images}")
    doubled = [stem for stem, n in Counter(p.stem for p in found).items() if n > 1]
    if doubled:
        parser.error(f"two images would both be written as {doubled[0]}_labels.npy; use folders of their own")
    out.mkdir(parents=True, exist_ok=True)
    left = [str(p) for p in found if not (out / f"{p.stem}_labels.npy").exists()]
    # A process per worker and one image at a time: a device runs one after another anyway.
    cluster: Any = given.scheduler or LocalCluster(
        n_workers=given.workers, threads_per_worker=1, processes=True, dashboard_address=None
    )
    failed = 0
    with Client(cluster) as client:
        # Not pure: the function writes files.
        futures = client.map(segment, left, out=str(out), model=given.model, device=given.device, pure=False, retries=3)
        for _, (name, count, error) in as_completed(futures, with_results=True):
            failed += bool(error)
            print(f"error: {name}: {error}" if error else f"{name}: {count} instances", file=sys.stderr if error else sys.stdout)
    if not given.scheduler:
        cluster.close()
    print(f"{len(left) - failed} images segmented, {len(found) - len(left)} left out, {failed} failed", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
