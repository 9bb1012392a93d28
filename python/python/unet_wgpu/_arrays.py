"""Images from whatever has an array."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _native
from ._arguments import channel_list, finite, whole
from ._errors import ImageShapeError, ImageTypeError

from ._windows import Windows, is_chunked

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Samples that are passed on as they are. Other numbers become float32.
_NATIVE = (np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.float32))

#: Above this many channels in the last axis, with fewer rows, an array has its channels first.
_MANY_CHANNELS = 8


def as_image(image: Any, in_channels: int | None = None, *, lazy: bool = False) -> str | NDArray[Any] | Windows:
    """A path as str, or an array of shape (H, W) or (H, W, C) and a dtype of the native half; with `lazy` by windows."""
    if isinstance(image, (str, os.PathLike)):
        return os.fsdecode(image)
    image = _transposed(image)
    # Of an xarray.DataArray, the array that it wraps.
    inner: Any = image.data if hasattr(image, "dims") and hasattr(image, "coords") else image
    if lazy and is_chunked(inner):
        _check_shape(tuple(inner.shape), in_channels)
        return Windows(inner, _dtype(np.dtype(inner.dtype)).name, _samples)
    array = _array(image)
    _check_shape(array.shape, in_channels)
    return _samples(array)


def _check_shape(shape: tuple[int, ...], in_channels: int | None) -> None:
    if any(n != n for n in shape):
        raise _shape_error(shape, "its size is not known before it is computed; call compute_chunk_sizes() first")
    if len(shape) not in (2, 3):
        raise _shape_error(shape, f"shape {shape} is not (H, W) or (H, W, C); pass one plane at a time")
    if 0 in shape:
        raise _shape_error(shape, f"shape {shape} has no pixels")
    if len(shape) == 3 and shape[2] > max(shape[0], _MANY_CHANNELS) and shape[2] != in_channels:
        first = "np.moveaxis(image, 0, -1)"
        raise _shape_error(shape, f"shape {shape} has its channels first; they are the last axis: pass {first}")


def _array(image: Any) -> NDArray[Any]:
    if isinstance(image, np.ma.MaskedArray) and np.ma.is_masked(image):
        raise ImageTypeError("image: is a masked array; say what masked pixels are: pass image.filled(value)")
    if isinstance(image, np.ndarray):
        return np.asarray(image)
    if hasattr(image, "__array__") or hasattr(image, "__array_interface__"):
        return np.asarray(image)
    if hasattr(image, "__dlpack__"):
        return np.from_dlpack(image)
    if isinstance(image, (list, tuple)):
        try:
            return np.asarray(image)
        except ValueError as e:
            raise ImageTypeError(f"image: the list is not an array: {e}") from None
    try:
        return np.asarray(memoryview(image))
    except TypeError:
        raise ImageTypeError(f"image: {type(image).__name__} is neither an array nor a path") from None


def _dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype that samples of another one are passed on in."""
    if dtype == np.bool_:
        return np.dtype(np.uint8)
    if dtype.kind not in "uif":
        raise ImageTypeError(f"image: dtype {dtype} holds no samples; use integers, floats or bool")
    plain = dtype.newbyteorder("=")
    return plain if plain in _NATIVE else np.dtype(np.float32)


def _samples(array: NDArray[Any]) -> NDArray[Any]:
    dtype = _dtype(array.dtype)
    if array.dtype == np.bool_:
        # As 1-bit image files are read.
        return array.astype(np.uint8) * np.uint8(255)
    # Values beyond float32 become infinite, which the engine reports by position.
    with np.errstate(over="ignore"):
        return np.require(array.astype(dtype, copy=False), requirements=["ALIGNED"])


def _transposed(image: Any) -> Any:
    """An xarray.DataArray with its axes in the order of rows, columns and channels, as far as their names tell."""
    dims = getattr(image, "dims", None)
    if not isinstance(dims, tuple) or not hasattr(image, "transpose"):
        return image
    order = {"y": 0, "x": 1, "c": 2, "channel": 2, "channels": 2, "band": 2}
    known = [str(d).lower() for d in dims]
    if not set(known) <= order.keys() or len(set(known)) != len(known):
        return image
    return image.transpose(*sorted(dims, key=lambda d: order[str(d).lower()]))


def _shape_error(shape: tuple[int, ...], reason: str) -> ImageShapeError:
    error = ImageShapeError(f"image: {reason}")
    error.shape = shape
    return error


def coordinates(image: Any) -> tuple[tuple[Any, Any], dict[Any, Any]]:
    """The names of the axes of rows and columns of an xarray.DataArray, and its coordinates along them."""
    rows, columns = _transposed(image).dims[:2]
    return (rows, columns), {d: image.coords[d] for d in (rows, columns) if d in image.coords}


def read_image(
    path: str | os.PathLike[str],
    *,
    channels: Sequence[int] | None = None,
    page: int = 0,
    level: int = 0,
    pages_as_channels: bool = False,
    ignore_orientation: bool = False,
    fill_nan: float | None = None,
) -> NDArray[Any]:
    """Read an image file into an array.

    PNG, JPEG, WebP, BMP, GIF, PNM, JPEG 2000, TIFF, BigTIFF, OME-TIFF and NPY, recognised by their content. Orientation
    tags are applied, alpha is dropped unless `channels` selects it.

    Parameters
    ----------
    path : str or path-like
        The file.
    channels : sequence of int, optional
        Channels to read, in this order, counted from 0.
    page : int, default 0
        The page of a TIFF file, or plane of a stack, counted from 0.
    level : int, default 0
        The level of a pyramid; 0 is the full size.
    pages_as_channels : bool, default False
        Read all pages as the channels of one image.
    ignore_orientation : bool, default False
        Leave rows and columns as stored.
    fill_nan : float, optional
        Replaces NaN and infinity in float images.

    Returns
    -------
    ndarray
        Shape ``(H, W)`` or ``(H, W, C)``, dtype uint8, uint16 or float32.

    Raises
    ------
    MissingFileError, FileAccessError
        If the file cannot be read.
    InvalidFileError
        If it is no image that can be read, or has no such page, level or channel.
    """
    array, _notes = _native.read_image(
        os.fsdecode(path),
        channels=channel_list(channels),
        page=whole("page", page),
        level=whole("level", level),
        pages_as_channels=pages_as_channels,
        ignore_orientation=ignore_orientation,
        fill_nan=finite("fill_nan", fill_nan),
    )
    return array
