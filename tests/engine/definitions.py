"""Random workflows whose tasks change while runs of them are under way, and what these tasks put out."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from typing import Any

import msgspec

from projections import item

Output = dict[str, Any]
"""What a task puts out: its id, what its source and the dice said, and a digest of what it was made of."""


class Definition(msgspec.Struct, frozen=True):
    """A workflow as it is by now: what each task needs, in an order in which they can run; the edition of its source.

    Tasks that are unstable put out something else whenever the dice say so. Gates put out what somebody decides, timers
    come to something by themselves, and some tasks always run again. The last ones may be missing as yet.
    """

    needs: dict[str, tuple[str, ...]]
    editions: dict[str, int]
    unstable: tuple[str, ...]
    missing: int = 0
    gates: tuple[str, ...] = ()
    timers: tuple[str, ...] = ()
    always: tuple[str, ...] = ()

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

    def awaited(self, task_id: str, dice: int) -> Output:
        """What a gate or a timer comes to: no input matters."""
        return {"task": task_id, "dice": dice}

    def outputs(self, dice: Mapping[str, int]) -> dict[str, Output]:
        """What the workflow comes to if nothing goes wrong and the dice fall like this."""
        outputs: dict[str, Output] = {}
        for task_id in self.tasks:
            inputs = {needed: outputs[needed] for needed in self.needs[task_id]}
            falls = dice.get(task_id, 0)
            awaited = task_id in (*self.gates, *self.timers)
            outputs[task_id] = self.awaited(task_id, falls) if awaited else self.output(task_id, inputs, falls)
        return outputs


def random_definition(choices: random.Random, most: int = 8, *, waits: bool = False) -> Definition:
    """A workflow of up to so many tasks, each of which may need any that come before it; some fan out into items.

    With `waits`, some are gates, for which somebody is needed who decides them, and some are timers.
    """
    tasks = [f"t{number}" for number in range(choices.randint(2, most))]
    needs: dict[str, tuple[str, ...]] = {}
    for number, task_id in enumerate(tasks):
        needed = tuple(sorted(choices.sample(tasks[:number], min(number, choices.randint(0, 3)))))
        items = [item(task_id, place) for place in range(choices.choice((0, 0, 0, 0, 0, 0, 2, 3)))]
        needs |= dict.fromkeys(items, needed)
        needs[task_id] = tuple(items) or needed
    kinds = choices.choices(("plain", "unstable", "always", "gate", "timer"), (6, 2, 1, waits, waits), k=len(needs))
    of_kind = {kind: tuple(id for id, each in zip(needs, kinds, strict=True) if each == kind) for kind in kinds}
    missing = choices.randrange(len(needs)) if choices.random() < 0.3 else 0
    return Definition(
        needs,
        dict.fromkeys(needs, 0),
        of_kind.get("unstable", ()),
        missing,
        of_kind.get("gate", ()),
        of_kind.get("timer", ()),
        of_kind.get("always", ()),
    )
