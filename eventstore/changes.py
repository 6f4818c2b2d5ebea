"""Tells when a folder changes, whoever changes it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

_POLL_SECONDS = 0.05


def folder_changes(folder: Path, deadline: float | None) -> Iterator[None]:
    """Yields when a file in the folder changes, and now and then in case the system does not tell; ends in time."""
    from watchfiles import watch  # not needed by who never waits

    def remaining() -> float:
        return _POLL_SECONDS if deadline is None else min(_POLL_SECONDS, deadline - time.monotonic())

    while (seconds := remaining()) > 0:
        ticks = watch(folder, rust_timeout=int(seconds * 1000) + 1, yield_on_timeout=True, debounce=1, step=1)
        for _ in ticks:
            yield
            if remaining() <= 0:
                return
