"""Typed events to bytes and back.

An event's type name stands beside its data on the log, as the tag of one open union: the vocabulary's types and those
that users register. A type nobody registered is read as `UnknownEvent` and written again unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, get_args
from uuid import UUID

import msgspec

from eventstore.board_events import BoardEvent
from eventstore.errors import InvalidInput, InvalidValue, TooLarge, UnsupportedSchema
from eventstore.events import ResultRejected, RunEvent, WorkflowEvent
from eventstore.faults import loss_in, refusal_of
from eventstore.log import JSON, NewEvent, Purged, RecordedEvent, new_id, now
from eventstore.purges import STREAM_PURGED
from eventstore.validate import MAX_DATA_BYTES
from eventstore.values import MAX_DEPTH, deeper_than

Fields = dict[str, msgspec.Raw]
Upcaster = Callable[[Fields], Mapping[str, object]]
"""From the fields of one schema version to those of the next. Fields are raw JSON and may be passed on unread, which
keeps values exact; new ones may be anything that encodes."""

_LONG_NUMBER = re.compile(rb"\d{19}")
# What a NaN or an infinity looks like afterwards: as a value, as a key.
_DOUBTFUL = (b"null", b'"nan"', b'inf"')
_FIELDS = msgspec.json.Decoder(Fields)
# A value of the deepest kind allowed, inside the structs around it.
_MAX_DATA_DEPTH = MAX_DEPTH + 16
# Each level takes a bracket at either end. To count brackets took a fifth of the time of decoding a small event.
_SURELY_SHALLOW = 2 * _MAX_DATA_DEPTH


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
        for kind in get_args(RunEvent | WorkflowEvent | BoardEvent | ResultRejected):
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
        if schema < 1 or set(upcasters) != set(range(1, schema)):
            raise InvalidInput(
                f"{name} is at schema version {schema} but has upcasters from {sorted(upcasters)}",
                "Give one for each version from 1 to the one before this.",
            )
        for known in (self._by_name.get(name), self._by_class.get(kind)):
            if known is not None and (known.name, known.decoder.type, known.schema) != (name, kind, schema):
                what = f"schema version {known.schema} of {known.decoder.type.__name__}"
                raise InvalidInput(f"{known.name} is registered already, for {what}", "Give each type one name.")
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

        What it comes to is read back at once, so that no event is written that could not be read. Raises
        `InvalidInput` for an unregistered type, `InvalidValue` with the path of what cannot be kept, or `TooLarge`.
        """
        if isinstance(event, UnknownEvent):
            name, schema, data, content_type = event.type, event.schema, event.data, event.content_type
        else:
            known = self._by_class.get(type(event))
            if known is None:
                raise InvalidInput(f"{type(event).__name__} is not a registered event type", "Register it first.")
            name, schema, data, content_type = known.name, known.schema, _encoded(event, known), JSON
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
        `InvalidValue` if the data is not what its type says or an upcaster fails.
        """
        known, data, schema = self._by_name.get(event.type), event.data, event.schema
        if known is None or event.content_type != JSON:
            return UnknownEvent(event.type, schema, data, event.content_type)
        if not 1 <= schema <= known.schema:
            raise UnsupportedSchema(event.type, schema, known.schema)
        size = len(data)
        if size > _SURELY_SHALLOW and (size > MAX_DATA_BYTES or deeper_than(data, _MAX_DATA_DEPTH)):
            raise TooLarge("$", f"{event.type} of {size:,} bytes is too large or nested too deep to decode")
        data = data if schema == known.schema else _upcast(known, event)
        typed: msgspec.Struct = _decoded(known, known.decoder, data)
        return typed


def _upcast(known: _EventType, event: RecordedEvent | NewEvent) -> bytes:
    fields: Fields = _decoded(known, _FIELDS, event.data)
    for version in range(event.schema, known.schema):
        try:
            newer = known.upcasters[version](fields)
            fields = {key: msgspec.Raw(msgspec.json.encode(value)) for key, value in newer.items()}
        except Exception as error:
            reason = f"the upcaster of {known.name} from schema version {version} failed: {error!r}"
            raise InvalidValue("$", reason) from error
    return msgspec.json.encode(fields)


def _encoded(event: msgspec.Struct, known: _EventType) -> bytes:
    try:
        data = msgspec.json.encode(event)
    except (TypeError, ValueError, OverflowError, RecursionError):
        _refuse_loss(event)
        raise refusal_of(event, msgspec.json.encode) from None
    if deeper_than(data, _MAX_DATA_DEPTH):
        raise TooLarge("$", f"nested deeper than {_MAX_DATA_DEPTH} levels", "Flatten it.")
    if any(mark in data for mark in _DOUBTFUL) or _LONG_NUMBER.search(data):
        _refuse_loss(event)
    if msgspec.json.encode(_decoded(known, known.decoder, data)) != data:
        _refuse_loss(event)
    return data


def _refuse_loss(event: msgspec.Struct) -> None:
    fault = loss_in(event, _MAX_DATA_DEPTH)
    if fault is not None:
        raise fault


def _decoded(known: _EventType, decoder: msgspec.json.Decoder[Any], data: bytes) -> Any:
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        reason, _, place = str(error).partition(" - at `$")
        raise InvalidValue(f"${place.rstrip('`')}", f"not a {known.name}: {reason}") from None
