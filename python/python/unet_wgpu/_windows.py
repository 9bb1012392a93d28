"""Arrays that are read by windows, chunk by chunk: those of dask, zarr and h5py."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Convert: TypeAlias = Callable[[NDArray[Any]], NDArray[Any]]


def is_chunked(image: Any) -> bool:
    """Whether an array is better read by chunks than as a whole."""
    if isinstance(image, np.ndarray) or not all(hasattr(image, name) for name in ("shape", "dtype", "ndim", "chunks")):
        return False
    return bool(image.chunks)


class Windows:
    """An array of shape (H, W) or (H, W, C) behind the interface that the native half reads."""

    def __init__(self, array: Any, dtype: str, convert: Convert) -> None:
        self._array = array
        self._convert = convert
        self._edges = [_edges(n, c) for n, c in zip(array.shape[:2], array.chunks[:2])]
        self._cache: OrderedDict[tuple[int, int], NDArray[Any]] = OrderedDict()
        self._cached = 0
        self._limit = 0
        height, width, *channels = array.shape
        self.shape: tuple[int, int, int] = (height, width, channels[0] if channels else 1)
        self.dtype = dtype
        #: The most rows of a chunk.
        self.rows: int = max(b - a for a, b in zip(self._edges[0], self._edges[0][1:]))

    def set_cache(self, size: int) -> None:
        """Keep chunks of at most `size` bytes."""
        self._limit = size
        self._shrink()

    def read_window(self, x0: int, y0: int, width: int, height: int) -> NDArray[Any]:
        """The pixels of a rectangle, (H, W, C)."""
        out = np.empty((height, width, self.shape[2]), self.dtype)
        for i, top, bottom in self._touched(0, y0, y0 + height):
            for k, left, right in self._touched(1, x0, x0 + width):
                rows, columns = slice(max(top, y0), min(bottom, y0 + height)), slice(max(left, x0), min(right, x0 + width))
                chunk = self._chunk(i, k)
                part = chunk[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
                out[rows.start - y0 : rows.stop - y0, columns.start - x0 : columns.stop - x0] = part
        return out

    def _touched(self, axis: int, begin: int, end: int) -> Iterator[tuple[int, int, int]]:
        edges = self._edges[axis]
        for i in range(int(np.searchsorted(edges, begin, "right")) - 1, len(edges) - 1):
            if edges[i] >= end:
                return
            if edges[i] < edges[i + 1]:
                yield i, edges[i], edges[i + 1]

    def _chunk(self, i: int, k: int) -> NDArray[Any]:
        found = self._cache.pop((i, k), None)
        if found is None:
            rows, columns = (slice(e[j], e[j + 1]) for e, j in zip(self._edges, (i, k)))
            found = self._convert(np.asarray(self._array[rows, columns]))
            found = found.reshape(*found.shape[:2], -1)
            self._cached += found.nbytes
        self._cache[i, k] = found
        self._shrink()
        return found

    def _shrink(self) -> None:
        # The latest chunk stays: windows of one chunk would compute it again and again.
        while self._cached > self._limit and len(self._cache) > 1:
            self._cached -= self._cache.popitem(last=False)[1].nbytes


def _edges(length: int, chunks: Any) -> list[int]:
    """Where chunks begin and the last one ends: of dask's sizes, or zarr's one size."""
    if isinstance(chunks, (tuple, list)):
        return [0, *accumulate(int(c) for c in chunks)]
    return [*range(0, length, max(1, int(chunks))), length]
