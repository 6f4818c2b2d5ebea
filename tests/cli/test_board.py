"""The task board on the command line."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from projections import open_store
from tests.stores import NOON, Clock, address_of

from .conftest import Run
from .test_exit_codes import assert_refused


@pytest.fixture
def place(kind: str, tmp_path: Path) -> str:
    """The address of a board of each kind: a task that is ready, one that needs it, and one of another sort."""
    address = address_of(kind, tmp_path / "store")
    with open_store(address, durability="none") as store:
        store.board.create("Sand the door", task_id="sand", tags=["door"])
        store.board.create("Paint the door", task_id="paint", depends_on=["sand"], tags=["door"])
        store.board.create("Call Ada", task_id="call", priority=5)
    return address


@pytest.fixture
def task(run: Run, place: str) -> Callable[..., dict[str, object]]:
    """The task that a command prints, as a program reads it."""

    def task(*arguments: object) -> dict[str, object]:
        found = run("board", *arguments, "-s", place, "-o", "json").json
        assert isinstance(found, dict)
        return found

    return task


Task = Callable[..., dict[str, object]]


def test_a_board_is_begun_with_its_first_task(run: Run, tmp_path: Path) -> None:
    added = run("board", "add", "Sand the door", "--id", "sand", "--tag", "door", "-s", tmp_path / "new").text
    assert [line.split() for line in added] == [
        ["TASK", "STATUS", "PRIORITY", "ASSIGNEE", "CLAIM", "TITLE"],
        ["sand", "ready", "0", "Sand", "the", "door"],
    ]
    paint = ("board", "add", "Paint", "--needs", "sand", "--priority", 2, "--criteria", "No drips")
    added_in_json = run(*paint, "-s", tmp_path / "new", "-o", "json").json
    assert (added_in_json["status"], added_in_json["priority"]) == ("blocked", 2)
    assert len(run("board", "list", "-s", tmp_path / "new").text) == 3


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ["sand", "paint", "call"]),
        (["--status", "ready"], ["sand", "call"]),
        (["--status", "ready", "--status", "blocked", "--tag", "door"], ["sand", "paint"]),
        (["--priority", 5], ["call"]),
        (["--assignee", "ada"], []),
        (["--limit", 1], ["sand"]),
    ],
)
def test_tasks_are_listed_and_chosen(run: Run, place: str, options: list[object], expected: list[str]) -> None:
    assert [task["id"] for task in run("board", "list", *options, "-s", place, "-o", "jsonl").jsonl] == expected


def test_a_task_is_shown_with_what_it_needs_and_what_needs_it(run: Run, place: str) -> None:
    lines = run("board", "show", "paint", "-s", place).text
    assert lines[:3] == ["task      paint", "title     Paint the door", "status    blocked"]
    assert [line.split() for line in lines[-2:]] == [
        ["NEEDS", "STATUS", "TITLE"],
        ["sand", "ready", "Sand", "the", "door"],
    ]
    shown = run("board", "show", "sand", "-s", place, "-o", "json").json
    assert [task["id"] for task in shown["needed_by"]] == ["paint"]


def test_a_task_is_taken_through_review(task: Task) -> None:
    assert task("next")["id"] == task("next", "--tag", "door")["id"] == "sand"
    assert task("next", "--by-priority")["id"] == "call"
    claimed = task("claim", "--agent", "ada", "--lease", 60)
    assert (claimed["id"], claimed["assignee"], claimed["claim"]) == ("sand", "ada", 1)
    assert task("release", "sand", "--agent", "ada", "--claim", 1, "--reason", "lunch")["assignee"] is None
    assert task("claim", "sand", "--agent", "bob")["claim"] == 2
    assert task("submit", "sand", "--agent", "bob")["status"] == "review"
    assert task("changes", "sand", "--reason", "rough")["status"] == "working"
    task("submit", "sand")
    assert task("revert", "sand", "--reason", "wrong door")["status"] == "ready"
    task("claim", "--agent", "cyd", "--tag", "door")
    task("submit", "sand")
    assert task("approve", "sand")["status"] == "done"
    assert task("claim", "--agent", "dan", "--tag", "door")["id"] == "paint"


def test_where_nothing_is_ready_nothing_is_shown(run: Run, place: str) -> None:
    for command in (["next"], ["claim", "--agent", "ada"]):
        assert run("board", *command, "--tag", "none", "-s", place, "-o", "json").json is None
        assert len(run("board", *command, "--tag", "none", "-s", place).text) == 1


def test_details_and_dependencies_are_changed(task: Task) -> None:
    changed = task("update", "paint", "--title", "Varnish", "--tag", "a", "--tag", "b", "--needs", "call")
    assert (changed["title"], changed["tags"], changed["status"]) == ("Varnish", ["a", "b"], "blocked")
    changed = task("update", "paint", "--needs-nothing", "--no-tags", "--priority", 1, "--description", "d")
    assert (changed["title"], changed["status"], changed["tags"], changed["priority"]) == ("Varnish", "ready", None, 1)


def test_blocks_are_set_and_lifted_by_hand(task: Task) -> None:
    assert task("block", "call", "--reason", "no phone")["reason"] == "no phone"
    assert task("unblock", "call")["status"] == "ready"


def test_a_task_is_taken_off_the_board(run: Run, place: str, task: Task) -> None:
    assert_refused(run("board", "rm", "sand", "-s", place), 4, "'paint'", "detach")
    assert "deleted" in run("board", "rm", "sand", "--detach", "--reason", "done before", "-s", place).text[1]
    assert task("show", "paint")["task"] == task("next")
    assert_refused(run("board", "show", "sand", "-s", place), 3, "sand", "board list")


def test_claims_that_have_run_out_are_listed(run: Run, place: str) -> None:
    with open_store(place, durability="none", clock=Clock(NOON - timedelta(days=365))) as store:
        store.board.claim_next("ada", lease=1)
    assert [task["id"] for task in run("board", "stale", "-s", place, "-o", "jsonl").jsonl] == ["sand"]


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (["approve", "sand"], 4, ["ready", "blocked, working"]),
        (["submit", "nothing"], 3, ["nothing"]),
        (["unblock", "paint"], 4, ["'sand'"]),
        (["update", "sand", "--needs", "paint"], 4, ["sand -> paint -> sand"]),
        (["add", "Paint", "--needs", "nothing"], 3, ["nothing"]),
        (["add", " "], 2, ["blank"]),
        (["list", "--status", "open"], 2, ["'open'"]),
    ],
)
def test_what_cannot_be_done_is_refused(run: Run, place: str, command: list[str], code: int, words: list[str]) -> None:
    ended = run("board", *command, "-s", place)
    assert (ended.code, ended.out) == (code, "")
    assert ended.err.startswith("error: ")
    assert all(word in ended.err for word in words)


@pytest.mark.parametrize(
    "arguments",
    [
        ["update", "sand", "--needs", "call", "--needs-nothing"],
        ["update", "sand", "--tag", "a", "--no-tags"],
        ["claim", "sand", "--agent", "ada", "--by-priority"],
    ],
)
def test_options_that_contradict_each_other_are_misuse(run: Run, place: str, arguments: list[str]) -> None:
    assert run("board", *arguments, "-s", place).code == 2


def test_a_board_is_looked_for_only_where_there_is_a_store(run: Run, tmp_path: Path) -> None:
    assert run("board", "list", "-s", tmp_path / "nothing").code == 6
    assert list(tmp_path.iterdir()) == []
