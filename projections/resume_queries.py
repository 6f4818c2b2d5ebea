"""What an engine asks first after a crash: the outputs that it goes on with, and the plan.

Both are asked of runs with many tasks, of which nearly all are completed and stay so. Of these no more is read than the
answer has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from eventstore.errors import NotFound
from eventstore.payload import Values
from eventstore.session import Argument, Statement
from projections import tables
from projections.inheritance import origins
from projections.outputs import completions, reusable_values
from projections.resume import Plan, Totals, planned, totals
from projections.rows import Attempt, RowT, Run, TaskRun
from projections.tables import Columns
from projections.views import Views

RUN = "WHERE id = $1"
# See `ANCESTORS`.
LINEAGE = """WHERE id IN (
    WITH RECURSIVE line (id) AS (
        SELECT id FROM main.workflow_runs WHERE id = $1
        UNION
        SELECT run.forked_from FROM line JOIN main.workflow_runs AS run ON run.id = line.id
    )
    SELECT id FROM line GROUP BY id HAVING count(*) = 1)"""
# For a run that is looked up Postgres keeps one plan. With `run_id = $1` it makes a new one every time, as long as some
# runs have many more rows than others: 106 µs for ten rows instead of 33.
LIVE_RUN = "SELECT id FROM main.workflow_runs WHERE id = $1 AND deleted_at IS NULL"
OF_LIVE_RUN = f"run_id = ({LIVE_RUN})"
OF_LIVE_ORIGINAL = f"run_id = ({LIVE_RUN} AND forked_from IS NULL)"
COMPLETED = f"SELECT task_id, output, consumed FROM main.node_outputs WHERE {OF_LIVE_RUN} ORDER BY version"
COMPLETED_OF_ORIGINAL = f"""SELECT task_id, output, consumed FROM main.node_outputs
    WHERE {OF_LIVE_ORIGINAL} AND $current ORDER BY version"""
COMPLETIONS = f"SELECT task_id, digest, consumed, version FROM main.node_outputs WHERE {OF_LIVE_RUN} ORDER BY version"
TASKS = f"WHERE {OF_LIVE_RUN} ORDER BY position, task_id"
TASKS_TO_PLAN = f"""WHERE {OF_LIVE_RUN}
    AND (status <> 'completed' OR always_run = 1 OR waiting_since IS NOT NULL) ORDER BY position, task_id"""
ATTEMPTS_IN_DOUBT = f"""WHERE {OF_LIVE_RUN} AND (task_id, attempt) IN (
    SELECT task_id, attempt FROM main.task_runs WHERE {OF_LIVE_RUN} AND status IN ('pending', 'running'))"""
ATTEMPTS_ENDED = f"""SELECT inherited, status, count(*) FROM main.attempts WHERE {OF_LIVE_RUN}
    GROUP BY inherited, status ORDER BY inherited, status"""
USAGES = f"""SELECT inherited, usage FROM main.attempts WHERE {OF_LIVE_RUN} AND usage IS NOT NULL
    ORDER BY task_id, attempt"""

_usage = msgspec.json.Decoder(dict[str, float]).decode


class ResumeQueries:
    """Questions about what a run can go on from."""

    def __init__(self, views: Views, values: Values, now: Callable[[], datetime]) -> None:
        self._views, self._values, self._now = views, values, now

    def get_completed_node_outputs(self, run_id: str) -> dict[str, Any]:
        """The values that a resumed run may go on with, by task, in completion order: all that are reusable.

        One indexed query, plus a read for each large value. Never cut short. Raises `NotFound` for an unknown run,
        `OriginMissing` for a fork whose origin is gone, and whatever goes wrong with the storage: it never returns less
        than there is.
        """
        rows = self._views.ask_if_current(Statement(COMPLETED_OF_ORIGINAL, (run_id,)))
        if not rows:
            runs, rows = self._views.ask(tables.query(Run, RUN, (run_id,)), Statement(COMPLETED, (run_id,)))
            self._check_run(run_id, runs)
        return reusable_values(rows, self._values)

    def resume_plan(self, run_id: str) -> Plan:
        """What resuming the run would go on from. Changes nothing. Raises `NotFound` for an unknown run,
        `OriginMissing` for a fork whose origin is gone.
        """
        made = self._plan(run_id, TASKS_TO_PLAN)
        return self._plan(run_id, TASKS) if made.stale else made

    def _plan(self, run_id: str, tasks_of_it: str) -> Plan:
        """The plan by these tasks: without those that are completed, it may say too little about stale ones."""
        runs, tasks, completed, in_doubt, ended, usages = self._views.ask(
            tables.query(Run, RUN, (run_id,)),
            tables.query(TaskRun, tasks_of_it, (run_id,)),
            Statement(COMPLETIONS, (run_id,)),
            tables.query(Attempt, ATTEMPTS_IN_DOUBT, (run_id,)),
            Statement(ATTEMPTS_ENDED, (run_id,)),
            Statement(USAGES, (run_id,)),
        )
        return planned(
            self._check_run(run_id, runs),
            tables.parsed(TaskRun, tasks),
            *completions(completed),
            tables.parsed(Attempt, in_doubt),
            _totals(ended, usages, 0),
            _totals(ended, usages, 1),
            self._now(),
        )

    def _check_run(self, run_id: str, rows: Sequence[Columns]) -> Run:
        """The run in these rows. Raises `NotFound` without one, `OriginMissing` for a fork whose origin is gone."""
        run = next(iter(tables.parsed(Run, rows)), None)
        if run is None or run.deleted_at is not None:
            raise NotFound("run", run_id, "" if run is None else "It was deleted.")
        if run.forked_from is not None:
            self.list_origins(run_id)
        return run

    def list_origins(self, run_id: str) -> list[Run]:
        """The run that this one was forked from, the one which that was forked from, and so on; deleted ones, too.

        Empty for a run that is no fork, or unknown. Raises `OriginMissing` if one of them is not there.
        """
        known = {run.id: run for run in self._rows(Run, LINEAGE, (run_id,))}
        return origins(known[run_id], known) if run_id in known else []

    def _rows(self, kind: type[RowT], rest: str, arguments: Sequence[Argument]) -> list[RowT]:
        (rows,) = self._views.ask(tables.query(kind, rest, arguments))
        return tables.parsed(kind, rows)


def _totals(ended: Sequence[tuple[Any, ...]], usages: Sequence[tuple[Any, ...]], inherited: int) -> Totals:
    """What the attempts come to that are inherited, or that are not. Raises `DamagedViews`."""
    try:
        return totals(
            ((status, number) for where, status, number in ended if where == inherited),
            (_usage(usage) for where, usage in usages if where == inherited),
        )
    except (msgspec.DecodeError, ValueError) as error:
        raise tables.damaged(Attempt.TABLE, error) from error
