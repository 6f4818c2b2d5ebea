"""Stores that earlier versions have written are read exactly, for ever; and today's code writes what it always did."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest

from eventstore.codec import UnknownEvent
from eventstore.jsonl import JsonlLog
from projections import open_store
from tests.codec.vocabulary import TYPES

from .make import make
from .reading import lasting_files, read_store
from .story import codec, write_store

HERE = Path(__file__).parent
VERSIONS = sorted(path.name for path in HERE.glob("v*"))
NEWEST = "v2"


@pytest.fixture(params=VERSIONS)
def golden(request: pytest.FixtureRequest) -> Path:
    """The folder of each version."""
    return HERE / str(request.param)


@pytest.fixture
def store_folder(golden: Path, tmp_path: Path) -> Path:
    """A copy of its store, to be opened."""
    return Path(shutil.copytree(golden / "store", tmp_path / "store"))


@pytest.fixture
def expected(golden: Path) -> Any:
    """What was read out of it when it was written."""
    return orjson.loads((golden / "expected.json").read_bytes())


def test_all_that_was_read_then_is_read_now(store_folder: Path, expected: Any) -> None:
    """The views may have more tables and columns by now, and no fewer."""
    found = read_store(store_folder)

    assert (found["head"], found["checkpoints"]) == (expected["head"], expected["checkpoints"])
    assert found["events"] == expected["events"]
    assert found["outputs"] == expected["outputs"]
    for table, rows in expected["tables"].items():
        now = {tuple(row["key"]): row["columns"] for row in found["tables"][table]}
        then = {tuple(row["key"]): row["columns"] for row in rows}
        assert {key: {name: now[key][name] for name in columns} for key, columns in then.items()} == then
        assert set(now) == set(then)


def test_reading_changes_nothing_that_lasts(golden: Path, store_folder: Path) -> None:
    read_store(store_folder)

    assert lasting_files(store_folder) == lasting_files(golden / "store")


def test_a_purged_stream_is_in_no_file(golden: Path) -> None:
    assert not [name for name, data in lasting_files(golden / "store").items() if b"to be removed" in data]


def test_every_type_that_was_known_is_known(store_folder: Path, expected: Any) -> None:
    with open_store(f"jsonl:{store_folder}", codec=codec()) as store:
        unknown = {event.type for event in store.log.read_all() if isinstance(codec().decode(event), UnknownEvent)}

    assert unknown == {event["type"] for event in expected["events"] if event["type"].startswith("other.")}


def test_the_store_can_be_gone_on_with(store_folder: Path, expected: Any) -> None:
    with open_store(f"jsonl:{store_folder}", codec=codec()) as store:
        store.start_run("run-3", worker="later")
        assert store.log.head() == expected["head"] + 1

    assert [event["hash"] for event in read_store(store_folder)["events"]][:-1] == [
        event["hash"] for event in expected["events"]
    ]


def test_the_hashes_are_what_plain_hashlib_says(expected: Any) -> None:
    """From the documented fields alone, with none of our code in between."""
    before: dict[str, str] = {}
    for event in expected["events"]:
        data = base64.b64decode(event["data64"]) if "data64" in event else event["data"].encode()
        fields = [
            before.get(event["stream"], "").encode(),
            event["stream"].encode(),
            str(event["version"]).encode(),
            UUID(event["id"]).bytes,
            event["type"].encode(),
            str(event["schema"]).encode(),
            event["time"].encode(),
            event["content_type"].encode(),
            json.dumps(event["meta"], separators=(",", ":"), ensure_ascii=False).encode(),
            data,
        ]
        framed = b"".join(len(field).to_bytes(8, "big") + field for field in fields)
        assert event["hash"] == hashlib.sha256(framed).hexdigest(), event
        before[event["stream"]] = event["hash"]


def test_the_checksums_of_lines_and_the_names_of_blobs_are_what_plain_hashlib_says(golden: Path) -> None:
    for name, data in lasting_files(golden / "store").items():
        if name.startswith("_blobs"):
            assert name == f"_blobs/{hashlib.sha256(data).hexdigest()[:2]}/{hashlib.sha256(data).hexdigest()[2:]}"
            continue
        for line in data.splitlines(keepends=True):
            opening, body = line[:24], line[25:-1]
            assert opening == b'{"sum":"' + hashlib.sha256(body).hexdigest()[:16].encode()
            assert (line[24:25], body[:1], line[-1:]) == (b'"', b",", b"\n")


ON_PURPOSE = f"""Today's code writes other bytes for the same inputs than {NEWEST} did.
If that was not meant, it is a bug: stores and digests made before would differ from those made now.
If it was meant: leave {NEWEST} as it is, so that it stays readable; say in docs/FORMAT.md and CHANGELOG.md what is
new; make the golden store of the new format with `python -m tests.golden.make`; and set NEWEST here to its name."""


def test_the_same_inputs_make_the_same_bytes(tmp_path: Path) -> None:
    write_store(tmp_path)

    now, then = lasting_files(tmp_path), lasting_files(HERE / NEWEST / "store")
    assert list(now) == list(then), ON_PURPOSE
    for name, data in then.items():
        assert now[name].splitlines() == data.splitlines(), ON_PURPOSE
        assert now[name] == data, ON_PURPOSE


def test_the_newest_golden_store_holds_every_event_type() -> None:
    expected = orjson.loads((HERE / NEWEST / "expected.json").read_bytes())

    assert {*TYPES, "billing.charged"} <= {event["type"] for event in expected["events"]}


def test_a_golden_store_is_never_made_again(golden: Path) -> None:
    before = lasting_files(golden / "store")

    with pytest.raises(SystemExit, match="never made again"):
        make(golden.name)

    assert lasting_files(golden / "store") == before


def test_a_store_of_this_version_opens_without_a_repair(store_folder: Path) -> None:
    log = JsonlLog(store_folder)

    assert log.repairs == ()
    log.close()
