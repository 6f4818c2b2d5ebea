"""Questions about workflows, runs, task runs, attempts and outputs. What is missing is None or empty, never an error.

Every query shows all that was appended before it was asked, by any process.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Unpack

import msgspec

from eventstore.chain import timestamp
from eventstore.errors import NotFound
from eventstore.failure import Failure
from eventstore.session import Argument, Statement
from eventstore.validate import check_kind
from projections import tables
from projections.decide import TaskState
from projections.decide_rerun import RunState
from projections.drift import Drift, drift
from projections.resume_queries import OF_LIVE_RUN, RUN, ResumeQueries
from projections.rows import Attempt, Output, Run, TaskRun, Workflow, WorkflowVersion
from projections.run_filter import ChosenRuns, RunFilter, Status, capped, check_counts, chosen_statuses, json_texts
from projections.transitions import RUN_STEPS, TASK_STEPS

RUNS_AMONG = "WHERE id IN (SELECT value FROM main.json_each($1))"
CHILDREN_AMONG = "WHERE parent_run_id IN (SELECT value FROM main.json_each($1)) ORDER BY position"
UNFINISHED_AMONG = """WHERE run_id IN (SELECT value FROM main.json_each($1))
    AND status IN ('pending', 'running', 'waiting') ORDER BY position, task_id"""
# By the + signs both databases look at runs by status, of which few are alive, and not at all runs by position.
RECOVERABLE = """WHERE status IN ('running', 'waiting') AND deleted_at IS NULL AND +position > $1
    AND (lease_until <= $2 OR (lease_until IS NULL AND CAST($3 AS INTEGER) = 1))
    AND (status = 'running' OR waiting_until IS NULL OR waiting_until <= $2)
    ORDER BY +position LIMIT $4"""
RECOVERABLE_IDS = f"SELECT id, position FROM main.workflow_runs {RECOVERABLE}"
# A line has each id once. Only because it is told so does Postgres expect few of them, and look each up instead of
# reading all runs: 0.07 ms instead of 1.5 in a store of 16,000.
ANCESTORS = """WHERE id IN (
    WITH RECURSIVE line (id) AS (
        SELECT id FROM main.workflow_runs WHERE id = $1
        UNION
        SELECT run.parent_run_id FROM line JOIN main.workflow_runs AS run ON run.id = line.id
    )
    SELECT id FROM line GROUP BY id HAVING count(*) = 1)"""
FORKS = """WHERE forked_from = $1 AND (CAST($2 AS INTEGER) = 1 OR deleted_at IS NULL) ORDER BY position"""
WORKFLOW = "WHERE id = $1"
WORKFLOWS = "WHERE CAST($1 AS INTEGER) = 1 OR deleted_at IS NULL ORDER BY id"
WORKFLOW_VERSION = """WHERE workflow_id = $1 AND (CAST($2 AS BIGINT) IS NULL OR version = $2)
    AND (CAST($3 AS TEXT) IS NULL OR hash = $3)
    ORDER BY version DESC LIMIT 1"""
WORKFLOW_VERSIONS = "WHERE workflow_id = $1 ORDER BY version"
TASK_RUN = f"WHERE {OF_LIVE_RUN} AND task_id = $2"
TASK_RUNS = f"""WHERE {OF_LIVE_RUN}
    AND (CAST($2 AS TEXT) IS NULL OR status IN (SELECT value FROM main.json_each($2)))
    ORDER BY position, task_id"""
TASKS_TO_RESUME = f"""WHERE {OF_LIVE_RUN}
    AND (status = 'running' OR (status = 'completed' AND always_run = 1))
    ORDER BY position, task_id"""
TASKS_AMONG = f"""WHERE {OF_LIVE_RUN} AND task_id IN (SELECT value FROM main.json_each($2))
    ORDER BY position, task_id"""
ATTEMPTS = f"WHERE {OF_LIVE_RUN} AND (CAST($2 AS TEXT) IS NULL OR task_id = $2) ORDER BY task_id, attempt"
ATTEMPT = f"WHERE {OF_LIVE_RUN} AND task_id = $2 AND attempt = $3"
LATEST_ATTEMPT = f"""WHERE {OF_LIVE_RUN} AND task_id = $2
    AND attempt = (SELECT attempt FROM main.task_runs WHERE run_id = $1 AND task_id = $2)"""
LATEST_AMONG = f"""WHERE {OF_LIVE_RUN} AND (task_id, attempt) IN (
    SELECT task_id, attempt FROM main.task_runs
    WHERE run_id = $1 AND task_id IN (SELECT value FROM main.json_each($2)))"""
OUTPUT = f"WHERE {OF_LIVE_RUN} AND task_id = $2"
OUTPUTS = f"WHERE {OF_LIVE_RUN} ORDER BY version"
OUTPUTS_AMONG = f"""WHERE {OF_LIVE_RUN} AND task_id IN (SELECT value FROM main.json_each($2))
    ORDER BY version"""


class Page(msgspec.Struct, frozen=True):
    """Some of the runs that a filter chooses, and how many it chooses in all, at the same moment. `next_after` is the
    cursor to go on with; None if these were the last.
    """

    items: tuple[Run, ...]
    total: int
    offset: int
    limit: int
    next_after: int | None


class Queries(ResumeQueries):
    """The read side's questions."""

    def get_run(self, run_id: str, *, include_deleted: bool = False) -> Run | None:
        """The run, or None; a deleted one only if asked for."""
        run = next(iter(self._rows(Run, RUN, (run_id,))), None)
        return run if run is None or run.deleted_at is None or include_deleted else None

    def run_at(self, run_id: str) -> tuple[int, Run | None]:
        """The run, even if it was deleted, with a version of its stream than which it is not older."""
        version, (rows,) = self._views.ask_at(run_id, tables.query(Run, RUN, (run_id,)))
        return version, next(iter(tables.parsed(Run, rows)), None)

    def list_runs(
        self,
        *,
        status: Status = None,
        after: int = 0,
        limit: int | None = None,
        newest_first: bool = False,
        **wanted: Unpack[RunFilter],
    ) -> list[Run]:
        """Runs in the order they were created, or the other way round; all of them unless there is a limit.

        `status` is one or several, none of which may be unknown (`InvalidInput`, a ValueError); an empty collection
        gives an empty list. What else they are chosen by: see `RunFilter`. `after` is the position of the last run of
        the page before, so that walking on misses and repeats nothing while runs are created.
        """
        chosen = ChosenRuns(status, **wanted)
        (rows,) = self._views.ask(chosen.rows(after=after, offset=0, limit=limit, newest_first=newest_first))
        return tables.parsed(Run, rows)

    def list_recoverable(
        self, *, include_unleased: bool = False, after: int = 0, limit: int | None = None
    ) -> list[Run]:
        """Runs that somebody should go on with, in the order they were created: they are running or waiting, and their
        leases have run out, by this store's clock. One that waits until a time is left alone until then.

        Of a run without a lease nobody can say whether its worker is at work: such runs only if they are asked for.
        `after` is the position of the last run of the page before.
        """
        return self._rows(Run, RECOVERABLE, self._recoverable(include_unleased, after, limit))

    def recoverable_ids(
        self, *, include_unleased: bool = False, after: int = 0, limit: int | None = None
    ) -> list[tuple[str, int]]:
        """The ids and positions of the runs that `list_recoverable` would give. Rows that are damaged spoil nothing."""
        (rows,) = self._views.ask(Statement(RECOVERABLE_IDS, self._recoverable(include_unleased, after, limit)))
        return [(str(run_id), int(position or 0)) for run_id, position in rows]

    def _recoverable(self, include_unleased: bool, after: int, limit: int | None) -> tuple[Argument, ...]:
        check_counts(after=after, limit=limit)
        return capped(after), timestamp(self._now()), int(bool(include_unleased)), capped(limit)

    def page_runs(
        self,
        *,
        status: Status = None,
        after: int = 0,
        offset: int = 0,
        limit: int = 50,
        newest_first: bool = False,
        **wanted: Unpack[RunFilter],
    ) -> Page:
        """A page of the runs that `list_runs` would give, and how many these are in all, of one and the same moment.

        An offset past the end gives no runs and the right total, and so does a limit of 0. To walk on while runs are
        created, give `next_after` of the page before as `after`, from which `offset` counts.
        """
        chosen = ChosenRuns(status, **wanted)
        check_counts(limit=limit)
        more = limit + 1 if limit > 0 else limit  # to see whether these are the last
        rows, ((total,),) = self._views.ask(
            chosen.rows(after=after, offset=offset, limit=more, newest_first=newest_first), chosen.total()
        )
        items = tables.parsed(Run, rows[:limit])
        return Page(tuple(items), int(total or 0), offset, limit, items[-1].position if len(rows) > limit else None)

    def count_runs(self, **wanted: Unpack[RunFilter]) -> dict[str, int]:
        """How many runs are in each status, of those that are chosen; 0 where there are none."""
        (rows,) = self._views.ask(ChosenRuns(**wanted).counts())
        return dict.fromkeys(RUN_STEPS, 0) | {str(status): int(count or 0) for status, count in rows}

    def list_children(self, run_id: str, *, include_deleted: bool = False) -> list[Run]:
        """The runs that name this one as their parent, in the order they were created."""
        return self.list_runs(parent=run_id, include_deleted=include_deleted)

    def list_ancestors(self, run_id: str, *, include_deleted: bool = False) -> list[Run]:
        """The run's parent, that one's parent, and so on, as far as there are any. A deleted one is left out unless
        asked for, but not those beyond it.
        """
        known = {run.id: run for run in self._rows(Run, ANCESTORS, (run_id,))}
        line: list[Run] = []
        run = known.pop(run_id, None)
        while run is not None and (run := known.pop(run.parent_run_id or "", None)) is not None:
            line.append(run)
        return [run for run in line if include_deleted or run.deleted_at is None]

    def list_forks(self, run_id: str, *, include_deleted: bool = False) -> list[Run]:
        """The runs that were forked from this one, in the order they were created; not those forked from them."""
        return self._rows(Run, FORKS, (run_id, int(bool(include_deleted))))

    def families(self, run_ids: Collection[str]) -> tuple[list[Run], list[TaskRun], list[Run]]:
        """Those of these runs that there are, their task runs that have not ended, and their children, all from one
        state; deleted ones, too.
        """
        ids = (json_texts(run_ids),)
        runs, unfinished, children = self._views.ask(
            tables.query(Run, RUNS_AMONG, ids),
            tables.query(TaskRun, UNFINISHED_AMONG, ids),
            tables.query(Run, CHILDREN_AMONG, ids),
        )
        return tables.parsed(Run, runs), tables.parsed(TaskRun, unfinished), tables.parsed(Run, children)

    def get_workflow(self, workflow_id: str, *, include_deleted: bool = False) -> Workflow | None:
        """The newest version of a workflow definition, or None; a deleted one only if asked for.

        `load` the definition: each call makes a new object, and changing that changes nothing here.
        """
        workflow = next(iter(self._rows(Workflow, WORKFLOW, (workflow_id,))), None)
        return workflow if workflow is None or workflow.deleted_at is None or include_deleted else None

    def get_workflow_version(
        self, workflow_id: str, *, version: int | None = None, hash: str | None = None
    ) -> WorkflowVersion | None:
        """A version of a workflow definition, by number, by hash or by both; None if there is none.

        Of several with one hash, or if nothing is said, it is the newest. Versions of a deleted definition can still
        be read: runs refer to them.
        """
        if version is not None:
            check_kind(version, int, "the version")
        number = None if version is None else capped(version)
        return next(iter(self._rows(WorkflowVersion, WORKFLOW_VERSION, (workflow_id, number, hash))), None)

    def list_workflows(self, *, include_deleted: bool = False) -> list[Workflow]:
        """All workflow definitions at their newest versions, by id."""
        return self._rows(Workflow, WORKFLOWS, (int(bool(include_deleted)),))

    def list_workflow_versions(self, workflow_id: str) -> list[WorkflowVersion]:
        """All versions of a workflow definition, oldest first, even if it was deleted."""
        return self._rows(WorkflowVersion, WORKFLOW_VERSIONS, (workflow_id,))

    def get_task_run(self, run_id: str, task_id: str) -> TaskRun | None:
        """The task run, or None."""
        return next(iter(self._rows(TaskRun, TASK_RUN, (run_id, task_id))), None)

    def list_task_runs(self, run_id: str, *, status: Status = None) -> list[TaskRun]:
        """All task runs of a run, in the order they were scheduled; none for an unknown run. No hidden limit."""
        chosen = chosen_statuses(status, TASK_STEPS)
        return self._rows(TaskRun, TASK_RUNS, (run_id, None if chosen is None else json_texts(chosen)))

    def list_attempts(self, run_id: str, task_id: str | None = None) -> list[Attempt]:
        """All attempts of a task run, by number; or of a whole run, by task and number."""
        return self._rows(Attempt, ATTEMPTS, (run_id, task_id))

    def get_attempt(self, run_id: str, task_id: str, attempt: int) -> Attempt | None:
        """One try of a task run, or None."""
        check_kind(attempt, int, "the attempt")
        return next(iter(self._rows(Attempt, ATTEMPT, (run_id, task_id, capped(attempt)))), None)

    def get_output(self, run_id: str, task_id: str) -> Output | None:
        """The effective output of a task with where it came from, or None; the value is `load`ed separately."""
        return next(iter(self._rows(Output, OUTPUT, (run_id, task_id))), None)

    def list_outputs(self, run_id: str) -> list[Output]:
        """The effective outputs of a run, stale ones included, in completion order."""
        return self._rows(Output, OUTPUTS, (run_id,))

    def tasks_to_resume(self, run_id: str) -> list[TaskRun]:
        """The task runs that a resumption of the run does something about: those that are running, and those completed
        ones that every resumption runs again.
        """
        return self._rows(TaskRun, TASKS_TO_RESUME, (run_id,))

    def task_runs_among(self, run_id: str, task_ids: Collection[str]) -> list[TaskRun]:
        """Those of these task runs that there are."""
        return self._rows(TaskRun, TASKS_AMONG, (run_id, json_texts(task_ids)))

    def latest_attempts_among(self, run_id: str, task_ids: Collection[str]) -> list[Attempt]:
        """The newest attempts of those of these tasks that have one."""
        return self._rows(Attempt, LATEST_AMONG, (run_id, json_texts(task_ids)))

    def outputs_among(self, run_id: str, task_ids: Collection[str]) -> list[Output]:
        """The effective outputs of those of these tasks that have one."""
        return self._rows(Output, OUTPUTS_AMONG, (run_id, json_texts(task_ids)))

    def task_state(self, run_id: str, task_id: str) -> TaskState | None:
        """What a decision about a task looks at; None if there is no such run. A deleted one has no tasks."""
        return self.task_state_at(run_id, task_id)[1]

    def task_state_at(self, run_id: str, task_id: str) -> tuple[int, TaskState | None]:
        """The same, with a version of the run's stream than which nothing of it is older."""
        key = (run_id, task_id)
        version, (runs, tasks, attempts, outputs) = self._views.ask_at(
            run_id,
            tables.query(Run, RUN, (run_id,)),
            tables.query(TaskRun, TASK_RUN, key),
            tables.query(Attempt, LATEST_ATTEMPT, key),
            tables.query(Output, OUTPUT, key),
        )
        if not runs:
            return version, None
        return version, TaskState(
            tables.parsed(Run, runs)[0],
            task_id,
            next(iter(tables.parsed(TaskRun, tasks)), None),
            next(iter(tables.parsed(Attempt, attempts)), None),
            next(iter(tables.parsed(Output, outputs)), None),
        )

    def run_state(self, run_id: str) -> RunState | None:
        """What a decision about several tasks of a run looks at, all from one state; None if there is no such run."""
        runs, tasks, outputs = self._views.ask(
            tables.query(Run, RUN, (run_id,)),
            tables.query(TaskRun, TASK_RUNS, (run_id, None)),
            tables.query(Output, OUTPUTS, (run_id,)),
        )
        if not runs:
            return None
        return RunState(tables.parsed(Run, runs)[0], tables.parsed(TaskRun, tasks), tables.parsed(Output, outputs))

    def drift(self, run_id: str, fingerprints: Mapping[str, str]) -> Drift:
        """How the tasks of a workflow differ by now from those the run was scheduled with. Changes nothing.

        `fingerprints` are those of all tasks, by id, as the workflow is now. What to do is the caller's choice: to go
        on as it is; to have what has changed run again, with `rerun_from`, and schedule it with its new fingerprint; or
        to begin a new run. Raises `NotFound` for an unknown run.
        """
        state = self.run_state(run_id)
        if state is None or state.run.deleted_at is not None:
            raise NotFound("run", run_id, "" if state is None else "It was deleted.")
        return drift(run_id, state.tasks, fingerprints)

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
