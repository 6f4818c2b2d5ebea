"""Named consumers: whatever they make of events is stored exactly once, together with how far they have come."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from types import TracebackType
from typing import Self

from eventstore.errors import (
    CheckpointConflict,
    Closed,
    DuplicateEventId,
    EventStoreError,
    InvalidInput,
    NameHeld,
    Unavailable,
)
from eventstore.follow import PATIENCE, Follower, follow
from eventstore.hold import Hold
from eventstore.log import Append, Checkpoint, Log, RecordedEvent
from eventstore.standing import MOST_NOTES, NOTES, Standing, failure_note, failures, standing
from eventstore.validate import check_kind, check_name

BATCH = 100
"""Events that a handler is given at most at once, unless told otherwise."""

_IDLE_SECONDS = 1.0
_POLL_SECONDS = 0.05
_STANDBY_SECONDS = 0.2

logger = logging.getLogger("eventstore")

Handler = Callable[[Sequence[RecordedEvent]], Iterable[Append] | None]
"""Makes of some events what is to be appended because of them, or nothing."""


class _TurnLost(Exception):
    """The name is not held any more, or somebody who does not hold it has moved the checkpoint."""


_NOT_THE_HANDLER = CheckpointConflict | Unavailable | Closed | _TurnLost


class Consumer:
    """Gives the events of a log to a handler, in order, and appends what it makes of them.

    The effects and the checkpoint under the consumer's name are one commit. So each event has its effects in the log
    exactly once, whenever a process is killed, and however many consume under one name. `run` has them take turns: one
    works, the others stand by. Nothing exact rests on that: who comes too late with a commit is refused, and nothing of
    it is stored. What a handler does outside the log may have happened and be repeated, as after any crash.

    A handler that fails, or whose effects are refused, stores nothing and leaves the checkpoint where it was. If it was
    given several events, it is given them again one by one: those before the one it fails on take effect. Which that
    is, and how it fails, is noted in the log, for `standing` and `eventstore consumers`; who asks for no types and no
    streams is not given such notes.

    A handler that is given what it appends itself never comes to an end: leave out its types or streams.
    """

    def __init__(
        self,
        log: Log,
        name: str,
        handle: Handler,
        *,
        begin: int = 0,
        types: Collection[str] | None = None,
        streams: Collection[str] | None = None,
        batch: int = BATCH,
        patience: float = PATIENCE,
    ) -> None:
        """Begin after the checkpoint of this name. If there is none yet, after the position `begin`: that is the
        beginning of the log, or with `log.head()` its end.
        """
        if not callable(handle):
            raise InvalidInput(f"the handler is {type(handle).__name__}", "Give a function of an event.")
        check_kind(batch, int, "a batch")
        if batch < 1:
            raise InvalidInput(f"a batch of {batch} events", "Give one event at least.")
        self.name, self._log, self._handle, self._batch = name, log, handle, batch
        self._types, self._streams, self._patience = types, streams, patience
        self._selects = types is not None or streams is not None
        self._begin, self._checkpoint = begin, log.checkpoint(name)
        check_name(NOTES + name, "consumer name")
        self._events = self._follow(begin if self._checkpoint is None else self._checkpoint)
        self._closed = threading.Event()
        self._turn: Hold | None = None
        self._given: list[RecordedEvent] = []

    def __repr__(self) -> str:
        return f"<Consumer {self.name} checkpoint={self._checkpoint}>"

    def _follow(self, after: int) -> Follower:
        return follow(self._log, after=after, types=self._types, streams=self._streams, patience=self._patience)

    def run(self, timeout: float | None = None) -> None:
        """Wait until no other consumer of this name runs, in whichever process; then handle what is there and what
        comes, until `close`, which any thread may call.

        Who stands by takes over, from the stored checkpoint, soon after the one that runs has ended or died. With a
        `timeout`, raises `NameHeld` if that has not happened within so many seconds; 0 does not wait at all. Who loses
        the turn, for its connection broke or somebody else has moved the checkpoint, stands by again.

        Raises what the handler raises, and what `Log.append` raises. After an error of the handler it can be called
        again, and begins with the same event.
        """
        while self._await_turn(timeout):
            try:
                self._resume()
                while not self._closed.is_set() and self._has_turn():
                    self._step(_IDLE_SECONDS)
            except _TurnLost:
                continue
            finally:
                self._end_turn()

    def _await_turn(self, timeout: float | None) -> bool:
        """Wait for this name's turn. False if the consumer is closed."""
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        give_up = math.inf
        while not self._closed.is_set():
            try:
                self._turn = self._log.hold(self.name)
                return True
            except NameHeld:
                give_up = math.inf
                if time.monotonic() >= deadline:
                    raise
            except Unavailable:
                give_up = min(give_up, time.monotonic() + self._patience)
                if time.monotonic() >= min(give_up, deadline):
                    raise
            self._closed.wait(max(min(_STANDBY_SECONDS, deadline - time.monotonic()), 0))
        return False

    def _resume(self) -> None:
        """Go on at the stored checkpoint, if that is not where this one has been."""
        stored = self._log.checkpoint(self.name)
        if stored is not None and stored != self._checkpoint:
            self._checkpoint, self._events = stored, self._follow(stored)
            self._given.clear()
            if self._closed.is_set():
                self._events.close()

    def _has_turn(self) -> bool:
        return self._turn is None or self._turn.held

    def _end_turn(self) -> None:
        if self._turn is not None:
            self._turn.release()
            self._turn = None

    def catch_up(self) -> int:
        """Handle what there is, and return how many events that was. Waits for nobody's turn: of two that consume at
        once, one raises `CheckpointConflict`. Raises what `run` raises.
        """
        count = 0
        while handled := self._step(0):
            count += handled
        return count

    def _step(self, timeout: float) -> int:
        """Handle some events, of which the first may take so long to come; if none comes, note what was passed over."""
        self._fill(timeout)
        if self._given:
            return self._handle_given()
        if self._events.position > (self._checkpoint or 0):
            self._store((), self._events.position)
        return 0

    def _fill(self, timeout: float) -> None:
        while len(self._given) < self._batch:
            event = self._events.next(0 if self._given else timeout)
            if event is None:
                return
            if self._selects or not event.stream.startswith(NOTES):
                self._given.append(event)

    def _handle_given(self) -> int:
        count = size = len(self._given)
        while self._given:
            try:
                self._take(self._given[:size])
            except Exception as error:
                if size > 1 and not isinstance(error, _NOT_THE_HANDLER):
                    size = 1
                    continue
                if not isinstance(error, _NOT_THE_HANDLER):
                    self._note(self._given[0], error)
                raise
        return count

    def _take(self, events: Sequence[RecordedEvent]) -> None:
        effects = self._handle(events)
        self._store(list(effects or ()), events[-1].position)
        del self._given[: len(events)]

    def _store(self, effects: Sequence[Append], position: int) -> None:
        if not self._has_turn():
            raise _TurnLost
        try:
            self._log.append(effects, checkpoint=Checkpoint(self.name, position, self._checkpoint))
        except CheckpointConflict as error:
            if self._turn is None:
                raise
            raise _TurnLost from error
        self._checkpoint = position

    def _note(self, event: RecordedEvent, error: Exception) -> None:
        """Note in the log what the handler fails on. A consumer that had no checkpoint has one then, where it began:
        else nobody could find it.
        """
        began = self._begin if self._checkpoint is None else self._checkpoint
        checkpoint = Checkpoint(self.name, began, None) if self._checkpoint is None else None
        try:
            if len(failures(self._log, self.name, self._checkpoint)) >= MOST_NOTES:
                return
            self._log.append([failure_note(self.name, event, error, began)], checkpoint=checkpoint)
            self._checkpoint = began
        except DuplicateEventId:
            return
        except EventStoreError:
            logger.warning("consumer %s could not note what its handler fails on", self.name, exc_info=True)

    def standing(self) -> Standing:
        """How the consumers of this name stand, and what they fail on; see `eventstore.standing`."""
        return standing(self._log, self.name)

    def close(self) -> None:
        """Have `run` return once it has stored the effects of the events it is at. Repeated calls do nothing.

        The log stays open.
        """
        self._closed.set()
        self._events.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def wait_for(log: Log, name: str, position: int, timeout: float) -> bool:
    """Wait until the consumer of this name, in whichever process, has handled the event at a position: True; or until
    so many seconds have passed: False. Raises `InvalidInput` at once for a position that nobody has written yet.
    """
    if position > log.head():
        raise InvalidInput(f"position {position} is beyond the head of the log", "Give one that an append returned.")
    deadline = time.monotonic() + timeout
    while (log.checkpoint(name) or 0) < position:
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)  # a checkpoint that moves in another process tells nobody
    return True
