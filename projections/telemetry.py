"""What is worth noting about a run and decides nothing: progress, measurements, results that came too late.

It stands in a stream of its own beside the run's, which no view and no resumption reads.
"""

from __future__ import annotations

import logging

from eventstore.errors import EventStoreError, InvalidInput, InvalidValue
from eventstore.events import TELEMETRY_STREAM, ResultRejected
from eventstore.log import ANY, Append, NewEvent, RecordedEvent
from eventstore.validate import check_kind
from projections.commands import Actor
from projections.run_events import own_event

_logger = logging.getLogger("eventstore")


class Telemetry(Actor):
    """Notes that are made as well as can be. A run need not be known, and its end or deletion ends nothing here."""

    def record(self, run_id: str, type: str, data: object) -> bool:
        """Note something about a run, under a type name with a dot in it, and say whether that went well.

        `data` is as for `add_event`. Trouble with the storage is logged as a warning and never raised: no work should
        fail because of a note. Raises `InvalidInput` or `InvalidValue` for what could never be noted.
        """
        new = own_event(self._codec, type, data, time=self._now(), meta=self._meta)
        try:
            self._log.append([_part(run_id, new)])
        except (InvalidInput, InvalidValue):
            raise
        except EventStoreError as error:
            _logger.warning("%s of run %r could not be noted: %s", type, run_id, error)
            return False
        return True

    def telemetry(self, run_id: str) -> list[RecordedEvent]:
        """All that was noted about a run, in that order; nothing for an unknown run."""
        check_kind(run_id, str, "the run id")
        return list(self._log.read(TELEMETRY_STREAM + run_id))

    def _note_rejection(self, run_id: str, rejected: ResultRejected) -> None:
        """Note that a worker brought a result too late, if that can be done at all."""
        try:
            self._log.append([_part(run_id, self._new(rejected))])
        except EventStoreError as error:
            _logger.warning("%s could not be noted of run %r: %s", rejected, run_id, error)


def _part(run_id: str, new: NewEvent) -> Append:
    return Append(TELEMETRY_STREAM + run_id, [new], ANY)
