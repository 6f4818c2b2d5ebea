"""Tables, dictionaries and files say the same, after anything that can happen and however they came about."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given

from projections import Store, open_store
from tests.stores import Clock, examples, files_due, files_in, folded, following, open_again, tables_of
from tests.views.histories import THRESHOLD, RawAppend, RawPurge, Step, commands, raw_history

Places = pytest.TempPathFactory


def take_and_compare(store: Store, history: Sequence[Step | RawAppend | RawPurge], folder: Path | None) -> None:
    for step in history:
        step.take(store)
        store.write_folders()
        files = files_in(folder) if folder else {}
        assert tables_of(store) == folded(store)
        if folder is not None:
            assert files == files_due(store, folder)


def rebuild_in_every_way_and_compare(store: Store, folder: Path) -> None:
    store.write_folders()
    tables, files = tables_of(store), files_in(folder)
    store.rebuild()
    assert (tables_of(store), files_in(folder)) == (tables, files)
    store.close()
    (folder / "_views.db").unlink()
    with open_again(folder) as reopened:
        assert (tables_of(reopened), files_in(folder)) == (tables, files)
        shutil.rmtree(folder / "run", ignore_errors=True)
        reopened.rebuild()
        assert (tables_of(reopened), files_in(folder)) == (tables, files)
        assert [finding for finding in reopened.verify().findings if finding.code == "view-drift"] == []


@examples(0.4)
@given(history=commands())
def test_after_any_commands_tables_and_files_are_what_the_log_says(
    history: list[Step], tmp_path_factory: Places
) -> None:
    folder = tmp_path_factory.mktemp("any", numbered=True)
    with open_again(folder, Clock(), threshold=THRESHOLD) as store:
        take_and_compare(store, history, folder)
        rebuild_in_every_way_and_compare(store, folder)


@examples(1)
@given(history=raw_history())
def test_after_any_events_tables_and_files_are_what_the_log_says(
    history: list[RawAppend | RawPurge], tmp_path_factory: Places
) -> None:
    folder = tmp_path_factory.mktemp("any", numbered=True)
    with open_again(folder, Clock()) as store:
        take_and_compare(store, history, folder)
        rebuild_in_every_way_and_compare(store, folder)


@examples(1)
@given(history=commands())
def test_after_any_commands_a_store_in_memory_says_what_its_log_says(history: list[Step]) -> None:
    with open_store("memory:", clock=Clock(), threshold=THRESHOLD) as store:
        take_and_compare(store, history, None)
        store.rebuild()
        assert tables_of(store) == folded(store)


@examples(1)
@given(history=raw_history())
def test_views_that_come_late_say_what_they_would_have_said_in_time(
    history: list[RawAppend | RawPurge], tmp_path_factory: Places
) -> None:
    folder = tmp_path_factory.mktemp("late", numbered=True)
    with open_again(folder, Clock()) as store:
        for place, step in enumerate(history):
            store.log.hook = following(store) if place % 5 == 0 else None
            step.take(store)
        store.write_folders()
        assert tables_of(store) == folded(store)
        assert files_in(folder) == files_due(store, folder)
