"""Looking at runs through time appends nothing and changes no file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NoReturn

import pytest

from projections import Point, Store, open_store
from projections.travel import Travel
from tests.cli.conftest import Run, filled
from tests.stores import address_of, open_again, tables_of
from tests.verify.example import contents, fill

QUESTIONS: dict[str, Callable[[Store], object]] = {
    "as_of": lambda store: [store.as_of("done", version=3), store.as_of("gone", position=5), store.as_of("nope")],
    "list_runs_as_of": lambda store: store.list_runs_as_of(position=9, include_deleted=True),
    "diff": lambda store: store.diff(Point("done", version=3), "failed", exact=True),
    "bisect": lambda store: [store.bisect("done", bool, monotone=way) for way in (True, False)],
    "timeline": lambda store: store.timeline("done"),
    "explain": lambda store: [store.explain("done", task) for task in ("write", "fold", "post")],
    "tree": lambda store: store.tree("going on", include_deleted=True),
}
COMMANDS = (
    ["at", "done", "--version", 7],
    ["at", "gone", "--position", 10**6],
    ["diff", "done", "failed", "--exact"],
    ["diff", "done", "--from", 3],
    ["why", "done", "fold"],
    ["why", "failed", "write", "--version", 3],
    ["timeline", "done"],
    ["tree", "going on", "--deleted"],
)


def refuse(*_: object, **__: object) -> NoReturn:
    raise AssertionError("somebody writes to the log")


def kept(folder: Path) -> dict[str, object]:
    """Every file, byte for byte; of the databases what is in them, for SQLite counts how often one was opened."""

    def said(path: Path) -> object:
        if path.suffix != ".db":
            return path.read_bytes()
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            return list(connection.iterdump())

    return {str(path): said(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def test_every_question_is_asked_here() -> None:
    assert {name for name in vars(Travel) if not name.startswith("_")} == QUESTIONS.keys()


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_appends_nothing(store: Store, monkeypatch: pytest.MonkeyPatch, question: str) -> None:
    fill(store)
    before = list(store.log.read_all()), store.log.head(), store.log.checkpoints(), tables_of(store)
    for name in ("append", "purge", "restore"):
        monkeypatch.setattr(store.log, name, refuse)
    assert QUESTIONS[question](store)
    assert (list(store.log.read_all()), store.log.head(), store.log.checkpoints(), tables_of(store)) == before


def test_no_question_changes_a_file(folder: Path) -> None:
    with open_again(folder) as store:
        fill(store)
        store.views.catch_up()
        before = contents(folder)
        for question in QUESTIONS.values():
            question(store)
            assert contents(folder) == before


@pytest.mark.parametrize("format", ["text", "json"])
def test_no_command_changes_a_file_of_a_store_of_files(run: Run, folder: Path, format: str) -> None:
    filled(str(folder))
    assert run("runs", "-s", folder).code == 0
    before = kept(folder)
    for command in COMMANDS:
        assert run(*command, "-s", folder, "-o", format).code == 0
        assert kept(folder) == before


def test_no_command_changes_the_file_of_a_database(run: Run, tmp_path: Path) -> None:
    address = filled(address_of("sqlite", tmp_path / "store"))
    assert run("runs", "-s", address).code == 0
    before = {path: digest for path, (_, _, digest) in contents(tmp_path).items()}
    for command in COMMANDS:
        assert run(*command, "-s", address).code == 0
    assert {path: digest for path, (_, _, digest) in contents(tmp_path).items()} == before


def test_no_command_appends_anything(run: Run, address: str) -> None:
    with open_store(address) as store:
        before = list(store.log.read_all()), tables_of(store)
    for command in COMMANDS:
        assert run(*command, "-s", address).code == 0
    with open_store(address) as store:
        assert (list(store.log.read_all()), tables_of(store)) == before
