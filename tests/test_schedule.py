"""Scheduling traced tasks on traced machines, and measuring the shape of a workflow."""

from __future__ import annotations

from datetime import UTC, datetime
from graphlib import CycleError
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.schedule import Interval, Shape, schedule, shape
from projections.wfformat import Trace, TraceTask, read_trace

NEWER = Path(__file__).parent / "data" / "trace-1.5.json"


def task(
    id: str,
    *parents: str,
    runtime: float = 1.0,
    machine: str = "",
    cores: int = 1,
) -> TraceTask:
    return TraceTask(id, id, parents, runtime, (machine,) if machine else (), cores, {})


def trace(*tasks: TraceTask, **machines: int) -> Trace:
    return Trace("t", "", "1.5", datetime(2024, 1, 1, tzinfo=UTC), machines, tasks, None, "")


def test_tasks_start_when_their_parents_end_and_cores_are_free() -> None:
    assert schedule(read_trace(NEWER)) == {
        "t1": Interval(0.0, 12.5, "darkroom"),
        "t2": Interval(12.5, 107.75, "darkroom"),
        "t3": Interval(12.5, 113.5, "darkroom"),
        "t4": Interval(12.5, 101.25, "attic"),
        "t5": Interval(113.5, 122.5, "attic"),
        "t6": Interval(113.5, 145.0, "darkroom"),
        "t7": Interval(145.0, 149.25, "darkroom"),
    }


def test_ready_tasks_wait_in_line_for_cores() -> None:
    line = [task(f"t{i}", machine="m", cores=2) for i in range(4)]
    assert [i.start for i in schedule(trace(*line, m=4)).values()] == [0.0, 0.0, 1.0, 1.0]


def test_the_first_to_be_ready_starts_first_whatever_the_file_says() -> None:
    late, early = task("late", "slow", machine="m"), task("early", "fast", machine="m")
    tasks = (late, early, task("slow", runtime=2), task("fast", runtime=1), task("hog", runtime=3, machine="m"))
    planned = schedule(trace(*tasks, m=1))
    assert (planned["early"].start, planned["late"].start) == (3.0, 4.0)


def test_nobody_overtakes_a_task_that_waits_for_many_cores() -> None:
    tasks = task("hog", runtime=5, machine="m"), task("wide", machine="m", cores=2), task("thin", machine="m")
    planned = schedule(trace(*tasks, m=2))
    assert (planned["wide"].start, planned["thin"].start) == (5.0, 6.0)


def test_a_task_gets_no_more_cores_than_its_machine_has() -> None:
    planned = schedule(trace(task("greedy", machine="m", cores=64), task("next", machine="m"), m=2))
    assert [planned["greedy"].start, planned["next"].start] == [0.0, 1.0]


def test_a_machine_of_unknown_size_or_none_has_room_for_all() -> None:
    tasks = [task(f"t{i}", machine="?" if i % 2 else "", cores=64) for i in range(100)]
    assert {interval.end for interval in schedule(trace(*tasks)).values()} == {1.0}


@st.composite
def traces(draw: st.DrawFn) -> Trace:
    machines = draw(st.dictionaries(st.sampled_from("abc"), st.integers(1, 4)))
    count = draw(st.integers(0, 12))
    runtimes = st.sampled_from([0.0, 0.1, 0.2, 1.0, 1.0, 3.0]) | st.floats(0, 100)
    tasks = [
        task(
            str(index),
            *draw(st.lists(st.sampled_from([str(i) for i in range(index)]), unique=True) if index else st.just([])),
            runtime=draw(runtimes),
            machine=draw(st.sampled_from(["", "a", "b", "c"])),
            cores=draw(st.integers(1, 5)),
        )
        for index in range(count)
    ]
    return trace(*draw(st.permutations(tasks)), **machines)


@given(traces())
def test_no_child_starts_before_its_parents_end(given_trace: Trace) -> None:
    planned = schedule(given_trace)
    assert list(planned) == [task.id for task in given_trace.tasks]
    for child in given_trace.tasks:
        assert planned[child.id].end == planned[child.id].start + child.runtime
        assert all(planned[parent].end <= planned[child.id].start for parent in child.parents)


@given(traces())
def test_no_machine_is_asked_for_more_cores_than_it_has(given_trace: Trace) -> None:
    planned = schedule(given_trace)
    for machine, size in given_trace.machines.items():
        guests = [task for task in given_trace.tasks if task.machines == (machine,)]
        for instant in {planned[guest.id].start for guest in guests}:
            running = [g for g in guests if planned[g.id].start <= instant < planned[g.id].end]
            assert sum(min(guest.cores, size) for guest in running) <= size


@given(traces())
def test_no_task_starts_later_than_when_it_became_ready_or_its_machine_freed_cores(given_trace: Trace) -> None:
    planned = schedule(given_trace)
    for waiting in given_trace.tasks:
        ready = max((planned[parent].end for parent in waiting.parents), default=0.0)
        freed = {planned[t.id].end for t in given_trace.tasks if t.machines == waiting.machines}
        assert planned[waiting.id].start in {ready} | (freed if waiting.machines else set())


def test_the_shape_of_a_workflow_is_counted() -> None:
    tasks = read_trace(NEWER).tasks
    assert shape({t.id: t.parents for t in tasks}, {t.id: t.runtime for t in tasks}) == Shape(
        tasks=7,
        edges=11,
        roots=1,
        leaves=1,
        levels=4,
        max_width=3,
        max_parents=3,
        critical_path_s=149.25,
    )


def test_a_level_is_the_longest_way_from_a_root() -> None:
    measured = shape(
        {"end": ["root", "b"], "b": ["a"], "a": ["root"], "root": []},
        dict.fromkeys("ab", 0.0004) | {"root": 1.0, "end": 1.0},
    )
    assert (measured.levels, measured.max_width, measured.edges) == (4, 1, 4)
    assert measured.critical_path_s == 2.001


def test_a_parent_named_twice_is_one_edge() -> None:
    measured = shape({"a": (), "b": ("a", "a")}, {"a": 1.0, "b": 1.0})
    assert (measured.edges, measured.max_parents, measured.leaves) == (1, 1, 1)


def test_no_tasks_have_no_shape() -> None:
    assert shape({}, {}) == Shape(0, 0, 0, 0, 0, 0, 0, 0.0)


def test_a_cycle_has_no_shape() -> None:
    with pytest.raises(CycleError):
        shape({"a": ("b",), "b": ("a",)}, {"a": 1.0, "b": 1.0})
