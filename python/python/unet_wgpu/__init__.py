"""U-Net segmentation on any GPU.

>>> import numpy as np, unet_wgpu
>>> image = np.zeros((64, 64), np.uint16)
>>> image[20:40, 20:40] = 1000
>>> result = unet_wgpu.segment(image)
>>> result.labels.shape, result.labels.dtype, result.count
((64, 64), dtype('int32'), 1)

Functions
    :func:`segment`, :func:`read_image`, :func:`find_images`, :func:`result_path`, :func:`evaluate`, :func:`devices`,
    :func:`selftest`, :func:`clear_cache`
Classes
    :class:`Model`, :class:`Segmentation`
Exceptions
    All derive from :class:`UnetError`, and from the built-in exception that Python would raise: ``ValueError``,
    ``TypeError``, ``FileNotFoundError``, ``MemoryError``, ...
"""

import atexit as _atexit

from . import _native
from ._arrays import read_image
from ._device import devices, selftest
from ._errors import (
    CancelledError,
    DeviceError,
    DeviceNotFoundError,
    FileAccessError,
    ImageShapeError,
    ImageTypeError,
    InvalidArgumentError,
    InvalidFileError,
    LimitError,
    MissingFileError,
    NotRequestedError,
    ParameterError,
    UnetError,
    UnsupportedModelError,
)
from ._evaluate import evaluate
from ._model import Model
from ._paths import find_images, result_path
from ._segment import Segmentation, clear_cache, segment

__version__: str = _native.__version__

__all__ = [
    "CancelledError",
    "DeviceError",
    "DeviceNotFoundError",
    "FileAccessError",
    "ImageShapeError",
    "ImageTypeError",
    "InvalidArgumentError",
    "InvalidFileError",
    "LimitError",
    "MissingFileError",
    "Model",
    "NotRequestedError",
    "ParameterError",
    "Segmentation",
    "UnetError",
    "UnsupportedModelError",
    "__version__",
    "clear_cache",
    "devices",
    "evaluate",
    "find_images",
    "read_image",
    "result_path",
    "segment",
    "selftest",
]

# Cancelled work may still be in a driver.
_atexit.register(_native.join_stragglers)
