"""Makes the golden store of a new format: `python -m tests.golden.make v2`. One that exists is never made again."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import orjson

from tests.golden.reading import lasting_files, read_store
from tests.golden.story import write_store

HERE = Path(__file__).parent


def make(version: str) -> None:
    """Write the story's store, keep the files that last, and note what is read out of them now."""
    folder = HERE / version
    if folder.exists():
        sys.exit(f"{folder} exists. It is what that version has written, so it is never made again; see its README.")
    with tempfile.TemporaryDirectory() as scratch:
        written = Path(scratch)
        write_store(written)
        for name, data in lasting_files(written).items():
            path = folder / "store" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        expected = orjson.dumps(read_store(written), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        (folder / "expected.json").write_bytes(expected)


if __name__ == "__main__":
    make(sys.argv[1])
