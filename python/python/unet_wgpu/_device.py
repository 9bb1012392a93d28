"""Devices, and the folder of compiled pipelines."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from . import _native


def cache_folder() -> str | None:
    """The user's cache folder, the same as the program's.

    ``UNET_CACHE_DIR``, else the system's default; none if ``UNET_CACHE_DIR`` is set and empty.
    """
    own = os.environ.get("UNET_CACHE_DIR")
    if own is not None:
        return own or None

    def absolute(name: str) -> Path | None:
        path = Path(os.environ.get(name, ""))
        return path if path.is_absolute() else None

    home = absolute("HOME")
    if sys.platform == "win32":
        folder = absolute("LOCALAPPDATA")
    elif sys.platform == "darwin":
        folder = home / "Library" / "Caches" if home else None
    else:
        folder = absolute("XDG_CACHE_HOME") or (home / ".cache" if home else None)
    return str(folder / "unet-wgpu") if folder else None


def prepare() -> None:
    """What must happen before a device is opened; cheap to call again."""
    # Mesa's device-select layer complains on stderr where no desktop runs.
    if sys.platform == "linux" and not {"XDG_RUNTIME_DIR", "MESA_VK_DEVICE_SELECT"} & os.environ.keys():
        os.environ.setdefault("NODEVICE_SELECT", "1")
    _native.set_cache_folder(cache_folder())


def devices() -> list[dict[str, Any]]:
    """List the devices of this machine.

    Returns
    -------
    list of dict
        One for each device, the CPU reference last. ``device`` is what the argument ``device`` takes; ``name``, ``type``,
        ``backend`` and ``driver`` are strings (``backend`` is None for the CPU); ``f16`` says whether shaders have 16-bit
        floats; ``buffer_bytes`` is the largest buffer; ``auto`` marks the device that ``device="auto"`` takes.

    Examples
    --------
    >>> import unet_wgpu
    >>> unet_wgpu.devices()[-1]["device"]
    'cpu'
    """
    prepare()
    found: list[dict[str, Any]] = json.loads(_native.devices())
    return found


def selftest(device: str = "auto", *, filter: str = "") -> dict[str, Any]:
    """Compare every kernel of a GPU with the CPU reference.

    Parameters
    ----------
    device : str, default "auto"
        The device, as for :func:`unet_wgpu.segment`.
    filter : str, optional
        Run only the checks with this text in their name. All of them take minutes.

    Returns
    -------
    dict
        ``device``, the numbers ``passed``, ``failed`` and ``skipped``, and ``checks``: a list of dicts with ``case``,
        ``check``, ``verdict``, and where values were compared ``max_error`` and ``tolerance``.

    Raises
    ------
    DeviceNotFoundError
        If there is no such device.
    InvalidArgumentError
        If no check has that text in its name.
    """
    prepare()
    report: dict[str, Any] = json.loads(_native.selftest(device, filter=filter))
    return report
