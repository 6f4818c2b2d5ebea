"""The past of a fork goes on into that of its origin."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from eventstore.events import TaskRunStarted
from projections import Point, Store
from projections.fold import Fold
from projections.rows import Run, TaskRun
from tests.fork.origins import known, origin_of, rows_of
from tests.stores import Clock, completed


def forked(store: Store) -> None:
    """A fork that has gone on."""
    origin_of(store)
    store.fork_run("origin", fork_id="fork")
    store.start_run("fork", worker="second")
    completed(store, "fork", "c", "of c")
    completed(store, "fork", "d", "of d")


def test_at_its_first_version_a_fork_has_what_it_inherits(store: Store) -> None:
    forked(store)
    fold = store.as_of("fork", version=1)
    assert known(fold.row(Run, "fork")).status == "pending"
    assert [task.status for task in fold.rows(TaskRun)] == ["completed", "completed", "running", "pending"]
    now = store.as_of("fork")
    assert now.tables["node_outputs"] == {
        ("fork", *key): row for key, row in rows_of(store, "fork")["node_outputs"].items()
    }


def test_before_it_was_made_there_was_nothing(store: Store, clock: Clock) -> None:
    origin_of(store)
    then, position = clock.time, store.log.head()
    clock.time += timedelta(minutes=1)
    store.fork_run("origin", fork_id="fork")
    assert store.as_of("fork", time=then).rows(Run) == []
    assert store.as_of("fork", position=position).rows(TaskRun) == []
    assert store.as_of("fork", version=0).rows(Run) == []


def test_a_fork_differs_from_its_origin_by_what_both_did_since(store: Store) -> None:
    forked(store)
    different = {(each.table, each.key) for each in store.diff("origin", "fork")}
    assert ("node_outputs", ("c",)) in different
    assert ("node_outputs", ("a",)) not in different
    same = store.diff(Point("origin", version=11), Point("fork", version=1))
    assert {each.table for each in same} == {"workflow_runs"}


def test_the_event_since_which_something_is_so_may_be_inherited(store: Store) -> None:
    forked(store)
    for task_id, version in (("a", -3), ("c", 5)):
        for monotone in (True, False):
            found = store.bisect("fork", partial(has_output, task_id), monotone=monotone)
            assert found is not None
            assert (found.stream, found.version) == ("fork", version)


def has_output(task_id: str, fold: Fold) -> bool:
    return ("fork", task_id) in fold.tables["node_outputs"]


def test_what_is_cited_may_be_inherited(store: Store) -> None:
    forked(store)
    explained = store.explain("fork", "b")
    assert (explained.state, explained.reason) == (
        "reusable",
        "completed at version -1, made from outputs that are still there",
    )
    assert [cited.version for cited in explained.events] == [-3, -2, -1]
    assert store.explain("fork", "c", version=2).state == "in doubt"


def test_the_timeline_tells_inherited_attempts_apart(store: Store) -> None:
    forked(store)
    timeline = store.timeline("fork")
    assert [(span.task_id, span.attempt, span.inherited) for span in timeline.attempts] == [
        ("a", 1, True),
        ("b", 1, True),
        ("c", 1, True),
        ("c", 2, False),
        ("d", 1, False),
    ]
    own = [span for span in timeline.attempts if not span.inherited]
    assert timeline.execution == sum(span.execution or 0 for span in own)
    assert timeline.started_at == known(store.get_run("fork")).started_at
    assert timeline.retries == 1


def test_an_inherited_start_is_an_event_of_the_fork(store: Store) -> None:
    forked(store)
    seen = store.bisect("fork", lambda fold: any(task.task_id == "c" and task.attempt for task in fold.rows(TaskRun)))
    assert seen is not None
    assert store.codec.decode(seen) == TaskRunStarted("c", 1, "first", {}, 1)
