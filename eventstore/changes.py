"""Tells when a file in a folder changes, whoever changes it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

_POLL_SECONDS = 0.05


def folder_changes(folder: Path, deadline: float | None, *, prefix: str = "") -> Iterator[bool]:
    """Yields True when a file in the folder whose name begins like this changes, and False now and then in case the
    system does not tell; ends in time. Where the system cannot tell, or has no more watches to give, now and then is
    all.
    """
    from watchfiles import watch  # not needed by who never waits

    def remaining() -> float:
        return _POLL_SECONDS if deadline is None else min(_POLL_SECONDS, deadline - time.monotonic())

    told = time.monotonic()
    while (seconds := remaining()) > 0:
        try:
            for changes in watch(
                folder,
                watch_filter=None,  # it would have us wait for as long as other files keep changing
                rust_timeout=int(seconds * 1000) + 1,
                yield_on_timeout=True,
                debounce=1,
                step=1,
                recursive=False,
            ):
                ours = any(Path(path).name.startswith(prefix) for _, path in changes)
                if ours or time.monotonic() - told >= _POLL_SECONDS:
                    yield ours
                    told = time.monotonic()
                if remaining() <= 0:
                    return
        except (OSError, RuntimeError):  # what watchfiles raises, its own internal error included
            time.sleep(max(remaining(), 0))  # nothing tells of changes here: whoever waits looks again then
            yield False
