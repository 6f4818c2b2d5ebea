"""Every error this library raises, under one root.

The facts of an error are its fields, `code` is stable and meant for programs, `hint` says what to do next, and
`retriable` says whether the same call may succeed later. All of them pickle, so they survive process pools.
"""

from __future__ import annotations

from typing import ClassVar


class EventStoreError(Exception):
    """The root. Catch it to catch everything this library raises on purpose."""

    code: ClassVar[str] = "error"
    retriable: ClassVar[bool] = False

    @property
    def hint(self) -> str:
        """What to do about it, in one sentence; empty when there is nothing to add."""
        return ""


_LISTED_BY = {
    "run": "List them with `eventstore runs`.",
    "workflow": "List them with `eventstore workflows`.",
    "board task": "List them with `eventstore board list`.",
}


class NotFound(EventStoreError, LookupError):
    """A command named something that does not exist. Reads return None instead."""

    code = "not-found"

    def __init__(self, kind: str, id: str, hint: str = "") -> None:
        super().__init__(kind, id, hint)
        self.kind, self.id = kind, id
        self._hint = hint or _LISTED_BY.get(kind, "")

    def __str__(self) -> str:
        return f"no {self.kind} {self.id!r}"

    @property
    def hint(self) -> str:
        return self._hint


class Conflict(EventStoreError):
    """The store holds something that contradicts the call. Nothing was written."""

    code = "conflict"

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason, hint)
        self.reason, self._hint = reason, hint

    def __str__(self) -> str:
        return self.reason

    @property
    def hint(self) -> str:
        return self._hint


class WrongExpectedVersion(Conflict):
    """A stream is not at the version the writer believed in. Nothing was written.

    `stream`, `expected` and `actual` describe the first violation; `violations` holds all of them as such triples.
    """

    code = "wrong-expected-version"
    retriable = True

    def __init__(self, *violations: tuple[str, object, int]) -> None:
        Exception.__init__(self, *violations)
        self.violations = violations
        self.stream, self.expected, self.actual = violations[0]

    def __str__(self) -> str:
        return "; ".join(f"stream {s!r} is at version {actual}, expected {e}" for s, e, actual in self.violations)

    @property
    def hint(self) -> str:
        return "Read the stream again, decide again, and append with the version you read."


class DuplicateEventId(Conflict):
    """An event id is already in the log with other content, or with only part of this commit."""

    code = "duplicate-event-id"

    def __init__(self, event_id: str, position: int) -> None:
        Exception.__init__(self, event_id, position)
        self.event_id, self.position = event_id, position

    def __str__(self) -> str:
        return f"event id {self.event_id} is already in the log at position {self.position}, in a different commit"

    @property
    def hint(self) -> str:
        return "Retry a commit whole and unchanged, or give new events new ids."


class CheckpointConflict(Conflict):
    """A checkpoint is not where its writer believed. Nothing was written."""

    code = "checkpoint-conflict"

    def __init__(self, name: str, expected: int | None, actual: int | None) -> None:
        Exception.__init__(self, name, expected, actual)
        self.name, self.expected, self.actual = name, expected, actual

    def __str__(self) -> str:
        return f"checkpoint {self.name!r} is at {self.actual}, expected {self.expected}"

    @property
    def hint(self) -> str:
        return "Another consumer of this name has moved it: read the checkpoint and continue from there."


class NameHeld(Conflict):
    """Another worker holds this name. `holder` is its `host:pid`, empty if that cannot be known."""

    code = "name-held"
    retriable = True

    def __init__(self, name: str, holder: str) -> None:
        Exception.__init__(self, name, holder)
        self.name, self.holder = name, holder

    def __str__(self) -> str:
        return f"the name {self.name!r} is held by {self.holder or 'another worker'}"

    @property
    def hint(self) -> str:
        return "Wait until that one ends, or end it: its process lets go when it is gone."


class InvalidTransition(Conflict):
    """A state machine forbids this step. Nothing was written."""

    code = "invalid-transition"

    def __init__(self, what: str, current: str, wanted: str, allowed: tuple[str, ...]) -> None:
        Exception.__init__(self, what, current, wanted, allowed)
        self.what, self.current, self.wanted, self.allowed = what, current, wanted, allowed

    def __str__(self) -> str:
        return f"{self.what} is {self.current} and cannot become {self.wanted}"

    @property
    def hint(self) -> str:
        steps = ", ".join(self.allowed)
        return f"From {self.current} it can become: {steps}." if steps else f"{self.current} is final."


class ClaimHeld(Conflict):
    """Another worker holds the run, and its lease has not run out."""

    code = "claim-held"
    retriable = True

    def __init__(self, run_id: str, worker: str, lease_until: str) -> None:
        Exception.__init__(self, run_id, worker, lease_until)
        self.run_id, self.worker, self.lease_until = run_id, worker, lease_until

    def __str__(self) -> str:
        return f"run {self.run_id!r} is held by {self.worker!r} until {self.lease_until}"

    @property
    def hint(self) -> str:
        return "Wait for the lease to run out, or take over with force if that worker is known to be dead."


class Fenced(Conflict):
    """This worker's claim has been superseded: another one has resumed the run."""

    code = "fenced"

    def __init__(self, run_id: str, epoch: int, current: int) -> None:
        Exception.__init__(self, run_id, epoch, current)
        self.run_id, self.epoch, self.current = run_id, epoch, current

    def __str__(self) -> str:
        return f"claim {self.epoch} on run {self.run_id!r} was superseded by claim {self.current}"

    @property
    def hint(self) -> str:
        return "Stop working on this run: another worker has taken it over."


class InvalidValue(EventStoreError, ValueError):
    """A value cannot be kept exactly. Nothing was written. `path` leads to it, as in `$.rows[3].price`."""

    code = "invalid-value"

    def __init__(self, path: str, reason: str, hint: str = "") -> None:
        super().__init__(path, reason, hint)
        self.path, self.reason, self._hint = path, reason, hint

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"

    @property
    def hint(self) -> str:
        return self._hint


class TooLarge(InvalidValue):
    """A value exceeds a hard limit. Nothing was written."""

    code = "too-large"


class InvalidInput(EventStoreError, ValueError):
    """An argument, a file or an address is not what the call takes. Nothing was written."""

    code = "invalid-input"

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason, hint)
        self.reason, self._hint = reason, hint

    def __str__(self) -> str:
        return self.reason

    @property
    def hint(self) -> str:
        return self._hint


def lone_surrogate(error: UnicodeEncodeError) -> InvalidInput:
    """What to raise for a text that has no UTF-8."""
    reason = f"{error.object!r} contains a lone surrogate, which UTF-8 cannot carry"
    return InvalidInput(reason, "Decode it with errors='replace'.")


class UnsupportedSchema(EventStoreError):
    """An event was written by a newer version of this library, or of the program that registered its type."""

    code = "unsupported-schema"

    def __init__(self, type: str, schema: int, known: int) -> None:
        super().__init__(type, schema, known)
        self.type, self.schema, self.known = type, schema, known

    def __str__(self) -> str:
        return f"{self.type} has schema version {self.schema}; this program knows up to {self.known}"

    @property
    def hint(self) -> str:
        return "Upgrade the program that reads this store."


class UnsupportedStore(EventStoreError):
    """The tables of a store were made by a newer version of this library. Nothing was changed."""

    code = "unsupported-store"

    def __init__(self, part: str, version: int, known: int) -> None:
        super().__init__(part, version, known)
        self.part, self.version, self.known = part, version, known

    def __str__(self) -> str:
        return f"the tables of the {self.part} are of version {self.version}; this program knows up to {self.known}"

    @property
    def hint(self) -> str:
        return "Upgrade the program that opens this store."


class LogCorrupt(EventStoreError):
    """The log holds something no crash of this program can leave behind. Nothing was changed.

    `file`, `offset` and `length` (bytes) say where, as far as it is known.
    """

    code = "log-corrupt"

    def __init__(self, file: str, offset: int, length: int, reason: str) -> None:
        super().__init__(file, offset, length, reason)
        self.file, self.offset, self.length, self.reason = file, offset, length, reason

    def __str__(self) -> str:
        return f"{self.file}, bytes {self.offset}–{self.offset + self.length}: {self.reason}"

    @property
    def hint(self) -> str:
        return "Copy the store aside, list all damage with `eventstore verify`, and restore this file from a backup."


class RowCorrupt(LogCorrupt):
    """A row of the events' table is not what was written there, or is gone. Nothing was changed."""

    code = "row-corrupt"

    def __init__(self, store: str, row: str, reason: str) -> None:
        super().__init__(store, 0, 0, reason)
        self.args = (store, row, reason)
        self.row = row

    def __str__(self) -> str:
        return f"{self.file}, {self.row}: {self.reason}"

    @property
    def hint(self) -> str:
        return "Copy the store aside, list all damage with `eventstore verify`, and restore it from a backup."


class BlobMissing(EventStoreError, LookupError):
    """A large value's bytes are not in the blob store."""

    code = "blob-missing"

    def __init__(self, digest: str) -> None:
        super().__init__(digest)
        self.digest = digest

    def __str__(self) -> str:
        return f"blob {self.digest} is missing"

    @property
    def hint(self) -> str:
        return "Restore the blobs from a backup, or run the task that made it again."


class BlobCorrupt(EventStoreError):
    """A large value's bytes no longer match their digest."""

    code = "blob-corrupt"

    def __init__(self, digest: str) -> None:
        super().__init__(digest)
        self.digest = digest

    def __str__(self) -> str:
        return f"blob {self.digest} does not match its digest"

    @property
    def hint(self) -> str:
        return "Restore the file from a backup, or run the task that made it again."


class Unavailable(EventStoreError, OSError):
    """The operating system refused: disk full, no permission, not a store. What was acknowledged is safe."""

    code = "unavailable"
    retriable = True

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason, hint)
        self.reason, self._hint = reason, hint

    def __str__(self) -> str:
        return self.reason

    @property
    def hint(self) -> str:
        return self._hint


class OutcomeUnknown(Unavailable):
    """The commit was written but could not be made durable, so a crash may keep it or lose it.

    Open the log again and repeat the identical commit, with the same event ids: it is then there exactly once.
    """

    code = "outcome-unknown"

    @property
    def hint(self) -> str:
        return "Open the store again and repeat the identical commit: its event ids make that safe."


class Closed(EventStoreError, ValueError):
    """The object was closed, or a failed write made it unusable."""

    code = "closed"

    def __init__(self, what: str, reason: str = "") -> None:
        super().__init__(what, reason)
        self.what, self.reason = what, reason

    def __str__(self) -> str:
        return f"{self.what} is closed" + (f": {self.reason}" if self.reason else "")

    @property
    def hint(self) -> str:
        return "Open it again."
