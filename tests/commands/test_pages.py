"""Pages of runs: by offset with a total, by cursor while others write, and nothing twice or missing on the way."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest

from eventstore.errors import InvalidInput
from projections import Page, Store
from projections.transitions import RUN_STEPS
from tests.stores import Clock


def runs(store: Store, count: int, *, workflow: str = "flow") -> list[str]:
    """So many runs, all created at one moment, and their ids in the order of creation."""
    ids = [f"{workflow} {number}" for number in reversed(range(count))]
    for run_id in ids:
        store.create_run(workflow, run_id=run_id)
    return ids


def ids_of(page: Page) -> list[str]:
    return [run.id for run in page.items]


@pytest.fixture
def clock() -> Clock:
    """One that stands still: order must not hang on the time."""
    return Clock(step=timedelta(0))


def test_a_page_says_how_many_runs_there_are_in_all(store: Store) -> None:
    ids = runs(store, 10)
    runs(store, 3, workflow="other")
    page = store.page_runs(workflow="flow", offset=4, limit=3)
    assert (ids_of(page), page.total, page.offset, page.limit) == (ids[4:7], 10, 4, 3)
    assert page.items == tuple(store.list_runs(workflow="flow")[4:7])
    assert store.page_runs().total == 13
    assert store.page_runs(workflow="unknown") == Page((), 0, 0, 50, None)


@pytest.mark.parametrize("size", [1, 3, 10, 11])
@pytest.mark.parametrize("newest_first", [False, True])
def test_pages_have_every_run_once_though_all_are_of_one_moment(store: Store, size: int, newest_first: bool) -> None:
    ids = runs(store, 10)[:: -1 if newest_first else 1]
    by_offset: list[str] = []
    while page := ids_of(store.page_runs(offset=len(by_offset), limit=size, newest_first=newest_first)):
        by_offset += page
    by_cursor, after = [], 0
    while True:
        at = store.page_runs(after=after, limit=size, newest_first=newest_first)
        by_cursor += ids_of(at)
        assert at.total == 10
        if at.next_after is None:
            break
        after = at.next_after
    assert by_offset == by_cursor == ids


@pytest.mark.parametrize("newest_first", [False, True])
def test_walking_by_cursor_is_not_disturbed_by_new_runs(store: Store, newest_first: bool) -> None:
    ids = runs(store, 7)[:: -1 if newest_first else 1]
    first = store.page_runs(limit=3, newest_first=newest_first)
    new = [store.create_run("flow").id, store.create_run("flow").id]
    assert first.next_after == first.items[-1].position
    second = store.page_runs(after=first.next_after, limit=10, newest_first=newest_first)
    assert ids_of(first) + ids_of(second) == (ids if newest_first else ids + new)
    assert (first.total, second.total, second.next_after) == (7, 9, None)
    assert store.list_runs(after=first.next_after, newest_first=newest_first) == list(second.items)


def test_the_last_page_has_no_next_even_if_it_is_full(store: Store) -> None:
    runs(store, 6)
    assert store.page_runs(limit=3).next_after is not None
    assert store.page_runs(limit=3, offset=3).next_after is None
    assert store.page_runs(limit=6).next_after is None


def test_past_the_end_there_is_nothing_but_the_total(store: Store) -> None:
    runs(store, 4)
    for offset in (4, 5, 2**63, 10**30):
        assert store.page_runs(offset=offset) == Page((), 4, offset, 50, None)
    assert store.page_runs(after=10**30).items == ()
    assert store.list_runs(after=2**63) == []


def test_a_limit_of_nothing_gives_the_total_and_an_endless_one_everything(store: Store) -> None:
    ids = runs(store, 4)
    assert store.page_runs(limit=0, offset=2) == Page((), 4, 2, 0, None)
    for limit in (2**63 - 1, 10**30):
        assert ids_of(store.page_runs(limit=limit)) == [run.id for run in store.list_runs(limit=limit)] == ids


@pytest.mark.parametrize("number", [-1, -(10**30)])
def test_what_is_negative_is_refused(store: Store, number: int) -> None:
    asked: dict[str, Callable[[], object]] = {
        "offset": lambda: store.page_runs(offset=number),
        "limit": lambda: store.page_runs(limit=number),
        "after": lambda: store.list_runs(after=number),
    }
    for name, ask in asked.items():
        with pytest.raises(ValueError, match=f"{name} of -1") as caught:
            ask()
        assert isinstance(caught.value, InvalidInput)


def test_the_total_leaves_out_what_the_page_leaves_out(store: Store) -> None:
    ids = runs(store, 5)
    store.delete_run(ids[1], force=True)
    store.start_run(ids[2])
    assert (store.page_runs().total, store.page_runs(include_deleted=True).total) == (4, 5)
    assert store.page_runs(status="running", limit=0).total == 1
    assert store.page_runs(status=[]).total == 0


def test_runs_are_counted_in_every_status(store: Store) -> None:
    assert store.count_runs() == dict.fromkeys(RUN_STEPS, 0)
    ids = runs(store, 5)
    runs(store, 2, workflow="other")
    store.start_run(ids[0])
    store.fail_run(ids[1], "no")
    store.delete_run(ids[2], force=True)
    assert store.count_runs() == {**dict.fromkeys(RUN_STEPS, 0), "pending": 4, "running": 1, "failed": 1}
    assert store.count_runs(workflow="other")["pending"] == 2
    assert store.count_runs(include_deleted=True)["cancelled"] == 1
    assert list(store.count_runs()) == list(RUN_STEPS)


def test_items_and_total_are_of_one_moment_while_others_write(store: Store) -> None:
    done = threading.Event()

    def write() -> None:
        try:
            for _ in range(60):
                store.create_run("flow")
        finally:
            done.set()

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    while not done.is_set():
        page = store.page_runs(limit=1_000)
        assert len(page.items) == page.total
    writer.join()
    assert store.page_runs(limit=0).total == 60
