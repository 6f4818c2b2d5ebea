"""Three small engines, each of which holds one interface and nothing else. They run the same letters.

Each is a list of lives: of processes that come one after the other, and end without a word.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from projections import IStateStore, ITaskStore, IWorkflowStore, TaskEnd

RUN = "münchen/../2026:01 \u2028…" + "x" * 300
WRITE, FOLD, POST, FRANK = "../write", "fold:1", "Fold:1", "\U0001f4ee/frank"
NEEDS = {WRITE: [], FOLD: [WRITE], POST: [FOLD], FRANK: [WRITE]}
LETTER = "Dear all, " * 2_000
FOLDS = {"folds": [2, None, 1.5, "ü\u2028\u0085"], "": {}}


def reporting_begins(store: IWorkflowStore) -> None:
    store.create_workflow_run("letters", id=RUN, user_message="Dear", input={"to": "all"}, metadata={"n": 1})
    store.create_workflow_event(RUN, "workflow_started", {"worker": "first"})
    for node, needs in NEEDS.items():
        store.create_workflow_event(RUN, "node_scheduled", {"node_id": node, "depends_on": needs})
    store.create_workflow_event(RUN, "node_started", {"node_id": WRITE})
    store.create_workflow_event(RUN, "node_completed", {"node_id": WRITE, "output": LETTER, "usage": {"ink": 3}})
    store.create_workflow_event(RUN, "node_started", {"node_id": FOLD})
    store.create_workflow_event(RUN, "node_failed", {"node_id": FOLD, "error": {"message": "paper jam", "code": "J"}})
    store.create_workflow_event(RUN, "node_retried", {"node_id": FOLD, "reason": "another sheet"})
    store.create_workflow_event(RUN, "post.weighed", {"grams": 20.5, "\u2028": None})
    store.create_workflow_event(RUN, "node_started", {"node_id": FOLD})


def reporting_goes_on(store: IWorkflowStore) -> None:
    plan = store.resume_workflow_run(RUN, worker="second").plan
    assert [task.task_id for task in plan.in_doubt] == [FOLD]
    assert store.get_completed_dag_node_outputs(RUN) == {WRITE: LETTER}
    store.create_workflow_event(RUN, "taskRunReused", {"task_id": WRITE})
    for node, output in ((FOLD, FOLDS), (POST, None)):
        store.create_workflow_event(RUN, "node_started", {"node_id": node, "worker": "second"})
        store.create_workflow_event(RUN, "node_completed", {"node_id": node, "output": output})
    store.create_workflow_event(RUN, "node_skipped", {"node_id": FRANK, "reason": "franked"})
    store.pause_workflow_run(RUN, "the post office opens")


def reporting_ends(store: IWorkflowStore) -> None:
    assert list(store.get_completed_dag_node_outputs(RUN)) == [WRITE, FOLD, POST]
    store.update_workflow_run(RUN, status="completed", output="posted", metadata={"n": [2], "by": "hand"})
    store.create_workflow_event(RUN, "workflow_completed")


def keeping_begins(store: IStateStore) -> None:
    store.save_workflow("letters", {"nodes": NEEDS}, name="Letters", metadata={"team": "post"})
    store.create_execution("letters", execution_id=RUN, input={"to": "all"}, metadata={"n": 1})
    store.update_execution(RUN, "running", worker="first")
    for node, needs in NEEDS.items():
        store.create_task_run(RUN, node, depends_on=needs)
    store.update_task_run(RUN, WRITE, "running", worker="first")
    store.update_task_run(RUN, WRITE, "completed", output=LETTER, attempt=1, usage={"ink": 3})
    store.record_attempt(RUN, FOLD)
    store.update_task_run(RUN, FOLD, "failed", error="paper jam", attempt=1)
    store.record_attempt(RUN, FOLD, reason="another sheet")


def keeping_goes_on(store: IStateStore) -> None:
    claim = store.resume_execution(RUN, worker="second")
    assert [task.task_id for task in claim.plan.in_doubt] == [FOLD]
    attempt = store.record_attempt(RUN, FOLD, worker="second", epoch=claim.epoch)
    store.update_task_run(RUN, FOLD, "completed", output=FOLDS, attempt=attempt.attempt, epoch=claim.epoch)
    store.update_execution(RUN, "waiting", reason="the post office opens", epoch=claim.epoch)


def keeping_ends(store: IStateStore) -> None:
    store.update_execution(RUN, "running", worker="third", metadata={"n": [2], "by": "hand"})
    for node in (POST, FRANK):
        store.update_task_run(RUN, node, "running", worker="third")
    ends = {POST: TaskEnd(status="completed"), FRANK: TaskEnd(status="cancelled", reason="franked")}
    store.finish(RUN, "completed", ends, output="posted")


def persisting_begins(store: ITaskStore) -> None:
    store.create_workflow(RUN, "letters", metadata={"n": 1}, worker="first")
    store.persist_start(RUN, WRITE, worker="first", input={"to": "all"})
    store.persist_completion(RUN, WRITE, LETTER, attempt=1, usage={"ink": 3})
    store.persist_start(RUN, FOLD, depends_on=[WRITE])
    store.persist_failure(RUN, FOLD, "paper jam", attempt=1)
    store.retry(RUN, FOLD, reason="another sheet")
    store.persist_start(RUN, FOLD, attempt=2)


def persisting_goes_on(store: ITaskStore) -> None:
    store.resume_workflow(RUN, worker="second")
    assert [task.task_id for task in store.list_tasks(RUN, "pending")] == [FOLD]
    assert store.get_result(RUN, WRITE) == LETTER
    store.persist_start(RUN, FOLD, worker="second")
    store.persist_completion(RUN, FOLD, FOLDS, attempt=3)
    store.finish_workflow(RUN, error="the post office is closed")


def persisting_ends(store: ITaskStore) -> None:
    store.resume_workflow(RUN, worker="third")
    store.persist_start(RUN, POST, depends_on=NEEDS[POST])
    store.persist_completion(RUN, POST, None)
    assert store.detect_orphans() == ()
    store.finish_workflow(RUN, "posted")


Lives = tuple[Callable[[Any], None], ...]
REPORTING: Lives = (reporting_begins, reporting_goes_on, reporting_ends)
KEEPING: Lives = (keeping_begins, keeping_goes_on, keeping_ends)
PERSISTING: Lives = (persisting_begins, persisting_goes_on, persisting_ends)
