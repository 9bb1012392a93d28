"""The models that both widgets offer: built-in ones, files, and those trained in this session."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QObject, Signal
from unet_wgpu import Model

BUILT_IN = ("nuclei", "nuclei-unet++", "nuclei-unet3+", "nuclei-he")

#: What file dialogs show.
FILES = "Models (*.safetensors *.safetensors.gz *.pth *.pt *.ckpt *.onnx *.zip)"


class _Known(QObject):
    added = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.models: dict[str, Any] = {name: name for name in BUILT_IN}

    def add(self, name: str, model: Any) -> str:
        """Offer a model, or the path of one; returns its name, which is made unique."""
        unique, number = name, 2
        while unique in self.models and self.models[unique] != model:
            unique, number = f"{name} ({number})", number + 1
        if unique not in self.models:
            self.models[unique] = model
            self.added.emit(unique)
        return unique

    def opened(self, name: str) -> Model:
        """A model by its name in the box; it stays open, with its buffers on the device."""
        model = self.models[name]
        if not isinstance(model, Model):
            model = self.models[name] = Model.open(model)
        return model


_known: _Known | None = None


def known() -> _Known:
    """All models of this session."""
    global _known
    if _known is None:
        _known = _Known()
    return _known
