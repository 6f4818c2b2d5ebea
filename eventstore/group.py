"""Group commit: many threads hand in requests, and the one whose turn it is serves all that wait.

So sixty-four threads that append at once share one write and one sync. A thread that finds a turn taken queues up;
when the turn ends it has either been served in it, or the turn is handed to the first in the queue, who serves
everything that has queued up meanwhile. Handing over, rather than leaving the turn to whoever is quickest, is what
lets a thread that wants a turn have it while another appends without pause.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Request = TypeVar("Request")
Result = TypeVar("Result")


class Turn:
    """A place in the queue. Its gate opens when its turn has come, or when it has been served in another's."""

    __slots__ = ("come", "gate")

    def __init__(self) -> None:
        self.come = False
        self.gate = threading.Lock()
        self.gate.acquire()


class Ticket(Turn, Generic[Request, Result]):
    """A request and, once it is served, its result or its error."""

    __slots__ = ("error", "request", "result", "served")

    def __init__(self, request: Request) -> None:
        super().__init__()
        self.request = request
        self.result: Result | None = None
        self.error: BaseException | None = None
        self.served = False


class GroupCommit(Generic[Request, Result]):
    """Serves requests in the order they came, in batches, one batch at a time.

    `serve` fills in each ticket's result or error. If it raises, every ticket of the batch without an error gets that
    one.
    """

    def __init__(self, serve: Callable[[list[Ticket[Request, Result]]], None]) -> None:
        self._serve = serve
        self._queue: deque[Turn] = deque()
        self._taken = False
        self._holder = 0
        self._mutex = threading.Lock()

    def submit(self, request: Request) -> Result:
        """Have the request served, by this thread or by another, and return its result or raise its error."""
        ticket: Ticket[Request, Result] = Ticket(request)
        with self._hold(ticket):
            if not ticket.served:
                self._serve_with_all_waiting(ticket)
        if ticket.error is not None:
            raise ticket.error
        assert ticket.result is not None
        return ticket.result

    def turn(self) -> contextlib.AbstractContextManager[None]:
        """Hold the turn for something else; requests queue up behind it. Who holds it already keeps it."""
        return self._hold(Turn())

    @contextlib.contextmanager
    def _hold(self, place: Turn) -> Iterator[None]:
        if self._holder == threading.get_ident():
            yield
            return
        try:
            self._wait_for(place)
            yield
        finally:
            self._leave(place)
