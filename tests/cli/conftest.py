"""The command line, run inside the test, and the store it looks into."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from projections.cli import main
from tests.verify.example import make


class Outcome(msgspec.Struct, frozen=True):
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed with -o json."""
        assert (self.code, self.err) == (0, "")
        assert self.out.count("\n") == 1
        return json.loads(self.out)

    @property
    def jsonl(self) -> list[Any]:
        """What it printed with -o jsonl."""
        assert (self.code, self.err) == (0, "")
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def text(self) -> list[str]:
        """The lines it printed for people."""
        assert (self.code, self.err) == (0, "")
        return self.out.splitlines()


Run = Callable[..., Outcome]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `eventstore` with these arguments."""
    monkeypatch.delenv("EVENTSTORE_URL", raising=False)

    def run(*arguments: object) -> Outcome:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments], prog_name="eventstore")
        out, err = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Outcome(ended.value.code, out, err)

    return run


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with something of everything. Not to be changed."""
    return make(tmp_path_factory.mktemp("example"))


@pytest.fixture
def folder(example: Path, tmp_path: Path) -> Path:
    """A copy of the example."""
    return Path(shutil.copytree(example, tmp_path / "store"))
