"""The command line as a process of its own: exit codes, pipes, what it loads, and what that costs."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = [sys.executable, "-c", "from projections.cli import main; main(prog_name='eventstore')"]
SHELL = f'"{sys.executable}" -c "from projections.cli import main; main()"'


def eventstore(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command, with this and nothing else of ours in its environment."""
    inherited = {name: value for name, value in os.environ.items() if name != "EVENTSTORE_URL"}
    command = [*PROGRAM, *map(str, arguments)]
    return subprocess.run(command, env=inherited | environment, capture_output=True, text=True, encoding="utf-8")


def test_exit_codes_reach_the_caller(example: Path, tmp_path: Path) -> None:
    codes = {
        0: eventstore("runs", "-s", example),
        2: eventstore("runs", "--status", "nope", "-s", example),
        3: eventstore("show", "nope", "-s", example),
        6: eventstore("runs", "-s", tmp_path / "absent"),
    }
    assert [ended.returncode for ended in codes.values()] == list(codes)
    assert codes[0].stderr == ""
    assert all(len(ended.stderr.splitlines()) == 2 for code, ended in codes.items() if code)


def test_a_reader_that_stops_early_is_no_error(example: Path) -> None:
    for format in ("text", "jsonl"):
        command = f'{SHELL} events done -s "{example}" -o {format} | head -n 1; echo "${{PIPESTATUS[0]}}"'
        ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
        assert ended.stderr == ""
        assert len(ended.stdout.splitlines()) == 2
        assert ended.stdout.splitlines()[1] == "0"


def test_a_pipe_that_nobody_reads_is_no_error(example: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as pipe:
        ended = subprocess.run([*PROGRAM, "runs", "-s", example], stdout=pipe, stderr=subprocess.PIPE, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_debug_shows_a_traceback_and_nothing_else_does(tmp_path: Path) -> None:
    assert "Traceback" not in eventstore("runs", "-s", tmp_path / "absent").stderr
    ended = eventstore("--debug", "runs", "-s", tmp_path / "absent")
    assert ended.returncode == 1
    assert "Traceback" in ended.stderr
    assert "Unavailable" in ended.stderr


def test_the_environment_names_the_store(example: Path) -> None:
    ended = eventstore("runs", "-o", "json", EVENTSTORE_URL=str(example))
    assert [run["id"] for run in json.loads(ended.stdout)] == ["done", "failed", "going on"]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_without_all_characters_gets_others_and_json_is_always_utf_8(tmp_path: Path, encoding: str) -> None:
    trace = Path(__file__).parents[1] / "data" / "trace-1.5.json"
    other = tmp_path / "日本.json"
    other.write_text(trace.read_text().replace("photo-shoot", "日本🎉"))
    store = tmp_path / "store"
    ended = eventstore("import", "wfformat", other, "-s", store, PYTHONIOENCODING=encoding, PYTHONUTF8="0")
    assert ended.returncode == 0
    ended = eventstore("runs", "-s", store, "-o", "json", PYTHONIOENCODING=encoding, PYTHONUTF8="0")
    assert json.loads(ended.stdout)[0]["workflow_name"] == "日本🎉"
    ended = eventstore("show", "日本", "-s", store, PYTHONIOENCODING=encoding, PYTHONUTF8="0")
    assert (ended.returncode, "Traceback" in ended.stderr) == (3, False)


def test_help_loads_only_what_it_needs() -> None:
    unneeded = {
        "eventstore",
        "msgspec",
        "orjson",
        "sqlite3",
        "watchfiles",
        "psycopg",
        "projections.demo",
        "projections.store",
    }
    code = f"import sys, projections.cli; print(*sorted({unneeded!r} & sys.modules.keys()))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == ""


def test_commands_do_not_load_what_they_do_not_need(example: Path) -> None:
    code = (
        "import sys; from projections.cli import main\n"
        "try: main()\n"
        "finally: print(*sorted({'watchfiles', 'psycopg', 'projections.demo'} & sys.modules.keys()), file=sys.stderr)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, "runs", "-s", str(example)], capture_output=True, text=True, check=True
    )
    assert ended.stderr.strip() == ""


def test_help_is_quick() -> None:
    def spent() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    costs = []
    for _ in range(3):
        before = spent()
        assert eventstore("--help").returncode == 0
        costs.append(spent() - before)
    assert min(costs) < 0.15


def test_the_names_of_the_package_are_there_when_they_are_used() -> None:
    code = """
import sys, projections
assert "projections.store" not in sys.modules
assert {"Store", "open_store", "Task"} <= set(dir(projections))
from projections import *
assert open_store is projections.store.open_store
assert Task is projections.task_commands.Task
assert not hasattr(projections, "nonsense")
"""
    subprocess.run([sys.executable, "-c", code], check=True)
