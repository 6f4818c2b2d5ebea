"""A copy says the same as what it is a copy of, wherever the two are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any
from uuid import UUID

import msgspec
import pytest

from eventstore.blobs import MemoryBlobs
from eventstore.copying import COPY, copy_blobs, copy_log
from eventstore.errors import BlobCorrupt, BlobMissing, Conflict
from eventstore.log import PURGES, Append, Checkpoint, Hook, NewEvent, RecordedEvent
from eventstore.memory import MemoryLog
from projections import Store
from tests.verify.example import complete, fill

from .comparing import assert_copies, blobs_of, consumers_of, copy, said, views_of
from .conftest import Open


def go_on(store: Store) -> None:
    """What may happen to the example after it was copied: more of a run, and purges, after which a run begins anew."""
    store.resume("going on", worker="three", force=True)
    store.schedule_task("going on", "sign")
    complete(store, "going on", "sign", "Yours, " * 40)
    store.log.purge("done")
    store.create_run("letters", run_id="done", user_message="again")
    store.log.purge("failed")
    store.delete_run("going on", force=True)
    store.log.append([Append("$notes", [NewEvent(type="notes.taken", data=b"")])], checkpoint=Checkpoint("reader", 12))


def test_a_copy_between_any_two_kinds_of_stores_says_the_same(source: Store, target: Store) -> None:
    fill(source)

    copied = copy(source, target)

    assert_copies(source, target)
    assert copied.differences == ()
    assert (copied.events, copied.new_events, copied.blobs, copied.new_blobs) == (33, 33, 2, 2)


def test_a_copy_goes_round_all_kinds_of_stores_and_comes_back_as_it_was(source: Store, opened: Open) -> None:
    fill(source)
    back = opened("memory", "back")
    via = opened("jsonl", "via")
    copy(source, via)
    copy(via, back)
    assert_copies(source, back)
    assert back.get_result("done", "fold") == {"folds": 2}


def test_what_events_hold_is_not_looked_into(original: Store, target: Store) -> None:
    datas = [b"", b"\xff\n\0", b'{"a":1,"a":2}', b"[1.0,1e400]\n", b"[" * 1000 + b"]" * 1000]
    meta = {"b": "ü\n", "a": ""}
    for number, data in enumerate(datas):
        one = NewEvent(type="é", data=data, id=UUID(int=number), schema=7, meta=meta)
        two = NewEvent(type="notes.taken", data=data, content_type="text/plain")
        original.log.append([Append("é/..", [one, two]), Append(f"s {number}", [NewEvent(type="t.t", data=data)])])

    assert copy(original, target).differences == ()

    assert said(target) == said(original)
    assert [list(event.meta) for event in target.log.read("é/..", limit=1)] == [["b", "a"]]


def test_copying_again_changes_nothing(original: Store, target: Store) -> None:
    fill(original)
    copy(original, target)
    before = (list(target.log.read_all()), target.log.checkpoints(), target.log.head())

    copied = copy(original, target)

    assert (copied.events, copied.new_events, copied.blobs, copied.new_blobs) == (33, 0, 2, 0)
    assert (list(target.log.read_all()), target.log.checkpoints(), target.log.head()) == before


def test_a_later_copy_brings_what_has_happened_since_with_its_purges(source: Store, target: Store) -> None:
    fill(source)
    copy(source, target)
    go_on(source)

    copied = copy(source, target)

    assert copied.differences == ()
    assert 0 < copied.new_events < copied.events
    assert_copies(source, target)
    assert [e.version for e in target.log.read("done")] == [1]
    assert target.log.version(PURGES) == 3


def test_a_copy_of_a_store_that_was_purged_says_the_same(source: Store, target: Store) -> None:
    fill(source)
    go_on(source)
    assert copy(source, target).differences == ()
    assert_copies(source, target)


def test_a_copy_can_be_gone_on_with_in_its_place(original: Store, target: Store) -> None:
    fill(original)
    copy(original, target)
    for store in (original, target):
        store.resume("going on", worker="three", force=True)
        store.schedule_task("going on", "post")
        complete(store, "going on", "post", "posted")
        store.complete_run("going on")
    assert target.get_result("going on", "write") == original.get_result("going on", "write")
    assert target.verify().clean


def test_an_empty_store_has_an_empty_copy(source: Store, target: Store) -> None:
    copied = copy(source, target)
    assert (copied.events, copied.blobs, copied.differences) == (0, 0, ())
    assert target.log.head() == 0


def test_consumers_are_where_they_were(source: Store, target: Store) -> None:
    """Positions in the copy are others: it has no gaps where something was purged before."""
    source.log.append([Append("gone", [NewEvent(type="t.t", data=b"") for _ in range(10)])])
    source.log.purge("gone")
    fill(source)
    seen = {"reader": 20, "none yet": 0, "before all": 3, "far ahead": 10**6, "at the end": source.log.head()}
    for name, position in seen.items():
        source.log.append([], checkpoint=Checkpoint(name, position))

    assert copy(source, target).checkpoints == 5

    for name, position in consumers_of(target).items():
        ahead = [event.id for event in target.log.read_all(after=position)]
        assert ahead == [event.id for event in source.log.read_all(after=seen[name])]
    assert consumers_of(target).keys() == seen.keys()


def test_consumers_that_have_moved_are_moved_in_the_copy(original: Store, target: Store) -> None:
    fill(original)
    copy(original, target)
    assert consumers_of(target)["reader"] == consumers_of(original)["reader"]
    original.log.append([], checkpoint=Checkpoint("reader", original.log.head()))
    copy(original, target)
    assert consumers_of(target)["reader"] == target.log.head()


def test_how_far_a_copy_has_come_is_not_copied_with_it(original: Store, opened: Open, target: Store) -> None:
    fill(original)
    between = opened("memory", "between")
    copy(original, between)
    copy(between, target)
    (name,) = (name for name in target.log.checkpoints() if name.startswith(COPY))
    assert target.log.checkpoints()[name] == between.log.head()


@pytest.mark.parametrize("before", [True, False])
def test_a_store_with_events_of_its_own_is_no_copy_and_stays_as_it_is(
    original: Store, target: Store, before: bool
) -> None:
    if not before:
        fill(original)
        copy(original, target)
    target.create_run("other", run_id="own")
    complete_store, blobs = said(target), blobs_of(target)
    if before:
        fill(original)
    go_on(original)

    with pytest.raises(Conflict, match="'own'") as caught:
        copy(original, target)

    assert caught.value.hint
    assert (said(target), blobs_of(target)) == (complete_store, blobs)


def test_a_store_that_has_only_some_of_the_events_is_no_copy(original: Store, target: Store) -> None:
    fill(original)
    target.log.restore([list(original.log.read("failed"))[:1]])
    with pytest.raises(Conflict, match="'failed'"):
        copy(original, target)
    assert len(list(target.log.read_all())) == 1


def test_a_copy_of_which_no_progress_was_noted_is_gone_on_with(original: Store, target: Store) -> None:
    """As a process leaves it that is killed in its first batch."""
    fill(original)
    commits = [[event] for event in original.log.read_all(limit=2)]
    assert commits[0][0].commit != commits[1][0].commit
    target.log.restore(commits)
    copied = copy(original, target)
    assert (copied.events, copied.new_events, copied.differences) == (33, 31, ())
    assert_copies(original, target)


class Meanwhile(Hook):
    """Does something, once, when the copy has its first events. Then tells whom it stands before."""

    def __init__(self, action: Callable[[], object], views: Hook | None) -> None:
        self._action: Callable[[], object] | None = action
        self._views = views

    def committed(self, events: Sequence[RecordedEvent]) -> None:
        action, self._action = self._action, None
        if action is not None:
            action()
        if self._views is not None:
            self._views.committed(events)


def test_what_happens_to_the_source_meanwhile_is_left_to_the_next_copy(
    original: Store, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventstore.copying.BATCH_EVENTS", 3)
    fill(original)
    target = opened("memory", "target")
    target.log.hook = Meanwhile(lambda: original.create_run("late", run_id="late"), target.log.hook)

    assert (copy(original, target).events, target.get_run("late")) == (33, None)

    assert copy(original, target).new_events == 1
    assert_copies(original, target)


@pytest.mark.parametrize("purged", ["done", "going on", "failed"])
def test_a_purge_in_the_source_meanwhile_is_followed(
    original: Store, opened: Open, monkeypatch: pytest.MonkeyPatch, purged: str
) -> None:
    """Whether it takes away what has been copied already or what has not."""
    monkeypatch.setattr("eventstore.copying.BATCH_EVENTS", 3)
    fill(original)
    target = opened("memory", "target")
    target.log.hook = Meanwhile(lambda: original.log.purge(purged), target.log.hook)
    assert copy(original, target).differences == ()
    assert_copies(original, target)


class Inexact(MemoryLog):
    """A log that does not give back what it was given."""

    def __init__(self, **fields: Any) -> None:
        super().__init__()
        self._fields = fields

    def read_all(self, **limits: Any) -> Iterator[RecordedEvent]:
        for event in super().read_all(**limits):
            changed = msgspec.structs.replace(event, **self._fields) if event.version == 2 else event
            if self._fields:
                yield changed
            elif event.version != 2:
                yield event


@pytest.mark.parametrize(
    "fields",
    [
        {"data": b"[]"},
        {"type": "other"},
        {"schema": 9},
        {"content_type": "text/plain"},
        {"meta": {"a": "b"}},
        {"hash": ""},
        {"version": 3},
        {"stream": "other"},
        {"id": UUID(int=0)},
        {"commit": 999},
        {},
    ],
    ids=lambda fields: next(iter(fields), "lost"),
)
def test_a_target_that_does_not_keep_what_it_is_given_is_found_out(original: Store, fields: dict[str, Any]) -> None:
    original.log.append([Append("a", [NewEvent(type="t.t", data=b"1") for _ in range(3)])])
    original.log.append([], checkpoint=Checkpoint("reader", 1))
    with closing(Inexact(**fields)) as target:
        copied = copy_log(original.log, MemoryBlobs(), target, MemoryBlobs())
        assert copied.differences
        assert any(name in copied.differences[0] for name in [*fields, "version 2"])
        assert "reader" not in target.checkpoints()


def test_only_the_first_differences_are_told(original: Store) -> None:
    for number in range(40):
        original.log.append([Append(f"s-{number}", [NewEvent(type="t.t", data=b"1") for _ in range(2)])])
    with closing(Inexact(data=b"2")) as target:
        assert len(copy_log(original.log, MemoryBlobs(), target, MemoryBlobs()).differences) == 10


class Forgetful(MemoryBlobs):
    """Blobs that are listed and cannot be read."""

    def __init__(self, error: type[Exception]) -> None:
        super().__init__()
        self._error = error

    def get(self, digest: str) -> bytes:
        raise self._error(digest)


@pytest.mark.parametrize("error", [BlobMissing, BlobCorrupt])
def test_a_blob_that_the_target_does_not_keep_is_found_out(original: Store, error: type[Exception]) -> None:
    fill(original)
    with closing(MemoryLog()) as target:
        copied = copy_log(original.log, original.values.blobs, target, Forgetful(error))
    digests = sorted(blobs_of(original))
    assert [digest in text for digest, text in zip(digests, copied.differences, strict=True)] == [True, True]


def test_a_damaged_blob_of_the_source_ends_the_copy_before_its_events(original: Store, target: Store) -> None:
    fill(original)
    damaged = Forgetful(BlobCorrupt)
    damaged.put(b"x" * 1000)
    with pytest.raises(BlobCorrupt):
        copy_log(original.log, damaged, target.log, target.values.blobs)
    assert target.log.head() == 0


def test_a_blob_that_is_collected_while_it_is_copied_is_needed_no_more(original: Store, target: Store) -> None:
    fill(original)
    collected = Forgetful(BlobMissing)
    collected.put(b"nothing refers to it")
    assert copy_blobs(collected, target.values.blobs) == 0
    assert list(target.values.blobs.digests()) == []


def test_views_can_be_made_again_from_a_copy(original: Store, target: Store) -> None:
    fill(original)
    copy(original, target)
    kept = views_of(target)
    target.rebuild()
    assert views_of(target) == kept == views_of(original)
