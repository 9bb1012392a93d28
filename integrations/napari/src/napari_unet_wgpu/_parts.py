"""Parts of both widgets: boxes of layers, models and devices, and the row that runs and cancels work."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import unet_wgpu
from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from ._models import FILES, known
from ._work import Cancelled, Job


class LayerBox(QComboBox):
    """The layers of one kind; follows the viewer."""

    def __init__(self, viewer: Any, kind: type) -> None:
        super().__init__()
        self._viewer, self._kind = viewer, kind
        for event in (viewer.layers.events.inserted, viewer.layers.events.removed, viewer.layers.events.reordered):
            event.connect(self._refresh)
        self._refresh()

    def _refresh(self, event: Any = None) -> None:
        chosen = self.layer()
        self.blockSignals(True)
        self.clear()
        for layer in self._viewer.layers:
            if isinstance(layer, self._kind):
                self.addItem(layer.name, layer)
                # A method is held weakly, and connected once however often.
                layer.events.name.connect(self._rename)
        at = next((i for i in range(self.count()) if self.itemData(i) is chosen), 0)
        self.setCurrentIndex(at if self.count() else -1)
        self.blockSignals(False)
        if self.layer() is not chosen:
            self.currentIndexChanged.emit(self.currentIndex())

    def _rename(self, event: Any = None) -> None:
        for i in range(self.count()):
            self.setItemText(i, self.itemData(i).name)

    def layer(self) -> Any:
        return self.currentData()

    def choose(self, layer: Any) -> None:
        self.setCurrentIndex(next(i for i in range(self.count()) if self.itemData(i) is layer))


class ModelBox(QWidget):
    """The models of this session, and a button that opens a file."""

    def __init__(self, first: str | None = None) -> None:
        super().__init__()
        self.box = QComboBox()
        if first is not None:
            self.box.addItem(first)
        self._first = first
        self.box.addItems(list(known().models))
        button = QPushButton("File…")
        button.setToolTip("Open a checkpoint (.safetensors, .pth, .onnx) or a bioimage.io package (.zip)")
        button.clicked.connect(self._browse)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.box, 1)
        row.addWidget(button)
        known().added.connect(self._add)

    def _add(self, name: str) -> None:
        if self.box.findText(name) < 0:
            self.box.addItem(name)

    def _browse(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open a model", "", FILES)
        if path:
            self.add_file(path)

    def add_file(self, path: str) -> None:
        """Offer a file, and choose it."""
        self.choose(known().add(os.path.basename(path), path))

    def choose(self, name: str) -> None:
        self.box.setCurrentText(name)

    def name(self) -> str | None:
        """The chosen name; None for the first entry, where that is no model."""
        return None if self._first is not None and self.box.currentIndex() == 0 else self.box.currentText()


class DeviceBox(QWidget):
    """The devices of this machine, and a line that says what runs or what is missing."""

    def __init__(self) -> None:
        super().__init__()
        self.box = QComboBox()
        self.line = QLabel()
        self.line.setWordWrap(True)
        self.line.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.box)
        column.addWidget(self.line)
        found = unet_wgpu.devices()
        gpus = [d for d in found if d["device"] != "cpu"]
        if gpus:
            self.box.addItem("auto", "auto")
        for device in found:
            self.box.addItem(f"{device['device']}: {device['name']}", device["device"])
        taken = next((d for d in found if d["auto"]), None)
        if taken:
            self.line.setText(f"{taken['name']}, {taken['driver']}")
        elif not gpus:
            text = "No GPU driver was found; the CPU reference is very slow. Install a Vulkan driver (Linux: mesa-vulkan-drivers)."
            self.line.setText(text)

    def device(self) -> str:
        return str(self.box.currentData())


class Panel(QWidget):
    """A widget of the plugin; closing it ends its work."""

    run: RunRow

    def closeEvent(self, event: Any) -> None:  # noqa: N802
        self.run.stop()
        super().closeEvent(event)


class RunRow(QWidget):
    """The buttons that start and cancel one job at a time, its progress, and its outcome."""

    finished = Signal(object)

    def __init__(self, start_text: str, start: Callable[[], Callable[[Job], Any] | None]) -> None:
        super().__init__()
        self._start = start
        self.job: Job | None = None
        self.button = QPushButton(start_text)
        self.cancel = QPushButton("Cancel")
        self.bar = QProgressBar()
        self.bar.setRange(0, 1000)
        self.status = QLabel()
        self.status.setWordWrap(True)
        self.status.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        buttons = QHBoxLayout()
        buttons.addWidget(self.button, 1)
        buttons.addWidget(self.cancel)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(buttons)
        column.addWidget(self.bar)
        column.addWidget(self.status)
        self.button.clicked.connect(self.run)
        self.cancel.clicked.connect(self.stop)
        # A child: it ends with the window.
        self._timer = QTimer(self)
        self._timer.setInterval(50)
        self._timer.timeout.connect(self._look)
        self._idle()

    def run(self) -> None:
        """Start the work that the widget describes, unless something runs."""
        if self.job is not None:
            return
        try:
            work = self._start()
        except Exception as error:  # noqa: BLE001: shown to the user, whatever it is
            self.fail(error)
            return
        if work is None:
            return
        self.job = Job(work)
        self.button.setEnabled(False)
        self.cancel.setEnabled(True)
        self.bar.setValue(0)
        self.bar.setVisible(True)
        self.status.setText("Starting…")
        self.job.start()
        self._timer.start()

    def stop(self) -> None:
        if self.job is not None:
            self.job.cancel()
            self.cancel.setEnabled(False)
            self.status.setText("Cancelling…")

    def fail(self, error: Exception) -> None:
        """Show an error: in words, without a traceback."""
        self.status.setText(f"<b>Error:</b> {_escaped(str(error) or type(error).__name__)}")

    def _look(self) -> None:
        """Shows what the job tells, and its outcome once it has ended."""
        job = self.job
        if job is None:
            return
        running = job.is_running()
        if job.progress is not None:
            fraction, text = job.progress
            self.bar.setValue(round(1000 * fraction))
            if not job.is_cancelled:
                self.status.setText(text)
        if running:
            return
        self._idle()
        if isinstance(job.error, Cancelled):
            self.status.setText("Cancelled.")
        elif job.error is not None:
            self.fail(job.error)
        else:
            try:
                self.finished.emit(job.result)
            except Exception as error:  # noqa: BLE001
                self.fail(error)

    def _idle(self) -> None:
        self.job = None
        self._timer.stop()
        self.button.setEnabled(True)
        self.cancel.setEnabled(False)
        self.bar.setVisible(False)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
