"""Typed events to bytes and back.

An event's type name stands beside its data on the log, as the tag of one open union: the vocabulary's types and those
that users register. A type nobody registered is read as `UnknownEvent` and written again unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from types import UnionType
from typing import Any, get_args
from uuid import UUID

import msgspec

from eventstore.admit import MAX_DATA_BYTES
from eventstore.board_events import BoardEvent
from eventstore.errors import InvalidInput, InvalidValue, TooLarge, UnsupportedSchema
from eventstore.events import RunEvent, WorkflowEvent
from eventstore.log import JSON, NewEvent, Purged, RecordedEvent, new_id, now
from eventstore.purges import STREAM_PURGED
from eventstore.values import MAX_DEPTH, bad_number_in, deeper_than, fault_in

Fields = dict[str, msgspec.Raw]
Upcaster = Callable[[Fields], Mapping[str, object]]
"""From the fields of one schema version to those of the next. Fields are raw JSON and may be passed on unread, which
keeps values exact; new ones may be anything that encodes."""

_LONG_NUMBER = re.compile(rb"\d{19}")
# A value of the deepest kind allowed, inside the structs around it.
_MAX_DATA_DEPTH = MAX_DEPTH + 16


class UnknownEvent(msgspec.Struct, frozen=True):
    """An event of a type this program does not know, whole."""

    type: str
    schema: int
    data: bytes
    content_type: str = JSON


class _EventType(msgspec.Struct, frozen=True):
    name: str
    schema: int
    upcasters: Mapping[int, Upcaster]
    decoder: msgspec.json.Decoder[Any]


class Codec:
    """Knows event types. Each one starts with the whole vocabulary; register your own before use, it is not locked."""

    def __init__(self) -> None:
        self._by_class: dict[type, _EventType] = {}
        self._by_name: dict[str, _EventType] = {}
        for union in (RunEvent, WorkflowEvent, BoardEvent):
            for kind in _members(union):
                self._add(kind, kind.__name__[0].lower() + kind.__name__[1:], 1, {})
        self._add(Purged, STREAM_PURGED, 1, {})

    def register(
        self, kind: type[msgspec.Struct], name: str, *, schema: int = 1, upcasters: Mapping[int, Upcaster] | None = None
    ) -> None:
        """Make a type of your own known, under a name with a dot in it, such as `billing.charged`.

        `schema` is the version this class has now. `upcasters[n]` turns version n into n + 1; there must be one for
        each version before this one. Registering the same again does nothing. Raises `InvalidInput`.
        """
        upcasters = upcasters or {}
        if "." not in name:
            hint = "Put a name of your own before it, as in 'billing.charged'."
            raise InvalidInput(f"the event type name {name!r} has no dot", hint)
        if set(upcasters) != set(range(1, schema)):
            raise InvalidInput(
                f"{name} is at schema version {schema} but has upcasters from {sorted(upcasters)}",
                "Give one for each version from 1 to the one before this.",
            )
        known = self._by_name.get(name)
        if known is not None and (known.decoder.type is not kind or known.schema != schema):
            raise InvalidInput(f"{name} is registered already, for {known.decoder.type.__name__}")
        self._add(kind, name, schema, upcasters)

    def _add(self, kind: type, name: str, schema: int, upcasters: Mapping[int, Upcaster]) -> None:
        entry = _EventType(name, schema, upcasters, msgspec.json.Decoder(kind))
        self._by_class[kind] = self._by_name[name] = entry

    def encode(
        self,
        event: msgspec.Struct,
        *,
        id: UUID | None = None,
        time: datetime | None = None,
        meta: Mapping[str, str] | None = None,
    ) -> NewEvent:
        """The event, ready to be appended.

        Raises `InvalidInput` for an unregistered type, `InvalidValue` with the path of what cannot be kept.
        """
        if isinstance(event, UnknownEvent):
            name, schema, data, content_type = event.type, event.schema, event.data, event.content_type
        else:
            known = self._by_class.get(type(event))
            if known is None:
                raise InvalidInput(f"{type(event).__name__} is not a registered event type", "Register it first.")
            name, schema, data, content_type = known.name, known.schema, _encoded(event), JSON
        return NewEvent(
            type=name,
            data=data,
            id=id or new_id(),
            schema=schema,
            time=time or now(),
            meta=dict(meta or {}),
            content_type=content_type,
        )

    def decode(self, event: RecordedEvent | NewEvent) -> msgspec.Struct:
        """The typed event, brought up to the newest schema; `UnknownEvent` if its type is not known.

        Size and depth are checked first. Raises `UnsupportedSchema` if a newer program wrote it, `TooLarge`, or
        `InvalidValue` if the data is not what its type says.
        """
        known = self._by_name.get(event.type)
        if known is None or event.content_type != JSON:
            return UnknownEvent(event.type, event.schema, event.data, event.content_type)
        if event.schema > known.schema:
            raise UnsupportedSchema(event.type, event.schema, known.schema)
        if len(event.data) > MAX_DATA_BYTES or deeper_than(event.data, _MAX_DATA_DEPTH):
            raise TooLarge("$", f"{event.type} of {len(event.data):,} bytes is too large or nested too deep to decode")
        try:
            data = event.data if event.schema == known.schema else _upcast(known, event)
            decoded: msgspec.Struct = known.decoder.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidValue("$", f"not a {event.type}: {error}") from None
        return decoded


def _members(union: UnionType) -> tuple[type, ...]:
    return get_args(union)


def _upcast(known: _EventType, event: RecordedEvent | NewEvent) -> bytes:
    fields: Fields = msgspec.json.decode(event.data, type=Fields)
    for version in range(event.schema, known.schema):
        newer = known.upcasters[version](fields)
        fields = {key: msgspec.Raw(msgspec.json.encode(value)) for key, value in newer.items()}
    return msgspec.json.encode(fields)


def _encoded(event: msgspec.Struct) -> bytes:
    try:
        data = msgspec.json.encode(event)
    except (TypeError, OverflowError, UnicodeEncodeError, RecursionError) as error:
        raise fault_in(event) or InvalidValue("$", str(error)) from None
    # A NaN hides as null. Our numbers have no more than twenty digits.
    if b"null" in data or _LONG_NUMBER.search(data):
        fault = bad_number_in(event)
        if fault is not None:
            raise fault
    return data
