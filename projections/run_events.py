"""Events of the user's own, in the streams of runs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

import msgspec

from eventstore.codec import Codec, UnknownEvent
from eventstore.errors import InvalidInput
from eventstore.log import NewEvent, RecordedEvent
from eventstore.values import encode_value
from projections.commands import Actor


class RunEvents(Actor):
    """What users note in a run, beside what the commands on runs and tasks say of it."""

    def add_event(
        self,
        run_id: str,
        type: str,
        data: object,
        *,
        event_id: UUID | None = None,
        time: datetime | None = None,
        epoch: int | None = None,
    ) -> RecordedEvent:
        """Append an event of your own to a run, under a type name with a dot in it, and return it as it was recorded.

        `data` is any JSON value, or a struct whose type is registered with the codec. Plain data under a registered
        name must be what schema version 1 of that type says. A run that has ended takes events all the same. They stand
        in the order they were appended in, whatever `time` says of when they happened.

        With an `event_id`, the call can be repeated: the same event again returns the first one; another event under
        that id is `DuplicateEventId`. Raises `NotFound` if the run is unknown or deleted, `Fenced` if `epoch` is given
        and another worker has resumed the run since, `InvalidInput` or `InvalidValue` for what cannot be kept.
        """
        new = own_event(self._codec, type, data, time=time or self._now(), meta=self._meta, id=event_id)
        (recorded,) = self._change(run_id, lambda _: [new], epoch)
        return recorded


def own_event(
    codec: Codec, type: str, data: object, *, time: datetime, meta: Mapping[str, str], id: UUID | None = None
) -> NewEvent:
    """An event of the user's own, which can be read back. Raises `InvalidInput` or `InvalidValue`."""
    if not isinstance(type, str) or "." not in type:
        hint = "Put a name of your own before it, as in 'billing.charged'."
        raise InvalidInput(f"the event type name {type!r} has no dot", hint)
    event = data if isinstance(data, msgspec.Struct) else UnknownEvent(type, 1, encode_value(data))
    new = codec.encode(event, id=id, time=time, meta=meta)
    if new.type != type:
        raise InvalidInput(f"this data is an event of type {new.type!r}, not {type!r}", "Give it that type.")
    codec.decode(new)
    return new
