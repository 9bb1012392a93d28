"""Data sets of arrays, as folders that the engine reads."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from . import _arrays
from ._arguments import invalid
from ._errors import ImageShapeError, ImageTypeError

#: The folder of each kind of ground truth.
KINDS = {"labels": "labels", "masks": "masks"}


def write(folder: Path, pairs: Iterable[tuple[Any, Any]], kind: str) -> int:
    """Write pairs of image and ground truth below `folder`; returns their number."""
    if kind not in KINDS:
        raise invalid("ground_truth", f"{kind!r} is not 'labels' or 'masks'")
    for name in ("images", KINDS[kind]):
        (folder / name).mkdir(parents=True)
    count = 0
    for count, (image, truth) in enumerate(pairs, 1):
        name = f"image_{count - 1:06}"
        array = _arrays.as_image(image)
        if isinstance(array, str):
            array = _arrays.read_image(array)
        assert isinstance(array, np.ndarray)
        numbers = _ground_truth(truth, count - 1)
        if numbers.shape != array.shape[:2]:
            error = ImageShapeError(
                f"ground truth {count - 1}: shape {numbers.shape} is not that of its image, {array.shape[:2]}"
            )
            error.shape = numbers.shape
            raise error
        np.save(folder / "images" / f"{name}.npy", array)
        np.save(folder / KINDS[kind] / f"{name}.npy", numbers)
    if count == 0:
        raise invalid("images", "there are none")
    return count


def _ground_truth(truth: Any, index: int) -> np.ndarray[Any, Any]:
    if isinstance(truth, (str, os.PathLike)):
        raise ImageTypeError(f"ground truth {index}: is a path; pass an array, or the folder of a data set")
    numbers = np.asarray(truth)
    if numbers.ndim != 2:
        error = ImageShapeError(f"ground truth {index}: shape {numbers.shape} is not (H, W)")
        error.shape = numbers.shape
        raise error
    if numbers.dtype.kind not in "uib":
        raise ImageTypeError(f"ground truth {index}: dtype {numbers.dtype} is not of integers")
    return numbers
