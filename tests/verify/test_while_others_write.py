"""Verification of a store that other processes write to finds nothing wrong, and keeps nobody waiting."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from projections import open_store
from tests.crash.children import Child, Children

from .example import check, codes
from .writer import come_and_go, work

HARMLESS = {
    "info view-behind",
    "info view-busy",
    "info index-busy",
    "info unfinished-write",
    "info purge-unfinished",
    "info blob-unreferenced",
}


@pytest.fixture(scope="module")
def children() -> Iterator[Children]:
    with Children() as children:
        yield children


def verify_while_it_grows(folder: Path, writers: list[Child], times: int) -> None:
    """Verify until the log has been found longer so many times."""
    assert all(writer.receive() == "working" for writer in writers)
    found: set[int] = set()
    while len(found) < times:
        report = check(folder)
        assert codes(report) <= HARMLESS, report.findings
        found.add(report.events)
    for writer in writers:
        writer.send("stop")
        assert writer.result() > 0
    assert codes(check(folder)) <= {"info blob-unreferenced"}


def test_a_store_in_which_others_work_is_clean(tmp_path: Path, children: Children) -> None:
    open_store(tmp_path).close()
    writers = [children.start(work, tmp_path, f"run of {name}") for name in ("one", "two")]
    verify_while_it_grows(tmp_path, writers, 25)


def test_a_store_that_others_open_and_close_is_clean(tmp_path: Path, children: Children) -> None:
    open_store(tmp_path).close()
    verify_while_it_grows(tmp_path, [children.start(come_and_go, tmp_path)], 40)
