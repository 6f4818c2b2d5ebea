"""Bugs that would have engines do things again, or pair what does not belong together: the simulation finds each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import pytest

import projections.decide
import projections.queries
import projections.resume
import projections.task_commands
from eventstore.errors import EventStoreError
from projections.decide import Events
from projections.resume import NO_OUTPUT
from projections.rows import Output

from .simulation import Simulation

MOST_RUNS = 100

Plant = Callable[[pytest.MonkeyPatch], None]


def a_plan_that_ignores_digests(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(projections.resume, "stale_outputs", lambda outputs: {})


def outputs_that_are_given_out_stale(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(projections.queries, "stale_outputs", lambda outputs: {})


def staleness_that_does_not_spread(patch: pytest.MonkeyPatch) -> None:
    def direct(outputs: Iterable[Output]) -> dict[str, str]:
        digests = {output.task_id: output.digest for output in outputs}
        return {
            output.task_id: "made from another output"
            for output in outputs
            if any(digests.get(needed, NO_OUTPUT) != digest for needed, digest in (output.consumed or {}).items())
        }

    patch.setattr(projections.resume, "stale_outputs", direct)
    patch.setattr(projections.queries, "stale_outputs", direct)


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
    ],
)
def test_the_simulation_finds_out(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    with pytest.raises((AssertionError, EventStoreError)):
        simulate_many()
