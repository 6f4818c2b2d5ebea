"""Syncs in the background what was written without, as long as a log is open."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from eventstore.errors import EventStoreError

BATCH_SECONDS = 0.05
"""How often it syncs."""


class BackgroundSync:
    """A thread that calls `sync` again and again, begun when there is first something to sync.

    An error of `sync` is left to the next caller of the log, who meets it too.
    """

    def __init__(self, sync: Callable[[], None]) -> None:
        self._sync = sync
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()

    def soon(self) -> None:
        """Have what is written by now synced by and by. One thread at a time may call this."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._keep_syncing, name="eventstore-sync", daemon=True)
            self._thread.start()

    def _keep_syncing(self) -> None:
        while not self._stopped.wait(BATCH_SECONDS):
            with contextlib.suppress(EventStoreError):
                self._sync()

    def stop(self) -> None:
        """Begin no more syncs."""
        self._stopped.set()

    def join(self) -> None:
        """Wait for the one that was begun."""
        if self._thread is not None:
            self._thread.join()
