"""What commands come to, in a form in which two stores can be compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec

from eventstore.consumer import Consumer
from eventstore.errors import EventStoreError
from eventstore.log import ANY, PURGES, Append, Log, NewEvent, RecordedEvent
from projections import Store
from projections.rows import Scalar
from projections.tables import Contents

MAIL = "mail"

Call = Callable[[Store], object]
Rows = dict[str, dict[tuple[object, ...], dict[str, Scalar]]]


def outcome(store: Store, call: Call) -> object:
    """What a command returns or raises, without the positions, which may skip on some backends."""
    try:
        return comparable(msgspec.json.decode(msgspec.json.encode(call(store))))
    except EventStoreError as error:
        return type(error), error.args


def comparable(found: object) -> object:
    if isinstance(found, dict):
        return {name: comparable(value) for name, value in found.items() if name not in ("position", "last_position")}
    return [comparable(each) for each in found] if isinstance(found, list) else found


def without_positions(store: Store, contents: Contents) -> Rows:
    """Tables, with the order of positions instead of these."""
    order: dict[Scalar, int] = {event.position: place for place, event in enumerate(store.log.read_all())}
    return {
        table: {
            key: {name: order.get(value) if name == "position" and value else value for name, value in row.items()}
            for key, row in rows.items()
        }
        for table, rows in contents.items()
    }


def told(log: Log) -> list[tuple[object, ...]]:
    """What all events say, without their ids and hashes; of what was purged, only that it was."""
    return [
        (
            event.stream,
            event.version,
            event.type,
            *(() if event.stream == PURGES else (event.time, without_hash(event))),
        )
        for event in log.read_all()
    ]


def without_hash(event: RecordedEvent) -> object:
    """What an event says; of its origin's event, a fork says only which one it is."""
    return {**msgspec.json.decode(event.data), "hash": ""} if event.type == "runForked" else event.data


def send_mail(store: Store) -> int:
    """Note in a stream of its own that something is completed, once for each completion, whoever dies when."""

    def handle(events: Sequence[RecordedEvent]) -> Iterable[Append]:
        data = msgspec.json.encode([(event.stream, event.version) for event in events])
        return [Append(MAIL, [NewEvent(type="mail.sent", data=data, time=events[-1].time)], ANY)]

    return Consumer(store.log, MAIL, handle, types=["taskRunCompleted"]).catch_up()
