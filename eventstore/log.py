"""The log contract: what every backend gives, in the words the whole project uses.

A log keeps events in streams. A commit is one atomic append to one or more streams. An event's *version* is its
place in its stream, from 1 without holes; its *position* is its place in the whole log, which grows and may skip.
Every cursor is exclusive and called `after`.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Literal, Protocol
from uuid import UUID

import msgspec
from uuid_utils.compat import uuid7

from eventstore.hold import Hold

JSON = "application/json"

Durability = Literal["full", "batched", "none"]
"""What a crash of the machine can cost; each log says what these mean for it."""

PURGES = "$purges"
"""The stream in which a log records what it has physically removed. Nobody else appends to it."""


class Expect(enum.Enum):
    """What a writer may believe of a stream besides an exact version."""

    ANY = "any version"
    EXISTS = "an existing stream"


ANY = Expect.ANY
EXISTS = Expect.EXISTS


def new_id() -> UUID:
    """A fresh event id: a UUIDv7, which sorts by the time it was made (RFC 9562)."""
    return uuid7()


def now() -> datetime:
    """The current time, UTC."""
    return datetime.now(UTC)


class NewEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event before it is in the log.

    `data` is opaque to the log and comes back byte for byte, whatever its content type. `id` is the idempotency
    key: unique in the whole log. `time` is when it happened, as its writer says; the log adds when it was recorded.
    `meta` is for tools: correlation, causation, actor and traceparent are the usual keys.
    """

    type: str
    data: bytes
    id: UUID = msgspec.field(default_factory=new_id)
    schema: int = 1
    time: datetime = msgspec.field(default_factory=now)
    meta: dict[str, str] = {}
    content_type: str = JSON


# Nothing in an event leads back to it, so the garbage collector need not look: it took a tenth of the time of reading.
class RecordedEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An event in the log. `hash` chains it to the event before it in its stream; see `eventstore.chain`.

    `commit` is the position that its commit's first event was given. It stays that number when that one is purged, so
    who reads the whole log sees where each commit ends.
    """

    position: int
    commit: int
    stream: str
    version: int
    id: UUID
    type: str
    schema: int
    time: datetime
    recorded_at: datetime
    data: bytes
    meta: dict[str, str]
    content_type: str
    hash: str


class Append(msgspec.Struct, frozen=True):
    """One stream's part of a commit. Without events it only checks the expectation.

    `expected` is an exact version, 0 for a stream that must not exist, `ANY`, or `EXISTS`.
    """

    stream: str
    events: Sequence[NewEvent] = ()
    expected: int | Expect = ANY


class Checkpoint(msgspec.Struct, frozen=True):
    """How far a named consumer has come, stored in the same commit as the effects of getting there.

    `previous` is where its writer believes it is now: a position, None for nowhere yet, `ANY` for no belief.
    Moving back is allowed (a replay).
    """

    name: str
    position: int
    previous: int | Expect | None = ANY


class Appended(msgspec.Struct, frozen=True):
    """What a commit came to: its events as recorded, and the version of every stream it named.

    `repeated` is True if the identical commit was in the log already and nothing was written.
    """

    events: tuple[RecordedEvent, ...]
    versions: Mapping[str, int]
    repeated: bool = False


class Purged(msgspec.Struct, frozen=True):
    """What a purge removed: how many events, and the last one's version, position and hash. Zero: no such stream."""

    stream: str
    events: int
    last_version: int = 0
    last_position: int = 0
    last_hash: str = ""


class Log(Protocol):
    """Where events are kept. `eventstore.testing.LogContract` proves an implementation."""

    hook: Hook | None

    def append(self, commit: Sequence[Append], *, checkpoint: Checkpoint | None = None) -> Appended:
        """Append a commit, all or nothing, durable (at the log's level) when it returns.

        The identical commit again (same event ids and contents) returns the first result and writes nothing, even
        though its expectations would now fail. A commit without events checks, and writes nothing unless it
        carries a checkpoint. Safe from any number of threads and processes.

        Raises `WrongExpectedVersion`, `DuplicateEventId`, `CheckpointConflict`: nothing was written. `InvalidInput`,
        `TooLarge`: nothing was written. `OutcomeUnknown`: open the log again and repeat the identical commit.
        """

    def read(
        self,
        stream: str,
        *,
        after: int = 0,
        until: int | None = None,
        backward: bool = False,
        limit: int | None = None,
    ) -> Iterator[RecordedEvent]:
        """The stream's events with after < version ≤ until, ascending, or descending if `backward`.

        An unknown stream is empty. The end is fixed when the call is made: what is appended later never shows.
        """

    def read_all(
        self,
        *,
        after: int = 0,
        until: int | None = None,
        backward: bool = False,
        types: Collection[str] | None = None,
        streams: Collection[str] | None = None,
        limit: int | None = None,
    ) -> Iterator[RecordedEvent]:
        """The whole log's events with after < position ≤ until, of the given types and streams only, where
        any are given.

        Who has seen position p never later finds an event below p. The end is fixed when the call is made. A log
        whose writers do not wait for one another shows a commit here once no append is under way that was begun
        before it; in its streams it shows at once.
        """

    def version(self, stream: str) -> int:
        """The stream's version, which is also the number of its events; 0 if there is no such stream."""

    def head(self) -> int:
        """The position of the last event a reader may see; 0 in an empty log."""

    def checkpoint(self, name: str) -> int | None:
        """The stored checkpoint, or None if there is none of that name."""

    def checkpoints(self) -> dict[str, int]:
        """All stored checkpoints, by name."""

    def wait(self, after: int, timeout: float | None = None) -> bool:
        """Block until the head is past `after`: True; or until `timeout` seconds have passed: False."""

    def hold(self, name: str) -> Hold:
        """Hold a name that one worker at a time can, in whichever process, until it is released or the process ends.

        Keeps nobody from anything but holding the same name. Raises `NameHeld` at once if somebody has it, this process
        included. It may be lost earlier than that (`Hold.held`), so nothing exact may rest on it. Release it before the
        log is closed.
        """

    def holder(self, name: str) -> str | None:
        """Who holds the name, as `host:pid`; empty if that cannot be known, None if nobody does."""

    def purge(self, stream: str, *, expected: int | Expect = ANY, meta: Mapping[str, str] | None = None) -> Purged:
        """Physically remove a stream, and leave a `streamPurged` event in the stream `$purges`, with this `meta`: who,
        why.

        Positions of removed events stay unused; every reader passes over them. The stream can then be made anew, as
        if it had never been. An unknown stream removes nothing and leaves no record.
        Raises `WrongExpectedVersion`; `InvalidInput`, `TooLarge`: nothing was removed.
        """

    def purging(self) -> AbstractContextManager[None]:
        """Have many purges cost little more than one. What they remove is gone for every reader at once, as ever; but
        only when this is left, or after a crash when the log is next opened, is it sure to be gone from all files.
        """

    def restore(self, commits: Sequence[Sequence[RecordedEvent]], *, checkpoint: Checkpoint | None = None) -> int:
        """Append commits of another log as they were recorded there, and return how many of their events were new.

        Each commit stays one commit. All its events say is kept, hashes and times of recording included; only
        `position` and `commit` are this log's own. A commit whose events are all here already, as they are there, is
        passed over; so a copy can be repeated, and one that was cut off goes on. A record of a purge removes here, too,
        what is here of its stream before it.

        A refusal writes nothing at all; a crash may leave the first so many commits. The checkpoint is stored with the
        last new commit, or alone if none is new, and whatever it says of `previous` is held against what is here.
        The events must continue what is here of their streams.

        Raises `Conflict` if they do not, `DuplicateEventId` if part of a commit is here, or other events under its ids;
        `CheckpointConflict`, `InvalidInput`, `TooLarge`: nothing was written. `OutcomeUnknown`: open the log again and
        repeat the call.
        """

    def close(self) -> None:
        """Release everything. Repeated calls do nothing; any other call afterwards raises `Closed`."""


class Hook(Protocol):
    """Told of every commit this log object makes, in order, after it is durable and before `append` returns."""

    def committed(self, events: Sequence[RecordedEvent]) -> None:
        """Take note of a commit. An error here is logged, never raised to the writer: the events are safe."""
