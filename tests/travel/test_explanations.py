"""Why a task is what the plan says of it, with the events that this follows from."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given

from eventstore.chain import timestamp
from eventstore.errors import NotFound
from projections import Explanation, Store, Task, open_store
from projections.inheritance import with_inherited
from tests.stores import Clock, completed, examples, run_of
from tests.views.histories import Step, commands


@pytest.fixture
def chain(store: Store) -> Store:
    """A run with the tasks a → b → c, at version 5."""
    run_of(store)
    store.schedule_tasks("run", [Task("a"), Task("b", depends_on=["a"]), Task("c", depends_on=["b"])])
    return store


def cited(found: Explanation) -> list[tuple[int, str, str]]:
    return [(each.version, each.type.removeprefix("taskRun"), each.task_id) for each in found.events]


def summary(store: Store, task_id: str) -> tuple[str, str, tuple[str, ...]]:
    found = store.explain("run", task_id)
    return found.state, found.reason, found.needs


def test_a_task_that_needs_nothing_is_ready(chain: Store) -> None:
    assert summary(chain, "a") == ("ready", "it needs nothing", ())
    (only,) = chain.explain("run", "a").events
    assert (only.version, only.type, only.says) == (3, "taskRunScheduled", "needs nothing")
    assert only.time == chain.list_task_runs("run")[0].scheduled_at


def test_a_task_whose_dependency_is_not_done_is_blocked_by_it(chain: Store) -> None:
    assert summary(chain, "b") == ("blocked", "needs a", ("a",))
    assert cited(chain.explain("run", "b")) == [(3, "Scheduled", "a"), (4, "Scheduled", "b")]
    chain.start_task("run", "a")
    assert cited(chain.explain("run", "b")) == [(4, "Scheduled", "b"), (6, "Started", "a")]


def test_a_task_whose_dependencies_are_done_or_skipped_is_ready_because_of_them(chain: Store) -> None:
    completed(chain, "run", "a")
    assert summary(chain, "b") == ("ready", "all that it needs is there", ())
    assert cited(chain.explain("run", "b")) == [(4, "Scheduled", "b"), (7, "Completed", "a")]
    chain.skip_task("run", "b", "not today")
    assert summary(chain, "b") == ("skipped", "not today", ())
    assert cited(chain.explain("run", "c")) == [(5, "Scheduled", "c"), (8, "Skipped", "b")]


def test_a_completion_is_reusable_because_of_what_it_was_made_from(chain: Store) -> None:
    completed(chain, "run", "a")
    completed(chain, "run", "b")
    assert summary(chain, "a") == ("reusable", "completed at version 7, made from no other output", ())
    assert summary(chain, "b") == ("reusable", "completed at version 9, made from outputs that are still there", ())
    made = [(7, "Completed", "a"), (8, "Started", "b"), (9, "Completed", "b")]
    assert cited(chain.explain("run", "b")) == made
    for _ in range(2):
        claim = chain.resume("run", force=True)
        chain.reuse_task("run", "b", epoch=claim.epoch)
    assert cited(chain.explain("run", "b")) == [*made, (13, "Reused", "b")]
    assert chain.explain("run", "b").events[-1].says == "the output of version 9"


def test_a_stale_output_leads_to_the_event_that_made_it_so(chain: Store) -> None:
    for task_id in "abc":
        completed(chain, "run", task_id, 1)
    chain.acting(actor="eve").invalidate_task("run", "a", "new source")
    assert summary(chain, "b") == ("stale", "made from an output of 'a' that is no longer there", ("a",))
    found = chain.explain("run", "b")
    assert cited(found) == [(8, "Started", "b"), (9, "Completed", "b"), (12, "Invalidated", "a")]
    assert (found.events[-1].says, found.events[-1].actor) == ("new source", "eve")
    assert cited(chain.explain("run", "c")) == [
        (9, "Completed", "b"),
        (10, "Started", "c"),
        (11, "Completed", "c"),
        (12, "Invalidated", "a"),
    ]


def test_a_dependency_that_runs_again_made_an_output_stale_when_it_started(chain: Store) -> None:
    completed(chain, "run", "a", 1)
    completed(chain, "run", "b", 1)
    chain.invalidate_task("run", "a")
    chain.start_task("run", "a")
    assert cited(chain.explain("run", "b"))[2:] == [(10, "Invalidated", "a"), (11, "Started", "a")]
    chain.complete_task("run", "a", 2)
    assert summary(chain, "b") == ("stale", "made from another output of 'a'", ())
    assert cited(chain.explain("run", "b"))[2:] == [(12, "Completed", "a")]


def test_an_output_made_without_another_one_is_stale_because_of_that(chain: Store) -> None:
    chain.skip_task("run", "a")
    completed(chain, "run", "b")
    chain.invalidate_task("run", "a")
    completed(chain, "run", "a")
    assert summary(chain, "b")[:2] == ("stale", "made without an output of 'a', which has one now")
    assert cited(chain.explain("run", "b"))[-1] == (11, "Completed", "a")


def test_an_attempt_without_an_end_is_in_doubt(chain: Store) -> None:
    chain.start_task("run", "a", worker="one")
    assert summary(chain, "a") == ("in doubt", "attempt 1 was started and has not ended yet", ())
    assert [each.says for each in chain.explain("run", "a").events] == ["attempt 1 by one"]
    chain.resume("run", worker="two", force=True)
    assert summary(chain, "a") == ("in doubt", "attempt 1 was started and never ended", ())
    started, interrupted = chain.explain("run", "a").events
    assert (started.type, interrupted.says) == ("taskRunStarted", "the run was resumed by 'two'")


def test_a_failure_is_cited_and_so_is_what_came_of_it(chain: Store, clock: Clock) -> None:
    chain.start_task("run", "a")
    chain.fail_task("run", "a", ValueError("no"))
    assert summary(chain, "a") == ("failed", "attempt 1 failed; it runs again once it is retried", ())
    assert [each.says for each in chain.explain("run", "a").events] == ["attempt 1", "attempt 1: ValueError: no"]
    due = chain.retry_task("run", "a", reason="try again", delay=3600).due
    assert due is not None
    reason = f"try again, until {due:%Y-%m-%dT%H:%M:%S.%fZ}"
    assert summary(chain, "a") == ("waiting", reason, ())
    assert cited(chain.explain("run", "a")) == [(6, "Started", "a"), (7, "Failed", "a"), (8, "RetryScheduled", "a")]
    assert chain.explain("run", "a").events[-1].says == reason
    clock.time = due + timedelta(seconds=1)
    assert summary(chain, "a") == ("ready", "it needs nothing", ())


def test_a_cancelled_task_says_why(chain: Store) -> None:
    chain.cancel_task("run", "a", "too dear")
    assert summary(chain, "a") == ("cancelled", "too dear", ())


def test_a_task_can_be_explained_as_it_was(chain: Store) -> None:
    completed(chain, "run", "a")
    chain.cancel_run("run")
    then = [chain.explain("run", "a", version=version) for version in (5, 6, 7)]
    assert [each.state for each in then] == ["ready", "in doubt", "reusable"]
    assert [each.run_status for each in then] == ["running"] * 3
    assert chain.explain("run", "a").run_status == "cancelled"


def test_what_is_unknown_cannot_be_explained(chain: Store) -> None:
    for unknown in (("nope", "a", None), ("run", "nope", None), ("run", "a", 2), ("run", "a", 0)):
        with pytest.raises(NotFound):
            chain.explain(unknown[0], unknown[1], version=unknown[2])


@examples(0.2)
@given(commands())
def test_explanations_say_what_the_plan_says_and_cite_what_is_there(history: list[Step]) -> None:
    clock = Clock()
    with open_store("memory:", clock=clock) as store:
        for step in history:
            step.take(store)
        clock.step = timedelta(0)
        for run in store.list_runs():
            check(store, run.id)


def check(store: Store, run_id: str) -> None:
    plan = store.resume_plan(run_id)
    events = with_inherited(store.log.read(run_id), store.codec, store.log.read)
    types = {event.version: event.type for event in events}
    among = {
        "reusable": {each.task_id for each in plan.reusable},
        "stale": {each.task_id for each in plan.stale},
        "in doubt": {each.task_id for each in plan.in_doubt},
        "waiting": {each.task_id for each in plan.waiting},
        "due": {each.task_id for each in plan.due},
        "failed": set(plan.failed),
        "blocked": set(plan.blocked),
        "ready": set(plan.ready),
    }
    for task in store.list_task_runs(run_id):
        found = store.explain(run_id, task.task_id)
        assert task.task_id in among[found.state] if found.state in among else task.status == found.state
        assert found.needs == plan.blocked.get(task.task_id, ())
        versions = [each.version for each in found.events]
        assert versions == sorted(set(versions))
        assert [types[each.version] for each in found.events] == [each.type for each in found.events]
        assert any(each.task_id == task.task_id for each in found.events)
        if found.state == "stale":
            assert any(each.task_id != task.task_id for each in found.events)


def test_a_gate_says_what_it_waits_for_and_who_has_decided_it(chain: Store) -> None:
    chain.wait_task("run", "a", "the editor's yes")
    since = timestamp(list(chain.log.read("run"))[-1].time)
    assert summary(chain, "a") == ("waiting", f"attempt 1 waits since {since}: the editor's yes", ())
    assert cited(chain.explain("run", "a")) == [(6, "Started", "a"), (7, "Waiting", "a")]
    assert chain.explain("run", "a").events[-1].says == "the editor's yes"
    assert summary(chain, "b") == ("blocked", "needs a", ("a",))
    chain.acting(actor="ada").reject_task("run", "a", "too long")
    assert summary(chain, "a") == ("failed", "attempt 1 was rejected by ada; it runs again once it is retried", ())
    chain.retry_task("run", "a")
    chain.wait_task("run", "a", "the editor's yes")
    chain.acting(actor="bob").approve_task("run", "a", comment="fine now")
    found = chain.explain("run", "a")
    assert found.reason == "was approved by bob at version 14, made from no other output"
    assert [(each.type, each.says, each.actor) for each in found.events[-2:]] == [
        ("taskRunApproved", "fine now", "bob"),
        ("taskRunCompleted", "attempt 2", "bob"),
    ]


def test_a_timer_is_due_at_its_time(chain: Store, clock: Clock) -> None:
    due = clock.time + timedelta(hours=1)
    chain.wait_task("run", "a", "tea", until=due)
    state, reason, _ = summary(chain, "a")
    assert (state, reason.partition(": ")[2]) == ("waiting", f"tea, until {timestamp(due)}")
    clock.time = due
    assert summary(chain, "a") == ("due", reason, ())
