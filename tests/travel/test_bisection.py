"""The event since which something is true of a run is found, in few questions if it stays true."""

from __future__ import annotations

from math import ceil, log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.errors import NotFound
from projections import Attempt, Output, Run, Store, TaskRun, open_store
from projections.fold import Fold
from tests.stores import Clock, completed, examples, run_of
from tests.views.histories import Step, commands


def has_output(fold: Fold) -> bool:
    return bool(fold.rows(Output))


def test_the_event_since_which_something_is_true_is_found(store: Store) -> None:
    run_of(store, "a", "b")
    completed(store, "run", "a", 1)
    completed(store, "run", "b", 1)
    found = store.bisect("run", has_output)
    assert found is not None
    assert (found.version, found.type) == (6, "taskRunCompleted")
    assert store.bisect("run", has_output, monotone=False) == found
    assert found == list(store.log.read("run"))[5]


def test_what_is_never_true_is_not_found(store: Store) -> None:
    run_of(store, "a")
    for monotone in (True, False):
        assert store.bisect("run", has_output, monotone=monotone) is None


def test_what_is_true_from_the_beginning_is_true_since_the_first_event(store: Store) -> None:
    run_of(store, "a")
    for monotone in (True, False):
        found = store.bisect("run", lambda fold: True, monotone=monotone)
        assert found is not None
        assert found.version == 1


def test_what_becomes_false_again_is_found_by_asking_about_every_version(store: Store) -> None:
    run_of(store, "a")
    completed(store, "run", "a", 1)
    store.invalidate_task("run", "a")
    assert store.bisect("run", has_output) is None
    found = store.bisect("run", has_output, monotone=False)
    assert found is not None
    assert found.version == 5


def test_nothing_is_found_in_an_unknown_run(store: Store) -> None:
    with pytest.raises(NotFound):
        store.bisect("nope", has_output)


def test_few_questions_are_asked_of_a_long_run() -> None:
    asked = []

    def enough(fold: Fold) -> bool:
        asked.append(len(fold.rows(TaskRun)))
        return asked[-1] >= 700

    with open_store("memory:", clock=Clock()) as store:
        run_of(store, *(str(number) for number in range(1000)))
        found = store.bisect("run", enough)
    assert found is not None
    assert found.version == 702
    assert len(asked) <= 1 + ceil(log2(1002))


@examples(0.2)
@given(commands(), st.integers(1, 10))
def test_halving_finds_what_scanning_finds(history: list[Step], number: int) -> None:
    """Of what can only grow."""
    with open_store("memory:", clock=Clock()) as store:
        for step in history:
            step.take(store)
        if not store.log.version("run"):
            return
        for grown in (
            lambda fold: len(fold.rows(Attempt)) >= number,
            lambda fold: any(run.version >= number for run in fold.rows(Run)),
            lambda fold: any(run.deleted_at for run in fold.rows(Run)),
        ):
            assert store.bisect("run", grown) == store.bisect("run", grown, monotone=False)
