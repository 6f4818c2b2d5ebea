"""No database reads a whole table for the few rows that are asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing

import pytest

from eventstore.codec import Codec
from eventstore.events import RunCreated
from eventstore.log import Append
from eventstore.session import Argument
from eventstore.sql_decide import COMMIT, COMMIT_OF_ID, HEADS, LARGEST_ID
from eventstore.sql_log import SqlLog
from eventstore.sql_reader import ALL, HEAD, OF_STREAMS, OF_TYPES, OF_TYPES_AND_STREAMS, STREAM
from projections import open_store
from projections.inline_views import CURRENT, UNPROJECTED
from projections.queries import (
    ANCESTORS,
    CHILDREN_AMONG,
    OUTPUTS,
    RUNS_AMONG,
    TASKS_AMONG,
    UNFINISHED_AMONG,
)
from projections.resume_queries import ATTEMPTS_IN_DOUBT, COMPLETED_OF_ORIGINAL, LINEAGE, TASKS_TO_PLAN
from projections.rows import Attempt, Output, Run, TaskRun
from projections.tables import query
from projections.tree import descendants
from tests.sql_stores import SQL, open_log, sql_log
from tests.stores import address_of

RUNS = 8_000
FEW = json.dumps(["run-7", "run-8"])
TYPES = json.dumps(["runCreated"])

STATEMENTS: dict[str, tuple[str, Sequence[Argument]]] = {
    "heads": (HEADS, (FEW,)),
    "largest id": (LARGEST_ID, ()),
    "commit of an id": (COMMIT_OF_ID, (bytes(16),)),
    "commit": (COMMIT, (7, 9)),
    "head": (HEAD, ("run-7",)),
    "stream": (STREAM, ("run-7", 0, 1, RUNS, 1_000)),
    "all events": (ALL, (7, RUNS, 100)),
    "events of types": (OF_TYPES, (7, RUNS, 100, TYPES)),
    "events of streams": (OF_STREAMS, (7, RUNS, 100, FEW)),
    "events of types and streams": (OF_TYPES_AND_STREAMS, (7, RUNS, 100, TYPES, FEW)),
    "events that are not in the views": (UNPROJECTED, ()),
    "runs": query(Run, RUNS_AMONG, (FEW,)),
    "children": query(Run, CHILDREN_AMONG, (FEW,)),
    "ancestors": query(Run, ANCESTORS, ("run-7",)),
    "origins": query(Run, LINEAGE, ("run-7",)),
    "descendants": descendants("run-7"),
    "unfinished tasks": query(TaskRun, UNFINISHED_AMONG, (FEW,)),
    "tasks": query(TaskRun, TASKS_AMONG, ("run-7", FEW)),
    "outputs": query(Output, OUTPUTS, ("run-7",)),
    "completed outputs": (COMPLETED_OF_ORIGINAL.replace("$current", CURRENT), ("run-7",)),
    "tasks to plan": query(TaskRun, TASKS_TO_PLAN, ("run-7",)),
    "attempts in doubt": query(Attempt, ATTEMPTS_IN_DOUBT, ("run-7",)),
}
SCANS = {"sqlite": ("EXPLAIN QUERY PLAN", "SCAN main."), "postgres": ("EXPLAIN", "Seq Scan on ")}
LARGE = ("workflow_events", "workflow_runs")


@pytest.fixture(scope="module", params=SQL)
def log(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlLog]:
    """The log of many runs, all of which were appended without the views, and taken into them later."""
    address, codec = address_of(request.param, tmp_path_factory.mktemp("plans")), Codec()
    with closing(open_log(address)) as log:
        log.append([Append(f"run-{number}", [codec.encode(RunCreated("nightly"))]) for number in range(RUNS)])
    with open_store(address) as store:
        log = sql_log(store)
        if log.dialect == "postgres":  # as it does by itself some time
            log.database.write("ANALYZE")
        yield log


@pytest.mark.parametrize("asked", STATEMENTS)
def test_no_statement_reads_a_whole_table_for_a_few_rows(log: SqlLog, asked: str) -> None:
    text, arguments = STATEMENTS[asked]
    explain, scan = SCANS[log.dialect]
    steps = [str(row[-1]) for row in log.database.rows(f"{explain} {text}", arguments)]
    scans = [step for step in steps for table in LARGE if f"{scan}{table}" in step]
    assert steps
    assert not [step for step in scans if "COVERING INDEX" not in step]  # of which only the end is read
