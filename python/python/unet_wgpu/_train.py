"""Training runs."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from . import _folder, _native
from ._arguments import invalid, json_of, signed
from ._device import prepare
from ._model import Model
from ._segment import model_of


class _Stop(Exception):
    """The callback returned False."""


def train(
    images: Any,
    labels: Iterable[Any] | None,
    config: Mapping[str, Any] | None,
    callback: Callable[[dict[str, Any]], object] | None,
    *,
    ground_truth: str,
    ignore: int | None,
    out: str | os.PathLike[str] | None,
    resume: bool,
    init: Any,
    device: str,
) -> Model:
    """:meth:`unet_wgpu.Model.train`."""
    options = dict(config or {})
    data = dict(options.pop("data", {}))
    if ignore is not None:
        data["ignore"] = signed("ignore", ignore)
    if resume and out is None:
        raise invalid("resume", "needs the folder of the run in `out`")
    with tempfile.TemporaryDirectory(prefix="unet-wgpu-") as temporary:
        if isinstance(images, (str, os.PathLike)):
            if labels is not None:
                raise invalid("labels", "are in the folder of the data set; pass arrays for both, or the folder alone")
            data["folder"] = os.fsdecode(images)
        else:
            if labels is None:
                raise invalid("labels", "are missing: pass one array per image, or the folder of a data set")
            folder = Path(temporary) / "data"
            _folder.write(folder, _pairs(images, labels), ground_truth)
            data["folder"] = str(folder)
        run = Path(out) if out is not None else Path(temporary) / "run"
        _run({**options, "data": data}, run, resume, init, device, callback)
        best = run / "best.safetensors"
        # Without an evaluation there is no best one.
        model = Model.open(best if best.exists() else run / "last.safetensors")
        if out is None:
            # The path will not exist.
            model._name = "trained"
        return model


def _pairs(images: Iterable[Any], labels: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    missing = object()
    truths = iter(labels)
    count = -1
    for count, image in enumerate(images):
        truth = next(truths, missing)
        if truth is missing:
            raise invalid("labels", f"there are {count}, and more images")
        yield image, truth
    if next(truths, missing) is not missing:
        raise invalid("labels", f"there are more than images, of which there are {count + 1}")


def _run(
    config: Mapping[str, Any],
    run: Path,
    resume: bool,
    init: Any,
    device: str,
    callback: Callable[[dict[str, Any]], object] | None,
) -> None:
    def tell(event: str) -> None:
        if callback is not None and callback(json.loads(event)) is False:
            raise _Stop

    prepare()
    try:
        _native.train(
            json_of("config", config),
            str(run),
            resume=resume,
            init=None if init is None else model_of(init)._native,
            device=device,
            events=tell,
        )
    except _Stop:
        pass
