"""Questions about runs, task runs, attempts and outputs. Missing things are None or empty, never an error.

Every query shows all that was appended before it was asked, by any process.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any

import msgspec

from eventstore.errors import InvalidInput, NotFound
from eventstore.failure import Failure
from eventstore.payload import Values
from eventstore.session import Argument
from eventstore.values import encode_value
from projections import tables
from projections.decide import TaskState
from projections.resume import Plan, plan, stale_outputs
from projections.rows import Attempt, Output, RowT, Run, TaskRun
from projections.tables import Columns
from projections.transitions import RUN_STEPS, TASK_STEPS, Steps
from projections.views import Views

RUN = "WHERE id = $1"
LIVE_RUNS = """WHERE position > $1 AND (CAST($2 AS INTEGER) = 1 OR deleted_at IS NULL)
    AND (CAST($3 AS TEXT) IS NULL OR workflow_name = $3)
    AND (CAST($4 AS TEXT) IS NULL OR status IN (SELECT value FROM main.json_each($4)))
    ORDER BY position LIMIT $5"""
_OF_LIVE_RUN = "run_id = $1 AND EXISTS (SELECT 1 FROM main.workflow_runs WHERE id = $1 AND deleted_at IS NULL)"
TASK_RUN = f"WHERE {_OF_LIVE_RUN} AND task_id = $2"
TASK_RUNS = f"""WHERE {_OF_LIVE_RUN}
    AND (CAST($2 AS TEXT) IS NULL OR status IN (SELECT value FROM main.json_each($2)))
    ORDER BY position, task_id"""
TASKS_AMONG = f"""WHERE {_OF_LIVE_RUN} AND task_id IN (SELECT value FROM main.json_each($2))
    ORDER BY position, task_id"""
ATTEMPTS = f"WHERE {_OF_LIVE_RUN} AND (CAST($2 AS TEXT) IS NULL OR task_id = $2) ORDER BY task_id, attempt"
ATTEMPT = f"WHERE {_OF_LIVE_RUN} AND task_id = $2 AND attempt = $3"
LATEST_ATTEMPT = f"""WHERE {_OF_LIVE_RUN} AND task_id = $2
    AND attempt = (SELECT attempt FROM main.task_runs WHERE run_id = $1 AND task_id = $2)"""
OUTPUT = f"WHERE {_OF_LIVE_RUN} AND task_id = $2"
OUTPUTS = f"WHERE {_OF_LIVE_RUN} ORDER BY version"
OUTPUTS_AMONG = f"""WHERE {_OF_LIVE_RUN} AND task_id IN (SELECT value FROM main.json_each($2))
    ORDER BY version"""

_ALL = 2**63 - 1


class Queries:
    """The read side's questions."""

    def __init__(self, views: Views, values: Values, now: Callable[[], datetime]) -> None:
        self._views, self._values, self._now = views, values, now

    def get_run(self, run_id: str, *, include_deleted: bool = False) -> Run | None:
        """The run, or None; a deleted one only if asked for."""
        run = next(iter(self._rows(Run, RUN, (run_id,))), None)
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
        arguments = (after, int(include_deleted), workflow, chosen, _ALL if limit is None else min(limit, _ALL))
        return self._rows(Run, LIVE_RUNS, arguments)

    def get_task_run(self, run_id: str, task_id: str) -> TaskRun | None:
        """The task run, or None."""
        return next(iter(self._rows(TaskRun, TASK_RUN, (run_id, task_id))), None)

    def list_task_runs(self, run_id: str, *, status: str | Collection[str] | None = None) -> list[TaskRun]:
        """All task runs of a run, in the order they were scheduled; none for an unknown run. No hidden limit."""
        return self._rows(TaskRun, TASK_RUNS, (run_id, _statuses(status, TASK_STEPS)))

    def list_attempts(self, run_id: str, task_id: str | None = None) -> list[Attempt]:
        """All attempts of a task run, by number; or of a whole run, by task and number."""
        return self._rows(Attempt, ATTEMPTS, (run_id, task_id))

    def get_attempt(self, run_id: str, task_id: str, attempt: int) -> Attempt | None:
        """One try of a task run, or None."""
        return next(iter(self._rows(Attempt, ATTEMPT, (run_id, task_id, attempt))), None)

    def get_output(self, run_id: str, task_id: str) -> Output | None:
        """The effective output of a task with where it came from, or None; the value is `load`ed separately."""
        return next(iter(self._rows(Output, OUTPUT, (run_id, task_id))), None)

    def list_outputs(self, run_id: str) -> list[Output]:
        """The effective outputs of a run, stale ones included, in completion order."""
        return self._rows(Output, OUTPUTS, (run_id,))

    def task_runs_among(self, run_id: str, task_ids: Collection[str]) -> list[TaskRun]:
        """Those of these task runs that there are."""
        return self._rows(TaskRun, TASKS_AMONG, (run_id, _json(task_ids)))

    def outputs_among(self, run_id: str, task_ids: Collection[str]) -> list[Output]:
        """The effective outputs of those of these tasks that have one."""
        return self._rows(Output, OUTPUTS_AMONG, (run_id, _json(task_ids)))

    def task_state(self, run_id: str, task_id: str) -> TaskState | None:
        """What a decision about a task looks at; None if there is no such run. A deleted one has no tasks."""
        key = (run_id, task_id)
        runs, tasks, attempts, outputs = self._views.ask(
            tables.query(Run, RUN, (run_id,)),
            tables.query(TaskRun, TASK_RUN, key),
            tables.query(Attempt, LATEST_ATTEMPT, key),
            tables.query(Output, OUTPUT, key),
        )
        if not runs:
            return None
        return TaskState(
            tables.parsed(Run, runs)[0],
            task_id,
            next(iter(tables.parsed(TaskRun, tasks)), None),
            next(iter(tables.parsed(Attempt, attempts)), None),
            next(iter(tables.parsed(Output, outputs)), None),
        )

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
        runs, rows = self._views.ask(tables.query(Run, RUN, (run_id,)), tables.query(Output, OUTPUTS, (run_id,)))
        _live(runs, run_id)
        outputs = tables.parsed(Output, rows)
        stale = stale_outputs(outputs)
        return {o.task_id: self._values.load(o.output) for o in outputs if o.output and o.task_id not in stale}

    def resume_plan(self, run_id: str) -> Plan:
        """What resuming the run would go on from. Changes nothing. Raises `NotFound` for an unknown run."""
        runs, tasks, outputs, attempts = self._views.ask(
            tables.query(Run, RUN, (run_id,)),
            tables.query(TaskRun, TASK_RUNS, (run_id, None)),
            tables.query(Output, OUTPUTS, (run_id,)),
            tables.query(Attempt, ATTEMPTS, (run_id, None)),
        )
        return plan(
            _live(runs, run_id),
            tables.parsed(TaskRun, tasks),
            tables.parsed(Output, outputs),
            tables.parsed(Attempt, attempts),
            self._now(),
        )

    def _rows(self, kind: type[RowT], rest: str, arguments: Sequence[Argument]) -> list[RowT]:
        (rows,) = self._views.ask(tables.query(kind, rest, arguments))
        return tables.parsed(kind, rows)


def _live(runs: Sequence[Columns], run_id: str) -> Run:
    run = next(iter(tables.parsed(Run, runs)), None)
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
