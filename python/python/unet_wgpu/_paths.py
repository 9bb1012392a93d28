"""Paths of images, and of their results."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from . import _native


def find_images(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Find the images that paths refer to, as the program does.

    Parameters
    ----------
    paths : path-like, or several
        Files, folders of images (without subfolders), patterns such as ``"day1/*.tif"``, and OME-Zarr: an image, or a plate, a
        well or several series, which are their images. In folders and patterns hidden files and results of the program
        (``cells_mask.png``) are left out.

    Returns
    -------
    list of Path
        The images, those of a folder sorted, none twice.

    Raises
    ------
    InvalidArgumentError
        If a folder has no images, or nothing matches a pattern.
    InvalidFileError, MissingFileError, FileAccessError
        If there is no such file, or a plate cannot be read.

    Examples
    --------
    >>> import pathlib, tempfile, numpy as np, unet_wgpu
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> for name in ["b.npy", "a.npy", "a_mask.npy"]:
    ...     np.save(folder / name, np.zeros((8, 8), np.uint8))
    >>> [path.name for path in unet_wgpu.find_images(folder)]
    ['a.npy', 'b.npy']
    """
    several = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    return [Path(path) for path in _native.find_images([os.fsdecode(path) for path in several])]


def result_path(
    image: str | os.PathLike[str], kind: str = "labels", out: str | os.PathLike[str] | None = None
) -> Path:
    """Return where the program writes a result of an image.

    Parameters
    ----------
    image : path-like
        The image, such as :func:`find_images` returns.
    kind : str, default "labels"
        The kind of result, as for ``unet segment --save``: "labels", "ome-zarr", "csv", "geojson", "coco", "rois", "mask", ...
    out : path-like, optional
        The folder of results; by default beside the image, of OME-Zarr the folder ``labels`` in it.

    Returns
    -------
    Path
        For example ``out/cells_labels.tif`` of ``cells.png``, ``out/plate_A_1_0_labels.tif`` of ``plate.zarr/A/1/0``.

    Raises
    ------
    InvalidArgumentError
        If there is no such kind.
    InvalidFileError
        If `out` is the name of an image.

    Examples
    --------
    >>> import unet_wgpu
    >>> unet_wgpu.result_path("scans/cells.png", "csv", "results").as_posix()
    'results/cells_objects.csv'
    """
    folder = None if out is None else os.fsdecode(out)
    return Path(_native.result_path(os.fsdecode(image), kind, folder))
