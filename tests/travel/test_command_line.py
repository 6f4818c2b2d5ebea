"""The commands that look at runs through time: what they print, and how they end."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from projections import Store, Task, open_store
from projections.cli.gantt import LEGEND, gantt, seconds
from tests.cli.conftest import Run
from tests.cli.test_exit_codes import assert_refused
from tests.cli.test_harmless_text import EVIL, HARMFUL
from tests.cli.test_harmless_text import RUN as EVIL_RUN
from tests.cli.test_harmless_text import filled as filled_with_evil
from tests.stores import NOON, Clock, address_of


def at(store: Store, second: float) -> Store:
    return store.at(NOON + timedelta(seconds=second))


@pytest.fixture
def timed(tmp_path: Path) -> str:
    """A store with a run of some twenty seconds, and a child of it that was deleted."""
    address = address_of("sqlite", tmp_path / "timed")
    with open_store(address, durability="none", clock=Clock()) as store:
        at(store, 0).create_run("flow", run_id="run")
        at(store, 0).schedule_tasks("run", [Task("extract"), Task("load", depends_on=["extract"]), Task("check")])
        at(store, 0).start_run("run", worker="one")
        at(store, 2).start_task("run", "extract")
        at(store, 4).start_task("run", "check")
        at(store, 5).fail_task("run", "check", "no")
        at(store, 10).complete_task("run", "extract", {"rows": 3})
        at(store, 12).start_task("run", "load")
        at(store, 20).add_event("run", "notes.taken", {})
        store.create_run("flow", run_id="child", parent_run_id="run")
        store.delete_run("child", force=True)
    return address


def test_a_run_is_shown_as_it_was(run: Run, timed: str) -> None:
    then = run("at", "run", "--version", 8, "-s", timed, "-o", "json").json
    assert [(task["task_id"], task["status"]) for task in then["task_runs"]] == [
        ("extract", "running"),
        ("load", "pending"),
        ("check", "failed"),
    ]
    assert run("at", "run", "--position", 8, "-s", timed, "-o", "json").json == then
    assert run("at", "run", "--version", 8, "-s", timed).text[0].split() == ["run", "run"]


def test_a_run_that_nothing_happened_to_since_is_shown_as_by_show(run: Run, timed: str) -> None:
    for format in ("text", "json", "jsonl"):
        shown = run("show", "run", "-s", timed, "-o", format)
        assert run("at", "run", "--version", 10**30, "-s", timed, "-o", format) == shown
        assert run("at", "run", "--time", "9999-01-01T00:00Z", "-s", timed, "-o", format) == shown


def test_a_deleted_run_is_shown_as_it_was_and_as_deleted(run: Run, timed: str) -> None:
    assert run("show", "child", "-s", timed).code == 3
    before = run("at", "child", "--version", 1, "-s", timed, "-o", "json").json
    assert (before["run"]["status"], before["run"]["deleted_at"]) == ("pending", None)
    assert any(line.startswith("deleted   2026-") for line in run("at", "child", "--version", 9, "-s", timed).text)


def test_before_it_was_created_there_is_no_run(run: Run, timed: str) -> None:
    for point in (["--version", 0], ["--position", 0], ["--time", "2026-01-31T11:00Z"]):
        assert_refused(run("at", "run", *point, "-s", timed), 3, "had not been created")


def test_two_points_of_a_run_are_compared(run: Run, timed: str) -> None:
    found = run("diff", "run", "--from", 6, "--to", 7, "-s", timed, "-o", "json").json
    assert [(each["table"], each["key"], each["column"]) for each in found][:3] == [
        ("task_runs", ["check"], "status"),
        ("task_runs", ["check"], "attempt"),
        ("task_runs", ["check"], "started_at"),
    ]
    assert [(each["left"], each["right"]) for each in found][:2] == [("pending", "running"), (0, 1)]
    lines = run("diff", "run", "--from", 8, "--to", 9, "-s", timed).text
    assert lines[0].split() == ["WHERE", "COLUMN", "LEFT", "RIGHT"]
    assert [line.split()[0] for line in lines if " status " in line] == ["extract", "extract,"]
    (output,) = (line for line in lines if '{"rows":3}' in line)
    assert output.split() == ["extract,", "output", "output", '{"rows":3}']
    assert run("diff", "run", "--from", "2020-01-01T00:00Z", "-s", timed, "-o", "jsonl").jsonl


def test_two_runs_are_compared(run: Run, timed: str) -> None:
    found = run("diff", "run", "child", "-s", timed, "-o", "json").json
    assert {"table": "workflow_runs", "key": [], "column": "status", "left": "running", "right": "cancelled"} in found
    assert run("diff", "child", "child", "-s", timed).text == ["WHERE  COLUMN  LEFT  RIGHT"]
    then = run("diff", "run", "child", "--from", 1, "--to", 1, "-s", timed, "-o", "json").json
    assert [each["column"] for each in then] == ["parent_run_id"]


def test_why_a_task_is_what_it_is_is_shown_with_the_events(run: Run, timed: str) -> None:
    lines = run("why", "run", "load", "-s", timed).text
    assert lines[:3] == ["load is in doubt: attempt 1 was started and has not ended yet", "run is running", ""]
    assert [line.split()[0] for line in lines[3:]] == ["VERSION", "10"]
    found = run("why", "run", "check", "-s", timed, "-o", "json").json
    assert (found["state"], [event["version"] for event in found["events"]]) == ("failed", [7, 8])
    before = run("why", "run", "load", "--version", 5, "-s", timed, "-o", "json").json
    assert (before["state"], before["needs"]) == ("blocked", ["extract"])


def test_a_timeline_is_drawn(run: Run, timed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run("timeline", "run", "-s", timed).text == [
        "run       run",
        "status    running",
        "makespan  20s",
        "attempts  3, of which retries: 0",
        "critical  8s: extract",
        "",
        "  TASK     ATTEMPTS  WAITED     RAN  0s                                      20s",
        "* extract         1      2s      8s  ....==================",
        "  check           1      4s      1s  ........==x",
        "  load            1      2s     0ms                       ....=================>",
        "",
        ". waits  = executes  x failed  ! interrupted  c cancelled  > goes on  * critical",
    ]


def test_a_timeline_is_data_in_json(run: Run, timed: str) -> None:
    found = run("timeline", "run", "-s", timed, "-o", "json").json
    assert (found["makespan"], found["critical_path"], len(found["attempts"])) == (20, ["extract"], 3)
    assert found["attempts"][0]["started_at"] == "2026-01-31T12:00:02Z"


@pytest.mark.parametrize("width", [1, 40, 80, 200])
def test_a_timeline_fits_its_terminal(timed: str, width: int) -> None:
    with open_store(timed) as store:
        store.schedule_task("run", "日本 " + "x" * 200)
        store.start_task("run", "日本 " + "x" * 200)
        lines = list(gantt(store.timeline("run"), width))
    assert len(lines) == 5
    assert max(map(len, lines)) <= max(width, 70)
    assert len(LEGEND) <= 80


def test_a_run_without_attempts_has_an_empty_timeline(run: Run, timed: str) -> None:
    assert run("timeline", "child", "-s", timed).text[-1].split() == ["TASK", "ATTEMPTS", "WAITED", "RAN", "0s", "0ms"]


def test_clocks_that_were_set_back_are_drawn_all_the_same(store: Store) -> None:
    at(store, 100).create_run("flow", run_id="run")
    at(store, 100).start_run("run")
    at(store, 100).schedule_task("run", "a")
    at(store, 50).start_task("run", "a")
    at(store, 10).complete_task("run", "a")
    _, line = gantt(store.timeline("run"), 80)
    assert line.split()[:4] == ["a", "1", "0ms", "0ms"]


@pytest.mark.parametrize(
    ("amount", "shown"),
    [(0, "0ms"), (0.0123, "12ms"), (0.9999, "1000ms"), (1, "1s"), (1.2345, "1.23s"), (99.9, "99.9s"), (100, "1m40s"),
     (5999, "99m59s"), (6000, "1h40m"), (359_999, "99h59m"), (360_000, "4d04h")],
)  # fmt: skip
def test_durations_are_short(amount: float, shown: str) -> None:
    assert seconds(amount) == shown


def test_a_tree_is_shown(run: Run, timed: str) -> None:
    assert [line.split()[0] for line in run("tree", "run", "-s", timed).text] == ["RUN", "run"]
    lines = run("tree", "run", "--deleted", "-s", timed).text
    assert [line[:7] for line in lines] == ["RUN    ", "run    ", "  child"]
    assert "cancelled, deleted" in lines[2]
    found = run("tree", "run", "--deleted", "-s", timed, "-o", "json").json
    assert [(branch["depth"], branch["run"]["id"]) for branch in found] == [(0, "run"), (1, "child")]
    assert run("tree", "child", "-s", timed).code == 3
    assert len(run("tree", "child", "--deleted", "-s", timed).text) == 2


@pytest.mark.parametrize(
    "command",
    [
        ["at", "nope", "--version", "1"],
        ["diff", "nope", "done"],
        ["diff", "done", "nope"],
        ["why", "nope", "write"],
        ["why", "nope", "write", "--version", "1"],
        ["timeline", "nope"],
        ["tree", "nope"],
        ["tree", "nope", "--deleted"],
        ["at", "purged", "--version", "1"],
    ],
    ids=" ".join,
)
def test_an_unknown_run_is_not_found(run: Run, address: str, command: list[str]) -> None:
    assert_refused(run(*command, "-s", address), 3, "eventstore runs")


def test_an_unknown_task_is_not_found(run: Run, address: str) -> None:
    assert_refused(run("why", "done", "nope", "-s", address), 3, "nope", "never scheduled")


@pytest.mark.parametrize(
    "command",
    [
        ["at", "done"],
        ["at", "done", "--version", "1", "--position", "1"],
        ["at", "done", "--version", "-1"],
        ["diff", "done"],
        ["diff", "done", "--from", "3", "--to", "3"],
        ["why", "done"],
        ["timeline"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_told(run: Run, command: list[str]) -> None:
    ended = run(*command, "-s", "memory:")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("Usage: eventstore")


@pytest.mark.parametrize("command", [["at", "done", "--time", "noon"], ["diff", "done", "--from", "9" * 20]])
def test_what_is_neither_a_time_nor_a_version_is_told(run: Run, address: str, command: list[str]) -> None:
    assert_refused(run(*command, "-s", address), 2, "is not a time with its zone", "2026-01-31T12:00Z")


@pytest.mark.parametrize("format", ["text", "json", "jsonl"])
def test_what_is_shown_is_harmless(run: Run, tmp_path: Path, format: str) -> None:
    evil = filled_with_evil(str(tmp_path / "evil"))
    for command in (
        ["at", EVIL_RUN, "--version", 99],
        ["diff", EVIL_RUN, "--from", 1],
        ["why", EVIL_RUN, EVIL],
        ["why", EVIL_RUN, f"2{EVIL}"],
        ["timeline", EVIL_RUN],
        ["tree", EVIL_RUN],
    ):
        ended = run(*command, "-s", evil, "-o", format)
        assert (ended.code, ended.err) == (0, "")
        assert not HARMFUL.search(ended.out)
