"""The widget that trains a model on painted labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from napari.layers import Image, Labels
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
)
from unet_wgpu import Model

from ._layers import LayerError, full_data, is_rgb, spatial_shape
from ._models import known
from ._parts import DeviceBox, LayerBox, ModelBox, Panel, RunRow
from ._work import Cancelled, Job

#: What the ground truth holds where nothing is known.
UNKNOWN = -1

_ZERO = {
    "unlabelled: not used; label 1 is background": True,
    "background: everything is labelled": False,
}
_KINDS = {"instances: a number for each": "labels", "classes: a number for each class": "masks"}


class TrainWidget(Panel):
    """Trains on the labelled pixels of a Labels layer; the others may stay unlabelled."""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self.image = LayerBox(napari_viewer, Image)
        self.labels = LayerBox(napari_viewer, Labels)
        self.zero = QComboBox()
        self.zero.addItems(list(_ZERO))
        self.kind = QComboBox()
        self.kind.addItems(list(_KINDS))
        self.start = ModelBox("new weights")
        self.start.choose("nuclei")
        self.steps = QSpinBox()
        self.steps.setRange(1, 1_000_000)
        self.steps.setValue(500)
        self.crop = QSpinBox()
        self.crop.setRange(32, 1024)
        self.crop.setSingleStep(16)
        self.crop.setValue(128)
        self.batch = QSpinBox()
        self.batch.setRange(1, 64)
        self.batch.setValue(4)
        self.rate = QDoubleSpinBox()
        self.rate.setDecimals(5)
        self.rate.setRange(0.00001, 1)
        self.rate.setSingleStep(0.0001)
        self.rate.setValue(0.0005)
        self.name = QLineEdit("my model")
        self.device = DeviceBox()
        self.run = RunRow("Train", self._work)
        self.run.finished.connect(self._finish)
        self.save_button = QPushButton("Save model…")
        self.save_button.setEnabled(False)
        self.save_button.clicked.connect(self._browse)
        self._trained: Model | None = None

        form = QFormLayout()
        form.addRow("Image", self.image)
        form.addRow("Labels", self.labels)
        form.addRow("Label 0 is", self.zero)
        form.addRow("Labels are", self.kind)
        form.addRow("Start from", self.start)
        form.addRow("Steps", self.steps)
        form.addRow("Crop", self.crop)
        form.addRow("Crops per step", self.batch)
        form.addRow("Learning rate", self.rate)
        form.addRow("Name", self.name)
        form.addRow("Device", self.device)
        column = QVBoxLayout(self)
        column.addLayout(form)
        column.addWidget(self.run)
        column.addWidget(self.save_button)
        hint = QLabel("Cancel keeps the best model so far, once one was evaluated.")
        hint.setWordWrap(True)
        column.addWidget(hint)
        column.addStretch(1)

    def _work(self) -> Callable[[Job], Any]:
        image, labels = self.image.layer(), self.labels.layer()
        if image is None or labels is None:
            raise LayerError("training needs an image layer and a labels layer")
        kind = _KINDS[self.kind.currentText()]
        # A copy: the user may paint on.
        truth = np.array(full_data(labels))
        crop, steps = self.crop.value(), self.steps.value()
        images, truths = pairs(image, truth, partial=_ZERO[self.zero.currentText()], kind=kind, edge=crop)
        device, start = self.device.device(), self.start.name()
        batch, rate = self.batch.value(), self.rate.value()
        channels = images[0].shape[2] if images[0].ndim == 3 else 1

        def work(job: Job) -> tuple[Model, str]:
            job.report(0, "Opening the model…")
            init = known().opened(start) if start is not None else None
            config = configuration(init, kind, classes_of(truths), channels)
            config |= {"steps": steps, "crop": crop, "batch": batch, "eval_every": max(1, min(100, steps // 4))}
            config["optimiser"] = {"lr": rate}
            last: dict[str, Any] = {"loss": float("nan"), "score": "", "evaluated": False}

            def watch(event: dict[str, Any]) -> bool:
                if event["event"] == "evaluated":
                    last["evaluated"] = True
                    last["score"] = ", ".join(f"{k} {v:.3f}" for k, v in event["scores"].items() if k in ("dice", "f1"))
                elif event["event"] == "step":
                    last["loss"] = event["loss"]
                    text = f"Step {event['step']} of {steps}, loss {last['loss']:.4f}. {last['score']}"
                    if not job.is_cancelled:
                        job.report(event["step"] / steps, text)
                return not job.is_cancelled

            model = Model.train(images, truths, config, watch, ground_truth=kind, ignore=UNKNOWN, init=init, device=device)
            if job.is_cancelled and not last["evaluated"]:
                raise Cancelled
            return model, f"{'Stopped early' if job.is_cancelled else 'Done'}. {last['score']}"

        return work

    def _finish(self, outcome: tuple[Model, str]) -> None:
        model, text = outcome
        self._trained = model
        name = known().add(self.name.text().strip() or "my model", model)
        self.save_button.setEnabled(True)
        self.run.status.setText(f"{text} The widget Segment has it as “{name}”; save it to keep it.")

    def _browse(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save the model", f"{self.name.text()}.safetensors", "Models (*.safetensors)")
        if path:
            self.save(path)

    def save(self, path: str) -> None:
        """Write the trained model to a file."""
        assert self._trained is not None
        try:
            self._trained.convert(path)
            self.run.status.setText(f"Saved {path}.")
        except Exception as error:  # noqa: BLE001: shown to the user, whatever it is
            self.run.fail(error)


def pairs(
    image: Any, labels: np.ndarray, *, partial: bool, kind: str, edge: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Images and ground truth from a layer and its labels: the labelled parts, in pieces, some of which validate."""
    shape = spatial_shape(image)
    labels = labels.reshape(labels.shape[labels.ndim - len(shape) :]) if labels.ndim > len(shape) else labels
    if labels.shape != shape:
        raise LayerError(f"the labels have shape {labels.shape}, the image {shape}; they must be of one size")
    data = full_data(image)
    truth = known_pixels(labels, partial, kind)
    images, truths = [], []
    for index in np.ndindex(shape[:-2]):
        if not (truth[index] != UNKNOWN).any():
            continue
        plane = np.asarray(data[index])
        for rows, columns in pieces(truth[index], edge):
            piece = plane[rows, columns]
            images.append(piece[..., :3] if is_rgb(image) else piece)
            truths.append(np.ascontiguousarray(truth[index][rows, columns]))
    if not any((t > 0).any() for t in truths):
        raise LayerError("no pixel is labelled as an object; paint some, with label 2 and above if 0 is unlabelled")
    if len(images) < 2:
        raise LayerError("the labels are too few to hold some out for validation; label a larger part, or make crops smaller")
    return images, truths


def known_pixels(labels: np.ndarray, partial: bool, kind: str) -> np.ndarray:
    """Ground truth of painted labels: 0 is background, `UNKNOWN` is what was not labelled."""
    labels = labels.astype(np.int32)
    if not partial:
        return labels
    # Label 1 becomes background; classes count from 1 again, instances keep their numbers.
    objects = labels - 1 if kind == "masks" else labels
    return np.select([labels == 0, labels == 1], [np.int32(UNKNOWN), np.int32(0)], objects).astype(np.int32)


def pieces(truth: np.ndarray, edge: int) -> list[tuple[slice, slice]]:
    """Squares of about `edge` pixels that have a labelled pixel, in a grid over the labelled part of a plane."""
    found = []
    rows, columns = np.nonzero(truth != UNKNOWN)
    top, bottom, left, right = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
    # Large parts are cut so that there are at least five, the fifth of which is held out.
    down, across = max(1, round((bottom - top) / edge)), max(1, round((right - left) / edge))
    while down * across < 5 and max((bottom - top) / down, (right - left) / across) >= 32:
        if (bottom - top) / down >= (right - left) / across:
            down += 1
        else:
            across += 1
    ys, xs = np.linspace(top, bottom, down + 1).round().astype(int), np.linspace(left, right, across + 1).round().astype(int)
    for y0, y1 in zip(ys, ys[1:]):
        for x0, x1 in zip(xs, xs[1:]):
            if (truth[y0:y1, x0:x1] != UNKNOWN).any():
                found.append((slice(y0, y1), slice(x0, x1)))
    return found


def classes_of(truths: list[np.ndarray]) -> int:
    """The number of classes, background included."""
    return int(max(2, 1 + max(t.max() for t in truths)))


def configuration(init: Model | None, kind: str, classes: int, channels: int) -> dict[str, Any]:
    """The network of the model to start from, or a small U-Net."""
    if init is not None:
        about = init.inspect()
        target = about.get("target")
        if kind == "masks" and (target or classes != len(about["classes"])):
            raise LayerError(f"{init.name} predicts {', '.join(about['classes'])}, not {classes} classes; start from new weights")
        config = {"arch": about["arch"], "config": about["config"], "data": {"normalisation": about["normalisation"]}}
        if target:
            config["instances"] = {"target": target}
        return config
    network = {"width": 16, "depth": 4, "padding": "same", "in_channels": channels}
    if kind == "masks":
        return {"arch": "unet", "config": {**network, "out_channels": classes}}
    return {"arch": "unet", "config": network, "instances": {"target": "multi"}}
