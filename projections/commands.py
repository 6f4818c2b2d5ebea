"""How a command works: read the run, decide, append with the version the decision was made on, again on conflict.

No command holds a lock, and none writes anything when it raises. What was done already is done again without an effect.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Self

import msgspec

from eventstore.codec import Codec
from eventstore.errors import NotFound, WrongExpectedVersion
from eventstore.failure import Failure, failure_from
from eventstore.log import ANY, Append, Expect, Log
from eventstore.payload import Values
from eventstore.values import encode_value
from projections.decide import Events, check_epoch
from projections.queries import Queries
from projections.resume import Plan
from projections.rows import Run


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

    def acting(self, **meta: str) -> Self:
        """The same store, whose commands note these things with every event: actor, correlation, causation…"""
        other = copy.copy(self)
        other._meta = {**self._meta, **meta}
        return other

    def _change_run(self, run_id: str, decide: Callable[[Run], Events], epoch: int | None = None) -> Run:
        """Append what the decision comes to, deciding again whenever the run has changed meanwhile."""
        while True:
            version = self._log.version(run_id)
            run = self._queries.get_run(run_id, include_deleted=True)
            if run is None:
                raise NotFound("run", run_id)
            check_epoch(run, epoch)
            try:
                if not self._append(run_id, decide(run), version):
                    return run
            except WrongExpectedVersion:
                continue
            changed = self._queries.get_run(run_id, include_deleted=True)
            assert changed is not None
            return changed

    def _append(self, stream: str, events: Sequence[msgspec.Struct], expected: int | Expect = ANY) -> bool:
        new = [self._codec.encode(event, time=self._now(), meta=self._meta) for event in events]
        if new:
            self._log.append([Append(stream, new, expected)])
        return bool(new)

    def _raw(self, metadata: Mapping[str, Any] | None) -> msgspec.Raw | msgspec.UnsetType:
        return msgspec.Raw(encode_value(dict(metadata))) if metadata else msgspec.UNSET

    def _failure(self, error: BaseException | Failure | str, retryable: bool | None) -> Failure:
        """The failure; if its texts are large, cut, with the whole of it in a blob."""
        failure = failure_from(error, retryable=retryable)
        whole = self._values.keep(msgspec.to_builtins(failure))
        if not isinstance(whole.json, msgspec.UnsetType):
            return failure
        return msgspec.structs.replace(
            failure, message=failure.message[:1000], traceback=(failure.traceback or "")[-1000:], causes=(), full=whole
        )
