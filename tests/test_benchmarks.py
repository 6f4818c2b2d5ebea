"""The benchmarks measure every kind of work. How long it takes is not asked here: no test looks at a clock."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast
from xml.etree import ElementTree

import msgspec
import pytest

from benchmarks import peers
from benchmarks.__main__ import as_json, measured, rows_of
from benchmarks.appends import Appending
from benchmarks.bench import Bench
from benchmarks.floors import Line, encoded, line_of
from benchmarks.harness import measure
from benchmarks.payload import Commits, beginnings
from benchmarks.picture import svg
from benchmarks.report import BLOCKS, frame, lines_of, marks, written_into
from benchmarks.rows import TINY, Contender, Figure, Goal, Medium, Report, Result, Role, Row
from benchmarks.upkeep import Waiting
from tests.postgres import SERVERS, dsn


@pytest.fixture(autouse=True)
def no_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other systems are measured where they are installed, and tested nowhere."""
    monkeypatch.setattr(peers, "EVENT_STORES", {})
    monkeypatch.setattr(peers, "ENGINES", {})


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """The smallest there is."""
    return Bench(tmp_path, TINY, dsn=dsn(SERVERS[0]), durability="none")


def one_of_each() -> list[Row]:
    """Every kind of work once, the media in turn."""
    kinds: dict[object, list[Row]] = {}
    for row in rows_of(TINY):
        assert isinstance(row.contenders, partial)
        kinds.setdefault(row.contenders.func, []).append(row)
    return [rows[number % len(rows)] for number, rows in enumerate(kinds.values())]


def test_every_kind_of_work_has_figures_in_table_file_and_picture(bench: Bench) -> None:
    rows = one_of_each()
    with bench:
        report = measured(rows, bench)
    assert {result.name: result.error for result in report.results if result.error} == {}
    assert [result.name for result in report.results] == [row.name for row in rows]
    assert all(len(result.figures) > 0 and all(f.turns for f in result.figures) for result in report.results)
    assert msgspec.json.decode(as_json(report), type=Report) == report
    blocks = "".join(f"{begin} old {end} kept " for begin, end in map(marks, BLOCKS))
    document = written_into(f"before {blocks}", report)
    assert document.startswith("before ")
    assert document.count(" kept <!--") + document.endswith(" kept ") == len(BLOCKS)
    assert " old " not in document
    assert any("fsync=" in line for line in frame(report))
    for result in report.results:
        assert all(figure.contender in document for figure in result.figures)
        assert len(list(lines_of(result))) > len(result.figures)
    assert ElementTree.fromstring(svg(report)).tag.endswith("svg")


def test_contenders_take_turns_and_goals_are_held_against_the_ratio(bench: Bench) -> None:
    turns: list[str] = []

    def contender(name: str, figure: float) -> Contender:
        def turn() -> float:
            turns.append(name)
            return figure

        return Contender(name, turn)

    @contextmanager
    def contenders(_: Bench) -> Iterator[list[Contender]]:
        yield [contender("bare", 100.0), contender("near", 70.0), contender("far", 10.0)]

    goals = (Goal("near", at_least=0.7), Goal("far", at_least=0.7))
    row = Row(name="work", medium="files", unit="events/s", contenders=contenders, goals=goals, rounds=2)
    bare, near, far = measure(row, bench).figures
    assert turns == ["far", "near", "bare", "bare", "near", "far", "near", "bare", "far"]
    assert (bare.met, near.met, far.met) == (None, True, False)
    assert (near.ratio, near.median, near.turns) == (0.7, 70.0, (70.0, 70.0))


def test_nobody_pays_for_the_garbage_of_others(bench: Bench) -> None:
    frozen: list[int] = []

    def turn() -> float:
        frozen.append(gc.get_freeze_count())
        return 1.0

    @contextmanager
    def contenders(_: Bench) -> Iterator[list[Contender]]:
        yield [Contender("bare", turn)]

    measure(Row(name="work", medium="files", unit="ms", contenders=contenders), bench)
    assert all(frozen)
    assert gc.get_freeze_count() == 0


def test_what_is_written_behind_appends_is_waited_for(bench: Bench) -> None:
    with bench, bench.store("files") as store:
        store.log.append(beginnings())
        Appending(1, 3).kept_by(store)()
        folder = Path(store.address.removeprefix("jsonl:")) / "run-0"
        assert len((folder / "events.jsonl").read_text().splitlines()) == 2 + 3


def test_the_floor_that_encodes_writes_the_same_events(tmp_path: Path) -> None:
    (commit,) = Commits().some(1, of=3)
    bare = msgspec.json.decode(encoded(commit), type=Line).events
    logged = msgspec.json.decode(line_of(commit, tmp_path), type=Line).events
    assert [msgspec.structs.replace(event, hash="") for event in logged] == bare


def test_a_goal_may_have_two_sides() -> None:
    goal = Goal("far", at_least=0.9, at_most=1.1)
    assert str(goal) == "0.9–1.1 ×"
    assert [goal.met(1.0, ratio) for ratio in (0.8, 0.9, 1.1, 1.2)] == [False, True, True, False]


def test_percentiles_that_are_asked_once_each_are_of_the_same_events(bench: Bench) -> None:
    seen: list[float] = []

    class Follower:
        def recv(self) -> float:
            seen.append(time.monotonic())
            return seen[-1]

    with bench, bench.store("files") as store:
        store.log.append(beginnings())
        wait = Waiting(store, cast("Connection[Any, Any]", Follower()), 2)
        for _ in range(2):
            wait.percentile(50, seen=False)
            wait.percentile(50, seen=True)
            wait.percentile(99, seen=True)
    assert len(seen) == 4


def test_the_picture_has_what_stands_beside_a_floor(bench: Bench) -> None:
    def result(name: str, medium: Medium, *figures: Figure) -> Result:
        return Result(name, medium, "ms", "", figures)

    def figure(name: str, role: Role, ratio: float, met: bool | None = None) -> Figure:
        return Figure(name, role, 1.0, 1.0, 1.0, ratio, "", "", (1.0,), met=met)

    floor, far = figure("bare", "floor", 1.0), figure("ours", "ours", 1_000.0, met=False)
    results = (
        result("asking", "SQLite", floor, far),
        result("opening", "files", figure("cold", "ours", 1.0)),
        result("asking", "files", floor, figure("ours", "ours", 2.0)),
    )
    drawn = svg(Report("2026-01-31", 1.0, TINY, {}, {}, {}, results))
    assert "opening" not in drawn
    assert drawn.index(">files<") < drawn.index(">SQLite<")
    assert [name in drawn for name in ("0.0001 ×", "0.001 ×", "10 ×", "100 ×")] == [False, True, True, False]


def test_another_system_that_fails_is_left_out_and_named(bench: Bench) -> None:
    def fail() -> float:
        raise OSError("out of order")

    @contextmanager
    def contenders(_: Bench) -> Iterator[list[Contender]]:
        yield [Contender("bare", lambda: 1.0, "floor"), Contender("other", fail, "peer")]

    row = Row(name="work", medium="files", unit="events/s", contenders=contenders)
    assert [figure.contender for figure in measure(row, bench).figures] == ["bare"]
    assert bench.missing == {"other, work, files": "OSError: out of order"}


def test_a_row_that_fails_says_so_and_the_others_go_on(bench: Bench) -> None:
    def failing(_: Bench) -> AbstractContextManager[list[Contender]]:
        raise OSError("no space left")

    @contextmanager
    def working(_: Bench) -> Iterator[list[Contender]]:
        yield [Contender("bare", lambda: 1.0)]

    rows = [
        Row(name=name, medium="files", unit="ms", contenders=contenders)
        for name, contenders in (("first", failing), ("second", working))
    ]
    with bench:
        first, second = measured(rows, bench).results
    assert (first.error, first.figures) == ("OSError: no space left", ())
    assert (second.error, len(second.figures)) == ("", 1)
    assert "  failed: OSError: no space left" in lines_of(first)
