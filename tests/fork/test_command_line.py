"""`eventstore fork`, and what other commands say of forks."""

from __future__ import annotations

import json

import pytest

from projections import open_store
from tests.cli.conftest import Run
from tests.fork.origins import origin_of


@pytest.fixture
def place(lasting: str) -> str:
    """The address of a store with a run to fork."""
    with open_store(lasting, durability="none") as store:
        origin_of(store)
    return lasting


def test_a_run_is_forked(place: str, run: Run) -> None:
    made = run("fork", "origin", "--version", "8", "--id", "fork", "--reason", "why not", "--store", place)
    assert made.code == 0
    assert "forked    from origin at version 8" in made.out
    again = run("fork", "origin", "--version", "8", "--id", "fork", "--store", place, "-o", "json")
    assert json.loads(again.out)["run"]["forked_version"] == 8
    shown = run("show", "fork", "--store", place)
    assert "forked    from origin at version 8" in shown.out
    assert "completed" in run("at", "fork", "--version", "1", "--store", place).out


def test_what_cannot_be_forked_is_told(place: str, run: Run) -> None:
    for arguments, exit_code in (
        (["nobody"], 3),
        (["origin", "--version", "99"], 2),
        (["origin", "--version", "0"], 2),
        (["origin", "--version", "1", "--position", "1"], 2),
        (["origin", "--time", "noon"], 2),
        (["origin", "--id", "origin"], 4),
    ):
        refused = run("fork", *arguments, "--store", place)
        assert refused.code == exit_code, refused.err
        assert "Traceback" not in refused.err


def test_a_purge_tells_of_forks(place: str, run: Run) -> None:
    run("fork", "origin", "--id", "fork", "--store", place)
    refused = run("purge", "origin", "--force", "--yes", "--store", place)
    assert refused.code == 4
    assert "'fork'" in refused.err
    with open_store(place) as store:
        store.cancel_run("origin")
    by_age = run("purge", "--older-than", "0s", "--yes", "--store", place)
    assert "kept 1 runs that others were forked from" in by_age.out


def test_a_fork_without_its_origin_is_corrupt(place: str, run: Run) -> None:
    run("fork", "origin", "--id", "fork", "--store", place)
    with open_store(place) as store:
        store.log.purge("origin")
    assert run("resume-plan", "fork", "--store", place).code == 5
    verified = run("verify", "--store", place)
    assert verified.code == 5
    assert "origin-missing" in verified.out
