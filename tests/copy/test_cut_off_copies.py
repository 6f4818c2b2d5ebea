"""A copy that is cut off anywhere is gone on with; nothing is lost or there twice. And large stores fit through."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Sequence
from contextlib import closing
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from eventstore import copying
from eventstore.blobs import MemoryBlobs
from eventstore.copying import copy_log
from eventstore.jsonl import JsonlLog
from eventstore.log import Append, Checkpoint, Hook, NewEvent, RecordedEvent
from projections import Store, open_store
from tests.crash.children import Children
from tests.stores import ONE_OF_EACH, address_of
from tests.verify.example import fill

from .comparing import THRESHOLD, assert_copies, copy
from .conftest import Open

KEPT = [backend for backend in ONE_OF_EACH if backend != "memory"]


class CutOff(Exception):
    """The copy ends here."""


def cut_off_after(target: Store, restores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the target take so many batches and no more."""
    restore, left = target.log.restore, restores

    def restored(commits: Sequence[Sequence[RecordedEvent]], *, checkpoint: Checkpoint | None = None) -> int:
        nonlocal left
        if left == 0:
            raise CutOff
        left -= 1
        return restore(commits, checkpoint=checkpoint)

    monkeypatch.setattr(target.log, "restore", restored)


def test_a_copy_that_is_cut_off_after_any_batch_goes_on_where_it_was(
    original: Store, target: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(original)
    monkeypatch.setattr(copying, "BATCH_EVENTS", 4)
    there = 0
    for batches in range(3):
        with monkeypatch.context() as patch:
            cut_off_after(target, batches, patch)
            with pytest.raises(CutOff):
                copy(original, target)
        there, before = len(list(target.log.read_all())), there
        assert there >= before + 4 * batches

    assert copy(original, target).new_events == 33 - there
    assert_copies(original, target)


class Announcing(Hook):
    """Tells the test of every batch, and goes on when it is told to."""

    def __init__(self, test: Connection, views: Hook | None) -> None:
        self._test, self._views = test, views

    def committed(self, events: Sequence[RecordedEvent]) -> None:
        self._test.send(len(events))
        self._test.recv()
        if self._views is not None:
            self._views.committed(events)


def copy_and_tell(test: Connection, source: str, target: str) -> int:
    copying.BATCH_EVENTS = 5
    with open_store(source) as old, open_store(target) as new:
        new.log.hook = Announcing(test, new.log.hook)
        return copy(old, new).new_events


@pytest.mark.parametrize("backend", KEPT)
def test_a_copy_that_is_killed_goes_on_where_it_was(
    tmp_path: Path, children: Children, opened: Open, backend: str
) -> None:
    """Killed once after each batch, before the views have heard of it."""
    with open_store(tmp_path / "source", durability="none", threshold=THRESHOLD) as source:
        fill(source)
    there = 0
    for batches in (1, 2, 1):
        child = children.start(copy_and_tell, f"jsonl:{tmp_path / 'source'}", address_of(backend, tmp_path / "target"))
        for batch in range(batches):
            there += child.receive()
            if batch < batches - 1:
                child.send("go on")
        child.kill()
        child.end()

    with open_store(tmp_path / "source") as source:
        target = opened(backend, "target")
        assert copy(source, target).new_events == 33 - there
        assert_copies(source, target)


def test_a_checkpoint_that_no_longer_fits_only_costs_time(original: Store, target: Store) -> None:
    """The source's first event is gone, so its name is another; or the target was set back to an older state."""
    fill(original)
    copy(original, target)
    original.log.purge("done")
    copied = copy(original, target)
    assert (copied.new_events, copied.differences) == (1, ())
    assert_copies(original, target)
    (name,) = (n for n, p in target.log.checkpoints().items() if p == original.log.head())
    target.log.append([], checkpoint=Checkpoint(name, 10**6))
    original.create_run("late")
    assert copy(original, target).new_events == 1
    assert_copies(original, target)


def peak_of(work: Callable[[], object]) -> int:
    """The most bytes that the work had in memory at a time."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_large_store_needs_no_more_memory_than_a_batch(tmp_path: Path) -> None:
    data = bytes(range(256)) * 1024 * 2
    with (
        closing(JsonlLog(tmp_path / "source", durability="none")) as source,
        closing(JsonlLog(tmp_path / "target", durability="none")) as target,
    ):
        for number in range(100):
            source.append([Append(f"s-{number}", [NewEvent(type="t.t", data=data)])])
        peak = peak_of(lambda: copy_log(source, MemoryBlobs(), target, MemoryBlobs()))
        assert target.head() == 100
    assert peak < 100 * len(data) / 2
