"""A real engine in a real process is killed over and over: the next one goes on, and repeats nothing that was done."""

from __future__ import annotations

import hashlib
import os
import random
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from tests.crash.children import Children
from tests.resume.dags import Dag, begin, drive, outputs_of
from tests.stores import check_views, open_again, verify_at

TASKS = 12
MOST_STEPS = 9
"""An engine is killed after it has told of this many steps, or fewer."""


def result_of(task_id: str, inputs: dict[str, Any]) -> object:
    """Something that depends on every input; large for some tasks, so that it goes to a blob."""
    digest = hashlib.sha256(repr((task_id, sorted(inputs.items()))).encode()).hexdigest()
    return [digest, "x" * (70_000 if digest < "4" else 10)]


def live(test: Connection, address: str, outside: Path, name: str) -> str:
    """Claim the run, by force if the engine before has left a lease, and drive it. Every task has an effect outside.

    An address is all that the engine has to hold.
    """

    def work(task_id: str, inputs: dict[str, Any]) -> object:
        with open(outside, "ab", buffering=0) as effects:
            effects.write(f"{task_id}\n".encode())
        return result_of(task_id, inputs)

    with open_again(address) as store:
        drive(store, store.resume("run", worker=name, lease=3600, force=True), work, lambda *step: test.send(step))
    return "done"


def effects_in(outside: Path) -> Counter[str]:
    try:
        return Counter(outside.read_text().split())
    except FileNotFoundError:
        return Counter()


def random_dag(choices: random.Random) -> Dag:
    return {
        f"t{number}": tuple(f"t{n}" for n in sorted(choices.sample(range(number), min(number, choices.randint(0, 3)))))
        for number in range(TASKS)
    }


@pytest.mark.parametrize("workflow", range(2))
def test_an_engine_that_is_killed_anywhere_is_replaced_without_loss_or_repetition(
    lasting: str, tmp_path: Path, children: Children, workflow: int, record_property: Callable[[str, object], None]
) -> None:
    seed = int(os.environ.get("EVENTSTORE_CRASH_SEED") or random.randrange(2**32))
    choices = random.Random(seed)
    dag = random_dag(choices)
    outside = tmp_path / "effects"
    with open_again(lasting) as store:
        begin(store, dag)
    acknowledged: set[str] = set()
    completed: dict[str, object] = {}
    engines = kills = 0
    status = "running"
    while status == "running":
        before = effects_in(outside)
        engines += 1
        engine = children.start(live, lasting, outside, f"engine {engines}")
        last = choices.randrange(MOST_STEPS)
        if last == 0:
            engine.kill()
        for number, message in enumerate(engine.rest(), 1):
            if message[0] == "completed":
                acknowledged.add(message[1])
            if number == last:
                engine.kill()
        kills += engine.end() != 0
        effects = effects_in(outside)
        assert {task_id: effects[task_id] for task_id in completed} == {
            task_id: before[task_id] for task_id in completed
        }
        with open_again(lasting) as store:
            completed = store.get_completed_node_outputs("run")
            assert acknowledged <= completed.keys()
            check_views(store)
            (run,) = store.list_runs()
            attempts = Counter(attempt.status for attempt in store.list_attempts("run"))
            result = store.load(run.output) if run.output else None
            status = run.status
    assert (status, result) == ("completed", outputs_of(dag, result_of))
    assert attempts.keys() <= {"completed", "interrupted"}
    assert attempts["completed"] == TASKS
    assert run.epoch <= 1 + engines
    assert verify_at(lasting).clean
    record_property("engines killed", kills)
    record_property("attempts interrupted", attempts["interrupted"])
    record_property("seed", str(seed))
