"""Many purges together write a segment anew only once, and are finished after a crash."""

from __future__ import annotations

from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from eventstore.disk import Disk
from eventstore.errors import InvalidInput
from eventstore.jsonl import JsonlLog
from eventstore.log import PURGES, Append, NewEvent
from projections import Store
from tests.stores import verify_at

from .test_purge_run import ended

SECRET = b'"to be forgotten"'


class CountingDisk(Disk):
    """Counts how often a segment is put in another one's place."""

    renames = 0

    def rename(self, old: str, new: str) -> None:
        self.renames += new.startswith("_log/")
        super().rename(old, new)


def write(log: JsonlLog, *streams: str) -> None:
    log.append([Append(stream, [NewEvent(type="noted", data=SECRET)]) for stream in streams])


def is_kept(root: Path) -> bool:
    """Whether a segment still has what was to be forgotten."""
    return any(SECRET in segment.read_bytes() for segment in (root / "_log").glob("*.jsonl"))


def test_a_segment_is_written_anew_once_for_all_purges(tmp_path: Path) -> None:
    disk = CountingDisk(tmp_path)
    with closing(JsonlLog(tmp_path, disk=disk)) as log:
        streams = [f"run-{number}" for number in range(20)]
        write(log, *streams)
        with log.purging():
            for stream in streams:
                log.purge(stream)
            assert is_kept(tmp_path)
        assert not is_kept(tmp_path)
        assert disk.renames == 1
        assert {event.stream for event in log.read_all()} == {PURGES}


def test_purges_are_finished_though_one_was_refused(tmp_path: Path) -> None:
    with closing(JsonlLog(tmp_path)) as log:
        write(log, "a")
        with pytest.raises(InvalidInput), log.purging():
            list(map(log.purge, ("a", "$purges")))
        assert not is_kept(tmp_path)


def test_purges_of_a_killed_process_are_finished_when_the_log_is_next_opened(tmp_path: Path) -> None:
    with closing(JsonlLog(tmp_path)) as log, ExitStack() as killed:
        write(log, "a", "b")
        killed.enter_context(log.purging())
        log.purge("a")
        log.purge("b")
        with closing(JsonlLog(tmp_path)) as other:
            assert not is_kept(tmp_path)
            assert {event.stream for event in other.read_all()} == {PURGES}
            write(other, "a")
        assert [event.version for event in log.read("a")] == [1]


def test_who_reads_or_verifies_meanwhile_finds_nothing_wrong(file_store: Store, folder: Path) -> None:
    for run_id in ("one", "two", "three"):
        ended(file_store, run_id)
    with file_store.log.purging():
        file_store.purge_run("one")
        file_store.purge_run("three")
        assert [run.id for run in file_store.list_runs()] == ["two"]
        assert {event.stream for event in file_store.log.read_all()} == {"two", PURGES}
        report = verify_at(f"jsonl:{folder}")
        assert (report.clean, {finding.code for finding in report.findings}) == (True, {"purge-unfinished"})
    assert verify_at(f"jsonl:{folder}").findings == ()
