"""State store: executions are found by state, workflow, time and metadata, page by page, with a total."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from projections import StateStore, Store
from projections.run_filter import ChosenRuns
from tests.stores import NOON, Clock

STATES = ("pending", "running", "waiting", "completed", "failed", "cancelled")
MANY = 24


@pytest.fixture
def states(store: Store, clock: Clock) -> StateStore:
    """Executions of four workflows, six an hour from noon on, one in each state; the metadata say which."""
    states = StateStore(store)
    for number in range(MANY):
        clock.time = NOON + timedelta(hours=number // 6)  # the time is the same all through an hour
        state = STATES[number % 6]
        metadata = {"state": state, "even": number % 2 == 0, "tags": ["x", number % 3]}
        states.create_execution(f"w{number % 4}", execution_id=f"{number:02d}", metadata=metadata)
        if state in ("waiting", "completed"):
            states.update_execution(f"{number:02d}", "running")
        if state != "pending":
            error = "no" if state == "failed" else None
            states.update_execution(f"{number:02d}", state, error=error)
    return states


def numbers(store: StateStore, **wanted: Any) -> list[int]:
    page = store.query_executions(limit=100, **wanted)
    assert page.total == len(page.items)
    return [int(run.id) for run in page.items]


Chosen = Callable[[int], bool]
FILTERS: dict[str, tuple[dict[str, Any], Chosen]] = {
    "state": ({"states": "running"}, lambda number: number % 6 == 1),
    "states": ({"states": ["failed", "pending"]}, lambda number: number % 6 in (0, 4)),
    "no state": ({"states": []}, lambda _: False),
    "workflow": ({"workflow_id": "w3"}, lambda number: number % 4 == 3),
    "unknown workflow": ({"workflow_id": "w"}, lambda _: False),
    "from": ({"created_from": NOON + timedelta(hours=2)}, lambda number: number >= 12),
    "before": ({"created_before": NOON + timedelta(hours=2)}, lambda number: number < 12),
    "metadata": ({"metadata": {"even": True, "tags": ["x", 0]}}, lambda number: number % 6 == 0),
    "metadata of another type": ({"metadata": {"even": 1}}, lambda _: False),
    "all at once": (
        {
            "states": ["running", "completed"],
            "workflow_id": "w1",
            "created_from": NOON + timedelta(hours=1),
            "created_before": NOON + timedelta(hours=3),
            "metadata": {"even": False},
        },
        lambda number: number % 6 in (1, 3) and number % 4 == 1 and 6 <= number < 18,
    ),
}


@pytest.mark.parametrize("by", FILTERS)
def test_s1_13_executions_are_filtered(states: StateStore, by: str) -> None:
    wanted, chosen = FILTERS[by]
    assert numbers(states, **wanted) == [number for number in range(MANY) if chosen(number)]


@pytest.mark.parametrize("by", ["state", "workflow", "from", "before", "metadata"])
def test_s1_13_a_filter_looks_at_no_execution_that_an_index_can_leave_out(file_store: Store, by: str) -> None:
    filters = {name.replace("states", "status"): value for name, value in FILTERS[by][0].items()}
    statement = ChosenRuns(**filters).total()
    with file_store.views.at_once() as session:
        steps = [step for *_, step in session.rows(f"EXPLAIN QUERY PLAN {statement.text}", statement.arguments)]
    assert not [step for step in steps if step.startswith("SCAN workflow_runs")]


def test_s1_13_a_range_of_time_has_its_beginning_and_not_its_end(states: StateStore) -> None:
    moments = [run.created_at for run in states.query_executions(limit=100).items]
    assert len(set(moments)) == MANY // 6
    assert numbers(states, created_from=moments[6], created_before=moments[12]) == list(range(6, 12))
    assert numbers(states, created_from=moments[6], created_before=moments[6]) == []
    abroad = timezone(timedelta(hours=5, minutes=30))
    assert moments[18] is not None
    assert numbers(states, created_from=moments[18].astimezone(abroad)) == list(range(18, 24))


def test_s1_13_a_time_without_a_zone_and_an_unknown_state_are_errors(states: StateStore) -> None:
    with pytest.raises(ValueError, match="time zone"):
        states.query_executions(created_from=datetime(2026, 1, 31))
    with pytest.raises(ValueError, match="time zone"):
        states.count_executions(created_before=datetime(2026, 1, 31))
    with pytest.raises(ValueError, match="RUNING"):
        states.query_executions(states="RUNING")


def test_s1_14_a_page_comes_with_the_total_and_where_it_stands(states: StateStore) -> None:
    page = states.query_executions(states=["running", "failed"], offset=2, limit=3)
    assert [int(run.id) for run in page.items] == [7, 10, 13]
    assert (page.total, page.offset, page.limit) == (8, 2, 3)


def test_s1_14_past_the_end_and_without_a_limit_to_fill_there_is_still_the_total(states: StateStore) -> None:
    beyond = states.query_executions(offset=MANY, limit=5)
    assert (beyond.items, beyond.total, beyond.next_after) == ((), MANY, None)
    nothing = states.query_executions(workflow_id="w1", limit=0)
    assert (nothing.items, nothing.total) == ((), MANY // 4)
    with pytest.raises(ValueError, match="-1"):
        states.query_executions(offset=-1)
    with pytest.raises(ValueError, match="-1"):
        states.query_executions(limit=-1)


@pytest.mark.parametrize("newest_first", [False, True])
def test_s1_14_walking_through_pages_of_equal_times_misses_and_repeats_nothing(
    store: Store, clock: Clock, *, newest_first: bool
) -> None:
    states = StateStore(store)
    clock.step = timedelta()
    for number in range(MANY):
        states.create_execution("w", execution_id=f"{number:02d}")
    seen = []
    for offset in range(0, MANY, 5):
        page = states.query_executions(offset=offset, limit=5, newest_first=newest_first)
        seen += [int(run.id) for run in page.items]
    assert seen == sorted(range(MANY), reverse=newest_first)


def test_s1_14_a_cursor_walks_on_while_executions_are_created(states: StateStore) -> None:
    page = states.store.page_runs(limit=10, newest_first=True)
    seen = [run.id for run in page.items]
    while page.next_after is not None:
        states.create_execution("w", execution_id=f"new {len(seen)}")
        page = states.store.page_runs(limit=10, newest_first=True, after=page.next_after)
        seen += [run.id for run in page.items]
    assert seen == [f"{number:02d}" for number in reversed(range(MANY))]


def test_s1_14_executions_are_counted_by_state_under_the_same_filter(states: StateStore) -> None:
    assert states.count_executions() == dict.fromkeys(STATES, MANY // 6)
    counts = states.count_executions(workflow_id="w0", created_before=NOON + timedelta(hours=1))
    assert counts == {**dict.fromkeys(STATES, 0), "pending": 1, "failed": 1}
    assert counts.keys() == set(STATES)
    assert (
        sum(counts.values())
        == states.query_executions(workflow_id="w0", created_before=(NOON + timedelta(hours=1)).astimezone(UTC)).total
    )
