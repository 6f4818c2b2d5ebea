"""The command line, run inside the test, and the store it looks into."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from projections import open_store
from projections.cli import main
from tests.stores import ONE_OF_EACH, address_of
from tests.verify.example import fill, make


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


@pytest.fixture(params=ONE_OF_EACH[1:])
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of store that lasts, in turn."""
    return str(request.param)


@pytest.fixture
def address(kind: str, made: Callable[[str], str]) -> str:
    """The example's address in a store of each kind. Not to be changed."""
    return made(kind)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Makes the example in a store of a kind, once."""
    return cache(lambda kind: filled(address_of(kind, tmp_path_factory.mktemp("shown") / "store")))


@pytest.fixture
def place(kind: str, tmp_path: Path) -> str:
    """The address of an example of each kind that the test has to itself."""
    return filled(address_of(kind, tmp_path / "store"))


def filled(address: str) -> str:
    with open_store(address, durability="none", threshold=200) as store:
        fill(store)
    return address


@pytest.fixture
def folder(example: Path, tmp_path: Path) -> Path:
    """A copy of the example."""
    return Path(shutil.copytree(example, tmp_path / "store"))
