"""Scores of a model."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import _folder, _native
from ._arguments import bytes_of, channel_list, finite, invalid, observer, scale_of, settings_of
from ._device import prepare
from ._segment import model_of

if TYPE_CHECKING:
    from ._model import Model


def evaluate(
    data: str | os.PathLike[str] | Iterable[tuple[Any, Any]],
    model: str | os.PathLike[str] | Model = "nuclei",
    *,
    ground_truth: str | None = None,
    instances: bool | str | Mapping[str, Any] = True,
    iou: Sequence[float] | None = None,
    ignore: int | None = None,
    channels: Sequence[int] | None = None,
    fill_nan: float | None = None,
    scale: float | None = None,
    diameter: float | str | None = None,
    pixel_size: float | tuple[float, float] | None = None,
    memory: int | str = "2G",
    device: str = "auto",
    precision: str = "f32",
    progress: Any = None,
) -> dict[str, Any]:
    """Segment images and compare the results with ground truth.

    Parameters
    ----------
    data : path or iterable of (image, ground truth)
        The folder of a data set (docs/training.md), or pairs of arrays: images as for :func:`unet_wgpu.segment`, ground
        truth of shape (H, W) and integers or bool.
    model : str, path-like or Model, default "nuclei"
        The model, as for :func:`unet_wgpu.segment`.
    ground_truth : {"labels", "masks"}, optional
        Whether ground truth numbers instances or holds class ids. By default the folder's name tells; pairs of arrays are
        labels.
    instances : bool, str or dict, default True
        How instances are found, as for :func:`unet_wgpu.segment`; False scores classes alone.
    iou : sequence of float, optional
        IoU from which on an instance counts as found; by default 0.5, 0.55, ..., 0.9.
    ignore : int, optional
        Class id of pixels that do not count.
    channels, fill_nan, scale, diameter, pixel_size, memory, device, precision, progress
        As for :func:`unet_wgpu.segment`.

    Returns
    -------
    dict
        The document of ``unet eval --json``: ``classes`` with Dice and IoU of each, ``mean_dice``, ``mean_iou``,
        ``pixel_error``, ``confusion``; with labels ``instances``: ``thresholds`` (a list of ``iou``, ``precision``, ``recall``,
        ``f1``, ``ap``, ...), ``mean_ap``, ``aji``, ``pq``, ``seg``; ``images`` has the scores of every image.

    Raises
    ------
    ImageTypeError, ImageShapeError
        If an array is no image, or ground truth is not of its image's size.
    InvalidArgumentError, InvalidFileError
        If an option or a file is wrong.

    Examples
    --------
    >>> import numpy as np, unet_wgpu
    >>> y, x = np.mgrid[:64, :64]
    >>> truth = ((x - 32) ** 2 + (y - 32) ** 2 < 100).astype(np.int32)
    >>> scores = unet_wgpu.evaluate([(np.where(truth, 3000, 200).astype(np.uint16), truth)])
    >>> scores["instances"]["true"], scores["instances"]["predicted"], scores["mean_dice"] > 0.9
    (1, 1, True)
    """
    options: dict[str, Any] = {
        "device": device,
        "precision": precision,
        "instances": settings_of(instances),
        "channels": channel_list(channels),
        "fill_nan": finite("fill_nan", fill_nan),
        "ignore": ignore,
        "iou": None if iou is None else [float(t) for t in iou],
        "scale": scale_of(scale, diameter, pixel_size),
        "memory": bytes_of(memory),
        "progress": observer(progress),
    }
    kind = None if ground_truth is None else _kind(ground_truth)
    if isinstance(data, (str, os.PathLike)):
        return _run(os.fsdecode(data), model, ground_truth=kind, **options)
    with tempfile.TemporaryDirectory(prefix="unet-wgpu-") as folder:
        _folder.write(Path(folder), data, ground_truth or "labels")
        return _run(folder, model, ground_truth=None, **options)


def _kind(ground_truth: str) -> bool:
    if ground_truth not in _folder.KINDS:
        raise invalid("ground_truth", f"{ground_truth!r} is not 'labels' or 'masks'")
    return ground_truth == "labels"


def _run(folder: str, model: Any, **options: Any) -> dict[str, Any]:
    prepare()
    scores: dict[str, Any] = json.loads(_native.evaluate(model_of(model)._native, folder, **options))
    return scores
