"""Writes docs/REQUIREMENTS.md: which tests show which requirement, and on which backends.

Run it as `python -m tests.requirements.table` after a test was added or renamed. The names of the tests and the
backends are what pytest collects, so the document says what is run. With `--print`, prints it and writes nothing.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import re
import sys
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

HERE = Path(__file__).parent
DOCUMENT = HERE.parents[1] / "docs" / "REQUIREMENTS.md"
OPENING = HERE / "opening.md"

NOTHING = "nothing yet"
"""What stands in the place of the tests of something that has none."""

TITLES: dict[str, tuple[str, ...]] = {
    "Task state persistence": (
        "Persist task start",
        "Persist task completion",
        "Persist task failure",
        "Persist task output",
        "Retrieve task result",
        "Handle large results",
        "Persist error message",
        "Persist stack trace",
        "Retrieve error details",
        "Get task by id",
        "List all tasks of a workflow",
        "Filter tasks by status",
        "Task belongs to workflow",
        "Deleting a workflow cascades to its tasks",
        "Orphaned task detection",
    ),
    "State store": (
        "The interface is implemented",
        "Save workflow",
        "Retrieve workflow by id",
        "Create execution record",
        "Update execution state",
        "Query executions by workflow",
        "Create task run record",
        "Update task run state",
        "Query task runs by execution",
        "Record new attempt",
        "Query attempts by task run",
        "Execution and task runs are updated together",
        "Filter executions by state",
        "Paginate execution results",
    ),
    "Workflow store": (
        "Create a run",
        "Update a run",
        "Append an event",
        "Completed node outputs",
        "A directory for each run",
        "Events as JSONL",
        "Node outputs as files",
        "Run metadata as a file",
        "The table of runs",
        "The table of events",
        "The table of node outputs",
        "Postgres has the same interface and tables",
        "Backends can be switched",
    ),
    "Task state machine": (
        "Valid transitions from ready",
        "Valid transitions from working",
        "Valid transitions from review",
        "Invalid transition rejected",
        "Create task",
        "Update task",
        "Delete task",
        "Prevent deletion of an active task",
        "Dependency declaration",
        "Dependency resolution",
        "Filter by status",
        "Get next ready task",
        "Tasks survive a restart",
    ),
}

REGRESSIONS = (
    "resume_after_crash_during_reexecution",
    "lost_append_raises",
    "event_for_unknown_run_rejected",
    "clock_step_back_keeps_order",
    "append_cost_flat_to_1e6",
    "terminal_never_reverts",
    "recover_run_with_250_running_tasks",
    "concurrent_transactions_isolated",
    "foreign_write_not_rolled_back",
    "ids_with_colon_slash_dotdot",
    "delete_definition_keeps_runs",
    "unknown_dependency_rejected",
    "delete_dependency_does_not_strand",
    "manual_block_not_auto_lifted",
    "torn_store_never_loads_empty",
    "50_concurrent_appends_50_sequences",
    "append_after_torn_tail_readable",
    "u2028_nul_and_partial_utf8",
    "snapshot_equals_replay",
    "corrupt_payload_raises_not_empty",
    "time_travel_not_truncated",
    "duplicate_version_rejected",
    "output_equal_after_resume_any_size",
    "two_resumers_one_winner",
    "zombie_completion_fenced",
    "second_resume_same_reuse_set",
    "skipped_vs_reused_projection",
    "per_backend_identical_event_stream",
)
"""What went wrong in other systems, as the tests are named."""

BACKENDS = {"memory": "memory", "jsonl": "JSONL", "sqlite": "SQLite", "postgres": "Postgres"}
_FIXTURES = {"file_store": "jsonl"}
_OPENED = {'"memory:': "memory", "MemoryLog(": "memory", '"jsonl:': "jsonl", '"sqlite:': "sqlite"}
_NAME = re.compile(r"test_s(\d)_(\d\d)(?:_to_s\d_(\d\d))?_")


class Test(NamedTuple):
    """A test function, and the backends that it is run on."""

    file: str
    line: int
    name: str
    backends: frozenset[str]


class Tests:
    """A pytest plugin that remembers what was collected."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, int, str], set[str]] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            assert isinstance(item, pytest.Function)
            place = (item.path.name, item.function.__code__.co_firstlineno, item.function.__name__)
            self._found.setdefault(place, set()).update(_backends(item))

    def __iter__(self) -> Iterator[Test]:
        """All tests, by file and line."""
        return (Test(*place, frozenset(backends)) for place, backends in sorted(self._found.items()))

    def called(self, name: str) -> Iterator[Test]:
        """The tests of this name."""
        return (test for test in self if test.name == name)

    def of_scenario(self, document: int, number: int) -> Iterator[Test]:
        """The tests that are named after a scenario, or after several of which it is one."""
        for test in self:
            match = _NAME.match(test.name)
            if match and int(match[1]) == document and int(match[2]) <= number <= int(match[3] or match[2]):
                yield test


def _backends(item: pytest.Function) -> set[str]:
    """Where a test is run: by its parameters, by its fixtures, or else by the stores that it opens itself."""
    callspec = getattr(item, "callspec", None)
    parameters = callspec.params.values() if callspec else ()
    found = {kind for kind in BACKENDS for value in parameters if isinstance(value, str) and _is(kind, value)}
    found |= {_FIXTURES[name] for name in item.fixturenames if name in _FIXTURES}
    if not found:
        source = inspect.getsource(item.function)
        found = {kind for text, kind in _OPENED.items() if text in source}
    return found


def _is(kind: str, value: str) -> bool:
    return value == kind or (kind == "postgres" and re.fullmatch(r"postgres\d*", value) is not None)


def collected() -> Tests:
    """What pytest finds in this folder. Raises `SystemExit` with what it says if it finds less than is there."""
    tests, said = Tests(), io.StringIO()
    options = ["--collect-only", "-qq", "-n0", "-p", "no:cacheprovider", "-p", "no:randomly"]
    with contextlib.redirect_stdout(said):
        code = pytest.main([*options, str(HERE)], plugins=[tests])
    if code != pytest.ExitCode.OK:
        raise SystemExit(said.getvalue())
    return tests


def document(tests: Tests) -> str:
    """The whole document."""
    parts = [OPENING.read_text()]
    for number, (title, scenarios) in enumerate(TITLES.items()):
        named = [
            (f"S{number}.{place} {scenario}", list(tests.of_scenario(number, place)))
            for place, scenario in enumerate(scenarios, 1)
        ]
        parts.append(_section(f"S{number}: {title.lower()}", "scenario", named))
    named = [(name.replace("_", " "), list(tests.called(f"test_{name}"))) for name in REGRESSIONS]
    parts.append(_section("What went wrong elsewhere", "failure", named))
    return "\n".join(parts)


def _section(title: str, what: str, named: Sequence[tuple[str, Sequence[Test]]]) -> str:
    rows = [row for name, tests in named for row in _rows(name, tests)]
    return "\n".join([f"## {title}\n", f"| {what} | test | backends |", "|---|---|---|", *rows, ""])


def _rows(name: str, tests: Sequence[Test]) -> Iterator[str]:
    if not tests:
        yield f"| {name} | {NOTHING} | |"
    for place, test in enumerate(tests):
        yield f"| {'' if place else name} | `{test.file}` `{test.name}` | {_shown(test.backends)} |"


def _shown(backends: Collection[str]) -> str:
    if len(backends) == len(BACKENDS):
        return "all"
    return ", ".join(name for kind, name in BACKENDS.items() if kind in backends) or "–"


if __name__ == "__main__":
    made = document(collected())
    if sys.argv[1:] == ["--print"]:
        sys.stdout.write(made)
    else:
        DOCUMENT.write_text(made)
