"""The demo keeps its promises: read from the store it leaves behind, and from the notes its tasks took."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from eventstore.errors import InvalidInput
from eventstore.payload import THRESHOLD
from projections import Store, open_store
from projections.cli import main
from projections.demo.analysis import outline, standard_library
from projections.demo.show import (
    BrokenPromise,
    check_executions,
    half_way,
    promise,
    run_demo,
    tell,
    undisturbed_result,
    unused_run_id,
)
from tests.stores import ONE_OF_EACH, address_of

VICTIM = half_way(standard_library())


@cache
def undisturbed() -> object:
    """What the workflow comes to, which takes a while to find out."""
    return undisturbed_result(standard_library())


class Told(msgspec.Struct, frozen=True):
    """A demo that has been run."""

    store: Store
    address: str
    notes: Path
    lines: list[str]


@pytest.fixture(scope="module", params=ONE_OF_EACH[1:])
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """The demo, as it was told on each kind of store that lasts."""
    address = address_of(str(request.param), tmp_path_factory.mktemp("a store") / "store")
    notes = tmp_path_factory.mktemp("notes") / "notes"
    lines: list[str] = []
    tell(address, "demo", notes, lines.append)
    with open_store(address) as store:
        yield Told(store, address, notes, lines)


def test_the_process_is_killed_once_and_another_takes_over(told: Told) -> None:
    kinds = Counter(event.type for event in told.store.log.read("demo"))
    assert kinds["runStarted"] == kinds["runResumed"] == kinds["runCompleted"] == kinds["taskRunInterrupted"] == 1
    workers = {(attempt.epoch, attempt.worker) for attempt in told.store.list_attempts("demo")}
    assert [epoch for epoch, _ in sorted(workers)] == [1, 2]


def test_what_the_first_process_completed_is_reused_and_the_rest_is_run(told: Told) -> None:
    completed: dict[int, set[str]] = {1: set(), 2: set()}
    for attempt in told.store.list_attempts("demo"):
        if attempt.status == "completed":
            completed[attempt.epoch].add(attempt.task_id)
    tasks = told.store.list_task_runs("demo")
    assert {task.task_id for task in tasks if task.reused_version} == completed[1]
    assert len(completed[1]) > 10
    assert VICTIM in completed[2]
    assert completed[1] | completed[2] == {task.task_id for task in tasks}
    assert {task.status for task in tasks} == {"completed"}


def test_only_the_killed_and_the_failed_task_are_executed_twice(told: Told) -> None:
    executed = Counter(told.notes.read_text().split())
    assert executed == Counter(task.task_id for task in told.store.list_task_runs("demo")) + Counter([VICTIM, "graph"])


def test_the_task_in_doubt_is_interrupted_and_run_again(told: Told) -> None:
    killed, again = told.store.list_attempts("demo", VICTIM)
    assert (killed.status, killed.epoch) == ("interrupted", 1)
    assert (again.status, again.epoch) == ("completed", 2)


def test_the_task_that_fails_once_is_retried(told: Told) -> None:
    failed, succeeded = told.store.list_attempts("demo", "graph")
    assert failed.failure is not None
    assert failed.failure.type == "projections.demo.analysis.GrantExceeded"
    assert (failed.status, failed.failure.retryable, succeeded.status) == ("failed", True, "completed")


def test_the_large_output_is_a_blob_and_comes_back_whole(told: Told) -> None:
    output = told.store.get_output("demo", "graph")
    assert output is not None
    assert output.output is not None
    assert output.output.json is msgspec.UNSET
    assert output.output.size > THRESHOLD
    imports = told.store.get_result("demo", "summary")["imports"]
    assert len(told.store.get_result("demo", "graph")) == imports


def test_the_result_is_that_of_a_run_nobody_disturbed(told: Told) -> None:
    run = told.store.get_run("demo")
    assert run is not None
    assert run.output is not None
    assert told.store.load(run.output) == undisturbed()


def test_the_story_is_short_and_the_commands_it_ends_with_work(told: Told) -> None:
    lines = "\n".join(told.lines).splitlines()
    commands = [shlex.split(line) for line in lines if line.startswith("  eventstore ")]
    assert len(lines) <= 30
    assert len(commands) == 3
    for command in commands:
        assert CliRunner().invoke(main, command[1:]).exit_code == 0


def test_a_run_id_in_use_is_not_used_again(told: Told, tmp_path: Path) -> None:
    assert unused_run_id(str(tmp_path / "new")) == "demo"
    assert unused_run_id(told.address) == "demo-2"


def test_the_store_is_named_by_its_address_and_no_password_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr("projections.demo.show.process", lambda *_, **__: promise(False, "enough"))
    monkeypatch.setattr("projections.demo.show.undisturbed_result", lambda _: None)
    with pytest.raises(BrokenPromise, match="enough"):
        tell("postgresql://me:secret@host/db?schema=s", "demo", Path("notes"), told.append)
    assert told[0] == "Store     postgresql://me@host/db?schema=s, run demo"


def test_a_store_in_memory_is_not_enough() -> None:
    with pytest.raises(InvalidInput, match="memory"):
        run_demo("memory:", lambda _: None)


def test_a_task_that_ran_behind_the_back_of_the_store_is_found_out(told: Told, tmp_path: Path) -> None:
    (tmp_path / "notes").write_text(told.notes.read_text() + "modules\n")
    with pytest.raises(BrokenPromise, match="modules"):
        check_executions(told.store, told.store.resume_plan("demo"), tmp_path / "notes", lambda _: None)


def test_imports_and_blocks_of_a_module_are_counted_as_a_reader_counts_them() -> None:
    source = b"import os.path, re\nif 1: pass\nelif 2:\n  def f():\n    from . import a\n    from ..b import c\n"
    assert outline(source, "pack/inner/module.py") == {
        "lines": 6,
        "functions": 1,
        "classes": 0,
        "nesting": 2,
        "imports": [("os.path", 1), ("pack.b", 6), ("pack.inner", 5), ("re", 1)],
    }
    assert outline(b"from .a import b", "pack/__init__.py")["imports"] == [("pack.a", 1)]
