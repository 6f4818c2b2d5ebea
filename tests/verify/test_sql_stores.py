"""Stores in a database: nothing is found in a healthy one, and every kind of damage gives its finding."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from eventstore.events import RunCreated, RunStarted, TaskRunCompleted, TaskRunStarted
from eventstore.log import Append, NewEvent
from eventstore.payload import Value
from projections import open_store
from tests.sql_stores import SQL, change, change_event, open_log
from tests.stores import address_of, verify_at

from .example import codes, fill

BLOB = "d66089bff87201b97ece182ea833b3cdb63c3d3949427e77125140f183d83a61"
NOTHING = Value("0" * 64, 4, json=msgspec.Raw(b"null"))

Damage = Callable[[str], object]


@pytest.fixture(params=SQL)
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the example is kept, for each kind of database in turn."""
    place = address_of(str(request.param), tmp_path / "store")
    with open_store(place, durability="none", threshold=200) as store:
        fill(store)
    return place


def test_a_healthy_store_is_clean_and_is_so_again(address: str) -> None:
    for _ in range(2):
        report = verify_at(address)
        assert report.findings == ()
        assert (report.events, report.streams, report.runs, report.blobs) == (33, 7, 4, 2)


def appended(stream: str, *new: msgspec.Struct | NewEvent) -> Damage:
    """Events that a program without views has appended."""

    def append(address: str) -> None:
        with open_store("memory:") as other:
            made = [event if isinstance(event, NewEvent) else other.codec.encode(event) for event in new]
        log = open_log(address)
        log.append([Append(stream, made)])
        log.close()

    return append


def event(statement: str, *arguments: object) -> Damage:
    """A change of the table of events, which the database would refuse."""
    return lambda address: change_event(address, statement, *arguments)


def row(statement: str, *arguments: object) -> Damage:
    return lambda address: change(address, statement, *arguments)


FOUND_BY_SQLITE = {"info view-behind", "error events-missing"}
"""What shows besides, where a store is verified without opening it for writing and positions have no holes."""
LOST = {"error version-gap", "warning view-drift"}

DAMAGE: dict[str, tuple[Damage, set[str]]] = {
    "another payload": (
        event("UPDATE workflow_events SET payload = ? WHERE run_id = 'done' AND sequence = 2", b"{}"),
        {"error log-corrupt", *LOST},
    ),
    "another time": (
        event("UPDATE workflow_events SET timestamp = '2020-01-01T00:00:00Z' WHERE run_id = 'done' AND sequence = 2"),
        {"error log-corrupt", *LOST},
    ),
    "a time that is none": (
        event("UPDATE workflow_events SET timestamp = 'noon' WHERE run_id = 'done' AND sequence = 2"),
        {"error log-corrupt", *LOST},
    ),
    "another hash": (
        event("UPDATE workflow_events SET hash = ? WHERE run_id = 'done' AND sequence = 2", bytes(32)),
        {"error log-corrupt", *LOST},
    ),
    "a row that is gone": (event("DELETE FROM workflow_events WHERE run_id = 'done' AND sequence = 2"), LOST),
    "a first row that is gone": (
        event("DELETE FROM workflow_events WHERE run_id = 'done' AND sequence = 1"),
        {*LOST, "error orphan-run"},
    ),
    "a task of no run": (appended("ghost", TaskRunStarted("t", 1)), {"error orphan-task"}),
    "a task never scheduled": (appended("failed", TaskRunStarted("t", 1)), {"error orphan-task"}),
    "an attempt never started": (appended("failed", TaskRunCompleted("write", 7, NOTHING)), {"error orphan-attempt"}),
    "a run never created": (appended("odd", RunStarted("w")), {"error orphan-run"}),
    "an event of an unknown type": (appended("odd", NewEvent(type="a.b", data=b"\xff")), set()),
    "a reference to an impossible blob": (
        appended("odd", RunCreated("flow", input=Value("../../secrets", 70_000, preview="s"))),
        {"error blob-missing"},
    ),
    "a missing blob": (row("DELETE FROM blobs WHERE digest = ?", BLOB), {"error blob-missing"}),
    "a corrupt blob": (row("UPDATE blobs SET data = ? WHERE digest = ?", b"Dear nobody", BLOB), {"error blob-corrupt"}),
    "an unreferenced blob": (
        row("INSERT INTO blobs (digest, data) VALUES (?, ?)", "0" * 64, b"x"),
        {"info blob-unreferenced"},
    ),
    "a changed row": (row("UPDATE workflow_runs SET status = 'failed' WHERE id = 'done'"), {"warning view-drift"}),
    "a missing row": (row("DELETE FROM attempts WHERE task_id = 'post'"), {"warning view-drift"}),
    "an extra row": (row("INSERT INTO task_runs (run_id, task_id) VALUES ('done', 'y')"), {"warning view-drift"}),
}


@pytest.mark.parametrize(("damage", "expected"), DAMAGE.values(), ids=DAMAGE.keys())
def test_damage_is_found(address: str, damage: Damage, expected: set[str]) -> None:
    damage(address)
    found = codes(verify_at(address))
    assert found - (FOUND_BY_SQLITE - expected) == expected


def test_nobody_is_told_to_mend_views_while_the_log_has_lost_something(address: str) -> None:
    for name in ("a row that is gone", "an extra row"):
        DAMAGE[name][0](address)
    report = verify_at(address)
    advice = {finding.action for finding in report.findings if finding.severity == "warning"}
    assert advice == {"Restore the log first: this may hold what it has lost."}
    severities = [finding.severity for finding in report.findings]
    assert severities == sorted(severities, key=["error", "warning", "info"].index)


@pytest.mark.parametrize("name", ["a changed row", "a missing row", "an extra row"])
def test_the_advice_mends_the_views(address: str, name: str) -> None:
    DAMAGE[name][0](address)
    assert all("eventstore rebuild" in finding.action for finding in verify_at(address).findings)
    with open_store(address) as store:
        store.rebuild()
    assert verify_at(address).findings == ()
