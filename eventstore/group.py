"""Group commit: many threads hand in requests, and the one whose turn it is serves all that wait.

So sixty-four threads that append at once share one write and one sync. A thread that finds a turn taken waits; when
the turn ends it either finds its request served or takes the next turn, with everything that has queued up meanwhile.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Request = TypeVar("Request")
Result = TypeVar("Result")


class Ticket(Generic[Request, Result]):
    """A request and, once it is served, its result or its error."""

    __slots__ = ("error", "request", "result", "served")

    def __init__(self, request: Request) -> None:
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
        self._waiting: list[Ticket[Request, Result]] = []
        self._taken = False
        self._holder = 0
        self._changed = threading.Condition(threading.Lock())

    def submit(self, request: Request) -> Result:
        """Have the request served, by this thread or by another, and return its result or raise its error."""
        ticket: Ticket[Request, Result] = Ticket(request)
        with self._changed:
            self._waiting.append(ticket)
            while self._taken and not ticket.served:
                self._changed.wait()
            if not ticket.served:
                self._taken = True
                batch, self._waiting = self._waiting, []
        if not ticket.served:
            self._take_turn(batch)
        if ticket.error is not None:
            raise ticket.error
        assert ticket.result is not None
        return ticket.result

    def _take_turn(self, batch: list[Ticket[Request, Result]]) -> None:
        self._holder = threading.get_ident()
        try:
            self._serve(batch)
        except BaseException as error:
            for ticket in batch:
                ticket.error = ticket.error or error
        finally:
            with self._changed:
                for ticket in batch:
                    ticket.served = True
                self._taken, self._holder = False, 0
                self._changed.notify_all()

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Hold the turn for something else; requests queue up behind it. Who holds it already keeps it."""
        if self._holder == threading.get_ident():
            yield
            return
        with self._changed:
            while self._taken:
                self._changed.wait()
            self._taken = True
        self._holder = threading.get_ident()
        try:
            yield
        finally:
            with self._changed:
                self._taken, self._holder = False, 0
                self._changed.notify_all()
