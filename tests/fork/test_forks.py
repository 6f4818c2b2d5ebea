"""A fork goes on from where its origin was, and neither sees what becomes of the other."""

from __future__ import annotations

from datetime import timedelta

import pytest

from eventstore.errors import Conflict, InvalidTransition
from eventstore.events import RunForkCreated, RunForked, TaskRunInterrupted
from projections import Store
from tests.fork.origins import known, origin_of, rows_of
from tests.stores import Clock, check_views, completed


def test_a_fork_has_what_its_origin_was(store: Store) -> None:
    origin = origin_of(store)
    fork = store.fork_run(origin, fork_id="fork")
    assert (fork.id, fork.forked_from, fork.forked_version, fork.inherits) == ("fork", origin, 11, 1)
    assert (fork.workflow_name, fork.user_message, fork.metadata) == ("flow", "go", {"team": "data"})
    assert (fork.status, fork.worker, fork.epoch, fork.lease_until, fork.started_at) == ("pending", None, 0, None, None)
    assert fork.input == known(store.get_run(origin)).input
    assert store.get_completed_node_outputs("fork") == {"a": "of a", "b": "long " * 20_000}
    assert [(task.task_id, task.status) for task in store.list_task_runs("fork")] == [
        ("a", "completed"),
        ("b", "completed"),
        ("c", "pending"),
        ("d", "pending"),
    ]
    check_views(store)


def test_nothing_is_copied(store: Store) -> None:
    origin_of(store)
    store.fork_run("origin", fork_id="fork", reason="another way")
    (noted,) = [store.codec.decode(event) for event in store.log.read("origin", after=11)]
    first, second = list(store.log.read("fork"))
    eleventh = next(store.log.read("origin", after=10, until=11))
    assert noted == RunForkCreated("fork", 11)
    assert store.codec.decode(first) == RunForked("origin", 11, eleventh.hash, "another way")
    assert store.codec.decode(second) == TaskRunInterrupted("c", 1, "the run was forked from 'origin'")


def test_whoever_forks_is_noted(store: Store) -> None:
    origin_of(store)
    store.acting(actor="ada").fork_run("origin", fork_id="fork")
    assert next(store.log.read("fork")).meta["actor"] == "ada"


def test_what_is_inherited_has_versions_below_1(store: Store) -> None:
    origin_of(store)
    store.fork_run("origin", fork_id="fork")
    store.start_run("fork")
    completed(store, "fork", "c", "of c")
    versions = {output.task_id: output.version for output in store.list_outputs("fork")}
    assert versions == {"a": -3, "b": -1, "c": store.log.version("fork")}
    assert list(versions) == ["a", "b", "c"]  # the order of completion


def test_two_forks_of_one_point_never_see_each_other(store: Store) -> None:
    origin_of(store)
    for fork_id in ("left", "right"):
        store.fork_run("origin", version=11, fork_id=fork_id)
        store.start_run(fork_id)
    before = rows_of(store, "origin"), rows_of(store, "right")
    completed(store, "left", "c", "of left")
    store.rerun_from("left", "a")
    store.update_run("left", metadata={"team": "left"})
    assert (rows_of(store, "origin"), rows_of(store, "right")) == before
    completed(store, "right", "c", "of right")
    store.complete_task("origin", "c", "of the origin", attempt=1)
    assert store.get_result("right", "c") == "of right"
    assert store.get_completed_node_outputs("left") == {"c": "of left"}
    assert store.get_result("origin", "c") == "of the origin"
    check_views(store)


def test_what_the_origin_does_later_is_its_own(store: Store) -> None:
    origin_of(store)
    store.fork_run("origin", fork_id="fork")
    before = rows_of(store, "fork")
    store.complete_task("origin", "c", "late", attempt=1)
    store.invalidate_task("origin", "a")
    store.fail_run("origin", "broken")
    store.delete_run("origin")
    assert rows_of(store, "fork") == before
    assert store.verify().clean


def test_a_run_is_forked_at_a_version_a_time_or_a_position(store: Store, clock: Clock) -> None:
    origin_of(store)
    eighth = next(store.log.read("origin", after=7, until=8))
    clock.time += timedelta(hours=1)
    completed(store, "origin", "d")
    at_version = store.fork_run("origin", version=8)
    at_position = store.fork_run("origin", position=eighth.position)
    at_time = store.fork_run("origin", time=eighth.recorded_at)
    assert [fork.forked_version for fork in (at_version, at_position, at_time)] == [8, 8, 8]
    assert store.get_completed_node_outputs(at_version.id) == {"a": "of a"}
    assert store.diff(at_version.id, at_time.id) == []


def test_a_fork_of_a_fork_has_what_both_were(store: Store) -> None:
    origin_of(store)
    store.fork_run("origin", fork_id="child")
    store.start_run("child")
    completed(store, "child", "c", "of c")
    store.fork_run("child", fork_id="grandchild")
    store.start_run("grandchild")
    completed(store, "grandchild", "d", "of d")
    great = store.fork_run("grandchild", fork_id="great")
    assert list(store.get_completed_node_outputs("great")) == ["a", "b", "c", "d"]
    assert "d" not in store.get_completed_node_outputs("child")
    assert [run.id for run in store.list_origins("great")] == ["grandchild", "child", "origin"]
    assert great.forked_version == store.log.version("grandchild") - 1
    check_views(store)


def test_forks_are_listed(store: Store) -> None:
    origin_of(store)
    for fork_id in ("one", "two", "three"):
        store.fork_run("origin", fork_id=fork_id)
    store.fork_run("one", fork_id="of a fork")
    store.delete_run("two", force=True)
    assert [run.id for run in store.list_forks("origin")] == ["one", "three"]
    assert [run.id for run in store.list_forks("origin", include_deleted=True)] == ["one", "two", "three"]
    assert store.list_forks("nobody") == store.list_forks("three") == []
    assert store.list_origins("origin") == store.list_origins("nobody") == []


def test_children_and_parents_are_not_inherited(store: Store) -> None:
    store.create_run("flow", run_id="above")
    store.create_run("flow", run_id="origin", parent_run_id="above")
    store.create_run("flow", run_id="below", parent_run_id="origin")
    assert store.fork_run("origin", fork_id="fork").parent_run_id is None
    assert store.list_children("fork") == store.list_ancestors("fork") == []
    store.cancel_run("above")
    assert known(store.get_run("fork")).status == "pending"


def test_what_was_running_is_in_doubt(store: Store) -> None:
    origin_of(store)
    store.fork_run("origin", fork_id="fork")
    claim = store.resume("fork", worker="second")
    assert claim.epoch == 1
    assert [(doubt.task_id, doubt.attempt, doubt.worker) for doubt in claim.plan.in_doubt] == [("c", 1, "first")]
    assert claim.plan.ready == ("c",)
    assert store.start_task("fork", "c").attempt == 2


def test_the_origins_worker_and_its_lease_are_not_the_forks(store: Store) -> None:
    origin_of(store)
    store.fork_run("origin", fork_id="fork")
    assert store.start_run("fork", worker="second").epoch == 1
    with pytest.raises(Conflict):
        store.complete_task("fork", "c", "from the origin's worker", attempt=1)


def test_what_was_over_goes_on_in_a_fork(store: Store) -> None:
    """A completed run is final: to do part of it again is what forks are for."""
    origin_of(store)
    store.complete_task("origin", "c", "of c", attempt=1)
    completed(store, "origin", "d", "of d")
    store.complete_run("origin", "done")
    with pytest.raises(InvalidTransition):
        store.rerun_from("origin", "c")
    fork = store.fork_run("origin", fork_id="fork")
    assert (fork.status, fork.output, fork.finished_at) == ("pending", None, None)
    assert [task.task_id for task in store.rerun_from("fork", "c")] == ["c", "d"]
    store.start_run("fork")
    completed(store, "fork", "c", "other")
    completed(store, "fork", "d")
    store.complete_run("fork", "done otherwise")
    assert store.get_result("origin", "c") == "of c"


def test_an_inherited_output_that_changes_makes_others_stale(store: Store) -> None:
    origin_of(store)
    store.fork_run("origin", fork_id="fork")
    store.start_run("fork")
    store.invalidate_task("fork", "a")
    completed(store, "fork", "a", "other")
    assert [stale.task_id for stale in store.resume_plan("fork").stale] == ["b"]
    assert store.resume_plan("origin").stale == ()


def test_inherited_outputs_are_reused_by_their_versions(store: Store) -> None:
    origin_of(store)
    store.fork_run("origin", fork_id="fork")
    store.start_run("fork")
    store.reuse_task("fork", "a")
    (task,) = store.task_runs_among("fork", ["a"])
    assert task.reused_version == -3
    check_views(store)


def test_what_the_origin_spent_is_not_the_forks(store: Store) -> None:
    origin_of(store)
    store.fork_run("origin", fork_id="fork")
    store.start_run("fork")
    attempt = store.start_task("fork", "c").attempt
    store.complete_task("fork", "c", 1, attempt=attempt, usage={"tokens": 5})
    plan = store.resume_plan("fork")
    assert (plan.totals.attempts, plan.totals.usage) == ({"completed": 1}, {"tokens": 5})
    assert (plan.inherited.attempts, plan.inherited.usage) == ({"completed": 2, "interrupted": 1}, {"tokens": 7})
    assert store.resume_plan("origin").inherited.attempts == {}


def test_definitions_drift_from_those_that_a_fork_inherits(store: Store) -> None:
    store.create_run("flow", run_id="origin")
    store.schedule_task("origin", "a", fingerprint="1")
    store.fork_run("origin", fork_id="fork")
    assert store.drift("fork", {"a": "2"}).changed[0].before == "1"


def test_inherited_metadata_are_as_they_were_written(store: Store) -> None:
    store.create_run("flow", run_id="origin", metadata={"text": "a\0b", "n": 1})
    store.update_run("origin", write_once={"fixed": True})
    store.fork_run("origin", fork_id="fork")
    store.update_run("fork", metadata={"n": 2})
    told = [store.codec.decode(event) for event in store.log.read("fork")][-1]
    assert b"a\\u0000b" in bytes(told.metadata)  # type: ignore[attr-defined]  # it is a RunUpdated
    with pytest.raises(Conflict):
        store.update_run("fork", metadata={"fixed": False})


def test_the_same_fork_again_is_the_one_there_is(store: Store) -> None:
    origin_of(store)
    fork = store.fork_run("origin", version=8, fork_id="fork")
    head = store.log.head()
    assert store.fork_run("origin", version=8, fork_id="fork") == fork
    assert store.fork_run("origin", fork_id="fork", reason="again") == fork
    assert store.log.head() == head
