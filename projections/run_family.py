"""What is done to a run and to all below it: its children, their children and so on.

One commit holds the whole family, each run at the version at which it was looked at. Whoever creates a child notes it
in its parent's stream, so a child that comes meanwhile is not missed: the commit is refused, and decided again. A
family so busy that this never ends is brought to rest first, run by run from the top: a cancelled run gets no more
children.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from itertools import count

import msgspec

from eventstore.errors import WrongExpectedVersion
from projections.commands import Actor
from projections.decide import Events, check_epoch, check_may_change
from projections.rows import Run, TaskRun
from projections.transitions import TERMINAL
from projections.views import check_text

TRIES = 10
"""How often a commit over a whole family is refused before the family is brought to rest."""


class Member(msgspec.Struct, frozen=True):
    """One run of a family: its unfinished tasks, its children, and the version at which nothing of this was older."""

    run: Run
    version: int
    unfinished: tuple[TaskRun, ...]
    children: tuple[str, ...]


class Families(Actor):
    """How commands decide on a run and all below it."""

    def _change_family(
        self,
        run_id: str,
        decide: Callable[[Member], Events],
        epoch: int | None = None,
        *,
        rest: Callable[[Member], Events] | None = None,
        even_deleted: bool = False,
    ) -> None:
        """Append what the decisions on the run and on each of its descendants come to, all or nothing.

        If other processes write to the family so much that this is refused again and again, each run is brought to
        `rest` in a commit of its own, if that is given, and what is left is then done all or nothing.

        A family may be hard at work, so what is tried again is tried fast: only the streams that have grown are looked
        at again, all at once, and the refusal has said their versions. The threads of this process let it pass: it
        takes their turns, too.
        """
        check_text(run_id)
        seen: dict[str, Member] = {}
        versions: dict[str, int] = {}
        held = {run_id}
        for tries in count(1):
            with self._turns_of(held):
                family = self._family(run_id, seen, versions)
                check_may_change(family[0].run if family else None, run_id, epoch, even_deleted=even_deleted)
                try:
                    self._commit([self._part(member.run.id, decide(member), member.version) for member in family])
                except WrongExpectedVersion as error:
                    versions = {stream: actual for stream, _, actual in error.violations}
                    seen = {id: member for id, member in seen.items() if id not in versions}
                    held |= seen.keys() | versions.keys()
                else:
                    return
            if rest is not None and tries == TRIES:
                self._bring_to_rest(run_id, rest, epoch)
                seen, versions = {}, {}

    def _bring_to_rest(self, run_id: str, rest: Callable[[Member], Events], epoch: int | None) -> None:
        seen, coming = set[str](), [run_id]
        while coming:
            seen.add(member_id := coming.pop())
            member = self._change_member(member_id, rest, epoch if member_id == run_id else None)
            coming += [child for child in (member.children if member else ()) if child not in seen]

    def _change_member(self, run_id: str, decide: Callable[[Member], Events], epoch: int | None) -> Member | None:
        while True:
            with self._turn(run_id):
                seen: dict[str, Member] = {}
                self._look([run_id], seen, {})
                member = seen.get(run_id)
                if member is None:
                    return None
                check_epoch(member.run, epoch)
                with contextlib.suppress(WrongExpectedVersion):
                    self._commit([self._part(run_id, decide(member), member.version)])
                    return member

    def _turns_of(self, run_ids: Iterable[str]) -> ExitStack:
        """The turns of all these runs. Whoever takes several takes them in one order, so nobody waits in a circle."""
        with ExitStack() as held:
            for place in sorted({self._place(run_id) for run_id in run_ids}):
                held.enter_context(self._turns[place])
            return held.pop_all()

    def _family(self, run_id: str, seen: dict[str, Member], versions: Mapping[str, int]) -> list[Member]:
        """The run and all below it, each once, parents first; who was not seen yet is looked at now."""
        self._look([id for id in versions if id not in seen], seen, versions)
        family: dict[str, Member] = {}
        coming = [run_id]
        while coming:
            self._look([id for id in coming if id not in seen], seen, {})
            found = {id: seen[id] for id in coming if id in seen}
            family |= found
            coming = [child for member in found.values() for child in member.children if child not in family]
        return list(family.values())

    def _look(self, run_ids: list[str], seen: dict[str, Member], versions: Mapping[str, int]) -> None:
        """See those of these runs that there are. Their versions come first, so that no row is older."""
        if not run_ids:
            return
        first = {run_id: versions[run_id] if run_id in versions else self._log.version(run_id) for run_id in run_ids}
        unfinished, children = defaultdict[str, list[TaskRun]](list), defaultdict[str, list[str]](list)
        runs, tasks, below = self._queries.families(run_ids)
        for task in tasks:
            unfinished[task.run_id].append(task)
        for child in below:
            children[child.parent_run_id or ""].append(child.id)
        for run in runs:
            open_tasks = [] if run.status in TERMINAL else unfinished[run.id]
            seen[run.id] = Member(run, first[run.id], tuple(open_tasks), tuple(children[run.id]))
