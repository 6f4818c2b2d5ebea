"""Whatever bytes stand in whatever file, verification reports; and it overlooks no change of the log."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventstore.errors import EventStoreError

from .example import check, make, segments


def files_of(folder: Path) -> list[Path]:
    """Every file of the store but its lock, databases and segments several times: they are the largest."""
    found = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "lock")
    return found + 4 * [path for path in found if path.suffix == ".db" or path.parent.name == "_log"]


@st.composite
def changed(draw: st.DrawFn, data: bytes) -> bytes:
    """The bytes with some overwritten, taken out or put in, or cut off."""
    start = draw(st.integers(0, len(data)))
    end = draw(st.one_of(st.just(start), st.integers(start, min(start + 600, len(data))), st.just(len(data))))
    new = draw(st.one_of(st.binary(max_size=8), st.builds(bytes, st.integers(0, 600))))
    return data[:start] + new + data[end:]


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that is damaged and restored over and over."""
    return make(tmp_path_factory.mktemp("victim"))


@given(data=st.data())
@settings(max_examples=settings().max_examples * 10)
def test_any_change_of_any_file_is_reported_and_never_raises(victim: Path, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(files_of(victim)), label="file")
    whole = path.read_bytes()
    damaged = data.draw(changed(whole), label="bytes")
    path.write_bytes(damaged)
    try:
        with contextlib.suppress(EventStoreError):
            clean = check(victim).clean
            unfinished = path == segments(victim)[-1] and damaged.startswith(whole)
            assert not clean or damaged == whole or unfinished or path not in segments(victim)
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize("segment", [0, 1])
def test_every_flipped_bit_of_a_segment_is_found(folder: Path, segment: int) -> None:
    path = segments(folder)[segment]
    whole = path.read_bytes()
    for place in range(0, len(whole), 97):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        assert not check(folder).clean
