"""Tasks that every resumption runs again, and what was made from them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest

from eventstore.errors import Conflict
from projections import Store, Task
from tests.stores import Clock, check_views, completed


@pytest.fixture
def fetching(store: Store) -> Store:
    """A run with the tasks fetch → parse and other; only `fetch` always runs. All are completed."""
    store.create_run("flow", run_id="run")
    store.start_run("run", worker="first", lease=60)
    store.schedule_tasks("run", [Task("fetch", always_run=True), Task("parse", depends_on=["fetch"]), Task("other")])
    for task_id in ("fetch", "parse", "other"):
        completed(store, "run", task_id, f"first {task_id}")
    return store


def reusable(store: Store) -> list[str]:
    return [task.task_id for task in store.resume_plan("run").reusable]


def test_the_plan_names_what_the_next_resumption_runs_again(fetching: Store) -> None:
    plan = fetching.resume_plan("run")
    assert plan.again == ("fetch",)
    assert reusable(fetching) == ["fetch", "parse", "other"]
    assert fetching.explain("run", "fetch").reason.endswith("; the next resumption runs it again")


def test_a_resumption_runs_it_again_in_the_commit_of_the_claim(fetching: Store) -> None:
    version = fetching.log.version("run")
    plan = fetching.resume("run", force=True).plan
    claim, again = fetching.log.read("run", after=version)
    assert (claim.type, again.type, claim.commit) == ("runResumed", "taskRunInvalidated", again.commit)
    assert (plan.again, plan.ready, plan.blocked) == ((), ("fetch",), {"parse": ("fetch",)})
    assert [task.task_id for task in plan.reusable] == ["other"]
    assert fetching.explain("run", "fetch").events[-1].says == "it runs in every resumption"
    check_views(fetching)


def test_what_was_made_from_it_is_reusable_again_once_it_puts_out_the_same(fetching: Store) -> None:
    fetching.resume("run", force=True)
    completed(fetching, "run", "fetch", "first fetch")
    assert sorted(reusable(fetching)) == ["fetch", "other", "parse"]
    fetching.resume("run", force=True)
    completed(fetching, "run", "fetch", "second fetch")
    assert reusable(fetching) == ["other", "fetch"]
    assert fetching.resume_plan("run").ready == ("parse",)


def test_one_that_has_not_completed_is_to_run_anyway(fetching: Store) -> None:
    fetching.resume("run", force=True)
    version = fetching.log.version("run")
    fetching.resume("run", force=True)
    fetching.start_task("run", "fetch")
    fetching.resume("run", force=True)
    assert [event.type for event in fetching.log.read("run", after=version)] == [
        "runResumed",
        "taskRunStarted",
        "runResumed",
        "taskRunInterrupted",
    ]


def test_whoever_recovers_a_run_runs_it_again(fetching: Store, clock: Clock) -> None:
    clock.time += timedelta(hours=1)
    (shown,) = fetching.recover("rescuer", 60, dry_run=True).claimed
    assert shown.plan.again == ("fetch",)
    (claim,) = fetching.recover("rescuer", 60).claimed
    assert claim.plan.ready == ("fetch",)


def test_so_does_an_update_that_resumes(fetching: Store) -> None:
    fetching.update_run("run", status="waiting", reason="approval")
    assert fetching.resume_plan("run").again == ("fetch",)
    fetching.update_run("run", status="running", epoch=1)
    assert fetching.resume_plan("run").ready == ("fetch",)


def test_a_start_of_the_run_and_its_other_steps_run_nothing_again(fetching: Store) -> None:
    version = fetching.log.version("run")
    fetching.update_run("run", status="running")
    fetching.renew_lease("run", epoch=1, lease=60)
    fetching.fail_run("run", "broken")
    assert [event.type for event in fetching.log.read("run", after=version)] == ["runLeaseRenewed", "runFailed"]


def test_whether_a_task_always_runs_is_fixed_once_it_is_scheduled(fetching: Store) -> None:
    version = fetching.log.version("run")
    fetching.schedule_task("run", "fetch", always_run=True)
    for task_id, always_run in (("fetch", False), ("other", True)):
        with pytest.raises(Conflict, match=f"with always_run={not always_run}"):
            fetching.schedule_task("run", task_id, always_run=always_run)
    with pytest.raises(Conflict, match="always_run"):
        fetching.schedule_tasks("run", [Task("new"), Task("new", always_run=True)])
    assert fetching.log.version("run") == version


@pytest.mark.parametrize("begin", [Store.start_run, Store.resume, partial(Store.update_run, status="running")])
def test_a_fork_runs_it_again_however_it_is_begun(fetching: Store, begin: Callable[[Store, str], object]) -> None:
    fetching.fork_run("run", fork_id="fork")
    begin(fetching, "fork")
    assert fetching.resume_plan("fork").ready == ("fetch",)
    assert fetching.resume_plan("run").again == ("fetch",)
    check_views(fetching)
