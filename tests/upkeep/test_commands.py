"""`eventstore purge` and `eventstore gc`: what they remove, what they say, and that they ask first."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventstore.log import PURGES
from projections import open_store
from tests.cli.conftest import Run, run
from tests.stores import NOON, Clock, address_of

from .test_purge_run import DAY, LARGE, SIZE, ended

__all__ = ["run"]


@pytest.fixture(params=["jsonl", "sqlite"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a store with runs that ended long ago, one of which has a child, and one that is going on."""
    address = address_of(request.param, tmp_path / "store")
    with open_store(address, clock=Clock(NOON - 10 * DAY)) as store:
        ended(store, "one", LARGE)
        ended(store, "two")
        ended(store, "child", parent="two")
        store.create_run("flow", run_id="pending")
    return address


def left_at(address: str) -> tuple[list[str], int]:
    """The runs that are there still, and the number of blobs."""
    with open_store(address) as store:
        return [run.id for run in store.list_runs()], len(list(store.values.blobs.digests()))


class Terminal(io.StringIO):
    """Somebody who types."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nobody to ask."""
    with monkeypatch.context() as without:
        without.setattr("sys.stdin", io.StringIO("y\n"))
        yield


EVERYTHING = ["one", "two", "child", "pending"]
REMOVING = [["purge", "one"], ["purge", "--older-than", "1d"], ["gc"]]


def test_named_runs_are_purged(run: Run, place: str) -> None:
    told = run("purge", "one", "child", "--yes", "--reason", "to be forgotten", "-s", place).text
    assert told == [
        "purged one",
        "purged child",
        f"removed 2 runs with 12 events, and 1 large values of {SIZE:,} bytes",
    ]
    assert left_at(place) == (["two", "pending"], 0)
    with open_store(place) as store:
        assert [record.meta for record in store.log.read(PURGES)] == [{"reason": "to be forgotten"}] * 2


def test_runs_are_chosen_by_their_end(run: Run, place: str) -> None:
    result = run("purge", "--older-than", "1d", "--yes", "-s", place, "-o", "json").json
    assert result == {
        "dry_run": False,
        "runs": ["child", "two", "one"],
        "events": 19,
        "blobs": 1,
        "bytes": SIZE,
        "blobs_left": 0,
        "needed_by_forks": 0,
        "refused": [],
    }
    assert left_at(place) == (["pending"], 0)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--ended-before", "2026-01-30T00:00Z"], ["child", "two", "one"]),
        (["--ended-before", "2026-01-01T00:00+02:00"], []),
        (["--older-than", "52000w"], []),
        (["--older-than", "1.5h", "--status", "failed"], []),
        (["--older-than", "0s", "--status", "failed", "--status", "completed"], ["child", "two", "one"]),
        (["--older-than", "1d", "--workflow", "other"], []),
        (["--older-than", "1d", "--deleted"], []),
        (["two", "--cascade"], ["child", "two"]),
        (["child", "two"], ["child", "two"]),
        (["two", "child", "--cascade"], ["child", "two"]),
        (["pending", "--force"], ["pending"]),
    ],
    ids=str,
)
def test_a_dry_run_removes_nothing_and_says_the_same(
    run: Run, place: str, options: list[str], expected: list[str]
) -> None:
    told = run("purge", *options, "--dry-run", "-s", place, "-o", "json").json
    assert left_at(place) == (EVERYTHING, 1)
    assert told["runs"] == expected
    assert run("purge", *options, "--yes", "-s", place, "-o", "json").json == {**told, "dry_run": False}


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ([], 2, "Name the runs"),
        (["one", "--older-than", "1d"], 2, "Name the runs"),
        (["--older-than", "1d", "--ended-before", "2026-01-01T00:00Z"], 2, "Name the runs"),
        (["one", "--status", "failed"], 2, "not named"),
        (["--older-than", "1d", "--force"], 2, "that are named"),
        (["--older-than", "1 day"], 2, "is not a duration"),
        (["--older-than", "99999999999w"], 2, "is not a duration"),
        (["--older-than", "999999w"], 2, "longer ago than there are dates"),
        (["--ended-before", "2026-01-01"], 2, "is not a time with its zone"),
        (["--older-than", "1d", "--status", "running"], 2, "have not ended"),
        (["one", "never"], 3, "no run 'never'"),
        (["pending"], 4, "run 'pending' is pending"),
        (["two"], 4, "children that are still there: 'child'"),
    ],
    ids=str,
)
def test_what_cannot_be_done_removes_nothing(run: Run, place: str, options: list[str], code: int, message: str) -> None:
    outcome = run("purge", *options, "--yes", "-s", place)
    assert (outcome.code, outcome.out) == (code, "")
    assert message in outcome.err
    assert left_at(place) == (EVERYTHING, 1)


def test_runs_that_stay_are_told(run: Run, place: str) -> None:
    with open_store(place, clock=Clock(NOON - 10 * DAY)) as store:
        store.create_run("flow", run_id="late child", parent_run_id="one")
    outcome = run("purge", "--older-than", "1d", "--yes", "-s", place)
    assert outcome.code == 1
    assert outcome.out.splitlines() == [
        "purged child",
        "purged two",
        "kept one: run 'one' has children that are still there: 'late child'",
        "removed 2 runs with 13 events, and 0 large values of 0 bytes",
    ]


def test_large_values_that_nothing_needs_are_removed(run: Run, place: str) -> None:
    with open_store(place, clock=Clock(NOON - DAY)) as store:
        store.values.keep(f"more {LARGE}")
    assert run("gc", "--grace", "9999d", "--yes", "-s", place, "-o", "json").json["blobs_left"] == 1
    would, did = (run("gc", option, "-s", place).text for option in ("--dry-run", "--yes"))
    assert would == [f"would remove 1 large values of {SIZE + 5:,} bytes; 0 are too new"]
    assert did == [f"removed 1 large values of {SIZE + 5:,} bytes; 0 are too new"]
    assert left_at(place) == (EVERYTHING, 1)
    again = run("gc", "-s", place, "-o", "json").json
    assert again == {"dry_run": False, "blobs": 0, "bytes": 0, "blobs_left": 0}


def test_large_values_that_are_too_new_are_left_to_gc(run: Run, place: str) -> None:
    with open_store(place) as store:
        ended(store, "new", f"new {LARGE}")
    told = run("purge", "new", "--yes", "-s", place).text
    assert told[-1] == "1 large values are too new to be removed: `eventstore gc` does it later"


@pytest.mark.parametrize("command", REMOVING, ids=str)
@pytest.mark.usefixtures("nobody")
def test_nothing_is_removed_if_there_is_nobody_to_ask(run: Run, place: str, command: list[str]) -> None:
    with open_store(place, clock=Clock(NOON - DAY)) as store:
        store.values.keep(f"more {LARGE}")
    outcome = run(*command, "-s", place)
    assert (outcome.code, outcome.out) == (2, "")
    assert "--yes" in outcome.err
    assert left_at(place) == (EVERYTHING, 2)


@pytest.mark.parametrize("command", REMOVING, ids=str)
@pytest.mark.parametrize("answer", ["y\n", "n\n", ""])
def test_whoever_is_there_is_asked(
    run: Run, place: str, command: list[str], answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_store(place, clock=Clock(NOON - DAY)) as store:
        store.values.keep(f"more {LARGE}")
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    outcome = run(*command, "-s", place)
    assert "for good? [y/N]" in outcome.err
    assert outcome.code == (0 if answer == "y\n" else 1)
    assert (left_at(place) == (EVERYTHING, 2)) == (answer != "y\n")


@pytest.mark.usefixtures("nobody")
def test_nobody_is_asked_if_there_is_nothing_to_remove(run: Run, place: str) -> None:
    assert run("gc", "-s", place).code == 0
    assert run("purge", "--older-than", "1d", "--workflow", "other", "-s", place).code == 0


def test_a_store_that_is_not_there_is_not_made(run: Run, tmp_path: Path) -> None:
    for command in REMOVING:
        assert run(*command, "--yes", "-s", tmp_path / "none").code == 6
    assert not (tmp_path / "none").exists()
