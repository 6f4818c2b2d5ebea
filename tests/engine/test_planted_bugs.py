"""Bugs that would have engines do things again, or pair what does not belong together: the simulation finds each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import pytest

import projections.decide
import projections.decide_run
import projections.inheritance
import projections.outputs
import projections.queries
import projections.resume_queries
import projections.task_commands
from eventstore.codec import Codec
from eventstore.errors import EventStoreError
from eventstore.events import TaskRunInterrupted, TaskRunInvalidated
from eventstore.log import RecordedEvent
from eventstore.payload import Values
from projections.decide import Events
from projections.inheritance import ReadStream, Stretch
from projections.resume import NO_OUTPUT
from projections.rows import Output, Run, TaskRun
from projections.transitions import is_open

from .simulation import Simulation

MOST_RUNS = 100

Plant = Callable[[pytest.MonkeyPatch], None]


def a_plan_that_ignores_digests(patch: pytest.MonkeyPatch) -> None:
    true_completions = projections.outputs.completions
    patch.setattr(projections.resume_queries, "completions", lambda rows: (true_completions(rows)[0], {}))


def outputs_that_are_given_out_stale(patch: pytest.MonkeyPatch) -> None:
    def every_value(rows: Sequence[tuple[Any, ...]], values: Values) -> dict[str, Any]:
        return true_values([(task_id, output, None) for task_id, output, _ in rows], values)

    true_values = projections.outputs.reusable_values
    patch.setattr(projections.resume_queries, "reusable_values", every_value)


def staleness_that_does_not_spread(patch: pytest.MonkeyPatch) -> None:
    def direct(digests: Mapping[str, str], consumed: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
        return {
            task_id: "made from another output"
            for task_id, needs in consumed.items()
            if any(digests.get(needed, NO_OUTPUT) != digest for needed, digest in needs.items())
        }

    patch.setattr(projections.outputs, "why_stale", direct)


def completions_that_do_not_say_what_they_were_made_from(patch: pytest.MonkeyPatch) -> None:
    def nothing(depends_on: Iterable[str], outputs: Mapping[str, Output]) -> dict[str, str]:
        return {}

    patch.setattr(projections.task_commands, "consumable", nothing)


def claims_that_fence_nobody(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(projections.decide, "check_epoch", lambda run, epoch: None)


def invalidations_that_invalidate_nothing(patch: pytest.MonkeyPatch) -> None:
    def invalidate(state: projections.decide.TaskState, reason: str) -> Events:
        return []

    patch.setattr(projections.decide, "invalidate", invalidate)


def forks_that_see_what_comes_after_their_point(patch: pytest.MonkeyPatch) -> None:
    def stretches(first: RecordedEvent, codec: Codec, read: ReadStream) -> list[Stretch]:
        return [Stretch(part.stream, part.until + 3) for part in true_stretches(first, codec, read)]

    true_stretches = projections.inheritance.stretches
    patch.setattr(projections.inheritance, "stretches", stretches)


def forks_that_inherit_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(projections.inheritance, "stretches", lambda first, codec, read: [])


def forks_without_the_order_of_their_past(patch: pytest.MonkeyPatch) -> None:
    def inherited(first: RecordedEvent, codec: Codec, read: ReadStream) -> Iterator[RecordedEvent]:
        for event in true_inherited(first, codec, read):
            yield msgspec.structs.replace(event, version=-1 - event.version)

    true_inherited = projections.inheritance.inherited
    patch.setattr(projections.inheritance, "inherited", inherited)


def resumptions_that_run_nothing_always(patch: pytest.MonkeyPatch) -> None:
    def resume(run: Run, tasks: Sequence[TaskRun], *args: Any, **kwargs: Any) -> Events:
        return [e for e in true_resume(run, tasks, *args, **kwargs) if not isinstance(e, TaskRunInvalidated)]

    true_resume = projections.decide_run.resume
    patch.setattr(projections.decide_run, "resume", resume)


def resumptions_that_take_waits_for_attempts_of_workers(patch: pytest.MonkeyPatch) -> None:
    query = projections.queries.TASKS_TO_RESUME.replace(
        "status = 'running'", "(status = 'running' OR waiting_since IS NOT NULL)"
    )
    patch.setattr(projections.queries, "TASKS_TO_RESUME", query)

    def interrupt(tasks: Sequence[TaskRun], reason: str) -> Events:
        return [TaskRunInterrupted(task.task_id, task.attempt, reason) for task in tasks if is_open(task)]

    patch.setattr(projections.decide_run, "_interrupt", interrupt)


def simulate_many() -> None:
    for seed in range(MOST_RUNS):
        Simulation(seed).run()


@pytest.mark.parametrize(
    "plant",
    [
        a_plan_that_ignores_digests,
        outputs_that_are_given_out_stale,
        staleness_that_does_not_spread,
        completions_that_do_not_say_what_they_were_made_from,
        claims_that_fence_nobody,
        invalidations_that_invalidate_nothing,
        forks_that_see_what_comes_after_their_point,
        forks_that_inherit_nothing,
        forks_without_the_order_of_their_past,
        resumptions_that_run_nothing_always,
        resumptions_that_take_waits_for_attempts_of_workers,
    ],
)
def test_the_simulation_finds_out(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    with pytest.raises((AssertionError, EventStoreError)):
        simulate_many()
