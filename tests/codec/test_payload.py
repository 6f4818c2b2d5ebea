"""Small values stand in the event, large ones in a blob; both come back exactly, and never their preview."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.blobs import Blobs, FileBlobs, MemoryBlobs
from eventstore.disk import Disk
from eventstore.errors import BlobCorrupt, BlobMissing, InvalidValue, TooLarge
from eventstore.payload import THRESHOLD, Value, Values, preview
from eventstore.values import encode_value

from .json_values import json_values


@pytest.fixture(params=["memory", "file"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Blobs]:
    """Blobs of each kind."""
    if request.param == "memory":
        yield MemoryBlobs()
        return
    disk = Disk(tmp_path)
    yield FileBlobs(disk)
    disk.release()


def text_of(size: int) -> str:
    """A text whose JSON has so many bytes."""
    return "x" * (size - 2)


def test_a_value_of_exactly_the_threshold_is_inline_and_one_byte_more_is_a_blob(blobs: Blobs) -> None:
    values = Values(blobs)

    at = values.keep(text_of(THRESHOLD))
    over = values.keep(text_of(THRESHOLD + 1))

    assert (at.size, bytes(_json(at)), at.preview) == (THRESHOLD, encode_value(text_of(THRESHOLD)), msgspec.UNSET)
    assert (over.size, over.json, over.preview) == (THRESHOLD + 1, msgspec.UNSET, '"' + "x" * 199)
    assert list(blobs.digests()) == [over.digest]
    assert (values.load(at), values.load(over)) == (text_of(THRESHOLD), text_of(THRESHOLD + 1))


def _json(value: Value) -> msgspec.Raw:
    assert isinstance(value.json, msgspec.Raw)
    return value.json


@given(json_values, st.integers(0, 40))
def test_any_value_comes_back_exactly_on_either_side_of_any_threshold(value: object, threshold: int) -> None:
    values = Values(MemoryBlobs(), threshold=threshold)
    kept = values.keep(value)

    assert repr(values.load(kept)) == repr(value)
    assert (kept.preview is msgspec.UNSET) == (kept.size <= threshold) == (kept.json is not msgspec.UNSET)
    assert msgspec.json.decode(msgspec.json.encode(kept), type=Value) == kept


@given(json_values, json_values, st.sampled_from([0, 20]), st.sampled_from([0, 20]))
def test_digests_are_equal_exactly_if_the_bytes_are(first: object, second: object, here: int, there: int) -> None:
    """Wherever the values are kept; so a resumed run can tell whether an output is still the one it was made from."""
    one, other = Values(MemoryBlobs(), threshold=here).keep(first), Values(MemoryBlobs(), threshold=there).keep(second)

    assert (one.digest == other.digest) == (encode_value(first) == encode_value(second))
    assert one.digest == hashlib.sha256(encode_value(first)).hexdigest()
    assert one.size == len(encode_value(first))


@given(st.text(st.sampled_from('aé€\U0001f984\u2028\x00"\\'), min_size=30, max_size=220))
def test_a_preview_is_the_start_of_the_json_cut_where_a_character_ends(text: str) -> None:
    data = encode_value(text)
    cut = preview(data).encode()

    assert data.startswith(cut)
    assert min(len(data), 197) <= len(cut) <= 200


@pytest.mark.parametrize("character", ["é", "€", "\U0001f984"])
@pytest.mark.parametrize("shift", range(4))
def test_a_preview_never_holds_half_a_character(character: str, shift: int) -> None:
    assert preview(encode_value("x" * shift + character * 300)).removeprefix('"' + "x" * shift) in character * 300


def test_a_refused_value_leaves_nothing_behind(blobs: Blobs) -> None:
    values = Values(blobs, threshold=0, max_bytes=100)

    with pytest.raises(InvalidValue):
        values.keep(["x", float("nan")])
    with pytest.raises(TooLarge, match="the limit is 100"):
        values.keep(text_of(101))

    assert list(blobs.digests()) == []


def test_what_was_kept_under_a_higher_limit_can_still_be_loaded(blobs: Blobs) -> None:
    kept = Values(blobs, threshold=0).keep(text_of(1_000))

    assert Values(blobs, max_bytes=10).load(kept) == text_of(1_000)


def test_a_value_whose_blob_is_gone_is_missing_and_not_its_preview(blobs: Blobs) -> None:
    kept = Values(MemoryBlobs(), threshold=0).keep({"a": 1})

    with pytest.raises(BlobMissing) as caught:
        Values(blobs).load(kept)

    assert caught.value.digest == kept.digest


@pytest.mark.parametrize("damage", [b"", b'{"a":', b'{"a":2}', b'{"a":1} '])
def test_a_value_whose_blob_is_damaged_is_corrupt_and_not_its_preview(tmp_path: Path, damage: bytes) -> None:
    disk = Disk(tmp_path)
    values = Values(FileBlobs(disk), threshold=0)
    kept = values.keep({"a": 1})
    (tmp_path / "_blobs" / kept.digest[:2] / kept.digest[2:]).write_bytes(damage)

    with pytest.raises(BlobCorrupt) as caught:
        values.load(kept)

    assert caught.value.digest == kept.digest
    disk.release()
