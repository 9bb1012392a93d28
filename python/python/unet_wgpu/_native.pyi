"""The native half of the package; not for direct use."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from ._windows import Windows

__all__ = [
    "Measured",
    "Model",
    "Results",
    "Segmenter",
    "__version__",
    "devices",
    "evaluate",
    "find_images",
    "join_stragglers",
    "lose_device",
    "read_image",
    "result_path",
    "selftest",
    "set_cache_folder",
    "train",
]

__version__: str

# Factor, diameter or "auto", micrometres across and down.
_Scale: TypeAlias = tuple[float | None, float | str | None, tuple[float, float] | None]

@final
class Model:
    @staticmethod
    def open(name: str, settings: str) -> Model: ...
    @property
    def name(self) -> str: ...
    @property
    def arch(self) -> str: ...
    @property
    def classes(self) -> list[str]: ...
    @property
    def in_channels(self) -> int: ...
    @property
    def assumed(self) -> list[str]: ...
    def inspect(self, size: tuple[int, int] | None) -> str: ...
    def convert(self, path: str, *, f16: bool) -> int: ...

@final
class Segmenter:
    def __new__(cls, models: list[Model], *, device: str, precision: str, tta: str) -> Segmenter: ...
    @property
    def device(self) -> str: ...
    def device_bytes(self) -> int: ...
    def segment(
        self,
        image: str | NDArray[Any] | Windows,
        *,
        channels: list[int] | None,
        fill_nan: float | None,
        page: int,
        level: int,
        instances: str | None,
        probability: bool,
        tile: int | None,
        scale: _Scale,
        memory: int,
        exact: bool,
        blend: str,
        batch: int,
        normalise: str | None,
        progress: Callable[[float], object] | None,
    ) -> Results: ...

@final
class Measured:
    def save(self, path: str, kind: str) -> bool: ...
    def table(self, pixel_size: list[float] | None) -> dict[str, NDArray[Any]] | None: ...

@final
class Results:
    @property
    def labels(self) -> NDArray[np.int32] | None: ...
    @property
    def mask(self) -> NDArray[np.uint8 | np.uint16]: ...
    @property
    def probability(self) -> NDArray[np.float32] | None: ...
    @property
    def classes(self) -> list[str]: ...
    @property
    def tiles(self) -> list[int]: ...
    @property
    def tile(self) -> list[int]: ...
    @property
    def precision(self) -> str: ...
    @property
    def fallback(self) -> str | None: ...
    @property
    def notes(self) -> list[str]: ...
    @property
    def left_whole(self) -> list[str]: ...
    @property
    def count(self) -> int: ...
    @property
    def pixel_size(self) -> list[float] | None: ...
    @property
    def scale(self) -> list[float]: ...
    @property
    def diameter(self) -> float | None: ...
    @property
    def instances(self) -> Measured: ...

def read_image(
    path: str,
    *,
    channels: list[int] | None,
    page: int,
    level: int,
    pages_as_channels: bool,
    ignore_orientation: bool,
    fill_nan: float | None,
) -> tuple[NDArray[Any], list[str]]: ...
def devices() -> str: ...
def lose_device(device: str, precision: str, submission: int) -> None: ...
def set_cache_folder(folder: str | None) -> None: ...
def evaluate(
    model: Model,
    folder: str,
    *,
    device: str,
    precision: str,
    instances: str | None,
    ground_truth: bool | None,
    channels: list[int] | None,
    fill_nan: float | None,
    ignore: int | None,
    iou: list[float] | None,
    scale: _Scale,
    memory: int,
    progress: Callable[[float], object] | None,
) -> str: ...
def find_images(paths: list[str]) -> list[Path]: ...
def result_path(image: str, kind: str, out: str | None) -> Path: ...
def selftest(device: str, *, filter: str) -> str: ...
def train(
    config: str,
    folder: str,
    *,
    resume: bool,
    init: Model | None,
    device: str,
    events: Callable[[str], object],
) -> tuple[str, int]: ...
def join_stragglers() -> None: ...
