"""Waits for what somebody writes into files, whoever it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

_POLL_SECONDS = 0.05
_PAUSES = (0.001, 0.002, 0.004, 0.008, 0.016)
"""Seconds between looks for a commit whose write was told of, as its sync is not: only from then on can it be read."""


def seen_in_time(look: Callable[[], bool], folder: Path, deadline: float | None, *, prefix: str = "") -> bool:
    """Whether what is looked for is seen before the deadline: now, or soon after a file in the folder whose name begins
    like this has changed. Looks now and then in case the system does not tell of a change. Where it cannot, or has no
    more watches to give, now and then is all.
    """
    from watchfiles import watch  # not needed by who never waits

    def remaining() -> float:
        return _POLL_SECONDS if deadline is None else min(_POLL_SECONDS, deadline - time.monotonic())

    looks = _Looks(look)
    while (seconds := remaining()) > 0 and not looks.found:
        looks.begin()
        try:
            for changes in watch(
                folder,
                watch_filter=None,  # it would have us wait for as long as other files keep changing
                rust_timeout=int(seconds * 1000) + 1,
                yield_on_timeout=True,
                debounce=1,
                step=1,
                recursive=False,
                stop_event=looks,
            ):
                if any(Path(path).name.startswith(prefix) for _, path in changes):
                    looks.begin()
                if looks.is_set() or remaining() <= 0:
                    break
        except (OSError, RuntimeError):  # what watchfiles raises, its own internal error included
            time.sleep(max(remaining(), 0))  # nothing tells of changes here
            looks.is_set()
    return looks.found


class _Looks:
    """Looks when it is due, and ends a watch that has nothing left to wait for. A watch asks each millisecond whether
    it is to end, and not before it has begun. So nothing comes between the look and the watch: there one in three
    events was missed if they came one after the other, and seen 50 ms later.
    """

    def __init__(self, look: Callable[[], bool]) -> None:
        self.found = False
        self._look = look

    def begin(self) -> None:
        """Look at once, again after short pauses, and then seldom."""
        self._due, self._pauses = time.monotonic(), iter(_PAUSES)

    def is_set(self) -> bool:
        if not self.found and time.monotonic() >= self._due:
            self.found = self._look()
            self._due = time.monotonic() + next(self._pauses, _POLL_SECONDS)
        return self.found
