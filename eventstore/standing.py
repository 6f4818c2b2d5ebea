"""How consumers stand, as the log alone tells, to any process: how far each has come, who runs it, what it fails on.

A consumer whose handler fails on an event notes that in a stream of its own, once for each error. The note says where
the checkpoint was. As long as it is there, the consumer has not got past that event.
"""

from __future__ import annotations

from datetime import datetime
from itertools import takewhile
from uuid import UUID, uuid5

import msgspec

from eventstore.hold import worker
from eventstore.log import Append, Log, NewEvent, RecordedEvent
from eventstore.validate import MAX_ID_BYTES

NOTES = "$consumer/"
"""What the stream of a consumer's notes begins with; its name follows."""
CONSUMER_FAILED = "consumerFailed"

MOST_NOTES = 20
"""Different errors on one event that are noted: some messages never repeat."""

_LONGEST_ERROR = 2_000
_IDS = UUID("5d9a4f6e-3d0b-5f0e-9c59-6f1d2b7a8c34")


class Failed(msgspec.Struct, frozen=True):
    """A note: the handler has failed on the event at `position`, in the process `worker`."""

    position: int
    event_id: UUID
    stream: str
    error: str
    worker: str
    checkpoint: int


class Standing(msgspec.Struct, frozen=True):
    """How far a consumer has come, and what keeps it from coming further.

    `lag` counts positions, those of events that it does not want included. `holder` is who runs it, `host:pid`: empty
    if that cannot be known, None if nobody does. If it fails on an event, `stuck_at` is its position, `error` how it
    failed last, `since` when it first did, and `errors` in how many different ways; otherwise None, empty and 0.
    """

    name: str
    checkpoint: int | None
    head: int
    lag: int
    holder: str | None
    stuck_at: int | None = None
    event_id: UUID | None = None
    stream: str = ""
    error: str = ""
    since: datetime | None = None
    errors: int = 0
    advice: str = ""


def failure_note(name: str, event: RecordedEvent, error: Exception, checkpoint: int) -> Append:
    """The note that a handler has failed on an event. Of the same failure it has the same id, so it is there once."""
    text = f"{type(error).__name__}: {error}"[:_LONGEST_ERROR].encode(errors="backslashreplace").decode()
    failed = Failed(event.position, event.id, event.stream, text, worker(), checkpoint)
    id = uuid5(_IDS, f"{name}\0{checkpoint}\0{event.id}\0{text}")
    return Append(NOTES + name, [NewEvent(type=CONSUMER_FAILED, data=msgspec.json.encode(failed), id=id)])


def standing(log: Log, name: str) -> Standing:
    """How the consumer of this name stands, whichever process it runs in."""
    checkpoint, head, holder = log.checkpoint(name), log.head(), log.holder(name)
    lag = max(head - (checkpoint or 0), 0)
    current = failures(log, name, checkpoint)
    if not current:
        return Standing(name, checkpoint, head, lag, holder, advice=_advice(lag, holder))
    (_, last), (first, _) = current[0], current[-1]
    return Standing(
        name,
        checkpoint,
        head,
        lag,
        holder,
        last.position,
        last.event_id,
        last.stream,
        last.error,
        first.time,
        len(current),
        "Mend the handler and run the consumer again: it begins with this event. To pass over the event, end the "
        f"consumer and store the checkpoint {last.position} under its name.",
    )


def failures(log: Log, name: str, checkpoint: int | None) -> list[tuple[RecordedEvent, Failed]]:
    """What a consumer has noted since its checkpoint is there, the newest first, and no more than `MOST_NOTES`."""
    stream = NOTES + name
    if len(stream.encode()) > MAX_ID_BYTES:
        return []
    notes = (
        (event, msgspec.json.decode(event.data, type=Failed))
        for event in log.read(stream, backward=True, limit=MOST_NOTES)
        if event.type == CONSUMER_FAILED
    )
    return list(takewhile(lambda note: note[1].checkpoint == checkpoint, notes))


def _advice(lag: int, holder: str | None) -> str:
    if lag == 0:
        return "It has handled everything."
    if holder is None:
        return "Nobody runs it, unless with catch_up: run it."
    return f"It is run by {holder or 'another process'}. If its checkpoint stays where it is, the handler hangs there."
