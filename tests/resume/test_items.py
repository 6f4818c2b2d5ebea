"""Iterations of loops and items of fan-outs resume one by one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.errors import Conflict, InvalidInput, TooLarge
from projections import Item, Store, Task, item, item_of
from projections.rows import TaskRun
from projections.scope import ids_below
from projections.tables import query
from projections.task_queries import ITEMS
from tests.stores import check_views, completed, run_of

names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8) | st.text(
    "[]%5BD2a", min_size=1
)
steps = names | st.just("") | st.integers()
paths = st.lists(steps, min_size=1, max_size=4)


def test_an_item_is_named_by_its_task_and_its_place() -> None:
    assert item("review", "chapters", 3) == "review[chapters][3]"
    assert item_of("review[chapters][3]") == Item("review", ("chapters", "3"))
    assert item("a[1]", "100%") == "a%5B1%5D[100%25]"


@given(task_id=names, path=paths)
def test_an_item_can_be_told_from_its_id(task_id: str, path: list[str | int]) -> None:
    assert item_of(item(task_id, *path)) == Item(task_id, tuple(map(str, path)))


@given(text=st.text("[]%5BDa\n", min_size=1) | names)
def test_an_id_that_is_no_item_is_a_task(text: str) -> None:
    known = item_of(text)
    assert (item(known.task_id, *known.path) if known.path else known.task_id) == text


@given(task_id=names, path=st.lists(steps, max_size=2), other=names, place=paths)
def test_the_items_of_a_task_are_those_between_two_ids(
    task_id: str, path: list[str | int], other: str, place: list[str | int]
) -> None:
    first, end = (text.encode() for text in ids_below(task_id, *path))
    begins = tuple(map(str, path))
    for found in (item(task_id, *path, *place), item(other, *place), other):
        known = item_of(found)
        below = known.task_id == task_id and known.path[: len(path)] == begins and len(known.path) > len(path)
        assert (first <= found.encode() < end and known.path != ()) == below


@pytest.mark.parametrize("path", [(), (True,), (1.5,), (None,)])
def test_a_place_that_is_none_is_refused(path: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInput):
        item("review", *path)
    for task_id, step in (("", 1), ("a", "\0"), ("a", "\ud800"), ("a", "long" * 1000), ("a", 10**5000)):
        with pytest.raises((InvalidInput, TooLarge)):
            item(task_id, step)


@pytest.fixture
def book(store: Store) -> Store:
    """A run that reviews the ten chapters of a draft, and prints them all: draft → review[1] … review[10] → print."""
    run_of(store, "draft")
    completed(store, "run", "draft", "text")
    reviews = [item("review", number) for number in range(1, 11)]
    store.schedule_tasks("run", [Task(review, depends_on=["draft"]) for review in reviews])
    store.schedule_tasks("run", [Task("print", depends_on=reviews), Task("reviewers"), Task("review")])
    return store


def test_a_crash_in_the_third_item_of_ten_leaves_the_rest_to_do(book: Store) -> None:
    for number in (1, 2):
        completed(book, "run", item("review", number), number)
    book.start_task("run", item("review", 3))
    plan = book.resume("run", force=True).plan
    assert [task.task_id for task in plan.reusable] == ["draft", "review[1]", "review[2]"]
    assert [task.task_id for task in plan.in_doubt] == ["review[3]"]
    left = tuple(item("review", number) for number in range(3, 11))
    assert plan.ready == (*left, "reviewers", "review")
    assert plan.blocked == {"print": left}
    for task_id in left:
        completed(book, "run", task_id, task_id)
    assert "print" in book.resume_plan("run").ready


def test_the_items_of_a_task_are_listed_in_the_order_they_were_scheduled(book: Store) -> None:
    reviews = [item("review", number) for number in range(1, 11)]
    assert [task.task_id for task in book.list_items("run", "review")] == reviews
    for number in (10, 2):
        completed(book, "run", item("review", number), number)
    assert [output.task_id for output in book.list_item_outputs("run", "review")] == ["review[10]", "review[2]"]
    assert book.list_items("run", "draft") == book.list_items("other", "review") == []
    book.delete_run("run", force=True)
    assert (book.list_items("run", "review"), book.list_item_outputs("run", "review")) == ([], [])


def test_a_task_whose_id_only_begins_like_an_items_is_none(store: Store) -> None:
    run_of(store, "review[", "review[1]]", "review[1]")
    for task_id in ("review[", "review[1]]", "review[1]"):
        completed(store, "run", task_id)
    assert [task.task_id for task in store.list_items("run", "review")] == ["review[1]"]
    assert [output.task_id for output in store.list_item_outputs("run", "review")] == ["review[1]"]


def test_loops_in_loops_go_on_where_they_were(store: Store) -> None:
    run_of(store)
    for outer in range(3):
        for inner in ("a", "b"):
            store.schedule_task("run", item("step", "outer", outer, "inner", inner))
    for task_id in ("step[outer][0][inner][a]", "step[outer][0][inner][b]", "step[outer][1][inner][a]"):
        completed(store, "run", task_id)
    store.start_task("run", "step[outer][1][inner][b]")
    assert store.resume("run", force=True).plan.ready == (
        "step[outer][1][inner][b]",
        "step[outer][2][inner][a]",
        "step[outer][2][inner][b]",
    )
    assert [item_of(task.task_id).path[-1] for task in store.list_items("run", "step", "outer", 1)] == ["a", "b"]
    assert len(store.list_item_outputs("run", "step", "outer", "0")) == 2
    check_views(store)


def test_items_may_come_later_and_what_needs_them_all_comes_last(book: Store) -> None:
    late = item("review", "appendix")
    book.schedule_task("run", late, depends_on=["draft"])
    assert book.list_items("run", "review")[-1].task_id == late
    reviews = [task.task_id for task in book.list_items("run", "review")]
    with pytest.raises(Conflict, match="with other dependencies"):
        book.schedule_task("run", "print", depends_on=reviews)
    book.schedule_task("run", "print all", depends_on=reviews)
    assert book.resume_plan("run").blocked["print all"] == tuple(reviews)


def test_what_the_items_are_of_runs_again_with_all_of_them(book: Store) -> None:
    for task in book.list_items("run", "review"):
        completed(book, "run", task.task_id)
    completed(book, "run", "print")
    one = [task.task_id for task in book.rerun_from("run", item("review", 4))]
    assert one == ["review[4]", "print"]
    again = [task.task_id for task in book.rerun_from("run", "draft")]
    assert again == ["draft", *(f"review[{number}]" for number in (1, 2, 3, 5, 6, 7, 8, 9, 10))]
    assert book.explain("run", "review[4]").needs == ("draft",)
    check_views(book)


def test_items_of_any_names_are_found_on_every_backend(store: Store) -> None:
    run_of(store)
    odd = ("ü/..", "a[b", "100%", "🦄", "\u2028", "", "Ü/..")
    for task_id in ("x", "x\\", "x[", "X", "x\U0010ffff"):
        for step in odd:
            store.schedule_task("run", item(task_id, step))
    for task_id in ("x", "x\\", "x[", "X", "x\U0010ffff"):
        items = [item_of(task.task_id) for task in store.list_items("run", task_id)]
        assert items == [Item(task_id, (step,)) for step in odd]


def test_items_are_found_without_looking_at_other_tasks(file_store: Store) -> None:
    statement = query(TaskRun, ITEMS, ("run", *ids_below("review")))
    with file_store.views.at_once() as session:
        plan = [str(step) for *_, step in session.rows(f"EXPLAIN QUERY PLAN {statement.text}", statement.arguments)]
    assert any("task_runs" in step and "task_id>? AND task_id<?" in step for step in plan)
