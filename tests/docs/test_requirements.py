"""The document on requirements is what the tests say, and no requirement is without a test."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.docs.blocks import ROOT
from tests.requirements.table import DOCUMENT, NOTHING, REGRESSIONS, TITLES

LASTING = ("JSONL", "SQLite", "Postgres")
OF_ONE_BACKEND = {f"S2.{number}" for number in range(5, 13)}
"""Scenarios about files, or about tables."""


@pytest.fixture(scope="module")
def made() -> str:
    """What the program would write now."""
    command = [sys.executable, "-m", "tests.requirements.table", "--print"]
    environment = os.environ | {"PYTHONUTF8": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_document_is_what_the_tests_say(made: str) -> None:
    assert made == DOCUMENT.read_text(), "run `python -m tests.requirements.table`"


def test_every_scenario_of_the_four_documents_is_listed() -> None:
    assert [len(titles) for titles in TITLES.values()] == [15, 14, 13, 13]
    assert len(set(REGRESSIONS)) == 28


def test_every_scenario_and_every_failure_of_another_system_has_a_test(made: str) -> None:
    assert re.findall(rf"^\| (.*) \| {NOTHING} \|", made, re.MULTILINE) == []


def test_every_scenario_is_shown_on_every_backend_that_it_speaks_of(made: str) -> None:
    shown: dict[str, set[str]] = {}
    for name, backends in re.findall(r"^\| (.*) \| `.*` \| (.*) \|$", made, re.MULTILINE):
        scenario = name.split()[0] if name else list(shown)[-1]
        shown.setdefault(scenario, set()).update(LASTING if backends == "all" else backends.split(", "))
    scenarios = {name: found for name, found in shown.items() if re.fullmatch(r"S\d\.\d+", name)}
    assert {name for name, found in scenarios.items() if not found >= set(LASTING)} <= OF_ONE_BACKEND
