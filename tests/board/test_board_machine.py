"""Whatever is done to a board, in whatever order, comes to what a few lines over dictionaries say."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from eventstore.errors import Conflict, NotFound
from projections import BoardTask, open_store
from tests.stores import Clock, examples, folded, tables_of

names = st.sampled_from("abcd")
needs = st.sets(names, max_size=3)
agents = st.sampled_from(["ada", "bob"])


class Known(msgspec.Struct):
    """What the model knows of a task."""

    place: int
    status: str
    needs: set[str]
    manual: bool = False
    assignee: str | None = None
    claim: int = 0
    deleted: bool = False


class BoardMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.store = open_store("memory:", clock=Clock())
        self.board, self.known, self.created = self.store.board, dict[str, Known](), 0

    def teardown(self) -> None:
        assert tables_of(self.store) == folded(self.store)
        self.store.close()

    def undone(self, task_ids: Iterable[str]) -> set[str]:
        return {task_id for task_id in task_ids if task_id in self.known and self.known[task_id].status != "done"}

    def leads_to(self, task_ids: Iterable[str], wanted: str) -> bool:
        """Whether this task has to be done before those are."""
        below: set[str] = set()
        while new := self.undone(task_ids) - below:
            below |= new
            task_ids = {need for task_id in new for need in self.known[task_id].needs}
        return wanted in below

    def live(self, task_id: str) -> Known | None:
        task = self.known.get(task_id)
        return None if task is None or task.deleted else task

    def dependents(self, task_id: str) -> list[Known]:
        return [task for task in self.known.values() if task_id in task.needs and not task.deleted]

    def settle(self) -> None:
        """Unblock what waits for nothing any more."""
        for task in self.known.values():
            if task.status == "blocked" and not task.manual and not task.deleted and not self.undone(task.needs):
                task.status = "ready"

    def check(self, allowed: bool, command: Callable[[], BoardTask | None]) -> BoardTask | None:
        """Do it; it is refused, without a trace, if it is not allowed."""
        head = self.store.log.head()
        result: BoardTask | None = None
        refused = True
        with suppress(Conflict, NotFound):
            result = command()
            refused = False
        assert refused is not allowed
        if refused:
            assert self.store.log.head() == head
        return result

    @initialize(order=st.permutations("abcd"), data=st.data())
    def begin(self, order: list[str], data: st.DataObject) -> None:
        for place, task_id in enumerate(order):
            self.create(task_id, data.draw(st.sets(st.sampled_from(order[:place]))) if place else set(), 0)

    @rule(task_id=names, needs=needs, priority=st.integers(0, 2))
    def create(self, task_id: str, needs: set[str], priority: int) -> None:
        possible = task_id not in self.known and task_id not in needs and all(map(self.live, needs))
        if task_id in self.known:
            return
        self.check(possible, lambda: self.board.create("Task", task_id=task_id, depends_on=needs, priority=priority))
        if possible:
            self.created += 1
            self.known[task_id] = Known(self.created, "blocked" if self.undone(needs) else "ready", needs)

    @rule(task_id=names, needs=needs)
    def update(self, task_id: str, needs: set[str]) -> None:
        task = self.live(task_id)
        same = task is not None and task.needs == needs
        new = needs - (task.needs if task else set())
        possible = task is not None and (
            same
            or (task.status in ("ready", "blocked") and all(map(self.live, new)) and not self.leads_to(new, task_id))
        )
        self.check(possible, lambda: self.board.update(task_id, depends_on=needs))
        if task is not None and possible:
            task.needs = needs
            if task.status == "ready" and self.undone(needs):
                task.status, task.assignee = "blocked", None
            self.settle()

    @rule(task_id=names, detach=st.booleans())
    def delete(self, task_id: str, detach: bool) -> None:
        task = self.known.get(task_id)
        possible = task is not None and (
            task.deleted or (task.status in ("ready", "blocked") and (detach or not self.dependents(task_id)))
        )
        self.check(possible, lambda: self.board.delete(task_id, cascade="detach" if detach else None))
        if task is not None and possible and not task.deleted:
            task.deleted = True
            for dependent in self.dependents(task_id):
                dependent.needs = dependent.needs - {task_id}
            self.settle()

    @rule(task_id=names)
    def purge(self, task_id: str) -> None:
        task = self.known.get(task_id)
        waiting = [each for each in self.dependents(task_id) if each.status != "done"]
        possible = task is not None and (task.deleted or task.status == "done") and not waiting
        with suppress(Conflict, NotFound):
            self.board.purge(task_id)
            assert possible
            del self.known[task_id]
            return
        assert not possible

    @rule(task_id=names, agent=agents)
    def assign(self, task_id: str, agent: str) -> None:
        self.step(task_id, "ready", "working", lambda: self.board.assign(task_id, agent), agent)

    @rule(agent=agents)
    def claim_next(self, agent: str) -> None:
        ready = [name for name, task in self.known.items() if task.status == "ready" and not task.deleted]
        claimed = self.board.claim_next(agent)
        if not ready:
            assert claimed is None
            return
        oldest = min(ready, key=lambda name: self.known[name].place)
        assert claimed is not None
        assert claimed.id == oldest
        self.moved(self.known[oldest], "working", agent)

    @rule(task_id=names)
    def finish(self, task_id: str) -> None:
        self.assign(task_id, "ada")
        self.submit(task_id, None)
        self.approve(task_id)

    @rule(task_id=names, agent=st.none() | agents)
    def submit(self, task_id: str, agent: str | None) -> None:
        task = self.live(task_id)
        if task is not None and task.status == "working" and agent not in (None, task.assignee):
            self.check(False, lambda: self.board.submit(task_id, agent=agent))
        else:
            holder = task.assignee if task else None
            self.step(task_id, "working", "review", lambda: self.board.submit(task_id, agent=agent), holder)

    @rule(task_id=names, behind=st.integers(0, 1))
    def release(self, task_id: str, behind: int) -> None:
        task = self.live(task_id)
        claim = task.claim - behind if task else 0
        if behind:
            self.check(False, lambda: self.board.release(task_id, claim=claim))
        else:
            self.step(task_id, "working", "ready", lambda: self.board.release(task_id, claim=claim), None)

    @rule(task_id=names)
    def approve(self, task_id: str) -> None:
        task = self.live(task_id)
        self.step(task_id, "review", "done", lambda: self.board.approve(task_id), task.assignee if task else None)
        self.settle()

    @rule(task_id=names)
    def request_changes(self, task_id: str) -> None:
        task = self.live(task_id)
        holder = task.assignee if task else None
        self.step(task_id, "review", "working", lambda: self.board.request_changes(task_id, "thin"), holder)

    @rule(task_id=names)
    def revert(self, task_id: str) -> None:
        self.step(task_id, "review", "ready", lambda: self.board.revert(task_id, "wrong"), None)

    @rule(task_id=names)
    def block(self, task_id: str) -> None:
        if self.step(task_id, "ready", "blocked", lambda: self.board.block(task_id, "a reason"), None):
            self.known[task_id].manual = True

    @rule(task_id=names)
    def unblock(self, task_id: str) -> None:
        task = self.live(task_id)
        possible = task is not None and task.status == "blocked" and not self.undone(task.needs)
        self.check(possible, lambda: self.board.unblock(task_id))
        if task is not None and possible:
            task.status, task.manual = "ready", False

    def step(
        self, task_id: str, old: str, new: str, command: Callable[[], BoardTask | None], holder: str | None
    ) -> bool:
        task = self.live(task_id)
        possible = task is not None and task.status == old
        self.check(possible, command)
        if task is not None and possible:
            self.moved(task, new, holder)
        return possible

    def moved(self, task: Known, new: str, holder: str | None) -> None:
        task.status, task.assignee = new, holder
        task.claim += new == "working"

    @invariant()
    def the_board_is_what_the_model_says(self) -> None:
        tasks = {task.id: task for task in self.board.list(include_deleted=True)}
        assert list(tasks) == sorted(self.known, key=lambda name: self.known[name].place)
        for name, task in self.known.items():
            found = tasks[name]
            assert (found.status, found.manual, found.assignee, found.claim, found.deleted_at is not None) == (
                task.status,
                task.manual,
                task.assignee,
                task.claim,
                task.deleted,
            )


TestBoardMachine = BoardMachine.TestCase
TestBoardMachine.settings = examples(0.5)
