"""Segments a folder of images on a Ray cluster: every worker holds one model.

    pip install ./python 'ray[data]'
    python integrations/ray/segment_folder.py IMAGES RESULTS --workers 8 --gpus 1

For every image, and every image of an OME-Zarr plate, RESULTS gets `<stem>_labels.tif`, the instance of every pixel, and
`<stem>_objects.csv`, its table: the files of `unet segment --save labels,csv`, byte for byte. They are written completely or not at
all, so a worker that dies leaves no half result: Ray starts another, which takes over its images. Run again, the script leaves out
images whose results exist. `summary.csv` has a row per image of this run.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np


def outputs(path: Path, out: Path) -> tuple[Path, Path]:
    """Labels and table of an image, named as the program names them."""
    import unet_wgpu

    return unet_wgpu.result_path(path, "labels", out), unet_wgpu.result_path(path, "csv", out)


def name_of(path: Path, out: Path) -> str:
    """A file by its own name, an image of a plate by that of its results: `plate_A_1_0` for `plate.zarr/A/1/0`."""
    return path.name if path.suffix else outputs(path, out)[0].name.removesuffix("_labels.tif")


class Segmenter:
    """What a worker runs: it opens the model once."""

    def __init__(self, model: str, out: str, options: dict[str, Any]) -> None:
        import unet_wgpu

        self.model = unet_wgpu.Model.open(model)
        self.out = Path(out)
        self.options = options

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        rows = [self.segment(Path(str(path))) for path in batch["path"]]
        return {name: np.array([row[name] for row in rows]) for name in ("image", "instances", "error")}

    def segment(self, path: Path) -> dict[str, Any]:
        import unet_wgpu

        try:
            result = self.model.segment(path, **self.options)
        except unet_wgpu.DeviceError:
            # Another worker may have a sound device.
            raise
        except unet_wgpu.UnetError as error:
            # One bad image must not stop the rest.
            return {"image": name_of(path, self.out), "instances": -1, "error": str(error)}
        labels, table = outputs(path, self.out)
        result.save(table)
        # Last: it marks the image as done.
        result.save(labels)
        return {"image": name_of(path, self.out), "instances": result.count, "error": ""}


class Whole:
    """A file that appears under its name when it is complete."""

    def __init__(self, path: Path, mode: str) -> None:
        self.path = path
        self.temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        self.file = open(self.temporary, mode, **({} if "b" in mode else {"newline": "", "encoding": "utf-8"}))

    def __enter__(self) -> Any:
        return self.file

    def __exit__(self, kind: Any, *_: Any) -> None:
        self.file.close()
        if kind is None:
            os.replace(self.temporary, self.path)
        else:
            self.temporary.unlink()


def main() -> int:
    parser = argparse.ArgumentParser(description="Segment a folder of images on a Ray cluster.")
    parser.add_argument("images", type=Path, help="a folder, or an OME-Zarr plate, that every worker sees")
    parser.add_argument("results", type=Path, help="a folder that every worker sees")
    parser.add_argument("--model", default="nuclei", help="a built-in model, or a file that every worker sees")
    parser.add_argument("--workers", type=int, default=1, help="processes, each with one model (default 1)")
    parser.add_argument("--cpus", type=float, default=1, help="processors of a worker, for Ray's scheduler (default 1)")
    parser.add_argument("--gpus", type=float, default=0, help="GPUs of a worker, for Ray's scheduler (default 0)")
    parser.add_argument("--device", default="auto", help="the device, as unet_wgpu.devices() lists them")
    given = parser.parse_args()

    import ray
    import unet_wgpu

    out = given.results.resolve()
    try:
        images = unet_wgpu.find_images(given.images.resolve())
    except unet_wgpu.UnetError as e:
        parser.error(str(e))
    doubled = [path for path, n in Counter(outputs(p, out)[0] for p in images).items() if n > 1]
    if doubled:
        parser.error(f"two images would both be written as {doubled[0].name}; use folders of their own")
    out.mkdir(parents=True, exist_ok=True)
    left = [p for p in images if not all(f.exists() for f in outputs(p, out))]
    if len(left) < len(images):
        print(f"{len(images) - len(left)} of {len(images)} images are left out: their results exist", file=sys.stderr)
    rows: list[dict[str, Any]] = []
    if left:
        ray.init(ignore_reinit_error=True, log_to_driver=False)
        # A block per image: what a dead worker had in hand is as little as can be.
        data = ray.data.from_items([{"path": str(p)} for p in left], override_num_blocks=len(left))
        done = data.map_batches(
            Segmenter,
            fn_constructor_args=(given.model, str(out), {"device": given.device}),
            compute=ray.data.ActorPoolStrategy(size=given.workers),
            batch_size=1,
            num_cpus=given.cpus,
            num_gpus=given.gpus or None,
        )
        rows = sorted(done.take_all(), key=lambda row: str(row["image"]))
    with Whole(out / "summary.csv", "w") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "instances", "error"])
        writer.writerows([row["image"], row["instances"] if not row["error"] else "", row["error"]] for row in rows)
    failed = [row for row in rows if row["error"]]
    for row in failed:
        print(f"error: {row['image']}: {row['error']}", file=sys.stderr)
    print(f"{len(rows) - len(failed)} images segmented, {len(failed)} failed", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
