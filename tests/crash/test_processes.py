"""Several processes at one store: appending, tailing, racing, waiting, purging, and dying while they hold the lock."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from uuid import UUID

import pytest

from eventstore.index import Index
from eventstore.jsonl import JsonlLog
from eventstore.log import PURGES, Append, NewEvent

from .children import Children
from .disks import CountingDisk
from .oracle import check_streams
from .writer_process import (
    append_shared,
    first_attempts,
    hang_in_sync,
    keep_and_purge,
    race,
    tail,
    tail_past_purges,
    use_after_fork,
    wait_past,
)

PROCESSES = 4
THREADS = 3
COMMITS = 240  # of each thread, of 7 events on average
ROUNDS = 500


@pytest.fixture(scope="module")
def children() -> Iterator[Children]:
    with Children() as children:
        yield children


@pytest.fixture
def log(tmp_path: Path) -> Iterator[JsonlLog]:
    with closing(JsonlLog(tmp_path)) as log:
        yield log


def test_writers_and_readers_of_many_processes_agree_on_one_order(
    log: JsonlLog, children: Children, record_property: Callable[[str, object], None]
) -> None:
    readers = [children.start(tail, log.root) for _ in range(2)]
    assert [reader.receive() for reader in readers] == ["reading", "reading"]
    writers = [
        children.start(append_shared, log.root, f"writer-{number}", 8, THREADS, COMMITS) for number in range(PROCESSES)
    ]
    acknowledged: list[list[UUID]] = [ids for writer in writers for ids in writer.result()]
    for reader in readers:
        reader.send(log.head())

    events = list(log.read_all())
    check_streams(log, events)
    place = {event.id: event.position for event in events}
    assert len(place) == sum(map(len, acknowledged))
    for ids in acknowledged:
        places = [place[id] for id in ids]
        assert places == sorted(places)
    order = [(event.position, event.id) for event in events]
    assert all(reader.result() == order for reader in readers)
    record_property("events of concurrent processes", len(events))


def test_of_four_processes_with_one_expectation_exactly_one_wins(log: JsonlLog, children: Children) -> None:
    racers = [children.start(race, log.root, ROUNDS) for _ in range(PROCESSES)]
    won = [version for racer in racers for version in racer.result()]
    assert sorted(won) == list(range(ROUNDS))
    assert log.version("race") == ROUNDS


def test_a_process_killed_while_it_holds_the_lock_blocks_nobody(log: JsonlLog, children: Children) -> None:
    (commit,) = first_attempts("killed", 1)
    child = children.start(hang_in_sync, log.root, commit)
    assert child.receive() == "syncing"
    with open(log.root / "_log" / "lock") as lock, pytest.raises(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with ThreadPoolExecutor(1) as pool:
        appended = pool.submit(log.append, [Append("stream", [NewEvent(type="written", data=b"{}")])])
        child.kill()
        assert appended.result(timeout=60).versions == {"stream": 1}
    assert log.append(commit).repeated


def test_a_commit_whose_writer_was_killed_before_its_sync_is_synced_before_it_is_acknowledged_to_another(
    tmp_path: Path, children: Children
) -> None:
    disk = CountingDisk(tmp_path)
    with closing(JsonlLog(tmp_path, disk=disk)) as log:
        (commit,) = first_attempts("killed", 1)
        child = children.start(hang_in_sync, tmp_path, commit)
        assert child.receive() == "syncing"
        child.kill()
        before = disk.syncs
        assert log.append(commit).repeated
        assert disk.syncs == before + 1
        assert log.append(commit).repeated
        assert disk.syncs == before + 1


def test_a_log_refuses_to_work_in_a_process_forked_from_its_own(log: JsonlLog, children: Children) -> None:
    assert children.start(use_after_fork, log.root).result() == ["closed"] * 3
    assert log.head() == 1


def test_wait_ends_when_another_process_appends(log: JsonlLog, children: Children) -> None:
    child = children.start(wait_past, log.root, 0)
    assert child.receive() == "waiting"
    log.append([Append("stream", [NewEvent(type="written", data=b"{}")])])
    assert child.result() is True


def test_a_reader_never_sees_a_purged_event_again_and_misses_no_other(log: JsonlLog, children: Children) -> None:
    readers = [children.start(tail_past_purges, log.root) for _ in range(2)]
    assert [reader.receive() for reader in readers] == ["reading", "reading"]
    children.start(keep_and_purge, log.root, 150).result()
    for reader in readers:
        reader.send(log.head())
    assert [reader.result() for reader in readers] == [450, 450]


@pytest.fixture
def moved(log: JsonlLog) -> Iterator[list[Append]]:
    """A commit of the log that another log has moved, in the midst of purges of both."""
    commit = [Append("kept", [NewEvent(type="kept", data=b"{}")])]
    with closing(JsonlLog(log.root)) as other, log.purging():
        log.append([Append("gone", [NewEvent(type="gone", data=b"{}")])])
        with other.purging():
            other.purge("gone")
            log.append(commit)
        yield commit


@pytest.mark.parametrize("backward", [False, True])
def test_a_log_reads_what_it_has_appended_where_another_has_moved_it(
    log: JsonlLog, moved: list[Append], backward: bool
) -> None:
    kept = [event.id for entry in moved for event in entry.events]
    assert [event.id for event in log.read("kept", backward=backward)] == kept
    assert [event.id for event in log.read_all(backward=backward) if event.stream == "kept"] == kept


def test_a_log_knows_a_repeated_commit_that_another_has_moved(log: JsonlLog, moved: list[Append]) -> None:
    assert log.append(moved).repeated


def test_a_log_can_purge_what_another_has_moved(log: JsonlLog, moved: list[Append]) -> None:
    assert log.purge("kept").events == 1
    assert [event.stream for event in log.read_all()] == ["$purges"] * 2


@pytest.mark.parametrize("purging", [False, True], ids=["at rest", "in the midst of purges"])
def test_a_log_finds_the_lines_that_a_process_has_moved_which_was_killed_before_it_could_tell(
    log: JsonlLog, monkeypatch: pytest.MonkeyPatch, purging: bool
) -> None:
    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    kept = [Append("kept", [NewEvent(type="kept", data=b"{}")])]
    log.append([Append("gone", [NewEvent(type="gone", data=b"{}")])])
    log.append(kept)
    with closing(JsonlLog(log.root)) as other, log.purging() if purging else contextlib.nullcontext():
        with monkeypatch.context() as patch:
            patch.setattr(Index, "rewritten", die)
            with pytest.raises(Killed):
                other.purge("gone")
        assert [event.stream for event in log.read_all()] == ["kept", PURGES]
        assert log.append(kept).repeated
        log.append([Append("kept", [NewEvent(type="kept", data=b"{}")], 1)])
        assert [event.stream for event in other.read_all(backward=True)] == ["kept", PURGES, "kept"]


@pytest.mark.parametrize("purged_by", ["the same log", "another log"])
@pytest.mark.parametrize("backward", [False, True])
def test_a_read_goes_on_when_a_purge_moves_the_lines_it_is_about_to_read(
    tmp_path: Path, purged_by: str, backward: bool
) -> None:
    with (
        closing(JsonlLog(tmp_path, segment_bytes=2_000)) as log,
        closing(JsonlLog(tmp_path, segment_bytes=2_000)) as other,
    ):
        for number in range(40):
            kept, gone = (NewEvent(type=type, data=b"%d" % number) for type in ("kept", "gone"))
            log.append([Append("kept", [kept]), Append("gone", [gone])])
        reads = [log.read("kept", backward=backward), log.read_all(backward=backward)]
        seen = [[next(read)] for read in reads]
        (log if purged_by == "the same log" else other).purge("gone")
        for events, read in zip(seen, reads, strict=True):
            events.extend(read)
            numbers = [int(event.data) for event in events if event.stream == "kept"]
            assert numbers == sorted(range(40), reverse=backward)
