"""Verification of a store that other processes write to finds nothing wrong, and keeps nobody waiting."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from projections import open_store
from tests.crash.children import Child, Children
from tests.stores import ONE_OF_EACH, address_of, verify_at

from .example import codes
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


def verify_while_it_grows(address: str, writers: list[Child], times: int) -> None:
    """Verify until the log has been found longer so many times."""
    assert all(writer.receive() == "working" for writer in writers)
    found: set[int] = set()
    while len(found) < times:
        report = verify_at(address)
        assert codes(report) <= HARMLESS, report.findings
        found.add(report.events)
    for writer in writers:
        writer.send("stop")
        assert writer.result() > 0
    assert codes(verify_at(address)) <= {"info blob-unreferenced"}


@pytest.fixture(params=ONE_OF_EACH[1:])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty store is kept, of each kind."""
    place = address_of(str(request.param), tmp_path / "store")
    open_store(place).close()
    return place


def test_a_store_in_which_others_work_is_clean(address: str, children: Children) -> None:
    writers = [children.start(work, address, f"run of {name}") for name in ("one", "two")]
    verify_while_it_grows(address, writers, 25 if address.startswith("jsonl:") else 8)


def test_a_store_that_others_open_and_close_is_clean(address: str, children: Children) -> None:
    verify_while_it_grows(address, [children.start(come_and_go, address)], 40 if address.startswith("jsonl:") else 8)
