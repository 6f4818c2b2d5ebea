"""Keeps a claim alive while its worker is at work.

Whether a worker still has a run is decided by its epoch, and for how long others keep away by its lease, which the
store's clock measures; whether a process is alive is never asked, so it does not matter who has its id by now. The pace
of renewals is kept by a clock that nobody can set.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from eventstore.errors import EventStoreError, Unavailable

_RENEWALS = 3
"""How many renewals there are in the time of a lease."""
_RETRIES = 12
"""How many tries there are in that time while the store cannot be reached."""


class Heartbeat:
    """Renews a lease, at once and then whenever a third of it is over, in a thread of its own until it is closed.

    A context manager, made by `Store.heartbeat`. It ends by itself as soon as a renewal is refused, because another
    worker has claimed the run or the run is not running any more, or if none has succeeded for as long as the lease
    lasts. Then the claim is `lost`, and `on_lost` is called with the reason, once, in that thread.
    """

    def __init__(
        self,
        renew: Callable[[], object],
        lease: float,
        *,
        on_lost: Callable[[Exception], object] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._renew, self._lease, self._on_lost, self._clock = renew, lease, on_lost, clock
        self._renewed = clock()
        self._reason: Exception | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __repr__(self) -> str:
        state = "lost" if self.lost else "closed" if self._closing.is_set() else "beating"
        return f"<Heartbeat {state} lease={self._lease}>"

    def __enter__(self) -> Self:
        """Renew once, and go on in the background. Raises what the renewal raises."""
        begun = self._clock()
        self._renew()
        self._renewed = begun
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def lost(self) -> bool:
        """Whether the claim is not to be relied on any more."""
        return self._reason is not None or self._clock() - self._renewed >= self._lease

    def check(self) -> None:
        """Raise what the claim was lost by, if it is: `Fenced`, `InvalidTransition`, `Unavailable`. Costs nothing."""
        if self._reason is not None:
            raise self._reason
        if self.lost:
            hint = "Stop, and resume the run: another worker may have claimed it."
            raise Unavailable(f"the lease of {self._lease} seconds has run out without a renewal", hint)

    def close(self) -> None:
        """Renew no more, and wait for a renewal that is under way. The lease stays. Repeated calls do nothing."""
        self._closing.set()
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _beat(self) -> None:
        pause = self._lease / _RENEWALS
        while not self._closing.wait(pause):
            begun = self._clock()
            try:
                self._renew()
            except Exception as error:
                passing = isinstance(error, EventStoreError) and error.retriable
                if passing and self._clock() - self._renewed < self._lease:
                    pause = self._lease / _RETRIES
                    continue
                self._reason = error
                self._on_lost(error)
                return
            self._renewed, pause = begun, self._lease / _RENEWALS
