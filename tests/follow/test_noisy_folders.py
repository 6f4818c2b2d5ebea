"""A SQLite file may lie among files that change all the time: who waits for it is not kept from noticing anything."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from eventstore.log import Append, NewEvent
from eventstore.sqlite import SqliteLog


@contextmanager
def noise(folder: Path) -> Iterator[None]:
    """Keep changing another file of this folder."""
    quiet = threading.Event()

    def change() -> None:
        while not quiet.wait(0.002):
            (folder / "other").write_text(str(time.monotonic()))

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield
    finally:
        quiet.set()
        thread.join()


def test_waiting_ends_in_time_and_when_there_is_news(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with closing(SqliteLog(path)) as log, closing(SqliteLog(path)) as other, noise(tmp_path):
        begun = time.monotonic()
        assert not log.wait(0, timeout=0.2)
        assert 0.2 <= time.monotonic() - begun < 30
        writer = threading.Timer(0.1, other.append, [[Append("a", [NewEvent(type="noted", data=b"")])]])
        writer.start()
        assert log.wait(0, timeout=60)
        writer.join()
