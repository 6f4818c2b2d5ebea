"""`eventstore recover`."""

from __future__ import annotations

import os

import pytest

from projections import open_store
from tests.stores import Clock, completed

from .conftest import Run


@pytest.fixture
def with_dead_worker(place: str) -> str:
    """A store in which a worker has died long ago."""
    with open_store(place, durability="none", clock=Clock()) as store:
        for run_id in ("old", "new"):
            store.create_run("letters", run_id=run_id)
            store.start_run(run_id, worker="gone", lease=60)
            store.schedule_task(run_id, "write")
            store.schedule_task(run_id, "post", depends_on=["write"])
            completed(store, run_id, "write", "Dear")
    return place


def test_runs_to_recover_are_shown_and_then_claimed_one_by_one(run: Run, with_dead_worker: str) -> None:
    columns, *lines = run("recover", "--dry-run", "-s", with_dead_worker).text
    assert columns.split() == ["RUN", "STATUS", "WORKER", "EPOCH", "LEASE", "UNTIL", "READY"]
    assert [line.split()[:4] for line in lines] == [["old", "running", "gone", "1"], ["new", "running", "gone", "1"]]
    (_, line) = run("recover", "--worker", "me", "-s", with_dead_worker).text
    assert line.split()[:4] + line.split()[-1:] == ["old", "running", "me", "2", "post"]
    (claimed,) = run("recover", "--limit", 5, "-s", with_dead_worker, "-o", "json").json["claimed"]
    assert (claimed["run"]["id"], claimed["epoch"], claimed["plan"]["ready"]) == ("new", 2, ["post"])
    assert claimed["run"]["worker"].endswith(f":{os.getpid()}")
    assert run("recover", "-s", with_dead_worker, "-o", "json").json == {"claimed": [], "broken": []}
    assert len(run("recover", "--dry-run", "-s", with_dead_worker).text) == 1


def test_damaged_runs_are_told_and_passed_over(run: Run, with_dead_worker: str) -> None:
    with open_store(with_dead_worker, durability="none", clock=Clock(), threshold=20) as store:
        completed(store, "old", "post", "a text that is too long to be kept in an event")
        output = store.get_output("old", "post")
        assert output is not None
        store.values.blobs.remove(output.digest, kept_before=Clock()().replace(year=2027))
    ended = run("recover", "-s", with_dead_worker)
    assert ended.code == 0
    assert ended.err.startswith(f"passed over old: blob {output.digest} is missing\nhint: Restore")
    assert [line.split()[0] for line in ended.out.splitlines()] == ["RUN", "new"]


def test_a_lease_that_is_no_time_is_refused(run: Run, place: str) -> None:
    assert run("recover", "--lease", "-1", "-s", place).code == 2
