"""Segmentation of images."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _arrays, _native
from ._arguments import invalid
from ._errors import NotRequestedError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ._model import Model


#: What endings of files stand for.
_KINDS = {
    ".tif": "labels",
    ".tiff": "labels",
    ".zarr": "ome-zarr",
    ".geojson": "geojson",
    ".json": "coco",
    ".zip": "rois",
    ".csv": "csv",
}


class Segmentation:
    """A segmented image. :func:`unet_wgpu.segment` and :meth:`unet_wgpu.Model.segment` return it.

    Attributes
    ----------
    labels : ndarray of int32, shape (H, W)
        The instance of every pixel: 0 is background, instances are numbered from 1 without gaps, in the order of their
        first pixels, row by row. Ready for ``skimage.measure.regionprops``.
    mask : ndarray of uint8, shape (H, W)
        The class of every pixel, an index into `classes`; uint16 for more than 256 classes.
    probability : ndarray of float32, shape (K, H, W)
        Probabilities, if ``probability=True`` was given: K = 1 is the foreground's of a network with a single sigmoid
        output, otherwise there is one plane for every class.
    classes : list of str
        Names of the classes, the background first.
    count : int
        The number of instances.
    notes : list of str
        How the image was read where that is not obvious, such as colours that became grey.
    device : str
        The device in one line.
    tile, tiles : tuple of int
        Rows and columns of a tile's input in pixels; rows and columns of tiles.
    precision : str
        How weights and activations were stored: "f32" or "f16".
    fallback : str or None
        Why that is "f32" although "f16" was requested.
    pixel_size : tuple of float or None
        Micrometres across and down, if `pixel_size` or the file gave them.
    scale : tuple of float
        The factors by which the image was resized for the model, across and down.
    diameter : float or None
        The median diameter of instances in pixels that ``diameter="auto"`` found.
    """

    def __init__(self, results: _native.Results, device: str, image: Any = None) -> None:
        self._results = results
        self._image = image
        self.mask: NDArray[np.uint8 | np.uint16] = results.mask
        self.classes: list[str] = results.classes
        self.notes: list[str] = results.notes + [f"{place} was not split: memory" for place in results.left_whole]
        self.device = device
        self.tile: tuple[int, int] = (results.tile[0], results.tile[1])
        self.tiles: tuple[int, int] = (results.tiles[0], results.tiles[1])
        self.precision: str = results.precision
        self.fallback: str | None = results.fallback
        self.scale: tuple[float, float] = (results.scale[0], results.scale[1])
        self.diameter: float | None = results.diameter
        size = results.pixel_size
        self.pixel_size: tuple[float, float] | None = (size[0], size[1]) if size else None

    @property
    def labels(self) -> NDArray[np.int32]:
        """The instance of every pixel, (H, W), int32; 0 is background."""
        if self._results.labels is None:
            raise NotRequestedError("labels: instances were switched off by instances=False")
        return self._results.labels

    @property
    def probability(self) -> NDArray[np.float32]:
        """Probabilities, (K, H, W), float32."""
        if self._results.probability is None:
            raise NotRequestedError("probability: was not computed; pass probability=True")
        return self._results.probability

    @property
    def count(self) -> int:
        """The number of instances."""
        if self._results.labels is None:
            raise NotRequestedError("count: instances were switched off by instances=False")
        return self._results.count

    def table(self) -> dict[str, NDArray[Any]]:
        """Measure the instances.

        The columns are those of the program's table (``unet segment --save csv``), unrounded.

        Returns
        -------
        dict of ndarray
            Columns of one value per instance, in the order of numbers; ``pandas.DataFrame`` takes it as it is.

            ``label`` (int32), ``class`` (str), ``class_id`` (int32), ``area`` (int64, pixels), ``centroid_x`` and
            ``centroid_y`` (float64; the centre of pixel (0, 0) is at (0, 0)), the bounding box as ``x``, ``y``, ``width``,
            ``height`` (int32), ``perimeter`` and ``eccentricity`` (float64), and the mean of every channel of the image,
            ``mean_0``, ... With a known `pixel_size` also ``area_um2``, ``centroid_x_um``, ``centroid_y_um``, ``width_um``,
            ``height_um`` and ``perimeter_um``.

        Raises
        ------
        NotRequestedError
            If the image was segmented with ``instances=False``.

        Examples
        --------
        >>> import numpy as np, unet_wgpu
        >>> y, x = np.mgrid[:64, :64]
        >>> disc = np.where((x - 32) ** 2 + (y - 20) ** 2 < 100, 3000, 200).astype(np.uint16)
        >>> table = unet_wgpu.segment(disc).table()
        >>> table["class"].tolist(), table["centroid_x"].round().tolist()
        (['nucleus'], [32.0])
        """
        columns = self._results.instances.table(self._results.pixel_size)
        if columns is None:
            raise NotRequestedError("table: instances were switched off by instances=False")
        names = np.asarray(self.classes)[columns["class_id"]]
        return {"label": columns.pop("label"), "class": names, **columns}

    def save(self, path: str | os.PathLike[str], kind: str | None = None) -> None:
        """Write the instances to a file, as ``unet segment --save`` does, completely or not at all.

        Parameters
        ----------
        path : path-like
            The file. For OME-Zarr a folder: ``"image.ome.zarr/labels/nuclei"`` are labels of that image, in its levels and with its
            scale; any other is an image of its own.
        kind : {"labels", "ome-zarr", "geojson", "coco", "rois", "csv"}, optional
            By default by the ending of `path`: .tif, .zarr (or a folder in ``labels``), .geojson, .json, .zip, .csv.

        Raises
        ------
        NotRequestedError
            If the image was segmented with ``instances=False``.
        InvalidArgumentError
            If neither `kind` nor the ending says what to write.
        FileAccessError, InvalidFileError
            If it cannot be written there.

        Examples
        --------
        >>> import pathlib, tempfile, numpy as np, unet_wgpu
        >>> y, x = np.mgrid[:64, :64]
        >>> disc = np.where((x - 32) ** 2 + (y - 20) ** 2 < 100, 3000, 200).astype(np.uint16)
        >>> result = unet_wgpu.segment(disc)
        >>> path = pathlib.Path(tempfile.mkdtemp(), "disc_labels.tif")
        >>> result.save(path)
        >>> bool((unet_wgpu.read_image(path) == result.labels).all())
        True
        """
        name = os.fsdecode(path)
        if kind is None:
            folder, last = os.path.split(os.path.normpath(name))
            kind = _KINDS.get(os.path.splitext(last)[1].lower())
            if kind is None and os.path.basename(folder) == "labels":
                kind = "ome-zarr"
            if kind is None:
                raise invalid("kind", f"the ending of {name} does not say what to write; it is one of {', '.join(_KINDS)}")
        if not self._results.instances.save(name, kind):
            raise NotRequestedError("save: instances were switched off by instances=False")

    def to_xarray(self) -> Any:
        """Return labels, mask and probability as an ``xarray.Dataset``; xarray must be installed.

        Axes and coordinates of rows and columns are those of the image, if it was an ``xarray.DataArray``; otherwise the
        axes are ``y`` and ``x``.

        Returns
        -------
        xarray.Dataset
            Variables ``mask``, and if they were computed ``labels`` and ``probability`` (with the axis ``class``).
        """
        import xarray  # type: ignore[import-not-found, unused-ignore]

        axes, coords = (("y", "x"), {}) if self._image is None else _arrays.coordinates(self._image)
        data: dict[str, tuple[tuple[Any, ...], NDArray[Any]]] = {"mask": (axes, self.mask)}
        if self._results.labels is not None:
            data["labels"] = (axes, self._results.labels)
        if self._results.probability is not None:
            data["probability"] = (("class", *axes), self._results.probability)
        return xarray.Dataset(data, coords=coords)

    def __repr__(self) -> str:
        height, width = self.mask.shape
        found = "" if self._results.labels is None else f", {self.count} instances"
        return f"<Segmentation of {height}x{width} pixels{found}, classes {', '.join(self.classes)}>"


def _identity(name: str) -> tuple[int, int] | None:
    """What changes when a file is replaced; None for a built-in model."""
    try:
        status = os.stat(name)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


@functools.lru_cache(maxsize=4)
def _opened(name: str, identity: tuple[int, int] | None) -> Model:
    from ._model import Model

    return Model.open(name)


def model_of(model: Any) -> Model:
    """A model as it is, or by name from the last few that were used."""
    from ._model import Model

    if isinstance(model, Model):
        return model
    if not isinstance(model, (str, os.PathLike)):
        raise invalid("model", f"{type(model).__name__} is neither a Model nor a name nor a path")
    name = os.fsdecode(model)
    return _opened(name, _identity(name))


def clear_cache() -> None:
    """Forget the models that :func:`segment` opened by name, and free their device memory."""
    _opened.cache_clear()


def segment(
    image: Any,
    model: str | os.PathLike[str] | Model = "nuclei",
    *,
    channels: Sequence[int] | None = None,
    instances: bool | str | Mapping[str, Any] = True,
    probability: bool = False,
    scale: float | None = None,
    diameter: float | str | None = None,
    pixel_size: float | tuple[float, float] | None = None,
    tile: int | None = None,
    tta: str = "none",
    memory: int | str = "2G",
    exact: bool = False,
    blend: str = "exact",
    batch: int = 1,
    normalise: str | None = None,
    fill_nan: float | None = None,
    page: int = 0,
    level: int = 0,
    device: str = "auto",
    precision: str = "f32",
    progress: Any = None,
) -> Segmentation:
    """Segment an image.

    The model is opened at the first call and kept with its buffers on the device, so further calls cost no more than the
    work itself. The GIL is released during the work, and Ctrl-C interrupts it.

    Parameters
    ----------
    image : array_like or path, shape (H, W) or (H, W, C)
        A numpy array of any stride and byte order, or anything with ``__array__``, ``__array_interface__`` or
        ``__dlpack__`` in host memory (xarray, dask, torch). Integers and floats of any size, and bool. uint8, uint16 and
        float32 are used as they are; bool becomes 0 and 255; everything else becomes float32. Three channels are red,
        green and blue. The axes of an ``xarray.DataArray`` named x, y and c may be in any order. A path is read as
        :func:`unet_wgpu.read_image` does, large TIFF files and OME-Zarr by windows.
    model : str, path-like or Model, default "nuclei"
        A built-in model ("nuclei", "nuclei-unet++", "nuclei-unet3+", "nuclei-he"), a file that
        :meth:`unet_wgpu.Model.open` reads, or an open model.
    channels : sequence of int, optional
        Channels for the network, in this order, counted from 0.
    instances : bool, str or dict, default True
        How single instances are found: as the model's file says (True), not at all (False), by a method
        ("components", "watershed", "elevation", "offsets"), or by settings that replace the file's: ``method``,
        ``seed_depth``, ``min_seed``, ``border``, ``smoothing``, ``votes``, ``min_cluster``, ``max_offset``, ``jumps``,
        ``connectivity`` (4 or 8), ``threshold``, ``min_area``, ``min_area_percent``, ``min_confidence``, ``fill_holes``,
        ``close_gaps``.
    probability : bool, default False
        Also return probabilities.
    scale : float, optional
        Resize the image for the model by this factor, 1/16 to 16. Results have the image's own size. By default an image
        whose pixel size is known is resized to that of a model that states its own; 1 leaves it as it is.
    diameter : float or "auto", optional
        Median diameter of the instances in pixels: the image is resized so that they are as large as those that the model
        was trained on. "auto" estimates it in a first pass.
    pixel_size : float or (float, float), optional
        Micrometres of a pixel, or across and down; instead of a file's. Of a pixel in full size if `level` is given.
    tile : int, optional
        Largest tile edge in pixels; by default as large as fits.
    tta : {"none", "flips", "d4"}, default "none"
        Average the probabilities over 1, 4 or 8 orientations of the image.
    memory : int or str, default "2G"
        Limit of memory on the device plus that of windows and results on the host, in bytes or as "512M".
    exact : bool, default False
        Deterministic tiling: the same bits for any tile size, with slower kernels.
    blend : {"exact", "gaussian"}, default "exact"
        How tiles are joined.
    batch : int, default 1
        Tiles per run of the network, for GPUs that one tile does not fill.
    normalise : str, optional
        Normalisation of pixels instead of the model's: "none", "unit", "scale:255", "minmax", "zscore",
        "percentile:1,99.8", "fixed:MEAN/STD".
    fill_nan : float, optional
        Replaces NaN and infinity in float images; without it they are an error.
    page : int, default 0
        The page of a file, counted from 0; of OME-Zarr a z plane at a time. An array has no pages.
    level : int, default 0
        The level of a file's pyramid (OME-Zarr, OME-TIFF, SVS, cloud-optimised GeoTIFF): 0 is the full size, each further one
        a smaller copy. Results have the size of that level. An array has no levels.
    device : str, default "auto"
        "auto", an index or part of a name from :func:`unet_wgpu.devices`, or "cpu" for the slow reference.
    precision : {"f32", "f16", "auto"}, default "f32"
        How weights and activations are stored on the device.
    progress : callable or tqdm bar, optional
        A function of the fraction done, from 0 to 1. Or an object with ``update``: it is advanced by 1 in total, so
        ``tqdm(total=len(paths))`` shows a folder's progress. What it raises cancels the work.

    Returns
    -------
    Segmentation
        ``labels``, ``mask``, ``probability``, ``table()``.

    Raises
    ------
    ImageTypeError
        If `image` is no array, or its dtype holds no samples (complex, object, str, ...).
    ImageShapeError
        If its shape is not (H, W) or (H, W, C).
    InvalidArgumentError
        If another argument is wrong, or the image's channels do not suit the network.
    InvalidFileError, MissingFileError, FileAccessError
        If a file cannot be used, or has no such page or level.
    DeviceNotFoundError, DeviceError, LimitError
        If there is no such device, it fails, or `memory` does not suffice.

    Examples
    --------
    >>> import numpy as np, unet_wgpu
    >>> y, x = np.mgrid[:64, :64]
    >>> disc = np.where((x - 32) ** 2 + (y - 32) ** 2 < 100, 3000, 200).astype(np.uint16)
    >>> result = unet_wgpu.segment(disc)
    >>> result
    <Segmentation of 64x64 pixels, 1 instances, classes background, nucleus>
    >>> int(result.labels[32, 32]), int(result.labels[0, 0]), result.labels.dtype
    (1, 0, dtype('int32'))
    """
    return model_of(model).segment(
        image,
        channels=channels,
        instances=instances,
        probability=probability,
        scale=scale,
        diameter=diameter,
        pixel_size=pixel_size,
        tile=tile,
        tta=tta,
        memory=memory,
        exact=exact,
        blend=blend,
        batch=batch,
        normalise=normalise,
        fill_nan=fill_nan,
        page=page,
        level=level,
        device=device,
        precision=precision,
        progress=progress,
    )
