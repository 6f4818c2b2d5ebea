"""Workflow definitions on the command line: saved from files, shown with their history, deleted and brought back."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from .conftest import Run
from .test_exit_codes import assert_refused

DEFINITION = {"steps": ["write", "post"]}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with a definition."""
    path = tmp_path / "parcels.json"
    path.write_text(json.dumps(DEFINITION, indent=2))
    return path


def test_definitions_are_listed(run: Run, address: str) -> None:
    names, line = run("workflows", "-s", address).text
    assert names.split() == ["WORKFLOW", "NAME", "VERSION", "HASH", "SAVED"]
    assert line.split()[:3] == ["letters", "Letters", "1"]
    (row,) = run("workflows", "-s", address, "-o", "json").json
    assert (row["id"], row["version"]) == ("letters", 1)
    assert run("workflows", "-s", address, "-o", "jsonl").jsonl == [row]


def test_a_definition_is_saved_once_for_each_content(run: Run, place: str, file: Path) -> None:
    options = ["--name", "Parcels", "--metadata", 'tags=["post"]']
    (line,) = run("workflow", "save", "parcels", file, *options, "-s", place).text
    saved = run("workflow", "save", "parcels", file, *options, "-s", place, "-o", "json").json
    assert (saved["version"], saved["name"], saved["metadata"]) == (1, "Parcels", {"tags": ["post"]})
    assert line == f"parcels is at version 1, {saved['hash']}"
    file.write_text("[]")
    assert run("workflow", "save", "parcels", file, "-s", place, "-o", "jsonl").json["version"] == 2


def test_a_definition_comes_from_the_standard_input(run: Run, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'{"a": 1}')))
    assert run("workflow", "save", "w", "-", "-s", place).code == 0
    assert run("workflow", "show", "w", 1, "-s", place).json == {"a": 1}


def test_a_definition_is_shown_with_its_history(run: Run, place: str, file: Path) -> None:
    run("workflow", "save", "parcels", file, "--name", "Parcels", "-s", place)
    file.write_text('"' + "x" * 1_000 + '"')
    run("workflow", "save", "parcels", file, "-s", place)
    first, _, names, *lines = run("workflow", "show", "parcels", "-s", place).text
    assert (first, names.split()) == ("workflow  parcels", ["VERSION", "NAME", "HASH", "SAVED"])
    assert [line.split()[0] for line in lines] == ["1", "2"]
    shown = run("workflow", "show", "parcels", "-s", place, "-o", "json").json
    assert (shown["workflow"]["version"], shown["definition"]) == (2, "x" * 1_000)
    assert [version["name"] for version in shown["versions"]] == ["Parcels", ""]
    for format in ("text", "json"):
        assert run("workflow", "show", "parcels", 1, "-s", place, "-o", format).json == DEFINITION


def test_a_deleted_definition_is_hidden_until_it_is_saved_again(run: Run, place: str, file: Path) -> None:
    run("workflow", "save", "parcels", file, "-s", place)
    ended = run("workflow", "delete", "parcels", "--reason", "no stamps", "-s", place)
    assert ended.text == ["deleted parcels; its versions and runs stay"]
    assert run("workflow", "delete", "parcels", "-s", place, "-o", "json").json["deleted_at"]
    assert [each["id"] for each in run("workflows", "-s", place, "-o", "json").json] == ["letters"]
    assert len(run("workflows", "--deleted", "-s", place, "-o", "json").json) == 2
    assert any(line.startswith("deleted   20") for line in run("workflow", "show", "parcels", "-s", place).text)
    assert run("workflow", "show", "parcels", 1, "-s", place).json == DEFINITION
    assert run("workflow", "save", "parcels", file, "-s", place, "-o", "json").json["version"] == 1
    assert len(run("workflows", "-s", place, "-o", "json").json) == 2


def test_an_unknown_definition_is_not_found(run: Run, address: str) -> None:
    assert_refused(run("workflow", "show", "nope", "-s", address), 3, "eventstore workflows")
    assert_refused(run("workflow", "show", "letters", 2, "-s", address), 3, "newest one is 1")
    assert_refused(run("workflow", "delete", "nope", "-s", address), 3, "eventstore workflows")


@pytest.mark.parametrize("content", ["", "{", "{'a': 1}", "NaN", "[1] [2]", '"\udcff"'])
def test_a_file_that_is_no_json_is_a_usage_error(run: Run, address: str, file: Path, content: str) -> None:
    file.write_text(content, errors="surrogateescape")
    assert_refused(run("workflow", "save", "parcels", file, "-s", address), 2, str(file))
    assert_refused(run("workflow", "save", "parcels", file, "--metadata", "a=b", "-s", address), 2, "KEY=JSON")


def test_a_file_that_is_not_there_is_named(run: Run, address: str, tmp_path: Path) -> None:
    ended = run("workflow", "save", "parcels", tmp_path / "absent", "-s", address)
    assert (ended.code, ended.out) == (6, "")
    assert "absent" in ended.err
