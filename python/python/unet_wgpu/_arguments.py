"""Arguments of several functions."""

from __future__ import annotations

import json
import math
import operator
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ._errors import InvalidArgumentError

_UNITS = {"": 0, "b": 0, "k": 10, "kb": 10, "kib": 10, "m": 20, "mb": 20, "mib": 20, "g": 30, "gb": 30, "gib": 30}


def invalid(what: str, reason: str) -> InvalidArgumentError:
    """The exception about an argument."""
    error = InvalidArgumentError(f"{what}: {reason}")
    error.what, error.reason = what, reason
    return error


def whole(what: str, value: Any, least: int = 0) -> int:
    """A whole number of at least `least`."""
    try:
        number = operator.index(value)
    except TypeError:
        raise invalid(what, f"{value!r} is not a whole number") from None
    if not least <= number < 2**32:
        raise invalid(what, f"{number} is not a whole number from {least} on")
    return number


def part_of(source: Any, what: str, value: Any) -> int:
    """The page or level of a file; an array has only the one that it is."""
    number = whole(what, value)
    if number and not isinstance(source, str):
        raise invalid(what, f"{number} is of a file, and the image is an array; pass the array of that {what}")
    return number


def signed(what: str, value: Any) -> int:
    """A whole number that may be negative."""
    try:
        return int(operator.index(value))
    except TypeError:
        raise invalid(what, f"{value!r} is not a whole number") from None


def finite(what: str, value: Any) -> float | None:
    """A finite number, or None."""
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise invalid(what, f"{value!r} is not a number") from None
    if not math.isfinite(number):
        raise invalid(what, f"{number} is not a finite number")
    return number


def scale_of(
    scale: Any, diameter: Any, pixel_size: Any
) -> tuple[float | None, float | str | None, tuple[float, float] | None]:
    """How an image is resized for the model, for the native half."""
    if scale is not None and diameter is not None:
        raise invalid("scale", "excludes diameter")
    if diameter != "auto":
        diameter = finite("diameter", diameter)
    if pixel_size is not None:
        sizes = tuple(pixel_size) if isinstance(pixel_size, (tuple, list, np.ndarray)) else (pixel_size, pixel_size)
        if len(sizes) != 2:
            raise invalid("pixel_size", f"{pixel_size!r} is not micrometres, or micrometres across and down")
        x, y = (finite("pixel_size", size) for size in sizes)
        if x is None or y is None or x <= 0 or y <= 0:
            raise invalid("pixel_size", f"{pixel_size!r} is not above 0")
        pixel_size = (x, y)
    return finite("scale", scale), diameter, pixel_size


def channel_list(channels: Sequence[int] | None) -> list[int] | None:
    """Channels as a list; one alone is a list too."""
    if channels is None:
        return None
    if isinstance(channels, (int, np.integer)):
        channels = [int(channels)]
    return [whole("channels", c) for c in channels]


def bytes_of(memory: int | str) -> int:
    """A size in bytes, also as "512M" or "2G"."""
    size: Any = memory
    if isinstance(memory, str):
        number = memory.strip().rstrip("bBkKmMgGiI")
        unit = memory.strip()[len(number) :].lower()
        try:
            size = int(float(number) * (1 << _UNITS[unit]))
        except (KeyError, ValueError, OverflowError):
            raise invalid("memory", f"{memory!r} is not a size such as 2**30, '512M' or '2G'") from None
    try:
        size = operator.index(size)
    except TypeError:
        raise invalid("memory", f"{memory!r} is not a number of bytes") from None
    if not 0 < size < 2**64:
        raise invalid("memory", f"{size} is not a number of bytes above 0")
    return int(size)


def settings_of(instances: bool | str | Mapping[str, Any]) -> str | None:
    """Settings of instances as JSON; None if they are not requested."""
    if isinstance(instances, bool):
        return "{}" if instances else None
    if isinstance(instances, str):
        instances = {"method": instances}
    if not isinstance(instances, Mapping):
        raise invalid("instances", f"{instances!r} is not True, False, a method or a dict of settings")
    return json_of("instances", instances)


def json_of(what: str, value: Mapping[str, Any]) -> str:
    """A mapping as JSON; numpy's numbers are numbers, paths are strings."""

    def plain(item: Any) -> Any:
        if isinstance(item, (np.generic, np.ndarray)):
            return item.tolist()
        if isinstance(item, os.PathLike):
            return os.fspath(item)
        raise TypeError(f"{type(item).__name__} {item!r}")

    try:
        return json.dumps(dict(value), default=plain, allow_nan=False)
    except (TypeError, ValueError) as e:
        raise invalid(what, f"cannot be passed on: {e}") from None


def observer(progress: Any) -> Callable[[float], object] | None:
    """A function of the fraction done, from a function or a tqdm bar."""
    if progress is None:
        return None
    if hasattr(progress, "update"):
        done = 0.0

        def advance(fraction: float) -> None:
            nonlocal done
            progress.update(fraction - done)
            done = fraction

        return advance
    if callable(progress):
        return progress  # type: ignore[no-any-return]
    raise invalid("progress", f"{type(progress).__name__} is neither a function nor a bar with `update`")
