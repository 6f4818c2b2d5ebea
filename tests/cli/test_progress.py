"""Progress bars: on a terminal, on stderr, for work that takes a while, and nowhere else."""

from __future__ import annotations

import contextlib
import pty
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import FileIO
from pathlib import Path

import pytest

from projections.cli import main, output
from tests.stores import ONE_OF_EACH

from .conftest import Run

TRACE = Path(__file__).parents[1] / "data" / "trace-1.5.json"
Screen = Callable[..., str]


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Screen:
    """Runs a command with a terminal for its stderr, and says what that showed."""

    def shown(*arguments: object) -> str:
        ours, theirs = pty.openpty()
        with ThreadPoolExecutor(1) as pool, open(ours, "rb", buffering=0) as screen:
            seen = pool.submit(read_all, screen)
            with open(theirs, "w") as terminal, monkeypatch.context() as patch:
                patch.setattr("sys.stderr", terminal)
                with pytest.raises(SystemExit) as ended:
                    main([str(argument) for argument in arguments])
            assert ended.value.code == 0
            assert "%" not in capsys.readouterr().out
            return seen.result().decode()

    return shown


def read_all(screen: FileIO) -> bytes:
    """Until the other end is closed, which Linux calls an error."""
    seen = b""
    with contextlib.suppress(OSError):
        while part := screen.read(4096):
            seen += part
    return seen


LONG = [
    (kind, label)
    for kind in ONE_OF_EACH[1:]
    for label in ("verifying", "rebuilding", "importing")
    if (kind, label) != ("sqlite", "verifying")  # SQLite's own check of the file cannot say how far it is
]


def commands(place: str) -> dict[str, list[object]]:
    return {
        "verifying": ["verify", "-s", place],
        "rebuilding": ["rebuild", "-s", place],
        "importing": ["import", "wfformat", TRACE, TRACE, "-s", place],
    }


@pytest.mark.parametrize(("kind", "label"), LONG)
def test_long_work_shows_its_progress_on_a_terminal(
    screen: Screen, place: str, monkeypatch: pytest.MonkeyPatch, label: str
) -> None:
    monkeypatch.setattr(output, "PATIENCE", 0)
    seen = screen(*commands(place)[label])
    assert label in seen
    assert "100%" in seen
    assert seen.endswith("\n")


@pytest.mark.parametrize("label", ["verifying", "rebuilding", "importing"])
def test_quick_work_shows_none(screen: Screen, place: str, label: str) -> None:
    assert screen(*commands(place)[label]) == ""


@pytest.mark.parametrize("label", ["verifying", "rebuilding", "importing"])
def test_without_a_terminal_there_is_none(run: Run, place: str, monkeypatch: pytest.MonkeyPatch, label: str) -> None:
    monkeypatch.setattr(output, "PATIENCE", 0)
    assert run(*commands(place)[label]).err == ""
