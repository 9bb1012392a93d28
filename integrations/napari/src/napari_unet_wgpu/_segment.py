"""The widget that segments a layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from napari.layers import Image
from qtpy.QtWidgets import QCheckBox, QComboBox, QFormLayout, QLabel, QLineEdit, QSpinBox, QVBoxLayout

from ._layers import LayerError, channel_choices, micrometres, place, planes, spatial_shape
from ._models import known
from ._parts import DeviceBox, LayerBox, ModelBox, Panel, RunRow
from ._table import Table
from ._work import Job

_INSTANCES = {
    "as the model says": True,
    "connected components": "components",
    "watershed": "watershed",
    "elevation (networks with geometry)": "elevation",
    "offsets (networks with geometry)": "offsets",
    "none: classes only": False,
}


@dataclass
class Result:
    """What the work hands to the viewer."""

    name: str
    labels: np.ndarray
    placed: dict[str, Any]
    #: None where instances were not requested.
    columns: dict[str, Any] | None
    probability: np.ndarray | None
    device: str
    notes: list[str] = field(default_factory=list)


class SegmentWidget(Panel):
    """Segments the shown plane of a layer, or all its planes, into a Labels layer."""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self.layer = LayerBox(napari_viewer, Image)
        self.channel = QComboBox()
        self.every = QCheckBox("all planes")
        self.model = ModelBox()
        self.instances = QComboBox()
        self.instances.addItems(list(_INSTANCES))
        self.diameter = QLineEdit()
        self.diameter.setPlaceholderText("as the model; or pixels, or auto")
        self.tile = QSpinBox()
        self.tile.setRange(0, 1 << 16)
        self.tile.setSingleStep(256)
        self.tile.setSpecialValueText("as large as fits")
        self.probability = QCheckBox("also as a layer")
        self.device = DeviceBox()
        self.run = RunRow("Segment", self._work)
        self.run.finished.connect(self._show)
        self.table = Table()
        self.table.chosen.connect(self._go_to)
        self._labels: Any = None

        form = QFormLayout()
        form.addRow("Image", self.layer)
        form.addRow("Channel", self.channel)
        form.addRow("", self.every)
        form.addRow("Model", self.model)
        form.addRow("Instances", self.instances)
        form.addRow("Diameter", self.diameter)
        form.addRow("Tile", self.tile)
        form.addRow("Probability", self.probability)
        form.addRow("Device", self.device)
        column = QVBoxLayout(self)
        column.addLayout(form)
        column.addWidget(self.run)
        column.addWidget(QLabel("Instances"))
        column.addWidget(self.table, 1)
        self.layer.currentIndexChanged.connect(self._offer_channels)
        self._offer_channels()

    def _offer_channels(self, _index: int = 0) -> None:
        self.channel.clear()
        layer = self.layer.layer()
        for choice in channel_choices(layer) if layer is not None else []:
            self.channel.addItem(choice.text, choice)
        self.channel.setEnabled(self.channel.count() > 1)
        stack = layer is not None and len(spatial_shape(layer)) > 2
        self.every.setEnabled(stack)
        self.every.setChecked(self.every.isChecked() and stack)

    def _work(self) -> Callable[[Job], Result]:
        """What runs on the thread, with everything that it needs from the window."""
        layer, channels = self.layer.layer(), self.channel.currentData()
        if layer is None:
            raise LayerError("open an image first, or a sample: File > Open Sample > U-Net wgpu")
        model_name, every = self.model.name(), self.every.isChecked()
        assert model_name is not None
        text = self.diameter.text().strip()
        options: dict[str, Any] = {
            "instances": _INSTANCES[self.instances.currentText()],
            "tile": self.tile.value() or None,
            "probability": self.probability.isChecked(),
            "device": self.device.device(),
            "pixel_size": micrometres(layer),
            "diameter": (text if text == "auto" else float(text)) if text else None,
        }
        # The shown plane is that of now, not of when the work comes to it.
        chosen = list(planes(layer, channels, self._viewer, False)) if not every else None
        count = len(chosen) if chosen else _plane_count(layer, channels)

        def work(job: Job) -> Result:
            job.report(0, "Opening the model…")
            model = known().opened(model_name)
            found = []
            for i, plane in enumerate(chosen or planes(layer, channels, self._viewer, True)):
                text = f"Plane {i + 1} of {count}" if count > 1 else "Segmenting…"
                done = lambda fraction, i=i, text=text: job.report((i + fraction) / count, text)  # noqa: E731
                found.append((plane, model.segment(plane.image, progress=done, **options)))
            return _collect(layer, channels, found, every, options["instances"] is not False)

        return work

    def _show(self, result: Result) -> None:
        kind = "instances" if result.columns is not None else "classes"
        features = None
        if result.columns:
            import pandas

            features = pandas.DataFrame({"index": result.columns["label"], **result.columns})
        name = f"{result.name} {kind}"
        self._labels = self._viewer.add_labels(result.labels, name=name, features=features, **result.placed)
        if result.probability is not None:
            self._viewer.add_image(
                result.probability,
                name=f"{result.name} probability",
                contrast_limits=(0, 1),
                colormap="magma",
                blending="additive",
                visible=False,
                **result.placed,
            )
        self.table.show_columns(result.columns or {})
        self.device.line.setText(result.device)
        count = "" if result.columns is None else f"{len(result.columns['label'])} instances. "
        self.run.status.setText(count + " ".join(dict.fromkeys(result.notes)))

    def _go_to(self, row: int) -> None:
        """Selects the instance of a row and centres the view on it."""
        columns, labels = self.table.columns, self._labels
        if labels is None or labels not in self._viewer.layers:
            return
        labels.selected_label = int(columns["label"][row])
        at = [float(columns["centroid_y"][row]), float(columns["centroid_x"][row])]
        leading = [float(columns[f"plane_{k}"][row]) for k in range(labels.ndim - 2) if f"plane_{k}" in columns]
        world = labels.data_to_world([0.0] * (labels.ndim - 2 - len(leading)) + leading + at)
        for axis, value in enumerate(world):
            self._viewer.dims.set_point(self._viewer.dims.ndim - labels.ndim + axis, value)
        self._viewer.camera.center = tuple(world)[-3:] if len(world) > 2 else (0.0, *world)


def _plane_count(layer: Any, channels: Any) -> int:
    leading = spatial_shape(layer)[:-2]
    return int(np.prod([n for k, n in enumerate(leading) if k != channels.axis], dtype=int))


def _collect(layer: Any, channels: Any, found: list[tuple[Any, Any]], every: bool, instances: bool) -> Result:
    """One Labels array of all planes, with numbers that are unique in it, and one table."""
    shape = spatial_shape(layer)
    leading = [n for k, n in enumerate(shape[:-2]) if k != channels.axis]
    stack = tuple(leading) if every else (1,) * len(leading)
    labels = np.zeros((*stack, *shape[-2:]), np.int32)
    probability = None
    tables: list[dict[str, Any]] = []
    first = 0
    for plane, result in found:
        at = tuple(i for i in plane.index if i is not None) if every else (0,) * len(leading)
        if instances:
            table = result.table()
            numbers = {"label": table.pop("label") + np.int32(first)}
            if every:
                numbers |= {f"plane_{k}": np.full(len(numbers["label"]), i, np.int32) for k, i in enumerate(at)}
            tables.append({**numbers, **table})
            labels[at] = np.where(result.labels > 0, result.labels + np.int32(first), 0)
            first += result.count
        else:
            labels[at] = result.mask
        if hasattr(result, "_results") and result._results.probability is not None:
            # The foreground of a sigmoid output; of several classes all but the background.
            p = result.probability
            if probability is None:
                probability = np.zeros(labels.shape, np.float32)
            probability[at] = p[0] if p.shape[0] == 1 else p[1:].sum(0)
    index = found[0][0].index
    columns = {name: np.concatenate([t[name] for t in tables]) for name in tables[0]} if tables else None
    notes = [note for _, result in found for note in result.notes]
    placed = place(layer, channels, index, every)
    return Result(layer.name, labels, placed, columns if instances else None, probability, found[0][1].device, notes)
