"""`eventstore orphans` and `eventstore repair`."""

from __future__ import annotations

import json

import pytest

from eventstore.events import RunCreated, RunStarted, TaskRunScheduled, TaskRunStarted
from projections import open_store
from tests.verify.test_orphans import append
from tests.verify.test_repair import damage_the_log

from .conftest import Run
from .test_commands import lose_a_row

ODD = [
    "error orphan-run: run 'odd': it was never created",
    "    Run `eventstore repair` with --adopt, to have it as a run, or with --purge, to remove its events.",
]


@pytest.fixture
def with_orphan(place: str) -> str:
    """A store to which somebody has restored only the second half of a run."""
    with open_store(place, durability="none") as store:
        append(store, "odd", RunStarted("worker"), TaskRunScheduled("write"))
    return place


def head_of(place: str) -> int:
    with open_store(place, create=False) as store:
        return store.log.head()


def test_a_store_without_orphans_has_nothing_to_list(run: Run, address: str) -> None:
    assert run("orphans", "-s", address).text == []
    assert run("orphans", "-s", address, "-o", "json").json == []
    assert run("orphans", "-s", address, "-o", "jsonl").jsonl == []
    assert run("repair", "-s", address).text == ["nothing to repair"]
    assert run("repair", "-s", address, "-o", "json").json == {"done": False, "remedies": [], "left": []}


def test_orphans_are_listed_with_what_to_do(run: Run, with_orphan: str) -> None:
    ended = run("orphans", "-s", with_orphan)
    assert (ended.code, ended.out.splitlines(), ended.err) == (5, ODD, "")
    for format in ("json", "jsonl"):
        ended = run("orphans", "-s", with_orphan, "-o", format)
        found = json.loads(ended.out)
        finding = found[0] if format == "json" else found
        assert (ended.code, finding["code"], finding["stream"]) == (5, "orphan-run", "odd")


def test_what_does_no_harm_is_listed_and_is_no_failure(run: Run, place: str) -> None:
    with open_store(place, durability="none") as store:
        append(store, "child", RunCreated("letters", parent_run_id="elsewhere"))
    (line, _) = run("orphans", "-s", place).text
    assert line == "info parent-missing: run 'child': its parent 'elsewhere' does not exist"
    assert run("repair", "-s", place).text == ["nothing to repair"]


def test_repair_shows_what_it_would_do_and_does_it_only_if_told_to(run: Run, with_orphan: str) -> None:
    lose_a_row(with_orphan)
    head = head_of(with_orphan)
    assert run("repair", "--purge", "-s", with_orphan).text == ["would rebuild all views", "would purge 'odd'"]
    assert head_of(with_orphan) == head
    assert run("verify", "-s", with_orphan).code == 5
    assert run("repair", "--purge", "--yes", "-s", with_orphan).text == ["rebuilt all views", "purged 'odd'"]
    assert run("verify", "-s", with_orphan).code == 0
    assert run("repair", "--purge", "--yes", "-s", with_orphan).text == ["nothing to repair"]


def test_orphans_are_left_unless_somebody_says_what_is_to_become_of_them(run: Run, with_orphan: str) -> None:
    for options in ([], ["--yes"]):
        ended = run("repair", *options, "-s", with_orphan)
        assert (ended.code, ended.out.splitlines(), ended.err) == (5, ODD, "")


def test_an_adopted_run_is_listed_under_the_workflow_that_was_given(run: Run, with_orphan: str) -> None:
    done = run("repair", "--adopt", "--workflow", "letters", "--yes", "-s", with_orphan, "-o", "json").json
    assert done == {"done": True, "remedies": [{"name": "adopt", "stream": "odd"}], "left": []}
    listed = run("runs", "--workflow", "letters", "-s", with_orphan, "-o", "json").json
    assert listed[-1]["id"] == "odd"
    assert run("verify", "-s", with_orphan).code == 0


def test_what_cannot_be_mended_is_told(run: Run, place: str) -> None:
    with open_store(place, durability="none") as store:
        append(store, "failed", TaskRunStarted("stray", 1))
    ended = run("repair", "--purge", "--yes", "-s", place)
    assert ended.code == 5
    assert "cannot be mended" in ended.out


@pytest.mark.parametrize("options", [["--adopt", "--purge"], ["--workflow", "letters"]])
def test_options_that_do_not_go_together_are_refused(run: Run, address: str, options: list[str]) -> None:
    ended = run("repair", *options, "-s", address)
    assert (ended.code, ended.out) == (2, "")
    assert "hint: " in ended.err


def test_nothing_is_repaired_while_the_log_may_be_damaged(run: Run, with_orphan: str) -> None:
    with open_store(with_orphan, durability="none") as store:
        store.create_run("flow", run_id="run")
        store.create_run("letters", run_id="another")
    damage_the_log(with_orphan)
    ended = run("repair", "--purge", "--yes", "-s", with_orphan)
    assert (ended.code, ended.out) == (5, "")
    assert ended.err.startswith("error: nothing was repaired, for the log is in doubt: ")
    assert "restore it from a backup" in ended.err
