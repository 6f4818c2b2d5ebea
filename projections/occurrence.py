"""What an engine knows of an event that a command appends: when it happened, and under which id it is told."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from datetime import datetime
from typing import Self
from uuid import UUID

import msgspec

from eventstore.log import Append, Expect
from eventstore.validate import check_zone
from projections.commands import Actor


class Occurring(Actor):
    """Commands whose events are somebody else's reports."""

    _reported: tuple[str, str, UUID] | None = None

    def at(self, time: datetime) -> Self:
        """The same store, whose commands say that what they append happened at this time; leases and delays count from
        it. When it was recorded is noted by the log's own clock beside it, and the order stays that of the appends.
        """
        check_zone(time)
        other = copy.copy(self)
        other._now = lambda: time
        return other

    def reporting(self, run_id: str, type: str, event_id: UUID) -> Self:
        """The same store, for one command: the event of this type that it appends to the run gets this id."""
        other = copy.copy(self)
        other._reported = (run_id, type, event_id)
        return other

    def _part(self, stream: str, events: Sequence[msgspec.Struct], expected: int | Expect) -> Append:
        part = super()._part(stream, events, expected)
        if self._reported is None or stream != self._reported[0]:
            return part
        _, type, event_id = self._reported
        new = [msgspec.structs.replace(event, id=event_id) if event.type == type else event for event in part.events]
        return Append(stream, new, expected)
