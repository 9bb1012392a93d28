"""Work on a thread of its own, with progress and a cancel button."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, Signal


class Cancelled(Exception):
    """The user pressed Cancel."""


class Job(QObject):
    """One piece of work. Signals arrive in the thread that made the object."""

    progressed = Signal(float, str)
    succeeded = Signal(object)
    failed = Signal(object)
    cancelled = Signal()

    def __init__(self, work: Callable[[Job], Any], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._work = work
        self.stop = threading.Event()
        # A driver that hangs must not keep napari from ending.
        self._thread = threading.Thread(target=self._run, name="unet-wgpu", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def cancel(self) -> None:
        """Ask the work to end; it does so at its next report."""
        self.stop.set()

    @property
    def is_cancelled(self) -> bool:
        return self.stop.is_set()

    def is_running(self) -> bool:
        return self._thread.is_alive()

    def wait(self, seconds: float) -> bool:
        """Wait for the end of the thread; whether it has ended."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def report(self, fraction: float, text: str = "") -> None:
        """Called by the work: shows progress, and raises :class:`Cancelled` after Cancel."""
        if self.stop.is_set():
            raise Cancelled
        self._tell(self.progressed, fraction, text)

    def _run(self) -> None:
        try:
            result = self._work(self)
        except Cancelled:
            self._tell(self.cancelled)
        except Exception as error:  # noqa: BLE001: shown to the user, whatever it is
            self._tell(self.failed, error)
        else:
            self._tell(self.succeeded, result)

    def _tell(self, signal: Any, *values: Any) -> None:
        try:
            signal.emit(*values)
        except RuntimeError:
            # The window was closed, and Qt deleted this object.
            self.stop.set()
