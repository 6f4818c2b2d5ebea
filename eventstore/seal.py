"""Seals: what a log held at a moment, in a file to be kept where whoever writes to the log cannot reach it.

Hash chains show what was changed inside a stream. They cannot show that a stream's end was cut off, or that all of it
was written anew: what is left is sound in itself. A seal can, for it has every stream's version and last hash.

    {"file":"seal","format":1,"made_at":…,"position":…,"events":…,"streams":…,"root":…,"previous":…}    the statement
    {"public_key":…,"signature":…}                                     by whom it is signed; left out if by nobody
    ["run-1",12,"6b86b273…"]                                           a stream, its version, its last hash

The root is that of a hash tree (`eventstore.merkle`) whose leaves are the streams' lines, so the statement alone, which
is what is signed, vouches for all of them. Its digest is named by the next seal: seals form a chain. Positions are not
in the leaves, so a copy of the log in another store fits the same seal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import chain, pairwise
from typing import TypeVar

import msgspec

from eventstore.errors import EventStoreError, InvalidInput, UnsupportedSchema
from eventstore.keys import has_signed, public_key, sign
from eventstore.merkle import root_of

FORMAT = 1

_AGAIN = "Take another copy of the seal, from where nobody else can write."


class BadSeal(EventStoreError):
    """A seal is not what was once made, or not made by whom it should be. It says nothing about the store."""

    code = "bad-seal"

    def __init__(self, name: str, reason: str, hint: str = _AGAIN) -> None:
        super().__init__(name, reason, hint)
        self.name, self.reason, self._hint = name, reason, hint

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"

    @property
    def hint(self) -> str:
        return self._hint


class StreamHead(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A stream, its version, and its last event's hash."""

    stream: str
    version: int
    hash: str


class Statement(msgspec.Struct, frozen=True, kw_only=True, tag_field="file", tag="seal", forbid_unknown_fields=True):
    """What a seal says. `position` was the log's head; `events` and `streams` are how many of each there were.

    `previous` is the digest of the seal before this one; empty if there is none.
    """

    format: int
    made_at: datetime
    position: int
    events: int
    streams: int
    root: str
    previous: str

    @property
    def digest(self) -> str:
        """What the next seal knows this one by: the SHA-256, in hex, of the statement's bytes."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An Ed25519 signature of a statement's bytes, and the key it is said to be made with, in hex."""

    public_key: str
    signature: str


class Seal(msgspec.Struct, frozen=True):
    """A statement, the streams it is about in the order of their names, and who signed it."""

    statement: Statement
    heads: tuple[StreamHead, ...]
    signature: Signature | None = None


class _AnyFormat(msgspec.Struct, frozen=True, tag_field="file", tag="seal"):
    format: int


Line = TypeVar("Line", bound=msgspec.Struct)


def make_seal(heads: Iterable[StreamHead], *, position: int, made_at: datetime, previous: Seal | None = None) -> Seal:
    """A seal of streams at these heads, not signed."""
    ordered = tuple(sorted(heads, key=lambda head: head.stream))
    statement = Statement(
        format=FORMAT,
        made_at=made_at,
        position=position,
        events=sum(head.version for head in ordered),
        streams=len(ordered),
        root=_root(ordered),
        previous="" if previous is None else previous.statement.digest,
    )
    return Seal(statement, ordered)


def sign_seal(seal: Seal, key: bytes) -> Seal:
    """The seal, signed with the private key of this PEM document. Raises `InvalidInput`."""
    signature = Signature(*sign(key, msgspec.json.encode(seal.statement)))
    return msgspec.structs.replace(seal, signature=signature)


def check_signature(seal: Seal, name: str, key: bytes | None = None) -> None:
    """Make sure that the seal called so is signed with the key whose public half this PEM document has.

    Without one, any signature will do that fits the key it names, and so will none. Raises `BadSeal`, or `InvalidInput`
    for what is no key.
    """
    expected = None if key is None else public_key(key)
    if seal.signature is None:
        if expected is not None:
            raise BadSeal(name, "nobody has signed it")
        return
    if expected is not None and seal.signature.public_key != expected:
        raise BadSeal(name, f"it is signed with another key, {seal.signature.public_key}")
    if not has_signed(seal.signature.public_key, seal.signature.signature, msgspec.json.encode(seal.statement)):
        raise BadSeal(name, "its signature is not of what it says")


def check_follows(seal: Seal, name: str, previous: Seal) -> None:
    """Make sure that the seal called so was made as the next one after `previous`. Raises `BadSeal`."""
    if seal.statement.previous != previous.statement.digest:
        follows = seal.statement.previous or "none"
        reason = f"it follows another seal ({follows}) than {previous.statement.digest}"
        raise BadSeal(name, reason, "Look for the seal in between, or for the one this was put in the place of.")


def encode_seal(seal: Seal) -> Iterator[bytes]:
    """The seal's file, line by line."""
    yield _line(seal.statement)
    if seal.signature is not None:
        yield _line(seal.signature)
    yield from map(_line, seal.heads)


def decode_seal(lines: Iterable[bytes], name: str) -> Seal:
    """The seal in a file of this name, whose signature is still to be checked.

    Raises `InvalidInput` if that is no seal at all, `UnsupportedSchema` if a newer program made it, and `BadSeal` if
    its parts do not belong together, or are not byte for byte as they were written.
    """
    rest = iter(lines)
    statement = _statement(next(rest, b""), name)
    line = next(rest, b"")
    signature = _exactly(Signature, line, "signature", name) if line.startswith(b"{") else None
    if signature is None and line:
        rest = chain([line], rest)
    heads = tuple(_exactly(StreamHead, raw, "list of streams", name) for raw in rest)
    if any(one.stream >= other.stream for one, other in pairwise(heads)):
        raise BadSeal(name, "its list of streams is out of order")
    found = (len(heads), sum(head.version for head in heads), _root(heads))
    if found != (statement.streams, statement.events, statement.root):
        raise BadSeal(name, "its list of streams is not the one that it was made with")
    return Seal(statement, heads, signature)


def _statement(raw: bytes, name: str) -> Statement:
    try:
        format = msgspec.json.decode(raw, type=_AnyFormat).format
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        hint = "Give a file that `eventstore seal make` has written."
        raise InvalidInput(f"{name} is not a seal: {error}", hint) from error
    if format > FORMAT:
        raise UnsupportedSchema("seal", format, FORMAT)
    return _exactly(Statement, raw, "statement", name)


def _exactly(kind: type[Line], raw: bytes, what: str, name: str) -> Line:
    """What the line says, if it is as such a line is written: it has one form, or two readers could differ over it."""
    try:
        line = msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadSeal(name, f"its {what} was damaged: {error}") from error
    if _line(line) != raw:
        raise BadSeal(name, f"its {what} is not as it was written")
    return line


def _root(heads: Iterable[StreamHead]) -> str:
    return root_of(map(msgspec.json.encode, heads)).hex()


def _line(line: msgspec.Struct) -> bytes:
    return msgspec.json.encode(line) + b"\n"
