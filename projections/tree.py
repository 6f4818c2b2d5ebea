"""A run and all below it: its children, theirs and so on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from eventstore.session import Statement
from projections import tables
from projections.rows import Run
from projections.tables import Columns

# See `ANCESTORS`.
DESCENDANTS = """WHERE id IN (
    WITH RECURSIVE below (id) AS (
        SELECT id FROM main.workflow_runs WHERE id = $1
        UNION
        SELECT run.id FROM below JOIN main.workflow_runs AS run ON run.parent_run_id = below.id
    )
    SELECT id FROM below GROUP BY id HAVING count(*) = 1)
    ORDER BY position, id"""


class Branch(msgspec.Struct, frozen=True):
    """A run, and how far below the first one it is. Its children come right after it, each with all below it."""

    depth: int
    run: Run


def descendants(run_id: str) -> Statement:
    """The query for the run and all below it."""
    return tables.query(Run, DESCENDANTS, (run_id,))


def branches(run_id: str, rows: Sequence[Columns]) -> Iterator[Branch]:
    """The rows of a run and all below it as a tree, each run once. Parents may be at the end of chains of any length,
    or, if programs have made them so, below their own children.
    """
    children: dict[str | None, list[Run]] = {}
    first = []
    for run in tables.parsed(Run, rows):
        children.setdefault(run.parent_run_id, []).append(run)
        if run.id == run_id:
            first = [Branch(0, run)]
    coming, seen = first, set()
    while coming:
        branch = coming.pop()
        if branch.run.id not in seen:
            seen.add(branch.run.id)
            yield branch
            coming += [Branch(branch.depth + 1, child) for child in reversed(children.get(branch.run.id, ()))]
