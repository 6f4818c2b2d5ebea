"""Runs are found by what they are: status, workflow, time of creation, metadata, parent, and all of it together."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from itertools import product
from typing import Any

import pytest
from msgspec import Raw

from eventstore.errors import InvalidInput, InvalidValue
from eventstore.events import RunUpdated
from eventstore.log import Append
from eventstore.session import Statement
from eventstore.values import encode_value
from projections import Run, Store
from projections.run_filter import ChosenRuns
from projections.transitions import RUN_STEPS
from tests.stores import NOON, Clock

HOUR = timedelta(hours=1)

Wanted = Mapping[str, Any]

CONDITIONS: Mapping[str, tuple[object, Callable[[Run], bool]]] = {
    "status": (["pending", "failed"], lambda run: run.status in ("pending", "failed")),
    "workflow": ("weekly", lambda run: run.workflow_name == "weekly"),
    "workflow_id": ("w", lambda run: run.workflow_id == "w"),
    "parent": ("0", lambda run: run.parent_run_id == "0"),
    "created_from": (NOON + 2 * HOUR, lambda run: created(run) >= NOON + 2 * HOUR),
    "created_before": (NOON + 5 * HOUR, lambda run: created(run) < NOON + 5 * HOUR),
    "metadata": ({"team": "red", "level": 1}, lambda run: has(run, team="red") and has(run, level=1)),
}


def created(run: Run) -> datetime:
    assert run.created_at is not None
    return run.created_at


def has(run: Run, **pairs: object) -> bool:
    return (run.metadata or {}).items() >= pairs.items()


def many_runs(store: Store, clock: Clock) -> None:
    """Runs of every kind, several of them in each hour, by a clock that was set back meanwhile."""
    clock.step = timedelta(0)
    for number in range(48):
        clock.time = NOON + (number * 5 % 7) * HOUR
        run_id = str(number)
        store.create_run(
            "weekly" if number % 2 else "daily",
            run_id=run_id,
            workflow_id="w" if number % 3 else None,
            parent_run_id="0" if number % 4 else None,
            metadata={"team": "red" if number % 3 else "blue", "level": number % 2, "number": number},
        )
        if number % 5 == 1:
            store.fail_run(run_id, "no")
        elif number % 5 == 2:
            store.start_run(run_id)
        elif number % 16 == 3:
            store.delete_run(run_id, force=True)


def found(store: Store, wanted: Wanted) -> list[str]:
    """The runs' ids; whichever way it is asked, the answer is the same."""
    runs = store.list_runs(**wanted)
    assert store.list_runs(newest_first=True, **wanted) == runs[::-1]
    assert store.page_runs(limit=1, **wanted).total == len(runs)
    counts = store.count_runs(**{name: value for name, value in wanted.items() if name != "status"})
    assert list(counts) == list(RUN_STEPS)
    for status in wanted.get("status", RUN_STEPS):
        assert counts[status] == [run.status for run in runs].count(status)
    return [run.id for run in runs]


def test_all_conditions_can_be_combined(store: Store, clock: Clock) -> None:
    many_runs(store, clock)
    everything = store.list_runs(include_deleted=True)
    assert [run.id for run in everything] == [str(number) for number in range(48)]
    for chosen in product([False, True], repeat=len(CONDITIONS)):
        names = [name for name, asked in zip(CONDITIONS, chosen, strict=True) if asked]
        wanted: Wanted = {name: CONDITIONS[name][0] for name in names}
        fitting = [run for run in everything if all(CONDITIONS[name][1](run) for name in names)]
        assert [run.id for run in store.list_runs(**wanted, include_deleted=True)] == [run.id for run in fitting]
        if len(names) < 3:
            assert found(store, wanted) == [run.id for run in fitting if run.deleted_at is None]


def test_a_condition_that_is_none_is_no_condition(store: Store, clock: Clock) -> None:
    many_runs(store, clock)
    assert found(store, {**dict.fromkeys(CONDITIONS), "status": list(RUN_STEPS)}) == found(store, {})
    assert found(store, {"metadata": {}}) == found(store, {})


def test_the_range_of_creation_has_its_begin_and_not_its_end(store: Store, clock: Clock) -> None:
    clock.step = timedelta(microseconds=1)
    clock.time = NOON - clock.step
    store.create_run("flow", run_id="noon")
    store.create_run("flow", run_id="just after")
    after = NOON + clock.step
    assert found(store, {"created_from": NOON, "created_before": after}) == ["noon"]
    assert found(store, {"created_from": after}) == ["just after"]
    assert found(store, {"created_before": NOON}) == found(store, {"created_from": NOON, "created_before": NOON}) == []


def test_times_are_compared_wherever_their_clocks_are(store: Store) -> None:
    store.create_run("flow", run_id="run")
    for hours in (-11, 0, 5.5, 14):
        zone = timezone(timedelta(hours=hours))
        assert found(store, {"created_from": NOON.astimezone(zone)}) == ["run"]
        assert found(store, {"created_before": NOON.astimezone(zone)}) == []


@pytest.mark.parametrize("name", ["created_from", "created_before"])
@pytest.mark.parametrize("time", [NOON.replace(tzinfo=None), datetime.max.replace(tzinfo=timezone(-HOUR))])
def test_a_time_that_could_be_any_or_none_is_refused(store: Store, name: str, time: datetime) -> None:
    asked: list[Callable[..., object]] = [store.list_runs, store.page_runs, store.count_runs]
    for ask in asked:
        with pytest.raises(ValueError, match=f" in {name} ") as caught:
            ask(**{name: time})
        assert isinstance(caught.value, InvalidInput)


def test_the_first_and_the_last_moment_there_is_are_times_too(store: Store) -> None:
    store.create_run("flow", run_id="run")
    first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    assert found(store, {"created_from": first, "created_before": last}) == ["run"]


def test_an_unknown_status_is_refused_by_pages_too(store: Store) -> None:
    with pytest.raises(InvalidInput, match="unknown status 'done'"):
        store.page_runs(status=["failed", "done"])
    with pytest.raises(TypeError):
        operator.methodcaller("count_runs", state="failed")(store)


DIFFERENT: tuple[object, ...] = (
    1,
    True,
    "1",
    1.5,
    [1],
    ["1"],
    {"1": 1},
    None,
    "",
    [],
    {},
    "ß",
    "ẞ",
    "\0",
    {"b": [1, {"y": 2, "x": 3}], "a": None},
    2**63 - 1,
    1e300,
)


def test_values_are_found_by_what_they_are_as_json(store: Store) -> None:
    for number, value in enumerate(DIFFERENT):
        store.create_run("flow", run_id=str(number), metadata={"value": value, "other": number})
    store.create_run("flow", run_id="without", metadata={"other": None})
    for number, value in enumerate(DIFFERENT):
        assert found(store, {"metadata": {"value": value}}) == [str(number)]
    assert found(store, {"metadata": {"value": "unknown"}}) == found(store, {"metadata": {"values": 1}}) == []


def test_values_are_found_in_the_form_they_were_given_in(store: Store) -> None:
    given = {"when": NOON, "where": (1, 2), "how": {"b": 1, "a": 2}, "ü\0": "key", "7": 7}
    store.create_run("flow", run_id="run", metadata=given)
    for pair in [*({key: value} for key, value in given.items()), {"how": {"a": 2, "b": 1}}, {7: 7}]:
        assert found(store, {"metadata": pair}) == ["run"]
    assert found(store, {"metadata": given}) == ["run"]
    with pytest.raises(InvalidValue):
        store.list_runs(metadata={"value": float("nan")})


def test_a_run_is_found_by_its_latest_metadata(store: Store) -> None:
    store.create_run("flow", run_id="run", metadata={"stage": "first", "owner": "me"})
    updated = RunUpdated(Raw(encode_value({"stage": "second", "owner": "me"})))
    store.log.append([Append("run", [store.codec.encode(updated)])])
    assert found(store, {"metadata": {"stage": "first"}}) == []
    assert found(store, {"metadata": {"stage": "second", "owner": "me"}}) == ["run"]
    store.rebuild()
    assert found(store, {"metadata": {"stage": "second"}}) == ["run"]


def test_as_many_pairs_can_be_asked_for_as_a_run_has(store: Store) -> None:
    metadata = {str(number): number for number in range(300)}
    store.create_run("flow", run_id="run", metadata=metadata)
    store.create_run("flow", run_id="almost", metadata={**metadata, "299": 0})
    assert found(store, {"metadata": metadata}) == ["run"]


def test_a_workflow_name_is_found_whatever_characters_it_has(store: Store) -> None:
    names = ("a'b", "a\0b", "%", "flow\nflow", "FLOW", "flow")
    for name in names:
        store.create_run(name, run_id=name.replace("\0", "nothing"))
    for name in names:
        assert found(store, {"workflow": name}) == [name.replace("\0", "nothing")]


def test_runs_are_found_by_definition_whichever_its_version(store: Store) -> None:
    for version in (1, 2):
        store.create_run("flow", run_id=str(version), workflow_id="w", workflow_version=version)
    store.create_run("flow", workflow_id="other")
    assert found(store, {"workflow_id": "w"}) == ["1", "2"]


INDEXES: list[tuple[Wanted, str]] = [
    ({"status": "failed"}, "workflow_runs_by_status"),
    ({"status": ["failed", "waiting"]}, "workflow_runs_by_status"),
    ({"workflow": "weekly"}, "workflow_runs_by_workflow"),
    ({"workflow_id": "w"}, "workflow_runs_by_definition"),
    ({"parent": "0"}, "workflow_runs_by_parent"),
    ({"created_from": NOON, "created_before": NOON + HOUR}, "workflow_runs_by_creation"),
    ({"metadata": {"team": "red"}}, "run_metadata_by_digest"),
    ({"metadata": {"team": "red", "level": 1}}, "run_metadata_by_digest"),
]


@pytest.mark.parametrize("backend", ["sqlite"])
@pytest.mark.parametrize(("wanted", "index"), INDEXES)
def test_no_filter_reads_runs_that_an_index_could_leave_out(store: Store, wanted: Wanted, index: str) -> None:
    chosen = ChosenRuns(**wanted)
    for statement in (
        chosen.rows(after=0, offset=0, limit=50, newest_first=False),
        chosen.rows(after=7, offset=7, limit=50, newest_first=True),
        chosen.total(),
    ):
        steps = plan(store, statement)
        assert any(index in step for step in steps)
        assert not [step for step in steps if "SCAN" in step and "json_each" not in step]


def plan(store: Store, statement: Statement) -> list[str]:
    """How SQLite goes about it."""
    with store.views.at_once() as session:
        return [step for *_, step in session.rows(f"EXPLAIN QUERY PLAN {statement.text}", statement.arguments)]
