"""Segments a folder of images on a dask cluster: every worker process opens the model once.

    pip install ./python 'dask[distributed]'
    python integrations/dask/segment_folder.py IMAGES RESULTS --workers 4                     # processes of this machine
    python integrations/dask/segment_folder.py IMAGES RESULTS --scheduler tcp://head:8786     # a running cluster
    python integrations/dask/segment_folder.py IMAGES RESULTS --save ome-zarr,csv

For every image, and every image of an OME-Zarr plate, RESULTS gets `<stem>_labels.tif`, the instance of every pixel, or what --save
names: the files of `unet segment --save KIND,..`, byte for byte, each written completely or not at all. Run again, the script leaves
out images whose results exist.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import Any

#: Kinds of results, as `unet segment --save` names them.
KINDS = ("labels", "ome-zarr", "csv", "geojson", "coco", "rois")


def segment(path: str, targets: dict[str, str], model: str, device: str) -> tuple[str, int, str]:
    """Segments an image and writes its results; returns its path, the number of instances, and an error."""
    import unet_wgpu

    try:
        # The package keeps the models that it opened by name.
        result = unet_wgpu.segment(path, model, device=device)
        for kind, target in targets.items():
            result.save(target, kind)
    except unet_wgpu.DeviceError:
        raise
    except unet_wgpu.UnetError as error:
        # One bad image must not stop the rest.
        return path, -1, str(error)
    return path, result.count, ""


def kinds(text: str) -> list[str]:
    found = list(dict.fromkeys(text.split(",")))
    unknown = [kind for kind in found if kind not in KINDS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(KINDS)}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="Segment a folder of images on a dask cluster.")
    parser.add_argument("images", type=Path, help="a folder, or an OME-Zarr plate, that every worker sees")
    parser.add_argument("results", type=Path, help="a folder that every worker sees")
    parser.add_argument(
        "--save", type=kinds, default=["labels"], metavar="KIND,..", help=f"what to write: {', '.join(KINDS)} (default labels)"
    )
    parser.add_argument("--model", default="nuclei", help="a built-in model, or a file that every worker sees")
    parser.add_argument("--workers", type=int, default=1, help="processes of this machine (default 1)")
    parser.add_argument("--scheduler", help="the address of a running scheduler, instead of processes of this machine")
    parser.add_argument("--device", default="auto", help="the device, as unet_wgpu.devices() lists them")
    given = parser.parse_args()

    import unet_wgpu
    from dask.distributed import Client, LocalCluster, as_completed

    out = given.results.resolve()
    try:
        found = unet_wgpu.find_images(given.images.resolve())
    except unet_wgpu.UnetError as e:
        parser.error(str(e))
    targets = [{kind: unet_wgpu.result_path(path, kind, out) for kind in given.save} for path in found]
    doubled = [path for path, n in Counter(p for t in targets for p in t.values()).items() if n > 1]
    if doubled:
        parser.error(f"two images would both be written as {doubled[0].name}; use folders of their own")
    out.mkdir(parents=True, exist_ok=True)
    left = [(p, t) for p, t in zip(found, targets) if not all(target.exists() for target in t.values())]
    root = given.images.resolve()
    names = {str(p): str(p.relative_to(root)) if root in p.parents else p.name for p in found}
    # A process per worker and one image at a time: a device runs one after another anyway.
    cluster: Any = given.scheduler or LocalCluster(
        n_workers=given.workers, threads_per_worker=1, processes=True, dashboard_address=None
    )
    failed = 0
    with Client(cluster) as client:
        # Not pure: the function writes files.
        futures = client.map(
            segment,
            [str(p) for p, _ in left],
            [{kind: str(target) for kind, target in t.items()} for _, t in left],
            model=given.model,
            device=given.device,
            pure=False,
            retries=3,
        )
        for _, (path, count, error) in as_completed(futures, with_results=True):
            failed += bool(error)
            text = f"error: {names[path]}: {error}" if error else f"{names[path]}: {count} instances"
            print(text, file=sys.stderr if error else sys.stdout)
    if not given.scheduler:
        cluster.close()
    print(f"{len(left) - failed} images segmented, {len(found) - len(left)} left out, {failed} failed", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
