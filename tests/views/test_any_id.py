"""Run ids and task ids may be any text. What no file or table could keep is refused before anything is written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.errors import EventStoreError, InvalidInput, InvalidValue
from projections import Store, Task
from tests.sql_stores import SQL
from tests.stores import address_of, completed, examples, files_due, files_in, folded, open_again, run_of, tables_of

STRANGE = (
    "..",
    ".",
    "/",
    "a/b",
    "a\\b",
    "a:b",
    "%2f",
    "_views.db",
    " ",
    "\t",
    "run.json",
    "ß",
    "ẞ",
    "é",
    "e\u0301",
    "\u2028",
)
IMPOSSIBLE = ("", "a\0b", "\ud800", "x" * 1025)
ids = st.one_of(
    st.sampled_from(STRANGE),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=225),
).filter(lambda id: not id.startswith("$"))
task_ids = st.one_of(ids, st.just("$task"))


pairs_of_run_ids = st.lists(ids, min_size=2, max_size=2, unique=True)
pairs_of_task_ids = st.lists(task_ids, min_size=2, max_size=2, unique=True)


@examples(0.4)
@given(run_ids=pairs_of_run_ids, tasks=pairs_of_task_ids)
def test_any_ids_name_what_they_name_and_nothing_else(
    run_ids: list[str], tasks: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("ids", numbered=True)
    with open_again(folder) as store:
        use(store, run_ids, tasks)
        store.write_folders()
        assert files_in(folder) == files_due(store, folder)
        store.log.purge(run_ids[0])
        assert files_in(folder) == files_due(store, folder)
        assert len(files_in(folder)) == 3


@pytest.mark.parametrize("kind", SQL)
def test_any_ids_are_columns_in_a_database(kind: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    @examples(0.1)
    @given(run_ids=pairs_of_run_ids, tasks=pairs_of_task_ids)
    def so(run_ids: list[str], tasks: list[str]) -> None:
        with open_again(address_of(kind, tmp_path_factory.mktemp("ids", numbered=True))) as store:
            use(store, run_ids, tasks)

    so()


def use(store: Store, run_ids: list[str], tasks: list[str]) -> None:
    """Have all runs done alike, and see that they do not get into each other's way."""
    for run_id in run_ids:
        run_of(store, *tasks, run_id=run_id)
        completed(store, run_id, tasks[0], [run_id, tasks[0]])
    for run_id in run_ids:
        assert store.get_completed_node_outputs(run_id) == {tasks[0]: [run_id, tasks[0]]}
        assert [task.task_id for task in store.list_task_runs(run_id, status="pending")] == tasks[1:]
        assert sorted(task.task_id for task in store.task_runs_among(run_id, tasks)) == sorted(tasks)
    assert tables_of(store) == folded(store)


@pytest.mark.parametrize("run_id", ["$run", *IMPOSSIBLE])
def test_a_run_id_that_cannot_be_kept_is_refused(store: Store, run_id: str) -> None:
    with pytest.raises(EventStoreError) as caught:
        store.create_run("flow", run_id=run_id)
    assert isinstance(caught.value, InvalidInput | InvalidValue)
    assert store.log.head() == 0


@pytest.mark.parametrize("task", [*map(Task, IMPOSSIBLE), *(Task("b", depends_on=["a", id]) for id in IMPOSSIBLE)])
def test_a_task_id_that_cannot_be_kept_is_refused(store: Store, task: Task) -> None:
    run_of(store)
    with pytest.raises(EventStoreError) as caught:
        store.schedule_tasks("run", [Task("a"), task])
    assert isinstance(caught.value, InvalidInput | InvalidValue)
    assert store.log.version("run") == 2


def test_asking_for_an_id_that_nothing_can_have_is_an_error_of_this_library(store: Store) -> None:
    with pytest.raises(InvalidInput, match="surrogate"):
        store.get_run("\ud800")


def test_ids_of_nine_hundred_bytes_work_everywhere(store: Store) -> None:
    run_id, task_id = "ü" * 450, "🙂" * 225
    run_of(store, task_id, run_id=run_id)
    completed(store, run_id, task_id, 1)
    assert store.get_completed_node_outputs(run_id) == {task_id: 1}
