"""Images from layers, and results as layers that lie where the image lies."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

#: Leading axes with at most so many planes are offered as channels.
MOST_CHANNELS = 16

_COLOURS = ("red", "green", "blue")


class LayerError(ValueError):
    """What the user has to change in the viewer."""


@dataclass(frozen=True)
class Channels:
    """How the channels of a layer become those of an image."""

    text: str
    #: The leading axis that holds channels, None if the layer has none or is RGB.
    axis: int | None = None
    #: Selected channels, None for all.
    selected: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Plane:
    """One image of a layer."""

    image: np.ndarray
    #: Its index along every axis before the last two, None for the axis of channels.
    index: tuple[int | None, ...]


def full_data(layer: Any) -> Any:
    """The array of a layer at full resolution."""
    return layer.data[0] if layer.multiscale else layer.data


def is_rgb(layer: Any) -> bool:
    return bool(getattr(layer, "rgb", False))


def spatial_shape(layer: Any) -> tuple[int, ...]:
    """The shape of a layer without the channels of RGB."""
    shape = tuple(full_data(layer).shape)
    return shape[:-1] if is_rgb(layer) else shape


def channel_choices(layer: Any) -> list[Channels]:
    """What the channel box offers for a layer."""
    if is_rgb(layer):
        single = [Channels(name, selected=(k,)) for k, name in enumerate(_COLOURS)]
        return [Channels("all", selected=(0, 1, 2)), *single]
    shape = spatial_shape(layer)
    axes = [k for k, n in enumerate(shape[:-2]) if n <= MOST_CHANNELS]
    return [Channels("as it is"), *(Channels(f"axis {k} ({shape[k]} channels)", axis=k) for k in axes)]


def planes(layer: Any, channels: Channels, viewer: Any, every: bool) -> Iterator[Plane]:
    """The plane that the viewer shows, or every plane of a layer."""
    shape = spatial_shape(layer)
    if len(shape) < 2:
        raise LayerError(f"{layer.name} has {len(shape)} axis; an image has rows and columns")
    leading = shape[:-2]
    free = [k for k in range(len(leading)) if k != channels.axis]
    if not every and free:
        chosen = [_shown(layer, viewer)]
    else:
        chosen = list(itertools.product(*(range(leading[k]) if k in free else (None,) for k in range(len(leading)))))
    for full in chosen:
        index = tuple(None if k == channels.axis else full[k] for k in range(len(leading)))
        yield Plane(_image(layer, channels, index), index)


def _shown(layer: Any, viewer: Any) -> tuple[int, ...]:
    """The indices of the shown plane along the axes before the last two."""
    dims = viewer.dims
    if dims.ndisplay != 2:
        raise LayerError("the viewer shows volumes; switch it to 2D, or segment all planes")
    if tuple(dims.displayed) != (dims.ndim - 2, dims.ndim - 1):
        raise LayerError("the viewer shows other axes than the last two; roll them back, or segment all planes")
    at = layer.world_to_data(dims.point)
    shape = spatial_shape(layer)
    index = tuple(int(round(float(v))) for v in at[: len(shape) - 2])
    if not all(0 <= i < n for i, n in zip(index, shape)):
        raise LayerError(f"{layer.name} has no plane where the sliders stand")
    return index


def _image(layer: Any, channels: Channels, index: tuple[int | None, ...]) -> np.ndarray:
    data = full_data(layer)
    image = np.asarray(data[tuple(slice(None) if i is None else i for i in index)])
    if channels.axis is not None:
        return np.moveaxis(image, 0, -1)
    if is_rgb(layer):
        return image[..., list(channels.selected or (0, 1, 2))]
    return image


def micrometres(layer: Any) -> tuple[float, float] | None:
    """The size of a pixel across and down, if the layer's units are lengths."""
    units = getattr(layer, "units", None)
    if units is None:
        return None
    sizes = []
    for scale, unit in list(zip(layer.scale, units))[-2:]:
        try:
            sizes.append(float(abs(scale) * (1 * unit).to("micrometer").magnitude))
        except Exception:  # noqa: BLE001: pint's errors; pixels are no length
            return None
    down, across = sizes
    return (across, down) if across > 0 and down > 0 else None


def place(layer: Any, channels: Channels, index: tuple[int | None, ...], whole: bool) -> dict[str, Any]:
    """Where a result lies: the transforms of its layer, for a stack or for one plane of it."""
    ndim = len(spatial_shape(layer))
    kept = [k for k in range(ndim) if k != channels.axis]
    translate = np.asarray(layer.translate, float)
    start = np.array([0 if whole or i is None else i for i in index] + [0, 0], float)
    if start.any():
        # The plane's origin in the world, brought back before the affine transform.
        moved = np.asarray(layer.data_to_world(start)) - np.asarray(layer.data_to_world(np.zeros(ndim)))
        translate = translate + np.linalg.inv(np.asarray(layer.affine.linear_matrix)) @ moved
    if channels.axis is None:
        placed = {"rotate": layer.rotate, "shear": layer.shear, "affine": layer.affine.affine_matrix}
    elif _is_plain(layer):
        placed = {}
    else:
        raise LayerError(f"{layer.name} is rotated or sheared and has an axis of channels; split it into layers")
    placed |= {"scale": np.asarray(layer.scale)[kept], "translate": translate[kept]}
    if getattr(layer, "units", None) is not None:
        placed["units"] = tuple(np.asarray(layer.units, object)[kept])
    return placed


def _is_plain(layer: Any) -> bool:
    """Whether a layer is only scaled and translated."""
    ndim = len(spatial_shape(layer))
    at = [np.asarray(layer.data_to_world(v)) for v in np.vstack([np.zeros(ndim), np.eye(ndim)])]
    linear = np.stack([a - at[0] for a in at[1:]], 1)
    return bool(np.allclose(linear, np.diag(layer.scale)))
