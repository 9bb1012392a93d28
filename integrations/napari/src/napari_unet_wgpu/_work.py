"""Work on a thread of its own, with progress and a cancel button.

The thread touches no Qt object: the window looks at the job. A signal across threads could reach a window that Qt is deleting.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


class Cancelled(Exception):
    """The user pressed Cancel."""


class Job:
    """One piece of work."""

    def __init__(self, work: Callable[[Job], Any]) -> None:
        self._work = work
        self._stop = threading.Event()
        #: The fraction done, and a line about it.
        self.progress: tuple[float, str] | None = None
        #: What the work returned; valid if it has ended without an error.
        self.result: Any = None
        #: What it raised: :class:`Cancelled` after Cancel.
        self.error: Exception | None = None
        # A driver that hangs must not keep napari from ending.
        self._thread = threading.Thread(target=self._run, name="unet-wgpu", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def cancel(self) -> None:
        """Ask the work to end; it does so at its next report."""
        self._stop.set()

    @property
    def is_cancelled(self) -> bool:
        return self._stop.is_set()

    def is_running(self) -> bool:
        return self._thread.is_alive()

    def wait(self, seconds: float) -> bool:
        """Wait for the end of the thread; whether it has ended."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def report(self, fraction: float, text: str = "") -> None:
        """Called by the work: tells progress, and raises :class:`Cancelled` after Cancel."""
        if self._stop.is_set():
            raise Cancelled
        self.progress = (fraction, text)

    def _run(self) -> None:
        try:
            self.result = self._work(self)
        except Exception as error:  # noqa: BLE001: shown to the user, whatever it is
            self.error = error
