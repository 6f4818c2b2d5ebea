"""Questions about runs, task runs, attempts and outputs. Missing things are None or empty, never an error.

Every query shows all that was appended before it was asked, by any process.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any

import msgspec

from eventstore.errors import InvalidInput, NotFound
from eventstore.failure import Failure
from eventstore.payload import Values
from eventstore.values import encode_value
from projections import tables
from projections.decide import TaskState
from projections.resume import Plan, plan, stale_outputs
from projections.rows import Attempt, Output, Run, TaskRun
from projections.transitions import RUN_STEPS, TASK_STEPS, Steps
from projections.views import Views

RUN = "WHERE id = $1"
LIVE_RUNS = """WHERE position > $1 AND ($2 OR deleted_at IS NULL)
    AND ($3 IS NULL OR workflow_name = $3) AND ($4 IS NULL OR status IN (SELECT value FROM json_each($4)))
    ORDER BY position LIMIT $5"""
_OF_LIVE_RUN = "run_id = $1 AND EXISTS (SELECT 1 FROM workflow_runs WHERE id = $1 AND deleted_at IS NULL)"
TASK_RUN = f"WHERE {_OF_LIVE_RUN} AND task_id = $2"
TASK_RUNS = f"""WHERE {_OF_LIVE_RUN} AND ($2 IS NULL OR status IN (SELECT value FROM json_each($2)))
    ORDER BY position, task_id"""
TASKS_AMONG = f"WHERE {_OF_LIVE_RUN} AND task_id IN (SELECT value FROM json_each($2))"
ATTEMPTS = f"WHERE {_OF_LIVE_RUN} AND ($2 IS NULL OR task_id = $2) ORDER BY task_id, attempt"
ATTEMPT = f"WHERE {_OF_LIVE_RUN} AND task_id = $2 AND attempt = $3"
OUTPUT = f"WHERE {_OF_LIVE_RUN} AND task_id = $2"
OUTPUTS = f"WHERE {_OF_LIVE_RUN} ORDER BY version"
OUTPUTS_AMONG = f"WHERE {_OF_LIVE_RUN} AND task_id IN (SELECT value FROM json_each($2))"


class Queries:
    """The read side's questions."""

    def __init__(self, views: Views, values: Values, now: Callable[[], datetime]) -> None:
        self._views, self._values, self._now = views, values, now

    def get_run(self, run_id: str, *, include_deleted: bool = False) -> Run | None:
        """The run, or None; a deleted one only if asked for."""
        with self._views.snapshot() as connection:
            run = next(iter(tables.select(connection, Run, RUN, (run_id,))), None)
        return run if run is None or run.deleted_at is None or include_deleted else None

    def list_runs(
        self,
        *,
        status: str | Collection[str] | None = None,
        workflow: str | None = None,
        include_deleted: bool = False,
        after: int = 0,
        limit: int | None = None,
    ) -> list[Run]:
        """Runs in the order they were created, all of them unless there is a limit.

        `status` is one or several, none of which may be unknown (`InvalidInput`, a ValueError); an empty collection
        gives an empty list. `after` is the position of the last run of the page before.
        """
        if limit is not None and limit < 0:
            raise InvalidInput(f"a limit of {limit}", "Give a number from 0, or None for all.")
        chosen = _statuses(status, RUN_STEPS)
        arguments = (after, int(include_deleted), workflow, chosen, -1 if limit is None else limit)
        with self._views.snapshot() as connection:
            return tables.select(connection, Run, LIVE_RUNS, arguments)

    def get_task_run(self, run_id: str, task_id: str) -> TaskRun | None:
        """The task run, or None."""
        with self._views.snapshot() as connection:
            return next(iter(tables.select(connection, TaskRun, TASK_RUN, (run_id, task_id))), None)

    def list_task_runs(self, run_id: str, *, status: str | Collection[str] | None = None) -> list[TaskRun]:
        """All task runs of a run, in the order they were scheduled; none for an unknown run. No hidden limit."""
        with self._views.snapshot() as connection:
            return tables.select(connection, TaskRun, TASK_RUNS, (run_id, _statuses(status, TASK_STEPS)))

    def list_attempts(self, run_id: str, task_id: str | None = None) -> list[Attempt]:
        """All attempts of a task run, by number; or of a whole run, by task and number."""
        with self._views.snapshot() as connection:
            return tables.select(connection, Attempt, ATTEMPTS, (run_id, task_id))

    def get_attempt(self, run_id: str, task_id: str, attempt: int) -> Attempt | None:
        """One try of a task run, or None."""
        with self._views.snapshot() as connection:
            return next(iter(tables.select(connection, Attempt, ATTEMPT, (run_id, task_id, attempt))), None)

    def get_output(self, run_id: str, task_id: str) -> Output | None:
        """The effective output of a task with where it came from, or None; the value is `load`ed separately."""
        with self._views.snapshot() as connection:
            return next(iter(tables.select(connection, Output, OUTPUT, (run_id, task_id))), None)

    def list_outputs(self, run_id: str) -> list[Output]:
        """The effective outputs of a run, stale ones included, in completion order."""
        with self._views.snapshot() as connection:
            return tables.select(connection, Output, OUTPUTS, (run_id,))

    def task_runs_among(self, run_id: str, task_ids: Collection[str]) -> list[TaskRun]:
        """Those of these task runs that there are."""
        with self._views.snapshot() as connection:
            return tables.select(connection, TaskRun, TASKS_AMONG, (run_id, _json(task_ids)))

    def outputs_among(self, run_id: str, task_ids: Collection[str]) -> list[Output]:
        """The effective outputs of those of these tasks that have one."""
        with self._views.snapshot() as connection:
            return tables.select(connection, Output, OUTPUTS_AMONG, (run_id, _json(task_ids)))

    def task_state(self, run: Run, task_id: str) -> TaskState:
        """What a decision about a task looks at."""
        with self._views.snapshot() as connection:
            task = next(iter(tables.select(connection, TaskRun, TASK_RUN, (run.id, task_id))), None)
            output = next(iter(tables.select(connection, Output, OUTPUT, (run.id, task_id))), None)
            number = task.attempt if task else 0
            attempt = next(iter(tables.select(connection, Attempt, ATTEMPT, (run.id, task_id, number))), None)
        return TaskState(run, task_id, task, attempt, output)

    def get_result(self, run_id: str, task_id: str) -> Any:
        """The exact value of a task's effective output. Raises `NotFound` if there is none, so that None is a value;
        `BlobMissing` or `BlobCorrupt` if the bytes are gone.
        """
        output = self.get_output(run_id, task_id)
        if output is None or output.output is None:
            raise NotFound("output of task", task_id, "It is not completed, or was invalidated.")
        return self._values.load(output.output)

    def get_failure(self, run_id: str, task_id: str) -> Failure | None:
        """The error of the task's latest failed attempt, whole; None if no attempt has failed."""
        failed = [attempt for attempt in self.list_attempts(run_id, task_id) if attempt.failure is not None]
        return self.whole_failure(failed[-1].failure) if failed and failed[-1].failure else None

    def whole_failure(self, failure: Failure) -> Failure:
        """The failure with every text uncut, read from its blob if it went to one."""
        if failure.full is None:
            return failure
        return msgspec.convert(self._values.load(failure.full), Failure)

    def get_completed_node_outputs(self, run_id: str) -> dict[str, Any]:
        """The values that a resumed run may go on with, by task, in completion order: all that are reusable.

        One indexed query, plus a read for each large value. Never cut short. Raises `NotFound` for an unknown run, and
        whatever goes wrong with the storage: it never returns less than there is.
        """
        with self._views.snapshot() as connection:
            _live_run(connection, run_id)
            outputs = tables.select(connection, Output, OUTPUTS, (run_id,))
        stale = stale_outputs(outputs)
        return {o.task_id: self._values.load(o.output) for o in outputs if o.output and o.task_id not in stale}

    def resume_plan(self, run_id: str) -> Plan:
        """What resuming the run would go on from. Changes nothing. Raises `NotFound` for an unknown run."""
        with self._views.snapshot() as connection:
            run = _live_run(connection, run_id)
            tasks = tables.select(connection, TaskRun, TASK_RUNS, (run_id, None))
            outputs = tables.select(connection, Output, OUTPUTS, (run_id,))
            attempts = tables.select(connection, Attempt, ATTEMPTS, (run_id, None))
        return plan(run, tasks, outputs, attempts, self._now())


def _live_run(connection: sqlite3.Connection, run_id: str) -> Run:
    run = next(iter(tables.select(connection, Run, RUN, (run_id,))), None)
    if run is None or run.deleted_at is not None:
        raise NotFound("run", run_id, "" if run is None else "It was deleted.")
    return run


def _statuses(status: str | Collection[str] | None, known: Steps) -> str | None:
    if status is None:
        return None
    chosen = [status] if isinstance(status, str) else list(status)
    for each in chosen:
        if each not in known:
            raise InvalidInput(f"unknown status {each!r}", f"Use one of: {', '.join(known)}.")
    return _json(chosen)


def _json(texts: Collection[str]) -> str:
    return encode_value(list(texts)).decode()
