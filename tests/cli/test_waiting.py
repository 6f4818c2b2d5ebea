"""`eventstore waiting`, `eventstore approve` and `eventstore reject`."""

from __future__ import annotations

from datetime import timedelta

import pytest

from projections import open_store
from tests.stores import NOON, Clock

from .conftest import Run


@pytest.fixture
def with_gates(place: str) -> str:
    """A store with a run that waits for two decisions and for tea."""
    with open_store(place, durability="none", clock=Clock()) as store:
        store.create_run("letters", run_id="letter")
        store.start_run("letter")
        for task_id in ("read", "send", "nap"):
            store.schedule_task("letter", task_id, always_run=task_id == "read")
        store.wait_task("letter", "read", "the editor's yes")
        store.wait_task("letter", "send", "the author's yes")
        store.wait_task("letter", "nap", "tea", until=NOON + timedelta(days=100_000))
    return place


def test_what_waits_is_listed(run: Run, with_gates: str) -> None:
    columns, *lines = run("waiting", "-s", with_gates).text
    assert columns.split() == ["RUN", "TASK", "ATTEMPT", "SINCE", "UNTIL", "WAITS", "FOR"]
    assert [line.split()[1] for line in lines] == ["read", "send", "nap"]
    assert lines[0].endswith("the editor's yes")
    gates = run("waiting", "--kind", "gate", "--limit", 1, "-s", with_gates, "-o", "jsonl").jsonl
    assert [(task["task_id"], task["reason"]) for task in gates] == [("read", "the editor's yes")]
    (timer,) = run("waiting", "--kind", "timer", "-s", with_gates, "-o", "json").json
    assert timer["task_id"] == "nap"


def test_a_decision_is_made_once_and_why_says_who_made_it(run: Run, with_gates: str) -> None:
    letter = ("letter", "read", "-s", with_gates, "--actor")
    columns, line = run("approve", *letter, "ada", "--comment", "fine", "--output-json", '{"copies": 3}').text
    assert (columns.split(), line.split()) == (["TASK", "STATUS", "WHY"], ["read", "completed"])
    assert run("approve", *letter, "bob", "--output-json", '{"copies": 3}').code == 0
    refused = run("reject", *letter, "bob", "--reason", "no")
    assert (refused.code, refused.out) == (4, "")
    assert "task 'read' was approved at " in refused.err
    assert " by ada\n" in refused.err
    assert run("outputs", "letter", "read", "-s", with_gates, "-o", "json").json == {"copies": 3}
    why = run("why", "letter", "read", "-s", with_gates).text
    assert "was approved by ada" in why[0] + why[1]
    assert any("taskRunApproved" in line and "fine" in line and "ada" in line for line in why)
    plan = run("resume-plan", "letter", "-s", with_gates).text
    assert any(line.startswith("read") and line.endswith("; runs again in the next resumption") for line in plan)


def test_a_rejection_fails_the_task(run: Run, with_gates: str) -> None:
    (task,) = run("reject", "letter", "send", "--reason", "too late", "-s", with_gates, "-o", "json").json
    assert (task["task_id"], task["status"]) == ("send", "failed")
    assert any("Rejected: too late" in line for line in run("show", "letter", "-s", with_gates).text)


def test_what_cannot_be_decided_is_refused(run: Run, with_gates: str) -> None:
    assert run("approve", "letter", "stamp", "-s", with_gates).code == 3
    assert run("approve", "letter", "read", "--attempt", 2, "-s", with_gates).code == 4
    told = run("approve", "letter", "read", "--output-json", "{", "-s", with_gates)
    assert (told.code, told.out) == (2, "")
    assert told.err.endswith("""hint: Texts are in quotes, as in --output-json '"yes"'.\n""")
