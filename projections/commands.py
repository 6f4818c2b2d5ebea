"""How a command works: read the run, decide, append with the version the decision was made on, again on conflict.

No command keeps another process waiting, and none appends anything when it raises. What was done already is done again
without an effect.
"""

from __future__ import annotations

import contextlib
import copy
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Self, TypeVar

import msgspec

from eventstore.codec import Codec
from eventstore.errors import InvalidInput, NotFound, TooLarge, WrongExpectedVersion
from eventstore.failure import Failure, failure_from
from eventstore.log import ANY, Append, Expect, Log, NewEvent, RecordedEvent
from eventstore.payload import Values
from eventstore.validate import check_kind
from eventstore.values import encode_mapping
from projections.decide import Events, check_may_change
from projections.queries import Queries
from projections.resume import Plan
from projections.rows import Run

SeenT = TypeVar("SeenT")

_TURNS = 1024
"""How many runs can have commands at work at once in one process; runs that share a turn wait for one another."""
LONGEST = 1_000_000_000
"""The longest lease, delay or grace period, in seconds: some thirty years."""


class Resumption(msgspec.Struct, frozen=True):
    """A run that was claimed: the epoch to give with every further command, and the plan at the claim."""

    run: Run
    epoch: int
    plan: Plan


class Actor:
    """What all commands share: how to decide on a run and append what follows."""

    def __init__(self, log: Log, codec: Codec, values: Values, queries: Queries, now: Callable[[], datetime]) -> None:
        self._log, self._codec, self._values, self._queries, self._now = log, codec, values, queries, now
        self._meta: Mapping[str, str] = {}
        self._turns = [threading.Lock() for _ in range(_TURNS)]

    def acting(self, **meta: str) -> Self:
        """The same store, whose commands note these things with every event: actor, correlation, causation."""
        other = copy.copy(self)
        other._meta = {**self._meta, **meta}
        return other

    def _change(
        self, run_id: str, decide: Callable[[Run], Events], epoch: int | None = None, *, even_deleted: bool = False
    ) -> tuple[RecordedEvent, ...]:
        """Append what the decision on the run comes to, and return it as it was recorded."""

        def look() -> tuple[int, Run | None, Run | None]:
            version, run = self._queries.run_at(run_id)
            return version, run, run

        return self._change_what_is_seen(run_id, look, decide, epoch, even_deleted=even_deleted)

    def _change_what_is_seen(
        self,
        run_id: str,
        look: Callable[[], tuple[int, Run | None, SeenT | None]],
        decide: Callable[[SeenT], Events],
        epoch: int | None,
        *,
        even_deleted: bool = False,
    ) -> tuple[RecordedEvent, ...]:
        """Look at the run and what else the decision needs, and append what it comes to; again whenever the run has
        changed meanwhile. What is looked at comes with a version of the stream than which none of it is older.
        """
        with self._turn(run_id):
            while True:
                version, run, seen = look()
                check_may_change(run, run_id, epoch, even_deleted=even_deleted)
                if seen is None:
                    raise NotFound("run", run_id)
                try:
                    return self._commit([self._part(run_id, decide(seen), version)])
                except WrongExpectedVersion:
                    continue

    def _turn(self, run_id: str) -> threading.Lock:
        """What to hold while working on a run. The threads of one process take turns at it, or most would decide in
        vain: of those that decide at the same version, one can append.
        """
        return self._turns[self._place(run_id)]

    def _place(self, run_id: str) -> int:
        if not isinstance(run_id, str):
            raise InvalidInput(f"the id {run_id!r} is {type(run_id).__name__}, not str", "Give ids as texts.")
        return hash(run_id) % len(self._turns)

    def _existing(self, run_id: str) -> Run:
        """The run, even if it was deleted. Raises `NotFound`."""
        run = self._queries.get_run(run_id, include_deleted=True)
        if run is None:
            raise NotFound("run", run_id)
        return run

    def _part(self, stream: str, events: Sequence[msgspec.Struct], expected: int | Expect) -> Append:
        """One stream's part of a commit. An event that is ready to be appended stays as it is."""
        new = [event if isinstance(event, NewEvent) else self._new(event) for event in events]
        return Append(stream, new, expected)

    def _new(self, event: msgspec.Struct) -> NewEvent:
        return self._codec.encode(event, time=self._now(), meta=self._meta)

    def _append(self, stream: str, events: Sequence[msgspec.Struct], expected: int | Expect = ANY) -> None:
        self._commit([self._part(stream, events, expected)])

    def _commit(self, parts: Sequence[Append]) -> tuple[RecordedEvent, ...]:
        """Append a commit, unless nothing has come of its decisions."""
        return self._log.append(parts).events if any(part.events for part in parts) else ()

    def _from_now(self, seconds: float, what: str) -> datetime:
        if not isinstance(seconds, int | float) or not 0 < seconds <= LONGEST:
            hint = f"Give a positive number up to {LONGEST:,}, or none."
            raise InvalidInput(f"a {what} of {seconds!r} seconds", hint)
        return self._now() + timedelta(seconds=seconds)

    def _lease_until(self, lease: float | None) -> datetime | None:
        return None if lease is None else self._from_now(lease, "lease")

    def _raw(self, metadata: Mapping[str, Any] | None) -> msgspec.Raw | msgspec.UnsetType:
        return msgspec.Raw(encode_mapping(metadata)) if metadata else msgspec.UNSET

    def _failure(self, error: BaseException | Failure | str, retryable: bool | None) -> Failure:
        """The failure; if its texts are large, cut, with the whole of it in a blob.

        What is too large even for that is cut all the same: that something failed can always be noted.
        """
        failure = failure_from(error, retryable=retryable)
        check_kind(failure.message, str, "the message of a failure")
        if failure.retryable is not None:
            check_kind(failure.retryable, bool, "retryable")
        whole = None
        with contextlib.suppress(TooLarge):
            whole = self._values.keep(msgspec.to_builtins(failure))
        if whole is not None and not isinstance(whole.json, msgspec.UnsetType):
            return failure
        traceback = failure.traceback and failure.traceback[-1000:]
        return msgspec.structs.replace(
            failure, message=failure.message[:1000], traceback=traceback, causes=(), full=whole
        )
