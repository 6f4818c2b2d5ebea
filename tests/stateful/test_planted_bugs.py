"""Bugs in what runs come to, or in what is told of their past: the machine finds each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

import projections.inheritance
import projections.outputs
import projections.project
import projections.purge
import projections.resume_queries
import projections.snapshot
from eventstore.codec import Codec
from eventstore.consumer import Consumer
from eventstore.errors import EventStoreError
from eventstore.events import TaskRunInvalidated
from eventstore.log import Append, Checkpoint, RecordedEvent
from projections.fold import Fold
from projections.inheritance import ReadStream, Stretch
from projections.rows import Delete, Output, Patch

from .test_run_machine import MachineOnSqlite

MOST_EXAMPLES = 1000

Plant = Callable[[pytest.MonkeyPatch], None]


def forks_that_see_what_comes_after_their_point(patch: pytest.MonkeyPatch) -> None:
    def stretches(first: RecordedEvent, codec: Codec, read: ReadStream) -> list[Stretch]:
        return [Stretch(part.stream, part.until + 3) for part in true_stretches(first, codec, read)]

    true_stretches = projections.inheritance.stretches
    patch.setattr(projections.inheritance, "stretches", stretches)


def purges_of_what_forks_need(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(projections.purge, "FORKS", "SELECT id FROM main.workflow_runs WHERE id <> id AND id = $1")


def a_plan_that_ignores_digests(patch: pytest.MonkeyPatch) -> None:
    true_completions = projections.outputs.completions
    patch.setattr(projections.resume_queries, "completions", lambda rows: (true_completions(rows)[0], {}))


def invalidations_that_views_lose(patch: pytest.MonkeyPatch) -> None:
    def patches(event: msgspec.Struct, recorded: RecordedEvent, happened: str) -> Iterator[Patch]:
        for each in true_patches(event, recorded, happened):
            if not (isinstance(event, TaskRunInvalidated) and isinstance(each, Delete)):
                yield each

    true_patches = projections.project._task_patches
    patch.setattr(projections.project, "_task_patches", patches)


def snapshots_that_lack_outputs(patch: pytest.MonkeyPatch) -> None:
    def restored(data: bytes) -> Fold:
        fold = true_restored(data)
        fold.tables[Output.TABLE].clear()
        return fold

    true_restored = projections.snapshot.restored
    patch.setattr(projections.snapshot, "restored", restored)


def effects_that_are_no_part_of_the_commit_of_their_checkpoint(patch: pytest.MonkeyPatch) -> None:
    def store(self: Consumer, effects: Sequence[Append], position: int) -> None:
        self._log.append(effects)
        self._log.append([], checkpoint=Checkpoint(self.name, position, self._checkpoint))
        self._checkpoint = position

    patch.setattr(Consumer, "_store", store)


@pytest.mark.parametrize(
    "plant",
    [
        forks_that_see_what_comes_after_their_point,
        purges_of_what_forks_need,
        a_plan_that_ignores_digests,
        invalidations_that_views_lose,
        snapshots_that_lack_outputs,
        effects_that_are_no_part_of_the_commit_of_their_checkpoint,
    ],
)
def test_the_machine_finds_out(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    bounded = settings(
        max_examples=MOST_EXAMPLES,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        stateful_step_count=20,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    with pytest.raises((AssertionError, EventStoreError)):
        run_state_machine_as_test(MachineOnSqlite, settings=bounded)
