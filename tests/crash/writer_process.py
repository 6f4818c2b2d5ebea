"""What the child processes of the crash tests do: append, until they are killed."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import resource
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from uuid import UUID, uuid5

from eventstore.errors import EventStoreError, Unavailable, WrongExpectedVersion
from eventstore.jsonl import JsonlLog
from eventstore.log import ANY, PURGES, Append, NewEvent, RecordedEvent
from eventstore.segments import segment_path

from .children import failures_told
from .disks import FatalDisk, StuckDisk

SEGMENT_BYTES = 4_000
"""So few that a new segment begins every few commits."""

SHARED = ("shared/0", "shared/1", "shared/2")
"""Streams that all writers append to."""

_IDS = UUID("0190163d-8694-739b-aea5-966c26f8ad91")
_START = datetime(2026, 1, 1, tzinfo=UTC)


def attempts_of(writer: str) -> Iterator[list[Append]]:
    """The commits a writer of this name attempts, the same ones whoever asks: 1 to 5 events in 1 to 3 streams.

    Its own streams it expects to find as it left them; the shared ones at any version.
    """
    versions = Counter[str]()
    for number in itertools.count():
        choices = random.Random(f"{writer} {number}")
        streams = choices.sample([f"{writer}/a", f"{writer}/b", *SHARED], choices.randint(1, 3))
        commit = []
        for stream in streams:
            events = [
                _event(writer, number, f"{stream} {i}", choices)
                for i in range(choices.randint(1, 6 // len(streams) - 1))
            ]
            commit.append(Append(stream, events, ANY if stream in SHARED else versions[stream]))
            versions[stream] += len(events)
        yield commit


def first_attempts(writer: str, count: int) -> list[list[Append]]:
    return list(itertools.islice(attempts_of(writer), count))


def _event(writer: str, number: int, place: str, choices: random.Random) -> NewEvent:
    data = f'{{"writer":"{writer}","number":{number},"filler":"{"é" * choices.randint(0, 200)}"}}'.encode()
    return NewEvent(
        type="written",
        data=data if choices.random() < 0.8 else data[:-3],
        id=uuid5(_IDS, f"{writer} {number} {place}"),
        time=_START + timedelta(seconds=number),
        meta={"writer": writer},
    )


def append_for_ever(test: Connection, root: Path, writers: Sequence[str]) -> None:
    """One thread for each writer. Tells of every acknowledged commit, by its writer's name."""
    log = JsonlLog(root, segment_bytes=SEGMENT_BYTES)

    def write(writer: str) -> None:
        with failures_told(test):
            for commit in attempts_of(writer):
                log.append(commit)
                test.send(writer)

    with ThreadPoolExecutor(len(writers)) as threads:
        list(threads.map(write, writers))


def append_some(test: Connection, root: Path, writer: str, commits: int, die_at: int, written: float) -> None:
    """Appends, and tells of every acknowledged commit; killed at a certain call of the disk, if it gets that far."""
    log = JsonlLog(root, segment_bytes=SEGMENT_BYTES, disk=FatalDisk(root, die_at, written))
    for commit in first_attempts(writer, commits):
        log.append(commit)
        test.send(writer)
    log.close()


def purge(test: Connection, root: Path, stream: str, segment_bytes: int, die_at: int, written: float) -> None:
    """Purges a stream; killed at a certain call of the disk, if it gets that far."""
    log = JsonlLog(root, segment_bytes=segment_bytes, disk=FatalDisk(root, die_at, written))
    log.purge(stream)
    log.close()


def append_shared(
    test: Connection, root: Path, name: str, streams: int, threads: int, commits: int
) -> list[list[UUID]]:
    """Append batches to streams that other processes append to as well, always at an expected version.

    Gives, for each thread, the ids of its events in the order in which they were acknowledged.
    """
    log = JsonlLog(root, segment_bytes=200_000)

    def write(thread: int) -> list[UUID]:
        choices = random.Random(f"{name} {thread}")
        known = dict.fromkeys((f"stream-{number}" for number in range(streams)), 0)
        ids = []
        for _ in range(commits):
            chosen = choices.sample(sorted(known), choices.randint(1, 3))
            batch = _batch([choices.randint(1, 6) for _ in chosen])
            while True:
                try:
                    done = log.append([Append(s, events, known[s]) for s, events in zip(chosen, batch, strict=True)])
                    break
                except WrongExpectedVersion as error:
                    known |= {stream: actual for stream, _, actual in error.violations}
            known |= done.versions
            ids += [event.id for event in done.events]
        return ids

    with closing(log), ThreadPoolExecutor(threads) as pool:
        return list(pool.map(write, range(threads)))


def _batch(sizes: Sequence[int]) -> list[list[NewEvent]]:
    """Events that say how many of their commit come after them, so that a reader can tell a split commit."""
    left = itertools.count(sum(sizes) - 1, -1)
    return [[NewEvent(type="written", data=b"%d" % next(left)) for _ in range(size)] for size in sizes]


def tail(test: Connection, root: Path) -> list[tuple[int, UUID]]:
    """Poll the log without pause, and give all that was seen, once the test has said where the end is."""
    seen: list[tuple[int, UUID]] = []
    position = end = 0
    with closing(JsonlLog(root)) as log:
        test.send("reading")
        while not end or position < end:
            events = list(log.read_all(after=position))
            left = 0
            for event in events:
                assert event.position > position
                assert not left or int(event.data) == left - 1
                left, position = int(event.data), event.position
                seen.append((event.position, event.id))
            assert left == 0, f"the commit at position {position} was seen without its end"
            if not end and test.poll():
                end = test.recv()
    return seen


def race(test: Connection, root: Path, rounds: int) -> list[int]:
    """Append to one stream, once at each expected version, and give the versions at which this process won."""
    won = []
    with closing(JsonlLog(root)) as log:
        for version in range(rounds):
            with contextlib.suppress(WrongExpectedVersion):
                log.append([Append("race", [NewEvent(type="won", data=b"{}")], expected=version)])
                won.append(version)
    return won


def hang_in_sync(test: Connection, root: Path, commit: list[Append]) -> None:
    disk = StuckDisk(root)
    log = JsonlLog(root, disk=disk)
    disk.test = test
    log.append(commit)


def wait_past(test: Connection, root: Path, after: int) -> bool:
    with closing(JsonlLog(root)) as log:
        test.send("waiting")
        return log.wait(after, timeout=60)


def keep_and_purge(test: Connection, root: Path, rounds: int) -> None:
    """Append to one stream that is kept and to another that is purged, and made anew, once in a round."""
    with closing(JsonlLog(root, segment_bytes=SEGMENT_BYTES)) as log:
        for number in range(3 * rounds):
            kept = NewEvent(type="kept", data=b"%d" % number)
            log.append([Append("gone", [NewEvent(type="gone", data=b"{}")]), Append("kept", [kept])])
            if number % 3 == 2:
                log.purge("gone")


def tail_past_purges(test: Connection, root: Path) -> int:
    """Tail the log, and read it again and again from its beginning; gives the number of kept events seen."""
    kept = position = end = purged = 0
    with closing(JsonlLog(root)) as log:
        test.send("reading")
        while not end or position < end:
            for event in log.read_all(after=position):
                position = event.position
                if event.stream == "kept":
                    assert int(event.data) == kept
                    kept += 1
                if event.stream == PURGES:
                    purged = event.position
            for events in (log.read_all(), reversed(list(log.read_all(backward=True)))):
                _check_past_purges(list(events), purged, kept)
            versions = [event.version for event in log.read("kept")]
            assert versions == list(range(1, len(versions) + 1))
            assert len(versions) >= kept
            if not end and test.poll():
                end = test.recv()
    return kept


def _check_past_purges(events: list[RecordedEvent], purged: int, kept: int) -> None:
    numbers = [int(event.data) for event in events if event.stream == "kept"]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) >= kept
    returned = [event for event in events if event.stream == "gone" and event.position < purged]
    assert not returned, f"purged at position {purged}, but {returned[0]} is back"


def use_after_fork(test: Connection, root: Path) -> list[str]:
    """Use a log in a process forked from the one that opened it, and give the codes of the errors that brings."""
    with closing(JsonlLog(root)) as log:
        ours, theirs = Pipe()
        if os.fork() == 0:
            theirs.send([_code_of(use) for use in (log.head, lambda: log.append([]), lambda: list(log.read_all()))])
            log.close()
            os._exit(0)
        os.wait()
        codes: list[str] = ours.recv()
        log.append([Append("stream", [NewEvent(type="written", data=b"{}")])])
    return codes


def _code_of(use: Callable[[], object]) -> str:
    try:
        use()
    except EventStoreError as error:
        return error.code
    return "none"


def append_at_every_size_limit(test: Connection, root: Path, commit: list[Append]) -> int:
    """Append under a file size limit that lets through none of the bytes, then one, and so on up to all but one.

    Gives the number of bytes the commit came to, when it was let through at last.
    """
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    segment = root / segment_path(1)
    with closing(JsonlLog(root)) as log:
        log.append([Append("before", [NewEvent(type="written", data=b"{}")])])
        size = segment.stat().st_size
        for let_through in itertools.count():
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + let_through, most))
            try:
                log.append(commit)
            except Unavailable:
                assert segment.stat().st_size == size
                assert log.head() == 1
            else:
                assert segment.stat().st_size == size + let_through
                resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
                return let_through
    raise AssertionError


def use_without_descriptors(test: Connection, root: Path) -> list[str]:
    """Use a log while its process may open no more files, and give the codes of the errors; then go on using it.

    Its segment is open, so it can be appended to.
    """
    least, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    before, meanwhile, after = (NewEvent(type="written", data=b"{}") for _ in range(3))
    with closing(JsonlLog(root)) as log:
        log.append([Append("a", [before])])
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, most))
        uses = [
            lambda: log.append([Append("a", [meanwhile])]),
            lambda: list(log.read_all()),
            lambda: list(log.read("a")),
            lambda: JsonlLog(root),
        ]
        codes = [_code_of(use) for use in uses]
        resource.setrlimit(resource.RLIMIT_NOFILE, (least, most))
        log.append([Append("a", [after])])
        assert [event.id for event in log.read_all()] == [before.id, meanwhile.id, after.id]
    return codes


def open_unprivileged(test: Connection, folder: Path, store: str) -> tuple[str, str]:
    """Open a store as a user who is not root, and give the code and the hint of the error that brings."""
    os.chdir(folder)
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    try:
        JsonlLog(Path(store))
    except EventStoreError as error:
        return error.code, error.hint
    return "none", ""
