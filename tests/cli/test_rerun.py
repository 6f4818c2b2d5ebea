"""`eventstore invalidate` and `eventstore rerun`."""

from __future__ import annotations

import pytest

from projections import open_store
from tests.stores import Clock, completed

from .conftest import Run


@pytest.fixture
def with_letter(place: str) -> str:
    """A store with a run whose tasks have completed, and that then failed."""
    with open_store(place, durability="none", clock=Clock()) as store:
        store.create_run("letters", run_id="letter")
        store.start_run("letter")
        store.schedule_task("letter", "draft")
        store.schedule_task("letter", "print", depends_on=["draft"])
        for task_id in ("draft", "print"):
            completed(store, "letter", task_id, task_id)
        store.fail_run("letter", "no stamps")
    return place


def test_one_task_is_invalidated_with_who_and_why(run: Run, with_letter: str) -> None:
    columns, line = run("invalidate", "letter", "draft", "-s", with_letter, "--reason", "typo", "--actor", "ada").text
    assert (columns.split(), line.split()) == (["TASK", "STATUS", "WHY"], ["draft", "pending", "typo"])
    *_, event = run("events", "letter", "-s", with_letter, "-o", "json").json
    assert (event["type"], event["data"]["reason"], event["meta"]["actor"]) == ("taskRunInvalidated", "typo", "ada")


def test_all_that_was_made_from_a_task_runs_again(run: Run, with_letter: str) -> None:
    again = run("rerun", "letter", "--from", "draft", "-s", with_letter, "--reason", "typo", "-o", "json").json
    assert [(task["task_id"], task["status"]) for task in again] == [("draft", "pending"), ("print", "pending")]
    assert again[1]["reason"] == "depends on 'draft', which is to run again: typo"
    assert run("rerun", "letter", "--from", "draft", "-s", with_letter).text == ["TASK  STATUS  WHY"]


def test_what_cannot_run_again_is_refused(run: Run, with_letter: str) -> None:
    assert run("rerun", "letter", "--from", "stamp", "-s", with_letter).code == 3
    assert run("invalidate", "other", "draft", "-s", with_letter).code == 3
    with open_store(with_letter) as store:
        store.resume("letter")
        store.cancel_run("letter")
    ended = run("rerun", "letter", "--from", "draft", "-s", with_letter)
    assert (ended.code, ended.out) == (4, "")
    assert ended.err == "error: run 'letter' is cancelled and cannot become changed\nhint: cancelled is final.\n"
