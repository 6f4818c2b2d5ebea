"""Random workflows whose tasks change while runs of them are under way, and what these tasks put out."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from typing import Any

import msgspec

Output = dict[str, Any]
"""What a task puts out: its id, what its source and the dice said, and a digest of what it was made of."""


class Definition(msgspec.Struct, frozen=True):
    """A workflow as it is by now: what each task needs, in an order in which they can run; the edition of its source.

    Tasks that are unstable put out something else whenever the dice say so. The last ones may be missing as yet.
    """

    needs: dict[str, tuple[str, ...]]
    editions: dict[str, int]
    unstable: tuple[str, ...]
    missing: int = 0

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that are part of it by now."""
        return tuple(self.needs)[: len(self.needs) - self.missing]

    def fingerprints(self) -> dict[str, str]:
        return {task_id: str(self.editions[task_id]) for task_id in self.tasks}

    def changed(self, task_id: str) -> Definition:
        """With another edition of this task's source. Of two editions that follow one another, some do the same."""
        return msgspec.structs.replace(self, editions={**self.editions, task_id: self.editions[task_id] + 1})

    def grown(self) -> Definition:
        """With one more task, if there is one."""
        return msgspec.structs.replace(self, missing=max(0, self.missing - 1))

    def output(self, task_id: str, inputs: Mapping[str, Any], dice: int) -> Output:
        """What the task makes of its inputs; large for some, so that it goes to a blob."""
        made_of = hashlib.sha256(repr(sorted(inputs.items())).encode()).hexdigest()[:16]
        filling = "x" * (500 if made_of < "4" else 0)
        return {
            "task": task_id,
            "source": (self.editions[task_id] + 1) // 2,
            "dice": dice if task_id in self.unstable else 0,
            "made of": made_of,
            "filling": filling,
        }

    def outputs(self, dice: Mapping[str, int]) -> dict[str, Output]:
        """What the workflow comes to if nothing goes wrong and the dice fall like this."""
        outputs: dict[str, Output] = {}
        for task_id in self.tasks:
            inputs = {needed: outputs[needed] for needed in self.needs[task_id]}
            outputs[task_id] = self.output(task_id, inputs, dice.get(task_id, 0))
        return outputs


def random_definition(choices: random.Random, most: int = 8) -> Definition:
    """A workflow of up to so many tasks, each of which may need any that come before it."""
    tasks = [f"t{number}" for number in range(choices.randint(2, most))]
    needs = {
        task_id: tuple(sorted(choices.sample(tasks[:number], min(number, choices.randint(0, 3)))))
        for number, task_id in enumerate(tasks)
    }
    unstable = tuple(task_id for task_id in tasks if choices.random() < 0.25)
    missing = choices.randrange(len(tasks)) if choices.random() < 0.3 else 0
    return Definition(needs, dict.fromkeys(tasks, 0), unstable, missing)
