"""A seal says what a log holds, and a store that has only grown, or was copied, fits it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from eventstore.copying import copy_log
from eventstore.errors import LogCorrupt
from eventstore.log import PURGES, Append, NewEvent
from eventstore.merkle import proof_of, proves
from eventstore.seal import Seal, check_follows, encode_seal
from eventstore.sealing import compare_with_seal, seal_log
from projections import Store, open_store
from tests.stores import ONE_OF_EACH, address_of, completed
from tests.verify.example import lines, make, segments, write_lines

from .forging import NOON, differences, fill

quickly_and_wholly = pytest.mark.parametrize("quick", [False, True], ids=["wholly", "quickly"])


def test_a_seal_has_the_version_and_the_last_hash_of_every_stream(store: Store) -> None:
    fill(store)
    sealed = seal_log(store.log, made_at=NOON)
    assert [head.stream for head in sealed.heads] == [PURGES, "first", "second", "ünïcode / notes"]
    for head in sealed.heads:
        (last,) = store.log.read(head.stream, backward=True, limit=1)
        assert (head.version, head.hash) == (last.version, last.hash)
    statement = sealed.statement
    assert (statement.format, statement.made_at, statement.previous) == (1, NOON, "")
    assert statement.streams == 4
    assert statement.events == len(list(store.log.read_all()))
    assert statement.position == store.log.head()


def test_sealing_appends_nothing(store: Store) -> None:
    fill(store)
    before = list(store.log.read_all())
    assert differences(store.log, seal_log(store.log)) == {}
    assert list(store.log.read_all()) == before


def test_the_same_log_has_the_same_root_again(store: Store) -> None:
    fill(store)
    assert seal_log(store.log).statement.root == seal_log(store.log).statement.root


def test_an_empty_log_can_be_sealed(store: Store) -> None:
    sealed = seal_log(store.log)
    assert (sealed.heads, sealed.statement.events, sealed.statement.position) == ((), 0, 0)
    fill(store)
    assert differences(store.log, sealed) == {}


@quickly_and_wholly
def test_a_store_that_has_grown_fits_its_seal(store: Store, quick: bool) -> None:
    fill(store)
    sealed = seal_log(store.log)
    completed(store, "second", "post")
    store.create_run("flow", run_id="third")
    store.delete_run("first", force=True)
    assert differences(store.log, sealed, quick=quick) == {}


@quickly_and_wholly
def test_a_purge_is_told_and_nothing_else_is_made_of_it(store: Store, quick: bool) -> None:
    fill(store)
    sealed = seal_log(store.log)
    completed(store, "second", "post")
    for stream in ("first", "second"):
        store.log.purge(stream)
    first, second = compare_with_seal(store.log, sealed, quick=quick)
    assert [(found.kind, found.stream) for found in (first, second)] == [("purged", "first"), ("purged", "second")]
    assert first.message.endswith("as version 2 of stream '$purges' says")


@quickly_and_wholly
def test_a_stream_that_was_made_anew_after_a_purge_is_another_one(store: Store, quick: bool) -> None:
    fill(store)
    sealed = seal_log(store.log)
    for _ in range(2):
        store.log.purge("first")
        store.log.append([Append("first", notes(20))])
    assert differences(store.log, sealed, quick=quick) == {"first": "purged"}
    assert differences(store.log, seal_log(store.log), quick=quick) == {}


def notes(count: int) -> list[NewEvent]:
    return [NewEvent(type="notes.taken", data=b"1") for _ in range(count)]


@quickly_and_wholly
@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_a_copy_in_another_store_fits_the_seal(store: Store, kind: str, quick: bool, tmp_path: Path) -> None:
    fill(store)
    sealed = seal_log(store.log)
    with open_store(address_of(kind, tmp_path / "copy"), durability="none") as copy:
        for expected in ({}, {"first": "purged"}):
            copy_log(store.log, store.values.blobs, copy.log, copy.values.blobs)
            assert differences(copy.log, sealed, quick=quick) == expected
            assert seal_log(copy.log).statement.root == seal_log(store.log).statement.root
            store.log.purge("first")


def test_a_seal_names_the_one_before_it(store: Store) -> None:
    fill(store)
    first = seal_log(store.log)
    completed(store, "second", "post")
    second = seal_log(store.log, previous=first)
    assert second.statement.previous == first.statement.digest
    check_follows(second, "second", first)


def test_progress_is_told_of_every_event_or_of_every_stream(store: Store) -> None:
    fill(store)
    told: list[int] = []
    sealed = seal_log(store.log, progress=told.append)
    assert sum(told) == sealed.statement.events
    told.clear()
    assert list(compare_with_seal(store.log, sealed, quick=True, progress=told.append)) == []
    assert sum(told) == sealed.statement.streams


def test_what_comes_after_the_last_sealed_event_is_not_read(store: Store) -> None:
    fill(store)
    sealed, told = seal_log(store.log), list[int]()
    store.log.append([Append("later", notes(50))])
    assert list(compare_with_seal(store.log, sealed, progress=told.append)) == []
    assert sum(told) == sealed.statement.events


def test_what_is_appended_and_purged_meanwhile_is_left_out(store: Store) -> None:
    fill(store)

    def meddle(_: int) -> None:
        if store.log.version("second"):
            store.log.append([Append("later", notes(3)), Append("first", notes(3))])
            store.log.purge("second")

    sealed = seal_log(store.log, progress=meddle)
    found = {head.stream: head.version for head in sealed.heads}
    assert found == {PURGES: 1, "first": 5, "ünïcode / notes": 1}
    assert differences(store.log, sealed) == {}


def test_a_broken_chain_is_not_sealed_and_shows_where_an_old_seal_is_compared(tmp_path: Path) -> None:
    folder = make(tmp_path / "store")
    with open_store(folder) as store:
        sealed = seal_log(store.log)
    change_under_the_old_hashes(folder)
    with open_store(folder) as store:
        assert differences(store.log, sealed, quick=True) == {}
        (found,) = compare_with_seal(store.log, sealed)
        assert (found.kind, found.stream) == ("rewritten", "done")
        assert found.message == "version 1, or the one before it, was changed after it was written"
        with pytest.raises(LogCorrupt, match="stream 'done'"):
            seal_log(store.log)


def change_under_the_old_hashes(folder: Path) -> None:
    """Other words in the first event, with a checksum that is right."""
    segment = segments(folder)[0]
    first, *rest = lines(segment)
    (event,) = first.events
    assert event is not None
    assert isinstance(event.data, msgspec.Raw)
    changed = bytes(event.data).replace(b"Wish you were here", b"Wish I were there!")
    assert changed != bytes(event.data)
    write_lines(segment, [replace(first, events=(replace(event, data=msgspec.Raw(changed)),)), *rest])


def test_the_statement_alone_can_vouch_for_a_single_stream(seal: Seal) -> None:
    leaves = [line.rstrip(b"\n") for line in encode_seal(seal)][1:]
    proof = proof_of(leaves, 2)
    root = bytes.fromhex(seal.statement.root)
    assert proves(proof, leaves[2], 2, seal.statement.streams, root)
    assert not proves(proof, leaves[2].replace(b",", b",1", 1), 2, seal.statement.streams, root)
