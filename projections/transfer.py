"""One run as one file of lines: to move it to another store, or to attach it to a report.

    {"file":"run","format":1,"run":…,"written_by":…}     the first line
    {"file":"blob","digest":…,"data":…}                  a large value, in base64, before the first event that needs it
    {"sum":…,"commit":1,"position":1,…,"events":[…]}     a commit, as far as it is the run's, like a line of a segment
    {"file":"part","run":…}                              in the file of a fork: what follows is of this run
    {"file":"end","commits":…,"events":…,"blobs":…,"sha256":…}     the last line, with the digest of all before it

The run's commits are numbered from 1, and a line's position is the version of its first event: the file of a run says
the same wherever it is made. See docs/FORMAT.md for the lines of commits.

The file of a fork has a part for each of its origins, eldest first, and its own at the end. An origin goes as far as to
the end of the commit in which it was forked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version as version_of
from itertools import chain, takewhile
from typing import BinaryIO

import msgspec

from eventstore.blobs import Blobs, digest_of
from eventstore.chain import GENESIS, event_hash
from eventstore.codec import Codec
from eventstore.copying import Commit, batches, commits_in
from eventstore.errors import Conflict, EventStoreError, InvalidInput, NotFound, UnsupportedSchema
from eventstore.events import RunForked
from eventstore.line import CommitLine, DamagedLine, commit_line, decode_line, encode_line
from eventstore.log import Log, RecordedEvent
from eventstore.references import blob_digests
from eventstore.validate import validate_recorded
from eventstore.values import MAX_VALUE_BYTES
from projections.inheritance import Stretch, begins_fork, stretches
from projections.store import Store

FORMAT = 1

_COMMIT = b'{"sum":'
_LONGEST = 2 * MAX_VALUE_BYTES
_AGAIN = "Export the run again, and move the file as it is."


class RunLine(msgspec.Struct, frozen=True, tag_field="file", tag="run"):
    """The first line."""

    format: int
    run: str
    written_by: str


class BlobLine(msgspec.Struct, frozen=True, tag_field="file", tag="blob"):
    """A blob."""

    digest: str
    data: bytes


class PartLine(msgspec.Struct, frozen=True, tag_field="file", tag="part"):
    """The beginning of one run's part in the file of a fork."""

    run: str


class EndLine(msgspec.Struct, frozen=True, tag_field="file", tag="end"):
    """The last line."""

    commits: int
    events: int
    blobs: int
    sha256: str


class CheckedRun(msgspec.Struct, frozen=True):
    """A run's file that is in order, ready to be read again from `begin`. `hashes` holds 32 bytes for each event
    of each run in it.
    """

    id: str
    events: int
    blobs: int
    file: BinaryIO
    begin: int
    name: str
    hashes: dict[str, bytes]


class ImportedRun(msgspec.Struct, frozen=True):
    """A run that was brought in, and how many of its events were new."""

    run_id: str
    events: int
    new_events: int
    blobs: int


_OTHERS = msgspec.json.Decoder(RunLine | BlobLine | PartLine | EndLine)


def export_run(store: Store, run_id: str, progress: Callable[[int], None] = lambda _: None) -> Iterator[bytes]:
    """The run's file, line by line; `progress` is told of numbers of events.

    A deleted run is whole; a purged one is gone. With a fork goes what it has of its origins. Raises `NotFound`,
    `OriginMissing`, `BlobMissing`, `BlobCorrupt`, or `UnsupportedSchema` for an event of a newer program, whose values
    could not be found.
    """
    first = None if run_id.startswith("$") else next(store.log.read(run_id, until=1), None)
    if first is None:
        raise NotFound("run", run_id, "List them with `eventstore runs`.")
    own = Stretch(run_id, store.log.version(run_id))
    return _exported(store, [*stretches(first, store.codec, store.log.read), own], progress)


def _exported(store: Store, parts: Sequence[Stretch], progress: Callable[[int], None]) -> Iterator[bytes]:
    run_id = parts[-1].stream
    digest, blobs, commits, events = hashlib.sha256(), set[str](), 0, 0
    first = RunLine(FORMAT, run_id, f"flowledger {version_of('flowledger')}")
    for raw in chain([_line(first)], *(_part(store, part, blobs, named=len(parts) > 1) for part in parts)):
        digest.update(raw)
        yield raw
        if raw.startswith(_COMMIT):
            count = len(decode_line(raw).events)
            commits, events = commits + 1, events + count
            progress(count)
    if events < sum(part.until for part in parts):
        raise NotFound("run", run_id, "It was purged while it was being exported.")
    yield _line(EndLine(commits, events, len(blobs), digest.hexdigest()))


def _part(store: Store, part: Stretch, blobs: set[str], *, named: bool) -> Iterator[bytes]:
    """A run's commits, each behind the blobs it is the first to need, which are added to `blobs`."""
    if named:
        yield _line(PartLine(part.stream))
    commits = takewhile(lambda commit: commit[0].version <= part.until, commits_in(store.log.read(part.stream)))
    for number, commit in enumerate(commits, 1):
        for event in commit:
            for digest in blob_digests(store.codec.decode(event)):
                if digest not in blobs:
                    blobs.add(digest)
                    yield _line(BlobLine(digest, store.values.blobs.get(digest)))
        position, recorded_at = commit[0].version, commit[0].recorded_at
        yield encode_line(
            commit_line(commit, commit=number, position=position, synced=0, recorded_at=recorded_at, checkpoint=None)
        )


def _line(line: msgspec.Struct) -> bytes:
    return msgspec.json.encode(line) + b"\n"


def check_run(file: BinaryIO, name: str, codec: Codec, progress: Callable[[int], None] = lambda _: None) -> CheckedRun:
    """Read the whole file, which can be read again, and make sure that it is in order; `progress` is told of bytes.

    Raises `InvalidInput`, with the file's name and the line, for anything that is not the whole file of a run.
    """
    begin, run = file.tell(), _RunFile(file, name, codec)
    for _ in run.parts(progress):
        pass
    hashes = {run_id: bytes(each) for run_id, each in run.hashes.items()}
    return CheckedRun(run.id, run.events, len(run.blobs), file, begin, name, hashes)


def import_run(store: Store, checked: CheckedRun, progress: Callable[[int], None] = lambda _: None) -> ImportedRun:
    """Bring in the run of a file that has been checked; `progress` is told of numbers of events.

    Importing it again changes nothing, and if the file has more of the run than the store, the rest is added. An
    import that is cut off leaves the first so many commits, and importing again goes on with it.

    What a fork has of its origins comes in, too, if it is not there already: as runs of their own, which are as they
    were when they were forked.

    Raises `Conflict` if the store has other events under the run's id, or an origin's.
    """
    for run_id, hashes in checked.hashes.items():
        _check_same(store.log, run_id, hashes)
    checked.file.seek(checked.begin)
    run = _RunFile(checked.file, checked.name, store.codec)
    new = sum(map(store.log.restore, batches(_with_blobs(run, store.values.blobs, progress))))
    return ImportedRun(checked.id, checked.events, new, checked.blobs)


def _check_same(log: Log, run_id: str, hashes: bytes) -> None:
    """Compare the last hash that both have: it covers all before it."""
    version = min(log.version(run_id), len(hashes) // 32)
    here = next(log.read(run_id, after=version - 1, until=version), None) if version else None
    if here is not None and bytes.fromhex(here.hash) != hashes[32 * (version - 1) : 32 * version]:
        hint = "Import into another store; or purge the run here, if the one in the file is right."
        raise Conflict(f"run {run_id!r} is here already, with other events", hint)


def _with_blobs(run: _RunFile, blobs: Blobs, progress: Callable[[int], None]) -> Iterator[Commit]:
    """The commits, with their blobs put in the store before them."""
    for part in run.parts():
        if isinstance(part, list):
            yield part
            progress(len(part))
        else:
            blobs.put(part)


class _RunFile:
    """Reads a file, and finds out by the end whether it is all in order."""

    def __init__(self, file: BinaryIO, name: str, codec: Codec) -> None:
        self._file, self._name, self._codec = file, name, codec
        self._number = self._commit = 0
        self._run_id, self._hash, self._hashes = "", GENESIS, bytearray()
        self.id = ""
        self.hashes: dict[str, bytearray] = {}
        self.blobs: set[str] = set()
        self.commits = self.events = 0

    def parts(self, progress: Callable[[int], None] = lambda _: None) -> Iterator[Commit | bytes]:
        """The commits, and the blobs; `progress` is told of numbers of bytes. Raises `InvalidInput`."""
        try:
            yield from self._parts(progress)
        except UnsupportedSchema as error:
            raise InvalidInput(f"{self._name}, line {self._number}: {error}", error.hint) from None
        except EventStoreError as error:
            raise InvalidInput(f"{self._name}, line {self._number}: {error}", _AGAIN) from None
        except (DamagedLine, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            reason = f"it is not a line of a run's file, or was changed ({error})"
            raise InvalidInput(f"{self._name}, line {self._number}: {reason}", _AGAIN) from None

    def _parts(self, progress: Callable[[int], None]) -> Iterator[Commit | bytes]:
        digest = hashlib.sha256()
        for raw in self._lines():
            progress(len(raw))
            line = decode_line(raw) if raw.startswith(_COMMIT) else _OTHERS.decode(raw)
            if isinstance(line, EndLine):
                self._check_end(line, digest.hexdigest())
                break
            digest.update(raw)
            part = self._part(line)
            if part is not None:
                yield part
        else:
            self._number += 1
            raise InvalidInput("the file ends too early")
        if next(self._lines(), None) is not None:
            raise InvalidInput("something stands behind the last line")

    def _lines(self) -> Iterator[bytes]:
        while raw := self._file.readline(_LONGEST):
            self._number += 1
            yield raw

    def _part(self, line: CommitLine | RunLine | BlobLine | PartLine) -> Commit | bytes | None:
        if self._number == 1 or isinstance(line, RunLine):
            self._begin(line)
            return None
        if isinstance(line, PartLine):
            self._begin_part(line.run)
            return None
        if isinstance(line, BlobLine):
            if digest_of(line.data) != line.digest:
                raise InvalidInput(f"blob {line.digest} does not match its digest")
            self.blobs.add(line.digest)
            return line.data
        return self._take(line)

    def _begin(self, line: CommitLine | RunLine | BlobLine | PartLine) -> None:
        if not isinstance(line, RunLine) or self._number > 1:
            raise InvalidInput("a run's file begins with one line that names the run")
        if line.format != FORMAT:
            raise UnsupportedSchema(f"the file, by {line.written_by},", line.format, FORMAT)
        self.id = line.run
        self._begin_part(line.run)

    def _begin_part(self, run_id: str) -> None:
        if run_id.startswith("$"):
            raise InvalidInput(f"{run_id!r} is not the id of a run")
        if self.hashes.get(run_id):
            raise InvalidInput(f"run {run_id!r} has two parts")
        self.hashes[run_id] = self._hashes = bytearray()
        self._run_id, self._commit, self._hash = run_id, 0, GENESIS

    def _take(self, line: CommitLine) -> Commit:
        commit = line.recorded()
        expected = (self._commit + 1, len(self._hashes) // 32 + 1)
        if (line.commit, line.position) != expected or None in line.events:
            raise InvalidInput(f"commit {line.commit} stands where commit {self._commit + 1} belongs")
        validate_recorded([commit])
        for event in commit:
            if event.stream != self._run_id or event.version != event.position:
                raise InvalidInput(f"event {event.id} is not version {event.position} of run {self._run_id!r}")
            if event_hash(self._hash, event.stream, event.version, event) != event.hash:
                raise InvalidInput(f"event {event.id}, or the one before it, was changed")
            self._check_origin(event)
            self._hash = event.hash
            self._hashes += bytes.fromhex(event.hash)
            for digest in blob_digests(self._codec.decode(event)):
                if digest not in self.blobs:
                    raise InvalidInput(f"event {event.id} needs blob {digest}, which does not stand before it")
        self._commit = line.commit
        self.commits, self.events = self.commits + 1, self.events + len(commit)
        return commit

    def _check_origin(self, event: RecordedEvent) -> None:
        forked = self._codec.decode(event) if begins_fork(event) else None
        if not isinstance(forked, RunForked):
            return
        there = self.hashes.get(forked.origin, bytearray())
        if not forked.version or there[32 * (forked.version - 1) : 32 * forked.version].hex() != forked.hash:
            raise InvalidInput(
                f"run {event.stream!r} was forked from {forked.origin!r}, which does not stand before it"
            )

    def _check_end(self, line: EndLine, sha256: str) -> None:
        found = (self.commits, self.events, len(self.blobs))
        if (line.commits, line.events, line.blobs) != found:
            raise InvalidInput(
                f"not all of the {line.commits} commits, {line.events} events and {line.blobs} blobs are there"
            )
        if self._run_id != self.id or not self._hashes or line.sha256 != sha256:
            raise InvalidInput("the file was changed")
