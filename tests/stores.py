"""What the tests of the read side share: stores of every kind, a clock that ticks, views in a form to compare."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import settings

from eventstore.codec import Codec
from eventstore.disk import Disk
from eventstore.names import encode_name
from projections import Store, open_store, tables
from projections.addresses import parse_address
from projections.fold import Fold
from projections.following_views import FollowingViews
from projections.inheritance import with_inherited
from projections.rows import Run
from projections.run_files import RunFiles
from projections.tables import Contents
from projections.verify import Report
from projections.verify_files import verify_files
from projections.verify_sqlite import verify_sqlite
from tests.crash.children import Children
from tests.postgres import SERVERS, schema_for
from tests.postgres import address as postgres_address

LASTING = ("jsonl", "sqlite", *SERVERS)
"""Kinds of stores that outlive their process, and that several processes can share."""
BACKENDS = ("memory", *LASTING)
ONE_OF_EACH = ("memory", "jsonl", "sqlite", SERVERS[0])
"""Kinds for tests of which there are many: where versions of Postgres could differ, fewer tests find out."""
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


class Clock:
    """Moves on by a second whenever it is looked at, and can be set to any time."""

    def __init__(self, time: datetime = NOON, step: timedelta = timedelta(seconds=1)) -> None:
        self.time, self.step = time, step

    def __call__(self) -> datetime:
        self.time += self.step
        return self.time


def address_of(backend: str, folder: Path) -> str:
    """Where a store of this kind is kept; the folder is its own."""
    if backend in SERVERS:
        return postgres_address(backend, schema_for(folder))
    return {"memory": "memory:", "jsonl": f"jsonl:{folder}", "sqlite": f"sqlite:{folder}.db"}[backend]


@pytest.fixture(params=ONE_OF_EACH)
def backend(request: pytest.FixtureRequest) -> str:
    """Each kind of store in turn."""
    return str(request.param)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the store of this test keeps its files, if it has any."""
    return tmp_path / "store"


@pytest.fixture
def clock() -> Clock:
    """The clock of this test's store."""
    return Clock()


@pytest.fixture
def store(backend: str, folder: Path, clock: Clock) -> Iterator[Store]:
    """An empty store of each kind."""
    with open_store(address_of(backend, folder), durability="none", clock=clock) as opened:
        yield opened


@pytest.fixture(params=ONE_OF_EACH[1:])
def lasting(request: pytest.FixtureRequest, folder: Path) -> str:
    """Where a store is kept that outlives its process: the address of each kind in turn."""
    return address_of(str(request.param), folder)


@pytest.fixture
def lasting_store(lasting: str, clock: Clock) -> Iterator[Store]:
    """An empty store at that address."""
    with open_again(lasting, clock) as opened:
        yield opened


@pytest.fixture
def file_store(folder: Path, clock: Clock) -> Iterator[Store]:
    """An empty store of files, in `folder`."""
    with open_again(folder, clock) as opened:
        yield opened


@pytest.fixture
def children() -> Iterator[Children]:
    """Starts other processes, and leaves none behind."""
    with Children() as started:
        yield started


def open_again(place: Path | str, clock: Clock | None = None, *, threshold: int = 64 * 1024) -> Store:
    """The store at an address, or of files in a folder, opened for itself: another program would see the same."""
    address = f"jsonl:{place}" if isinstance(place, Path) else place
    return open_store(address, durability="none", clock=clock or Clock(), threshold=threshold)


def following(store: Store) -> FollowingViews:
    """The store's views, which follow its log."""
    assert isinstance(store.views, FollowingViews)
    return store.views


def tables_of(store: Store) -> Contents:
    """All tables of the views, as a reader finds them."""
    with store.views.at_once() as session:
        return tables.all_contents(session)


def folded(store: Store) -> Contents:
    """All tables as they follow from the log."""
    return Fold.of(with_inherited(store.log.read_all(), store.codec, store.log.read), store.codec).tables


def check_views(store: Store) -> None:
    """Check that the tables, and the run folders if there are any, say what the log says."""
    files = parse_address(store.address).path if store.address.startswith("jsonl:") else None
    store.write_folders()
    found = files and files_in(files)
    assert tables_of(store) == folded(store)
    if files:
        assert found == files_due(store, files)


def verify_at(address: str) -> Report:
    """What `eventstore verify` finds there."""
    place = parse_address(address)
    if place.scheme == "jsonl":
        return verify_files(place.path, Codec())
    if place.scheme == "sqlite":
        return verify_sqlite(place.path, Codec())
    with open_store(address, create=False) as store:
        return store.verify()


def files_in(folder: Path) -> dict[str, bytes]:
    """Every file of the run folders, by its path, which may be longer than the system takes in one piece."""
    found: dict[str, bytes] = {}
    if not folder.exists():
        return found
    for path, folders, names, directory in os.fwalk(folder):
        if path == str(folder):
            folders[:] = [name for name in folders if not name.startswith("_")]
            names = [name for name in names if not name.startswith("_")]
        for name in names:
            with open(os.open(name, os.O_RDONLY, dir_fd=directory), "rb") as file:
                found[f"{path}/{name}".removeprefix(f"{folder}/")] = file.read()
    return found


def files_due(store: Store, folder: Path) -> dict[str, bytes]:
    """Every file that should be in the run folders."""
    disk = Disk(folder)
    try:
        run_files = RunFiles(disk, store.log, store.views.at_once)
        with store.views.at_once() as session:
            runs = [run.id for run in tables.select(session, Run, "WHERE deleted_at IS NULL")]
            contents = run_files.contents(session, runs, store.log.head())
    finally:
        disk.release()
    return {f"{encode_name(run)}/{path}": data for run, files in contents.items() for path, data in files.items()}


def run_of(store: Store, *task_ids: str, run_id: str = "run") -> str:
    """A run that has been started, with these tasks, none of which depends on another."""
    store.create_run("flow", run_id=run_id)
    store.start_run(run_id, worker="first")
    for task_id in task_ids:
        store.schedule_task(run_id, task_id)
    return run_id


def completed(store: Store, run_id: str, task_id: str, output: object = None) -> int:
    """Have a task start and complete, and say which attempt it was."""
    attempt = store.start_task(run_id, task_id).attempt
    store.complete_task(run_id, task_id, output, attempt=attempt)
    return attempt


def examples(share: float) -> settings:
    """A share of the profile's number of examples, for properties that are slow to check."""
    return settings(max_examples=max(1, round(settings().max_examples * share)))
