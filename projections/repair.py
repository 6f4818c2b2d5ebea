"""Mends what verification finds and something can be done about: each finding has one remedy at most.

Nothing here guesses. Views that differ are made again. Events of a run that was never created are kept as a run, or
purged, as the caller says. Everything else is left, and told; and if the log itself may be damaged, nothing is done at
all: what looks like an orphan could be all that is left of something.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import msgspec

from eventstore.board_events import BOARD_STREAM
from eventstore.errors import InvalidInput, LogCorrupt, WrongExpectedVersion
from eventstore.events import RunCreated
from eventstore.session import Statement
from eventstore.validate import check_kind
from projections.commands import Actor
from projections.findings import REBUILD, Finding, doubts_log
from projections.orphans import orphans
from projections.verify import Report, verify_open
from projections.views import Views

RUN_CREATED = "SELECT 1 FROM main.workflow_runs WHERE id = $1 AND position > 0"
BOARD_TASK_CREATED = "SELECT 1 FROM main.board_tasks WHERE id = $1 AND position > 0"

UNKNOWN = "unknown"
"""The name of the workflow of an adopted run, unless the caller knows a better one."""
_ADOPTED = msgspec.Raw(b'{"adopted":true}')


class LogInDoubt(LogCorrupt):
    """Nothing was repaired: the log itself may be damaged, and what is left of it must stay as it is."""

    code = "log-in-doubt"

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(where, 0, 0, reason)
        self.args = (where, reason)

    def __str__(self) -> str:
        return f"nothing was repaired, for the log is in doubt: {self.file}: {self.reason}"

    @property
    def hint(self) -> str:
        return "Copy the store aside, list all damage with `eventstore verify`, and restore it from a backup."


class Remedy(msgspec.Struct, frozen=True):
    """What mends some of the findings: making all views again, or something that is done to one stream."""

    name: Literal["rebuild", "adopt", "purge"]
    stream: str = ""


class Repair(msgspec.Struct, frozen=True):
    """What was done, or would be, in order; and the findings, worse than `info`, that nothing is done about."""

    done: bool
    remedies: tuple[Remedy, ...]
    left: tuple[Finding, ...]


def plan_repair(report: Report, *, adopt: bool = False, purge: bool = False) -> Repair:
    """What can be done about these findings. `adopt` is for runs that were never created, `purge` for all streams
    whose first event is missing.

    Raises `LogInDoubt` if the log may be damaged, `InvalidInput` for both at once.
    """
    if adopt and purge:
        raise InvalidInput("a stream cannot be adopted and purged", "Choose one of the two.")
    for finding in filter(doubts_log, report.findings):
        raise LogInDoubt(finding.where, finding.message)
    remedies: dict[Remedy, None] = {}
    left = []
    for finding in report.findings:
        remedy = _remedy(finding, adopt=adopt, purge=purge)
        if remedy is not None:
            remedies[remedy] = None
        elif finding.severity != "info":
            left.append(finding)
    in_order = sorted(remedies, key=lambda remedy: remedy.name != "rebuild")  # the others look at the views
    return Repair(False, tuple(in_order), tuple(left))


def _remedy(finding: Finding, *, adopt: bool, purge: bool) -> Remedy | None:
    if finding.action == REBUILD:
        return Remedy("rebuild")
    if finding.stream and purge:
        return Remedy("purge", finding.stream)
    if finding.stream and adopt and not finding.stream.startswith(BOARD_STREAM):
        return Remedy("adopt", finding.stream)
    return None


class Repairs(Actor):
    """What can be done about what belongs to nothing, and about views that differ from their log."""

    _views: Views

    def orphans(self) -> tuple[Finding, ...]:
        """Runs, tasks and attempts without what they belong to, and what can be done, all from one state of the views.

        Empty as long as nothing but commands has written to the log.
        """
        with self._views.at_once() as session:
            return tuple(orphans(session))

    def repair(
        self,
        report: Report | None = None,
        *,
        adopt: bool = False,
        purge: bool = False,
        workflow_name: str = UNKNOWN,
        dry_run: bool = True,
    ) -> Repair:
        """Mend what `verify` finds, as far as there is a remedy; see `plan_repair`. Changes nothing in a dry run.

        Views that differ are made again. Events of a run that was never created become a run of this workflow with
        `adopt`, or are removed with `purge`; each is looked at once more before. Repeated, it finds nothing to do.
        Raises `LogInDoubt` if the log itself may be damaged. Give the `report` of `verify_files`, which has looked at
        more.
        """
        if report is not None:
            check_kind(report, Report, "the report")
        report = report or verify_open(self._views, self._codec, self._values.blobs)
        plan = plan_repair(report, adopt=adopt, purge=purge)
        if dry_run:
            return plan
        for remedy in plan.remedies:
            if remedy.name == "rebuild":
                self._views.rebuild()
            elif remedy.name == "adopt":
                self._while_orphan(remedy.stream, partial(self._adopt, workflow_name))
            else:
                self._while_orphan(remedy.stream, self._purge_orphan)
        return msgspec.structs.replace(plan, done=True)

    def _adopt(self, workflow_name: str, stream: str, version: int) -> None:
        self._append(stream, [RunCreated(workflow_name, metadata=_ADOPTED)], version)

    def _purge_orphan(self, stream: str, version: int) -> None:
        self._log.purge(stream, expected=version, meta={**self._meta, "reason": "it was never created"})

    def _while_orphan(self, stream: str, mend: Callable[[str, int], None]) -> None:
        """Mend a stream at the version it is at, unless it is gone or its first event has come after all."""
        while True:
            version = self._log.version(stream)
            if version == 0 or self._is_whole(stream):
                return
            try:
                mend(stream, version)
            except WrongExpectedVersion:
                continue
            return

    def _is_whole(self, stream: str) -> bool:
        on_board = stream.startswith(BOARD_STREAM)
        question = BOARD_TASK_CREATED if on_board else RUN_CREATED
        (rows,) = self._views.ask(Statement(question, (stream.removeprefix(BOARD_STREAM) if on_board else stream,)))
        return bool(rows)
