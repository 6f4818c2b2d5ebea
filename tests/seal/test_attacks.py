"""Whatever somebody makes of a store, sound in itself or not: a seal names the streams that are not what they were."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from eventstore.log import PURGES, Append, NewEvent, RecordedEvent
from eventstore.memory import MemoryLog
from eventstore.purges import STREAM_PURGED
from eventstore.seal import BadSeal, check_follows
from eventstore.sealing import compare_with_seal, seal_log
from projections import Store, open_store
from tests.stores import verify_at
from tests.verify.example import make, raw_lines, segments

from .forging import commits_of, differences, fill, forged, without

quickly_and_wholly = pytest.mark.parametrize("quick", [False, True], ids=["wholly", "quickly"])


class Unguarded(MemoryLog):
    """Takes records of purges that nobody made."""

    def forge_purge(self, data: bytes) -> None:
        with self._open():
            self._append([Append(PURGES, [NewEvent(type=STREAM_PURGED, data=data)])])


def something_else(event: RecordedEvent) -> RecordedEvent:
    """Another addressee in everything that was written to everybody."""
    return replace(event, data=event.data.replace(b"Dear everybody", b"Dear nobody"))


@quickly_and_wholly
def test_an_end_that_was_cut_off_shows(store: Store, other: Store, quick: bool) -> None:
    fill(store)
    sealed = seal_log(store.log)
    other.log.restore(commits_of(store)[:-1])
    (found,) = compare_with_seal(other.log, sealed, quick=quick)
    assert (found.stream, found.kind) == ("second", "truncated")
    assert found.message == "it ends with version 5, and was sealed at version 6"


@quickly_and_wholly
def test_every_shorter_log_shows(store: Store, other: Store, quick: bool) -> None:
    fill(store)
    sealed, commits = seal_log(store.log), commits_of(store)
    for commit in commits:
        found = differences(other.log, sealed, quick=quick)
        assert found
        assert set(found.values()) <= {"truncated", "missing"}
        other.log.restore([commit])
    assert differences(other.log, sealed, quick=quick) == {}


@quickly_and_wholly
def test_a_store_that_was_written_anew_shows_although_all_its_hashes_are_right(
    store: Store, other: Store, quick: bool
) -> None:
    fill(store)
    sealed = seal_log(store.log)
    other.log.restore(forged(commits_of(store), something_else))
    assert other.verify().clean
    assert differences(other.log, sealed, quick=quick) == {"first": "rewritten"}


@quickly_and_wholly
def test_a_stream_that_was_left_out_shows(store: Store, other: Store, quick: bool) -> None:
    fill(store)
    sealed = seal_log(store.log)
    other.log.restore(without(commits_of(store), "first"))
    assert other.verify().clean
    (found,) = compare_with_seal(other.log, sealed, quick=quick)
    assert (found.stream, found.kind) == ("first", "missing")
    assert found.message == "it is gone; 5 events of it were sealed"


@quickly_and_wholly
def test_the_record_of_an_earlier_purge_cannot_be_left_out(store: Store, other: Store, quick: bool) -> None:
    fill(store)
    sealed = seal_log(store.log)
    other.log.restore(without(commits_of(store), PURGES))
    assert differences(other.log, sealed, quick=quick) == {PURGES: "missing"}


@quickly_and_wholly
def test_a_purge_does_not_excuse_what_was_cut_off_before_it(store: Store, other: Store, quick: bool) -> None:
    fill(store)
    sealed = seal_log(store.log)
    other.log.restore(commits_of(store)[:-1])
    other.log.purge("second")
    (found,) = compare_with_seal(other.log, sealed, quick=quick)
    assert (found.stream, found.kind) == ("second", "truncated")
    assert found.message == "it was purged when it ended with version 5, and was sealed at 6"


@quickly_and_wholly
def test_a_purge_does_not_excuse_what_was_rewritten_before_it(store: Store, other: Store, quick: bool) -> None:
    fill(store)
    sealed = seal_log(store.log)
    other.log.restore(forged(commits_of(store), something_else))
    other.log.purge("first")
    assert differences(other.log, sealed, quick=quick) == {"first": "rewritten"}


@quickly_and_wholly
def test_a_record_of_a_purge_that_cannot_be_read_excuses_nothing(quick: bool) -> None:
    with closing(Unguarded()) as log:
        log.append([Append("first", [NewEvent(type="notes.taken", data=b"1")])])
        sealed = seal_log(log)
        log.purge("first")
        assert differences(log, sealed, quick=quick) == {"first": "purged"}
    with closing(Unguarded()) as log:
        log.forge_purge(b'{"stream":"first"}')
        assert differences(log, sealed, quick=quick) == {"first": "missing"}


@quickly_and_wholly
def test_another_store_in_its_place_shows(store: Store, other: Store, quick: bool) -> None:
    fill(store)
    fill(other)
    expected = dict.fromkeys([PURGES, "first", "second", "ünïcode / notes"], "rewritten")
    assert differences(other.log, seal_log(store.log), quick=quick) == expected


def test_an_older_seal_in_the_place_of_the_last_shows_when_held_against_the_one_before(store: Store) -> None:
    fill(store)
    first = seal_log(store.log)
    second = seal_log(store.log, previous=first)
    third = seal_log(store.log, previous=second)
    check_follows(third, "last.seal", second)
    for put_there in (first, second):
        with pytest.raises(BadSeal, match=r"last\.seal: it follows another seal"):
            check_follows(put_there, "last.seal", second)


@pytest.mark.parametrize("lost", [2, 5])
def test_files_cut_off_at_the_end_of_a_commit_show_without_index_and_views(tmp_path: Path, lost: int) -> None:
    folder = make(tmp_path / "store")
    with open_store(folder) as store:
        sealed = seal_log(store.log)
    last = segments(folder)[-1]
    last.write_bytes(b"".join(raw_lines(last)[:-lost]))
    for name in ("_log/index.db", "_views.db"):
        (folder / name).unlink()
    assert {finding.severity for finding in verify_at(f"jsonl:{folder}").findings} == {"info"}
    with open_store(folder) as store:
        store.rebuild()
        assert verify_at(f"jsonl:{folder}").clean
        found = differences(store.log, sealed)
    assert found
    assert set(found.values()) <= {"truncated", "missing"}
